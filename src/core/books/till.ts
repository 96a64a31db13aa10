// The till: every line of usage is taken, on disk when the disk takes it, else in memory until it or Postgres does; and who asks is told in time.
import { statfsSync } from 'node:fs'
import { formatSize } from '../../lib/units.ts'
import { within } from '../../lib/within.ts'
import type { UsageLine } from './line.ts'
import { isBadRow } from './move.ts'
import { payableLine } from './read-line.ts'
import { setAside } from './refused.ts'
import type { Spool } from './spool.ts'

export interface Till {
  /** Takes a line. When it returns the line survives the death of this process, unless `closed()` says why not. Never throws. */
  take(line: string): void
  /** Why no request should be begun now, in words; undefined when all is well. */
  closed(): string | undefined
  /** What is wrong with the disk, whatever the policy says. */
  trouble(): string | undefined
  /** Tries for so many ms (default 2.5 s) to write what the disk refused; what nobody took is in the log then. */
  close(withinMs?: number): Promise<void>
}

export interface TillOptions {
  spool: Spool
  folder: string
  /** where lines are set aside that Postgres will never take */
  refusedFile: string
  /** live settings */
  policy: () => { whenFull: 'refuse' | 'serve'; minFreeBytes: number }
  /** books lines past the disk */
  book: (lines: readonly string[]) => Promise<unknown>
  /** told of a line that was given up, since Postgres will never take it */
  refused?: (line: UsageLine) => void
  log: (level: 'info' | 'warn' | 'error', line: string) => void
}

// The disk is looked at this often, and lines it refused are offered again.
const LOOK_MS = 1_000
// Kept in memory at most, whatever the policy: about 60 MB.
const MOST = 100_000
const BATCH = 500
const CLOSE_MS = 2_500
// Lines of usage that are one of the log, when nothing else took them.
const LOGGED = 50

export function openTill({ spool, folder, refusedFile, policy, book, refused, log }: TillOptions): Till {
  // What the disk refused, oldest first.
  let kept: string[] = []
  let trouble: string | undefined
  let retrying: Promise<void> | undefined
  let most = BATCH
  let ended = false

  const say = (now: string | undefined) => {
    if (now !== undefined && trouble === undefined) log('error', `usage spool: ${now}`)
    if (now === undefined && trouble !== undefined) log('info', 'usage spool: the disk takes usage again')
    trouble = now
  }
  const append = (line: string): boolean => {
    try {
      spool.append(line)
      return true
    } catch (error) {
      say(`cannot write: ${(error as Error).message}`)
      return false
    }
  }
  function look(): void {
    // What may be booked at this moment must not be appended as well: it would be counted twice.
    if (retrying) return
    let written = 0
    while (written < kept.length && append(kept[written]!)) written++
    kept.splice(0, written)
    if (kept.length === 0) say(freeSpace())
    else retrying = past().finally(() => (retrying = undefined))
  }
  // Where the disk takes nothing Postgres may: booked there a line is safe, too.
  async function past(): Promise<void> {
    const batch = kept.slice(0, most)
    try {
      await book(batch)
      most = BATCH
    } catch (error) {
      // It stays; the next look tries both again.
      if (!isBadRow(error)) return
      most = batch.length >> 1
      if (most > 0) return past()
      give(batch[0]!, (error as Error).message)
      most = BATCH
    }
    const done = new Set(batch)
    kept = kept.filter(line => !done.has(line))
  }
  // The file of refused lines may lie on a disk that takes them; where it does not, the log has the line.
  function give(line: string, why: string): void {
    try {
      setAside(refusedFile, [{ why, segment: null, offset: 0, raw: Buffer.from(line) }])
      log('error', `a usage line was refused (${why}) and is kept in ${refusedFile}; see gw ledger refused list`)
    } catch {
      log('error', `a usage line was refused (${why}) while the disk takes nothing: ${line}`)
    }
    const payable = payableLine(line)
    if (payable) refused?.(payable)
  }
  function freeSpace(): string | undefined {
    const { minFreeBytes } = policy()
    try {
      const { bavail, bsize } = statfsSync(folder)
      if (bavail * bsize >= minFreeBytes) return undefined
      return `${formatSize(bavail * bsize)} are left on its disk, and billing.min_free_disk is ${formatSize(minFreeBytes)}`
    } catch (error) {
      return `cannot see its disk: ${(error as Error).message}`
    }
  }
  async function lastTry(): Promise<void> {
    for (let before = Infinity; kept.length > 0 && kept.length < before; ) {
      before = kept.length
      await retrying
      if (kept.length > 0) await past()
    }
  }
  look()
  const timer = setInterval(look, LOOK_MS).unref()

  return {
    take(line) {
      if (kept.length === 0 && append(line)) return
      if (ended) log('error', `a line of usage could be written nowhere: ${line}`)
      else kept.push(line)
    },
    closed: () =>
      trouble !== undefined && (policy().whenFull === 'refuse' || kept.length >= MOST) ? trouble : undefined,
    trouble: () => trouble,
    async close(withinMs = CLOSE_MS) {
      clearInterval(timer)
      look()
      await within(withinMs, lastTry()).catch(() => {})
      ended = true
      // A line of the log that is too long is written nowhere either.
      for (let n = 0; n < kept.length; n += LOGGED) {
        const some = kept.slice(n, n + LOGGED)
        const which = `${n + 1} to ${n + some.length} of ${kept.length} lines of usage`
        log('error', `${which} could be written nowhere: ${some.join('\n')}`)
      }
    },
  }
}
