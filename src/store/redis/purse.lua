-- Change what is known and held of a purse; with `wants`, only if there is room for the first of `holds`.
-- KEYS[1] hash: "used B", "spent B", "version B", "start B" of each bucket B, "hold H" of each holder H: JSON [bucket, amount, ...];
--   "server", which wrote it
-- KEYS[2] sorted set of holders, scored by expiry (ms)
-- ARGV how long the purse is kept after this (ms), 1 to mend or 0; then lists, each after its length:
--   wants: bucket, amount, limit or '', start and oldest of the window or '', ''
--   facts: bucket, spent, version, start or ''
--   holds: holder, ttl (ms), amounts as they are kept
--   gone: holder
-- returns 'held', then spent, version and start of each wanted bucket; or 'full', bucket; or 'unknown', bucket, ...;
--   or 'later': nobody is let in yet
-- Atomic because a limit is kept only if nobody spends between the look and the write, and because what moves from a
-- hold to a fact must not be missing from both for a moment.
local purse, ends = KEYS[1], KEYS[2]
local keep, mend = tonumber(ARGV[1]), ARGV[2] == '1'

local at = 2
local function next_arg()
  at = at + 1
  return ARGV[at]
end

local function given(arg)
  return arg ~= '' and arg or nil
end

-- Amounts have 64 bits and Lua's numbers 53: only Redis adds, here amounts are text.
local function minus(amount)
  if amount == '0' then
    return amount
  end
  return amount:sub(1, 1) == '-' and amount:sub(2) or '-' .. amount
end

local function add(field, amount)
  return redis.call('HINCRBY', purse, field, amount)
end

local function amounts_of(holder)
  local found = redis.call('HGET', purse, 'hold ' .. holder)
  return found and cjson.decode(found)
end

-- Few enough digits that Lua's numbers are exact, and so is the sum of five such.
local function is_short(amount)
  return #amount <= 15
end

-- Changes of `used` by bucket that are not written yet: what goes out and comes in again is written once.
local sums = {}

local function write_sum(bucket)
  local sum = sums[bucket]
  sums[bucket] = nil
  if sum then
    add('used ' .. bucket, sum == 0 and '0' or string.format('%.0f', sum))
  end
end

local function add_used(bucket, amount)
  if not is_short(amount) then
    write_sum(bucket)
    return add('used ' .. bucket, amount)
  end
  sums[bucket] = (sums[bucket] or 0) + amount
  if math.abs(sums[bucket]) > 1e15 then
    write_sum(bucket)
  end
end

local function write_sums()
  for bucket in pairs(sums) do
    write_sum(bucket)
  end
end

-- Takes what a holder holds out of the sums; whether it held anything.
local function take_out(holder)
  local amounts = amounts_of(holder)
  for i = 1, amounts and #amounts or 0, 2 do
    add_used(amounts[i], minus(amounts[i + 1]))
  end
  return amounts
end

local function drop(holder)
  if take_out(holder) then
    redis.call('HDEL', purse, 'hold ' .. holder)
    redis.call('ZREM', ends, holder)
  end
end

local function fact_of(bucket)
  local found = redis.call('HMGET', purse, 'spent ' .. bucket, 'version ' .. bucket, 'start ' .. bucket, 'used ' .. bucket)
  return { spent = found[1], version = found[2], start = found[3], used = found[4] }
end

local function is_over(fact, want)
  return want.oldest and fact.spent and (not fact.start or tonumber(fact.start) < tonumber(want.oldest))
end

-- What is not short is reckoned in a field of its own, because only Redis adds. What comes back is rounded, but its sign is
-- right and zero is zero.
local function has_room(want, fact, own)
  local used, back = fact.used or '0', is_over(fact, want) and fact.spent or '0'
  if is_short(want.limit) and is_short(used) and is_short(back) and is_short(own) and is_short(want.amount) then
    return want.limit - used + back + own - want.amount >= 0
  end
  redis.call('HSET', purse, 'left', want.limit)
  add('left', minus(used))
  add('left', back)
  add('left', own)
  local left = add('left', minus(want.amount))
  redis.call('HDEL', purse, 'left')
  return left >= 0
end

local function set_fact(bucket, known, spent, version, start)
  add_used(bucket, minus(known.spent or '0'))
  add_used(bucket, spent)
  redis.call('HSET', purse, 'spent ' .. bucket, spent, 'version ' .. bucket, version)
  if start then
    redis.call('HSET', purse, 'start ' .. bucket, start)
  else
    redis.call('HDEL', purse, 'start ' .. bucket)
  end
end

-- Versions are 0 or more, so the longer one is larger.
local function is_news(version, known)
  return #version > #known or (#version == #known and version > known)
end

-- What a server has from before it was started is as old as its disk: it is read anew from the database, and all who hold
-- something of it have come back with that.
local server = epoch and epoch:match('^%S-%.(%x+) ')
local wrote = server and redis.call('HGET', purse, 'server')
if wrote and wrote ~= server then
  redis.call('DEL', purse, ends)
  wrote = false
end

for _, holder in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now_text)) do
  drop(holder)
end
write_sums()

local answer = { 'held' }
local wants = {}
for i = 1, tonumber(next_arg()) do
  wants[i] = {
    bucket = next_arg(), amount = next_arg(), limit = given(next_arg()), start = given(next_arg()), oldest = given(next_arg())
  }
end
if #wants > 0 then
  if is_settling() then
    return { 'later' }
  end
  local facts, own, unknown = {}, {}, { 'unknown' }
  for i, want in ipairs(wants) do
    facts[i] = fact_of(want.bucket)
    if want.limit and not facts[i].spent then
      unknown[#unknown + 1] = want.bucket
    end
  end
  if #unknown > 1 then
    return unknown
  end
  -- No facts, and one hold.
  local before = amounts_of(ARGV[at + 3]) or {}
  for i = 1, #before, 2 do
    own[before[i]] = before[i + 1]
  end
  for i, want in ipairs(wants) do
    if want.limit and not has_room(want, facts[i], own[want.bucket] or '0') then
      return { 'full', want.bucket }
    end
  end
  for i, want in ipairs(wants) do
    local fact = facts[i]
    if is_over(fact, want) then
      set_fact(want.bucket, fact, '0', fact.version, want.start)
      fact = fact_of(want.bucket)
    end
    for _, part in ipairs({ fact.spent, fact.version, fact.start }) do
      answer[#answer + 1] = part
    end
  end
end

for _ = 1, tonumber(next_arg()) do
  local bucket, spent, version, start = next_arg(), next_arg(), next_arg(), given(next_arg())
  local known = fact_of(bucket)
  -- When a silence is mended nothing becomes known: what was true a while ago must not pass for what is.
  if known.version and is_news(version, known.version) or not known.version and not mend then
    set_fact(bucket, known, spent, version, start)
  end
end
local holds = at
at = at + 1 + 3 * tonumber(ARGV[at + 1])
for _ = 1, tonumber(next_arg()) do
  drop(next_arg())
end
at = holds
local longest = 0
for _ = 1, tonumber(next_arg()) do
  local holder, ttl, kept = next_arg(), tonumber(next_arg()), next_arg()
  local amounts = cjson.decode(kept)
  take_out(holder)
  for i = 1, #amounts, 2 do
    add_used(amounts[i], amounts[i + 1])
  end
  redis.call('HSET', purse, 'hold ' .. holder, kept)
  redis.call('ZADD', ends, now + ttl, holder)
  longest = math.max(longest, ttl)
end
write_sums()

if server and not wrote and redis.call('EXISTS', purse) == 1 then
  redis.call('HSET', purse, 'server', server)
end

-- Never less than it has; a minute less than `keep` is as good, and most touches then have nothing to prolong.
local left, ends_left = redis.call('PTTL', purse), redis.call('PTTL', ends)
local least = ends_left == -2 and left or math.min(left, ends_left)
if least < longest or least < keep - 60000 then
  keep = math.max(keep, longest, left)
  redis.call('PEXPIRE', purse, keep)
  redis.call('PEXPIRE', ends, keep)
end
return answer
