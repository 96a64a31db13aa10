// The stored health of accounts: read by every process, written by the one that was refused, cleared by operators.
import { type Selectable, sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { AccountHealthTable } from '../../db/schema.ts'
import { among } from './named.ts'

/** A row of `account_health`. `updated_at` is when it was written, by the clock of who wrote it. */
export type HealthRow = Selectable<AccountHealthTable>

/**
 * What is not over by more than an hour, of all accounts or these; older rows are only history. Nothing lasts longer than it did
 * when it was written, also where the clock was set back since.
 */
export async function listHealth(db: Db, now: Date, accounts?: readonly number[]): Promise<HealthRow[]> {
  const rows = await db
    .selectFrom('account_health')
    .select(['account_id', 'model', 'class', 'reason', 'until', 'evidence', 'strikes', 'since', 'updated_at'])
    .where('until', '>', new Date(now.getTime() - 3_600_000))
    .$if(accounts !== undefined, query => query.where(among('account_id', accounts!)))
    .execute()
  return rows.map(row => {
    const back = row.updated_at.getTime() - now.getTime()
    return back <= 0 ? row : { ...row, until: earlier(row.until, back), since: earlier(row.since, back) }
  })
}

const earlier = (at: Date, byMs: number) => new Date(at.getTime() - byMs)

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
