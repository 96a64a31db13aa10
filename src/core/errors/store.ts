// Rows of the error log into Postgres: one statement for all of them, and a partition a day.
import { sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import { isWithoutPartition } from '../books/book.ts'
import type { ErrorRow } from './row.ts'

// Today's and, around midnight, one more.
const REMEMBERED = 8

/**
 * Stores rows; one that is there already, since only the answer was lost, is not stored again.
 * @param made days whose partition is known to be there; remembers more of them
 */
export async function storeErrors(db: Db, rows: readonly ErrorRow[], made: Set<string>): Promise<void> {
  try {
    await store(db, rows, made)
  } catch (error) {
    if (!isWithoutPartition(error) || made.size === 0) throw error
    // Retention dropped one that was remembered.
    made.clear()
    await store(db, rows, made)
  }
}

async function store(db: Db, rows: readonly ErrorRow[], made: Set<string>): Promise<void> {
  for (const { at } of rows) {
    const day = at.slice(0, 10)
    if (made.has(day)) continue
    await sql`select time_partition('error_log', ${at}::timestamptz, 'day')`.execute(db)
    if (made.size >= REMEMBERED) made.clear()
    made.add(day)
  }
  await sql`insert into error_log select * from json_populate_recordset(null::error_log, ${JSON.stringify(rows)}::json)
    on conflict do nothing`.execute(db)
}

/** Whether Postgres says that it is the rows, which it will say again, and not the way to it. */
export function isOfRows(error: unknown): boolean {
  return /^2[23]/.test(String((error as { code?: unknown }).code)) && !isWithoutPartition(error)
}
