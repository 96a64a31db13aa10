// Retention: partitions that are old enough go as a whole, and those that traffic will need are there before it.
import { type Kysely, sql } from 'kysely'
import type { Tables } from '../../db/schema.ts'

/** How long each is kept, ms; 0 is for ever. */
export interface Keep {
  rows: number
  minutes: number
  hours: number
  days: number
}

export interface Dropped {
  table: string
  /** the partition */
  name: string
  /** the end of what was in it */
  until: Date
}

export interface Retained {
  dropped: Dropped[]
  /** partitions that are due, but in use by something long: the next run tries again */
  busy: string[]
}

// Whoever waits for a lock holds up all who come after it: so no longer than a client would not notice, and rather once more.
const LOCK_TIMEOUT_MS = 30
const PAUSE_MS = 20
const ATTEMPTS = 15
/** Held while it works, so that of several processes one does (db/alone.ts). */
export const RETENTION_LOCK = 0x6777_0002

/** The tables, whose horizon in `usage_kept` each has, and how long one partition is. The ledger is for ever. */
const tables = [
  { table: 'usage', keep: 'rows', name: 'usage', width: 'month' },
  { table: 'usage_minute', keep: 'minutes', name: 'usage_minute', width: 'day' },
  { table: 'usage_hour', keep: 'hours', name: 'usage_hour', width: 'month' },
  { table: 'usage_pool_hour', keep: 'hours', name: 'usage_hour', width: 'month' },
  { table: 'usage_day', keep: 'days', name: 'usage_day', width: 'month' },
  { table: 'usage_pool_day', keep: 'days', name: 'usage_day', width: 'month' },
  { table: 'ledger', keep: undefined, name: undefined, width: 'month' },
] as const

/**
 * Makes the partitions of today, tomorrow and next month, then drops those that lie wholly before what is to be kept.
 * Traffic waits at most tens of milliseconds for it; what cannot be had in that time stays for the next run.
 */
export async function applyRetention(
  db: Kysely<Tables>,
  { now, keep, signal }: { now: number; keep: Keep; signal?: AbortSignal | undefined },
): Promise<Retained> {
  await makeAhead(db, now)
  const retained: Retained = { dropped: [], busy: [] }
  for (const { table, keep: which, name } of tables) {
    if (which === undefined || keep[which] === 0) continue
    const limit = now - keep[which]
    for (const partition of await partitionsOf(db, table)) {
      if (partition.until.getTime() > limit) break
      if (await drop(db, name, partition, signal)) retained.dropped.push({ table, ...partition })
      else {
        retained.busy.push(partition.name)
        break
      }
    }
  }
  return retained
}

async function makeAhead(db: Kysely<Tables>, now: number): Promise<void> {
  for (const { table, width } of tables) {
    const ahead = width === 'day' ? sql`interval '1 day'` : sql`interval '1 month'`
    const at = sql`${new Date(now)}::timestamptz`
    // A statement each: what one makes is committed, and unlocked, before the next.
    await sql`select time_partition(${table}, ${at}, ${width})`.execute(db)
    await sql`select time_partition(${table}, (${at} at time zone 'UTC' + ${ahead}) at time zone 'UTC', ${width})`.execute(
      db,
    )
  }
}

/** Oldest first. */
async function partitionsOf(db: Kysely<Tables>, table: string): Promise<{ name: string; until: Date }[]> {
  const { rows } = await sql<{ name: string; until: Date }>`
    select c.relname as name, substring(pg_get_expr(c.relpartbound, c.oid) from $$TO \\('([^']+)'\\)$$)::timestamptz as until
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = ${table}::regclass order by 2`.execute(db)
  return rows
}

async function drop(
  db: Kysely<Tables>,
  horizon: string,
  partition: { name: string; until: Date },
  signal: AbortSignal | undefined,
): Promise<boolean> {
  for (let attempt = 0; attempt < ATTEMPTS && !signal?.aborted; attempt++) {
    try {
      await db.transaction().execute(async tx => {
        await sql`select set_config('lock_timeout', ${`${LOCK_TIMEOUT_MS}ms`}, true)`.execute(tx)
        // First what asks no lock of the traffic: queries learn that the sums before this are not whole.
        await sql`insert into usage_kept as k (name, since) values (${horizon}, ${partition.until})
          on conflict (name) do update set since = greatest(k.since, excluded.since)`.execute(tx)
        await sql`drop table ${sql.table(partition.name)}`.execute(tx)
      })
      return true
    } catch (error) {
      // lock_not_available, or a deadlock that Postgres resolved.
      if (!/^(55P03|40P01)$/.test(String((error as { code?: unknown }).code))) throw error
    }
    await new Promise(resolve => setTimeout(resolve, PAUSE_MS))
  }
  return false
}
