-- Change what is known and held of a purse; with `wants`, only if there is room for the first of `holds`.
-- KEYS[1] hash: "used B", "spent B", "version B", "start B" of each bucket B, "hold H" of each holder H: [[bucket, amount], ...]
-- KEYS[2] sorted set of holders, scored by expiry (ms)
-- ARGV[1] JSON, amounts and versions as strings: { wants: [{ bucket, amount, limit?, window?: { start, oldest } }],
--   facts: [{ bucket, spent, version, start? }], holds: [{ holder, amounts, ttlMs }], gone: [holder], mend?: true }
-- ARGV[2] how long the purse is kept after this (ms)
-- returns 'held', then spent, version and start of each wanted bucket; or 'full', bucket; or 'unknown', bucket, ...
-- Atomic because a limit is kept only if nobody spends between the look and the write, and because what moves from a
-- hold to a fact must not be missing from both for a moment.
local purse, ends = KEYS[1], KEYS[2]
local change = cjson.decode(ARGV[1])
local keep = tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

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
  return found and cjson.decode(found) or {}
end

local function drop(holder)
  for _, pair in ipairs(amounts_of(holder)) do
    add('used ' .. pair[1], minus(pair[2]))
  end
  redis.call('HDEL', purse, 'hold ' .. holder)
  redis.call('ZREM', ends, holder)
end

local function fact_of(bucket)
  local found = redis.call('HMGET', purse, 'spent ' .. bucket, 'version ' .. bucket, 'start ' .. bucket)
  return { spent = found[1], version = found[2], start = found[3] }
end

local function is_over(fact, window)
  return window and fact.spent and (not fact.start or tonumber(fact.start) < window.oldest)
end

-- In a field of its own, because only Redis adds. What comes back is rounded, but its sign is right and zero is zero.
local function has_room(want, fact, own)
  redis.call('HSET', purse, 'left', want.limit)
  add('left', minus(redis.call('HGET', purse, 'used ' .. want.bucket)))
  if is_over(fact, want.window) then
    add('left', fact.spent)
  end
  add('left', own or '0')
  local left = add('left', minus(want.amount))
  redis.call('HDEL', purse, 'left')
  return left >= 0
end

local function set_fact(bucket, known, spent, version, start)
  add('used ' .. bucket, minus(known.spent or '0'))
  add('used ' .. bucket, spent)
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

for _, holder in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now)) do
  drop(holder)
end

local answer = { 'held' }
if change.wants then
  local facts, own, unknown = {}, {}, { 'unknown' }
  for i, want in ipairs(change.wants) do
    facts[i] = fact_of(want.bucket)
    if want.limit and not facts[i].spent then
      unknown[#unknown + 1] = want.bucket
    end
  end
  if #unknown > 1 then
    return unknown
  end
  for _, pair in ipairs(amounts_of(change.holds[1].holder)) do
    own[pair[1]] = pair[2]
  end
  for i, want in ipairs(change.wants) do
    if want.limit and not has_room(want, facts[i], own[want.bucket]) then
      return { 'full', want.bucket }
    end
  end
  for i, want in ipairs(change.wants) do
    local fact = facts[i]
    if is_over(fact, want.window) then
      set_fact(want.bucket, fact, '0', fact.version, want.window.start)
      fact = fact_of(want.bucket)
    end
    for _, part in ipairs({ fact.spent, fact.version, fact.start }) do
      answer[#answer + 1] = part
    end
  end
end

for _, fact in ipairs(change.facts or {}) do
  local known = fact_of(fact.bucket)
  -- When a silence is mended nothing becomes known: what was true a while ago must not pass for what is.
  if known.version and is_news(fact.version, known.version) or not known.version and not change.mend then
    set_fact(fact.bucket, known, fact.spent, fact.version, fact.start)
  end
end
for _, holder in ipairs(change.gone or {}) do
  drop(holder)
end
for _, hold in ipairs(change.holds or {}) do
  drop(hold.holder)
  for _, pair in ipairs(hold.amounts) do
    add('used ' .. pair[1], pair[2])
  end
  redis.call('HSET', purse, 'hold ' .. hold.holder, cjson.encode(hold.amounts))
  redis.call('ZADD', ends, now + hold.ttlMs, hold.holder)
  keep = math.max(keep, hold.ttlMs)
end

keep = math.max(keep, redis.call('PTTL', purse))
redis.call('PEXPIRE', purse, keep)
redis.call('PEXPIRE', ends, keep)
return answer
