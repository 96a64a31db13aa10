// The money this process has put aside or not yet booked: held in the store, so that no two requests spend the same.
import type { Booked } from '../../core/books/book.ts'
import type { UsageLine } from '../../core/books/line.ts'
import { type Amount, purseOf, takenBy } from '../../core/books/purse.ts'
import { Failure } from '../../lib/failure.ts'
import type { Nano } from '../../lib/money.ts'
import { within } from '../../lib/within.ts'
import type { Fact, Store, Want } from '../../store/store.ts'

/*
 * A request's worst case is a hold of its own, short-lived and renewed while the request lives:
 *
 *   reserve ──► settle: the hold goes, and what the request did cost joins this process's one hold of what is not booked yet
 *      └──────► release: nothing was used
 *
 * When Postgres has booked a batch, what it now says is spent and the smaller hold are recorded in one step: at no moment
 * is there more room than there is money.
 */
const RESERVED_MS = 15_000
// Outlives any outage of Postgres that the spool is meant to bridge; a process that never comes back is forgotten after it.
const UNBOOKED_MS = 24 * 3_600_000
// How long a request may wait for Postgres to say what the store does not know; then what this process knew last must do.
const LOOK_UP_MS = 500

export interface Refused {
  /** the bucket that has no room */
  bucket: string
  /** what may still be put aside, and what there would be if nothing were */
  room: Nano
  unspent: Nano
  /** Unix ms when its window began, of buckets that have one */
  start: number | undefined
}

export interface Wallet {
  /**
   * Puts the worst case of a request aside in all buckets or in none.
   * @returns undefined when it is held, or which bucket refused
   * @throws Failure BILLING_UNAVAILABLE when nobody can say what is left
   */
  reserve(user: number, request: string, wants: readonly Want[]): Promise<Refused | undefined>
  release(user: number, request: string): void
  /** What the request did cost takes the place of what was put aside. */
  settle(user: number, request: string, costs: readonly Amount[]): void
  /** A line that an earlier run left in the spool is not booked either. */
  inherit(line: UsageLine): void
  /** A line will never be booked. */
  forget(line: UsageLine): void
  /** A batch is in Postgres; told once of each line. */
  booked(booked: Booked): void
  /** Asks Postgres again: of one user, or of all. @throws when it cannot be asked */
  refresh(user?: number): Promise<void>
  /** What is spent of each bucket of a user and not put aside; fresh if Postgres can be asked soon. */
  spent(user: number): Promise<ReadonlyMap<string, Fact>>
  /** requests with money put aside */
  size(): number
  close(): void
}

export interface WalletOptions {
  store: Store
  /** names what is not booked yet: the spool it waits in, whichever process reads that */
  spoolId: string
  load(users?: readonly number[]): Promise<Map<number, Fact[]>>
  log: (line: string) => void
}

export function createWallet({ store, spoolId, load, log }: WalletOptions): Wallet {
  const held = new Map<string, { user: number; amounts: readonly Amount[] }>()
  const unbooked = new Map<number, Map<string, Nano>>()
  const facts = new Map<number, Map<string, Fact>>()
  // Whose purse in the store has heard from this process.
  const introduced = new Set<number>()

  /** Writes this process's one hold of a user's purse as it is now, and what else there is to say. */
  const record = (user: number, more: { facts?: Fact[]; gone?: string[] }) => {
    introduced.add(user)
    const sums = unbooked.get(user)
    const { facts = [], gone = [] } = more
    if (!sums) return store.record(purseOf(user), { facts, gone: [...gone, spoolId] })
    const amounts = [...sums].map(([bucket, amount]) => ({ bucket, amount }))
    return store.record(purseOf(user), { facts, gone, holds: [{ holder: spoolId, amounts, ttlMs: UNBOOKED_MS }] })
  }
  const add = (user: number, costs: readonly Amount[], sign: 1n | -1n) => {
    const sums = unbooked.get(user) ?? new Map<string, Nano>()
    for (const { bucket, amount } of costs) {
      const sum = (sums.get(bucket) ?? 0n) + sign * amount
      if (sum === 0n) sums.delete(bucket)
      else sums.set(bucket, sum)
    }
    if (sums.size > 0) unbooked.set(user, sums)
    else unbooked.delete(user)
  }
  const learn = (user: number, news: readonly Fact[]) => {
    const known = facts.get(user) ?? new Map<string, Fact>()
    for (const fact of news) {
      const old = known.get(fact.bucket)
      if (!old || old.version < fact.version) known.set(fact.bucket, fact)
    }
    facts.set(user, known)
  }
  async function refresh(user?: number): Promise<void> {
    for (const [id, news] of await load(user === undefined ? undefined : [user])) {
      learn(id, news)
      if (introduced.has(id)) void record(id, { facts: [...news] })
    }
  }
  // One at a time of each user, however many ask.
  const refreshing = new Map<number, Promise<void>>()
  const refreshOnce = (user: number) => {
    let under = refreshing.get(user)
    if (!under) refreshing.set(user, (under = refresh(user).finally(() => refreshing.delete(user))))
    return under
  }
  const refreshSoon = (user: number) =>
    within(LOOK_UP_MS, refreshOnce(user)).catch((error: Error) =>
      log(`cannot look up a balance, going by what was known last: ${error.message}`),
    )

  /** Prolongs what is put aside: by all users, or by one whose purse the store has lost. */
  async function renew(only?: number): Promise<void> {
    const live = only === undefined ? held : [...held].filter(([, { user }]) => user === only)
    await Promise.all(
      [...Map.groupBy(live, ([, { user }]) => user)].map(([user, requests]) =>
        store.record(purseOf(user), {
          holds: requests.map(([holder, { amounts }]) => ({ holder, amounts, ttlMs: RESERVED_MS })),
        }),
      ),
    )
  }
  let beats = 0
  const timer = setInterval(() => {
    void renew()
    // Once an hour what is not booked, of those who ask for nothing, too.
    if (++beats % 720 === 0) for (const user of unbooked.keys()) void record(user, {})
  }, RESERVED_MS / 3).unref()

  return {
    async reserve(user, request, wants) {
      const purse = purseOf(user)
      // Only what is not booked: what this process knew of the rest may be old, if others have spent of it since.
      if (!introduced.has(user)) void record(user, {})
      let answer = await store.reserve(purse, request, wants, RESERVED_MS)
      if (!answer.held && 'unknown' in answer) {
        await refreshSoon(user)
        await Promise.all([record(user, { facts: [...(facts.get(user)?.values() ?? [])] }), renew(user)])
        answer = await store.reserve(purse, request, wants, RESERVED_MS)
        if (!answer.held && 'unknown' in answer) throw new Failure('BILLING_UNAVAILABLE')
      }
      if (answer.held) {
        held.set(request, { user, amounts: wants })
        return undefined
      }
      const { bucket } = answer
      const { limit, window } = wants.find(want => want.bucket === bucket)!
      const now = (await store.purse(purse)).buckets.find(one => one.bucket === bucket)
      // A window that is over begins anew with the next request that is let in; of this one nothing is spent.
      const over = window !== undefined && (now?.start ?? 0) < window.oldest
      const spent = over ? 0n : (now?.spent ?? 0n)
      return {
        bucket,
        room: limit! - spent - (now ? now.used - (now.spent ?? 0n) : 0n),
        unspent: limit! - spent - (unbooked.get(user)?.get(bucket) ?? 0n),
        start: over ? undefined : now?.start,
      }
    },
    release(user, request) {
      if (held.delete(request)) void store.record(purseOf(user), { gone: [request] })
    },
    settle(user, request, costs) {
      held.delete(request)
      add(user, costs, 1n)
      void record(user, { gone: [request] })
    },
    inherit: line => add(line.user_id, takenBy(line), 1n),
    forget(line) {
      add(line.user_id, takenBy(line), -1n)
      void record(line.user_id, {})
    },
    booked(booked) {
      for (const line of booked.lines) add(line.user_id, takenBy(line), -1n)
      for (const [user, news] of booked.facts) {
        learn(user, news)
        void record(user, { facts: news })
      }
    },
    refresh,
    async spent(user) {
      await refreshSoon(user)
      const own = unbooked.get(user)
      return new Map(
        [...(facts.get(user) ?? [])].map(([bucket, fact]) => [
          bucket,
          { ...fact, spent: fact.spent + (own?.get(bucket) ?? 0n) },
        ]),
      )
    },
    size: () => held.size,
    close: () => clearInterval(timer),
  }
}
