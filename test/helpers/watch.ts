// Rows of watch_* as the collector writes them, for tests of those who read them.
import { sql } from 'kysely'
import { createSketch, encodeSketch } from '../../src/core/watch/sketch.ts'
import type { Db } from '../../src/db/connect.ts'
import type { WatchDimension, WatchGauges } from '../../src/db/schema-watch.ts'

export interface Rolled {
  at: number
  dimension?: WatchDimension
  value?: string
  process?: string
  success?: number
  errors?: number
  client_errors?: number
  errors_4xx?: number
  errors_5xx?: number
  errors_timeout?: number
  network_errors?: number
  attempts?: number
  attempt_errors?: number
  input_tokens?: number
  output_tokens?: number
  cost?: bigint
  /** ms, one each */
  duration?: readonly number[]
  first_token?: readonly number[]
}

export function sketchOf(values: readonly number[] = []): Buffer {
  const sketch = createSketch()
  for (const value of values) sketch.accept(value)
  return encodeSketch(sketch)
}

/** What every table of counts has; requests are those that went well, failed, or were the client's fault. */
export function countsOf(row: Omit<Rolled, 'at' | 'dimension' | 'value' | 'process'>) {
  const { success = 0, errors = 0, client_errors = 0, duration, first_token } = row
  const requests = success + errors + client_errors
  return {
    requests,
    success,
    errors,
    client_errors,
    errors_4xx: row.errors_4xx ?? 0,
    errors_5xx: row.errors_5xx ?? 0,
    errors_timeout: row.errors_timeout ?? 0,
    network_errors: row.network_errors ?? 0,
    attempts: row.attempts ?? requests,
    attempt_errors: row.attempt_errors ?? 0,
    input_tokens: BigInt(row.input_tokens ?? 0),
    output_tokens: BigInt(row.output_tokens ?? 0),
    cost: row.cost ?? 0n,
    duration: sketchOf(duration),
    first_token: sketchOf(first_token),
  }
}

/** Rows of a roll-up, and the partitions that they need. */
export async function roll(db: Db, table: 'watch_minute' | 'watch_hour' | 'watch_day', rows: Rolled[]): Promise<void> {
  const width = table === 'watch_minute' ? 'day' : 'month'
  for (const at of new Set(rows.map(row => row.at)))
    await sql`select time_partition(${table}, ${new Date(at)}, ${width})`.execute(db)
  await db
    .insertInto(table)
    .values(
      rows.map(({ at, dimension = 'total', value = '', process = 'p1', ...counts }) => ({
        at: new Date(at),
        dimension,
        value,
        process,
        ...countsOf(counts),
      })),
    )
    .execute()
}

/** Rows of intervals of processes; gauges are quiet where nothing is said. */
export async function measured(
  db: Db,
  rows: (Omit<Rolled, 'dimension' | 'value'> & {
    node?: string
    interval_ms?: number
    upstream?: number[]
    queued?: number[]
  } & Partial<WatchGauges>)[],
): Promise<void> {
  for (const at of new Set(rows.map(row => row.at)))
    await sql`select time_partition('watch_metrics', ${new Date(at)}, 'day')`.execute(db)
  await db
    .insertInto('watch_metrics')
    .values(
      rows.map(({ at, process = 'p1', node = 'n1', interval_ms = 60_000, upstream, queued, ...rest }) => ({
        ...quiet,
        ...(Object.fromEntries(Object.entries(rest).filter(([name]) => name in quiet)) as Partial<WatchGauges>),
        at: new Date(at),
        process,
        node,
        interval_ms,
        ...countsOf(rest),
        upstream: sketchOf(upstream),
        queued: sketchOf(queued),
      })),
    )
    .execute()
}

const quiet: WatchGauges = {
  queue_depth: 0,
  in_flight: 0,
  streams: 0,
  loop_lag_p99_ms: 1,
  handles: 10,
  cpu_percent: 5,
  memory_used_mb: 1000,
  memory_total_mb: 8000,
  memory_percent: 12.5,
  rss_mb: 100,
  heap_mb: 50,
  gc_pause_ms: 2,
  db_active: 1,
  db_idle: 2,
  db_waiting: 0,
  db_ms: 1,
  redis_ms: null,
  disk_used_mb: 25n,
  disk_total_mb: 100n,
  spool_lines: 0,
  active_alerts: 0,
  active_subscriptions: 3,
}
