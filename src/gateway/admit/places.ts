// A place under a limit, waited for in turn: a user's or a key's requests at once.
import type { Outcome } from '../../core/outcome.ts'
import { Failure, type FailureCode } from '../../lib/failure.ts'
import type { Store } from '../../store/store.ts'
import type { Downstream } from '../answer/downstream.ts'
import type { Lease, Leases } from './leases.ts'
import { FairQueue } from './queue.ts'

export const userSlot = (id: number): string => `slot:user:${id}`
export const keySlot = (id: number): string => `slot:key:${id}`
export const accountSlot = (id: number): string => `slot:account:${id}`
/** Those who compete for a group's accounts, as a key. */
export const poolOfGroup = (id: number | string): string => `pool:${id}`
const seatOf = (slot: string): string => slot.replace(/^slot/, 'seat')

export interface PlaceRequest {
  /** what is limited, as `userSlot` and its like name it */
  key: string
  /** 0 or less: no limit */
  limit: number
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
  const { store, leases, now } = options
  const queues = new Map<string, FairQueue<Lease>>()
  const averages = new Map<string, number>()
  store.onFreed(key => queues.get(key)?.offer(key))

  const expect = (key: string, limit: number, ahead: number) =>
    Math.max(1000, ((averages.get(key) ?? 2000) * (ahead + 1)) / Math.max(1, limit))

  function observe(key: string, ms: number): void {
    const before = averages.get(key)
    averages.set(key, before === undefined ? ms : before + (ms - before) / 8)
    if (averages.size > 10_000) averages.delete(averages.keys().next().value!)
  }

  /** The lease, which remembers how long it was held. */
  function timed(lease: Lease): Lease {
    const since = now()
    let open = true
    const release = () => {
      if (!open) return
      open = false
      observe(lease.key, now() - since)
      lease.release()
    }
    return { key: lease.key, release, [Symbol.dispose]: release }
  }

  async function take(place: PlaceRequest): Promise<Lease> {
    const { key, limit, outcome, down } = place
    const request = outcome.id
    const lost = () => down.interrupt(new Failure('LEASE_LOST'))
    const attempt = () => leases.take(key, request, limit, lost)
    // Whoever comes now stands behind those who wait.
    const lease = queues.has(key) ? undefined : await attempt()
    if (lease) return timed(lease)
    const ahead = queues.get(key)?.length ?? 0
    using seat = await leases.take(seatOf(key), request, place.seats, () => {})
    if (!seat) throw new Failure('QUEUE_FULL', [place.seats], { retryAfterMs: expect(key, limit, ahead) })

    const queue = queues.get(key) ?? new FairQueue<Lease>(lease => lease.release())
    queues.set(key, queue)
    const waiting = queue.join({ flow: 0, pool: key, wants: () => true, attempt })
    const timer = setTimeout(
      () => waiting.leave(new Failure(place.timeout, [limit], { retryAfterMs: expect(key, limit, ahead) })),
      place.waitMs,
    )
    down.watcher = { interrupted: why => waiting.leave(why) }
    if (down.interrupted) waiting.leave(down.interrupted)
    outcome.waitingSince = now()
    waiting.look()
    try {
      return timed(await waiting.result)
    } finally {
      clearTimeout(timer)
      down.watcher = undefined
      outcome.waitedMs += now() - outcome.waitingSince
      outcome.waitingSince = 0
      // Ours may be gone already, and another one begun.
      if (queue.length === 0 && queues.get(key) === queue) queues.delete(key)
    }
  }

  return {
    take,
    waiting: key => queues.get(key)?.length ?? 0,
    total: () => [...queues.values()].reduce((n, q) => n + q.length, 0),
    retry: () => {
      for (const queue of queues.values()) void queue.retry()
    },
    expect,
    observe,
  }
}
