-- Take an idempotency key, or say what stands under it; settle it with an answer, or free it.
--
-- KEYS[1]  the key
-- ARGV     begin, fingerprint, token, lease in ms      answers {word, answer}: begun, in_flight, mismatch, kept
--          settle, token, answer or "", keep in ms     answers 1 when it was still the caller's
local known = redis.call('HMGET', KEYS[1], 'fingerprint', 'token', 'answer')
if ARGV[1] == 'begin' then
  if known[1] then
    if known[1] ~= ARGV[2] then
      return {'mismatch', ''}
    end
    if known[3] then
      return {'kept', known[3]}
    end
    return {'in_flight', ''}
  end
  redis.call('HSET', KEYS[1], 'fingerprint', ARGV[2], 'token', ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  return {'begun', ''}
end
if known[2] ~= ARGV[2] then
  return 0
end
if ARGV[3] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('HSET', KEYS[1], 'answer', ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return 1
