-- Take from token buckets, all or nothing, or learn when there may be enough.
-- KEYS[1] hash: "level B" of each bucket B that is not full, at the time "at B" (ms)
-- ARGV 0 to take what is there, 1 to take whatever the levels are, 2 to have no more there than the amounts;
--   then bucket, amount, per minute, bucket, amount, per minute, ...
-- returns 0 taken, else the ms until there may be enough, -1 where nobody is let in yet; then the level of each, as text
-- Atomic because all the levels must be looked at before one is changed.
if ARGV[1] == '0' and is_settling() then
  return { -1 }
end
local levels, wait = {}, 0
for i = 2, #ARGV, 3 do
  local bucket, amount, full = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local found = redis.call('HMGET', KEYS[1], 'level ' .. bucket, 'at ' .. bucket)
  local level = full
  if found[1] then
    -- Never above full, whatever was given.
    level = math.min(full, found[1] + math.max(0, exact - found[2]) * full / 60000)
  end
  if ARGV[1] == '0' then
    amount = math.min(amount, full)
    wait = math.max(wait, math.ceil((amount - level) * 60000 / full))
  end
  levels[i] = ARGV[1] == '2' and math.min(level, amount) or level - amount
end
if wait > 0 then
  return { wait }
end

-- When all are full again there is nothing to remember; a second more, so that no rounding forgets too early.
local keep, answer = redis.call('PTTL', KEYS[1]), { 0 }
for i = 2, #ARGV, 3 do
  local full = tonumber(ARGV[i + 2])
  redis.call('HSET', KEYS[1], 'level ' .. ARGV[i], levels[i], 'at ' .. ARGV[i], exact)
  keep = math.max(keep, math.ceil((full - levels[i]) * 60000 / full) + 1000)
  answer[#answer + 1] = string.format('%.3f', levels[i])
end
redis.call('PEXPIRE', KEYS[1], keep)
return answer
