-- One node says what it is. KEYS: the index of nodes, this node's report. ARGV: name, report, seconds until forgotten.
-- The server's clock decides when it was said, so that nodes with skewed clocks agree on who is silent.
local now = redis.call('TIME')
local seconds = tonumber(now[1]) + tonumber(now[2]) / 1000000
redis.call('ZADD', KEYS[1], seconds, ARGV[1])
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[3] * 2)
return 1
