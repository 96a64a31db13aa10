// Where log lines go: a bounded queue before one descriptor. Whoever reads it may stand still or leave; gw goes on, and counts what is dropped.
import fs from 'node:fs'
import { isatty } from 'node:tty'

/** Writes text; `done` is told when another may come, or why it could not be written. Never blocks. */
export type Sink = (text: string, done: (error?: NodeJS.ErrnoException | null) => void) => void

export interface Unread {
  /** lines that are not written yet */
  waiting: number
  /** lines that were written nowhere, since the start */
  dropped: number
  /** lines are being dropped now, because nobody reads; not where the reader has left for good */
  stuck: boolean
}

export interface LogOutOptions {
  /** told when there is room again after so many lines were dropped */
  told: (dropped: number) => void
  /** so many characters are worth a system call; default 8 K, fewer wait for `soonMs` (default 1 s) */
  worth?: number
  soonMs?: number
  /** the most that wait; default 20 000 lines and 16 M characters */
  mostLines?: number
  mostCharacters?: number
}

// One call of the system takes so much: no more than a pipe holds.
const CHUNK = 16 * 1024

interface Chunk {
  text: string
  lines: number
}

export class LogOut {
  readonly #sink: Sink
  readonly #by: Required<LogOutOptions>
  readonly #chunks: Chunk[] = []
  #writing: Chunk | undefined
  #lines = 0
  #characters = 0
  #dropped = 0
  /** dropped and not told yet */
  #gap = 0
  #gone = false
  #timer: NodeJS.Timeout | undefined
  #idle: (() => void) | undefined

  constructor(sink: Sink, options: LogOutOptions) {
    this.#sink = sink
    const usual = {
      worth: 8 * 1024,
      soonMs: 1_000,
      mostLines: 20_000,
      mostCharacters: 16 * 1024 * 1024,
    }
    this.#by = { ...usual, ...options }
  }

  /** Takes a line, or drops it. */
  write(line: string): void {
    const { mostLines, mostCharacters, worth, soonMs } = this.#by
    if (this.#gone) {
      this.#dropped++
      return
    }
    // Longer than all that may wait: nothing has to be written before there is room again.
    if (line.length > mostCharacters && this.#lines === 0) {
      this.#dropped++
      this.#by.told(1)
      return
    }
    // Until there is room for many again: else the log would be in shreds, and full of our own words.
    if (this.#gap > 0 || this.#lines >= mostLines || this.#characters + line.length > mostCharacters) {
      this.#dropped++
      this.#gap++
      return
    }
    const last = this.#chunks.at(-1)
    if (last && last.text.length + line.length <= CHUNK) {
      last.text += line
      last.lines++
    } else this.#chunks.push({ text: line, lines: 1 })
    this.#lines++
    this.#characters += line.length
    if (this.#writing) return
    if (this.#characters >= worth) this.#send()
    else this.#timer ??= setTimeout(() => this.#send(), soonMs).unref()
  }

  state(): Unread {
    return { waiting: this.#lines, dropped: this.#dropped, stuck: this.#gap > 0 }
  }

  /** Writes all there is; resolves when that is done, or after so many ms. Call it last. */
  flush(withinMs: number): Promise<void> {
    return new Promise(resolve => {
      if (this.#lines === 0) return resolve()
      const timer = setTimeout(resolve, withinMs)
      this.#idle = () => {
        clearTimeout(timer)
        resolve()
      }
      this.#send()
    })
  }

  #send(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#writing) return
    const next = this.#chunks.shift()
    if (next) this.#put(next)
    else this.#idle?.()
  }

  #put(chunk: Chunk): void {
    this.#writing = chunk
    this.#sink(chunk.text, error => {
      if (error) return this.#failed()
      this.#writing = undefined
      this.#lines -= chunk.lines
      this.#characters -= chunk.text.length
      if (this.#gap > 0 && 2 * this.#lines < this.#by.mostLines && 2 * this.#characters < this.#by.mostCharacters) {
        const gap = this.#gap
        this.#gap = 0
        this.#by.told(gap)
      }
      if (this.#characters >= this.#by.worth || this.#idle) this.#send()
      else if (this.#lines > 0) this.#timer ??= setTimeout(() => this.#send(), this.#by.soonMs).unref()
    })
  }

  // Nobody is left to be told: neither a pipe that was closed nor a terminal comes back.
  #failed(): void {
    this.#gone = true
    this.#dropped += this.#lines
    this.#writing = undefined
    this.#chunks.length = 0
    this.#lines = this.#characters = this.#gap = 0
    this.#idle?.()
  }
}

/** The way to stdout, whatever that is. */
export function stdoutSink(): Sink {
  const stat = fs.fstatSync(1)
  if (stat.isFIFO() || stat.isSocket()) return streamSink(process.stdout)
  return isatty(1) ? terminalSink() : fileSink(1)
}

/** A pipe or a socket as Node has it: written without blocking, and the kernel tells when there is room again. */
export function streamSink(stream: NodeJS.WritableStream): Sink {
  // Told to `done`, too.
  stream.on('error', () => {})
  return (text, done) => void stream.write(text, done)
}

// The kernel tells nobody when there is room again in a terminal that is opened like this.
const TERMINAL_MS = 10

/**
 * Node writes to a terminal as if nothing else had to be done: after Ctrl-S, or with a line to it that is dead, the whole process
 * would stand still. Opened anew it is written without blocking, and that is nobody else's terminal's concern.
 */
function terminalSink(): Sink {
  let fd: number
  try {
    const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = fs.constants
    fd = fs.openSync('/proc/self/fd/1', O_WRONLY | O_NONBLOCK | O_NOCTTY)
  } catch {
    // Somebody else's, after su, or not Linux.
    return streamSink(process.stdout)
  }
  return (text, done) => {
    let rest = Buffer.from(text)
    const write = (): void => {
      try {
        while (rest.length > 0) rest = rest.subarray(fs.writeSync(fd, rest))
        done()
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') setTimeout(write, TERMINAL_MS).unref()
        else done(error as Error)
      }
    }
    write()
  }
}

// A disk that takes no more, or a file: there may be room again.
const FULL: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'EIO'])

/**
 * In a thread of libuv: a disk may stand still, too. One that is full is tried again after `againMs`, with what it has not taken:
 * it may have taken half a line.
 */
export function fileSink(fd: number, againMs = 1_000): Sink {
  return (text, done) => {
    const write = (rest: Buffer): void =>
      fs.write(fd, rest, (error, written) => {
        if (error && FULL.has(error.code)) setTimeout(write, againMs, rest).unref()
        else if (error) done(error)
        else if (written < rest.length) write(rest.subarray(written))
        else done()
      })
    write(Buffer.from(text))
  }
}
