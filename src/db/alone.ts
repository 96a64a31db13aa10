// Work that one process at a time may do, of all that share a Postgres.
import { type Kysely, sql } from 'kysely'
import type { Tables } from './schema.ts'

/**
 * Does the work unless another session is at it; `lock` is the number of an advisory lock (all begin with 0x6777, "gw").
 * @returns undefined when another one is
 */
export function alone<T>(
  db: Kysely<Tables>,
  lock: number,
  work: (own: Kysely<Tables>) => Promise<T>,
): Promise<T | undefined> {
  // The lock is a transaction's, since one of a session would stay behind with a pooler's connection. It is on a connection of
  // its own: the work has transactions too, and what it commits is seen at once.
  return db.transaction().execute(async lease => {
    const { rows } = await sql<{ mine: boolean }>`select pg_try_advisory_xact_lock(${lock}) as mine`.execute(lease)
    return rows[0]!.mine ? await work(db) : undefined
  })
}
