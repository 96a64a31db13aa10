// Places under limits, held for a while: the leases of one process, exact and synchronous.
import { Broom } from './broom.ts'
import type { Held } from './store.ts'
import { Table } from './table.ts'

interface Lease {
  readonly holder: string
  until: number
}

/** A key's leases. An empty one is kept for a while: most keys are soon taken again. */
class Place {
  readonly leases = new Table<Lease>()
  /** Nobody's lease ends before this. A lower bound, so that a renewal need not look at its neighbours. */
  soonest = Number.POSITIVE_INFINITY
  /** when it was last taken */
  takenAt = 0
}

/** One timer serves all keys; waking up more often than this for one lease each is not worth it. */
const SWEEP_MS = 20
/** How long an empty place is kept. */
const IDLE_MS = 60_000

/**
 * Counts leases. A lease is gone the moment its time is over, whether or not anybody has looked since; `onFreed` hears
 * of it a moment later. `now` in ms, and it had better not jump: the default is the monotonic clock.
 */
export class Leases {
  readonly #places = new Map<string, Place>()
  readonly #broom = new Broom(this.#places, isIdle)
  readonly #now: () => number
  #listeners: readonly ((key: string) => void)[] = []
  #timer: NodeJS.Timeout | undefined
  #wakesAt = Number.POSITIVE_INFINITY

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** True when held, also if `holder` held it before. A `limit` of 0 or less counts but never refuses. */
  acquire(key: string, holder: string, limit: number, ttlMs: number): boolean {
    const at = this.#now()
    const place = this.#open(key, at)
    // Those who wait hear of the expired places first: they were here before this caller.
    if (place.soonest <= at) this.#prune(key, place, at)
    const { leases } = place
    const own = leases.get(holder)
    if (own) own.until = at + ttlMs
    else if (limit > 0 && leases.size >= limit) return false
    else leases.set({ holder, until: at + ttlMs })
    place.takenAt = at
    this.#note(place, at + ttlMs)
    return true
  }

  /** Prolongs leases and returns those that were gone; none is taken again. */
  renew(leases: readonly Held[], ttlMs: number): Held[] {
    const at = this.#now()
    return leases.filter(({ key, holder }) => {
      const place = this.#places.get(key)
      const lease = place?.leases.get(holder)
      if (!place || !lease || lease.until <= at) return true
      lease.until = at + ttlMs
      this.#note(place, lease.until)
      return false
    })
  }

  /** Gives places back, then tells the listeners, once for each key. Returns the keys they heard. */
  release(leases: readonly Held[]): readonly string[] {
    const freed: string[] = []
    for (const { key, holder } of leases) {
      const place = this.#places.get(key)
      if (!place?.leases.delete(holder)) continue
      if (place.leases.size === 0) place.soonest = Number.POSITIVE_INFINITY
      if (!freed.includes(key)) freed.push(key)
    }
    for (const key of freed) this.announce(key)
    return freed
  }

  has({ key, holder }: Held): boolean {
    const lease = this.#places.get(key)?.leases.get(holder)
    return lease !== undefined && lease.until > this.#now()
  }

  count(key: string): number {
    const at = this.#now()
    const place = this.#places.get(key)
    if (!place) return 0
    if (place.soonest > at) return place.leases.size
    return place.leases.all().filter(lease => lease.until > at).length
  }

  holders(key: string): { holder: string; leftMs: number }[] {
    const at = this.#now()
    return (this.#places.get(key)?.leases.all() ?? [])
      .map(({ holder, until }) => ({ holder, leftMs: until - at }))
      .filter(lease => lease.leftMs > 0)
  }

  /** Keys with a place taken, give or take those that expired this instant. */
  keys(): string[] {
    return [...this.#places].flatMap(([key, place]) => (place.leases.size > 0 ? [key] : []))
  }

  all(): Held[] {
    return this.keys().flatMap(key => this.holders(key).map(({ holder }) => ({ key, holder })))
  }

  /** Hears keys whose places came free, inside `release` or soon after they expired. Must not throw. */
  onFreed(listener: (key: string) => void): () => void {
    this.#listeners = [...this.#listeners, listener]
    return () => {
      this.#listeners = this.#listeners.filter(other => other !== listener)
    }
  }

  announce(key: string): void {
    for (const listener of this.#listeners) listener(key)
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#wakesAt = Number.NEGATIVE_INFINITY
    this.#listeners = []
  }

  #open(key: string, at: number): Place {
    let place = this.#places.get(key)
    if (place) return place
    this.#broom.sweep(at)
    place = new Place()
    this.#places.set(key, place)
    return place
  }

  #note(place: Place, until: number): void {
    if (until < place.soonest) place.soonest = until
    if (until < this.#wakesAt) this.#wakeAt(until)
  }

  // Looks at every holder, but at most about once a ttl for each key: afterwards `soonest` is exact again.
  #prune(key: string, place: Place, at: number): void {
    let expired = 0
    place.soonest = Number.POSITIVE_INFINITY
    for (const { holder, until } of place.leases.all()) {
      if (until > at) place.soonest = Math.min(place.soonest, until)
      else if (place.leases.delete(holder)) expired++
    }
    if (expired > 0) this.announce(key)
  }

  #wakeAt(at: number): void {
    clearTimeout(this.#timer)
    this.#wakesAt = at
    this.#timer = setTimeout(() => this.#sweep(), Math.max(SWEEP_MS, Math.ceil(at - this.#now()))).unref()
  }

  #sweep(): void {
    this.#wakesAt = Number.POSITIVE_INFINITY
    const at = this.#now()
    let next = Number.POSITIVE_INFINITY
    for (const [key, place] of this.#places) {
      if (place.soonest <= at) this.#prune(key, place, at)
      next = Math.min(next, place.soonest)
    }
    if (next < this.#wakesAt) this.#wakeAt(next)
  }
}

const isIdle = (place: Place, at: number) => place.leases.size === 0 && place.takenAt + IDLE_MS <= at

/** One of so many equal shares of a limit, and never nothing; 0 or less is no limit. */
export const shareOf = (limit: number, shares: number): number =>
  limit > 0 && shares > 1 ? Math.max(1, Math.floor(limit / shares)) : limit

/** Holders by key. */
export function byKey(leases: readonly Held[]): [key: string, holders: string[]][] {
  const keys = new Map<string, string[]>()
  for (const { key, holder } of leases) {
    const holders = keys.get(key)
    if (holders) holders.push(holder)
    else keys.set(key, [holder])
  }
  return [...keys]
}
