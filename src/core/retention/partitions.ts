// Partitions that are old enough go as a whole, and those that traffic will need are there before it.
import { type Kysely, sql } from 'kysely'
import type { Tables } from '../../db/schema.ts'
import { type Keep, type KeptName, kept, keptNames } from './kept.ts'

export interface Dropped {
  /** as `gw ops retention` lists it */
  name: KeptName
  /** the partition */
  partition: string
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

/** Drops the partitions of one name that lie wholly before what is to be kept. Traffic waits at most tens of milliseconds for it. */
export async function dropOld(
  db: Kysely<Tables>,
  name: KeptName,
  { now, keepMs, signal }: { now: number; keepMs: number; signal?: AbortSignal | undefined },
): Promise<Retained> {
  const retained: Retained = { dropped: [], busy: [] }
  if (keepMs === 0) return retained
  const before = Math.min(now - keepMs, await summedUntil(db, name))
  for (const table of kept[name].tables) {
    for (const { partition, until } of await partitionsOf(db, table)) {
      if (until.getTime() > before) break
      if (await drop(db, name, partition, until, signal)) retained.dropped.push({ name, partition, until })
      else {
        retained.busy.push(partition)
        break
      }
    }
  }
  return retained
}

/** Up to where (Unix ms) their sums are made: a roll-up that stood still for days must find its minutes when it goes on. */
async function summedUntil(db: Kysely<Tables>, name: KeptName): Promise<number> {
  const sums = name === 'watch_minute' ? 'watch_hour' : name === 'watch_hour' ? 'watch_day' : undefined
  if (sums === undefined) return Infinity
  const row = await db.selectFrom('watch_rolled').select('until').where('name', '=', sums).executeTakeFirst()
  return row?.until.getTime() ?? -Infinity
}

/** The same for all that are named; what cannot be had in that time stays for the next run. */
export async function applyRetention(
  db: Kysely<Tables>,
  { now, keep, signal }: { now: number; keep: Partial<Keep>; signal?: AbortSignal | undefined },
): Promise<Retained> {
  await makeAhead(db, now)
  const all: Retained = { dropped: [], busy: [] }
  for (const name of keptNames) {
    const { dropped, busy } = await dropOld(db, name, { now, keepMs: keep[name] ?? 0, signal })
    all.dropped.push(...dropped)
    all.busy.push(...busy)
  }
  return all
}

/** Makes the partitions of today and tomorrow, of this month and the next. */
export async function makeAhead(db: Kysely<Tables>, now: number): Promise<void> {
  const tables = Object.values(kept).flatMap(({ tables, width }) => tables.map(table => ({ table, width })))
  const all = [...tables, { table: 'ledger', width: 'month' }]
  // Most often all are there: one question instead of two dozen.
  const { rows } = await sql<{ table: string; width: string; at: Date }>`
    select "table", width, at from unnest(${all.map(one => one.table)}::text[], ${all.map(one => one.width)}::text[]) as k("table", width),
      lateral (values (${new Date(now)}::timestamptz at time zone 'UTC'), (${new Date(now)}::timestamptz at time zone 'UTC' + ('1 ' || width)::interval)) as local(t),
      lateral (values (t at time zone 'UTC')) as instant(at)
    where to_regclass("table" || '_' || to_char(t, case width when 'day' then 'YYYYMMDD' else 'YYYYMM' end)) is null`.execute(
    db,
  )
  // A statement each: what one makes is committed, and unlocked, before the next.
  for (const { table, width, at } of rows) await sql`select time_partition(${table}, ${at}, ${width})`.execute(db)
}

/** Oldest first. */
async function partitionsOf(db: Kysely<Tables>, table: string): Promise<{ partition: string; until: Date }[]> {
  const { rows } = await sql<{ partition: string; until: Date }>`
    select c.relname as partition, substring(pg_get_expr(c.relpartbound, c.oid) from $$TO \\('([^']+)'\\)$$)::timestamptz as until
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = ${table}::regclass order by 2`.execute(db)
  return rows
}

async function drop(
  db: Kysely<Tables>,
  name: KeptName,
  partition: string,
  until: Date,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  for (let attempt = 0; attempt < ATTEMPTS && !signal?.aborted; attempt++) {
    try {
      await db.transaction().execute(async tx => {
        await sql`select set_config('lock_timeout', ${`${LOCK_TIMEOUT_MS}ms`}, true)`.execute(tx)
        // First what asks no lock of the traffic: queries learn that the sums before this are not whole.
        await sql`insert into usage_kept as k (name, since) values (${name}, ${until})
          on conflict (name) do update set since = greatest(k.since, excluded.since)`.execute(tx)
        await sql`drop table ${sql.table(partition)}`.execute(tx)
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
