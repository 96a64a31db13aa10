// The past in windows of equal length, oldest first: what charts are drawn from.
import { setImmediate as turn } from 'node:timers/promises'
import { sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { WatchGauges } from '../../db/schema-watch.ts'
import type { Nano } from '../../lib/money.ts'
import { Merged } from './merged.ts'
import { Packed, packed } from './packed.ts'
import { DAY, floor, HOUR, MINUTE, partsOf, reachOf, type Span, writtenUntil } from './range.ts'
import {
  type Counts,
  errorRate,
  type Milliseconds,
  milliseconds,
  noCounts,
  round,
  rowsOf,
  type Scope,
  Sum,
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
    if (row === undefined) rows.set(start, (row = { counts: [], gauges: undefined, waits: [] }))
    return row
  }
  await addCounts(db, { since, until }, ms, scope, at)
  // Gauges are of processes, which serve everybody.
  if (scope.dimension === 'total') await addGauges(db, { since, until }, ms, at)
  const list = [...rows].sort(([a], [b]) => a - b)
  const written = await writtenUntil(db, until)
  const seconds = (start: number) => Math.min(ms, Math.max(1_000, (start < written ? written : until) - start)) / 1000
  const finish = finisher()
  const done: HistoryRow[] = []
  for (const [start, row] of list) {
    done.push(finish(start, seconds(start), row))
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

/** A window, of rows as they came (core/watch/packed.ts): they are added up at the end, one window after another. */
interface Filling {
  counts: string[]
  gauges: string | undefined
  waits: string[]
}

type At = (start: number) => Filling

/** Makes rows of windows. What they are added up in, and what a row looks like, is made once: there are thousands of them. */
function finisher(): (start: number, seconds: number, window: Filling) => HistoryRow {
  const packed = new Packed()
  const sum = new Sum()
  const [upstream, queued] = [new Merged(), new Merged()]
  const none = milliseconds(undefined)
  const rates = { success_rate: null, error_rate: null, qps: 0, tps: 0 }
  const plain: HistoryRow = { at: new Date(0), ...noCounts(), ...rates, latency_ms: none, ttft_ms: none }
  // Fields that are added one by one make an object that is slow to write as JSON.
  const measured: HistoryRow = { ...plain, ...noGauges, processes: 0 }
  return (start, seconds, { counts, gauges, waits }) => {
    sum.clear()
    for (const row of counts) sum.add(packed.load(row))
    const row = sum.into({ ...(gauges === undefined ? plain : measured) })
    row.at = new Date(start)
    row.success_rate = successRate(row)
    row.error_rate = errorRate(row)
    row.qps = round(row.requests / seconds, 3)
    row.tps = round((row.input_tokens + row.output_tokens) / seconds, 1)
    row.latency_ms = milliseconds(sum.seen.duration)
    row.ttft_ms = milliseconds(sum.seen.first_token)
    if (waits.length > 0) {
      upstream.clear()
      queued.clear()
      for (const wait of waits) {
        packed.load(wait).addTo(upstream)
        packed.addTo(queued)
      }
      row.upstream_ms = milliseconds(upstream)
      row.queued_ms = milliseconds(queued)
    }
    if (gauges !== undefined) addGaugesTo(row, packed.load(gauges))
    return row
  }
}

/** Unix ms. */
const epoch = (column: string) => sql<number>`date_part('epoch', ${sql.raw(column)}) * 1000`

async function addCounts(db: Db, span: Span, ms: number, scope: Scope, at: At): Promise<void> {
  const parts = partsOf(span, await reachOf(db), ms)
  if (parts.length === 0) return
  const { rows } = await sql<{ at: number; row: string }>`
    select ${epoch('at')} as at, ${packed(sumColumns)} as row from ${rowsOf(parts, scope, ['at', ...sumColumns])}`.execute(
    db,
  )
  for (const { at: time, row } of rows) at(floor(time, ms)).counts.push(row)
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
const gaugeNames = [...adding, ...largest, ...worst, 'gc_pause_ms'] as (keyof Gauges)[]
const noGauges = Object.fromEntries(gaugeNames.map(name => [name, null])) as Gauges
const ofAll = packed([
  ...adding.map(name => `sum(${name})`),
  ...[...largest, ...worst, 'gc_pause_ms'].map(name => `max(${name})`),
  'count(*)',
])
// Sums and counts by hand: `avg` of integers is in numeric, which takes ten times as long.
const ofProcess = sql.raw(
  [
    ...[...adding, ...largest].map(name => `sum(${name})::float8 / nullif(count(${name}), 0) as ${name}`),
    ...worst.map(name => `max(${name})::float8 as ${name}`),
    'sum(gc_pause_ms::float8) as gc_pause_ms',
  ].join(', '),
)

function addGaugesTo(row: HistoryRow, packed: Packed): void {
  for (const name of gaugeNames) {
    const value = packed.number()
    row[name] = value === null ? null : round(value, 1)
  }
  row.processes = packed.number()!
}

async function addGauges(db: Db, span: Span, ms: number, at: At): Promise<void> {
  // A row is of the interval that ends at its time.
  const start = sql`date_bin(${`${ms} milliseconds`}::interval, at - interval '1 millisecond', 'epoch')`
  const times = sql`at > ${new Date(span.since)} and at <= ${new Date(span.until)}`
  const long = ms > windows['5m']
  // Of long windows their last minutes: all rows of months are more than anybody waits for.
  const rows = long
    ? sql`(select m.* from generate_series(${new Date(span.since)}::timestamptz, ${new Date(span.until)}::timestamptz, ${`${ms} milliseconds`}::interval) w,
        lateral (select * from watch_metrics where at > least(w + ${`${ms - 2 * MINUTE} milliseconds`}::interval, ${new Date(span.until - 2 * MINUTE)}::timestamptz)
          and at > w and at <= w + ${`${ms} milliseconds`}::interval and ${times} limit ${MOST_ROWS}) m)`
    : sql`watch_metrics`
  const gauges = await sql<{ at: number; row: string }>`
    select ${epoch('start')} as at, ${ofAll} as row from (
      select ${start} as start, process, ${ofProcess} from ${rows} r where ${times} group by 1, 2) p
    group by start`.execute(db)
  for (const { at: time, row } of gauges.rows) at(time).gauges = row
  if (long) return
  const waits = await sql<{ at: number; row: string }>`
    select ${epoch('at')} as at, ${packed(['upstream', 'queued'])} as row
    from watch_metrics where ${times} and requests > 0`.execute(db)
  for (const { at: time, row } of waits.rows) at(floor(time - 1, ms)).waits.push(row)
}

const MOST_ROWS = 1_000
