// Money under limits: what is spent and what is held of every purse, by one process, exact and synchronous.
import { Broom } from './broom.ts'
import type { Amount, Change, Fact, Hold, Purse, Reserved, Want } from './store.ts'
import { Table } from './table.ts'

interface Bucket {
  held: bigint
  /** undefined: no fact is known */
  spent: bigint | undefined
  version: bigint
  start: number | undefined
}

interface State {
  readonly buckets: Map<string, Bucket>
  readonly holds: Table<{ readonly holder: string; amounts: readonly Amount[]; until: number }>
  /** No hold ends before this. A lower bound, as in `Leases`. */
  soonest: number
  /** Nobody has touched it for so long by then that it may be forgotten. */
  until: number
}

/** How long a purse is kept after it was touched: longer than the longest hold of the spool, which is a day. */
export const KEEP_MS = 25 * 60 * 60_000

const RANGE = 2n ** 63n

/** Counts money. Synchronous; `now` in ms as in `Leases`. */
export class Purses {
  readonly #purses = new Map<string, State>()
  readonly #broom = new Broom(this.#purses, ({ until }, at) => until <= at)
  readonly #now: () => number

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** As in `Store`; with `shares`, each limit is one of that many equal shares of what is left, rounded down. */
  reserve(key: string, holder: string, wants: readonly Want[], ttlMs: number, shares = 1): Reserved {
    checkWants(wants)
    const purse = this.#open(key)
    const unknown = unknownOf(purse, wants)
    if (unknown.length > 0) return { held: false, unknown }
    const before = purse.holds.get(holder)?.amounts
    for (const want of wants) {
      if (want.limit === undefined) continue
      const bucket = purse.buckets.get(want.bucket)!
      const own = before?.find(each => each.bucket === want.bucket)?.amount ?? 0n
      const left = want.limit - (isOver(bucket, want) ? 0n : bucket.spent!)
      if ((bucket.held - own + want.amount) * BigInt(shares) > left) return { held: false, bucket: want.bucket }
    }
    for (const want of wants) {
      const bucket = purse.buckets.get(want.bucket)
      if (!bucket || !isOver(bucket, want)) continue
      bucket.spent = 0n
      bucket.start = want.window!.start
    }
    this.#hold(purse, { holder, amounts: wants, ttlMs })
    return { held: true }
  }

  /** As in `Store`. */
  record(key: string, { facts = [], holds = [], gone = [] }: Change): void {
    for (const fact of facts) checkRange(fact.spent)
    for (const hold of holds) for (const { amount } of hold.amounts) checkRange(amount)
    const purse = this.#open(key)
    for (const fact of facts) {
      const bucket = bucketOf(purse, fact.bucket)
      if (bucket.spent === undefined || fact.version > bucket.version) learn(bucket, fact)
    }
    for (const holder of gone) drop(purse, holder)
    for (const hold of holds) this.#hold(purse, hold)
  }

  /** Takes over what a better informed store knows of buckets, also where the version is the one known here. */
  correct(key: string, facts: readonly Fact[]): void {
    const purse = this.#open(key)
    for (const fact of facts) {
      const bucket = bucketOf(purse, fact.bucket)
      if (bucket.spent === undefined || fact.version >= bucket.version) learn(bucket, fact)
    }
  }

  /** As `correct` in `Store`. */
  amend(key: string, facts: readonly Fact[]): void {
    const purse = this.#purses.get(key)
    if (!purse) return
    for (const fact of facts) {
      const bucket = purse.buckets.get(fact.bucket)
      if (bucket?.spent !== undefined && fact.version > bucket.version) learn(bucket, fact)
    }
  }

  purse(key: string): Purse {
    const { buckets, holds } = this.#open(key)
    const used = ({ held, spent = 0n }: Bucket) => held + spent
    return {
      buckets: [...buckets]
        .map(([name, bucket]) => ({ bucket: name, used: used(bucket), spent: bucket.spent, start: bucket.start }))
        .sort((a, b) => (a.bucket < b.bucket ? -1 : 1)),
      holders: holds
        .all()
        .map(hold => hold.holder)
        .sort(),
    }
  }

  /** Purses of which something is held, give or take what expired this instant. */
  keys(): string[] {
    return [...this.#purses].filter(([, { holds }]) => holds.size > 0).map(([key]) => key)
  }

  holders(key: string): string[] {
    return this.#open(key)
      .holds.all()
      .map(hold => hold.holder)
  }

  /** All that is known and held of a purse, as another store can record it. */
  all(key: string): { facts: Fact[]; holds: Hold[] } {
    const { buckets, holds } = this.#open(key)
    const at = this.#now()
    return {
      facts: [...buckets].flatMap(([bucket, { spent, version, start }]) =>
        spent === undefined ? [] : [{ bucket, spent, version, start }],
      ),
      holds: holds.all().map(({ holder, amounts, until }) => ({ holder, amounts, ttlMs: until - at })),
    }
  }

  #open(key: string): State {
    const at = this.#now()
    let purse = this.#purses.get(key)
    if (!purse) {
      purse = { buckets: new Map(), holds: new Table(), soonest: Number.POSITIVE_INFINITY, until: 0 }
      this.#purses.set(key, purse)
    }
    purse.until = Math.max(purse.until, at + KEEP_MS)
    if (purse.soonest <= at) prune(purse, at)
    this.#broom.sweep(at)
    return purse
  }

  #hold(purse: State, { holder, amounts, ttlMs }: Hold): void {
    drop(purse, holder)
    const until = this.#now() + ttlMs
    purse.holds.set({ holder, amounts: amounts.map(({ bucket, amount }) => ({ bucket, amount })), until })
    for (const { bucket, amount } of amounts) bucketOf(purse, bucket).held += amount
    purse.soonest = Math.min(purse.soonest, until)
    purse.until = Math.max(purse.until, until)
  }
}

/** @throws RangeError: Redis counts in 64 bits, and one amount beyond them would be refused there for ever. */
export function checkWants(wants: readonly Want[]): void {
  for (const { amount, limit } of wants) {
    checkRange(amount)
    if (limit !== undefined) checkRange(limit)
  }
}

function checkRange(amount: bigint): void {
  if (amount >= RANGE || amount <= -RANGE) throw new RangeError(`an amount must be within 64 bits, got ${amount}`)
}

/** Buckets with a limit of which no fact is known. */
function unknownOf(purse: State, wants: readonly Want[]): string[] {
  const unknown: string[] = []
  for (const { bucket, limit } of wants)
    if (limit !== undefined && purse.buckets.get(bucket)?.spent === undefined) unknown.push(bucket)
  return unknown
}

function bucketOf(purse: State, name: string): Bucket {
  let bucket = purse.buckets.get(name)
  if (!bucket) purse.buckets.set(name, (bucket = { held: 0n, spent: undefined, version: 0n, start: undefined }))
  return bucket
}

function learn(bucket: Bucket, { spent, version, start }: Fact): void {
  bucket.spent = spent
  bucket.version = version
  bucket.start = start
}

function isOver({ spent, start }: Bucket, { window }: Want): boolean {
  return window !== undefined && spent !== undefined && (start === undefined || start < window.oldest)
}

function drop(purse: State, holder: string): void {
  const hold = purse.holds.delete(holder)
  if (!hold) return
  for (const { bucket, amount } of hold.amounts) purse.buckets.get(bucket)!.held -= amount
}

function prune(purse: State, at: number): void {
  purse.soonest = Number.POSITIVE_INFINITY
  for (const { holder, until } of purse.holds.all()) {
    if (until <= at) drop(purse, holder)
    else purse.soonest = Math.min(purse.soonest, until)
  }
}
