-- Give a claim back, if it still is this process's. KEYS[1] the claim, ARGV[1] its token.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
