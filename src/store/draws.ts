// Rates that many processes share: Redis counts them; while it is silent each process has its share.
import { Rates } from './rates.ts'
import type { Call } from './redis/call.ts'
import type { Later } from './redis/epoch.ts'
import type { Drawn, RedisShare } from './redis/redis.ts'
import type { Draw } from './store.ts'

export interface DrawsOptions {
  redis: RedisShare
  /** the answer; undefined: without Redis */
  ask(call: () => Call<Drawn | Later>): Promise<Drawn | undefined>
  processes(): number
  now?: (() => number) | undefined
}

/** A share is of what fills a bucket each minute, and nothing is made up for later. */
export class Draws {
  readonly #options: DrawsOptions
  readonly #shares: Rates
  /** what Redis said last of what is left, for when it forgets it */
  readonly #levels: Rates

  constructor(options: DrawsOptions) {
    this.#options = options
    this.#shares = new Rates(options.now)
    this.#levels = new Rates(options.now)
  }

  /** As in `Store`. */
  async take(key: string, wants: readonly Draw[]): Promise<number> {
    const { redis, ask } = this.#options
    const drawn = await ask(() => redis.take(key, wants))
    if (drawn) return this.#heard(key, wants, drawn)
    const processes = this.#options.processes()
    return this.#shares.take(
      key,
      wants.map(want => ({ ...want, perMinute: want.perMinute / processes })),
    )
  }

  /** As in `Store`. */
  async give(key: string, bucket: string, amount: number, perMinute: number): Promise<void> {
    const { redis, ask, processes } = this.#options
    const wants = [{ bucket, amount: -amount, perMinute }]
    const drawn = await ask(() => redis.take(key, wants, true))
    if (drawn) this.#heard(key, wants, drawn)
    else this.#shares.give(key, bucket, amount, perMinute / processes())
  }

  /** Redis has forgotten the levels: of what all processes heard last the least is believed. */
  async tellAll(): Promise<void> {
    const { redis } = this.#options
    await redis.run(this.#levels.all().map(({ key, levels }) => redis.level(key, levels)))
  }

  #heard(key: string, wants: readonly Draw[], { waitMs, levels }: Drawn): number {
    for (let i = 0; i < levels.length; i++) this.#levels.learn(key, wants[i]!, levels[i]!)
    return waitMs
  }
}
