// Sums minutes into hours and hours into days, over all processes: each from nothing, so that doing it twice changes nothing.
import { type Kysely, sql } from 'kysely'
import type { Tables } from '../../db/schema.ts'
import type { WatchDimension } from '../../db/schema-watch.ts'
import { packed } from './packed.ts'
import { eachRow, Sum, sumColumns } from './sums.ts'
import { sums } from './tally.ts'
import { chunks, makePartition, unnest } from './write.ts'

/** Held while it works, so that of several processes one does (db/alone.ts). */
export const ROLLUP_LOCK = 0x6777_0006

export const dimensions: readonly WatchDimension[] = [
  'total',
  'account',
  'model',
  'user',
  'key',
  'platform',
  'group',
  'path',
]

const HOUR = 3_600_000
const DAY = 86_400_000

interface Level {
  table: 'watch_hour' | 'watch_day'
  from: 'watch_minute' | 'watch_hour'
  ms: number
  /** where there are many rows they are read by stretches of so much, so that a busy hour is never in memory whole */
  stretchMs: number
}

const hours: Level = { table: 'watch_hour', from: 'watch_minute', ms: HOUR, stretchMs: 10 * 60_000 }
const days: Level = { table: 'watch_day', from: 'watch_hour', ms: DAY, stretchMs: 2 * HOUR }

const AT_ONCE = 10_000

// Rows of an hour's last minute are written soon after it; who comes later is late, and counted all the same.
const SETTLE_MS = 3 * 60_000

export interface RolledUp {
  hours: number
  days: number
  /** of them, those that had been summed before */
  late: number
}

/**
 * Sums all that is over and not summed yet, and again what was written late. What is over is told by Postgres's clock; `now`
 * (Unix ms) is for tests. Interrupted anywhere, the next run goes on from there.
 */
export async function rollUp(
  db: Kysely<Tables>,
  { now, signal }: { now?: number; signal?: AbortSignal } = {},
): Promise<RolledUp> {
  const done: RolledUp = { hours: 0, days: 0, late: 0 }
  const at = now ?? (await clock(db))
  const count = await rollTo(db, hours, Math.floor((at - SETTLE_MS) / HOUR) * HOUR, signal)
  done.hours = count.all
  done.late = count.late
  const until = await rolledUntil(db, 'watch_hour')
  const ofDays = await rollTo(db, days, Math.floor(until / DAY) * DAY, signal)
  done.days = ofDays.all
  done.late += ofDays.late
  return done
}

async function clock(db: Kysely<Tables>): Promise<number> {
  const { rows } = await sql<{ now: Date }>`select now() as now`.execute(db)
  return rows[0]!.now.getTime()
}

async function rolledUntil(db: Kysely<Tables>, table: Level['table']): Promise<number> {
  const row = await db.selectFrom('watch_rolled').select('until').where('name', '=', table).executeTakeFirst()
  return row?.until.getTime() ?? 0
}

async function rollTo(db: Kysely<Tables>, level: Level, limit: number, signal?: AbortSignal) {
  const count = { all: 0, late: 0 }
  const late = await db.selectFrom('watch_late').select('at').where('name', '=', level.table).orderBy('at').execute()
  for (const { at } of late) {
    if (signal?.aborted) return count
    await makePartition(db, level.table, at.getTime())
    const summed = await db.transaction().execute(async tx => {
      await lock(tx, level.table)
      // First, so that who marks it from now on does so anew.
      await tx.deleteFrom('watch_late').where('name', '=', level.table).where('at', '=', at).execute()
      // What it was made of is gone: a process whose clock is wrong must not put its few rows in the place of all.
      if (at.getTime() < (await keptSince(tx, level.from))) return false
      await sumBucket(tx, level, at.getTime())
      return true
    })
    if (!summed) continue
    count.all++
    count.late++
  }
  while (!signal?.aborted) {
    const next = await firstFrom(db, level, await rolledUntil(db, level.table), limit)
    if (next !== undefined) await makePartition(db, level.table, next)
    const more = await db.transaction().execute(async tx => {
      const until = await lock(tx, level.table)
      if (until >= limit) return false
      const first = await firstFrom(tx, level, until, limit)
      if (first === undefined) {
        await advance(tx, level.table, limit)
        return false
      }
      // Rows came before the one whose partition was made: look again.
      if (first !== next) return true
      await sumBucket(tx, level, first)
      await advance(tx, level.table, first + level.ms)
      count.all++
      return true
    })
    if (!more) break
  }
  return count
}

/** The earliest bucket within [from, limit) that has rows. */
async function firstFrom(db: Kysely<Tables>, { from: table, ms }: Level, from: number, limit: number) {
  const { at } = await db
    .selectFrom(table)
    .select(eb => eb.fn.min('at').as('at'))
    .where('dimension', '=', 'total')
    .where('at', '>=', new Date(from))
    .where('at', '<', new Date(limit))
    .executeTakeFirstOrThrow()
  return at ? Math.floor((at as Date).getTime() / ms) * ms : undefined
}

/** Nobody writes minutes meanwhile (core/watch/write.ts): what is read is all there is, and who comes later is late. */
async function lock(tx: Kysely<Tables>, table: Level['table']): Promise<number> {
  const row = await tx
    .selectFrom('watch_rolled')
    .select('until')
    .where('name', '=', table)
    .forUpdate()
    .executeTakeFirstOrThrow()
  return row.until.getTime()
}

const advance = (tx: Kysely<Tables>, table: Level['table'], until: number) =>
  tx
    .updateTable('watch_rolled')
    .set({ until: new Date(until) })
    .where('name', '=', table)
    .execute()

/** Retention has dropped what was before (Unix ms). */
async function keptSince(tx: Kysely<Tables>, table: Level['from']): Promise<number> {
  const row = await tx.selectFrom('usage_kept').select('since').where('name', '=', table).executeTakeFirst()
  return row?.since.getTime() ?? -Infinity
}

async function sumBucket(tx: Kysely<Tables>, level: Level, at: number): Promise<void> {
  const { table, ms } = level
  // By dimension, as their index goes: a partition is a whole month.
  await tx.deleteFrom(table).where('dimension', 'in', dimensions).where('at', '=', new Date(at)).execute()
  const { rows: counted } = await sql<{
    some: boolean
  }>`select count(*) <= ${AT_ONCE} as some from ${sql.table(level.from)}
    where dimension = any(${dimensions}) and at >= ${new Date(at)} and at < ${new Date(at + ms)}`.execute(tx)
  // Mostly they are few; of many a dimension at a time is in memory, and no more rows than of a stretch.
  if (counted[0]!.some) await sumDimensions(tx, level, at, dimensions, ms)
  else for (const dimension of dimensions) await sumDimensions(tx, level, at, [dimension], level.stretchMs)
  // A day that was summed without this hour is not whole any more.
  if (table === 'watch_hour')
    await sql`insert into watch_late (name, at) select 'watch_day', ${new Date(Math.floor(at / DAY) * DAY)}::timestamptz
      from watch_rolled where name = 'watch_day' and until > ${new Date(at)} on conflict do nothing`.execute(tx)
}

async function sumDimensions(
  tx: Kysely<Tables>,
  { table, from, ms }: Level,
  at: number,
  some: readonly WatchDimension[],
  stretchMs: number,
): Promise<void> {
  const sumsOf = new Map(some.map(dimension => [dimension, new Map<string, Sum>()]))
  for (let since = at; since < at + ms; since += stretchMs) {
    const { rows } = await sql<{ dimension: WatchDimension; value: string; row: string }>`
      select dimension, value, ${packed(sumColumns)} as row from ${sql.table(from)}
      where dimension = any(${some}) and at >= ${new Date(since)} and at < ${new Date(since + stretchMs)}`.execute(tx)
    await eachRow(rows, (row, { dimension, value }) => {
      const values = sumsOf.get(dimension)!
      let sum = values.get(value)
      if (sum === undefined) values.set(value, (sum = new Sum()))
      sum.add(row)
    })
  }
  const peaks = await peaksOf(tx, from, some, at, at + ms)
  const rows = [...sumsOf].flatMap(([dimension, values]) =>
    [...values].map(([value, sum]) => ({ dimension, value, ...peaks(dimension, value), ...sum.written() })),
  )
  const keys = ['dimension', 'value', 'peak_requests', 'peak_tokens'] as const
  const names = [...keys, ...sums, 'duration', 'first_token']
  for (const each of chunks(rows))
    await sql`insert into ${sql.table(table)} (at, process, ${sql.join(names.map(name => sql.ref(name)))})
      select ${new Date(at)}, '', t.* from ${unnest(each, keys)}`.execute(tx)
}

/** The most that a minute of [since, until) had, by dimension and value. */
async function peaksOf(
  tx: Kysely<Tables>,
  from: Level['from'],
  some: readonly WatchDimension[],
  since: number,
  until: number,
) {
  const of = sql`from ${sql.table(from)}
    where dimension = any(${some}) and at >= ${new Date(since)} and at < ${new Date(until)}`
  const minutes =
    from === 'watch_minute'
      ? sql`(select dimension, value, sum(requests) as peak_requests, sum(input_tokens + output_tokens) as peak_tokens ${of}
          group by dimension, value, at) m`
      : sql`(select dimension, value, peak_requests, peak_tokens ${of}) m`
  const { rows } = await sql<{ dimension: string; value: string; requests: number | null; tokens: bigint | null }>`
    select dimension, value, max(peak_requests)::integer as requests, max(peak_tokens)::bigint as tokens
    from ${minutes} group by dimension, value`.execute(tx)
  const key = (dimension: string, value: string) => `${dimension} ${value}`
  const known = new Map(rows.map(({ dimension, value, ...peak }) => [key(dimension, value), peak]))
  return (dimension: string, value: string) => {
    const peak = known.get(key(dimension, value))
    return { peak_requests: peak?.requests ?? null, peak_tokens: peak?.tokens ?? null }
  }
}
