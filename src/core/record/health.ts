// The stored health of accounts: read by every process, written by the one that was refused, cleared by operators.
import { type Selectable, sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { AccountHealthTable } from '../../db/schema.ts'
import { among } from './named.ts'

/** A row of `account_health`. */
export type HealthRow = Omit<Selectable<AccountHealthTable>, 'updated_at'>

/** What is not over by more than an hour, of all accounts or these; older rows are only history. */
export function listHealth(db: Db, now: Date, accounts?: readonly number[]): Promise<HealthRow[]> {
  return db
    .selectFrom('account_health')
    .select(['account_id', 'model', 'class', 'reason', 'until', 'evidence', 'strikes', 'since'])
    .where('until', '>', new Date(now.getTime() - 3_600_000))
    .$if(accounts !== undefined, query => query.where(among('account_id', accounts!)))
    .execute()
}

/** Stores what is known; of two processes the later time stands. */
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
          updated_at: new Date(),
        }))
        .where(sql<boolean>`excluded.until >= account_health.until`),
    )
    .execute()
}

/** Forgets one ailment, or all, of an account or of several. @returns how many there were */
export async function clearHealth(db: Db, account: number | readonly number[], model?: string): Promise<number> {
  const query = db.deleteFrom('account_health').where(among('account_id', [account].flat()))
  const result = await (model === undefined ? query : query.where('model', '=', model)).executeTakeFirst()
  return Number(result.numDeletedRows)
}
