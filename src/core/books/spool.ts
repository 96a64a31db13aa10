// The spool: usage is appended to a file first and moved to Postgres in batches; what a crash leaves is replayed at start.
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { Ages } from './ages.ts'
import type { Booked } from './book.ts'
import type { UsageLine } from './line.ts'
import type { Moved } from './move.ts'
import type { Mover } from './mover.ts'
import { type Stretch, tellLines } from './segment.ts'

export interface SpoolOptions {
  folder: string
  /**
   * Where a spool that is closed leaves what it has moved and still has, for a database that is put back before the next start.
   * That one moves it `again`, or takes it away. Default: it goes at once
   */
  kept?: { folder: string; again: boolean } | undefined
  /** how long rows may wait for company, ms */
  intervalMs: number
  /** moves lines to Postgres; closed with the spool */
  mover: Pick<Mover, 'start' | 'move' | 'close'>
  /** told of each batch that is in Postgres */
  booked?: (booked: Booked) => void
  /** told, before anything moves, of the lines that an earlier run left */
  inherited?: (line: UsageLine) => void
  /** told of a line that was set aside, if it says who pays how much */
  refused?: (line: UsageLine) => void
  /** told of trouble, once when it begins and once when it ends */
  log: (level: 'info' | 'warn' | 'error', line: string) => void
}

export interface Spool {
  /** Appends one line. Synchronous: when it returns the line survives the death of this process. @throws when the disk refuses */
  append(line: string): void
  /** Lines not yet in Postgres, when the oldest of them came (Unix ms, to a second; undefined: there are none), and what keeps them. */
  state(): { waiting: number; oldest: number | undefined; error: string | undefined }
  /**
   * Moves everything again that is still on disk, for a database that went back: what it has is booked no second time. Told as
   * inherited first, and so put aside until it is booked. @returns how many lines
   */
  rewind(): Promise<number>
  /** Moves all there is; resolves when the spool is empty or `deadlineMs` has passed. */
  drain(deadlineMs: number): Promise<void>
  /** Stops writing after the batch under way, or after so many ms; what is left stays on disk for the next start. */
  close(withinMs?: number): Promise<void>
}

// A segment beyond this is closed and a new one begun, so that moved segments can be deleted under steady load. The last one before it is
// kept: of a database that goes back a little nothing is lost that was just written.
const SEGMENT_BYTES = 8 * 1024 * 1024

interface Segment {
  file: string
  fd: number
  /** bytes appended */
  size: number
  /** bytes moved to Postgres */
  moved: number
}

/**
 * Opens the spool in `folder` and adopts every segment found there. The folder belongs to one process at a time
 * (the data dir's lock), so nobody else appends to what is adopted.
 */
export function openSpool(options: SpoolOptions): Spool {
  const { kept } = options
  mkdirSync(options.folder, { recursive: true, mode: 0o700 })
  if (kept) takeBack(kept, options.folder)
  const segments: Segment[] = readdirSync(options.folder)
    .filter(name => name.endsWith('.ndjson'))
    .sort()
    .map(name => {
      const file = path.join(options.folder, name)
      const fd = openSync(file, 'r')
      return { file, fd, size: fstatSync(fd).size, moved: 0 }
    })
  const inherited = segments.reduce((sum, s) => sum + s.size, 0)
  if (inherited > 0) options.log('info', `replaying ${inherited} bytes of usage that an earlier run left in the spool`)

  let current: Segment | undefined
  let previous: Segment | undefined
  const turn = () => {
    previous = current ?? previous
    current = undefined
  }
  const last = segments.findLast(({ size }) => size > 0)
  const stretchOf = (segment: Segment): Stretch => {
    const { file, fd, moved, size } = segment
    return {
      file,
      fd,
      from: moved,
      to: size,
      over: segment !== current && segment !== previous,
      last: segment === last,
    }
  }
  let waiting = segments.reduce((sum, s) => sum + tellLines(stretchOf(s), options.inherited ?? (() => {})), 0)
  const ages = new Ages()
  // A segment is named by when it was begun.
  if (waiting > 0) ages.came(Number.parseInt(path.basename(segments[0]!.file), 10) || Date.now(), waiting)
  let error: string | undefined
  let timer: NodeJS.Timeout | undefined
  let moving: Promise<void> | undefined
  let backoffMs = 0
  let closed = false

  function append(line: string): void {
    if (closed) throw new Error('the spool is closed')
    if (!current || current.size > SEGMENT_BYTES) {
      turn()
      const file = path.join(options.folder, `${Date.now()}-${process.pid}-${segments.length}.ndjson`)
      current = { file, fd: openSync(file, 'ax+', 0o600), size: 0, moved: 0 }
      segments.push(current)
    }
    const text = `${line}\n`
    const length = Buffer.byteLength(text)
    try {
      let written = writeSync(current.fd, text)
      if (written < length) {
        const bytes = Buffer.from(text)
        while (written < length) written += writeSync(current.fd, bytes, written)
      }
    } catch (cause) {
      // Half a line must not become the beginning of the next one.
      try {
        ftruncateSync(current.fd, current.size)
      } catch {
        // It stands behind all that counts, and goes with the file.
        current = undefined
      }
      throw cause
    }
    current.size += length
    waiting++
    ages.came(Date.now())
    if (!timer && !moving) schedule(options.intervalMs)
  }

  function schedule(ms: number): void {
    if (timer || moving || closed) return
    // While rows wait for company.
    options.mover.start()
    timer = setTimeout(() => {
      timer = undefined
      run()
    }, ms)
  }

  // Never two at once: both would count the same bytes as moved, and lines behind them would be skipped.
  function run(): Promise<void> {
    moving ??= move().finally(() => {
      moving = undefined
      // What came meanwhile waits for company, too: or batches would shrink to what comes while one is booked.
      if (pending()) schedule(backoffMs || options.intervalMs)
    })
    return moving
  }

  const pending = () => segments.some(s => s.moved < s.size)

  async function move(): Promise<void> {
    if (current && current.size > SEGMENT_BYTES) turn()
    try {
      const stretches = segments.map(stretchOf).filter(({ from, to, over }) => from < to || over)
      await options.mover.move(stretches, told)
      well()
    } catch (cause) {
      if (closed) return
      // It failed when all had been booked: nothing is kept from Postgres.
      if (!pending()) return well()
      if (error === undefined) options.log('error', `usage waits in the spool: ${(cause as Error).message}`)
      error = (cause as Error).message
      backoffMs = Math.min(Math.max(backoffMs * 2, 250), 5_000)
    }
  }

  function leave(file: string): void {
    try {
      if (kept) {
        renameSync(file, path.join(kept.folder, path.basename(file)))
        return
      }
    } catch {
      // Where it is it would be moved again for nothing.
    }
    unlinkSync(file)
  }

  function well(): void {
    if (error !== undefined) options.log('info', 'usage is being written to Postgres again')
    error = undefined
    backoffMs = 0
  }

  function told({ file, to, ends, gone, booked, refused, unfinished }: Moved): void {
    const nth = segments.findIndex(segment => segment.file === file)
    const segment = segments[nth]!
    // In one go: what was booked is behind us before anything else is tried, and nobody counts it a second time.
    segment.moved = to
    waiting -= ends
    ages.left(ends)
    if (gone) {
      segments.splice(nth, 1)
      closeSync(segment.fd)
    }
    if (booked) options.booked?.(booked)
    if (unfinished > 0)
      options.log('info', `${file} ends with ${unfinished} bytes of a line that was never finished: left out`)
    if (!refused) return
    const { count, why, kept, payable } = refused
    for (const line of payable) options.refused?.(line)
    const what =
      count === 1
        ? `a usage line was refused (${why}) and is`
        : `${count} usage lines were refused (the first: ${why}) and are`
    options.log('error', `${what} kept in ${kept}; see gw ledger refused list`)
  }

  if (pending()) schedule(0)
  return {
    append,
    state: () => ({ waiting, oldest: ages.oldest(), error }),
    async rewind() {
      while (moving) await moving
      // Its files are shut, and their numbers may be others' by now.
      if (closed) return 0
      let lines = 0
      for (const segment of segments) {
        lines += tellLines({ ...stretchOf(segment), from: 0, to: segment.moved }, options.inherited ?? (() => {}))
        segment.moved = 0
      }
      if (lines > 0) {
        waiting += lines
        ages.came(Date.now(), lines)
        schedule(0)
      }
      return lines
    },
    async drain(deadlineMs) {
      const deadline = performance.now() + deadlineMs
      for (let left = deadlineMs; left > 0 && pending() && !closed; left = deadline - performance.now()) {
        // Postgres may also be silent: then the deadline comes first.
        await Promise.race([run(), wait(left, undefined, { ref: false })])
        if (error !== undefined) await wait(Math.min(backoffMs, 250, left))
      }
    },
    async close(withinMs) {
      closed = true
      clearTimeout(timer)
      await options.mover.close(withinMs)
      await moving
      for (const segment of segments) {
        closeSync(segment.fd)
        if (segment.moved >= segment.size) leave(segment.file)
      }
    },
  }
}

/** Names the spool of a data dir across restarts: what waits in it is one thing, whoever reads it. */
export function spoolId(dataDir: string): string {
  const file = path.join(dataDir, 'spool.id')
  try {
    return readFileSync(file, 'utf8')
  } catch {
    const id = `spool-${randomBytes(8).toString('hex')}`
    writeFileSync(file, id, { mode: 0o600 })
    return id
  }
}

/** What an earlier spool left is in the folder again, or gone. */
function takeBack(kept: NonNullable<SpoolOptions['kept']>, folder: string): void {
  mkdirSync(kept.folder, { recursive: true, mode: 0o700 })
  for (const name of readdirSync(kept.folder)) {
    const file = path.join(kept.folder, name)
    if (kept.again) renameSync(file, path.join(folder, name))
    else rmSync(file, { force: true })
  }
}
