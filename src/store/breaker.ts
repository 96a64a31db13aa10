// A breaker: the first call that fails or takes too long opens it, for all; a probe in the background closes it again.
import { setTimeout as wait } from 'node:timers/promises'
import { Crowd, type Member } from '../lib/crowd.ts'
import { within } from '../lib/within.ts'

/*
 *            a call fails, is late, or trip()
 *   closed ────────────────────────────────────► open ◄─┐
 *     ▲                                           │     │ probe fails: hangUp
 *     └──────── mended() ◄── mend() ◄── probe() ◄─┴─────┘ pause
 */
export interface BreakerOptions {
  /** Asks the far side whether it works again. */
  probe(): Promise<unknown>
  /** Ends a connection on which nothing was answered. */
  hangUp(): void
  /** Called the moment it opens, before those who wait hear that there is no answer. */
  opened(cause: Error): void
  /** Called after a good probe, to bring the far side up to date; may fail. */
  mend(): Promise<void>
  /** Called the moment it is closed again. */
  mended(openMs: number): void
}

/** The far side is there, and wants to be mended before it is asked anything else: at once, on the connection there is. */
export class MendFirst extends Error {}

/** The longest a caller waits. */
const ANSWER_MS = 250
/** The longest that a probe takes of a far side that answered a moment ago. */
const PATIENT_MS = 1_000
/** The pause before a probe. */
const PROBE_MS = 250
/** It doubles, up to this, for a far side that was well for less than `FLAP_MS`: overload is not mended by more work. */
const PROBE_MAX_MS = 4_000
const FLAP_MS = 10_000

interface Asker extends Member {
  since: number
  giveUp(): void
}

export class Breaker {
  readonly #options: BreakerOptions
  readonly #waiting = new Crowd<Asker>()
  #watch: NodeJS.Timeout | undefined
  #reason: string | undefined
  #openedAt = 0
  /** when a silence was over */
  #wellSince = Number.NEGATIVE_INFINITY
  #pauseMs = PROBE_MS
  readonly #stopped = new AbortController()

  constructor(options: BreakerOptions) {
    this.#options = options
  }

  get open(): boolean {
    return this.#reason !== undefined
  }

  /** Why it is open, or still is; undefined while it is closed. */
  get reason(): string | undefined {
    return this.#reason
  }

  /** The answer, or undefined when there is none: at once while open, else after 250 ms at the latest. Never throws. */
  ask<T extends {}>(send: () => Promise<T>): Promise<T | undefined> {
    if (this.#reason !== undefined) return Promise.resolve(undefined)
    this.#watch ??= setTimeout(() => this.#look(), ANSWER_MS).unref()
    return new Promise(resolve => {
      const asker: Asker = { place: -1, since: performance.now(), giveUp: resolve as () => void }
      this.#waiting.add(asker)
      send().then(
        answer => {
          if (this.#waiting.remove(asker)) resolve(answer)
        },
        (error: Error) => {
          // Else it was answered when the breaker opened, and this is an echo of a trouble that may be over.
          if (asker.place !== -1) this.trip(error)
        },
      )
    })
  }

  /** Opens it, whatever the calls say. */
  trip(cause: Error): void {
    if (this.#reason !== undefined || this.#stopped.signal.aborted) return
    this.#reason = cause.message
    this.#openedAt = performance.now()
    const flaps = this.#openedAt - this.#wellSince < FLAP_MS
    if (!(cause instanceof MendFirst)) this.#pauseMs = flaps ? Math.min(this.#pauseMs * 2, PROBE_MAX_MS) : PROBE_MS
    this.#options.opened(cause)
    this.#giveUp()
    void this.#mend(cause)
  }

  /** No more probes; those who wait get no answer. */
  close(): void {
    this.#stopped.abort()
    this.#reason ??= 'closed'
    this.#giveUp()
  }

  #giveUp(): void {
    for (const asker of this.#waiting) if (this.#waiting.remove(asker)) asker.giveUp()
  }

  // One timer for all calls: it looks at the oldest. Late is judged after the sockets were read once more, so that a
  // process that was itself stopped or busy does not blame Redis.
  #look(): void {
    setImmediate(() => {
      this.#watch = undefined
      if (this.#waiting.size === 0) return
      let oldest = Number.POSITIVE_INFINITY
      for (const asker of this.#waiting) oldest = Math.min(oldest, asker.since)
      const leftMs = oldest + ANSWER_MS - performance.now()
      if (leftMs <= 0) this.trip(new Error(`no answer within ${ANSWER_MS} ms`))
      else this.#watch = setTimeout(() => this.#look(), leftMs).unref()
    })
  }

  async #mend(cause: Error): Promise<void> {
    const { probe, mend, hangUp, mended } = this.#options
    const { signal } = this.#stopped
    let answers = cause instanceof MendFirst
    while (!signal.aborted) {
      await wait(answers ? 0 : this.#pauseMs, undefined, { signal, ref: false }).catch(() => {})
      if (signal.aborted) return
      try {
        // Twice: what an earlier, hung-up connection had left in the server's buffers has been run by the second answer,
        // and cannot undo what is written next.
        if (!answers) await within(ANSWER_MS, probe())
        await within(answers ? PATIENT_MS : ANSWER_MS, probe())
        await mend()
      } catch (error) {
        if (signal.aborted) return
        this.#reason = (error as Error).message
        answers = error instanceof MendFirst
        if (!answers) hangUp()
        continue
      }
      if (signal.aborted) return
      const now = performance.now()
      if (!(cause instanceof MendFirst)) this.#wellSince = now
      this.#reason = undefined
      mended(now - this.#openedAt)
      return
    }
  }
}
