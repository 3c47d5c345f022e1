-- Write, renew or drop one registration, by the server's clock, and tell every process.
--
-- KEYS[1]  hash of registrations: id -> JSON
-- ARGV     act (keep, renew, drop, or sweep: only forget it if its lease is over), id, JSON (keep only), channel, now in seconds (optional: for tests)
-- answers  the registration as it is now (or was, when dropped), or false when there is none
local now = tonumber(ARGV[5])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1000000
end
local act, id = ARGV[1], ARGV[2]
local known = redis.call('HGET', KEYS[1], id)
local before = known and cjson.decode(known) or nil
if before and before.expires_at <= now then
  redis.call('HDEL', KEYS[1], id)
  before = nil
end
if act == 'sweep' then
  return false
end
if act == 'drop' then
  redis.call('HDEL', KEYS[1], id)
  redis.call('PUBLISH', ARGV[4], id)
  return before and cjson.encode(before) or false
end
local kept = act == 'keep' and cjson.decode(ARGV[3]) or before
if not kept then
  return false
end
kept.registered_at = before and before.registered_at or now
kept.expires_at = now + kept.ttl
local text = cjson.encode(kept)
redis.call('HSET', KEYS[1], id, text)
if act == 'keep' then
  redis.call('PUBLISH', ARGV[4], id)
end
return text
