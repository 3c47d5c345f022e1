-- Every known node's latest report and its age in microseconds. KEYS: the index of nodes. ARGV: the prefix of reports,
-- seconds until forgotten. Answers the server's clock in microseconds, then name, report, age, name, report, age, ...
local now = redis.call('TIME')
local seconds = tonumber(now[1]) + tonumber(now[2]) / 1000000
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', seconds - tonumber(ARGV[2]))
local known = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
local found = {tonumber(now[1]) * 1000000 + tonumber(now[2])}
for i = 1, #known, 2 do
    local report = redis.call('GET', ARGV[1] .. known[i])
    if report then
        found[#found + 1] = known[i]
        found[#found + 1] = report
        found[#found + 1] = math.max(0, math.floor((seconds - tonumber(known[i + 1])) * 1000000))
    end
end
return found
