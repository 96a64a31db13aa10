// Who waits for what, and who is next: first come first served within a user, fair between users.

/** Somebody waiting. `T` is what waiting may bring. */
interface Waiter<T> {
  flow: number
  /** virtual start time: the fair order (start-time fair queueing, Goyal, Vin, Cheng 1996) */
  start: number
  wants(key: string): boolean
  /** tries to take what `key` names, or anything when it is undefined; undefined: it was not to be had */
  attempt(key: string | undefined): Promise<T | undefined>
  resolve(value: T): void
  reject(error: unknown): void
  busy: boolean
  /** something came free while it was busy trying */
  again: string | true | undefined
}

export interface Waiting<T> {
  result: Promise<T>
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

  /** Waiters in the order they will be served, by user. */
  order(): number[] {
    return this.#waiters.map(w => w.flow)
  }

  /** Joins. `weight` 2 is served twice as often as 1 under contention. */
  join(options: Pick<Waiter<T>, 'flow' | 'wants' | 'attempt'> & { weight?: number }): Waiting<T> {
    const { flow, wants, attempt, weight = 1 } = options
    const start = Math.max(this.#virtual, this.#finish.get(flow) ?? 0)
    this.#finish.set(flow, start + 1 / weight)
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const waiter: Waiter<T> = { flow, start, wants, attempt, resolve, reject, busy: false, again: undefined }
    // Equal tags keep the order of arrival.
    let at = this.#waiters.length
    while (at > 0 && this.#waiters[at - 1]!.start > start) at--
    this.#waiters.splice(at, 0, waiter)
    return {
      result: promise,
      leave: why => {
        if (this.#remove(waiter)) reject(why)
      },
    }
  }

  /**
   * Something came free: the first in fair order that wants it tries to take it, synchronously up to its first await, so
   * that over an in-process store nobody who comes by can be faster.
   */
  offer(key: string): void {
    const waiter = this.#waiters.find(w => !w.busy && w.wants(key))
    if (waiter) void this.#try(waiter, key)
    else for (const w of this.#waiters) if (w.busy && w.wants(key)) w.again ??= key
  }

  /** Lets everybody look again, in fair order: what they wait for may have changed without anything being given back. */
  retry(): void {
    for (const waiter of [...this.#waiters]) {
      if (waiter.busy) waiter.again = true
      else void this.#try(waiter, undefined)
    }
  }

  async #try(waiter: Waiter<T>, key: string | undefined): Promise<void> {
    waiter.busy = true
    waiter.again = undefined
    try {
      const value = await waiter.attempt(key)
      if (value !== undefined) {
        this.#virtual = Math.max(this.#virtual, waiter.start)
        this.#remove(waiter)
        waiter.resolve(value)
        return
      }
    } catch (error) {
      if (this.#remove(waiter)) waiter.reject(error)
      return
    } finally {
      waiter.busy = false
    }
    // It could not take what was offered (another process was faster, or it may not use it): the next one might.
    const { again } = waiter
    if (again !== undefined && this.#waiters.includes(waiter))
      await this.#try(waiter, again === true ? undefined : again)
  }

  #remove(waiter: Waiter<T>): boolean {
    const at = this.#waiters.indexOf(waiter)
    if (at === -1) return false
    this.#waiters.splice(at, 1)
    // A user with nobody left starts afresh, once the queue's time has passed its tag; an empty queue forgets all.
    if (this.#waiters.length === 0) this.#finish.clear()
    return true
  }
}
