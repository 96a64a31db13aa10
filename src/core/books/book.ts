// Book: a batch of spool lines becomes usage rows, what they take of balances, subscriptions and quotas, and ledger entries, in one transaction.
import { assertWhole, epochPart, lacking } from '../../db/epoch.ts'
import { arrayOf, copyRow, isElsewhere, type Session } from '../../db/session.ts'
import type { Fact } from '../../store/store.ts'
import { rowColumns } from '../usage/columns.ts'
import { additionsOf, addSums, type Whereabouts } from '../usage/rollup.ts'
import type { UsageLine } from './line.ts'
import { type Amount, balanceFact, quotaFact, type SubscriptionUsageRow, takenBy, windowFacts } from './purse.ts'
import { runs, windowNames, windowsAt } from './window.ts'

/** What a batch came to: sums, so that it is cheap to tell another thread. */
export interface Booked {
  /** what the lines take, also those that were booked before, by user and bucket */
  taken: Map<number, Amount[]>
  /** what Postgres says now, by user, of all that the lines touch */
  facts: Map<number, Fact[]>
}

/**
 * Books lines, each once however often it is sent: only those whose usage row is new move money. Subscription windows are
 * those of the moment a request was settled, in `timezone`. Rows are locked in the order of their ids, so that two processes
 * cannot wait for each other.
 * @param made the partitions that are known to be there; remembers more of them
 */
export async function book(
  session: Session,
  lines: readonly UsageLine[],
  timezone: string,
  made: Set<string> = new Set(),
): Promise<Booked> {
  if (lines.length === 0) return { taken: new Map(), facts: new Map() }
  const once = (allNew: boolean) => bookOnce(session, lines, timezone, made, allNew)
  // Copying is cheaper by half, but takes no line that was booked before, or that is in it twice.
  const either = async () => {
    if (!session.copy) return once(false)
    return once(true).catch(error => {
      if (!isBookedBefore(error)) throw error
      return once(false)
    })
  }
  return either().catch(error => {
    if (isElsewhere(error)) return either()
    if (!isWithoutPartition(error) || made.size === 0) throw error
    // Retention dropped one that was remembered.
    made.clear()
    return either()
  })
}

// Postgres thinks plans for so few rows as it sees would be worth their making each time: they are not. For the transaction alone,
// since behind a pooler the connection is somebody else's after it.
const begin = 'begin; set local plan_cache_mode = force_generic_plan'

async function bookOnce(
  session: Session,
  lines: readonly UsageLine[],
  timezone: string,
  made: Set<string>,
  allNew: boolean,
): Promise<Booked> {
  await session.run(begin)
  try {
    const making = new Set<string>()
    const have = (wanted: Whereabouts[]) => makePartitions(session, wanted, made, making)
    for (const at of firstOfEachMonth(lines))
      await have([
        { table: 'usage', at, width: 'month' },
        { table: 'ledger', at, width: 'month' },
      ])
    const fresh = allNew ? await copyRows(session, lines) : await insertRows(session, lines)
    const facts = new Map<number, Fact[]>()
    const learn = (user: number, more: Fact[]) => {
      const known = facts.get(user)
      if (known) known.push(...more)
      else facts.set(user, more)
    }
    const held = await lockBalances(session, lines)
    await bookSubscriptions(session, lines, fresh, timezone, learn)
    await bookMoney(session, lines, fresh, held, learn)
    if (fresh.length > 0) {
      const { partitions, values } = additionsOf(fresh)
      await have(partitions)
      await session.run(addSums, values)
    }
    await session.run('commit')
    for (const partition of making) made.add(partition)
    return { taken: takenByAll(lines), facts }
  } catch (error) {
    await session.run('rollback').catch(() => {})
    throw error
  }
}

const isBookedBefore = (error: unknown): boolean => {
  const { code, table } = error as { code?: unknown; table?: unknown }
  return code === '23505' && /^usage_\d+$/.test(String(table))
}

/** A row for which there is no partition: as an error it differs from a broken constraint in that it names none. */
export function isWithoutPartition(error: unknown): boolean {
  const { code, constraint } = error as { code?: unknown; constraint?: unknown }
  return code === '23514' && constraint === undefined
}

/** What can be known to be there is not asked for again: it takes Postgres as long as a dozen rows. */
async function makePartitions(
  session: Session,
  wanted: Whereabouts[],
  made: Set<string>,
  making: Set<string>,
): Promise<void> {
  const missing = new Map<string, Whereabouts>()
  for (const one of wanted) {
    const name = `${one.table} ${one.at.slice(0, one.width === 'day' ? 10 : 7)}`
    if (!made.has(name) && !making.has(name)) missing.set(name, one)
  }
  if (missing.size === 0) return
  const all = [...missing.values()]
  await session.run(makeThem, [
    arrayOf(all.map(one => one.table)),
    arrayOf(
      all.map(one => one.at),
      true,
    ),
    arrayOf(all.map(one => one.width)),
  ])
  for (const name of missing.keys()) making.add(name)
}

const makeThem = `select time_partition(parent, at, width)
  from unnest($1::text[], $2::timestamptz[], $3::text[]) as p(parent, at, width)`

type Column = keyof typeof rowColumns
const columns = Object.keys(rowColumns) as Column[]
// What a client or an upstream may have written needs quotes in an array.
const quoted = columns.map(column => !/^(integer|smallint|boolean)$/.test(rowColumns[column]))
const insertUsage = `with new as (
    insert into usage (${columns.join(', ')})
      select * from unnest(${columns.map((column, i) => `$${i + 1}::${rowColumns[column]}[]`).join(', ')})
      on conflict do nothing returning request_id)
  select count(*)::integer as fresh, case when count(*) < $${columns.length + 1}::integer then array_agg(request_id::text) end as ids from new`

const copyUsage = `copy usage (${columns.join(', ')}) from stdin`

async function copyRows(session: Session, lines: readonly UsageLine[]): Promise<readonly UsageLine[]> {
  let rows = ''
  for (const line of lines) rows += copyRow(line, columns)
  await session.copy!(copyUsage, rows)
  return lines
}

/** @returns the lines that were new */
async function insertRows(session: Session, lines: readonly UsageLine[]): Promise<readonly UsageLine[]> {
  const arrays = columns.map((column, i) =>
    arrayOf(
      lines.map(line => line[column]),
      quoted[i],
    ),
  )
  const { rows } = await session.run<{ fresh: number; ids: string[] | null }>(insertUsage, [
    ...arrays,
    `${lines.length}`,
  ])
  const { fresh, ids } = rows[0]!
  if (fresh === lines.length) return lines
  const left = new Set(ids)
  return lines.filter(line => left.delete(line.request_id))
}

interface BalanceRow {
  user_id: number
  balance: bigint
  version: bigint
}

type Learn = (user: number, facts: Fact[]) => void

async function lockBalances(session: Session, lines: readonly UsageLine[]): Promise<BalanceRow[]> {
  const { rows } = await session.run<BalanceRow & { lacking: string | null }>(
    `select user_id, balance, version + ${epochPart} as version, ${lacking} as lacking from (select set_config('gw.booking', 'on', true)) booking, balances
      where user_id = any($1::integer[]) order by user_id for update of balances`,
    [arrayOf(distinct(lines.map(line => line.user_id)))],
  )
  // Where nobody has a balance, all of them may be yet to come.
  const { lacking: what } =
    rows[0] ?? (await session.run<{ lacking: string | null }>(`select ${lacking} as lacking`)).rows[0]!
  assertWhole(what)
  return rows
}

// The order of the ledger's entries is the order in which they moved the balance. Arrays are read by their index: unnest
// would write a temporary store for each.
const moveMoney = `with entries as (
    insert into ledger (entry_id, at, user_id, kind, amount, balance, key_id, subscription_id)
      select ($2::uuid[])[i], ($3::timestamptz[])[i], ($4::integer[])[i], case when ($5::boolean[])[i] then 'charge' else 'subscription' end,
        ($6::bigint[])[i], ($7::bigint[])[i], ($8::integer[])[i], nullif(($9::integer[])[i], 0)
      from generate_series(1, $1::integer) as i),
  paid as (
    update balances b set balance = n.balance, updated_at = now()
      from (select ($11::integer[])[i] as user_id, ($12::bigint[])[i] as balance from generate_series(1, $10::integer) as i) n
      where b.user_id = n.user_id returning b.user_id, b.balance, b.version),
  used as (
    insert into key_usage (key_id, used) select ($14::integer[])[i], ($15::bigint[])[i] from generate_series(1, $13::integer) as i
      on conflict (key_id) do update set used = key_usage.used + excluded.used, updated_at = now()
      returning key_id, used, version)
  select true as of_user, user_id as id, balance as amount, version + ${epochPart} as version from paid
    union all select false, key_id, used, version + ${epochPart} from used`

/** Entries in the ledger, the balances after them, and what keys have used. */
async function bookMoney(
  session: Session,
  lines: readonly UsageLine[],
  fresh: readonly UsageLine[],
  held: readonly BalanceRow[],
  learn: Learn,
): Promise<void> {
  const now = new Map(held.map(row => [row.user_id, row]))
  const balances = new Map(held.map(row => [row.user_id, row.balance]))
  const owner = new Map(lines.map(line => [line.key_id, line.user_id]))
  const used = new Map(distinct([...owner.keys()]).map(key => [key, 0n]))
  const paying = new Set<number>()
  const entries: UsageLine[] = []
  const amounts: bigint[] = []
  const after: bigint[] = []
  for (const line of fresh) {
    const charged = BigInt(line.charged)
    if (charged === 0n) continue
    const { user_id, key_id } = line
    const before = balances.get(user_id)
    // Not a broken database, but a line whose payer is gone for good; the spool sets it aside.
    if (before === undefined) throw Object.assign(new Error(`user ${user_id} has no balance`), { code: '23503' })
    const balance = line.billing === 'balance' ? before - charged : before
    if (line.billing === 'balance') paying.add(user_id)
    balances.set(user_id, balance)
    used.set(key_id, used.get(key_id)! + charged)
    entries.push(line)
    amounts.push(-charged)
    after.push(balance)
  }
  const of = <T>(read: (line: UsageLine) => T) => arrayOf(entries.map(read))
  const { rows } = await session.run<{ of_user: boolean; id: number; amount: bigint; version: bigint }>(moveMoney, [
    `${entries.length}`,
    of(line => line.request_id),
    arrayOf(
      entries.map(line => line.at),
      true,
    ),
    of(line => line.user_id),
    of(line => line.billing === 'balance'),
    arrayOf(amounts),
    arrayOf(after),
    of(line => line.key_id),
    of(line => line.subscription_id ?? 0),
    `${paying.size}`,
    arrayOf([...paying]),
    arrayOf([...paying].map(user => balances.get(user))),
    `${used.size}`,
    arrayOf([...used.keys()]),
    arrayOf([...used.values()]),
  ])
  for (const { of_user, id, amount, version } of rows) {
    if (of_user) now.set(id, { user_id: id, balance: amount, version })
    else learn(owner.get(id)!, [quotaFact({ key_id: id, used: amount, version })])
  }
  for (const row of now.values()) learn(row.user_id, [balanceFact(row)])
}

async function bookSubscriptions(
  session: Session,
  lines: readonly UsageLine[],
  fresh: readonly UsageLine[],
  timezone: string,
  learn: Learn,
): Promise<void> {
  const owner = new Map<number, number>()
  for (const { subscription_id, user_id } of lines) if (subscription_id !== null) owner.set(subscription_id, user_id)
  if (owner.size === 0) return
  const ids = arrayOf(distinct([...owner.keys()]))
  await session.run(
    'insert into subscription_usage (subscription_id) select unnest($1::integer[]) on conflict do nothing',
    [ids],
  )
  const { rows } = await session.run<SubscriptionUsageRow>(
    `select *, ${epochPart} as epoch from subscription_usage where subscription_id = any($1::integer[]) order by subscription_id for update`,
    [ids],
  )
  const bySubscription = new Map(rows.map(row => [row.subscription_id, row]))
  const changed = new Set<SubscriptionUsageRow>()
  for (const line of fresh) {
    const row = line.subscription_id === null ? undefined : bySubscription.get(line.subscription_id)
    const charged = BigInt(line.charged)
    if (!row || charged === 0n) continue
    use(row, charged, Date.parse(line.at) + line.duration_ms, timezone)
    changed.add(row)
  }
  if (changed.size > 0) {
    const all = [...changed]
    const windows = windowNames.flatMap(span => [
      arrayOf(all.map(row => row[`${span}_start`]?.toISOString())),
      arrayOf(all.map(row => row[`${span}_used`])),
    ])
    const written = await session.run<SubscriptionUsageRow>(useWindows, [
      arrayOf(all.map(row => row.subscription_id)),
      ...windows,
    ])
    for (const row of written.rows) bySubscription.set(row.subscription_id, row)
  }
  for (const row of bySubscription.values()) learn(owner.get(row.subscription_id)!, windowFacts(row))
}

const useWindows = `update subscription_usage u set ${windowNames.map(span => `${span}_start = n.${span}_start, ${span}_used = n.${span}_used`).join(', ')}, updated_at = now()
  from unnest($1::integer[], ${windowNames.map((_, i) => `$${2 * i + 2}::timestamptz[], $${2 * i + 3}::bigint[]`).join(', ')})
    as n(subscription_id, ${windowNames.map(span => `${span}_start, ${span}_used`).join(', ')})
  where u.subscription_id = n.subscription_id returning u.*, ${epochPart} as epoch`

/** Counts `charged` in the windows that run at `settledAt`; a window that ran before and has begun anew since is left alone. */
function use(row: SubscriptionUsageRow, charged: bigint, settledAt: number, timezone: string): void {
  const windows = windowsAt(settledAt, timezone)
  const { start } = windows
  for (const span of windowNames) {
    const began = row[`${span}_start`]?.getTime()
    if (began !== undefined && began > start) continue
    if (runs(began, span, windows)) row[`${span}_used`] += charged
    else {
      row[`${span}_start`] = new Date(start)
      row[`${span}_used`] = charged
    }
  }
}

function takenByAll(lines: readonly UsageLine[]): Map<number, Amount[]> {
  const users = new Map<number, Map<string, bigint>>()
  for (const line of lines) {
    let sums = users.get(line.user_id)
    if (sums === undefined) users.set(line.user_id, (sums = new Map()))
    for (const { bucket, amount } of takenBy(line)) sums.set(bucket, (sums.get(bucket) ?? 0n) + amount)
  }
  return new Map([...users].map(([user, sums]) => [user, [...sums].map(([bucket, amount]) => ({ bucket, amount }))]))
}

const distinct = (ids: number[]): number[] => [...new Set(ids)].sort((a, b) => a - b)

function firstOfEachMonth(lines: readonly UsageLine[]): Iterable<string> {
  const months = new Map<string, string>()
  for (const { at } of lines) months.set(at.slice(0, 7), at)
  return months.values()
}
