// The store of many processes: Redis while it answers, this process's share of every limit while it does not.
import { Batch } from './batch.ts'
import { Breaker } from './breaker.ts'
import { byKey, Leases, shareOf } from './leases.ts'
import { Mending } from './mending.ts'
import { checkWants, Purses } from './purses.ts'
import { Rates } from './rates.ts'
import { type RedisShare, type RedisShareOptions, WANT_MS } from './redis/redis.ts'
import {
  type Change,
  type Draw,
  type Held,
  PROCESSES,
  type Purse,
  type Reserved,
  type Store,
  type Want,
} from './store.ts'
import { Values } from './values.ts'

export interface SharingOptions {
  /** makes the connection; `openRedis` with a URL */
  redis: (events: Pick<RedisShareOptions, 'onFreed' | 'onLost'>) => RedisShare
  /** this process among all that share, for as long as it lives */
  processId: string
  /** how many processes to reckon with until Redis has told; default 1 */
  processes?: number
  now?: (() => number) | undefined
  log: (level: 'info' | 'warn', line: string) => void
}

const BEAT_MS = 1_000
const PROCESS_TTL_MS = 5_000
/** The start waits this long for Redis, then goes on without it. */
const CONNECT_MS = 2_000
/** How long a value that was read is kept for the time that Redis is silent, and how many. */
const COPY_MS = 10 * 60_000
const COPIES = 100_000

/**
 * Never throws and never makes a caller wait more than about 250 ms for Redis.
 *
 * While Redis is silent a process admits under a limit only while it holds less than its share itself,
 * `max(1, floor(limit / processes))`, counting what it took before. So the shares sum up to the limit (or to the number
 * of processes, where that is more); what goes beyond it is at most one share for each process that had less than its
 * share when the silence began, and it is gone when the leases of before are. One process cut off alone: one share.
 * Processes are counted every second; one that ends says so at once. While they cannot be counted the last number holds,
 * or a larger one that Postgres knows of: who ends then may be about to begin again.
 *
 * Money is divisible: a process admits while all it holds of a bucket is at most its share of what was left there,
 * rounded down, by the last facts it heard. What it holds is not given back at the end: it may not be in Postgres yet.
 * Rates are divided the same way, and nothing is made up for later.
 */
export class SharingStore implements Store {
  readonly #redis: RedisShare
  readonly #breaker: Breaker
  readonly #batch: Batch
  readonly #options: SharingOptions
  #processes: number
  /** as many as are known of elsewhere */
  #reckoned = 1
  /** as many as Redis told, while it can be believed */
  #counted: number | undefined
  /** since when Redis has answered without a break, ms */
  #soundSince = performance.now()
  /** All that this process holds, wherever it was admitted. */
  readonly #mine: Leases
  readonly #places: Mending
  /** What this process holds of purses, wherever it was admitted, and the last facts it heard. */
  readonly #money: Purses
  readonly #purses: Mending
  readonly #rates: Rates
  readonly #copies: Values
  /** What this process said lately that it waits for, and until when that need not be said again. */
  readonly #wanted = new Set<string>()
  #wantedUntil = 0
  #heart: NodeJS.Timeout | undefined

  /** Connects; resolves when Redis answers, and after two seconds all the same. */
  static async open(options: SharingOptions): Promise<SharingStore> {
    const store = new SharingStore(options)
    await store.#redis.connect(CONNECT_MS)
    await store.#beat()
    store.#heart = setInterval(() => void store.#beat(), BEAT_MS).unref()
    return store
  }

  private constructor(options: SharingOptions) {
    this.#options = options
    this.#processes = options.processes ?? 1
    this.#mine = new Leases(options.now)
    this.#places = new Mending({
      keys: () => this.#mine.keys(),
      holders: key => this.#mine.holders(key).map(lease => lease.holder),
      // Releases before it puts: a holder may have lost its place and found one again.
      tell: (key, gone) =>
        this.#redis.run<unknown>([...this.#redis.release(key, gone), ...this.#redis.put(key, this.#mine.holders(key))]),
    })
    this.#money = new Purses(options.now)
    this.#purses = new Mending({
      keys: () => this.#money.keys(),
      holders: key => this.#money.holders(key),
      tell: (key, gone) => this.#redis.run(this.#redis.record(key, { ...this.#money.all(key), gone }, true)),
    })
    this.#rates = new Rates(options.now)
    this.#copies = new Values(options.now, COPIES)
    this.#redis = options.redis({
      onFreed: key => {
        if (key !== PROCESSES) this.#mine.announce(key)
        else if (this.#heart) void this.#beat()
      },
      onLost: () => this.#breaker.trip('the connection was lost'),
    })
    this.#breaker = new Breaker({
      probe: () => this.#count(),
      hangUp: () => this.#redis.hangUp(),
      opened: () => this.#opened(),
      mend: () => this.#tellAll(),
      mended: openMs => this.#mended(openMs),
    })
    this.#batch = new Batch(this.#breaker, calls => this.#redis.run(calls))
  }

  async acquire(key: string, holder: string, limit: number, ttlMs: number): Promise<boolean> {
    if (!this.#breaker.open) {
      const taken = await this.#batch.ask(this.#redis.acquire(key, holder, limit, ttlMs))
      if (taken === true) this.#mine.acquire(key, holder, 0, ttlMs)
      if (taken !== undefined) return taken
      this.#places.believe(key, [holder]) // No answer, and yet it may have happened.
    }
    this.#places.touch(key)
    return this.#mine.acquire(key, holder, shareOf(limit, this.#processes), ttlMs)
  }

  async renew(leases: readonly Held[], ttlMs: number): Promise<Held[]> {
    const keys = byKey(leases)
    const calls = keys.map(([key, holders]) => this.#redis.renew(key, holders, ttlMs))
    const gone = await Promise.all(calls.map(each => this.#batch.askAll(each)))
    if (gone.includes(undefined)) {
      for (const [key] of keys) this.#places.touch(key)
      return this.#mine.renew(leases, ttlMs)
    }
    const lost = keys.flatMap(([key], i) => gone[i]!.flat().map(holder => ({ key, holder })))
    this.#mine.release(lost)
    this.#mine.renew(leases, ttlMs)
    return lost
  }

  async release(leases: readonly Held[]): Promise<void> {
    await Promise.all(byKey(leases).map(([key, holders]) => this.#release(key, holders)))
  }

  async #release(key: string, holders: readonly string[]): Promise<void> {
    const open = this.#breaker.open
    if (open) this.#places.touch(key)
    // Asked before this process's own waiters hear of it: what they ask then is run after.
    const asked = this.#batch.askAll(this.#redis.release(key, holders))
    const heard = this.#mine.release(holders.map(holder => ({ key, holder })))
    const freed = await asked
    // What was held when the breaker opened is believed already; what was taken since, Redis never heard of.
    if (!freed) this.#places.believe(key, open ? [] : holders)
    // Somebody else's lease: the others have heard from Redis, this process has not.
    else if (heard.length === 0 && freed.some(count => count > 0)) this.#mine.announce(key)
  }

  async held(keys: readonly string[]): Promise<number[]> {
    if (keys.length === 0) return []
    return (await this.#batch.ask(this.#redis.held(keys))) ?? keys.map(key => this.#mine.count(key))
  }

  async holders(keys: readonly string[]): Promise<{ key: string; holder: string; leftMs: number }[]> {
    const all =
      (await this.#batch.askAll(keys.map(key => this.#redis.holders(key)))) ?? keys.map(key => this.#mine.holders(key))
    return keys.flatMap((key, i) => all[i]!.map(lease => ({ key, ...lease })))
  }

  want(keys: readonly string[]): void {
    const at = performance.now()
    if (at >= this.#wantedUntil) {
      this.#wanted.clear()
      this.#wantedUntil = at + WANT_MS / 2
    }
    const news = keys.filter(key => !this.#wanted.has(key))
    if (news.length === 0) return
    for (const key of news) this.#wanted.add(key)
    void this.#batch.ask(this.#redis.want(news))
  }

  async get(keys: readonly string[]): Promise<(string | undefined)[]> {
    if (keys.length === 0) return []
    const values = await this.#batch.ask(this.#redis.get(keys))
    if (!values) return keys.map(key => this.#copies.get(key))
    keys.forEach((key, i) => {
      const value = values[i]
      if (value === undefined) this.#copies.delete(key)
      else if (value !== this.#copies.get(key)) this.#copies.set(key, value, COPY_MS)
    })
    return values
  }

  async set(key: string, value: string, ttlMs: number): Promise<void> {
    this.#copies.set(key, value, ttlMs)
    await this.#batch.ask(this.#redis.set(key, value, ttlMs))
  }

  async delete(keys: readonly string[]): Promise<void> {
    for (const key of keys) this.#copies.delete(key)
    if (keys.length > 0) await this.#batch.ask(this.#redis.delete(keys))
  }

  async reserve(purse: string, holder: string, wants: readonly Want[], ttlMs: number): Promise<Reserved> {
    checkWants(wants)
    if (!this.#breaker.open) {
      const said = await this.#batch.ask(this.#redis.reserve(purse, holder, wants, ttlMs))
      if (said && !said.held) return said
      if (said) {
        this.#money.correct(purse, said.facts)
        this.#money.record(purse, { holds: [{ holder, amounts: wants, ttlMs }] })
        return { held: true }
      }
      this.#purses.believe(purse, [holder])
    }
    this.#purses.touch(purse)
    return this.#money.reserve(purse, holder, wants, ttlMs, this.#processes)
  }

  async record(purse: string, change: Change): Promise<void> {
    this.#money.record(purse, change)
    if (this.#breaker.open) return this.#purses.touch(purse)
    const told = await this.#batch.askAll(this.#redis.record(purse, change))
    const { holds = [], gone = [] } = change
    if (!told) this.#purses.believe(purse, [...gone, ...holds.map(hold => hold.holder)])
  }

  async purse(purse: string): Promise<Purse> {
    // What has expired goes first.
    void this.#batch.askAll(this.#redis.record(purse, {}))
    return (await this.#batch.ask(this.#redis.purse(purse))) ?? this.#money.purse(purse)
  }

  async take(key: string, wants: readonly Draw[]): Promise<number> {
    const share = (want: Draw) => ({ ...want, perMinute: want.perMinute / this.#processes })
    return (await this.#batch.ask(this.#redis.take(key, wants))) ?? this.#rates.take(key, wants.map(share))
  }

  async give(key: string, bucket: string, amount: number, perMinute: number): Promise<void> {
    const given = await this.#batch.ask(this.#redis.take(key, [{ bucket, amount: -amount, perMinute }], true))
    if (given === undefined) this.#rates.give(key, bucket, amount, perMinute / this.#processes)
  }

  onFreed(listener: (key: string) => void): () => void {
    return this.#mine.onFreed(listener)
  }

  reckon(processes: number): void {
    this.#reckoned = processes
    // What Redis told last holds while it is silent: who left meanwhile may come back.
    this.#processes = Math.max(this.#processes, processes)
  }

  counted(): number | undefined {
    return this.#counted
  }

  trouble(): string | undefined {
    if (!this.#breaker.open) return undefined
    const reason = this.#redis.lastError() ?? this.#breaker.reason
    return `redis: ${reason}; limits are this node's share of ${this.#processes}`
  }

  /** Gives back what is still held, so that the others need not wait for its end. */
  async close(): Promise<void> {
    clearInterval(this.#heart)
    this.#heart = undefined
    this.#mine.close()
    const leaving = this.#batch.askAll(this.#redis.release(PROCESSES, [this.#options.processId]))
    await Promise.all([this.release(this.#mine.all()), this.delete([PROCESSES]), leaving])
    this.#breaker.close()
    this.#redis.close()
  }

  async #beat(): Promise<void> {
    const count = await this.#breaker.ask(() => this.#count())
    if (count === undefined) return
    // After a silence the others have to come back first; until they had the time to, fewer are not believed.
    const settled = performance.now() - this.#soundSince > PROCESS_TTL_MS
    this.#counted = settled ? count : undefined
    this.#processes = Math.max(count, settled ? this.#reckoned : this.#processes)
  }

  // Also the probe: it runs a script and writes a value, as the real calls do, so a full or read-only Redis does not pass.
  async #count(): Promise<number> {
    const { processId } = this.#options
    const answers = await this.#redis.run<unknown>([
      this.#redis.set(PROCESSES, processId, PROCESS_TTL_MS),
      this.#redis.acquire(PROCESSES, processId, 0, PROCESS_TTL_MS),
      this.#redis.want([PROCESSES]), // whoever ends says so
      this.#redis.held([PROCESSES]),
    ])
    const [count] = answers[3] as number[]
    return Math.max(1, count!)
  }

  #opened(): void {
    this.#counted = undefined
    this.#places.begin()
    this.#purses.begin()
    this.#options.log('warn', this.trouble()!)
  }

  async #tellAll(): Promise<void> {
    const all = [this.#places, this.#purses]
    await Promise.all(all.map(each => each.tellAll()))
    while (all.some(each => each.behind)) await Promise.all(all.map(each => each.tellChanged()))
  }

  #mended(openMs: number): void {
    for (const each of [this.#places, this.#purses]) each.end(tell => this.#breaker.ask(tell))
    this.#soundSince = performance.now()
    this.#wantedUntil = 0
    const silent = `${(openMs / 1000).toFixed(1)} s`
    this.#options.log('info', `redis: answers again after ${silent}; limits are shared by ${this.#processes} again`)
    // Where the share was full there may be room now.
    for (const key of this.#mine.keys()) this.#mine.announce(key)
  }
}
