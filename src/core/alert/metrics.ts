// What alert rules can watch: each metric with its unit, where its value comes from, and what it can be narrowed by.
import type { WatchGauges } from '../../db/schema-watch.ts'
import type { Quantiles } from '../watch/sketch.ts'
import type { sums } from '../watch/tally.ts'

export const filterNames = ['platform', 'group', 'model', 'account', 'node'] as const
export type FilterName = (typeof filterNames)[number]

/** What was counted in a window, over all processes; `cost` in nano-USD. */
export interface Counted extends Record<(typeof sums)[number], number> {
  duration: Quantiles | undefined
  first_token: Quantiles | undefined
}

interface Common {
  unit: string
  /** one sentence, for docs and `gw alert rule metrics` */
  text: string
  filters: readonly FilterName[]
}

/** Of watch_metrics, and of watch_cells where it is narrowed. */
export interface CountedMetric extends Common {
  from: 'counts'
  /** the distribution that it needs */
  sketch?: 'duration' | 'first_token'
  /** undefined: there is nothing to be measured, such as a rate without traffic */
  value: (counted: Counted, windowMs: number) => number | undefined
}

/** Of watch_metrics: of all processes the sum or the largest, and of the intervals of a window what `over` says. */
export interface GaugeMetric extends Common {
  from: 'gauges'
  /** null in a row: that process could not tell */
  column: keyof WatchGauges | 'disk_percent'
  across: 'sum' | 'max'
  over: 'avg' | 'max' | 'last'
}

/** Of accounts and what their upstreams said of them, as they are at the moment of evaluation. */
export interface AccountMetric extends Common {
  from: 'accounts'
  value: (accounts: AccountsCounted) => number | undefined
}

/** Paused accounts are no part of it: somebody meant them to be out. */
export interface AccountsCounted {
  total: number
  available: number
  limited: number
  broken: number
}

export type Metric = CountedMetric | GaugeMetric | AccountMetric

const traffic: readonly FilterName[] = ['platform', 'group', 'model', 'account']
const ofAccounts: readonly FilterName[] = ['platform', 'group', 'account']
const processes: readonly FilterName[] = ['node']

const count = (unit: string, text: string, value: CountedMetric['value']): CountedMetric => {
  return { from: 'counts', unit, text, filters: traffic, value }
}
const share = (part: number, whole: number) => (whole === 0 ? undefined : (part / whole) * 100)
const quantile = (of: 'duration' | 'first_token', q: 'p50' | 'p95' | 'p99', text: string): CountedMetric => {
  return { ...count('ms', text, counted => counted[of]?.[q]), sketch: of }
}
const gauge = (
  unit: string,
  column: GaugeMetric['column'],
  across: GaugeMetric['across'],
  over: GaugeMetric['over'],
  text: string,
): GaugeMetric => ({ from: 'gauges', unit, column, across, over, text, filters: processes })
const accounts = (unit: string, text: string, value: AccountMetric['value']): AccountMetric => {
  return { from: 'accounts', unit, text, filters: ofAccounts, value }
}

const metricTable = {
  success_rate: count(
    '%',
    'Of the requests that count against the SLA, those that went well. No value without any.',
    c => share(c.success, c.success + c.errors),
  ),
  error_rate: count('%', 'Of the same, those that a provider or gw failed. No value without any.', c =>
    share(c.errors, c.success + c.errors),
  ),
  upstream_error_rate: count(
    '%',
    'Of the attempts at accounts, those that failed, also where another account then answered. No value without any.',
    c => share(c.attempt_errors, c.attempts),
  ),
  p50_ttft_ms: quantile('first_token', 'p50', 'Time to the first token: half of the requests were faster.'),
  p95_ttft_ms: quantile('first_token', 'p95', 'Time to the first token: 95 of 100 requests were faster.'),
  p99_ttft_ms: quantile('first_token', 'p99', 'Time to the first token: 99 of 100 requests were faster.'),
  p50_latency_ms: quantile(
    'duration',
    'p50',
    'Whole requests, to the last byte: half were faster. Long answers take long.',
  ),
  p95_latency_ms: quantile('duration', 'p95', 'Whole requests: 95 of 100 were faster.'),
  p99_latency_ms: quantile('duration', 'p99', 'Whole requests: 99 of 100 were faster.'),
  network_errors: count('attempts', 'Attempts at accounts that no answer came of.', c => c.network_errors),
  requests: count('requests', 'Requests that ended.', c => c.requests),
  errors: count('requests', 'Requests that a provider or gw failed.', c => c.errors),
  client_errors: count('requests', 'Requests that were refused for what the client asked, or its own limits.', c => {
    return c.client_errors
  }),
  errors_5xx: count('requests', 'Requests that ended with a status of 500 or more.', c => c.errors_5xx),
  errors_timeout: count('requests', 'Requests that ended because somebody was silent for too long.', c => {
    return c.errors_timeout
  }),
  qps: count('per second', 'Requests a second, on average.', (c, ms) => c.requests / (ms / 1000)),
  tps: count('per second', 'Tokens a second, of prompts and answers, on average.', (c, ms) => {
    return (c.input_tokens + c.output_tokens) / (ms / 1000)
  }),
  cost_per_hour: count('USD', 'Cost at list price as it would be if the whole hour were like this.', (c, ms) => {
    return (c.cost / 1e9 / ms) * 3_600_000
  }),
  group_available_accounts: accounts(
    'accounts',
    'Accounts that could serve now: not in error, expired, rate limited or ejected. No value where all are paused, or none are.',
    a => (a.total === 0 ? undefined : a.available),
  ),
  group_available_ratio: accounts('%', 'Those of all that are not paused. No value where there are none.', a => {
    return share(a.available, a.total)
  }),
  account_rate_limited_count: accounts('accounts', 'Accounts that are rate limited, or have used their quota.', a => {
    return a.limited
  }),
  account_error_count: accounts(
    'accounts',
    'Accounts that are in error or expired, or out because their upstream refused them for another reason.',
    a => a.broken,
  ),
  concurrency_queue_depth: gauge('requests', 'queue_depth', 'sum', 'avg', 'Requests that wait for a place.'),
  in_flight: gauge('requests', 'in_flight', 'sum', 'avg', 'Requests under way.'),
  cpu_usage_percent: gauge(
    '%',
    'cpu_percent',
    'max',
    'avg',
    'CPU of what the cgroup allows, else of the host; the busiest node.',
  ),
  memory_usage_percent: gauge('%', 'memory_percent', 'max', 'avg', 'Memory, likewise; the fullest node.'),
  heap_mb: gauge('MB', 'heap_mb', 'max', 'avg', 'The largest heap of a process.'),
  loop_lag_p99_ms: gauge(
    'ms',
    'loop_lag_p99_ms',
    'max',
    'max',
    'How late the event loop of the slowest process was, at the 99th percentile.',
  ),
  spool_lines: gauge('lines', 'spool_lines', 'sum', 'last', 'Usage that is not booked in Postgres yet.'),
  disk_usage_percent: gauge(
    '%',
    'disk_percent',
    'max',
    'last',
    'How full the disk with the data dir is; the fullest node.',
  ),
  db_ms: gauge('ms', 'db_ms', 'max', 'avg', 'A round trip to Postgres; the slowest process.'),
  redis_ms: gauge(
    'ms',
    'redis_ms',
    'max',
    'avg',
    'A round trip to Redis; the slowest process. No value without Redis.',
  ),
} as const satisfies Record<string, Metric>

export const metrics: Readonly<Record<string, Metric>> = metricTable
export const metricNames: readonly string[] = Object.keys(metricTable)

/** Other names of metrics, which rules may say as well. */
export const aliases: Readonly<Record<string, string>> = { http2_errors: 'network_errors' }

export const operators = ['>', '>=', '<', '<=', '==', '!='] as const
export type Operator = (typeof operators)[number]

export function compare(value: number, op: Operator, threshold: number): boolean {
  switch (op) {
    case '>':
      return value > threshold
    case '>=':
      return value >= threshold
    case '<':
      return value < threshold
    case '<=':
      return value <= threshold
    case '==':
      return value === threshold
    case '!=':
      return value !== threshold
  }
}
