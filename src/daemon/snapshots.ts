// Keeps the snapshot fresh: what is notified is read, one read after the other, so that later changes never come before earlier ones.
import { setTimeout as rest } from 'node:timers/promises'
import type { Logger } from 'pino'
import { advanceSnapshot, forgetChanges, loadSnapshot } from '../core/read-snapshot.ts'
import type { Snapshot } from '../core/snapshot.ts'
import type { Database } from '../db/connect.ts'
import { CHANGED, type Ears } from '../db/listen.ts'
import type { Secret } from '../lib/secret.ts'

/** A change is heard at once or, when the connection was lost, read with all the others: nobody needs it this much later. */
const KEEP_CHANGES_MS = 3_600_000
/** A notification that never came, for whatever reason, is found out this much later. */
const LOOK_MS = 15_000
/** Between two reads requests are served, for as long as the one before took: at least so long, and at most. */
const REST_MS = [50, 500] as const

export interface Snapshots {
  first: Snapshot
  /** Reads everything again. @throws when it cannot be read now; it is tried until it can */
  renew(): Promise<void>
  /** why the snapshot may be old, in words; undefined when it is fresh */
  stale(): string | undefined
  close(): Promise<void>
}

/**
 * Loads the first snapshot and calls `changed` with each later one. What is notified while one is read, or shortly after, is
 * read together. Every `lookMs` it looks without having been told.
 */
export async function followSnapshots(
  { db }: Pick<Database, 'db'>,
  ears: Ears,
  secret: Secret,
  log: Logger,
  changed: (snapshot: Snapshot) => void,
  { lookMs = LOOK_MS }: { lookMs?: number } = {},
): Promise<Snapshots> {
  let snapshot: Snapshot | undefined
  let loading: Promise<void> | undefined
  let again = false
  // All that changed is asked for, not what is known to have: the first time, and when notifications may have been missed.
  let whole = true
  let problem: string | undefined
  let closed = false
  // A state of this server, and an hour old: what changed before it every process has read.
  let horizon: string | undefined
  let timer: NodeJS.Timeout | undefined
  const ending = new AbortController()

  async function read(): Promise<Snapshot> {
    const before = snapshot
    let next = whole || !before ? undefined : await advanceSnapshot(db, secret, before)
    if (!next) {
      whole = false
      next = await loadSnapshot(db, secret, before)
    }
    for (const [account, line] of next.problems) if (before?.problems.get(account) !== line) log.error(line)
    return (snapshot = next)
  }

  async function load(): Promise<void> {
    do {
      again = false
      const begun = performance.now()
      try {
        const before = snapshot
        const next = await read()
        if (next !== before) changed(next)
        if (problem !== undefined) log.info('the snapshot is fresh again')
        problem = undefined
      } catch (error) {
        whole = true
        if (problem === undefined)
          log.warn(`cannot read the database, serving from the last snapshot: ${(error as Error).message}`)
        problem = (error as Error).message
        clearTimeout(timer)
        if (!closed) timer = setTimeout(reload, 1000)
      }
      const took = performance.now() - begun
      const [least, most] = REST_MS
      await rest(Math.min(Math.max(took, least), most), undefined, { signal: ending.signal }).catch(() => {})
    } while (again && !closed)
  }
  function reload(): void {
    if (closed) return
    // What was notified during a read may have missed it: once more, with all that comes until then.
    if (loading) again = true
    else loading = load().finally(() => (loading = undefined))
  }

  function anew(): void {
    whole = true
    horizon = undefined
    reload()
  }

  // Listen first, load after: a change between the two is then heard, not lost.
  await ears.hear(CHANGED, payload => {
    // Connected anew, maybe to another server, whose changes we cannot count from where we are.
    if (payload === '') anew()
    else reload()
  })
  const first = await read()
  horizon = first.at
  const forgetting = setInterval(() => {
    const old = horizon
    horizon = snapshot!.at
    if (old === undefined) return
    forgetChanges(db, old).catch(error => log.warn(`old changes stay in the database: ${(error as Error).message}`))
  }, KEEP_CHANGES_MS).unref()
  const looking = setInterval(reload, lookMs).unref()
  return {
    first,
    async renew() {
      anew()
      while (loading) await loading
      if (problem !== undefined) throw new Error(problem)
    },
    stale: () => problem,
    async close() {
      closed = true
      ending.abort()
      clearTimeout(timer)
      clearInterval(forgetting)
      clearInterval(looking)
      await loading
    },
  }
}
