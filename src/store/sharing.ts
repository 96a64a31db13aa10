// The store of many processes: Redis while it answers, this process's share of every limit while it does not.
import { Breaker } from './breaker.ts'
import { byKey, Leases } from './leases.ts'
import type { RedisShare, RedisShareOptions } from './redis/redis.ts'
import type { Held, Store } from './store.ts'
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

/** Processes are leases too, on this key and without a limit: who lives is who renews. */
const PROCESSES = 'processes'
const BEAT_MS = 1_000
const PROCESS_TTL_MS = 5_000
/** The start waits this long for Redis, then goes on without it. */
const CONNECT_MS = 2_000
/** How long a value that was read is kept for the time that Redis is silent, and how many. */
const COPY_MS = 10 * 60_000
const COPIES = 100_000
/** Keys brought up to date at once when Redis is back. */
const SLICE = 200

/**
 * Never throws and never makes a caller wait more than about 250 ms for Redis.
 *
 * While Redis is silent a process admits under a limit only while it holds less than its share itself,
 * `max(1, floor(limit / processes))`, counting what it took before. So the shares sum up to the limit (or to the number
 * of processes, where that is more); what goes beyond it is at most one share for each process that had less than its
 * share when the silence began, and it is gone when the leases of before are. One process cut off alone: one share.
 * Processes are counted every second; one that ends says so at once.
 */
export class SharingStore implements Store {
  readonly #redis: RedisShare
  readonly #breaker: Breaker
  readonly #options: SharingOptions
  #processes: number
  /** since when Redis has answered without a break, ms */
  #soundSince = performance.now()
  /** All that this process holds, wherever it was admitted. */
  readonly #mine: Leases
  /** What Redis may believe this process holds; kept only while it is silent. */
  readonly #believed = new Map<string, Set<string>>()
  /** Keys that changed here while Redis is being told. */
  #changed: Set<string> | undefined
  readonly #copies: Values
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
  }

  async acquire(key: string, holder: string, limit: number, ttlMs: number): Promise<boolean> {
    if (!this.#breaker.open) {
      const taken = await this.#breaker.ask(() => this.#redis.acquire(key, holder, limit, ttlMs))
      if (taken === true) this.#mine.acquire(key, holder, 0, ttlMs)
      if (taken !== undefined) return taken
      this.#believe(key, holder) // No answer, and yet it may have happened.
    }
    const share = limit > 0 ? Math.max(1, Math.floor(limit / this.#processes)) : 0
    this.#changed?.add(key)
    return this.#mine.acquire(key, holder, share, ttlMs)
  }

  async renew(leases: readonly Held[], ttlMs: number): Promise<Held[]> {
    const keys = byKey(leases)
    const gone = await this.#breaker.ask(() =>
      Promise.all(keys.map(([key, holders]) => this.#redis.renew(key, holders, ttlMs))),
    )
    if (!gone) {
      for (const [key] of keys) this.#changed?.add(key)
      return this.#mine.renew(leases, ttlMs)
    }
    const lost = keys.flatMap(([key], i) => gone[i]!.map(holder => ({ key, holder })))
    this.#mine.release(lost)
    this.#mine.renew(leases, ttlMs)
    return lost
  }

  async release(leases: readonly Held[]): Promise<void> {
    const keys = byKey(leases)
    const open = this.#breaker.open
    if (open) for (const [key] of keys) this.#changed?.add(key)
    // Sent before this process's own waiters hear of it: what they ask then is answered after.
    const asked = this.#breaker.ask(() => Promise.all(keys.map(([key, holders]) => this.#redis.release(key, holders))))
    const heard = this.#mine.release(leases)
    const freed = await asked
    keys.forEach(([key, holders], i) => {
      // What was held when the breaker opened is believed already; what was taken since, Redis never heard of.
      if (!freed) for (const holder of open ? [] : holders) this.#believe(key, holder)
      // Somebody else's lease: the others have heard from Redis, this process has not.
      else if (freed[i]! > 0 && !heard.has(key)) this.#mine.announce(key)
    })
  }

  async held(keys: readonly string[]): Promise<number[]> {
    const counts = await this.#breaker.ask(() => Promise.all(keys.map(key => this.#redis.held(key))))
    return counts ?? keys.map(key => this.#mine.count(key))
  }

  async holders(keys: readonly string[]): Promise<{ key: string; holder: string; leftMs: number }[]> {
    const all =
      (await this.#breaker.ask(() => Promise.all(keys.map(key => this.#redis.holders(key))))) ??
      keys.map(key => this.#mine.holders(key))
    return keys.flatMap((key, i) => all[i]!.map(lease => ({ key, ...lease })))
  }

  async get(keys: readonly string[]): Promise<(string | undefined)[]> {
    const values = await this.#breaker.ask(() => Promise.all(keys.map(key => this.#redis.get(key))))
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
    await this.#breaker.ask(() => this.#redis.set(key, value, ttlMs).then(() => true))
  }

  async delete(keys: readonly string[]): Promise<void> {
    for (const key of keys) this.#copies.delete(key)
    await this.#breaker.ask(() => Promise.all(keys.map(key => this.#redis.delete(key))))
  }

  onFreed(listener: (key: string) => void): () => void {
    return this.#mine.onFreed(listener)
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
    const leaving = this.#breaker.ask(() => this.#redis.release(PROCESSES, [this.#options.processId]))
    await Promise.all([this.release(this.#mine.all()), this.delete([PROCESSES]), leaving])
    this.#breaker.close()
    this.#redis.close()
  }

  async #beat(): Promise<void> {
    const count = await this.#breaker.ask(() => this.#count())
    if (count === undefined) return
    // After a silence the others have to come back first; until they had the time to, fewer are not believed.
    const settled = performance.now() - this.#soundSince > PROCESS_TTL_MS
    this.#processes = settled ? count : Math.max(count, this.#processes)
  }

  // Also the probe: it runs a script and writes a value, as the real calls do, so a full or read-only Redis does not pass.
  async #count(): Promise<number> {
    const [, , count] = await Promise.all([
      this.#redis.set(PROCESSES, this.#options.processId, PROCESS_TTL_MS),
      this.#redis.acquire(PROCESSES, this.#options.processId, 0, PROCESS_TTL_MS),
      this.#redis.held(PROCESSES),
    ])
    return Math.max(1, count)
  }

  #opened(): void {
    for (const { key, holder } of this.#mine.all()) this.#believe(key, holder)
    this.#options.log('warn', this.trouble()!)
  }

  #believe(key: string, holder: string): void {
    const holders = this.#believed.get(key)
    if (holders) holders.add(holder)
    else this.#believed.set(key, new Set([holder]))
  }

  // Tells Redis what this process holds, slice by slice, and what changed meanwhile, until little is left.
  async #tellAll(): Promise<void> {
    let keys = [...new Set([...this.#believed.keys(), ...this.#mine.keys()])]
    do {
      this.#changed = new Set()
      while (keys.length > 0) await Promise.all(keys.splice(-SLICE).map(key => this.#tell(key)))
      keys = [...this.#changed]
    } while (keys.length > SLICE)
  }

  // The rest goes ahead of every later call on the same connection, so nothing needs to wait for it.
  #mended(openMs: number): void {
    for (const key of this.#changed ?? []) {
      const believed = [...(this.#believed.get(key) ?? [])]
      void this.#breaker
        .ask(() => this.#tell(key))
        .then(told => {
          if (!told) for (const holder of believed) this.#believe(key, holder)
        })
    }
    this.#changed = undefined
    this.#believed.clear()
    this.#soundSince = performance.now()
    const silent = `${(openMs / 1000).toFixed(1)} s`
    this.#options.log('info', `redis: answers again after ${silent}; limits are shared by ${this.#processes} again`)
    // Where the share was full there may be room now.
    for (const key of this.#mine.keys()) this.#mine.announce(key)
  }

  // Releases before it puts: a holder may have lost its place and found one again.
  async #tell(key: string): Promise<true> {
    const held = this.#mine.holders(key)
    const holds = new Set(held.map(lease => lease.holder))
    const gone = [...(this.#believed.get(key) ?? [])].filter(holder => !holds.has(holder))
    for (const holder of holds) this.#believe(key, holder)
    await Promise.all([this.#redis.release(key, gone), this.#redis.put(key, held)])
    return true
  }
}
