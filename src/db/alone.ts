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
  // One connection for lock and work: a lock of the session goes with it, and a pool of one is enough.
  return db.connection().execute(async own => {
    const { rows } = await sql<{ mine: boolean }>`select pg_try_advisory_lock(${lock}) as mine`.execute(own)
    if (!rows[0]!.mine) return undefined
    try {
      return await work(own)
    } finally {
      await sql`select pg_advisory_unlock(${lock})`.execute(own)
    }
  })
}
