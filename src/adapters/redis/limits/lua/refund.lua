-- Gives units back that were charged at a known time, never more than were taken. One act of domain/{gcra,windows}.refund.
--
-- KEYS     one per charge; with ARGV[3] each followed by its mark
-- ARGV[1]  now in microseconds, or -1 for this server's clock
-- ARGV[3]  optional: milliseconds that marks are kept; what has a mark already was given back
-- ARGV[2]  per charge '>d', when it was charged in microseconds, and '>Bddddddd' as for acquire

local now = tonumber(ARGV[1])
if now < 0 then
  local clock = redis.call('TIME')
  now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
end
local at
local max, format = math.max, string.format

local function keep(key, state)
  redis.call('SET', key, state, 'KEEPTTL')
end

local function quotient(a, b)
  return (a - math.fmod(a, b)) / b
end

local function ceiling(a, b)
  local rest = math.fmod(a, b)
  if rest == 0 then return a / b end
  return (a - rest) / b + 1
end

-- As in acquire.lua.
local function full_at(state, interval, span, debt)
  local tat, counted = string.match(state, '(%d+):?(%d*)')
  tat, counted = tonumber(tat), tonumber(counted)
  if not counted or counted == interval or tat <= now then return tat end
  local missing, most = tat - now, quotient(span + debt, interval) + 1
  local units = quotient(missing, counted)
  if units >= most then return now + most * interval end
  local parts = ceiling((missing - units * counted) * 256, counted)
  return now + units * interval + ceiling(parts * interval, 256)
end

local function gcra(key, cost, quota, period, interval, span, burst, debt)
  local state = redis.call('GET', key)
  local back = interval * cost - max(now - at, 0)
  if not state or back <= 0 then return end
  local tat = full_at(state, interval, span, debt)
  if tat <= now then return end
  if tat - back > now then keep(key, format('%.0f:%.0f', tat - back, interval)) else redis.call('DEL', key) end
end

local function count(key, cost, start)
  local state = redis.call('GET', key)
  if not state then return end
  local from, used = string.match(state, '(%d+):(%d+)')
  if tonumber(from) ~= start then return end
  used = tonumber(used) - cost
  if used > 0 then keep(key, format('%.0f:%.0f', start, used)) else redis.call('DEL', key) end
end

local function fixed(key, cost, quota, period)
  count(key, cost, at - math.fmod(at, period))
end

local function calendar(key, cost, quota, first, second, third)
  count(key, cost, at < second and first or (at < third and second or third))
end

local function sliding(key, cost, quota, period)
  local state = redis.call('GET', key)
  if not state then return end
  local start, current, previous = string.match(state, '(%d+):(%d+):(%d+)')
  start, current, previous = tonumber(start), tonumber(current), tonumber(previous)
  local charged = at - math.fmod(at, period)
  if charged == start then
    current = max(current - cost, 0)
  elseif charged == start - period then
    previous = max(previous - cost, 0)
  end
  if current > 0 or previous > 0 then
    keep(key, format('%.0f:%.0f:%.0f', start, current, previous))
  else
    redis.call('DEL', key)
  end
end

local function log(key, cost, quota, period)
  local all = redis.call('LRANGE', key, 0, -1)
  local wanted = format('^%.0f:%.0f:', at, cost)
  for i = 1, #all do
    if string.find(all[i], wanted) then
      -- Later entries counted this one in their totals.
      redis.call('LTRIM', key, 0, i - 2)
      if i == 1 then redis.call('DEL', key) end
      for j = i + 1, #all do
        local when, units, total = string.match(all[j], '(%d+):(%d+):(%d+)')
        redis.call('RPUSH', key, when .. ':' .. units .. ':' .. format('%.0f', tonumber(total) - cost))
      end
      redis.call('PEXPIRE', key, format('%.0f', math.floor(period / 1000) + 1001))
      return
    end
  end
end

local refunds = {gcra, sliding, log, fixed, calendar}
local position = 1
local marked = ARGV[3]
for i = 1, #KEYS, marked and 2 or 1 do
  local code, cost, quota, p, a, b, c, d
  at, code, cost, quota, p, a, b, c, d, position = struct.unpack('>dBddddddd', ARGV[2], position)
  local once = not marked or redis.call('SET', KEYS[i + 1], 1, 'NX', 'PX', marked)
  if refunds[code] and cost > 0 and once then refunds[code](KEYS[i], cost, quota, p, a, b, c, d) end
end
return #KEYS
