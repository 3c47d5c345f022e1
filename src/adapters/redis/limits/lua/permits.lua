-- Renews or gives back permits of concurrency limits.
--
-- KEYS     one per lease
-- ARGV[1]  lease in microseconds to renew for, or 0 to give back
-- ARGV[2]  per lease '>dd': its id, its number of permits

local lease = tonumber(ARGV[1])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local position = 1
for i = 1, #KEYS do
  local id, permits
  id, permits, position = struct.unpack('>dd', ARGV[2], position)
  for p = 1, permits do
    local member = string.format('%.0f:%.0f', id, p)
    if lease == 0 then
      redis.call('ZREM', KEYS[i], member)
    else
      redis.call('ZADD', KEYS[i], 'XX', string.format('%.0f', now + lease), member)
    end
  end
  if lease > 0 then redis.call('PEXPIRE', KEYS[i], string.format('%.0f', math.floor(lease / 1000) + 1001)) end
end
return #KEYS
