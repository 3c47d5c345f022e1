-- A process adds what it counted under objectives, once per batch.
--
-- KEYS[1]  this node's last batch   KEYS[2]  when each node last told (a sorted set)
-- KEYS[3..] a hash per objective: field -> count, and "since"
-- ARGV: node, batch, Unix seconds, seconds that nodes are named for, then per objective: seconds to keep it, number of
-- fields, and field, increment, ... The caller's clock is written, so that slices and beginnings agree.
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', tonumber(ARGV[3]) - tonumber(ARGV[4]))
redis.call('EXPIRE', KEYS[2], math.ceil(tonumber(ARGV[4])))
if redis.call('GET', KEYS[1]) == ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', 86400)
local at = 5
for key = 3, #KEYS do
    redis.call('HSETNX', KEYS[key], 'since', ARGV[3])
    local keep, fields = ARGV[at], tonumber(ARGV[at + 1])
    at = at + 2
    for _ = 1, fields do
        redis.call('HINCRBY', KEYS[key], ARGV[at], ARGV[at + 1])
        at = at + 2
    end
    redis.call('EXPIRE', KEYS[key], keep)
end
return 1
