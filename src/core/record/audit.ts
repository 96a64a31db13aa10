// The audit: whether the ledger, the balances, the usage rows and what keys have used tell the same story.
import { type RawBuilder, sql, type Transaction } from 'kysely'
import type { Database } from '../../db/connect.ts'
import type { Tables } from '../../db/schema.ts'
import type { Nano } from '../../lib/money.ts'

/**
 * What is compared:
 * - `chain`: each entry's balance is the one before it and its amount; what subscriptions pay leaves it as it is
 * - `sign`: top-ups give, requests take
 * - `balance`: a user's balance is that of the last entry
 * - `month`: entries of a user's month sum up to what its usage rows were charged, each way of billing for itself
 * - `entry`: each charged usage row has its entry, with the same payer and amount, and each such entry its usage row
 * - `key`: what a key has used is what it carried over from the one it was rotated from, and its entries
 */
export type Check = 'chain' | 'sign' | 'balance' | 'month' | 'entry' | 'key'

export interface Difference {
  user: string
  check: Check
  /** what differs: an entry, a month, a key */
  of: string
  /** null: it should not be there */
  expected: Nano | null
  /** null: it is missing */
  found: Nano | null
  difference: Nano
}

export interface Audit {
  users: number
  entries: number
  /** + of openings, top-ups and adjustments, - of those that took away */
  given: Nano
  /** what requests took of balances */
  charged: Nano
  /** what requests took of subscriptions */
  subscriptions: Nano
  /** of all users together */
  balance: Nano
  /** at most `shownOfEach` of each check */
  differences: Difference[]
}

export const shownOfEach = 1000

/**
 * Reads everything as of one moment, for one user (by id) or all. Usage months that retention has dropped are not compared,
 * nor usage from before there was a ledger.
 */
export async function audit(db: Database['db'], user?: number): Promise<Audit> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async tx => {
      const sums = await summary(tx, user)
      const differences: Difference[] = []
      for (const [check, rows] of checks(user)) differences.push(...(await differencesOf(tx, check, rows)))
      return { ...sums, differences }
    })
}

type Tx = Transaction<Tables>
type Sql = RawBuilder<unknown>

const only = (column: Sql, user: number | undefined): Sql => (user === undefined ? sql`true` : sql`${column} = ${user}`)

async function summary(tx: Tx, user: number | undefined): Promise<Omit<Audit, 'differences'>> {
  const { rows } = await sql<Omit<Audit, 'differences'>>`
    select (select count(*) from balances where ${only(sql`user_id`, user)})::float8 as users,
      (select coalesce(sum(balance), 0) from balances where ${only(sql`user_id`, user)})::bigint as balance,
      count(*)::float8 as entries,
      coalesce(sum(amount) filter (where kind in ('opening', 'topup', 'adjustment')), 0)::bigint as given,
      coalesce(-sum(amount) filter (where kind = 'charge'), 0)::bigint as charged,
      coalesce(-sum(amount) filter (where kind = 'subscription'), 0)::bigint as subscriptions
    from ledger where ${only(sql`user_id`, user)}`.execute(tx)
  return rows[0]!
}

async function differencesOf(tx: Tx, check: Check, rows: Sql): Promise<Difference[]> {
  const { rows: found } = await sql<Omit<Difference, 'check' | 'difference'>>`
    select coalesce(users.name, d.user_id::text) as user, d.of, d.expected::bigint, d.found::bigint
    from (${rows}) d left join users on users.id = d.user_id
    where d.expected is distinct from d.found order by d.user_id, d.of limit ${shownOfEach}`.execute(tx)
  return found.map(({ user, of, expected, found }) => {
    return { user, check, of, expected, found, difference: (found ?? 0n) - (expected ?? 0n) }
  })
}

// A usage row without an entry is no fault when it is older than the ledger itself.
const began = sql`(select applied_at from schema_migrations where name = '004_money.sql')`
const monthOf = (at: Sql): Sql => sql`date_trunc('month', ${at} at time zone 'UTC')`
// Retention drops usage, never the ledger: what it has dropped of some months, an operator may have of others.
const since = sql`coalesce((select since from usage_kept where name = 'usage'), '-infinity')`
const kept = sql`at >= ${since} and ${monthOf(sql`at`)} in (
  select to_date(right(c.relname, 6), 'YYYYMM')::timestamp from pg_inherits i join pg_class c on c.oid = i.inhrelid
  where i.inhparent = 'usage'::regclass and c.relname ~ '_[0-9]{6}$')`
const kindOf = sql`case u.billing when 'subscription' then 'subscription' else 'charge' end`

/** Each gives (user_id, of, expected, found); where the two differ is a difference. */
function checks(user: number | undefined): [Check, Sql][] {
  const mine = (alias: string) => only(sql.ref(`${alias}.user_id`), user)
  return [
    [
      'chain',
      sql`select user_id, 'entry ' || entry_id as of, balance as found,
        lag(balance, 1, 0::bigint) over (partition by user_id order by seq)
          + case kind when 'subscription' then 0 else amount end as expected
        from ledger l where ${mine('l')}`,
    ],
    [
      'sign',
      sql`select user_id, 'entry ' || entry_id as of, amount as found, null::bigint as expected
        from ledger l where ${mine('l')} and (kind in ('charge', 'subscription') and amount >= 0 or kind = 'topup' and amount <= 0)`,
    ],
    [
      'balance',
      sql`select user_id, 'balance' as of, coalesce(last.balance, 0) as expected, b.balance as found
        from (select * from balances b where ${mine('b')}) b
        full join (select distinct on (user_id) user_id, balance from ledger l where ${mine('l')} order by user_id, seq desc) last
          using (user_id)`,
    ],
    [
      'month',
      sql`select user_id, to_char(month, 'YYYY-MM ') || kind as of, coalesce(u.charged, 0) as expected, coalesce(l.charged, 0) as found
        from (select user_id, ${monthOf(sql`at`)} as month, kind, -sum(amount) as charged from ledger l
          where ${mine('l')} and kind in ('charge', 'subscription') and at >= ${began} and ${kept} group by 1, 2, 3) l
        full join (select user_id, ${monthOf(sql`at`)} as month, ${kindOf} as kind, sum(charged) as charged from usage u
          where ${mine('u')} and at >= ${began} and at >= ${since} group by 1, 2, 3) u
          using (user_id, month, kind)`,
    ],
    [
      'entry',
      sql`select coalesce(u.user_id, l.user_id) as user_id, 'request ' || coalesce(u.request_id, l.entry_id) as of,
          -u.charged as expected,
          case when (l.user_id, l.key_id, l.kind) is not distinct from (u.user_id, u.key_id, ${kindOf}) or u.request_id is null
            then l.amount end as found
        from (select * from ledger l where kind in ('charge', 'subscription') and ${mine('l')} and ${kept}) l
        full join (select * from usage u where ${mine('u')} and at >= ${since}) u on u.request_id = l.entry_id and u.at = l.at
        where l.entry_id is not null or u.charged <> 0 and u.at >= ${began}`,
    ],
    [
      'key',
      sql`select k.user_id, 'key ' || k.name || ' (' || k.id || ')' as of, coalesce(s.used, 0) as found,
          coalesce(s.carried, 0) + coalesce(l.charged, 0) as expected
        from (select * from api_keys k where ${mine('k')}) k left join key_usage s on s.key_id = k.id
        left join (select key_id, -sum(amount) as charged from ledger l
          where kind in ('charge', 'subscription') and ${mine('l')} group by 1) l on l.key_id = k.id`,
    ],
  ]
}
