// The past in windows of equal length, oldest first: what charts are drawn from.
import { setImmediate as turn } from 'node:timers/promises'
import { sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { WatchGauges } from '../../db/schema-watch.ts'
import type { Nano } from '../../lib/money.ts'
import { DAY, floor, HOUR, MINUTE, partsOf, reachOf, type Span, writtenUntil } from './range.ts'
import { quantilesOf } from './sketch.ts'
import {
  type Counts,
  counted,
  errorRate,
  inMilliseconds,
  type Milliseconds,
  noCounts,
  round,
  rowsOf,
  type Scope,
  successRate,
  sumColumns,
} from './sums.ts'

export const windows = { '1m': MINUTE, '5m': 5 * MINUTE, '1h': HOUR, '1d': DAY } as const
export type Window = keyof typeof windows
export const windowNames = Object.keys(windows) as Window[]
/** Minutes alone, as scripts know them. */
export const shortWindows = ['1', '5'] as const
type ShortWindow = (typeof shortWindows)[number]

/** How many windows where nothing is said: a day of minutes, or fewer where it is said from when on. */
export const defaultLimit = (since: Date | undefined): number => (since === undefined ? 1440 : 300)

/** Of all processes together: sums of what adds up (requests, places, memory), the largest of the rest. */
export type Gauges = { [K in keyof WatchGauges]: number | null }

export interface HistoryRow extends Counts, Partial<Gauges> {
  /** the beginning of the window */
  at: Date
  success_rate: number | null
  error_rate: number | null
  qps: number
  tps: number
  cost: Nano
  latency_ms: Milliseconds
  ttft_ms: Milliseconds
  /** time spent at upstreams, and time spent waiting for places: of windows up to 5 minutes and of all requests */
  upstream_ms?: Milliseconds
  queued_ms?: Milliseconds
  processes?: number
}

export interface History {
  window: Window
  window_minutes: number
  since: Date
  until: Date
  rows: HistoryRow[]
}

export interface HistoryAsked extends Span {
  /** default: the shortest of which `limit` reach back to `since` */
  window?: Window | ShortWindow | undefined
  /** at most so many, the newest */
  limit: number
}

/** Windows in which gw ran, or something was counted; those between them are left out. */
export async function history(db: Db, asked: HistoryAsked, scope: Scope): Promise<History> {
  const { until, limit } = asked
  const { window: given } = asked
  const named = given === '1' ? '1m' : given === '5' ? '5m' : given
  const window = named ?? windowNames.find(name => Math.floor((until - asked.since) / windows[name]) <= limit) ?? '1d'
  const ms = windows[window]
  const since = Math.max(floor(asked.since, ms), floor(until - 1, ms) - (limit - 1) * ms)
  const rows = new Map<number, Filling>()
  const at = (start: number): Filling => {
    let row = rows.get(start)
    if (row === undefined) rows.set(start, (row = new Filling()))
    return row
  }
  await addCounts(db, { since, until }, ms, scope, at)
  // Gauges are of processes, which serve everybody.
  if (scope.dimension === 'total') await addGauges(db, { since, until }, ms, at)
  const list = [...rows].sort(([a], [b]) => a - b)
  const written = await writtenUntil(db, until)
  const seconds = (start: number) => Math.min(ms, Math.max(1_000, (start < written ? written : until) - start)) / 1000
  const done: HistoryRow[] = []
  for (const [start, row] of list) {
    done.push(row.done(start, seconds(start)))
    // This process has requests to serve, too.
    if (done.length % 200 === 0) await turn()
  }
  return {
    window,
    window_minutes: ms / MINUTE,
    since: new Date(since),
    until: new Date(until),
    rows: done,
  }
}

type At = (start: number) => Filling

/** A window while rows are added to it. */
class Filling {
  // As they were written: they are merged at the end, one window after another.
  readonly duration: Buffer[] = []
  readonly first: Buffer[] = []
  readonly upstream: Buffer[] = []
  readonly queued: Buffer[] = []
  counts: Counts = noCounts()
  gauges: (Gauges & { processes: number }) | undefined

  done(start: number, seconds: number): HistoryRow {
    const { counts } = this
    return {
      at: new Date(start),
      ...counts,
      success_rate: successRate(counts),
      error_rate: errorRate(counts),
      qps: round(counts.requests / seconds, 3),
      tps: round((counts.input_tokens + counts.output_tokens) / seconds, 1),
      latency_ms: inMilliseconds(quantilesOf(this.duration)),
      ttft_ms: inMilliseconds(quantilesOf(this.first)),
      ...(this.upstream.length > 0 && { upstream_ms: inMilliseconds(quantilesOf(this.upstream)) }),
      ...(this.queued.length > 0 && { queued_ms: inMilliseconds(quantilesOf(this.queued)) }),
      ...this.gauges,
    }
  }
}

const binned = (ms: number, column: string) =>
  sql<Date>`date_bin(${`${ms} milliseconds`}::interval, ${sql.raw(column)}, 'epoch')`

async function addCounts(db: Db, span: Span, ms: number, scope: Scope, at: At): Promise<void> {
  const parts = partsOf(span, await reachOf(db), ms)
  if (parts.length === 0) return
  const columns = ['at', ...counted, 'cost'].join(', ')
  const sums = await sql<Counts & { start: Date }>`
    select ${binned(ms, 'at')} as start, ${sumColumns} from ${rowsOf(parts, scope, columns)} group by 1`.execute(db)
  for (const { start, ...counts } of sums.rows) at(start.getTime()).counts = counts
  const seen = await sql<{ at: Date; duration: Buffer; first_token: Buffer }>`
    select at, duration, first_token from ${rowsOf(parts, scope, 'at, duration, first_token')}`.execute(db)
  for (const row of seen.rows) {
    const window = at(floor(row.at.getTime(), ms))
    window.duration.push(row.duration)
    window.first.push(row.first_token)
  }
}

// Means of a process within the window, then of all processes: sums of what adds up, the largest of the rest. Two processes of
// a node see the same host, and all see the same database.
const adding = [
  'queue_depth',
  'in_flight',
  'streams',
  'handles',
  'rss_mb',
  'heap_mb',
  'db_active',
  'db_idle',
  'db_waiting',
  'spool_lines',
]
const largest = [
  'memory_used_mb',
  'memory_total_mb',
  'memory_percent',
  'disk_used_mb',
  'disk_total_mb',
  'active_alerts',
  'active_subscriptions',
]
const worst = ['loop_lag_p99_ms', 'cpu_percent', 'db_ms', 'redis_ms']
const gaugeSql = sql.raw(
  [
    ...adding.map(name => `round(sum(${name})::numeric, 1)::float8 as ${name}`),
    ...[...largest, ...worst, 'gc_pause_ms'].map(name => `round(max(${name})::numeric, 1)::float8 as ${name}`),
    'count(*)::integer as processes',
  ].join(', '),
)
const ofProcess = sql.raw(
  [
    ...[...adding, ...largest].map(name => `avg(${name}) as ${name}`),
    ...worst.map(name => `max(${name}) as ${name}`),
    'sum(gc_pause_ms) as gc_pause_ms',
  ].join(', '),
)

async function addGauges(db: Db, span: Span, ms: number, at: At): Promise<void> {
  // A row is of the interval that ends at its time.
  const start = binned(ms, "at - interval '1 millisecond'")
  const times = sql`at > ${new Date(span.since)} and at <= ${new Date(span.until)}`
  const long = ms > windows['5m']
  // Of long windows their last minutes: all rows of months are more than anybody waits for.
  const rows = long
    ? sql`(select m.* from generate_series(${new Date(span.since)}::timestamptz, ${new Date(span.until)}::timestamptz, ${`${ms} milliseconds`}::interval) w,
        lateral (select * from watch_metrics where at > least(w + ${`${ms - 2 * MINUTE} milliseconds`}::interval, ${new Date(span.until - 2 * MINUTE)}::timestamptz)
          and at > w and at <= w + ${`${ms} milliseconds`}::interval and ${times} limit ${MOST_ROWS}) m)`
    : sql`watch_metrics`
  const gauges = await sql<Gauges & { start: Date; processes: number }>`
    select start, ${gaugeSql} from (
      select ${start} as start, process, ${ofProcess} from ${rows} r where ${times} group by 1, 2) p
    group by 1`.execute(db)
  for (const { start, ...row } of gauges.rows) at(start.getTime()).gauges = row
  if (long) return
  const seen = await sql<{ at: Date; upstream: Buffer; queued: Buffer }>`
    select at, upstream, queued from watch_metrics where ${times} and requests > 0`.execute(db)
  for (const row of seen.rows) {
    const window = at(floor(row.at.getTime() - 1, ms))
    window.upstream.push(row.upstream)
    window.queued.push(row.queued)
  }
}

const MOST_ROWS = 1_000
