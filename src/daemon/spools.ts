// The folders of the spool below a data dir, one for each worker, and who takes over what nobody appends to any more.
import { existsSync, mkdirSync, readdirSync, renameSync, rmdirSync } from 'node:fs'
import path from 'node:path'

/** Where a worker's lines wait for their booking. */
export const spoolFolder = (dataDir: string, worker: number): string => path.join(dataDir, 'spool', String(worker))

/** Where it leaves those that are booked, when it is stopped. */
export const bookedFolder = (dataDir: string, worker: number): string => path.join(dataDir, 'booked', String(worker))

/**
 * Gives worker 0 what an older gw left in `spool/` itself and what workers left that are no longer started. A segment is
 * moved by its name alone, so that a crash at any point leaves it in one place or the other. Called by whoever has the
 * data dir's lock, before any worker starts.
 */
export function adoptSpools(dataDir: string, workers: number): void {
  const root = path.join(dataDir, 'spool')
  const heir = spoolFolder(dataDir, 0)
  mkdirSync(heir, { recursive: true, mode: 0o700 })
  moveSegments(root, heir)
  for (const name of readdirSync(root)) {
    if (!/^\d+$/.test(name) || Number(name) < workers) continue
    const gone = path.join(root, name)
    moveSegments(gone, heir)
    try {
      rmdirSync(gone)
    } catch {
      // Something in it is not ours: it harms nobody there.
    }
  }
}

function moveSegments(from: string, to: string): void {
  for (const name of readdirSync(from)) {
    if (!name.endsWith('.ndjson')) continue
    // Two segments may have one name, made by the same process number in the same millisecond: neither may be lost.
    let free = name
    for (let n = 1; existsSync(path.join(to, free)); n++) free = name.replace(/\.ndjson$/, `-${n}.ndjson`)
    renameSync(path.join(from, name), path.join(to, free))
  }
}
