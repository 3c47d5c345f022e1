-- Note how large a kept answer is, and say which of the oldest must go so that all stay below a bound.
--
-- KEYS     the ledger ('bytes:end in ms:key' by when it was kept), the sum of its bytes
-- ARGV     key, bytes, keep in ms, the bound in bytes
-- answers  the keys whose answers are to be deleted
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local keep = tonumber(ARGV[3])
redis.call('ZADD', KEYS[1], now, string.format('%s:%.0f:%s', ARGV[2], now + keep, ARGV[1]))
local total = redis.call('INCRBY', KEYS[2], ARGV[2])
local gone = {}
for _ = 1, 1000 do
  local oldest = redis.call('ZRANGE', KEYS[1], 0, 0)[1]
  if not oldest then break end
  local bytes, ends, key = string.match(oldest, '^(%d+):(%d+):(.*)$')
  if total <= tonumber(ARGV[4]) and tonumber(ends) > now then break end
  redis.call('ZREM', KEYS[1], oldest)
  total = redis.call('DECRBY', KEYS[2], bytes)
  if tonumber(ends) > now then gone[#gone + 1] = key end
end
for i = 1, 2 do
  if redis.call('PTTL', KEYS[i]) < keep then redis.call('PEXPIRE', KEYS[i], keep + 60000) end
end
return gone
