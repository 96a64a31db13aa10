// Keeps the snapshot fresh: every notification leads to a new one, never two loads at once.
import type { Logger } from 'pino'
import { loadSnapshot, type Snapshot } from '../core/snapshot.ts'
import type { Database } from '../db/connect.ts'
import { CHANGED, listen } from '../db/listen.ts'
import type { Secret } from '../lib/secret.ts'

export interface Snapshots {
  first: Snapshot
  /** why the snapshot may be old, in words; undefined when it is fresh */
  stale(): string | undefined
  close(): Promise<void>
}

/** Loads the first snapshot and calls `changed` with each later one. */
export async function followSnapshots(
  database: Database,
  secret: Secret,
  log: Logger,
  changed: (snapshot: Snapshot) => void,
): Promise<Snapshots> {
  let loading: Promise<void> | undefined
  let again = false
  let problem: string | undefined
  let closed = false
  let timer: NodeJS.Timeout | undefined

  async function load(): Promise<void> {
    do {
      again = false
      try {
        const snapshot = await loadSnapshot(database.db, secret)
        for (const line of snapshot.problems) log.error(line)
        changed(snapshot)
        if (problem !== undefined) log.info('the snapshot is fresh again')
        problem = undefined
      } catch (error) {
        if (problem === undefined)
          log.warn(`cannot read the database, serving from the last snapshot: ${(error as Error).message}`)
        problem = (error as Error).message
        if (!closed) timer = setTimeout(reload, 1000)
      }
    } while (again && !closed)
  }
  function reload(): void {
    if (closed) return
    // What was notified during a load may have missed it: load once more.
    if (loading) again = true
    else loading = load().finally(() => (loading = undefined))
  }

  // Listen first, load after: a change between the two is then heard, not lost.
  const ears = await listen(database.connection, CHANGED, reload, (level, line) => log[level](line))
  const first = await loadSnapshot(database.db, secret)
  for (const line of first.problems) log.error(line)
  return {
    first,
    stale: () => problem,
    async close() {
      closed = true
      clearTimeout(timer)
      await ears.close()
      await loading
    },
  }
}
