// A place under a limit, waited for in turn: a user's or a key's requests at once.
import type { Outcome } from '../../core/outcome.ts'
import { Failure, type FailureCode } from '../../lib/failure.ts'
import type { Store } from '../../store/store.ts'
import type { Downstream } from '../answer/downstream.ts'
import type { Lease, Leases } from './leases.ts'
import { FairQueue } from './queue.ts'

export const userSlot = (id: number): string => `slot:user:${id}`
export const keySlot = (id: number): string => `slot:key:${id}`
// Asked for with every request, and as many as there are accounts: each is built once.
const accountSlots = new Map<number, string>()
export function accountSlot(id: number): string {
  let slot = accountSlots.get(id)
  if (slot === undefined) accountSlots.set(id, (slot = `slot:account:${id}`))
  return slot
}
/** Those who compete for a group's accounts, as a key. */
export const poolOfGroup = (id: number | string): string => `pool:${id}`
/** The account whose slot it is; undefined when it is no account's. */
export function accountOfSlot(slot: string): number | undefined {
  return slot.startsWith('slot:account:') ? Number(slot.slice('slot:account:'.length)) : undefined
}
const seatOf = (slot: string): string => slot.replace(/^slot/, 'seat')

export interface PlaceRequest {
  /** what is limited, as `userSlot` and its like name it */
  key: string
  /** the one in force, asked at each try; 0 or less: no limit */
  limit: () => number
  /** how many may wait for it, over all processes */
  seats: number
  waitMs: number
  outcome: Outcome
  down: Downstream
  timeout: FailureCode
}

export interface Places {
  /** @throws Failure QUEUE_FULL at once when no seat is left, `timeout` after `waitMs`, what interrupted the request */
  take(place: PlaceRequest): Promise<Lease>
  /** who waits here in this process, by key */
  waiting(key: string): number
  total(): number
  /** lets everybody try again: leases of dead processes expire without a word */
  retry(): void
  /** ms until one of `ahead` waiters can expect a place, from how long places were held lately */
  expect(key: string, limit: number, ahead: number): number
  /** a place was held for so long */
  observe(key: string, ms: number): void
}

export function createPlaces(options: { store: Store; leases: Leases; now: () => number }): Places {
  const places = new QueuedPlaces(options.leases, options.now)
  options.store.onFreed(key => places.freed(key))
  return places
}

/** How long a key's places were held lately. */
class Average {
  ms: number

  constructor(ms: number) {
    this.ms = ms
  }

  add(ms: number): void {
    this.ms += (ms - this.ms) / 8
  }
}

/** A lease that tells how long it was held. */
class TimedLease implements Lease {
  readonly #lease: Lease
  readonly #places: QueuedPlaces
  readonly #since: number
  #open = true

  constructor(lease: Lease, places: QueuedPlaces, since: number) {
    this.#lease = lease
    this.#places = places
    this.#since = since
  }

  get key(): string {
    return this.#lease.key
  }

  release(): void {
    if (!this.#open) return
    this.#open = false
    this.#places.observe(this.key, this.#places.now() - this.#since)
    this.#lease.release()
  }

  [Symbol.dispose](): void {
    this.release()
  }
}

class QueuedPlaces implements Places {
  readonly now: () => number
  readonly #leases: Leases
  readonly #queues = new Map<string, FairQueue<Lease>>()
  readonly #averages = new Map<string, Average>()

  constructor(leases: Leases, now: () => number) {
    this.#leases = leases
    this.now = now
  }

  async take(place: PlaceRequest): Promise<Lease> {
    const { key } = place
    // Whoever comes now stands behind those who wait.
    const lease = this.#queues.has(key) ? undefined : await this.#attempt(place)
    return new TimedLease(lease ?? (await this.#wait(place)), this, this.now())
  }

  waiting(key: string): number {
    return this.#queues.get(key)?.length ?? 0
  }

  total(): number {
    let sum = 0
    for (const queue of this.#queues.values()) sum += queue.length
    return sum
  }

  retry(): void {
    for (const queue of this.#queues.values()) void queue.retry()
  }

  expect(key: string, limit: number, ahead: number): number {
    return Math.max(1000, ((this.#averages.get(key)?.ms ?? 2000) * (ahead + 1)) / Math.max(1, limit))
  }

  observe(key: string, ms: number): void {
    const average = this.#averages.get(key)
    if (average) average.add(ms)
    else this.#averages.set(key, new Average(ms))
    if (this.#averages.size > 10_000) this.#averages.delete(this.#averages.keys().next().value!)
  }

  /** A place came free. */
  freed(key: string): void {
    this.#queues.get(key)?.offer(key)
  }

  #attempt({ key, limit, outcome, down }: PlaceRequest): Promise<Lease | undefined> {
    return this.#leases.take(key, outcome.id, limit(), down)
  }

  async #wait(place: PlaceRequest): Promise<Lease> {
    const { key, limit, outcome, down } = place
    const ahead = this.waiting(key)
    using seat = await this.#leases.take(seatOf(key), outcome.id, place.seats)
    if (!seat) throw new Failure('QUEUE_FULL', [place.seats], { retryAfterMs: this.expect(key, limit(), ahead) })

    const queue = this.#queues.get(key) ?? new FairQueue<Lease>(lease => lease.release())
    this.#queues.set(key, queue)
    const waiting = queue.join({ flow: 0, pool: key, wants: () => true, attempt: () => this.#attempt(place) })
    const timer = setTimeout(
      () => waiting.leave(new Failure(place.timeout, [limit()], { retryAfterMs: this.expect(key, limit(), ahead) })),
      place.waitMs,
    )
    down.watcher = { interrupted: why => waiting.leave(why) }
    if (down.interrupted) waiting.leave(down.interrupted)
    outcome.waitingSince = this.now()
    // For what came free between the first try and joining, or a limit that was raised: whose turn it is takes it.
    queue.offer(key)
    try {
      return await waiting.result
    } finally {
      clearTimeout(timer)
      down.watcher = undefined
      outcome.waited(key.startsWith('slot:key:') ? 'key' : 'user', this.now())
      // Ours may be gone already, and another one begun.
      if (queue.length === 0 && this.#queues.get(key) === queue) this.#queues.delete(key)
    }
  }
}
