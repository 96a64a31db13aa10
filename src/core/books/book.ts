// Books: a batch of spool lines becomes usage rows, what they take of balances, subscriptions and quotas, and ledger entries, in one transaction.
import { sql, type Transaction } from 'kysely'
import type { Database } from '../../db/connect.ts'
import type { Tables } from '../../db/schema.ts'
import type { Fact } from '../../store/store.ts'
import { rollUp } from '../usage/rollup.ts'
import { readLine, type UsageLine } from './line.ts'
import { balanceFact, quotaFact, type SubscriptionUsageRow, windowFacts } from './purse.ts'
import { runs, windowNames, windowsAt } from './window.ts'

export interface Booked {
  /** how many lines were new; the others had been booked before */
  fresh: number
  lines: UsageLine[]
  /** what Postgres says now, by user, of all that the lines touch */
  facts: Map<number, Fact[]>
}

type Tx = Transaction<Tables>

/**
 * Books lines, each once however often it is sent: only those whose usage row is new move money. Subscription windows are
 * those of the moment a request was settled, in `timezone`. Rows are locked in the order of their ids, so that two processes
 * cannot wait for each other.
 */
export async function book(db: Database['db'], texts: readonly string[], timezone: string): Promise<Booked> {
  const lines = texts.map(readLine)
  if (lines.length === 0) return { fresh: 0, lines, facts: new Map() }
  return db.transaction().execute(async tx => {
    await sql`select set_config('gw.booking', 'on', true), month_partition('usage', at), month_partition('ledger', at)
      from unnest(${firstOfEachMonth(lines)}::timestamptz[]) as months(at)`.execute(tx)
    const { rows: inserted } = await sql<{ request_id: string }>`
      insert into usage select * from jsonb_populate_recordset(jsonb_populate_record(null::usage, '{"web_searches": 0}'), ${`[${texts.join(',')}]`}::jsonb)
      on conflict do nothing returning request_id`.execute(tx)
    const ids = new Set(inserted.map(row => row.request_id))
    const fresh = lines.filter(line => ids.delete(line.request_id))
    const facts = new Map<number, Fact[]>()
    const learn = (user: number, more: Fact[]) => facts.set(user, [...(facts.get(user) ?? []), ...more])
    await bookBalances(tx, lines, fresh, learn)
    await bookSubscriptions(tx, lines, fresh, timezone, learn)
    await bookKeys(tx, lines, fresh, learn)
    if (fresh.length > 0) await rollUp(tx, fresh)
    return { fresh: fresh.length, lines, facts }
  })
}

type Learn = (user: number, facts: Fact[]) => void

async function bookBalances(tx: Tx, lines: UsageLine[], fresh: UsageLine[], learn: Learn): Promise<void> {
  const users = distinct(lines.map(line => line.user_id))
  const { rows: held } = await sql<BalanceRow>`
    select user_id, balance, version from balances where user_id = any(${users}) order by user_id for update`.execute(
    tx,
  )
  const balances = new Map(held.map(row => [row.user_id, row.balance]))
  const entries: object[] = []
  const changed = new Set<number>()
  for (const line of fresh) {
    const charged = BigInt(line.charged)
    if (charged === 0n) continue
    const ofBalance = line.billing === 'balance'
    const before = balances.get(line.user_id)
    // Not a broken database, but a line whose payer is gone for good; the spool sets it aside.
    if (before === undefined) throw Object.assign(new Error(`user ${line.user_id} has no balance`), { code: '23503' })
    const balance = ofBalance ? before - charged : before
    balances.set(line.user_id, balance)
    if (ofBalance) changed.add(line.user_id)
    entries.push({
      ord: entries.length,
      entry_id: line.request_id,
      at: line.at,
      user_id: line.user_id,
      kind: ofBalance ? 'charge' : 'subscription',
      amount: String(-charged),
      balance: String(balance),
      key_id: line.key_id,
      subscription_id: line.subscription_id,
    })
  }
  if (entries.length > 0)
    await sql`insert into ledger (entry_id, at, user_id, kind, amount, balance, key_id, subscription_id)
      select entry_id, at, user_id, kind, amount, balance, key_id, subscription_id from jsonb_to_recordset(${JSON.stringify(entries)}::jsonb)
        as e(ord integer, entry_id uuid, at timestamptz, user_id integer, kind text, amount bigint, balance bigint, key_id integer, subscription_id integer)
      order by ord`.execute(tx)
  const now = new Map(held.map(row => [row.user_id, row]))
  if (changed.size > 0) {
    const news = [...changed].map(user => ({ user_id: user, balance: String(balances.get(user)) }))
    const { rows } = await sql<BalanceRow>`
      update balances b set balance = n.balance, updated_at = now()
      from jsonb_to_recordset(${JSON.stringify(news)}::jsonb) as n(user_id integer, balance bigint)
      where b.user_id = n.user_id returning b.user_id, b.balance, b.version`.execute(tx)
    for (const row of rows) now.set(row.user_id, row)
  }
  for (const row of now.values()) learn(row.user_id, [balanceFact(row)])
}

interface BalanceRow {
  user_id: number
  balance: bigint
  version: bigint
}

async function bookSubscriptions(
  tx: Tx,
  lines: UsageLine[],
  fresh: UsageLine[],
  timezone: string,
  learn: Learn,
): Promise<void> {
  const owner = new Map(
    lines.flatMap(line => (line.subscription_id === null ? [] : [[line.subscription_id, line.user_id]])),
  )
  if (owner.size === 0) return
  const ids = distinct([...owner.keys()])
  await sql`insert into subscription_usage (subscription_id) select unnest(${ids}::integer[]) on conflict do nothing`.execute(
    tx,
  )
  const { rows } = await sql<SubscriptionUsageRow>`
    select * from subscription_usage where subscription_id = any(${ids}) order by subscription_id for update`.execute(
    tx,
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
    const news = [...changed].map(row => ({
      ...row,
      ...Object.fromEntries(windowNames.map(s => [`${s}_used`, String(row[`${s}_used`])])),
      version: null,
    }))
    const { rows: written } = await sql<SubscriptionUsageRow>`
      update subscription_usage u set day_start = n.day_start, day_used = n.day_used, week_start = n.week_start, week_used = n.week_used,
        month_start = n.month_start, month_used = n.month_used, updated_at = now()
      from jsonb_populate_recordset(null::subscription_usage, ${JSON.stringify(news)}::jsonb) n
      where u.subscription_id = n.subscription_id returning u.*`.execute(tx)
    for (const row of written) bySubscription.set(row.subscription_id, row)
  }
  for (const row of bySubscription.values()) learn(owner.get(row.subscription_id)!, windowFacts(row))
}

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

async function bookKeys(tx: Tx, lines: UsageLine[], fresh: UsageLine[], learn: Learn): Promise<void> {
  const owner = new Map(lines.map(line => [line.key_id, line.user_id]))
  const sums = new Map([...owner.keys()].sort((a, b) => a - b).map(key => [key, 0n]))
  for (const line of fresh) sums.set(line.key_id, sums.get(line.key_id)! + BigInt(line.charged))
  const more = [...sums].map(([key_id, used]) => ({ key_id, used: String(used) }))
  const { rows } = await sql<{ key_id: number; used: bigint; version: bigint }>`
    insert into key_usage (key_id, used)
      select key_id, used from jsonb_to_recordset(${JSON.stringify(more)}::jsonb) as k(key_id integer, used bigint) order by key_id
    on conflict (key_id) do update set used = key_usage.used + excluded.used, updated_at = now()
    returning key_id, used, version`.execute(tx)
  for (const row of rows) learn(owner.get(row.key_id)!, [quotaFact(row)])
}

const distinct = (ids: number[]): number[] => [...new Set(ids)].sort((a, b) => a - b)

function firstOfEachMonth(lines: UsageLine[]): string[] {
  return [...new Map(lines.map(line => [line.at.slice(0, 7), line.at])).values()]
}
