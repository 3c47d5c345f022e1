-- Rules on the limits of many requests, one after the other, each all or nothing.
--
-- KEYS     one per charge, in order
-- ARGV[1]  now in microseconds, or -1 for this server's clock
-- ARGV[2]  per request one byte: its number of charges; then per charge '>Bddddddd':
--          algorithm, cost, quota, period, and four numbers of the algorithm's own
-- ARGV[3]  milliseconds a key is kept beyond its meaning
-- answers  now as '>d', then per charge '>Bddd': admitted, units left, microseconds until whole, until a retry
--
-- The arithmetic is that of domain/gcra.py and domain/windows.py, integer for integer: everything stays below 2^53.
-- A refused request writes nothing, but for a state from the future (a clock that ran backwards), which is moved to now.
-- Expiry of keys is garbage collection, never part of a decision; hence the slack on top.

local now = tonumber(ARGV[1])
if now < 0 then
  local clock = redis.call('TIME')
  now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
end
local floor, max, min, format = math.floor, math.max, math.min, string.format

local function quotient(a, b)
  return (a - math.fmod(a, b)) / b
end

local function ceiling(a, b)
  local rest = math.fmod(a, b)
  if rest == 0 then return a / b end
  return (a - rest) / b + 1
end

local function milliseconds(us)
  return format('%.0f', floor(max(us, 0) / 1000) + 1 + tonumber(ARGV[3]))
end

-- Each rule answers: admitted, left, reset, wait, and what `keep` needs to store the new state, or nil.

-- A bucket's state is 'tat:interval': when it would be full again, and the interval it was counted with. With another
-- interval than that, what is missing is read in units and 256ths of one.
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
  local tat = state and full_at(state, interval, span, debt) or now
  local moved
  if tat < now then
    tat = now
  elseif tat - now > span + debt then
    tat = now + span
    moved = {format('%.0f:%.0f', tat, interval), span}
  end
  local new = tat + interval * max(cost, 1)
  local over = new - now - span
  if over > 0 then
    return 0, max(quotient(span - tat + now, interval), 0), tat - now, cost <= burst and over or period, moved
  end
  if cost <= 0 then
    return 1, quotient(span - tat + now, interval), tat - now, 0, moved
  end
  return 1, quotient(-over, interval), new - now, 0, {format('%.0f:%.0f', new, interval), new - now}
end

local function count(key, cost, quota, start, finish)
  local used, moved = 0, nil
  local state = redis.call('GET', key)
  if state then
    local at, units = string.match(state, '(%d+):(%d+)')
    at, units = tonumber(at), tonumber(units)
    if at == start then
      used = units
    elseif at > start then
      used = units
      moved = {format('%.0f:%.0f', start, used), finish - now}
    end
  end
  local left = quota - used
  if left < max(cost, 1) then
    return 0, max(left, 0), finish - now, finish - now, moved
  end
  if cost <= 0 then
    return 1, left, finish - now, 0, moved
  end
  return 1, left - cost, finish - now, 0, {format('%.0f:%.0f', start, used + cost), finish - now}
end

local function fixed(key, cost, quota, period)
  local start = now - math.fmod(now, period)
  return count(key, cost, quota, start, start + period)
end

-- The caller's clock may be off by a window: it sends the edges of three, and this clock picks.
local function calendar(key, cost, quota, first, second, third, fourth)
  if now < second then return count(key, cost, quota, first, second) end
  if now < third then return count(key, cost, quota, second, third) end
  return count(key, cost, quota, third, fourth)
end

local function sliding_wait(quota, period, slice, slices, current, previous, rest, need)
  if need > quota then return period end
  local room = quota - current - need
  if room >= 0 then
    return rest - quotient(room * slices, previous) * slice
  end
  local weight = min(quotient((quota - need) * slices, current), slices)
  return rest + max(period - weight * slice, 0)
end

local function sliding(key, cost, quota, period, slice, slices)
  local start = now - math.fmod(now, period)
  local current, previous, moved = 0, 0, nil
  local state = redis.call('GET', key)
  if state then
    local at, c, p = string.match(state, '(%d+):(%d+):(%d+)')
    at, current, previous = tonumber(at), tonumber(c), tonumber(p)
    if at > start then
      current, previous = min(current + previous, quota), 0
      moved = {format('%.0f:%.0f:0', start, current), 2 * period}
    elseif at == start - period then
      current, previous = 0, current
    elseif at ~= start then
      current, previous = 0, 0
    end
  end
  local rest = start + period - now
  local weight = ceiling(rest, slice)
  local used = current + ceiling(previous * weight, slices)
  local left = quota - used
  local need = max(cost, 1)
  if left < need then
    local whole = current > 0 and rest + period or rest
    return 0, max(left, 0), whole, sliding_wait(quota, period, slice, slices, current, previous, rest, need), moved
  end
  if cost <= 0 then
    local whole = current > 0 and rest + period or (previous > 0 and rest or 0)
    return 1, left, whole, 0, moved
  end
  local kept = format('%.0f:%.0f:%.0f', start, current + cost, previous)
  return 1, left - cost, rest + period, 0, {kept, rest + period}
end

-- The log is a list of 'at:units:total', where total counts all units ever logged up to here, so that what is in sight
-- is a difference of two entries and not a sum over all of them.
local function entry(text)
  local at, units, total = string.match(text, '(%d+):(%d+):(%d+)')
  return tonumber(at), tonumber(units), tonumber(total)
end

local function log(key, cost, quota, period)
  local edge, need = now - period, max(cost, 1)
  local last = redis.call('LINDEX', key, -1)
  if not last then
    if quota < need then return 0, quota, 0, period end
    if cost <= 0 then return 1, quota, 0, 0 end
    return 1, quota - cost, period, 0, {cost, 0, period, 0}
  end
  local last_at, _, last_total = entry(last)
  local moved
  local function at_of(text)
    local at, units, total = entry(text)
    return min(at, now), units, total
  end
  if last_at > now then moved = true end
  -- The first entry still in sight: read from the old end, a few at a time.
  local index, live_at, live_units, live_total = 0, nil, nil, nil
  local piece, offset = redis.call('LRANGE', key, 0, 15), 0
  while #piece > 0 and not live_at do
    for i = 1, #piece do
      local at, units, total = at_of(piece[i])
      if at > edge then
        live_at, live_units, live_total = at, units, total
        break
      end
      index = index + 1
    end
    if not live_at then
      offset = offset + #piece
      piece = redis.call('LRANGE', key, offset, offset + 63)
    end
  end
  local used, reset = 0, 0
  if live_at then
    used = last_total - live_total + live_units
    reset = min(last_at, now) - edge
  end
  local left = quota - used
  if left < need then
    local wait = period
    if need <= quota then
      local missing, from = need - left, index
      piece = redis.call('LRANGE', key, from, from + 15)
      while #piece > 0 and missing > 0 do
        for i = 1, #piece do
          local at, units = at_of(piece[i])
          missing = missing - units
          if missing <= 0 then
            wait = at - edge
            break
          end
        end
        from = from + #piece
        if missing > 0 then piece = redis.call('LRANGE', key, from, from + 63) end
      end
    end
    return 0, max(left, 0), reset, wait, moved and {0, last_total, period, 0, true} or nil
  end
  if cost <= 0 then return 1, left, reset, 0, moved and {0, last_total, period, 0, true} or nil end
  return 1, left - cost, period, 0, {cost, last_total, period, index, moved}
end

local function keep_log(key, state)
  local cost, total, period, first, moved = state[1], state[2], state[3], state[4], state[5]
  if moved then
    local all = redis.call('LRANGE', key, 0, -1)
    for i = 1, #all do
      local at, units, sum = entry(all[i])
      if at > now then redis.call('LSET', key, i - 1, format('%.0f:%.0f:%.0f', now, units, sum)) end
    end
  end
  if first > 0 then redis.call('LTRIM', key, first, -1) end
  if cost > 0 then redis.call('RPUSH', key, format('%.0f:%.0f:%.0f', now, cost, total + cost)) end
  redis.call('PEXPIRE', key, milliseconds(period))
end

-- Permits are members of a sorted set by when they lapse, should their holder vanish; holders renew them.
local function concurrency(key, cost, quota, lease, id)
  local left = quota - redis.call('ZCOUNT', key, format('(%.0f', now), '+inf')
  if left < max(cost, 1) then return 0, max(left, 0), 0, 1000000 end
  if cost <= 0 then return 1, left, 0, 0 end
  return 1, left - cost, 0, 0, {cost, lease, id}
end

local function keep_permits(key, state)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', format('%.0f', now))
  for i = 1, state[1] do
    redis.call('ZADD', key, format('%.0f', now + state[2]), format('%.0f:%.0f', state[3], i))
  end
  redis.call('PEXPIRE', key, milliseconds(state[2]))
end

local function keep_text(key, state)
  redis.call('SET', key, state[1], 'PX', milliseconds(state[2]))
end

local rules = {gcra, sliding, log, fixed, calendar, concurrency}
local keepers = {keep_text, keep_text, keep_log, keep_text, keep_text, keep_permits}

local input, position, key = ARGV[2], 1, 0
local answers = {struct.pack('>d', now)}
while position <= #input do
  local charges = string.byte(input, position)
  position = position + 1
  local asked, all = {}, 1
  for i = 1, charges do
    local code, cost, quota, p, a, b, c, d
    code, cost, quota, p, a, b, c, d, position = struct.unpack('>Bddddddd', input, position)
    local name = KEYS[key + i]
    local admitted, left, reset, wait, state = rules[code](name, cost, quota, p, a, b, c, d)
    if admitted == 0 then all = 0 end
    asked[i] = {code, name, admitted, left, reset, wait, state, cost, quota, p, a, b, c, d}
  end
  key = key + charges
  for i = 1, charges do
    local it = asked[i]
    local code, admitted, left, reset, wait = it[1], it[3], it[4], it[5], it[6]
    if all == 0 and admitted == 1 and it[8] > 0 then
      local _
      _, left, reset = rules[code](it[2], 0, it[9], it[10], it[11], it[12], it[13], it[14])
    elseif it[7] and (all == 1 or admitted == 0) then
      keepers[code](it[2], it[7])
    end
    answers[#answers + 1] = struct.pack('>Bddd', admitted, left, reset, wait)
  end
end
return table.concat(answers)
