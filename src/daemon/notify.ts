// Tells alerts: a job of every process that takes from the outbox what is due.
import type { Logger } from 'pino'
import type { Config } from '../config/schema.ts'
import { createSender } from '../core/notify/sender.ts'
import type { Db } from '../db/connect.ts'
import { notifyGuard } from '../lib/guard/notify.ts'
import type { Secret } from '../lib/secret.ts'
import type { OwnJob } from './jobs.ts'

export interface Notifying {
  readonly job: OwnJob
  /** Waits so many ms at most for what is under way. */
  close(withinMs: number): Promise<void>
}

export function keepNotifying(
  db: Db,
  secret: Secret,
  options: {
    processId: string
    /** asked every time: a reload may change it */
    config: () => Config
    log: Logger
  },
): Notifying {
  const { processId, config, log } = options
  const sender = createSender({
    db,
    secret,
    holder: processId,
    cap: () => config()['notify.hourly_cap'],
    sending: {
      guard: notifyGuard(config()),
      get smtp() {
        const now = config()
        return { url: now['smtp.url'], passwordFile: now['smtp.password_file'], from: now['smtp.from'] }
      },
    },
    log: (level, line) => log[level](line),
  })
  return {
    job: { name: 'notifications', everyMs: 1_000, run: () => sender.round() },
    close: withinMs => sender.close(withinMs),
  }
}
