-- Note whose place was taken away by somebody else: it is not put back, as one is that Redis lost.
-- KEYS[1] sorted set of holders, scored by when that is forgotten (ms)   ARGV ms to remember, holder, holder, ...
-- returns 0
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_text)
for i = 2, #ARGV do
  redis.call('ZADD', KEYS[1], now + tonumber(ARGV[1]), ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 0
