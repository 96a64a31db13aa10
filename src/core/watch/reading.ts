// One look at the database: all its queries see the same moment, and none may take longer than somebody who watches waits.
import { sql } from 'kysely'
import type { Database, Db } from '../../db/connect.ts'

const LONGEST_MS = 5_000

/** Queries only. A query that takes too long fails with SQLSTATE 57014. */
export function reading<T>(db: Database['db'], work: (db: Db) => Promise<T>): Promise<T> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async tx => {
      // Compiling a query costs more than running it: these are short, however many partitions they name.
      await sql`select set_config('statement_timeout', ${String(LONGEST_MS)}, true), set_config('jit', 'off', true)`.execute(
        tx,
      )
      return work(tx)
    })
}
