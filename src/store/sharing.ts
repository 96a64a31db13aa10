// The store of many processes: Redis while it answers, this process's share of every limit while it does not.
import { Batch } from './batch.ts'
import { Breaker, MendFirst } from './breaker.ts'
import { Copies } from './copies.ts'
import { Draws } from './draws.ts'
import { byKey, Leases, shareOf } from './leases.ts'
import { Mending } from './mending.ts'
import { checkWants, Purses } from './purses.ts'
import { Recall } from './recall.ts'
import type { Call } from './redis/call.ts'
import { type Later, PROCESS_TTL_MS } from './redis/epoch.ts'
import { Eviction } from './redis/eviction.ts'
import { type RedisShare, type RedisShareOptions, WANT_MS } from './redis/redis.ts'
import type { Change, Draw, Held, Purse, Reserved, Store, Want } from './store.ts'
import { PROCESSES } from './store.ts'
import { Wanted } from './wanted.ts'

export interface SharingOptions {
  /** makes the connection; `openRedis` with a URL */
  redis: (events: Pick<RedisShareOptions, 'onFreed' | 'onLost'>) => RedisShare
  /** this process among all that share, for as long as it lives */
  processId: string
  /** how many processes to reckon with until Redis has told; default 1 */
  processes?: number
  /** how many others are known to live when this one begins; default none */
  others?: number
  now?: (() => number) | undefined
  log: (level: 'info' | 'warn', line: string) => void
}

const BEAT_MS = 1_000
/** The start waits this long for Redis, then goes on without it. */
const CONNECT_MS = 2_000

/**
 * Never throws and never makes a caller wait more than about 250 ms for Redis; but for who is new when Redis has lost its
 * memory: until all have put back what they hold (see `Recall`), which takes a few ms, and 5 s where somebody does not come.
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
 * Rates are divided as `Draws` says.
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
  readonly #draws: Draws
  readonly #copies: Copies
  readonly #recall: Recall
  readonly #wanted = new Wanted(WANT_MS)
  #heart: NodeJS.Timeout | undefined
  readonly #eviction: Eviction

  /** Connects; resolves when Redis answers, and after two seconds all the same. */
  static async open(options: SharingOptions): Promise<SharingStore> {
    const store = new SharingStore(options)
    await store.#redis.connect(CONNECT_MS)
    await store.#arrive()
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
    this.#copies = new Copies(options.now)
    this.#redis = options.redis({
      onFreed: key => {
        if (key !== PROCESSES) this.#mine.announce(key)
        else if (this.#heart) void this.#beat()
      },
      onLost: () => this.#breaker.trip(new Error('the connection was lost')),
    })
    this.#eviction = new Eviction(() => this.#redis.policy())
    this.#recall = new Recall({
      redis: this.#redis,
      processId: options.processId,
      guests: () => (this.#heart ? this.#processes - 1 : (options.others ?? 0)),
      lost: () => this.#copies.forgotten(),
    })
    this.#draws = new Draws({
      redis: this.#redis,
      ask: call => this.#ask(call),
      processes: () => this.#processes,
      now: options.now,
    })
    this.#breaker = new Breaker({
      probe: () => this.#recall.meet(),
      hangUp: () => {
        this.#recall.giveUp()
        this.#redis.hangUp()
      },
      opened: cause => this.#opened(cause),
      mend: () => this.#tellAll(),
      mended: openMs => this.#mended(openMs),
    })
    this.#batch = new Batch(this.#breaker, calls => this.#redis.run(calls))
  }

  async acquire(key: string, holder: string, limit: number, ttlMs: number): Promise<boolean> {
    let own: number | undefined
    for (;;) {
      if (!this.#breaker.open) {
        const at = performance.now()
        const mine = own ?? this.#mine.count(key)
        const call = this.#redis.acquire(key, holder, limit, ttlMs, mine, this.#recall.due)
        const taken = await this.#batch.ask(call)
        // From before it was asked: here a lease must not live longer than there.
        if (taken === 'held') this.#mine.acquire(key, holder, 0, ttlMs - (performance.now() - at))
        else if (taken === 'full') this.#wanted.add(key)
        if (taken === 'held' || taken === 'full') return taken === 'held'
        if (taken === 'missing') {
          this.#recall.missed()
          void this.#batch.askAll(this.#redis.put(key, this.#mine.holders(key)))
        } else if (taken === 'later') await this.#recall.settled()
        if (taken) {
          own = 0
          continue
        }
        this.#places.believe(key, [holder]) // No answer, and yet it may have happened.
      }
      const wait = limit > 0 ? this.#recall.newcomers : undefined
      if (!wait) break
      await wait
    }
    this.#places.touch(key)
    return this.#mine.acquire(key, holder, shareOf(limit, this.#processes), ttlMs)
  }

  async renew(leases: readonly Held[], ttlMs: number): Promise<Held[]> {
    const at = performance.now()
    // What is alive here and missing there was lost by Redis, or taken away; what is over here may be somebody else's.
    const alive = byKey(leases.filter(lease => this.#mine.has(lease)))
    const over = byKey(leases.filter(lease => !this.#mine.has(lease)))
    const keys = [...alive, ...over]
    const calls = keys.map(([key, holders], i) => this.#redis.renew(key, holders, ttlMs, i < alive.length))
    const gone = await Promise.all(calls.map(each => this.#batch.askAll(each)))
    if (gone.includes(undefined)) {
      for (const [key] of keys) this.#places.touch(key)
      return this.#mine.renew(leases, ttlMs)
    }
    const lost = keys.flatMap(([key], i) => gone[i]!.flat().map(holder => ({ key, holder })))
    this.#mine.release(lost)
    this.#mine.renew(leases, ttlMs - (performance.now() - at))
    return lost
  }

  async release(leases: readonly Held[]): Promise<void> {
    await Promise.all(byKey(leases).map(([key, holders]) => this.#release(key, holders)))
  }

  async #release(key: string, holders: readonly string[]): Promise<void> {
    const open = this.#breaker.open
    if (open) this.#places.touch(key)
    let others: string[] | undefined
    for (const holder of holders) if (!this.#mine.has({ key, holder })) (others ??= []).push(holder)
    if (others) void this.#batch.askAll(this.#redis.deprive(key, others))
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
    const news = keys.filter(key => this.#wanted.add(key))
    if (news.length > 0) void this.#batch.ask(this.#redis.want(news))
  }

  async get(keys: readonly string[]): Promise<(string | undefined)[]> {
    if (keys.length === 0) return []
    const values = await this.#batch.ask(this.#redis.get(keys))
    if (!values) return keys.map(key => this.#copies.get(key))
    for (let i = 0; i < keys.length; i++) {
      const lost = this.#copies.heard(keys[i]!, values[i])
      if (!lost) continue
      values[i] = lost.value
      void this.#batch.ask(this.#redis.keep(keys[i]!, lost.value, lost.leftMs))
    }
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
    const said = await this.#ask(
      () => this.#redis.reserve(purse, holder, wants, ttlMs),
      () => this.#purses.believe(purse, [holder]),
    )
    if (said && !said.held) return said
    if (said) {
      this.#money.correct(purse, said.facts)
      this.#money.record(purse, { holds: [{ holder, amounts: wants, ttlMs }] })
      return { held: true }
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

  async correct(...[purse, facts]: Parameters<Store['correct']>): Promise<void> {
    this.#money.amend(purse, facts)
    await this.#batch.askAll(this.#redis.record(purse, { facts }, true))
  }

  async purse(purse: string): Promise<Purse> {
    // What has expired goes first.
    void this.#batch.askAll(this.#redis.record(purse, {}))
    return (await this.#batch.ask(this.#redis.purse(purse))) ?? this.#money.purse(purse)
  }

  take(key: string, wants: readonly Draw[]): Promise<number> {
    return this.#draws.take(key, wants)
  }

  give(key: string, bucket: string, amount: number, perMinute: number): Promise<void> {
    return this.#draws.give(key, bucket, amount, perMinute)
  }

  /** Asks for what is given to who is new: again, where that is for later. Undefined: without Redis. */
  async #ask<T extends {}>(call: () => Call<T | Later>, unanswered?: () => void): Promise<T | undefined> {
    for (;;) {
      if (!this.#breaker.open) {
        const said = await this.#batch.ask(call())
        if (said !== undefined && said !== 'later') return said as T
        if (said === 'later') {
          await this.#recall.settled()
          continue
        }
        unanswered?.()
      }
      const wait = this.#recall.newcomers
      if (!wait) return undefined
      await wait
    }
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
    if (this.#recall.newcomers) return `redis: ${reason}; nobody new is let in until what is held is put back`
    return `redis: ${reason}; limits are this node's share of ${this.#processes}`
  }

  warning(): string | undefined {
    return this.#eviction.warning()
  }

  /** Gives back what is still held, so that the others need not wait for its end. */
  async close(): Promise<void> {
    clearInterval(this.#heart)
    this.#heart = undefined
    this.#mine.close()
    await this.release(this.#mine.all())
    const leaving = this.#redis.release(PROCESSES, [this.#options.processId])
    await this.#batch.askAll<number | true>([...leaving, this.#redis.leave()])
    this.#breaker.close()
    this.#recall.end()
    this.#redis.close()
  }

  /** Comes to know Redis. One that is empty though others live has lost what they hold: they must come back first. */
  async #arrive(): Promise<void> {
    const lost = await this.#breaker.ask(() => this.#recall.meet())
    if (lost) this.#breaker.trip(new Error('it is empty, and others have not said yet what they hold'))
    else if (lost === false) await this.#breaker.ask(() => this.#recall.back().then(() => true))
  }

  async #beat(): Promise<void> {
    const { processId } = this.#options
    if (!this.#breaker.open) this.#eviction.beat()
    const answers = await this.#breaker.ask(() =>
      this.#redis.run<unknown>([
        this.#redis.beat(processId),
        this.#redis.want([PROCESSES]), // whoever ends says so
        this.#redis.holders(PROCESSES),
      ]),
    )
    if (answers === undefined) return
    const processes = (answers[2] as { holder: string }[]).map(lease => lease.holder)
    this.#recall.know(processes)
    // After a silence the others have to come back first; until they had the time to, fewer are not believed.
    const settled = performance.now() - this.#soundSince > PROCESS_TTL_MS
    this.#counted = settled ? processes.length : undefined
    this.#processes = Math.max(processes.length, settled ? this.#reckoned : this.#processes)
  }

  #opened(cause: Error): void {
    this.#counted = undefined
    if (cause instanceof MendFirst) this.#recall.begin()
    this.#places.begin()
    this.#purses.begin()
    this.#options.log('warn', this.trouble()!)
  }

  async #tellAll(): Promise<void> {
    const all = [this.#places, this.#purses]
    await Promise.all(all.map(each => each.tellAll()))
    if (this.#recall.lost) await this.#draws.tellAll()
    await this.#recall.back()
    while (all.some(each => each.behind) || !(await this.#recall.look()))
      await Promise.all(all.map(each => each.tellChanged()))
  }

  #mended(openMs: number): void {
    for (const each of [this.#places, this.#purses]) each.end(tell => this.#breaker.ask(tell))
    this.#soundSince = performance.now()
    const seconds = `${(openMs / 1000).toFixed(1)} s`
    const what = this.#recall.newcomers
      ? `all that is held was put back within ${seconds}`
      : `answers again after ${seconds}; limits are shared by ${this.#processes} again`
    this.#options.log('info', `redis: ${what}`)
    this.#recall.end()
    void this.#beat()
    // Where the share was full there may be room now; and nobody knows any more that this process waits for these.
    for (const key of new Set([...this.#mine.keys(), ...this.#wanted.forget()])) this.#mine.announce(key)
  }
}
