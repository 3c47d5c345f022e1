-- Move the fleet's record of one circuit on from the epoch the caller knows, and tell everybody.
--
-- KEYS[1]  hash of all circuits: name -> record
-- ARGV     name, known epoch, state, milliseconds until it ends by itself (-1 never), cause, by, reason, channel,
--          keep the hash for (ms), now (ms, optional: for tests)
-- answers  {1, record} when moved, {0, record} when somebody was faster: the record that is in force, with the time.
local now = tonumber(ARGV[10])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local name, known = ARGV[1], tonumber(ARGV[2])
local written = redis.call('HGET', KEYS[1], name)
local epoch = 0
if written then
  local record = cjson.decode(written)
  epoch = record.epoch
  if epoch > known then
    record.now = now
    return {0, cjson.encode(record)}
  end
end
local lasts = tonumber(ARGV[4])
local record = {
  name = name, epoch = math.max(epoch, known) + 1, state = ARGV[3], now = now,
  ends = lasts >= 0 and now + lasts or -1, cause = ARGV[5], by = ARGV[6], reason = ARGV[7],
}
local text = cjson.encode(record)
redis.call('HSET', KEYS[1], name, text)
redis.call('PEXPIRE', KEYS[1], ARGV[9])
redis.call('PUBLISH', ARGV[8], text)
return {1, text}
