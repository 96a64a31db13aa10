// The end of a worker: what is open is closed in reverse, each within a bound, so that nothing that stands still can hold gw.
import type { Logger } from 'pino'

/**
 * How far an end may be by when, as parts of all its time: those who were cut off have let go, usage is in Postgres, all but the
 * database is closed, and the database.
 */
export const LET_GO = 0.3
export const BOOKED = 0.5
const CLOSED = 0.7
const ALL = 1
/** Each that is closed has so much of all the time, */
const EACH = 0.2
/** and this much anyway, ms, when those before it have used up everything: most need a moment only. */
const ANYWAY_MS = 20

/** What giving everything back may take at the second signal; with the log's last lines it is under a second. */
export const URGENT_MS = 750

/** The clock of an end. It begins once; it may be made to come sooner at any time. */
export class Ending {
  #from = 0
  #ms = Number.POSITIVE_INFINITY
  #sooner = Promise.withResolvers<void>()

  /** It is over within so many ms from now on, unless it was to be over before. */
  within(ms: number): void {
    const now = performance.now()
    if (now + ms >= this.#from + this.#ms) return
    this.#from = now
    this.#ms = ms
    this.#sooner.resolve()
    this.#sooner = Promise.withResolvers()
  }

  /** ms until a part of its time is over */
  left(part: number): number {
    return this.#from + part * this.#ms - performance.now()
  }

  /** ms of a part of its time */
  part(part: number): number {
    return part * this.#ms
  }

  /** Waits for work until then. @returns whether it came to its end; what it throws is thrown */
  async wait(work: Promise<unknown>, left: () => number): Promise<boolean> {
    const done = work.then(() => true)
    // Behind time it is nobody's concern any more.
    done.catch(() => {})
    for (;;) {
      const late = Promise.withResolvers<false>()
      const ms = Math.max(0, left())
      const timer = ms < LONGEST_MS ? setTimeout(() => late.resolve(false), ms) : undefined
      const sooner = this.#sooner.promise.then(() => undefined)
      const came = await Promise.race([done, late.promise, sooner]).finally(() => clearTimeout(timer))
      if (came !== undefined) return came
    }
  }
}

// Of a timer.
const LONGEST_MS = 2 ** 31 - 1

interface Closer {
  name: string
  /** `withinMs`: it is waited for a little longer, and then no more */
  close(withinMs: number): unknown
}

/** What is open, in the order of its opening. */
export class Openings implements AsyncDisposable {
  readonly #log: Pick<Logger, 'warn'>
  readonly #closers: Closer[] = []
  readonly #giveUpMs: number
  #kept = false

  /** `giveUpMs`: how long all may take to be closed when the start fails */
  constructor(log: Pick<Logger, 'warn'>, giveUpMs: number) {
    this.#log = log
    this.#giveUpMs = giveUpMs
  }

  /** Remembers what is to be closed. */
  add(name: string, close: Closer['close']): void {
    this.#closers.push({ name, close })
  }

  /** From here on only `close` closes. */
  keep(): void {
    this.#kept = true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#kept) return
    const ending = new Ending()
    ending.within(this.#giveUpMs)
    await this.close(ending)
  }

  /** Closes all, the last one first. Never rejects: who fails or does not come to an end is named in the log. */
  async close(ending: Ending): Promise<void> {
    for (let one = this.#closers.pop(); one; one = this.#closers.pop()) {
      // The first one opened is what the others stand on: the database, with a part of the time of its own.
      const until = this.#closers.length === 0 ? ALL : CLOSED
      const each = until === ALL ? ALL : EACH
      const begun = performance.now()
      const left = () =>
        Math.max(ANYWAY_MS, Math.min(ending.left(until), begun + ending.part(each) - performance.now()))
      const ms = left()
      try {
        const { name, close } = one
        // A little less, so that who can be content with less has the time to say so.
        const work = (async () => close(0.9 * ms))()
        if (!(await ending.wait(work, left)))
          this.#log.warn(`${name}: no end within ${Math.round(performance.now() - begun)} ms; gw ends without it`)
      } catch (error) {
        this.#log.warn(`${one.name}: could not be closed: ${(error as Error).message}`)
      }
    }
  }
}
