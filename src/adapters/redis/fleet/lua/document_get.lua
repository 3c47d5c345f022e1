-- A persisted query, which from now on counts as used last; nothing when it is not there.
--
-- KEYS[1]  index of the scope, KEYS[2] the text
-- ARGV     digest
local text = redis.call('GET', KEYS[2])
local ttl = redis.call('GET', KEYS[1] .. ':ttl')
if text and ttl then
  local now = redis.call('TIME')
  redis.call('ZADD', KEYS[1], now[1] * 1000 + math.floor(now[2] / 1000), ARGV[1])
  redis.call('PEXPIRE', KEYS[2], ttl)
  redis.call('PEXPIRE', KEYS[1], ttl)
  redis.call('PEXPIRE', KEYS[1] .. ':ttl', ttl)
end
return text
