// Records a line of each request that ends, into files by minute: behind the request, within bounds, and never in anybody's way.
import { chmodSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { open, statfs, unlink } from 'node:fs/promises'
import path from 'node:path'
import { formatSize } from '../../lib/units.ts'
import type { Fold, Outcome } from '../outcome.ts'
import { Together } from '../together.ts'
import { type ExplainFile, minuteOf, nameOf, parseName } from './files.ts'
import { explainLine } from './line.ts'

export interface RecorderOptions {
  folder: string
  /** how long a line is kept, ms; 0: nothing is recorded */
  keepMs: () => number
  /** of all files together */
  maxBytes: () => number
  /** with less free space than this files are deleted, and when there are none left nothing is written: the books need it more */
  minFreeBytes: () => number
  /** told of trouble, once when it begins and once when it ends */
  log: (level: 'info' | 'warn', line: string) => void
  /** a clock that nobody sets, ms; default: that of the process */
  monotonic?: () => number
  freeBytes?: (folder: string) => Promise<number>
  /** how long a line may wait in memory; default 1 s */
  everyMs?: number
}

export interface Recorder extends Fold {
  /** Writes all there is. Never rejects. */
  flush(): Promise<void>
  /** `dropped`: requests that are in no file, since the start. `trouble`: why, while it lasts. `bytes`: what the files take */
  state(): { dropped: number; trouble: string | undefined; bytes: number }
  /** Writes what is left. */
  close(): Promise<void>
}

/**
 * Not yet written. Bytes, and not a string that grows: each of the many pieces of that would live until it is written, and be
 * copied by each collection of garbage until then.
 */
interface Waiting {
  bytes: Buffer
  length: number
  lines: number
}

interface Kept extends ExplainFile {
  bytes: number
  /** this process has seen to it that it ends with a whole line */
  mended: boolean
}

// What a disk that does not answer may cost in memory, and what a minute's lines begin with.
const WAITING_MOST = 16 * 1024 * 1024
const WAITING_FIRST = 16 * 1024
const MINUTE = 60_000
// A file whose minute comes again, as when a clock was set back, is left to age; its minute begins another.
const REOPENED_MINUTES = 60
// For want of space so many files are deleted before each write.
const AT_ONCE = 4

/**
 * Age is counted in minutes that gw has run, which go on with what the names of the files say, and never by a clock that somebody
 * may set: set forward by a year it deletes nothing, set back it makes nothing old.
 */
export function openRecorder(options: RecorderOptions): Recorder {
  const { folder, keepMs, maxBytes, minFreeBytes, log, everyMs = 1000 } = options
  const monotonic = options.monotonic ?? (() => performance.now())
  const freeBytes = options.freeBytes ?? spaceIn
  const recorder = new Files({ folder, keepMs, maxBytes, minFreeBytes, monotonic, freeBytes })
  let waiting = new Map<number, Waiting>()
  let waitingBytes = 0
  let dropped = 0
  let trouble: string | undefined
  let flushing: Promise<void> | undefined
  let closed = false

  const ended = new Together(o => {
    if (waitingBytes > WAITING_MOST) {
      dropped++
      return
    }
    const minute = Math.floor(o.at / MINUTE)
    let same = waiting.get(minute)
    if (!same) waiting.set(minute, (same = { bytes: Buffer.allocUnsafe(WAITING_FIRST), length: 0, lines: 0 }))
    waitingBytes += put(same, explainLine(o))
  })

  async function writeAll(): Promise<void> {
    const batch = waiting
    waiting = new Map()
    waitingBytes = 0
    let failed: string | undefined
    for (const [minute, { bytes, length, lines }] of batch) {
      try {
        await recorder.append(minute * MINUTE, bytes.subarray(0, length))
      } catch (error) {
        dropped += lines
        failed = (error as Error).message
      }
    }
    try {
      await recorder.sweep()
    } catch (error) {
      failed ??= (error as Error).message
    }
    if (failed !== undefined && trouble === undefined)
      log('warn', `requests are not recorded for gw explain: ${failed}; they are served all the same`)
    if (failed === undefined && trouble !== undefined && batch.size > 0)
      log('info', 'requests are recorded for gw explain again')
    // Only what was written shows that it is over.
    if (failed !== undefined || batch.size > 0) trouble = failed
  }

  async function flush(): Promise<void> {
    // What is waiting now is not in the batch under way.
    while (flushing) await flushing
    ended.settle()
    if (waiting.size === 0 && !recorder.due) return
    flushing = writeAll().finally(() => {
      flushing = undefined
    })
    await flushing
  }
  const timer = setInterval(() => void flush(), everyMs).unref()

  return {
    ended(o: Outcome) {
      if (!closed && keepMs() > 0) ended.add(o)
    },
    flush,
    state() {
      ended.settle()
      return { dropped, trouble, bytes: recorder.bytes }
    },
    async close() {
      clearInterval(timer)
      closed = true
      await flush()
    },
  }
}

/** @returns how many bytes it takes */
function put(into: Waiting, line: string): number {
  // No character takes more as UTF-8.
  const most = into.length + 3 * line.length
  if (most > into.bytes.length) {
    const larger = Buffer.allocUnsafe(Math.max(most, 2 * into.bytes.length))
    into.bytes.copy(larger, 0, 0, into.length)
    into.bytes = larger
  }
  const bytes = into.bytes.write(line, into.length)
  into.length += bytes
  into.lines++
  return bytes
}

/** The files of one worker, and their bounds. */
class Files {
  readonly #by: Required<Omit<RecorderOptions, 'log' | 'everyMs'>>
  /** the oldest first */
  readonly #files: Kept[]
  readonly #startedAt: number
  /** minutes that gw had run before */
  readonly #before: number
  #sweptAt: number
  bytes = 0

  constructor(by: Required<Omit<RecorderOptions, 'log' | 'everyMs'>>) {
    this.#by = by
    mkdirSync(by.folder, { recursive: true, mode: 0o700 })
    chmodSync(by.folder, 0o700)
    this.#files = readdirSync(by.folder)
      .sort()
      .flatMap(name => {
        const parsed = parseName(by.folder, name)
        return parsed ? [{ ...parsed, bytes: statSync(path.join(by.folder, name)).size, mended: false }] : []
      })
    for (const { bytes } of this.#files) this.bytes += bytes
    this.#before = this.#files.reduce((most, { lived }) => Math.max(most, lived), 0)
    this.#startedAt = by.monotonic()
    // At once: what is kept may have become less.
    this.#sweptAt = this.#startedAt - MINUTE
  }

  /** Minutes that gw has run. */
  get #lived(): number {
    return this.#before + Math.floor((this.#by.monotonic() - this.#startedAt) / MINUTE)
  }

  /** It is time to look for what is too old. */
  get due(): boolean {
    return this.#by.monotonic() - this.#sweptAt >= MINUTE
  }

  /** Appends lines of requests that began in the minute of `at`. @throws when they are not all in the file: then none is */
  async append(at: number, bytes: Buffer): Promise<void> {
    await this.#makeRoom()
    const file = this.#fileFor(minuteOf(at))
    const handle = await open(file.path, 'a+', 0o600)
    try {
      if (!file.mended) await this.#mend(file, handle)
      await handle.appendFile(bytes)
      file.bytes += bytes.length
      this.bytes += bytes.length
    } catch (error) {
      // Half a line must not become the beginning of the next one.
      await handle.truncate(file.bytes).catch(() => {
        file.mended = false
      })
      throw error
    } finally {
      await handle.close()
    }
  }

  /** Deletes what is too old. */
  async sweep(): Promise<void> {
    if (!this.due) return
    this.#sweptAt = this.#by.monotonic()
    const oldest = this.#lived - Math.ceil(this.#by.keepMs() / MINUTE)
    while (this.#files.length > 0 && this.#files[0]!.lived < oldest) await this.#delete()
    while (this.bytes > this.#by.maxBytes() && this.#files.length > 1) await this.#delete()
  }

  // The file that is being written stays. A few at a time: a file system may take a while to give back what is deleted.
  async #makeRoom(): Promise<void> {
    const { folder, freeBytes, minFreeBytes, maxBytes } = this.#by
    while (this.bytes > maxBytes() && this.#files.length > 1) await this.#delete()
    let free = await freeBytes(folder)
    for (let n = 0; n < AT_ONCE && free < minFreeBytes() && this.#files.length > 1; n++) {
      await this.#delete()
      free = await freeBytes(folder)
    }
    if (free < minFreeBytes()) throw new Error(`there are only ${formatSize(free)} free in ${folder}`)
  }

  async #delete(): Promise<void> {
    const [file] = this.#files.splice(0, 1)
    this.bytes -= file!.bytes
    await unlink(file!.path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
    })
  }

  #fileFor(minute: string): Kept {
    const lived = this.#lived
    const known = this.#files.findLast(file => file.minute === minute)
    if (known && lived - known.lived <= REOPENED_MINUTES) return known
    const file = { path: path.join(this.#by.folder, nameOf({ lived, minute })), lived, minute, bytes: 0, mended: true }
    this.#files.push(file)
    return file
  }

  /** A crash may have left half a line at its end. */
  async #mend(file: Kept, handle: Awaited<ReturnType<typeof open>>): Promise<void> {
    const { size } = await handle.stat()
    const last = Buffer.alloc(1)
    if (size > 0) await handle.read(last, 0, 1, size - 1)
    this.bytes += size - file.bytes
    file.bytes = size
    if (size > 0 && last[0] !== 10) {
      await handle.appendFile('\n')
      file.bytes++
      this.bytes++
    }
    file.mended = true
  }
}

async function spaceIn(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}
