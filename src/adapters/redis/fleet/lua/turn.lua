-- Take the turn of an object, or give it back and move the object's version.
--
-- KEYS   the turn, the version ('number:microseconds of the server's clock')
-- ARGV   take, token, lease in ms                 answers version and its age in microseconds; nothing while it is taken
--        back, token, keep in ms, 1 if changed    answers the version
local now = redis.call('TIME')
local micros = tonumber(now[1]) * 1000000 + tonumber(now[2])
local version, at = string.match(redis.call('GET', KEYS[2]) or '0:0', '(%d+):(%d+)')
if ARGV[1] == 'take' then
  if not redis.call('SET', KEYS[1], ARGV[2], 'NX', 'PX', ARGV[3]) then return false end
  return {tonumber(version), string.format('%.0f', math.max(0, micros - tonumber(at)))}
end
local held = redis.call('GET', KEYS[1])
if ARGV[4] == '1' then
  version = math.max(tonumber(version) + 1, micros)
  redis.call('SET', KEYS[2], string.format('%.0f:%.0f', version, micros), 'PX', ARGV[3])
end
if held == ARGV[2] then redis.call('DEL', KEYS[1]) end
return {tonumber(version)}
