// The spool: usage is appended to a file first and moved to Postgres in batches; what a crash leaves is replayed at start.
import { randomBytes } from 'node:crypto'
import {
  appendFileSync,
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'

export interface SpoolOptions {
  folder: string
  /** rows a batch at most */
  batch: number
  /** how long rows may wait for company, ms */
  intervalMs: number
  /** moves lines to Postgres, each once however often it is sent */
  book: (lines: readonly string[]) => Promise<unknown>
  /** where lines are set aside that Postgres will never take; `refused.jsonl` in `folder` when not given */
  refusedFile?: string
  /** told, before anything moves, of the lines that an earlier run left */
  inherited?: (line: string) => void
  /** told of a line that was set aside, since Postgres will never take it */
  refused?: (line: string) => void
  /** told of trouble, once when it begins and once when it ends */
  log: (level: 'info' | 'warn' | 'error', line: string) => void
}

export interface Spool {
  /** Appends one line. Synchronous: when it returns the line survives the death of this process. @throws when the disk refuses */
  append(line: string): void
  /** Lines not yet in Postgres, and what keeps them. */
  state(): { waiting: number; error: string | undefined }
  /** Moves all there is; resolves when the spool is empty or `deadlineMs` has passed. */
  drain(deadlineMs: number): Promise<void>
  /** Stops writing after the batch under way; what is left stays on disk for the next start. */
  close(): Promise<void>
}

// A segment beyond this is closed and a new one begun, so that moved segments can be deleted under steady load.
const SEGMENT_BYTES = 8 * 1024 * 1024
const READ_BYTES = 256 * 1024

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
  mkdirSync(options.folder, { recursive: true, mode: 0o700 })
  const segments: Segment[] = readdirSync(options.folder)
    .filter(name => name.endsWith('.ndjson'))
    .sort()
    .map(name => {
      const file = path.join(options.folder, name)
      return { file, fd: openSync(file, 'r'), size: statSync(file).size, moved: 0 }
    })
  const inherited = segments.reduce((sum, s) => sum + s.size, 0)
  if (inherited > 0) options.log('info', `replaying ${inherited} bytes of usage that an earlier run left in the spool`)

  let current: Segment | undefined
  let waiting = segments.reduce((sum, s) => sum + tellLines(s, options.inherited), 0)
  let error: string | undefined
  let timer: NodeJS.Timeout | undefined
  let moving: Promise<void> | undefined
  let backoffMs = 0
  let closed = false

  function append(line: string): void {
    if (closed) throw new Error('the spool is closed')
    if (!current || current.size > SEGMENT_BYTES) {
      const file = path.join(options.folder, `${Date.now()}-${process.pid}-${segments.length}.ndjson`)
      current = { file, fd: openSync(file, 'ax+', 0o600), size: 0, moved: 0 }
      segments.push(current)
    }
    const bytes = Buffer.from(line + '\n')
    let written = 0
    try {
      while (written < bytes.length) written += writeSync(current.fd, bytes, written)
    } catch (cause) {
      // Half a line must not become the beginning of the next one.
      try {
        ftruncateSync(current.fd, current.size)
      } catch {
        current.size = fstatSync(current.fd).size
        current = undefined
      }
      throw cause
    }
    current.size += bytes.length
    waiting++
    schedule(options.intervalMs)
  }

  function schedule(ms: number): void {
    if (timer || moving || closed) return
    timer = setTimeout(() => {
      timer = undefined
      run()
    }, ms)
  }

  // Never two at once: both would count the same bytes as moved, and lines behind them would be skipped.
  function run(): Promise<void> {
    moving ??= move().finally(() => {
      moving = undefined
      if (pending()) schedule(backoffMs || options.intervalMs)
    })
    return moving
  }

  const pending = () => segments.some(s => s.moved < s.size)

  async function move(): Promise<void> {
    try {
      for (let segment = segments[0]; segment; segment = segments[0]) {
        let most = options.batch
        while (segment.moved < segment.size) {
          if (closed) return
          const { lines, bytes, ends } = readLines(segment, most)
          const taken = await bookOrHalve(lines)
          // Whatever was booked is behind us before anything else is tried: nobody counts it a second time.
          if (taken) {
            segment.moved += bytes
            waiting -= ends
          }
          most = taken ? options.batch : lines.length >> 1
        }
        if (segment === current && segment.size <= SEGMENT_BYTES) break
        if (segment === current) current = undefined
        segments.shift()
        closeSync(segment.fd)
        unlinkSync(segment.file)
      }
      if (error !== undefined) options.log('info', 'usage is being written to Postgres again')
      error = undefined
      backoffMs = 0
    } catch (cause) {
      if (error === undefined) options.log('error', `usage waits in the spool: ${(cause as Error).message}`)
      error = (cause as Error).message
      backoffMs = Math.min(Math.max(backoffMs * 2, 250), 5_000)
    }
  }

  /** One row that Postgres will never take must not hold up the rest: it is found by halves (false), set aside, and said. */
  async function bookOrHalve(lines: string[]): Promise<boolean> {
    try {
      await options.book(lines)
    } catch (cause) {
      if (!isBadRow(cause)) throw cause
      if (lines.length > 1) return false
      const bad = options.refusedFile ?? path.join(options.folder, 'refused.jsonl')
      appendFileSync(bad, lines[0]! + '\n', { mode: 0o600 })
      options.refused?.(lines[0]!)
      options.log('error', `a usage row was refused (${(cause as Error).message}) and is kept in ${bad}`)
    }
    return true
  }

  if (pending()) schedule(0)
  return {
    append,
    state: () => ({ waiting, error }),
    async drain(deadlineMs) {
      const deadline = Date.now() + deadlineMs
      for (let left = deadlineMs; left > 0 && pending(); left = deadline - Date.now()) {
        // Postgres may also be silent: then the deadline comes first.
        await Promise.race([run(), wait(left, undefined, { ref: false })])
        if (error !== undefined) await wait(Math.min(backoffMs, 250, left))
      }
    },
    async close() {
      closed = true
      clearTimeout(timer)
      await moving
      for (const segment of segments) {
        closeSync(segment.fd)
        if (segment.moved >= segment.size) unlinkSync(segment.file)
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

/**
 * Whole lines from where the segment was moved to, the bytes they take and how many line ends are in them; a torn last line
 * (a crash in mid-write) was never acknowledged and is dropped.
 */
function readLines(segment: Segment, most: number): { lines: string[]; bytes: number; ends: number } {
  let length = Math.min(READ_BYTES, segment.size - segment.moved)
  for (;;) {
    const buffer = Buffer.allocUnsafe(length)
    const read = readSync(segment.fd, buffer, 0, length, segment.moved)
    const lines: string[] = []
    let at = 0
    let ends = 0
    while (lines.length < most) {
      const end = buffer.subarray(0, read).indexOf(10, at)
      if (end === -1) break
      const line = buffer.toString('utf8', at, end)
      // A torn line in the middle: an append failed there (disk full) and went on elsewhere.
      if (isJson(line)) lines.push(line)
      at = end + 1
      ends++
    }
    if (at > 0) return { lines, bytes: at, ends }
    const rest = segment.size - segment.moved
    if (length >= rest) return { lines, bytes: rest, ends }
    length = Math.min(length * 4, rest)
  }
}

/** How many lines there are, each told. */
function tellLines(segment: Segment, tell: (line: string) => void = () => {}): number {
  let told = 0
  for (const left = { ...segment }; left.moved < left.size; ) {
    const { lines, bytes, ends } = readLines(left, Number.POSITIVE_INFINITY)
    for (const line of lines) tell(line)
    left.moved += bytes
    told += ends
  }
  return told
}

function isJson(line: string): boolean {
  if (!line.startsWith('{') || !line.endsWith('}')) return false
  try {
    JSON.parse(line)
    return true
  } catch {
    return false
  }
}

// Classes 22 and 23 of SQLSTATE: the data itself is at fault; everything else may heal. A partition that was dropped at this
// moment is class 23, too, and made again with the next try.
export function isBadRow(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: string }
  return /^2[23]/.test(String(code ?? '')) && !/no partition of relation/.test(message ?? '')
}
