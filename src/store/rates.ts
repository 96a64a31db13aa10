// Amounts per minute: the token buckets of one process.
import { Broom } from './broom.ts'
import type { Draw } from './store.ts'

interface Level {
  readonly key: string
  readonly bucket: string
  readonly perMinute: number
  level: number
  /** when the level was that, ms */
  at: number
  /** when it is full again: then it is like one never heard of */
  fullAt: number
}

/** Fills and empties buckets. Synchronous; `now` in ms as in `Leases`. */
export class Rates {
  readonly #levels = new Map<string, Level>()
  readonly #broom = new Broom(this.#levels, ({ fullAt }, at) => fullAt <= at)
  readonly #now: () => number

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** As in `Store`. */
  take(key: string, wants: readonly Draw[]): number {
    const at = this.#now()
    const waits = wants.map(({ bucket, amount, perMinute }) => {
      const missing = Math.min(amount, perMinute) - this.#level(key, bucket, perMinute, at)
      return missing > 0 ? Math.ceil((missing * 60_000) / perMinute) : 0
    })
    const waitMs = Math.max(0, ...waits)
    if (waitMs === 0)
      for (const { bucket, amount, perMinute } of wants)
        this.#add(key, bucket, -Math.min(amount, perMinute), perMinute, at)
    return waitMs
  }

  /** As in `Store`. */
  give(key: string, bucket: string, amount: number, perMinute: number): void {
    this.#add(key, bucket, amount, perMinute, this.#now())
  }

  /** The level of a bucket is known to be this now. */
  learn(key: string, { bucket, perMinute }: Draw, level: number): void {
    this.#set(key, bucket, level, perMinute, this.#now())
  }

  /** Buckets that are not full, and how much is in each. */
  all(): { key: string; levels: Draw[] }[] {
    const at = this.#now()
    const keys = new Map<string, Draw[]>()
    for (const { key, bucket, perMinute, fullAt } of this.#levels.values()) {
      if (fullAt <= at) continue
      let levels = keys.get(key)
      if (!levels) keys.set(key, (levels = []))
      levels.push({ bucket, amount: this.#level(key, bucket, perMinute, at), perMinute })
    }
    return [...keys].map(([key, levels]) => ({ key, levels }))
  }

  // Never above full, whatever was given.
  #level(key: string, bucket: string, perMinute: number, at: number): number {
    const found = this.#levels.get(nameOf(key, bucket))
    return found ? Math.min(perMinute, found.level + ((at - found.at) * perMinute) / 60_000) : perMinute
  }

  #add(key: string, bucket: string, amount: number, perMinute: number, at: number): void {
    this.#set(key, bucket, this.#level(key, bucket, perMinute, at) + amount, perMinute, at)
  }

  #set(key: string, bucket: string, level: number, perMinute: number, at: number): void {
    const fullAt = at + ((perMinute - level) * 60_000) / perMinute
    this.#levels.set(nameOf(key, bucket), { key, bucket, perMinute, level, at, fullAt })
    this.#broom.sweep(at)
  }
}

const nameOf = (key: string, bucket: string) => `${key}\0${bucket}`
