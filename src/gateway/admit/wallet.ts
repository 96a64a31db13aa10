// The money this process has put aside or not yet booked: held in the store, so that no two requests spend the same.
import type { Booked } from '../../core/books/book.ts'
import type { Payers } from '../../core/books/books.ts'
import type { UsageLine } from '../../core/books/line.ts'
import { type Amount, purseOf, takenBy } from '../../core/books/purse.ts'
import { withoutEpoch } from '../../db/epoch.ts'
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
/** How often the store is told what it does not know, for one request. */
const TELLS = 10
// Of so many users the store is told at once.
const AT_ONCE = 200

export interface Refused {
  /** the bucket that has no room */
  bucket: string
  /** what may still be put aside, and what there would be if nothing were */
  room: Nano
  unspent: Nano
  /** Unix ms when its window began, of buckets that have one */
  start: number | undefined
}

export interface WalletOptions {
  store: Store
  /** names what is not booked yet: the spool it waits in, whichever process reads that */
  spoolId: string
  /** what Postgres says, of these users or of all */
  load(users?: readonly number[]): Promise<Map<number, Fact[]>>
  /** told when Postgres says something older than it had said before */
  wentBack?: (why: string) => void
  log: (line: string) => void
}

/** What this process knows of one user's money. */
class Money {
  readonly user: number
  readonly purse: string
  /** what was put aside for requests under way */
  readonly reserved: { request: string; amounts: readonly Amount[] }[] = []
  /** used and not booked yet, a sum for each bucket; it may be 0 until the next batch is heard of */
  unbooked: Amount[] = []
  readonly facts = new Map<string, Fact>()
  /** its purse in the store has heard from this process */
  introduced = false
  /** how often a later epoch told an older state of something */
  back = 0
  /** Postgres is being asked */
  refreshing: Promise<void> | undefined

  constructor(user: number) {
    this.user = user
    this.purse = purseOf(user)
  }

  add(costs: readonly Amount[]): void {
    for (const { bucket, amount } of costs) {
      const sum = this.#sum(bucket)
      if (sum) sum.amount += amount
      else this.unbooked.push({ bucket, amount })
    }
  }

  subtract(costs: readonly Amount[]): void {
    this.add(costs.map(({ bucket, amount }) => ({ bucket, amount: -amount })))
    this.unbooked = this.unbooked.filter(({ amount }) => amount !== 0n)
  }

  unbookedOf(bucket: string): Nano {
    return this.#sum(bucket)?.amount ?? 0n
  }

  /** @returns whether something of it is older than what is known */
  learn(news: readonly Fact[]): boolean {
    let older = false
    for (const fact of news) {
      const old = this.facts.get(fact.bucket)
      if (!old || old.version < fact.version) this.facts.set(fact.bucket, fact)
      else if (old.version > fact.version) older = true
      // Of a later epoch, and yet less was counted.
      if (old && old.version < fact.version && withoutEpoch(old.version) > withoutEpoch(fact.version)) this.back++
    }
    return older
  }

  /** @returns whether there was such a reservation */
  drop(request: string): boolean {
    const { reserved } = this
    for (let i = reserved.length - 1; i >= 0; i--)
      if (reserved[i]!.request === request) {
        const last = reserved.pop()!
        if (i < reserved.length) reserved[i] = last
        return true
      }
    return false
  }

  #sum(bucket: string): Amount | undefined {
    for (const sum of this.unbooked) if (sum.bucket === bucket) return sum
    return undefined
  }
}

export class Wallet implements Payers {
  readonly #store: Store
  readonly #spoolId: string
  readonly #load: WalletOptions['load']
  readonly #log: WalletOptions['log']
  readonly #wentBack: NonNullable<WalletOptions['wentBack']>
  #doubting = false
  readonly #users = new Map<number, Money>()
  readonly #timer: NodeJS.Timeout
  #beats = 0

  constructor({ store, spoolId, load, log, wentBack = () => {} }: WalletOptions) {
    this.#wentBack = wentBack
    this.#store = store
    this.#spoolId = spoolId
    this.#load = load
    this.#log = log
    this.#timer = setInterval(() => this.#beat(), RESERVED_MS / 3).unref()
  }

  /**
   * Puts the worst case of a request aside in all buckets or in none.
   * @returns undefined when it is held, or which bucket refused
   * @throws Failure BILLING_UNAVAILABLE when nobody can say what is left
   */
  async reserve(user: number, request: string, wants: readonly Want[]): Promise<Refused | undefined> {
    const money = this.#of(user)
    // Only what is not booked: what this process knew of the rest may be old, if others have spent of it since.
    if (!money.introduced) void this.#record(money)
    let answer = await this.#store.reserve(money.purse, request, wants, RESERVED_MS)
    for (let tells = 0; !answer.held && 'unknown' in answer; tells++) {
      if (tells === 0) await this.#refreshSoon(money)
      // Told, and forgotten before it was asked for: the store may lose its memory at any moment, but not for ever.
      else if (tells === TELLS || !answer.unknown.every(bucket => money.facts.has(bucket)))
        throw new Failure('BILLING_UNAVAILABLE')
      await Promise.all([this.#record(money, [...money.facts.values()]), this.#renew(money)])
      answer = await this.#store.reserve(money.purse, request, wants, RESERVED_MS)
    }
    if (!answer.held) return this.#refused(money, answer.bucket, wants)
    money.reserved.push({ request, amounts: wants })
    return undefined
  }

  release(user: number, request: string): void {
    const money = this.#of(user)
    if (money.drop(request)) void this.#store.record(money.purse, { gone: [request] })
  }

  /** What the request did cost takes the place of what was put aside. */
  settle(user: number, request: string, costs: readonly Amount[]): void {
    const money = this.#of(user)
    money.drop(request)
    money.add(costs)
    void this.#record(money, undefined, request)
  }

  inherit(line: UsageLine): void {
    this.#of(line.user_id).add(takenBy(line))
  }

  forget(line: UsageLine): void {
    const money = this.#of(line.user_id)
    money.subtract(takenBy(line))
    void this.#record(money)
  }

  heard({ taken, facts }: Booked): void {
    for (const [user, costs] of taken) this.#of(user).subtract(costs)
    for (const [user, news] of facts) {
      const money = this.#of(user)
      money.learn(news)
      void this.#record(money, news)
    }
  }

  /** Asks Postgres again: of one user, or of all. @throws when it cannot be asked */
  async refresh(user?: number): Promise<void> {
    let doubtful: Money | undefined
    for (const [id, news] of await this.#load(user === undefined ? undefined : [user])) {
      const money = this.#of(id)
      if (money.learn(news)) doubtful = money
      if (money.introduced) void this.#record(money, news)
    }
    if (doubtful) void this.#doubt(doubtful)
  }

  /**
   * Asks Postgres of all again after it went back, and tells the store what it knows of anybody.
   * @returns how many sums are older than they were known to be. @throws when Postgres cannot be asked
   */
  async renew(): Promise<number> {
    let told: Promise<void>[] = []
    for (const [id, news] of await this.#load()) {
      const money = this.#of(id)
      money.learn(news)
      told.push(money.introduced ? this.#record(money, news) : this.#store.correct(money.purse, news))
      if (told.length < AT_ONCE) continue
      await Promise.all(told)
      told = []
    }
    await Promise.all(told)
    let older = 0
    for (const money of this.#users.values()) {
      older += money.back
      money.back = 0
    }
    return older
  }

  /** What is spent of each bucket of a user and not put aside; fresh if Postgres can be asked soon. */
  async spent(user: number): Promise<ReadonlyMap<string, Fact>> {
    const money = this.#of(user)
    await this.#refreshSoon(money)
    const spent = new Map<string, Fact>()
    for (const [bucket, fact] of money.facts)
      spent.set(bucket, { ...fact, spent: fact.spent + money.unbookedOf(bucket) })
    return spent
  }

  /** requests with money put aside */
  size(): number {
    let size = 0
    for (const { reserved } of this.#users.values()) size += reserved.length
    return size
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #of(user: number): Money {
    let money = this.#users.get(user)
    if (money === undefined) this.#users.set(user, (money = new Money(user)))
    return money
  }

  async #refused(money: Money, bucket: string, wants: readonly Want[]): Promise<Refused> {
    const { limit, window } = wants.find(want => want.bucket === bucket)!
    const now = (await this.#store.purse(money.purse)).buckets.find(one => one.bucket === bucket)
    // A window that is over begins anew with the next request that is let in; of this one nothing is spent.
    const over = window !== undefined && (now?.start ?? 0) < window.oldest
    const spent = over ? 0n : (now?.spent ?? 0n)
    return {
      bucket,
      room: limit! - spent - (now ? now.used - (now.spent ?? 0n) : 0n),
      unspent: limit! - spent - money.unbookedOf(bucket),
      start: over ? undefined : now?.start,
    }
  }

  /** Writes this process's one hold of a user's purse as it is now, and what else there is to say, in one step. */
  #record(money: Money, facts?: readonly Fact[], gone?: string): Promise<void> {
    money.introduced = true
    const amounts: Amount[] = []
    for (const { bucket, amount } of money.unbooked) if (amount !== 0n) amounts.push({ bucket, amount })
    const holder = this.#spoolId
    if (amounts.length === 0)
      return this.#store.record(money.purse, { facts, gone: gone === undefined ? [holder] : [gone, holder] })
    const holds = [{ holder, amounts, ttlMs: UNBOOKED_MS }]
    return this.#store.record(money.purse, { facts, gone: gone === undefined ? undefined : [gone], holds })
  }

  // What was read may have been overtaken by what was booked meanwhile; what is asked for now may not be older than what is known now.
  async #doubt(money: Money): Promise<void> {
    if (this.#doubting) return
    this.#doubting = true
    try {
      const known = new Map(money.facts)
      for (const fact of (await this.#load([money.user])).get(money.user) ?? []) {
        const before = known.get(fact.bucket)?.version ?? 0n
        if (fact.version >= before) continue
        this.#wentBack(`${fact.bucket} of user ${money.user} was at version ${before} and is at ${fact.version}`)
        break
      }
    } catch {
      // Whoever reads next doubts again.
    } finally {
      this.#doubting = false
    }
  }

  // One at a time of each user, however many ask.
  #refreshSoon(money: Money): Promise<void> {
    money.refreshing ??= this.refresh(money.user).finally(() => {
      money.refreshing = undefined
    })
    return within(LOOK_UP_MS, money.refreshing).catch((error: Error) =>
      this.#log(`cannot look up a balance, going by what was known last: ${error.message}`),
    )
  }

  /** Prolongs what is put aside by a user. */
  #renew({ purse, reserved }: Money): Promise<void> {
    const holds = reserved.map(({ request, amounts }) => ({ holder: request, amounts, ttlMs: RESERVED_MS }))
    return this.#store.record(purse, { holds })
  }

  #beat(): void {
    // Once an hour what is not booked, of those who ask for nothing, too.
    const hourly = ++this.#beats % 720 === 0
    for (const money of this.#users.values()) {
      if (money.reserved.length > 0) void this.#renew(money)
      if (hourly && money.unbooked.length > 0) void this.#record(money)
    }
  }
}
