// One number for how well gw does, and the reason for each point that it lacks.
//
//   score          = 0.7 business + 0.3 infrastructure
//   business       = mean of errors (the worse of requests' and attempts': 100 to 1 %, 0 from 10 % on)
//                    and first tokens (p99: 100 to 1 s, 0 from 3 s on); idle is 100
//   infrastructure = 0.4 storage + 0.3 compute (mean of CPU: 100 to 80 %, and memory: 100 to 85 %) + 0.3 jobs
import { sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import { Refusal } from '../../lib/refusal.ts'
import { type JobState, jobStates, living, most } from './gauges.ts'
import { quantilesOf } from './merged.ts'
import { DAY, MINUTE, type Span } from './range.ts'
import { round } from './sums.ts'

/** What the score is made of. */
export interface Vitals {
  success: number
  errors: number
  attempts: number
  attempt_errors: number
  /** ms; null where no first token was seen */
  ttft_p99: number | null
  database: boolean
  /** undefined: there is none */
  redis: boolean | undefined
  /** percent; null where it was not measured */
  cpu: number | null
  memory: number | null
  jobs: readonly Pick<JobState, 'name' | 'well' | 'reason'>[]
}

export interface Component {
  name: 'errors' | 'first_token' | 'storage' | 'cpu' | 'memory' | 'jobs'
  of: 'business' | 'infrastructure'
  /** 0 to 100 */
  score: number
  /** points of the whole that it can give */
  weight: number
  /** points of the whole that it lacks */
  lost: number
  /** what was measured, and why it lacks points */
  reason: string
}

export interface Health {
  at: Date
  since: Date
  /** 0 to 100 */
  score: number
  /** nobody asked anything, which is no fault */
  idle: boolean
  business: number
  infrastructure: number
  components: Component[]
}

/** How far back one looks where nothing is said: long enough to judge by, short enough to be about now. */
export const healthBack = (intervalMs: number): number => Math.max(5 * MINUTE, 2 * intervalMs)

/** @throws Refusal `usage` for a time to come, and for more than a day: all intervals of it are looked at */
export async function health(db: Db, span: Span, { redis }: { redis: boolean }): Promise<Health> {
  const back = span.until - span.since
  // What was asked as 24h is a moment more by now.
  if (back < 0 || back > DAY + MINUTE)
    throw new Refusal(
      'usage',
      `since (${new Date(span.since).toISOString()}) must lie within the last 24h: health is of now; gw ops overview and history look further back`,
    )
  const vitals = await vitalsOf(db, span, redis)
  return { at: new Date(span.until), since: new Date(span.since), ...scored(vitals) }
}

async function vitalsOf(db: Db, { since, until }: Span, redis: boolean): Promise<Vitals> {
  // Intervals may be shorter than minutes, and what is over is over: rows of intervals say so sooner than those of minutes.
  const { rows } = await sql<
    Pick<Vitals, 'success' | 'errors' | 'attempts' | 'attempt_errors'> & { first_token: Buffer }
  >`
    select success, errors, attempts, attempt_errors, first_token from watch_metrics
    where at > ${new Date(since)} and at <= ${new Date(until)}`.execute(db)
  const sum = (of: 'success' | 'errors' | 'attempts' | 'attempt_errors') => rows.reduce((all, row) => all + row[of], 0)
  const processes = await living(db, until)
  return {
    success: sum('success'),
    errors: sum('errors'),
    attempts: sum('attempts'),
    attempt_errors: sum('attempt_errors'),
    ttft_p99: quantilesOf(rows.map(row => row.first_token))?.p99 ?? null,
    database: processes.every(({ db_ms }) => db_ms !== null),
    redis: redis ? processes.every(({ redis_ms }) => redis_ms !== null) : undefined,
    cpu: most(processes, ({ cpu_percent }) => cpu_percent),
    memory: most(processes, ({ memory_percent }) => memory_percent),
    jobs: await jobStates(db, processes, until),
  }
}

/** 100 up to `good`, 0 from `bad` on, a straight line between. */
const between = (value: number, good: number, bad: number): number =>
  Math.min(100, Math.max(0, (100 * (bad - value)) / (bad - good)))

export function scored(vitals: Vitals): Omit<Health, 'at' | 'since'> {
  const idle = vitals.success + vitals.errors === 0 && vitals.attempts === 0
  const parts: [Component['name'], Component['of'], weight: number, score: number, reason: string][] = [
    ...business(vitals, idle),
    ['storage', 'infrastructure', 12, ...storage(vitals)],
    ['cpu', 'infrastructure', 4.5, ...filled('CPU', vitals.cpu, 80)],
    ['memory', 'infrastructure', 4.5, ...filled('memory', vitals.memory, 85)],
    ['jobs', 'infrastructure', 9, ...working(vitals.jobs)],
  ]
  const components = parts.map(([name, of, weight, score, reason]) => ({
    name,
    of,
    score: round(score, 1),
    weight,
    lost: round((weight * (100 - score)) / 100, 1),
    reason,
  }))
  const total = (of?: Component['of']) => {
    const some = parts.filter(part => of === undefined || part[1] === of)
    const weight = some.reduce((sum, part) => sum + part[2], 0)
    return some.reduce((sum, [, , weight, score]) => sum + weight * score, 0) / weight
  }
  return {
    score: Math.round(total()),
    idle,
    business: round(total('business'), 1),
    infrastructure: round(total('infrastructure'), 1),
    components,
  }
}

function business(vitals: Vitals, idle: boolean): [Component['name'], Component['of'], number, number, string][] {
  const requests = vitals.success + vitals.errors
  const ofRequests = requests === 0 ? 0 : (100 * vitals.errors) / requests
  const ofAttempts = vitals.attempts === 0 ? 0 : (100 * vitals.attempt_errors) / vitals.attempts
  const worst = Math.max(ofRequests, ofAttempts)
  const measured =
    `${round(ofRequests, 2)} % of ${requests} requests failed, and ${round(ofAttempts, 2)} % of ${vitals.attempts} attempts at accounts` +
    (worst > 1 ? '; above 1 %' : '')
  const errors = idle ? 'idle: nothing was asked that an account could have answered' : measured
  // Failures alone have no first token: then they are all there is to judge by.
  const seen = idle || vitals.ttft_p99 !== null
  const ttft = vitals.ttft_p99
  const slow =
    ttft === null ? 'no first token was seen' : `p99 ${round(ttft, 0)} ms${ttft > 1_000 ? '; above 1000 ms' : ''}`
  return [
    ['errors', 'business', seen ? 35 : 70, between(worst, 1, 10), errors],
    ['first_token', 'business', seen ? 35 : 0, ttft === null ? 100 : between(ttft, 1_000, 3_000), slow],
  ]
}

function storage({ database, redis }: Vitals): [number, string] {
  if (!database) return [0, 'a process gets no answer from the database']
  if (redis === false) return [50, 'a process gets no answer from Redis']
  return [100, redis === undefined ? 'the database answers; no Redis is configured' : 'the database and Redis answer']
}

function filled(what: string, percent: number | null, good: number): [number, string] {
  if (percent === null) return [100, `${what} was not measured`]
  return [between(percent, good, 100), `${what} ${round(percent, 1)} %${percent > good ? `; above ${good} %` : ''}`]
}

function working(jobs: Vitals['jobs']): [number, string] {
  const ill = jobs.filter(job => !job.well)
  if (jobs.length === 0) return [100, 'no job has run yet']
  if (ill.length === 0) return [100, `all ${jobs.length} jobs do well`]
  const why = ill.slice(0, 5).map(({ name, reason }) => `${name} ${reason}`)
  return [(100 * (jobs.length - ill.length)) / jobs.length, `${ill.length} of ${jobs.length} jobs: ${why.join('; ')}`]
}
