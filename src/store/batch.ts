// What this process asks of Redis in one moment, sent as one: a trip costs more than what is asked on it.
import type { Breaker } from './breaker.ts'
import type { Call } from './redis/call.ts'

interface Asked {
  readonly call: Call<unknown>
  readonly settle: (answer: never) => void
}

/**
 * Sends the first call when the event loop has read what there is to read from all sockets, and what is asked until its
 * answer comes with the next batch: without load nothing waits for company, and the more is asked the more goes together.
 * Calls are run in the order of asking, on one server.
 */
export class Batch {
  readonly #breaker: Breaker
  readonly #run: (calls: readonly Call<unknown>[]) => Promise<unknown[]>
  #asked: Asked[] = []
  /** a batch is under way, or about to be */
  #busy = false

  constructor(breaker: Breaker, run: (calls: readonly Call<unknown>[]) => Promise<unknown[]>) {
    this.#breaker = breaker
    this.#run = run
  }

  /** The answer, or undefined when there is none, as `Breaker.ask`. */
  ask<T extends {}>(call: Call<T>): Promise<T | undefined> {
    if (this.#breaker.open) return Promise.resolve(undefined)
    return new Promise(settle => {
      this.#asked.push({ call, settle })
      this.#sendSoon()
    })
  }

  /** All the answers, or undefined when one is missing. */
  async askAll<T extends {}>(calls: readonly Call<T>[]): Promise<T[] | undefined> {
    const answers = await Promise.all(calls.map(call => this.ask(call)))
    return answers.includes(undefined) ? undefined : (answers as T[])
  }

  #sendSoon(): void {
    if (this.#busy || this.#asked.length === 0) return
    this.#busy = true
    setImmediate(() => void this.#send())
  }

  async #send(): Promise<void> {
    const asked = this.#asked
    this.#asked = []
    const answers = await this.#breaker.ask(() => this.#run(asked.map(({ call }) => call)))
    for (let i = 0; i < asked.length; i++) asked[i]!.settle(answers?.[i] as never)
    this.#busy = false
    this.#sendSoon()
  }
}
