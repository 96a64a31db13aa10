// The janitor: keeps what the database holds within its limits.
import type { Config } from '../config/schema.ts'
import { applyRetention, RETENTION_LOCK } from '../core/usage/retention.ts'
import type { SharedJob } from './jobs.ts'

/** At the start and every hour. Tomorrow's partitions are made by whoever needs them first, and what is old can wait. */
export function janitor(options: {
  /** asked every time: a reload may change it */
  config: () => Config
  log: { info(line: string): unknown }
}): SharedJob {
  const { config, log } = options
  return {
    name: 'retention',
    everyMs: 3_600_000,
    atStart: true,
    lease: RETENTION_LOCK,
    async run(leaving, own) {
      const keep = {
        rows: config()['usage.keep'],
        minutes: config()['usage.keep_minutes'],
        hours: config()['usage.keep_hours'],
        days: config()['usage.keep_days'],
      }
      const done = await applyRetention(own, { now: Date.now(), keep, signal: leaving })
      for (const { name, until } of done.dropped)
        log.info(`retention: dropped ${name}, usage before ${until.toISOString()}`)
      if (done.busy.length > 0 && !leaving.aborted)
        log.info(`retention: ${done.busy.join(', ')} in use by something long; trying again within the hour`)
    },
  }
}
