// Shared state that may be forgotten: leases, small values, messages. One contract test runs on every implementation.

/** A place held: what must be renewed while it is. */
export interface Held {
  key: string
  holder: string
}

export interface Store {
  /**
   * Takes one place under a limit (0 or less: no limit, but counted). The place is a lease: it is gone `ttlMs` after the
   * last acquire or renew. True when held, also if `holder` held it before (its ttl then begins anew).
   */
  acquire(key: string, holder: string, limit: number, ttlMs: number): Promise<boolean>
  /** Prolongs leases. Returns those that were gone: they are not taken again, somebody else may have the place. */
  renew(leases: readonly Held[], ttlMs: number): Promise<Held[]>
  /** Gives places back; unknown ones are ignored. Subscribers of `freed` hear the keys. */
  release(leases: readonly Held[]): Promise<void>
  /** Places taken, per key. */
  held(keys: readonly string[]): Promise<number[]>
  /** Who holds places, by key, with the ms each lease has left; for operators. */
  holders(keys: readonly string[]): Promise<{ key: string; holder: string; leftMs: number }[]>
  /** Values by key; undefined where there is none. */
  get(keys: readonly string[]): Promise<(string | undefined)[]>
  set(key: string, value: string, ttlMs: number): Promise<void>
  delete(keys: readonly string[]): Promise<void>
  /**
   * Hears every key that was given back, by any process, this one included (its own at once, before release resolves);
   * once for a release, however many places came free. Expired leases may go unheard. Returns the way to stop.
   */
  onFreed(listener: (key: string) => void): () => void
  /** What works less well than it should, in words; undefined when all is well. */
  trouble(): string | undefined
  close(): Promise<void>
}
