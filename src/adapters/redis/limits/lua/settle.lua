-- Charges units after the fact, once for each id, whether or not they fit. One act of domain/{gcra,windows}.settle.
--
-- KEYS     per charge two: the limit's state, and a mark that this settlement was made
-- ARGV[1]  now in microseconds, or -1 for this server's clock
-- ARGV[2]  per charge '>Bddddddd' as for acquire
-- ARGV[3]  milliseconds a key is kept beyond its meaning
-- ARGV[4]  milliseconds a mark is kept

local now = tonumber(ARGV[1])
if now < 0 then
  local clock = redis.call('TIME')
  now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
end
local floor, max, min, format = math.floor, math.max, math.min, string.format

local function keep(key, state, us)
  redis.call('SET', key, state, 'PX', format('%.0f', floor(max(us, 0) / 1000) + 1 + tonumber(ARGV[3])))
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
  local tat = max(state and full_at(state, interval, span, debt) or now, now) + interval * cost
  tat = min(tat, now + span + debt)
  keep(key, format('%.0f:%.0f', tat, interval), tat - now)
end

local function count(key, cost, start, finish)
  local used = 0
  local state = redis.call('GET', key)
  if state then
    local at, units = string.match(state, '(%d+):(%d+)')
    if tonumber(at) >= start then used = tonumber(units) end
  end
  keep(key, format('%.0f:%.0f', start, used + cost), finish - now)
end

local function fixed(key, cost, quota, period)
  local start = now - math.fmod(now, period)
  count(key, cost, start, start + period)
end

local function calendar(key, cost, quota, first, second, third, fourth)
  if now < second then return count(key, cost, first, second) end
  if now < third then return count(key, cost, second, third) end
  count(key, cost, third, fourth)
end

local function sliding(key, cost, quota, period)
  local start = now - math.fmod(now, period)
  local current, previous = 0, 0
  local state = redis.call('GET', key)
  if state then
    local at, c, p = string.match(state, '(%d+):(%d+):(%d+)')
    at = tonumber(at)
    if at == start then
      current, previous = tonumber(c), tonumber(p)
    elseif at > start then
      current = tonumber(c)
    elseif at == start - period then
      previous = tonumber(c)
    end
  end
  keep(key, format('%.0f:%.0f:%.0f', start, current + cost, previous), start + 2 * period - now)
end

local function log(key, cost, quota, period)
  local total = 0
  local last = redis.call('LINDEX', key, -1)
  if last then total = tonumber(string.match(last, '%d+:%d+:(%d+)')) end
  redis.call('RPUSH', key, format('%.0f:%.0f:%.0f', now, cost, total + cost))
  redis.call('PEXPIRE', key, format('%.0f', floor(period / 1000) + 1 + tonumber(ARGV[3])))
end

local rules = {gcra, sliding, log, fixed, calendar}
local position = 1
for i = 1, #KEYS, 2 do
  local code, cost, quota, p, a, b, c, d
  code, cost, quota, p, a, b, c, d, position = struct.unpack('>Bddddddd', ARGV[2], position)
  if rules[code] and cost > 0 and redis.call('SET', KEYS[i + 1], 1, 'NX', 'PX', ARGV[4]) then
    rules[code](KEYS[i], cost, quota, p, a, b, c, d)
  end
end
return #KEYS
