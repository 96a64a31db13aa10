// What a process is asked at the end of an interval: itself, its host, its database and its Redis.
import { statfs } from 'node:fs/promises'
import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks'
import type { Outcome } from '../core/outcome.ts'
import { askDatabase } from '../core/watch/database.ts'
import type { Database } from '../db/connect.ts'
import type { WatchGauges } from '../db/schema-watch.ts'
import { hostReader } from '../lib/host.ts'
import type { Store } from '../store/store.ts'

export interface GaugeSources {
  database: Pick<Database, 'db' | 'pool'>
  store: Pick<Store, 'get' | 'trouble'>
  /** whether the store is a Redis */
  redis: boolean
  dataDir: string
  /** usage lines not yet in Postgres */
  spoolLines: () => number
  /** requests under way */
  under: () => readonly Outcome[]
}

export interface Gauges {
  read(): Promise<WatchGauges>
  close(): void
}

/** How often the event loop is looked at, ms. A loop that is never late is looked at so late. */
const LOOK_MS = 20
const MB = 1024 * 1024

export function createGauges(sources: GaugeSources): Gauges {
  const delay = monitorEventLoopDelay({ resolution: LOOK_MS })
  delay.enable()
  let pausedMs = 0
  const collections = new PerformanceObserver(list => {
    for (const entry of list.getEntries()) pausedMs += entry.duration
  })
  collections.observe({ entryTypes: ['gc'] })
  const readHost = hostReader()
  readHost()
  return {
    async read() {
      const lag = delay.percentile(99) / 1e6 - LOOK_MS
      delay.reset()
      const gcPause = pausedMs
      pausedMs = 0
      const host = readHost()
      const { rss, heapUsed } = process.memoryUsage()
      const pool = sources.database.pool()
      const under = sources.under()
      const [database, redisMs, disk] = await Promise.all([
        askDatabase(sources.database.db),
        sources.redis ? redisTrip(sources.store) : null,
        diskOf(sources.dataDir),
      ])
      return {
        queue_depth: under.filter(outcome => outcome.waitingSince > 0).length,
        in_flight: under.length,
        streams: under.filter(outcome => outcome.stream && outcome.phase === 'streaming').length,
        loop_lag_p99_ms: Math.max(0, lag),
        handles: process.getActiveResourcesInfo().length,
        cpu_percent: host.cpuPercent,
        memory_used_mb: mb(host.memoryUsed),
        memory_total_mb: mb(host.memoryTotal),
        memory_percent:
          host.memoryUsed === null || !host.memoryTotal ? null : (host.memoryUsed / host.memoryTotal) * 100,
        rss_mb: mb(rss),
        heap_mb: mb(heapUsed),
        gc_pause_ms: gcPause,
        db_active: pool.active,
        db_idle: pool.idle,
        db_waiting: pool.waiting,
        redis_ms: redisMs,
        spool_lines: sources.spoolLines(),
        ...database,
        ...disk,
      }
    },
    close() {
      delay.disable()
      collections.disconnect()
    },
  }
}

const mb = <T extends number | null>(bytes: T): T => (bytes === null ? null : Math.round(bytes / MB)) as T

/** Null when no answer came: the store then goes on without its Redis, and says so. */
async function redisTrip(store: GaugeSources['store']): Promise<number | null> {
  const began = performance.now()
  await store.get(['watch'])
  return store.trouble() === undefined ? performance.now() - began : null
}

async function diskOf(folder: string): Promise<Pick<WatchGauges, 'disk_used_mb' | 'disk_total_mb'>> {
  try {
    const { blocks, bfree, bsize } = await statfs(folder)
    const size = (count: number) => BigInt(Math.round((count * bsize) / MB))
    return { disk_used_mb: size(blocks - bfree), disk_total_mb: size(blocks) }
  } catch {
    return { disk_used_mb: null, disk_total_mb: null }
  }
}
