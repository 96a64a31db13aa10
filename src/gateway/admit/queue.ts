// Who waits for what, and who is next: first come first served within a user, fair between users.

/** Somebody waiting. `T` is what waiting may bring. */
interface Waiter<T> {
  flow: number
  /** who shares it finds nothing where one found nothing */
  pool: string
  /** virtual start time: the fair order (start-time fair queueing, Goyal, Vin, Cheng 1996) */
  start: number
  wants(key: string): boolean
  /** tries to take what `key` names, or anything when it is undefined; undefined: it was not to be had */
  attempt(key: string | undefined): Promise<T | undefined>
  resolve(value: T): void
  reject(error: unknown): void
  busy: boolean
  /** something came free while it was busy trying */
  again: boolean
}

export interface Waiting<T> {
  result: Promise<T>
  /** Tries at once, out of turn: for what came free between a first look and joining, and was offered to nobody. */
  look(): void
  /** Leaves the queue; `result` then rejects with `why`. */
  leave(why: unknown): void
}

/**
 * A fair queue. Each waiter gets a start tag: the finish tag of its user's waiter before it, but not earlier than the
 * queue's virtual time; what comes free is offered in the order of tags. A user with a hundred waiters and a user with one
 * so take turns, and within a user the order is that of arrival.
 */
export class FairQueue<T> {
  #waiters: Waiter<T>[] = []
  readonly #finish = new Map<number, number>()
  #virtual = 0
  #retrying = false
  readonly #discard: (value: T) => void

  /** `discard` gives back what was taken for somebody who has left meanwhile. */
  constructor(discard: (value: T) => void) {
    this.#discard = discard
  }

  get length(): number {
    return this.#waiters.length
  }

  /** How many of a user's wait. */
  count(flow: number): number {
    return this.#waiters.reduce((n, w) => (w.flow === flow ? n + 1 : n), 0)
  }

  /** How many would take what `key` names. */
  wanting(key: string): number {
    return this.#waiters.reduce((n, w) => (w.wants(key) ? n + 1 : n), 0)
  }

  /** Joins. `weight` 2 is served twice as often as 1 under contention. */
  join(options: Pick<Waiter<T>, 'flow' | 'pool' | 'wants' | 'attempt'> & { weight?: number }): Waiting<T> {
    const { weight = 1, ...given } = options
    const start = Math.max(this.#virtual, this.#finish.get(given.flow) ?? 0)
    this.#finish.set(given.flow, start + 1 / weight)
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const waiter: Waiter<T> = { ...given, start, resolve, reject, busy: false, again: false }
    // Equal tags keep the order of arrival.
    let at = this.#waiters.length
    while (at > 0 && this.#waiters[at - 1]!.start > start) at--
    this.#waiters.splice(at, 0, waiter)
    return {
      result: promise,
      look: () => void this.#try(waiter, undefined),
      leave: why => {
        if (this.#remove(waiter)) reject(why)
      },
    }
  }

  /**
   * Something came free: who wants it tries to take it, the first in fair order first, synchronously up to its first await,
   * so that over an in-process store nobody who comes by can be faster.
   */
  offer(key: string): void {
    void this.#offer(key)
  }

  async #offer(key: string): Promise<void> {
    const asked = new Set<Waiter<T>>()
    for (;;) {
      const waiter = this.#waiters.find(w => !w.busy && !asked.has(w) && w.wants(key))
      if (!waiter) break
      asked.add(waiter)
      // On success the next is asked as well, for what came free may be more than one place; when it is full again it ends.
      if (!(await this.#try(waiter, key)) && this.#waiters.includes(waiter)) break
    }
    for (const w of this.#waiters) if (w.busy && !asked.has(w) && w.wants(key)) w.again = true
  }

  /** Lets everybody look again, in fair order: what they wait for may have changed without anything being given back. */
  async retry(): Promise<void> {
    if (this.#retrying) return
    this.#retrying = true
    try {
      const empty = new Set<string>()
      for (const waiter of [...this.#waiters]) {
        if (waiter.busy || empty.has(waiter.pool) || !this.#waiters.includes(waiter)) continue
        if (!(await this.#try(waiter, undefined)) && this.#waiters.includes(waiter)) empty.add(waiter.pool)
      }
    } finally {
      this.#retrying = false
    }
  }

  /** @returns whether it took something */
  async #try(waiter: Waiter<T>, key: string | undefined): Promise<boolean> {
    if (waiter.busy) {
      waiter.again = true
      return false
    }
    waiter.busy = true
    waiter.again = false
    let value: T | undefined
    try {
      value = await waiter.attempt(key)
    } catch (error) {
      if (this.#remove(waiter)) waiter.reject(error)
      return false
    } finally {
      waiter.busy = false
    }
    if (value === undefined) {
      // While it looked at one thing another came free, and passed it by.
      if (waiter.again && this.#waiters.includes(waiter)) return this.#try(waiter, undefined)
      return false
    }
    if (!this.#remove(waiter)) {
      this.#discard(value)
      return false
    }
    this.#virtual = Math.max(this.#virtual, waiter.start)
    waiter.resolve(value)
    return true
  }

  #remove(waiter: Waiter<T>): boolean {
    const at = this.#waiters.indexOf(waiter)
    if (at === -1) return false
    this.#waiters.splice(at, 1)
    // An empty queue forgets who was served how often.
    if (this.#waiters.length === 0) this.#finish.clear()
    return true
  }
}
