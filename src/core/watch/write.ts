// Writes what a process saw: its intervals, and its own rows of minutes. Written twice, it is there once.
import { sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { WatchGauges } from '../../db/schema-watch.ts'
import { type CellRow, countsRow, type Interval, type MinuteRow } from './rows.ts'
import { encodeSketch } from './sketch.ts'
import { sums } from './tally.ts'

/** Who writes: one life of one process, and its host. */
export interface Writer {
  process: string
  node: string
}

/** An interval that is ready to be written. */
export interface WrittenInterval {
  /** Unix ms of its end */
  at: number
  intervalMs: number
  metrics: Record<string, number | bigint | Buffer | null>
  cells: CellRow[]
}

/** How long a partition of each table is. */
export const watchPartitions = {
  watch_metrics: 'day',
  watch_cells: 'day',
  watch_minute: 'day',
  watch_hour: 'month',
  watch_day: 'month',
} as const satisfies Record<string, 'day' | 'month'>

/** Makes the partition of a table for an instant (Unix ms) unless it is there. */
export async function makePartition(db: Db, table: keyof typeof watchPartitions, at: number): Promise<void> {
  await sql`select time_partition(${table}, ${new Date(at)}::timestamptz, ${watchPartitions[table]})`.execute(db)
}

const DAY = 86_400_000

/** Those of some rows: no table has partitions shorter than a day. */
async function makePartitions(db: Db, table: keyof typeof watchPartitions, rows: readonly { at: number }[]) {
  for (const day of new Set(rows.map(({ at }) => Math.floor(at / DAY)))) await makePartition(db, table, day * DAY)
}

export const intervalRow = (interval: Interval, gauges: WatchGauges): WrittenInterval['metrics'] => ({
  ...countsRow(interval.total),
  upstream: encodeSketch(interval.upstream),
  queued: encodeSketch(interval.queued),
  ...gauges,
})

export async function writeIntervals(db: Db, writer: Writer, intervals: readonly WrittenInterval[]): Promise<void> {
  await makePartitions(db, 'watch_metrics', intervals)
  const cells = intervals.flatMap(({ at, cells }) => cells.map(cell => ({ at, ...cell })))
  await makePartitions(db, 'watch_cells', cells)
  await db.transaction().execute(async tx => {
    await tx
      .insertInto('watch_metrics')
      // All columns are in it: `intervalRow` made it.
      .values(
        intervals.map(
          ({ at, intervalMs, metrics }) =>
            ({ at: new Date(at), ...writer, interval_ms: intervalMs, ...metrics }) as never,
        ),
      )
      .onConflict(oc => oc.doNothing())
      .execute()
    for (const some of chunks(cells))
      await sql`insert into watch_cells (process, at, ${keys(cellKeys)}, ${keys(sums)}, duration, first_token)
        select ${writer.process}, ${columns(cellKeys)} from ${unnest(some, ['at', ...cellKeys])}
        on conflict do nothing`.execute(tx)
  })
}

/**
 * Writes rows of minutes (of one hour or of several) as far as they have come: each replaces what this process wrote of it before.
 * Whose hour is summed already is remembered as late.
 */
export async function writeMinutes(db: Db, writer: Writer, rows: readonly MinuteRow[]): Promise<void> {
  await makePartitions(db, 'watch_minute', rows)
  await db.transaction().execute(async tx => {
    // Held against who sums hours (core/watch/rollup.ts): it sees all of these rows, or its `until` is seen here.
    const rolled = await tx
      .selectFrom('watch_rolled')
      .select('until')
      .where('name', '=', 'watch_hour')
      .forShare()
      .executeTakeFirst()
    const updates = [...sums, 'duration', 'first_token'].map(
      name => sql`${sql.ref(name)} = ${sql.ref(`excluded.${name}`)}`,
    )
    for (const some of chunks(rows))
      await sql`insert into watch_minute (process, at, ${keys(minuteKeys)}, ${keys(sums)}, duration, first_token)
        select ${writer.process}, ${columns(minuteKeys)} from ${unnest(some, ['at', ...minuteKeys])}
        on conflict (dimension, at, value, process) do update set ${sql.join(updates)}`.execute(tx)
    const until = rolled?.until.getTime() ?? 0
    const late = new Set(rows.map(row => Math.floor(row.at / HOUR) * HOUR).filter(at => at < until))
    for (const at of late)
      await tx
        .insertInto('watch_late')
        .values({ name: 'watch_hour', at: new Date(at) })
        .onConflict(oc => oc.doNothing())
        .execute()
  })
}

const HOUR = 3_600_000
const cellKeys = ['platform', 'group_id', 'account_id', 'model'] as const
const minuteKeys = ['dimension', 'value'] as const

const types: Record<string, string> = {
  at: 'bigint',
  platform: 'text',
  group_id: 'integer',
  account_id: 'integer',
  model: 'text',
  dimension: 'text',
  value: 'text',
  input_tokens: 'bigint',
  output_tokens: 'bigint',
  cost: 'bigint',
  peak_tokens: 'bigint',
}

/** `at`, the keys and all that is counted, of a table `t` that `unnest` made. */
const columns = (names: readonly string[]) =>
  sql`to_timestamp(t.at / 1000.0), ${sql.join([...names, ...sums, 'duration', 'first_token'].map(name => sql.ref(`t.${name}`)))}`

const keys = (names: readonly string[]) => sql.join(names.map(name => sql.ref(name)))

/** Rows as a table `t`: the names given, then sums and distributions. */
export function unnest<Row extends object>(rows: readonly Row[], names: readonly (keyof Row & string)[]) {
  const all = [...names, ...sums] as (keyof Row & string)[]
  const columns = all.map(name => sql`${rows.map(row => row[name])}::${sql.raw(types[name] ?? 'integer')}[]`)
  const bytes = (['duration', 'first_token'] as const).map(
    name => sql`${rows.map(row => (row as unknown as Record<string, Buffer>)[name])}::bytea[]`,
  )
  return sql`unnest(${sql.join([...columns, ...bytes])}) as t(${keys([...all, 'duration', 'first_token'])})`
}

// A statement of some hundred kilobytes.
const CHUNK = 1_000

export function* chunks<Row>(rows: readonly Row[]): Generator<Row[]> {
  for (let i = 0; i < rows.length; i += CHUNK) yield rows.slice(i, i + CHUNK)
}
