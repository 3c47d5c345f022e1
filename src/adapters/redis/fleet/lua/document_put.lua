-- Keep a persisted query, and of all those of its scope the ones used last.
--
-- KEYS[1]  index of the scope: digests by when they were used last, in ms
-- KEYS[2]  the text
-- ARGV     digest, text, time to live in ms, most digests
local now = redis.call('TIME')
local at = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('SET', KEYS[1] .. ':ttl', ARGV[3], 'PX', ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', at - ARGV[3])
redis.call('ZADD', KEYS[1], at, ARGV[1])
local over = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[4])
if over > 0 then
  for _, digest in ipairs(redis.call('ZRANGE', KEYS[1], 0, over - 1)) do
    redis.call('DEL', KEYS[1] .. ':' .. digest)
  end
  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, over - 1)
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
