// The janitor: keeps what the database holds within its limits.
import { isDeepStrictEqual } from 'node:util'
import type { Config } from '../config/schema.ts'
import type { Keep } from '../core/retention/kept.ts'
import { clockOf, lastRun, RETENTION_LOCK, runRetention } from '../core/retention/run.ts'
import type { SharedJob } from './jobs.ts'
import { keepOf } from './keep.ts'

const HOUR = 3_600_000
// A little less than a day, so that the hour of it does not wander.
const DAILY_MS = 23.5 * HOUR

/** At the start, daily by one process of all, and when other times are set; what was in use then is tried again every hour. */
export function janitor(options: {
  /** asked every time: a reload may change it */
  config: () => Config
  log: { info(line: string): unknown }
}): SharedJob {
  const { config, log } = options
  let again = true
  let kept: Keep | undefined
  return {
    name: 'retention',
    everyMs: HOUR,
    atStart: true,
    lease: RETENTION_LOCK,
    async run(leaving, own) {
      const last = await lastRun(own)
      const keep = keepOf(config())
      const other = !isDeepStrictEqual(keep, kept)
      // Another's trouble is everybody's: to look away would be told as a success.
      const due =
        again || other || !last.well || last.at === undefined || Math.abs((await clockOf(own)) - last.at) >= DAILY_MS
      if (!due) return
      const done = await runRetention(own, { hostNow: Date.now(), keep, signal: leaving })
      for (const { partition, until } of done.dropped)
        log.info(`retention: dropped ${partition}, all before ${until.toISOString()}`)
      if (done.alerts > 0) log.info(`retention: deleted ${done.alerts} rows of alerts`)
      if (leaving.aborted) return
      kept = keep
      again = done.busy.length > 0 || done.doubt !== undefined || done.failed.length > 0
      if (done.busy.length > 0)
        log.info(`retention: ${done.busy.join(', ')} in use by something long; trying again within the hour`)
      if (done.doubt !== undefined) throw new Error(done.doubt)
      if (done.failed.length > 0) throw new Error(done.failed.join('; '))
    },
  }
}
