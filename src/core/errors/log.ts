// The error log's writer: a fold over Outcomes with a bounded queue behind it. Nobody waits for it, and what it cannot take it counts.
import { setTimeout as pause } from 'node:timers/promises'
import type { Db } from '../../db/connect.ts'
import { within } from '../../lib/within.ts'
import type { Fold, Outcome } from '../outcome.ts'
import { classify } from './classify.ts'
import { type ErrorRow, rowOf, weightOf } from './row.ts'
import { isOfRows, storeErrors } from './store.ts'

export interface ErrorLogOptions {
  db: Db
  /** this life of this process */
  process: string
  log: (level: 'info' | 'warn', line: string) => void
  now: () => number
  /** the most that may wait; default 8192 rows, 32 MB */
  maxRows?: number
  maxBytes?: number
}

/** Since the start. Every error is written, dropped or waiting. */
export interface ErrorLogCounts {
  written: number
  dropped: number
  waiting: number
  /** about how much memory those that wait take */
  waitingBytes: number
}

export interface ErrorLog extends Fold {
  counts(): ErrorLogCounts
  /** Writes what waits, for at most `ms` (default 10 s); what is left then is dropped, and told. */
  close(ms?: number): Promise<void>
}

// Written when so many wait, or the first has waited so long.
const ROWS = 50
const AFTER_MS = 200
// Behind an outage or a burst a statement takes more, so that the queue is through before it is full again.
const MOST_ROWS = 500
const MOST_BYTES = 2 * 1024 * 1024
const AGAIN_MS = 1000
const DRAIN_MS = 10_000
const TELL_EVERY_MS = 60_000

// Who has no key is nobody we know, and may ask as often as they like: of those a process stores so many a minute.
const STRANGERS_A_MINUTE = 600

export function openErrorLog(options: ErrorLogOptions): ErrorLog {
  return new Writer(options)
}

interface Waiting {
  row: ErrorRow
  bytes: number
}

class Writer implements ErrorLog {
  readonly #by: ErrorLogOptions
  readonly #maxRows: number
  readonly #maxBytes: number
  // What is being written stands at its beginning until it is.
  #queue: Waiting[] = []
  #bytes = 0
  #written = 0
  #dropped = 0
  #toldDropped = 0
  #toldAt = Number.NEGATIVE_INFINITY
  #failing = false
  #timer: NodeJS.Timeout | undefined
  /** the timer does not wait for more */
  #soon = false
  #writing: Promise<void> | undefined
  #closed = false
  #strangers = 0
  #strangersSince = 0
  /** days whose partition is known to be there */
  readonly #made = new Set<string>()

  constructor(options: ErrorLogOptions) {
    this.#by = options
    this.#maxRows = options.maxRows ?? 8192
    this.#maxBytes = options.maxBytes ?? 32 * 1024 * 1024
  }

  ended(o: Outcome): void {
    const found = classify(o)
    // A client that left is no error: it may have had all that it wanted.
    if (found === undefined || o.code === 'CLIENT_GONE') return
    const full = this.#closed || this.#queue.length >= this.#maxRows || this.#bytes >= this.#maxBytes
    if (full || (o.keyId === 0 && this.#enoughStrangers())) {
      this.#drop(1)
      return
    }
    const row = rowOf(o, found, this.#by.process)
    const bytes = weightOf(row)
    this.#queue.push({ row, bytes })
    this.#bytes += bytes
    if (!this.#writing && !this.#failing) this.#wake()
  }

  counts(): ErrorLogCounts {
    return {
      written: this.#written,
      dropped: this.#dropped,
      waiting: this.#queue.length,
      waitingBytes: this.#bytes,
    }
  }

  async close(ms = DRAIN_MS): Promise<void> {
    this.#closed = true
    this.#stopTimer()
    const deadline = performance.now() + ms
    for (let left = ms; this.#queue.length > 0 && left > 0; left = deadline - performance.now()) {
      this.#writing ??= this.#write()
      await within(left, this.#writing).catch(() => {})
      if (this.#failing) await pause(Math.min(AGAIN_MS / 4, left))
    }
    const lost = this.#queue.length
    this.#queue = []
    this.#bytes = 0
    this.#dropped += lost
    if (this.#dropped > this.#toldDropped) this.#tell()
  }

  #enoughStrangers(): boolean {
    const minute = Math.floor(this.#by.now() / 60_000)
    if (minute !== this.#strangersSince) {
      this.#strangersSince = minute
      this.#strangers = 0
    }
    return ++this.#strangers > STRANGERS_A_MINUTE
  }

  #drop(rows: number): void {
    this.#dropped += rows
    if (Math.abs(this.#by.now() - this.#toldAt) >= TELL_EVERY_MS) this.#tell()
  }

  #tell(): void {
    const more = this.#dropped - this.#toldDropped
    this.#toldDropped = this.#dropped
    this.#toldAt = this.#by.now()
    this.#by.log('warn', `error log: ${more} more error${more === 1 ? '' : 's'} not stored, ${this.#dropped} in all`)
  }

  // ---- writing ----

  #wake(): void {
    const soon = this.#queue.length >= ROWS
    if (this.#timer && (this.#soon || !soon)) return
    this.#stopTimer()
    this.#soon = soon
    // Never at once: we are called by a request.
    this.#timer = setTimeout(() => this.#begin(), soon ? 0 : AFTER_MS).unref()
  }

  #begin(): void {
    this.#stopTimer()
    this.#writing ??= this.#write()
  }

  #stopTimer(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** Until there are too few to be worth a statement, or Postgres is away. Never rejects. */
  async #write(): Promise<void> {
    do {
      const batch = this.#next()
      const error = await this.#store(batch)
      if (error) {
        if (!this.#failing) this.#by.log('warn', `error log: ${error.message}; what comes waits`)
        this.#failing = true
        break
      }
      if (this.#failing) this.#by.log('info', `error log: stored again; ${this.#queue.length} wait`)
      this.#failing = false
    } while (this.#queue.length >= (this.#closed ? 1 : ROWS))
    this.#writing = undefined
    if (this.#closed) return
    if (this.#failing) this.#timer ??= setTimeout(() => this.#begin(), AGAIN_MS).unref()
    else if (this.#queue.length > 0) this.#wake()
  }

  // No more than is made JSON of within a few milliseconds: requests are served in this thread.
  #next(): Waiting[] {
    let bytes = 0
    let rows = 0
    while (rows < Math.min(MOST_ROWS, this.#queue.length) && bytes < MOST_BYTES) bytes += this.#queue[rows++]!.bytes
    return this.#queue.slice(0, rows)
  }

  /** @returns why none of them can be stored now; undefined: they are stored, or never will be */
  async #store(batch: readonly Waiting[]): Promise<Error | undefined> {
    try {
      await this.#insert(batch)
      return undefined
    } catch (error) {
      if (!isOfRows(error)) return error as Error
    }
    // Postgres would not have one of them: the others are worth a statement each.
    for (const one of batch)
      try {
        await this.#insert([one])
      } catch (error) {
        if (!isOfRows(error)) return error as Error
        this.#by.log('warn', `error log: request ${one.row.request_id} cannot be stored: ${(error as Error).message}`)
        this.#taken([one], 0)
      }
    return undefined
  }

  async #insert(batch: readonly Waiting[]): Promise<void> {
    await storeErrors(
      this.#by.db,
      batch.map(one => one.row),
      this.#made,
    )
    this.#taken(batch, batch.length)
  }

  #taken(batch: readonly Waiting[], written: number): void {
    // Nobody but `close`, which gave them up, may have taken them out meanwhile.
    if (this.#queue[0] !== batch[0]) return
    this.#queue.splice(0, batch.length)
    for (const { bytes } of batch) this.#bytes -= bytes
    this.#written += written
    if (written < batch.length) this.#drop(batch.length - written)
  }
}
