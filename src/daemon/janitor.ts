// The janitor: keeps what the database holds within its limits, at the start and every hour.
import type { Logger } from 'pino'
import type { Config } from '../config/schema.ts'
import { retainAlone } from '../core/usage/retention.ts'
import type { Database } from '../db/connect.ts'

const EVERY_MS = 3_600_000

export interface Janitor {
  /** Ends the round under way after its current step. */
  close(): Promise<void>
}

/** Of several processes one works, the others find it at work and leave it to that. */
export function startJanitor(options: {
  database: Pick<Database, 'db'>
  /** asked every time: a reload may change it */
  config: () => Config
  log: Pick<Logger, 'info' | 'warn'>
}): Janitor {
  const { database, config, log } = options
  const leaving = new AbortController()

  async function round(): Promise<void> {
    const keep = {
      rows: config()['usage.keep'],
      minutes: config()['usage.keep_minutes'],
      hours: config()['usage.keep_hours'],
      days: config()['usage.keep_days'],
    }
    try {
      const done = await retainAlone(database.db, { now: Date.now(), keep, signal: leaving.signal })
      if (!done) return
      for (const { name, until } of done.dropped)
        log.info(`retention: dropped ${name}, usage before ${until.toISOString()}`)
      if (done.busy.length > 0 && !leaving.signal.aborted)
        log.info(`retention: ${done.busy.join(', ')} in use by something long; trying again within the hour`)
    } catch (error) {
      // Tomorrow's partitions are made by whoever needs them first, and what is old can wait.
      if (!leaving.signal.aborted) log.warn(`retention: ${(error as Error).message}; trying again within the hour`)
    }
  }

  let running = round()
  const timer = setInterval(() => {
    running = running.then(round)
  }, EVERY_MS).unref()

  return {
    async close() {
      leaving.abort()
      clearInterval(timer)
      await running
    },
  }
}
