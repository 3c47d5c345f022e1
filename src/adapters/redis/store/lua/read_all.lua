-- Read a whole hash, and the server's clock at the same moment.
--
-- KEYS[1]  the hash     answers {seconds, microseconds, field, value, field, value, ...}
local answer = redis.call('TIME')
for _, text in ipairs(redis.call('HGETALL', KEYS[1])) do
  answer[#answer + 1] = text
end
return answer
