// The collector: what ended and how this process is, written at the end of each interval; and the sums of hours and days.
import os from 'node:os'
import type { Snapshot } from '../core/snapshot.ts'
import { modelClasses, pathClasses } from '../core/watch/classes.ts'
import { createFold, type WatchFold } from '../core/watch/fold.ts'
import { forgetDead } from '../core/watch/gauges.ts'
import { Lives } from '../core/watch/lives.ts'
import { ROLLUP_LOCK, rollUp } from '../core/watch/rollup.ts'
import type { Database } from '../db/connect.ts'
import type { WatchGauges } from '../db/schema-watch.ts'
import { routes } from '../gateway/enter/routes.ts'
import { within } from '../lib/within.ts'
import { createGauges, type GaugeSources } from './gauges.ts'
import type { Job, OwnJob, SharedJob } from './jobs.ts'

export interface CollectorOptions extends GaugeSources {
  database: Database
  /** names this life of this process */
  process: string
  intervalMs: number
  snapshot: () => Snapshot
  log: { warn(line: string): unknown }
}

export interface Collector {
  fold: WatchFold
  jobs: Job[]
  /** what was measured at the end of the last interval; undefined before there was one */
  latest(): WatchGauges | undefined
  /** Writes what is not written yet, within so many ms: a process dies with what an absent Postgres did not take. */
  close(withinMs: number): Promise<void>
}

// A timer may be early by a millisecond, and then the interval would not be over.
const LAG_MS = 20
const ROLLUP_MS = 60_000
const MINUTE_MS = 60_000

export function createCollector(options: CollectorOptions): Collector {
  const { database, process, intervalMs, snapshot, log } = options
  const { db } = database
  const now = Date.now
  const fold = createFold({
    intervalMs,
    now,
    pathClass: pathClasses(routes.map(route => route.path)),
    lost: slice =>
      log.warn(`collector: what ended since ${new Date(slice.from).toISOString()} is lost, Postgres takes nothing`),
    modelClass: modelClasses(model => snapshot().prices.find(model, now())?.price.model === model),
  })
  const pending = new Lives({
    writer: { process, node: os.hostname() },
    intervalMs,
    log: line => log.warn(line),
  })
  const gauges = createGauges(options)

  let latest: WatchGauges | undefined
  let last = now()
  async function collect(all = false): Promise<void> {
    const at = now()
    if (fold.putBack()) pending.begin(fold.cut(true), at, latest)
    const over = all || Math.floor(at / intervalMs) > Math.floor(last / intervalMs)
    last = at
    // Cut first: what is asked may take its time.
    const slices = fold.cut(all)
    let measured: WatchGauges | undefined
    try {
      if (over) measured = latest = await gauges.read()
    } finally {
      // What was counted is kept, whether or not anything could be measured.
      pending.add(slices, at, measured, all)
    }
    await pending.write(db, at)
  }

  const collector: OwnJob = {
    name: 'collector',
    // Minutes of a long interval are taken in, and written, one by one: a slice is ten times what its rows are.
    everyMs: Math.min(intervalMs, MINUTE_MS),
    dueIn: () => Math.min(untilNext(intervalMs, LAG_MS), untilNext(MINUTE_MS, LAG_MS)),
    run: () => collect(),
  }
  const rollup: SharedJob = {
    name: 'watch roll-up',
    everyMs: ROLLUP_MS,
    dueIn: () => untilNext(ROLLUP_MS, 10_000),
    lease: ROLLUP_LOCK,
    async run(leaving, own) {
      await rollUp(own, { signal: leaving })
      await forgetDead(own)
    },
  }
  return {
    fold,
    latest: () => latest,
    jobs: [collector, rollup],
    async close(withinMs) {
      await within(withinMs, collect(true)).catch(error => {
        if (pending.size > 0) log.warn(`collector: ${pending.size} rows are lost: ${(error as Error).message}`)
      })
      gauges.close()
    },
  }
}

/** ms until so long after the next multiple of `everyMs`: it is the same instant in all processes. */
function untilNext(everyMs: number, lagMs: number): number {
  const now = Date.now() - lagMs
  return (Math.floor(now / everyMs) + 1) * everyMs - now
}
