-- Mark a hash of registrations as begun, and put back into one that came back empty what is known of it.
--
-- KEYS[1]  hash of registrations: id -> JSON; the field "" holds the mark, which tells one beginning from another
-- ARGV     a new mark, channel, then id, JSON for each registration known
-- answers  the mark that counts: the one that was there first
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
redis.call('HSETNX', KEYS[1], '', ARGV[1])
local put = 0
for index = 3, #ARGV, 2 do
  if cjson.decode(ARGV[index + 1]).expires_at > now then
    put = put + redis.call('HSETNX', KEYS[1], ARGV[index], ARGV[index + 1])
  end
end
if put > 0 then
  redis.call('PUBLISH', ARGV[2], '')
end
return redis.call('HGET', KEYS[1], '')
