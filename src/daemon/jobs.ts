// What is done again and again: a table of jobs, and the runner that never starts one twice at a time and ends all at close.
import { alone } from '../db/alone.ts'
import type { Database } from '../db/connect.ts'
import { formatDuration } from '../lib/units.ts'
import { type Beats, createHeart } from './heart.ts'

interface Common {
  /** for the log, and for table `jobs` */
  name: string
  everyMs: number
  /** begun at once, too, not only after the first `everyMs` */
  atStart?: boolean
  /** ms until it is begun next, asked whenever it was begun; default: `everyMs`. So a job keeps to multiples of its time. */
  dueIn?(): number
}

/** Done by every process for itself. */
export interface OwnJob extends Common {
  run(leaving: AbortSignal): unknown
}

/** Done by one process of all that share a Postgres: who finds another at it leaves it to that, and tries again next time. */
export interface SharedJob extends Common {
  /** number of the advisory lock that is held meanwhile, as in `db/alone.ts` */
  lease: number
  /** `own` is the connection that holds the lease */
  run(leaving: AbortSignal, own: Database['db']): Promise<unknown>
}

export type Job = OwnJob | SharedJob

export interface Jobs {
  /** Begins the job of this name now; one that is under way, when that is over. */
  begin(name: string): void
  /** Starts nothing more, tells what is under way to leave, and waits for it. */
  close(): Promise<void>
}

/** Runs jobs until it is closed. What one throws is logged, and it is tried again in its time; `beats`: who tells how it went. */
export function startJobs(
  jobs: readonly Job[],
  {
    database,
    log,
    beats,
  }: { database: Pick<Database, 'db'>; log: { warn(line: string): unknown }; beats?: Omit<Beats, 'db'> },
): Jobs {
  const leaving = new AbortController()
  const under = new Map<Job, Promise<void>>()
  const heart = beats && createHeart({ db: database.db, ...beats })

  async function once(job: Job): Promise<void> {
    const began = performance.now()
    let done = true
    let failed: Error | undefined
    try {
      if ('lease' in job) {
        done = false
        await alone(database.db, job.lease, own => {
          done = true
          return job.run(leaving.signal, own)
        })
      } else await job.run(leaving.signal)
    } catch (error) {
      if (leaving.signal.aborted) return
      done = true
      failed = error as Error
      log.warn(`${job.name}: ${failed.message}; trying again within ${formatDuration(job.everyMs)}`)
    }
    // Another process did it, and tells.
    if (done) heart?.beat(job, { tookMs: performance.now() - began, failed })
  }
  // A round that takes longer than its time takes the place of the next.
  const start = (job: Job) => {
    if (!under.has(job))
      under.set(
        job,
        once(job).finally(() => under.delete(job)),
      )
  }
  const timers = new Map<Job, NodeJS.Timeout>()
  const plan = (job: Job): void => {
    const begin = () => {
      start(job)
      plan(job)
    }
    timers.set(job, job.dueIn ? setTimeout(begin, job.dueIn()).unref() : setInterval(start, job.everyMs, job).unref())
  }
  for (const job of jobs) plan(job)
  for (const job of jobs) if (job.atStart) start(job)

  return {
    begin(name) {
      const job = jobs.find(one => one.name === name)
      if (job) void Promise.resolve(under.get(job)).then(() => leaving.signal.aborted || start(job))
    },
    async close() {
      leaving.abort()
      for (const timer of timers.values()) clearTimeout(timer)
      await Promise.all(under.values())
      await heart?.close()
    },
  }
}
