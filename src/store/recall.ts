// When Redis has lost its memory: who comes back with what he holds, and until when those who are new must wait.
import { setTimeout as wait } from 'node:timers/promises'
import type { RedisShare } from './redis/redis.ts'

export interface RecallOptions {
  redis: RedisShare
  processId: string
  /** how many others to reckon with as long as Redis has named none */
  guests: () => number
  /** what Redis knew is gone */
  lost(): void
}

/** How often those who wait look whether all have come back. */
const LOOK_MS = 10
/** How often a process has all put back what they hold because Redis forgot some of its own: it costs all of them a moment. */
const DUE_MS = 1_000

/*
 * Each memory of Redis has an epoch, a key that whoever finds none writes; every script looks at it first. A process that
 * finds another one than it knows has lost what Redis knew of it, and so have all the others:
 *
 *   run ── another epoch ──► meet: all known processes are waited for, each hears of it
 *                              └─► what is held is put back ──► back: the last one to come back, or 5 s, end the waiting
 *
 * A key that is forgotten alone (evicted) is found missing by who asks for another place there: the epoch goes with it.
 *
 * Until all are back no script lets anybody new in, whichever process asks. Where the memory was lost from one moment to the next
 * this process waits as well, for a few ms; where Redis was silent before, it goes on with its share until all are back.
 */
export class Recall {
  readonly #options: RecallOptions
  #others: readonly string[] = []
  #lost = false
  #sudden: PromiseWithResolvers<void> | undefined
  #settling: Promise<void> | undefined
  #missedAt = Number.NEGATIVE_INFINITY

  constructor(options: RecallOptions) {
    this.#options = options
  }

  /** What those who are new must wait for here; undefined: nothing. */
  get newcomers(): Promise<void> | undefined {
    return this.#sudden?.promise
  }

  /** Redis lost the memory that this process knew, and not all is put back yet. */
  get lost(): boolean {
    return this.#lost
  }

  /** Where Redis has forgotten some of this process's places alone, the memory is to be taken for lost: not each time. */
  get due(): boolean {
    return performance.now() - this.#missedAt > DUE_MS
  }

  /** It had forgotten some. */
  missed(): void {
    if (this.due) this.#missedAt = performance.now()
  }

  /** Who shares this Redis now. */
  know(processes: readonly string[]): void {
    this.#others = processes.filter(id => id !== this.#options.processId)
  }

  /** Its memory is gone, though it was never silent. */
  begin(): void {
    this.#sudden ??= Promise.withResolvers()
  }

  /** Redis is silent after all: this process's share must do. */
  giveUp(): void {
    this.#sudden?.resolve()
    this.#sudden = undefined
  }

  /** All is put back. */
  end(): void {
    this.#lost = false
    this.giveUp()
  }

  /** Comes to know the memory that Redis has now. True when it lost the one this process knew, not only just now. */
  async meet(): Promise<boolean> {
    const { redis, processId, guests, lost } = this.#options
    if (await redis.meet(processId, this.#others, this.#others.length > 0 ? 0 : guests())) {
      this.#lost = true
      lost()
    }
    return this.#lost
  }

  /** This process has put back all it holds. */
  async back(): Promise<unknown> {
    return this.#options.redis.back(this.#options.processId)
  }

  /** Looks whether all have. */
  async look(): Promise<boolean> {
    if (!this.#lost || (await this.#options.redis.settled())) return true
    await wait(LOOK_MS, undefined, { ref: false })
    return false
  }

  /** Resolves when all have, and when Redis does not say. */
  settled(): Promise<void> {
    this.#settling ??= this.#untilSettled().finally(() => {
      this.#settling = undefined
    })
    return this.#settling
  }

  async #untilSettled(): Promise<void> {
    try {
      while (!(await this.#options.redis.settled())) await wait(LOOK_MS, undefined, { ref: false })
    } catch {
      // Whoever waits asks again, and then hears it himself.
    }
  }
}
