// Explanations of requests: recorded as they end, and given to whoever asks on the control socket or the ops listener.
import type { Config } from '../config/schema.ts'
import { explain } from '../core/explain/explain.ts'
import type { Explanation } from '../core/explain/explanation.ts'
import { explainFolder } from '../core/explain/files.ts'
import { explainLine } from '../core/explain/line.ts'
import { openRecorder, type Recorder } from '../core/explain/recorder.ts'
import type { Db } from '../db/connect.ts'
import type { OpsRoutes } from '../ops/routes.ts'
import type { Live } from './live.ts'

export interface Explanations {
  /** the fold */
  recorder: Recorder
  /** @throws Refusal `usage`, `missing` */
  explain(id: string): Promise<Explanation>
  routes: OpsRoutes
  /** why requests are not recorded, while that is so */
  trouble(): string | undefined
  close(): Promise<void>
}

export function keepExplanations(options: {
  dataDir: string
  /** asked every time: a reload may change it */
  config: () => Config
  /** number of the worker */
  number: number
  live: Live
  db: Db
  now: () => number
  log: (level: 'info' | 'warn', line: string) => void
}): Explanations {
  const { dataDir, config, number, live, db, now, log } = options
  const recorder = openRecorder({
    folder: explainFolder(dataDir, number),
    keepMs: () => config()['ops.explain.keep'],
    maxBytes: () => config()['ops.explain.size'],
    // Before the disk counts as full for the books.
    minFreeBytes: () => 2 * config()['billing.min_free_disk'],
    log,
  })
  const underWay = (id: string) => {
    const found = live.under().find(outcome => outcome.id === id)
    return found && explainLine(found)
  }
  const { flush } = recorder
  const explainNow = (id: string) =>
    explain(id, { dataDir, keepMs: config()['ops.explain.keep'], db, now: now(), underWay, flush })
  return {
    recorder,
    explain: explainNow,
    routes: { '/ops/explain/{id}': (_query, id) => explainNow(id) },
    trouble() {
      const { trouble, dropped } = recorder.state()
      return trouble && `${trouble} (${dropped} request${dropped === 1 ? ' is' : 's are'} not recorded)`
    },
    close: () => recorder.close(),
  }
}
