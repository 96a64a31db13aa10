// All or nothing, whether the caller has a transaction already or not.
import type { Transaction } from 'kysely'
import type { Db } from './connect.ts'
import type { Tables } from './schema.ts'

/** Runs `work` in the transaction that `db` is, else in one of its own. */
export function atomic<T>(db: Db, work: (tx: Transaction<Tables>) => Promise<T>): Promise<T> {
  return db.isTransaction ? work(db as Transaction<Tables>) : db.transaction().execute(work)
}
