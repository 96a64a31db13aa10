// Heartbeats: when each job last ran and how it went, in table `jobs`; written seldom, since most of them go on as they went.
import type { Database } from '../db/connect.ts'

export interface Beats {
  db: Database['db']
  /** one life of one process, and its host */
  process: string
  node: string
}

interface Beaten {
  name: string
  everyMs: number
  /** a job of one process of all has it */
  lease?: number
}

export interface Heart {
  /** Tells how a run went. Waits for nothing. */
  beat(job: Beaten, run: { tookMs: number; failed: Error | undefined }): void
  /** The jobs of this process are over. */
  close(): Promise<void>
}

const SELDOM_MS = 60_000
const LONGEST_ERROR = 500

interface Known {
  written: number
  outcome: string
  lastSuccess: Date | null
  lastError: Date | null
  error: string | null
  writing: boolean
}

export function createHeart({ db, process, node }: Beats): Heart {
  const jobs = new Map<string, Known>()
  const writing = new Set<Promise<void>>()

  async function write(job: Beaten, known: Known, at: Date, tookMs: number): Promise<void> {
    known.writing = true
    const outcome = {
      node,
      every_ms: BigInt(job.everyMs),
      last_run_at: at,
      last_duration_ms: Math.round(tookMs),
    }
    // What this process does not know of a shared job, another one may have written.
    const news = {
      ...(known.lastSuccess && { last_success_at: known.lastSuccess }),
      ...(known.lastError && { last_error_at: known.lastError, last_error: known.error }),
    }
    try {
      await db
        .insertInto('jobs')
        .values({ name: job.name, process: job.lease === undefined ? process : '', ...outcome, ...news })
        .onConflict(oc => oc.columns(['name', 'process']).doUpdateSet({ ...outcome, ...news }))
        .execute()
    } catch {
      // Postgres is away: others say so. It is told with the next run.
      known.written = 0
    } finally {
      known.writing = false
    }
  }

  return {
    beat(job, { tookMs, failed }) {
      let known = jobs.get(job.name)
      if (!known)
        jobs.set(
          job.name,
          (known = { written: 0, outcome: '', lastSuccess: null, lastError: null, error: null, writing: false }),
        )
      const at = new Date()
      if (failed) {
        known.lastError = at
        known.error = failed.message.slice(0, LONGEST_ERROR)
      } else known.lastSuccess = at
      const outcome = failed ? failed.message : 'done'
      if (known.writing || (outcome === known.outcome && at.getTime() - known.written < SELDOM_MS)) return
      known.outcome = outcome
      known.written = at.getTime()
      const done = write(job, known, at, tookMs).finally(() => writing.delete(done))
      writing.add(done)
    },
    async close() {
      await Promise.all(writing)
      await db
        .deleteFrom('jobs')
        .where('process', '=', process)
        .execute()
        .catch(() => {})
    },
  }
}
