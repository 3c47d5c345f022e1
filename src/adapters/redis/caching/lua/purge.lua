-- Purge tags: take the next position, write it beside each tag, tell everybody.
-- KEYS[1] the journal (a hash). ARGV: new epoch if there is none, most tags, seconds to live, soft (0/1), channel, tags...
-- Answers the epoch and the position.
redis.call('HSETNX', KEYS[1], '=epoch', ARGV[1])
local position = redis.call('HINCRBY', KEYS[1], '=position', 1)
if redis.call('HLEN', KEYS[1]) + #ARGV - 5 > tonumber(ARGV[2]) then
  local epoch = redis.call('HGET', KEYS[1], '=epoch')
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], '=epoch', epoch, '=position', position, '=floor', position)
end
for at = 6, #ARGV do
  redis.call('HSET', KEYS[1], (ARGV[4] == '1' and 's' or 'h') .. ARGV[at], position)
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('PUBLISH', ARGV[5], position)
return {redis.call('HGET', KEYS[1], '=epoch'), position}
