// The places this process holds, all renewed by one timer, and fenced: what expired is not believed in.
import { Crowd, type Member } from '../../lib/crowd.ts'
import { Failure } from '../../lib/failure.ts'
import type { Held, Store } from '../../store/store.ts'

const TTL_MS = 15_000
/** So many are renewed at once; in between the event loop gets its turn. */
const SLICE = 1_000

/** A place held under a limit. Giving it back twice is fine. */
export interface Lease extends Disposable {
  readonly key: string
  release(): void
}

/** Whoever works in a place. */
export interface Owner {
  /** Ends its work early. */
  interrupt(why: Failure): void
}

export interface Leases {
  /**
   * Takes a place, or undefined when there is none. The owner is interrupted by LEASE_LOST when the lease expired under
   * it (this process stood still for longer than its ttl) and somebody else has taken the place since.
   */
  take(key: string, request: string, limit: number, owner?: Owner): Promise<Lease | undefined>
  /** places held now */
  size(): number
  close(): void
}

/** `processId` tells this process's places from all others', also from those of its own earlier life. */
export function createLeases(options: { store: Store; processId: string; ttlMs?: number | undefined }): Leases {
  return new HeldLeases(options.store, options.processId, options.ttlMs ?? TTL_MS)
}

class HeldLease implements Lease, Held, Member {
  readonly key: string
  readonly holder: string
  readonly limit: number
  readonly owner: Owner | undefined
  readonly #leases: HeldLeases
  place = -1

  constructor(leases: HeldLeases, key: string, holder: string, limit: number, owner: Owner | undefined) {
    this.#leases = leases
    this.key = key
    this.holder = holder
    this.limit = limit
    this.owner = owner
  }

  release(): void {
    this.#leases.release(this)
  }

  [Symbol.dispose](): void {
    this.#leases.release(this)
  }
}

class HeldLeases implements Leases {
  readonly #store: Store
  readonly #processId: string
  readonly #ttlMs: number
  readonly #held = new Crowd<HeldLease>()
  readonly #timer: NodeJS.Timeout
  #renewing = false

  constructor(store: Store, processId: string, ttlMs: number) {
    this.#store = store
    this.#processId = processId
    this.#ttlMs = ttlMs
    // A third of the ttl: two renewals may fail before anything expires.
    this.#timer = setInterval(() => void this.#renew(), ttlMs / 3).unref()
  }

  async take(key: string, request: string, limit: number, owner?: Owner): Promise<Lease | undefined> {
    const lease = new HeldLease(this, key, `${this.#processId}:${request}`, limit, owner)
    if (!(await this.#store.acquire(key, lease.holder, limit, this.#ttlMs))) return undefined
    this.#held.add(lease)
    return lease
  }

  size(): number {
    return this.#held.size
  }

  close(): void {
    clearInterval(this.#timer)
  }

  release(lease: HeldLease): void {
    if (this.#held.remove(lease)) void this.#store.release([lease])
  }

  async #renew(): Promise<void> {
    if (this.#renewing) return
    this.#renewing = true
    try {
      const all = [...this.#held]
      for (let i = 0; i < all.length; i += SLICE) {
        if (i > 0) await new Promise(resolve => setImmediate(resolve))
        await this.#renewSome(all.slice(i, i + SLICE).filter(lease => lease.place !== -1))
      }
    } finally {
      this.#renewing = false
    }
  }

  async #renewSome(leases: readonly HeldLease[]): Promise<void> {
    const gone = await this.#store.renew(leases, this.#ttlMs)
    if (gone.length === 0) return
    const byName = new Map(leases.map(lease => [nameOf(lease), lease]))
    for (const lost of gone) {
      const lease = byName.get(nameOf(lost))
      if (!lease || lease.place === -1) continue
      // The place may still be free: then nothing was lost but time.
      if (await this.#store.acquire(lease.key, lease.holder, lease.limit, this.#ttlMs)) {
        // Given back meanwhile, when there was nothing to give back.
        if (lease.place === -1) void this.#store.release([lease])
        continue
      }
      if (this.#held.remove(lease)) lease.owner?.interrupt(new Failure('LEASE_LOST'))
    }
  }
}

const nameOf = ({ key, holder }: Held) => `${key} ${holder}`
