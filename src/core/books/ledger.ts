// The ledger: every movement of a balance stands in it once, with the balance after it.
import { sql } from 'kysely'
import { atomic } from '../../db/atomic.ts'
import type { Db } from '../../db/connect.ts'
import type { LedgerTable } from '../../db/schema.ts'
import { requestId } from '../../lib/id.ts'
import { formatUsd, type Nano } from '../../lib/money.ts'
import { Refusal } from '../../lib/refusal.ts'

export type EntryKind = LedgerTable['kind']

export interface Movement {
  /** id of the user */
  user: number
  /** + gives, - takes */
  amount: Nano
  /** what requests take is booked by core/book */
  kind: Exclude<EntryKind, 'charge' | 'subscription'>
  note?: string | undefined
  /** who ordered it */
  actor?: string | undefined
  /** the balance is never taken below it; without it there is no such limit */
  floor?: Nano | undefined
}

export interface Moved {
  /** id of the ledger entry */
  entry: string
  before: Nano
  balance: Nano
}

// What a bigint of Postgres holds.
const LARGEST = 2n ** 63n - 1n

/**
 * Moves a balance and writes the entry, in one transaction. Whoever else moves the same balance waits for its end.
 * @throws Refusal `refused` when the balance would fall below `floor`
 */
export function move(db: Db, movement: Movement): Promise<Moved> {
  const { user, amount, kind, note, actor, floor } = movement
  return atomic(db, async tx => {
    const at = new Date()
    // Before the balance is locked: core/book takes the two in this order as well.
    await sql`select month_partition('ledger', ${at})`.execute(tx)
    const { balance: before } = await tx
      .selectFrom('balances')
      .select('balance')
      .where('user_id', '=', user)
      .forUpdate()
      .executeTakeFirstOrThrow()
    const balance = before + amount
    if (floor !== undefined && amount < 0n && balance < floor)
      throw new Refusal('refused', `the balance is ${formatUsd(before)} and may not fall below ${formatUsd(floor)}`)
    if (balance > LARGEST || balance < -LARGEST)
      throw new Refusal('refused', `the balance is ${formatUsd(before)}, and a balance ends at ${formatUsd(LARGEST)}`)
    await tx.updateTable('balances').set({ balance, updated_at: at }).where('user_id', '=', user).execute()
    const entry = requestId(at.getTime())
    const rest = { key_id: null, subscription_id: null, actor: actor ?? null, note: note ?? null }
    await tx
      .insertInto('ledger')
      .values({ entry_id: entry, at, user_id: user, kind, amount, balance, ...rest })
      .execute()
    return { entry, before, balance }
  })
}

export interface Entry {
  entry_id: string
  at: Date
  user: string
  kind: EntryKind
  amount: Nano
  /** the user's balance after it */
  balance: Nano
  /** of what a request took */
  request_id: string | null
  key: string | null
  subscription: number | null
  actor: string | null
  note: string | null
}

export interface EntryFilter {
  /** id of the user */
  user: number
  since?: Date | undefined
  kind?: EntryKind | undefined
  /** only what is older than this entry: where the page before ended */
  before?: string | undefined
  limit: number
}

/** The newest entries first, in the order in which they moved the balance. @throws Refusal `missing` for a wrong `before` */
export async function listEntries(db: Db, filter: EntryFilter): Promise<Entry[]> {
  const { user, since, kind, before, limit } = filter
  let query = db
    .selectFrom('ledger as l')
    .innerJoin('users as u', 'u.id', 'l.user_id')
    .leftJoin('api_keys as k', 'k.id', 'l.key_id')
    .select(['l.entry_id', 'l.at', 'u.name as user', 'l.kind', 'l.amount', 'l.balance'])
    .select(sql<string | null>`case when l.kind in ('charge', 'subscription') then l.entry_id end`.as('request_id'))
    .select(['k.name as key', 'l.subscription_id as subscription', 'l.actor', 'l.note'])
    .where('l.user_id', '=', user)
  if (since) query = query.where('l.at', '>=', since)
  if (kind) query = query.where('l.kind', '=', kind)
  if (before !== undefined) query = query.where('l.seq', '<', await seqOf(db, user, before))
  return query.orderBy('l.seq', 'desc').limit(limit).execute()
}

async function seqOf(db: Db, user: number, entry: string): Promise<bigint> {
  const found = await db
    .selectFrom('ledger')
    .select('seq')
    .where('user_id', '=', user)
    .where(sql`entry_id::text`, '=', entry.toLowerCase())
    .executeTakeFirst()
  if (found) return found.seq
  throw new Refusal('missing', `this user has no entry "${entry}"; gw ledger show --json tells the entry_id of each`)
}
