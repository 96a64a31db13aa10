// The store of a single process: exact, and done before the call returns; beside others without Redis it has its share of every limit.
import { Leases, shareOf } from './leases.ts'
import { Purses } from './purses.ts'
import { Rates } from './rates.ts'
import type { Change, Draw, Fact, Held, Purse, Reserved, Store, Want } from './store.ts'
import { Values } from './values.ts'

/**
 * Everything happens synchronously, before the (settled) promise is returned, and `onFreed` is called inside `release`:
 * a waiter that acquires there has the place before anybody else can ask for it.
 */
export class MemoryStore implements Store {
  readonly #leases: Leases
  readonly #values: Values
  readonly #purses: Purses
  readonly #rates: Rates
  /** of so many equal shares of every limit this process has one */
  #shares = 1

  /** `now` in ms; default the monotonic clock */
  constructor(now?: () => number) {
    this.#leases = new Leases(now)
    this.#values = new Values(now)
    this.#purses = new Purses(now)
    this.#rates = new Rates(now)
  }

  async acquire(key: string, holder: string, limit: number, ttlMs: number): Promise<boolean> {
    return this.#leases.acquire(key, holder, shareOf(limit, this.#shares), ttlMs)
  }

  async renew(leases: readonly Held[], ttlMs: number): Promise<Held[]> {
    return this.#leases.renew(leases, ttlMs)
  }

  async release(leases: readonly Held[]): Promise<void> {
    this.#leases.release(leases)
  }

  async held(keys: readonly string[]): Promise<number[]> {
    return keys.map(key => this.#leases.count(key))
  }

  async holders(keys: readonly string[]): Promise<{ key: string; holder: string; leftMs: number }[]> {
    return keys.flatMap(key => this.#leases.holders(key).map(lease => ({ key, ...lease })))
  }

  async get(keys: readonly string[]): Promise<(string | undefined)[]> {
    return keys.map(key => this.#values.get(key))
  }

  async set(key: string, value: string, ttlMs: number): Promise<void> {
    this.#values.set(key, value, ttlMs)
  }

  async delete(keys: readonly string[]): Promise<void> {
    for (const key of keys) this.#values.delete(key)
  }

  async reserve(purse: string, holder: string, wants: readonly Want[], ttlMs: number): Promise<Reserved> {
    return this.#purses.reserve(purse, holder, wants, ttlMs, this.#shares)
  }

  async record(purse: string, change: Change): Promise<void> {
    this.#purses.record(purse, change)
  }

  async correct(purse: string, facts: readonly Fact[]): Promise<void> {
    this.#purses.amend(purse, facts)
  }

  async purse(purse: string): Promise<Purse> {
    return this.#purses.purse(purse)
  }

  async take(key: string, wants: readonly Draw[]): Promise<number> {
    if (this.#shares === 1) return this.#rates.take(key, wants)
    return this.#rates.take(
      key,
      wants.map(want => ({ ...want, perMinute: want.perMinute / this.#shares })),
    )
  }

  async give(key: string, bucket: string, amount: number, perMinute: number): Promise<void> {
    this.#rates.give(key, bucket, amount, perMinute / this.#shares)
  }

  want(): void {}

  onFreed(listener: (key: string) => void): () => void {
    return this.#leases.onFreed(listener)
  }

  reckon(processes: number): void {
    this.#shares = processes
  }

  counted(): undefined {}

  trouble(): undefined {}

  warning(): undefined {}

  async close(): Promise<void> {
    this.#leases.close()
  }
}
