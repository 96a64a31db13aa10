// Who waits for what, and who is next: first come first served within a user, fair between users.

/** What somebody waits for. `T` is what waiting may bring. */
export interface Wish<T> {
  flow: number
  /** 2 is served twice as often as 1 under contention; default 1 */
  weight?: number
  /** who shares it finds nothing where one found nothing, and wants what one wants, but for what it `skips` */
  pool: string
  wants(key: string): boolean
  /** what this one does not want any more of what its pool wants; default nothing */
  skips?(key: string): boolean
  /** tries to take what `key` names, or anything when it is undefined; undefined: it was not to be had */
  attempt(key: string | undefined): Promise<T | undefined>
}

export interface Waiting<T> {
  readonly result: Promise<T>
  /** Tries at once, out of turn: for what came free between a first look and joining, and was offered to nobody. */
  look(): void
  /** Leaves the queue; `result` then rejects with `why`. */
  leave(why: unknown): void
}

class Waiter<T> implements Waiting<T> {
  readonly queue: FairQueue<T>
  readonly wish: Wish<T>
  /** virtual start time: the fair order (start-time fair queueing, Goyal, Vin, Cheng 1996) */
  readonly start: number
  /** equal tags keep the order of arrival */
  readonly arrival: number
  readonly result: Promise<T>
  resolve!: (value: T) => void
  reject!: (error: unknown) => void
  here = true
  busy = false
  /** something came free while it was busy trying */
  again = false

  constructor(queue: FairQueue<T>, wish: Wish<T>, start: number, arrival: number) {
    this.queue = queue
    this.wish = wish
    this.start = start
    this.arrival = arrival
    this.result = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
  }

  isBefore(other: Waiter<T>): boolean {
    return this.start < other.start || (this.start === other.start && this.arrival < other.arrival)
  }

  look(): void {
    void this.queue.try(this, undefined)
  }

  leave(why: unknown): void {
    if (this.queue.remove(this)) this.reject(why)
  }
}

/** Those of one pool, in fair order. */
class Pool<T> {
  readonly name: string
  readonly waiters: Waiter<T>[] = []

  constructor(name: string) {
    this.name = name
  }

  /** Where a waiter is, or belongs. */
  at(waiter: Waiter<T>): number {
    let [low, high] = [0, this.waiters.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.waiters[middle]!.isBefore(waiter)) low = middle + 1
      else high = middle
    }
    return low
  }

  wants(key: string): boolean {
    return this.waiters[0]!.wish.wants(key)
  }

  /** The first that is not trying already and would take what `key` names. */
  next(key: string | undefined): Waiter<T> | undefined {
    return this.waiters.find(waiter => !waiter.busy && (key === undefined || !waiter.wish.skips?.(key)))
  }
}

/**
 * A fair queue. Each waiter gets a start tag: the finish tag of its user's waiter before it, but not earlier than the
 * queue's virtual time; what comes free is offered in the order of tags. A user with a hundred waiters and a user with one
 * so take turns, and within a user the order is that of arrival.
 *
 * What an event costs grows with the pools, not with those who wait in them.
 */
export class FairQueue<T> {
  readonly #pools = new Map<string, Pool<T>>()
  readonly #flows = new Map<number, { waiting: number; finish: number }>()
  #length = 0
  #arrivals = 0
  #virtual = 0
  #looking: Promise<void> | undefined
  #again = false
  readonly #discard: (value: T) => void

  /** `discard` gives back what was taken for somebody who has left meanwhile. */
  constructor(discard: (value: T) => void) {
    this.#discard = discard
  }

  get length(): number {
    return this.#length
  }

  /** Everybody is looking again, in turn; resolves when they have. Undefined when nobody is. */
  get looking(): Promise<void> | undefined {
    return this.#looking
  }

  /** How many of a user's wait. */
  count(flow: number): number {
    return this.#flows.get(flow)?.waiting ?? 0
  }

  /** How many wait at each of `keys`. Who would take any of several is counted once, at one of them, in turn. */
  spread(keys: readonly string[]): Map<string, number> {
    const counts = new Map<string, number>()
    for (const pool of this.#pools.values()) {
      const wanted = keys.filter(key => pool.wants(key))
      let turn = 0
      for (const { wish } of pool.waiters) {
        const at = wanted.findIndex((_, i) => !wish.skips?.(wanted[(turn + i) % wanted.length]!))
        if (at === -1) continue
        const key = wanted[(turn + at) % wanted.length]!
        counts.set(key, (counts.get(key) ?? 0) + 1)
        turn += at + 1
      }
    }
    return counts
  }

  join(wish: Wish<T>): Waiting<T> {
    let flow = this.#flows.get(wish.flow)
    if (!flow) this.#flows.set(wish.flow, (flow = { waiting: 0, finish: 0 }))
    const start = Math.max(this.#virtual, flow.finish)
    flow.finish = start + 1 / (wish.weight ?? 1)
    flow.waiting++
    this.#length++
    const waiter = new Waiter(this, wish, start, this.#arrivals++)
    let pool = this.#pools.get(wish.pool)
    if (!pool) this.#pools.set(wish.pool, (pool = new Pool(wish.pool)))
    pool.waiters.splice(pool.at(waiter), 0, waiter)
    return waiter
  }

  /**
   * Something came free: who wants it tries to take it, the first in fair order first, synchronously up to its first await,
   * so that over an in-process store nobody who comes by can be faster.
   */
  offer(key: string): void {
    if (this.#length > 0) void this.#offer(key)
  }

  async #offer(key: string): Promise<void> {
    for (;;) {
      const waiter = first(this.#wanting(key), key)
      if (!waiter) break
      // On success the next is asked as well, for what came free may be more than one place; when it is full again it ends.
      if (!(await this.try(waiter, key)) && waiter.here) break
    }
    for (const pool of this.#wanting(key))
      for (const waiter of pool.waiters) if (waiter.busy && !waiter.wish.skips?.(key)) waiter.again = true
  }

  /** Lets everybody look again, in fair order: what they wait for may have changed without anything being given back. */
  retry(): Promise<void> {
    this.#again = true
    if (this.#looking) return this.#looking
    const looking = this.#lookAll().finally(() => {
      this.#looking = undefined
    })
    this.#looking = looking
    return looking
  }

  async #lookAll(): Promise<void> {
    // Who is asked while it is under way may have been passed by already.
    while (this.#again) {
      this.#again = false
      const pools = new Set(this.#pools.values())
      for (;;) {
        const waiter = first(pools, undefined)
        if (!waiter) break
        const pool = this.#pools.get(waiter.wish.pool)!
        if (!(await this.try(waiter, undefined)) && waiter.here) pools.delete(pool)
      }
    }
  }

  /** Lets a waiter try. @returns whether it took something */
  async try(waiter: Waiter<T>, key: string | undefined): Promise<boolean> {
    if (waiter.busy) {
      waiter.again = true
      return false
    }
    waiter.busy = true
    waiter.again = false
    let value: T | undefined
    try {
      value = await waiter.wish.attempt(key)
    } catch (error) {
      if (this.remove(waiter)) waiter.reject(error)
      return false
    } finally {
      waiter.busy = false
    }
    if (value === undefined) {
      // While it looked at one thing another came free, and passed it by.
      if (waiter.again && waiter.here) return this.try(waiter, undefined)
      return false
    }
    if (!this.remove(waiter)) {
      this.#discard(value)
      return false
    }
    this.#virtual = Math.max(this.#virtual, waiter.start)
    waiter.resolve(value)
    return true
  }

  /** Takes a waiter out; false when it was out already. */
  remove(waiter: Waiter<T>): boolean {
    if (!waiter.here) return false
    waiter.here = false
    const pool = this.#pools.get(waiter.wish.pool)!
    pool.waiters.splice(pool.at(waiter), 1)
    if (pool.waiters.length === 0) this.#pools.delete(pool.name)
    this.#flows.get(waiter.wish.flow)!.waiting--
    // An empty queue forgets who was served how often.
    if (--this.#length === 0) this.#flows.clear()
    return true
  }

  #wanting(key: string): Pool<T>[] {
    return [...this.#pools.values()].filter(pool => pool.wants(key))
  }
}

/** The first in fair order of all that these pools would send. */
function first<T>(pools: Iterable<Pool<T>>, key: string | undefined): Waiter<T> | undefined {
  let found: Waiter<T> | undefined
  for (const pool of pools) {
    const next = pool.next(key)
    if (next && (!found || next.isBefore(found))) found = next
  }
  return found
}
