// The stored health of accounts: read by every process, written by the one that was refused, cleared by operators.
import { type RawBuilder, type Selectable, sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { AccountHealthTable } from '../../db/schema.ts'
import { among } from './named.ts'

/** A row of `account_health`. `updated_at` is when it was written, by the clock of who wrote it. */
export type HealthRow = Selectable<AccountHealthTable>

/**
 * What is not over by more than an hour, of all accounts or these; older rows are only history. Nothing lasts longer than it did
 * when it was written, also where the clock was set back since.
 */
export function listHealth(db: Db, now: Date, accounts?: readonly number[]): Promise<HealthRow[]> {
  return db
    .selectFrom('account_health')
    .select(['account_id', 'model', 'class', 'reason', 'evidence', 'strikes', 'updated_at'])
    .select([before(sql`until`, now).as('until'), before(sql`since`, now).as('since')])
    .where('until', '>', new Date(now.getTime() - 3_600_000))
    .$if(accounts !== undefined, query => query.where(among('account_id', accounts!)))
    .execute()
}

/** When it is over, by a clock that says `now`; in a query on `account_health`. */
export const healthUntil = (now: Date) => before(sql`until`, now)

// Written in what is the future by now: the clock was set back since, and by so much.
const before = (at: RawBuilder<unknown>, now: Date): RawBuilder<Date> =>
  sql<Date>`(${at} - greatest(date_trunc('milliseconds', updated_at) - ${now}::timestamptz, interval '0'))`

/** Stores what is known; of two processes the later time stands, unless it was written before the clock was set back. */
export async function saveHealth(db: Db, row: HealthRow): Promise<void> {
  await db
    .insertInto('account_health')
    .values(row)
    .onConflict(c =>
      c
        .columns(['account_id', 'model'])
        .doUpdateSet(eb => ({
          class: eb.ref('excluded.class'),
          reason: eb.ref('excluded.reason'),
          until: eb.ref('excluded.until'),
          evidence: eb.ref('excluded.evidence'),
          strikes: eb.ref('excluded.strikes'),
          since: eb.ref('excluded.since'),
          updated_at: eb.ref('excluded.updated_at'),
        }))
        .where(
          sql<boolean>`excluded.until >= account_health.until or excluded.updated_at < account_health.updated_at - interval '1 minute'`,
        ),
    )
    .execute()
}

/** Forgets one ailment, or all, of an account or of several. @returns how many there were */
export async function clearHealth(db: Db, account: number | readonly number[], model?: string): Promise<number> {
  const query = db.deleteFrom('account_health').where(among('account_id', [account].flat()))
  const result = await (model === undefined ? query : query.where('model', '=', model)).executeTakeFirst()
  return Number(result.numDeletedRows)
}
