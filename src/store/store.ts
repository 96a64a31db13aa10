// Shared state that may be forgotten: leases, small values, money, rates, messages. One contract runs on every implementation.

/** Where processes share, they are leases too, on this key and without a limit: who lives is who renews. */
export const PROCESSES = 'processes'

/** A place held: what must be renewed while it is. */
export interface Held {
  key: string
  holder: string
}

/** Nano-USD of one bucket. Exact; it and every sum it enters must be within 64 bits, 9.2 billion USD. */
export interface Amount {
  bucket: string
  amount: bigint
}

/** What one holder wants of a bucket. */
export interface Want extends Amount {
  /** what may be used at most; undefined: the amount is written down as a fact, beyond any limit */
  limit?: bigint | undefined
  /**
   * For buckets that begin anew, in Unix ms: when a window that begins now starts, and the earliest start of one that
   * still runs. Where the known start is earlier, or missing, the window begins anew, for who is admitted: nothing is
   * spent, holds go on counting. A newer fact may still say that it began at another time.
   */
  window?: { start: number; oldest: number } | undefined
}

/** What the database says of a bucket. The largest version is believed, in whatever order they come. */
export interface Fact {
  bucket: string
  /** may be negative: a balance of 5 is spent = −5 under a limit of 0 */
  spent: bigint
  /** 0 or more, and larger each time the database changes its mind */
  version: bigint
  /** when the window of `spent` began, Unix ms; undefined: it has none, or has not begun */
  start?: number | undefined
}

/** Amounts that one holder holds of a purse, each bucket at most once, until `ttlMs` from now. */
export interface Hold {
  holder: string
  amounts: readonly Amount[]
  ttlMs: number
}

export interface Change {
  /** learned where they are news */
  facts?: readonly Fact[] | undefined
  /** set; they replace what these holders held */
  holds?: readonly Hold[] | undefined
  /** holders that hold nothing any more; unknown ones are ignored */
  gone?: readonly string[] | undefined
}

export type Reserved =
  | { held: true }
  /** the first bucket that has no room */
  | { held: false; bucket: string }
  /** buckets with a limit of which no fact is known: record some and ask again */
  | { held: false; unknown: string[] }

export interface Purse {
  /** By name. `used` is what is spent and what is held; `spent` and `start` are undefined where no fact says so. */
  buckets: { bucket: string; used: bigint; spent: bigint | undefined; start: number | undefined }[]
  /** by name */
  holders: string[]
}

/** What is wanted of a token bucket that holds `perMinute` (more than 0) and fills evenly; full when first heard of. */
export interface Draw {
  bucket: string
  amount: number
  perMinute: number
}

export interface Store {
  /**
   * Takes one place under a limit (0 or less: no limit, but counted). The place is a lease: it is gone `ttlMs` after the
   * last acquire or renew. True when held, also if `holder` held it before (its ttl then begins anew).
   */
  acquire(key: string, holder: string, limit: number, ttlMs: number): Promise<boolean>
  /** Prolongs leases. Returns those that were gone: they are not taken again, somebody else may have the place. */
  renew(leases: readonly Held[], ttlMs: number): Promise<Held[]>
  /** Gives places back; unknown ones are ignored. Listeners of `onFreed` hear the keys. */
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
   * Holds what is wanted of a payer's money (each bucket at most once) for `ttlMs`: all of it or, where a limit leaves no
   * room, nothing. What `holder` held before does not count and is replaced; after a refusal it still holds that.
   * A purse that nobody touches for 25 h is forgotten, holds and all, unless one of them lasts longer.
   * @throws RangeError for an amount or limit beyond 64 bits
   */
  reserve(purse: string, holder: string, wants: readonly Want[], ttlMs: number): Promise<Reserved>
  /**
   * Writes down what is so, in one step and whatever the limits (Redis: one step for up to 500 holders).
   * A hold may come before any fact of its bucket: it counts, and the bucket stays unknown.
   * @throws RangeError as `reserve`
   */
  record(purse: string, change: Change): Promise<void>
  /**
   * Tells facts to a purse that may be of nobody's interest: where a bucket is known they are learned if they are news, and
   * no other becomes known.
   */
  correct(purse: string, facts: readonly Fact[]): Promise<void>
  /** What is known of a purse, for operators. */
  purse(purse: string): Promise<Purse>
  /**
   * Takes from several token buckets of a key (each at most once), all or nothing. 0: taken; else the ms until it may be worth asking again.
   * An amount above `perMinute` counts as `perMinute`, or it could never be had.
   */
  take(key: string, wants: readonly Draw[]): Promise<number>
  /** Gives back what was taken too much, up to full; a negative amount is taken, if need be below empty. */
  give(key: string, bucket: string, amount: number, perMinute: number): Promise<void>
  /**
   * Others say that they gave back one of these from now on, for 10 s: for who waits for places it was not refused. Said
   * before the last look, nothing that comes free after that look goes unheard.
   */
  want(keys: readonly string[]): void
  /**
   * Hears the keys that this process gave back, at once, before release resolves; and those that another process gave
   * back, up to 10 s after anybody was refused a place there or wanted one. Once for a release, however many places came
   * free. Expired leases may go unheard. Returns the way to stop.
   */
  onFreed(listener: (key: string) => void): () => void
  /**
   * Says how many processes there are as far as anybody knows, this one included: where they cannot be counted here, limits
   * and budgets are divided by that.
   */
  reckon(processes: number): void
  /** How many processes share it, counted just now; undefined where nobody counts them, or not yet. */
  counted(): number | undefined
  /** What works less well than it should, in words; undefined when all is well. */
  trouble(): string | undefined
  /** What should be set otherwise, though all works; in words. */
  warning(): string | undefined
  close(): Promise<void>
}
