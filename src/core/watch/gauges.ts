// What processes said of themselves last, and whether their periodic jobs do well.
import { sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { WatchGauges } from '../../db/schema-watch.ts'
import { processOf } from './lives.ts'
import { MINUTE } from './range.ts'

export interface Process extends WatchGauges {
  at: Date
  process: string
  node: string
  interval_ms: number
}

/** The processes that lived at `now` (Unix ms): those with a row no older than two intervals and a bit, nor younger. */
export async function living(db: Db, now: number): Promise<Process[]> {
  // `ops.interval` is at most an hour.
  const { rows } = await sql<Process>`
    select distinct on (process) at, process, node, interval_ms, queue_depth, in_flight, streams, loop_lag_p99_ms, handles, cpu_percent,
      memory_used_mb, memory_total_mb, memory_percent, rss_mb, heap_mb, gc_pause_ms, db_active, db_idle, db_waiting, db_ms, redis_ms,
      disk_used_mb, disk_total_mb, spool_lines, active_alerts, active_subscriptions
    from watch_metrics
    where at > ${new Date(now - 3 * 60 * MINUTE)}
      and at > ${new Date(now)}::timestamptz - (2 * interval_ms + 30000) * interval '1 millisecond'
      and at <= ${new Date(now)}::timestamptz + (2 * interval_ms + 30000) * interval '1 millisecond'
    order by process, at desc`.execute(db)
  return rows
}

export interface JobState {
  name: string
  /** '' where one process of all does it */
  process: string
  well: boolean
  /** why not; '' when it is well */
  reason: string
}

/** The jobs of the cluster, and those of processes that live. */
export async function jobStates(db: Db, processes: readonly Process[], now: number): Promise<JobState[]> {
  const alive = ['', ...processes.map(({ process }) => processOf(process))]
  const rows = await db.selectFrom('jobs').selectAll().where('process', 'in', alive).orderBy('name').execute()
  return rows.map(job => {
    const reason = judgeJob(job, now)
    return { name: job.name, process: job.process, well: reason === '', reason }
  })
}

/**
 * Forgets the jobs of processes that died without a word within the hour, and after a week those of all processes that nobody
 * does any more: another version has other ones.
 */
export const forgetDead = (db: Db) =>
  sql`delete from jobs where last_run_at < now() - case process when '' then interval '7 days' else interval '1 hour' end`.execute(
    db,
  )

interface Heartbeat {
  every_ms: bigint
  last_run_at: Date
  last_success_at: Date | null
  last_error_at: Date | null
  last_error: string | null
}

// Whatever is done more often must have been done within this time.
const STALE_MS = 15 * MINUTE

/** '' when it does well: its last error is no newer than its last success, and that is not too long ago for how often it runs. */
export function judgeJob(job: Heartbeat, now: number): string {
  const [good, bad] = [job.last_success_at?.getTime() ?? -Infinity, job.last_error_at?.getTime() ?? -Infinity]
  if (bad > good) return `failed ${new Date(bad).toISOString()}: ${job.last_error ?? 'no reason given'}`
  // One that has only just begun has had no success yet.
  const last = good === -Infinity ? job.last_run_at.getTime() : good
  if (now - last > Math.max(STALE_MS, 2 * Number(job.every_ms)))
    return `no success since ${new Date(last).toISOString()}`
  return ''
}

/** The largest of what was said; null where nobody said any. */
export function most(processes: readonly Process[], of: (p: Process) => number | null): number | null {
  return processes.reduce<number | null>((best, p) => {
    const value = of(p)
    return value === null ? best : Math.max(best ?? value, value)
  }, null)
}

/** All of it together; null where nobody said any. */
export function together(processes: readonly Process[], of: (p: Process) => number | null): number | null {
  return processes.reduce<number | null>((sum, p) => {
    const value = of(p)
    return value === null ? sum : (sum ?? 0) + value
  }, null)
}

export const diskPercent = ({
  disk_used_mb,
  disk_total_mb,
}: Pick<Process, 'disk_used_mb' | 'disk_total_mb'>): number | null =>
  disk_used_mb === null || !disk_total_mb ? null : Math.round(Number((1000n * disk_used_mb) / disk_total_mb)) / 10
