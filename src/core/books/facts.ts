// Facts: what Postgres says is spent, asked for all users or for some.
import { type RawBuilder, sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import { epochPart } from '../../db/epoch.ts'
import type { Fact } from '../../store/store.ts'
import { balanceFact, quotaFact, type SubscriptionUsageRow, windowFacts } from './purse.ts'

const epoch = sql.raw(epochPart)

/** What Postgres says, by user: of these users, or of all. */
export async function loadFacts(db: Db, users?: readonly number[]): Promise<Map<number, Fact[]>> {
  const only = (column: RawBuilder<unknown>) => (users ? sql`${column} = any(${[...users]})` : sql`true`)
  const [balances, keys, subscriptions] = await Promise.all([
    sql<{ user_id: number; balance: bigint; version: bigint }>`
      select user_id, balance, version + ${epoch} as version from balances where ${only(sql`user_id`)}`.execute(db),
    sql<{ user_id: number; key_id: number; used: bigint; version: bigint }>`
      select k.user_id, k.id as key_id, coalesce(u.used, 0) as used, coalesce(u.version, 0) + ${epoch} as version
      from api_keys k left join key_usage u on u.key_id = k.id where k.status = 'active' and ${only(sql`k.user_id`)}`.execute(
      db,
    ),
    sql<SubscriptionUsageRow & { user_id: number }>`
      select s.user_id, u.*, ${epoch} as epoch from subscriptions s join subscription_usage u on u.subscription_id = s.id
      where s.status = 'active' and ${only(sql`s.user_id`)}`.execute(db),
  ])
  const facts = new Map<number, Fact[]>((users ?? []).map(user => [user, []]))
  // In place: of a user with tens of thousands of keys a copy for each of them would hold up the start for seconds.
  const add = (user: number, ...more: Fact[]) => {
    const known = facts.get(user)
    if (known) known.push(...more)
    else facts.set(user, more)
  }
  for (const row of balances.rows) add(row.user_id, balanceFact(row))
  for (const row of keys.rows) add(row.user_id, quotaFact(row))
  for (const row of subscriptions.rows) add(row.user_id, ...windowFacts(row))
  return facts
}
