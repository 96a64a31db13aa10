// The first look: how gw does within a range, against the day before, with what it runs on.
import { sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import { diskPercent, jobStates, living, most, together } from './gauges.ts'
import { health, healthBack } from './health.ts'
import { ceil, DAY, floor, MINUTE, type Part, partsOf, type Reach, reachOf, type Span, writtenUntil } from './range.ts'
import {
  countsBy,
  errorRate,
  type Milliseconds,
  milliseconds,
  round,
  rowsOf,
  type Scope,
  successRate,
  sumOf,
} from './sums.ts'

type Status = 'healthy' | 'warning' | 'critical'

/** As §12.5 has it: rates in percent, null without traffic; ms; requests and tokens a second. */
export interface Overview {
  timestamp: Date
  since: Date
  until: Date
  health_score: number
  sla: {
    current: number | null
    threshold: number
    status: Status
    trend: 'up' | 'down' | 'stable'
    /** points of percent */
    change_24h: number | null
  }
  /** the peak is of the minutes of the range */
  qps: { current: number; peak_1h: number; avg_1h: number; change_vs_yesterday: number }
  tps: { current: number; peak_1h: number; avg_1h: number }
  latency: Milliseconds & { threshold_p99: number; status: Status }
  ttft: Milliseconds & { threshold_p99: number; status: Status }
  requests: { total: number; success: number; client_errors: number }
  errors: {
    total_count: number
    error_rate: number | null
    '4xx_count': number
    '5xx_count': number
    timeout_count: number
    top_error: { code: number; message: string; count: number } | null
  }
  tokens: { input: number; output: number; cost: bigint }
  resources: {
    cpu_usage: number | null
    memory_usage: number | null
    disk_usage: number | null
    event_loop_lag_p99_ms: number | null
    handles: number | null
    in_flight: number | null
    queue_depth: number | null
    db_connections: { active: number | null; idle: number | null; waiting: number | null; max: number }
    processes: number
    nodes: number
  }
  system_status: {
    redis: 'healthy' | 'critical' | 'off'
    database: 'healthy' | 'critical'
    background_jobs: Status
    /** those that do not do well, and why */
    jobs: string[]
  }
}

export interface OverviewOptions {
  /** whether there is a Redis */
  redis: boolean
  /** connections to the database that one process may have */
  poolSize: number
  /** `ops.interval` */
  intervalMs: number
}

const SLA = 99.9
// Answers of minutes are nothing unusual; it is the first token that people wait for.
const SLOW = { latency: 120_000, ttft: 1_000 }

export async function overview(db: Db, span: Span, scope: Scope, options: OverviewOptions): Promise<Overview> {
  const reach = await reachOf(db)
  const written = await writtenUntil(db, span.until)
  const earlier = { since: span.since - DAY, until: written - DAY }
  const sum = await sumOf(db, partsOf(span, reach), scope)
  const before = [...(await countsBy(db, partsOf(earlier, reach), scope)).values()]
  const yesterday = { success: 0, errors: 0, requests: 0 }
  for (const one of before) {
    yesterday.success += one.success
    yesterday.errors += one.errors
    yesterday.requests += one.requests
  }
  const minutes = await minutesOf(db, { ...span, written }, reach, scope)
  const processes = await living(db, span.until)
  const jobs = await jobStates(db, processes, span.until)
  const ill = jobs.filter(job => !job.well)
  const { score } = await health(db, { since: span.until - healthBack(options.intervalMs), until: span.until }, options)
  const seconds = Math.max(1, (written - span.since) / 1000)
  // Of that day its minutes are whole.
  const secondsBefore = Math.max(1, (ceil(written, MINUTE) - span.since) / 1000)
  const tokens = sum.input_tokens + sum.output_tokens
  const [rate, rateBefore] = [successRate(sum), successRate(yesterday)]
  const change = rate === null || rateBefore === null ? null : round(rate - rateBefore, 2)
  const [latency, ttft] = [milliseconds(sum.duration), milliseconds(sum.first_token)]
  const redis = processes.every(({ redis_ms }) => redis_ms !== null)
  return {
    timestamp: new Date(span.until),
    since: new Date(span.since),
    until: new Date(span.until),
    health_score: score,
    sla: {
      current: rate,
      threshold: SLA,
      status: rate === null || rate >= SLA ? 'healthy' : rate >= SLA - 0.5 ? 'warning' : 'critical',
      trend: change === null || Math.abs(change) <= 0.05 ? 'stable' : change > 0 ? 'up' : 'down',
      change_24h: change,
    },
    qps: {
      current: round(minutes.last.requests / 60, 1),
      peak_1h: round(minutes.most.requests / 60, 1),
      avg_1h: round(sum.requests / seconds, 1),
      change_vs_yesterday: changed(sum.requests / seconds, yesterday.requests / secondsBefore),
    },
    tps: {
      current: round(minutes.last.tokens / 60, 1),
      peak_1h: round(minutes.most.tokens / 60, 1),
      avg_1h: round(tokens / seconds, 1),
    },
    latency: { ...latency, threshold_p99: SLOW.latency, status: slow(latency.p99, SLOW.latency) },
    ttft: { ...ttft, threshold_p99: SLOW.ttft, status: slow(ttft.p99, SLOW.ttft) },
    requests: { total: sum.requests, success: sum.success, client_errors: sum.client_errors },
    errors: {
      total_count: sum.errors,
      error_rate: errorRate(sum),
      '4xx_count': sum.errors_4xx,
      '5xx_count': sum.errors_5xx,
      timeout_count: sum.errors_timeout,
      top_error: scope.dimension === 'total' ? await topError(db, span) : null,
    },
    tokens: { input: sum.input_tokens, output: sum.output_tokens, cost: sum.cost },
    resources: {
      cpu_usage: most(processes, p => p.cpu_percent),
      memory_usage: most(processes, p => p.memory_percent),
      disk_usage: most(processes, diskPercent),
      event_loop_lag_p99_ms: most(processes, p => p.loop_lag_p99_ms),
      handles: together(processes, p => p.handles),
      in_flight: together(processes, p => p.in_flight),
      queue_depth: together(processes, p => p.queue_depth),
      db_connections: {
        active: together(processes, p => p.db_active),
        idle: together(processes, p => p.db_idle),
        waiting: together(processes, p => p.db_waiting),
        max: options.poolSize * Math.max(1, processes.length),
      },
      processes: processes.length,
      nodes: new Set(processes.map(({ node }) => node)).size,
    },
    system_status: {
      redis: !options.redis ? 'off' : redis ? 'healthy' : 'critical',
      database: processes.every(({ db_ms }) => db_ms !== null) ? 'healthy' : 'critical',
      background_jobs: ill.length === 0 ? 'healthy' : 2 * ill.length >= jobs.length ? 'critical' : 'warning',
      jobs: ill.map(({ name, reason }) => `${name} ${reason}`),
    },
  }
}

const slow = (p99: number | null, threshold: number): Status =>
  p99 === null || p99 <= threshold ? 'healthy' : p99 <= 2 * threshold ? 'warning' : 'critical'

/** Percent; 100 where there was nothing before. */
const changed = (now: number, before: number): number =>
  before === 0 ? (now === 0 ? 0 : 100) : round((100 * (now - before)) / before, 2)

interface Minute {
  requests: number
  tokens: number
}

/** The last minute that is over, and the most of any: what was summed knows the peak of its minutes. */
async function minutesOf(
  db: Db,
  span: Span & { written: number },
  reach: Reach,
  scope: Scope,
): Promise<{ last: Minute; most: Minute }> {
  const at = floor(span.written, MINUTE) - MINUTE
  // Of several together the peak is no sum of peaks: their minutes are what there is.
  const one = (scope.values?.length ?? 1) === 1
  const parts = partsOf({ since: Math.min(span.since, at), until: span.until }, reach, one ? DAY : MINUTE)
  const minutes = parts.filter(({ table }) => table === 'watch_minute')
  const summed = parts.filter(({ table }) => table !== 'watch_minute')
  const none = sql`select null::integer as requests, null::bigint as tokens where false`
  const of = (parts: readonly Part[]) => sql`(
    select sum(requests) as requests, sum(tokens) as tokens
    from (select at, requests, input_tokens + output_tokens as tokens from ${rowsOf(parts, scope, minuteColumns)}) m group by at)`
  const peaks = sql`(select peak_requests, peak_tokens from ${rowsOf(summed, scope, ['peak_requests', 'peak_tokens'])})`
  const lastly = [{ table: 'watch_minute', from: at, till: at + MINUTE }] as const
  const most = sql`coalesce(max(requests), 0)::float8, coalesce(max(tokens), 0)::float8`
  const { rows } = await sql<Minute & { last_requests: number; last_tokens: number }>`
    select m.*, l.* from
      (select ${most} from ${of(lastly)} l) l(last_requests, last_tokens),
      (select ${most} from (${minutes.length > 0 ? of(minutes) : none} union all ${summed.length > 0 ? peaks : none}) m) m(requests, tokens)`.execute(
    db,
  )
  const { requests, tokens, last_requests, last_tokens } = rows[0]!
  return { last: { requests: last_requests, tokens: last_tokens }, most: { requests, tokens } }
}

const minuteColumns = ['at', 'requests', 'input_tokens', 'output_tokens']

// A burst of errors must not make the look at it slow: the newest say what it is about.
const MOST_ERRORS = 5_000

/** The most frequent of the newest errors that clients saw, by status and message. */
async function topError(db: Db, span: Span) {
  const { rows } = await sql<{ code: number; message: string; count: number }>`
    select status as code, message, count(*)::integer as count
    from (select status, message from error_log
      where at >= ${new Date(span.since)} and at <= ${new Date(span.until)} and not recovered order by at desc limit ${MOST_ERRORS}) newest
    group by 1, 2 order by 3 desc, 1, 2 limit 1`.execute(db)
  return rows[0] ?? null
}
