// The places this process holds, all renewed by one timer, and fenced: what expired is not believed in.
import type { Held, Store } from '../../store/store.ts'

const TTL_MS = 15_000

/** A place held under a limit. Giving it back twice is fine. */
export interface Lease extends Disposable {
  readonly key: string
  release(): void
}

export interface Leases {
  /**
   * Takes a place, or undefined when there is none. `lost` is told when the lease expired under us (this process stood
   * still for longer than its ttl) and somebody else has taken the place since.
   */
  take(key: string, request: string, limit: number, lost: () => void): Promise<Lease | undefined>
  /** places held now */
  size(): number
  close(): void
}

interface Entry extends Held {
  limit: number
  lost: () => void
}

/** `processId` tells this process's places from all others', also from those of its own earlier life. */
export function createLeases(options: { store: Store; processId: string; ttlMs?: number }): Leases {
  const { store, processId, ttlMs = TTL_MS } = options
  const held = new Set<Entry>()
  let renewing = false

  async function renew(): Promise<void> {
    if (renewing || held.size === 0) return
    renewing = true
    try {
      const gone = await store.renew([...held], ttlMs)
      if (gone.length === 0) return
      const entries = new Map([...held].map(entry => [`${entry.key} ${entry.holder}`, entry]))
      for (const { key, holder } of gone) {
        const entry = entries.get(`${key} ${holder}`)
        if (!entry || !held.has(entry)) continue
        // The place may still be free: then nothing was lost but time.
        if (await store.acquire(key, holder, entry.limit, ttlMs)) {
          if (!held.has(entry)) void store.release([entry])
          continue
        }
        held.delete(entry)
        entry.lost()
      }
    } finally {
      renewing = false
    }
  }
  // A third of the ttl: two renewals may fail before anything expires.
  const timer = setInterval(() => void renew(), ttlMs / 3).unref()

  return {
    async take(key, request, limit, lost) {
      const entry: Entry = { key, holder: `${processId}:${request}`, limit, lost }
      if (!(await store.acquire(key, entry.holder, limit, ttlMs))) return undefined
      held.add(entry)
      const release = () => {
        if (held.delete(entry)) void store.release([entry])
      }
      return { key, release, [Symbol.dispose]: release }
    },
    size: () => held.size,
    close: () => clearInterval(timer),
  }
}
