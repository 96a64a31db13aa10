// What Redis does when its memory is full: only one that refuses to take more forgets nothing.

/** The one policy, in Redis's words. */
export const NO_EVICTION = 'noeviction'
/** Asked every so many beats. */
const BEATS = 10

export class Eviction {
  readonly #ask: () => Promise<string | undefined>
  #policy: string | undefined
  #beats = 0

  /** `ask`: undefined when Redis does not say */
  constructor(ask: () => Promise<string | undefined>) {
    this.#ask = ask
  }

  beat(): void {
    if (this.#beats++ % BEATS > 0) return
    void this.#ask().then(
      policy => (this.#policy = policy ?? this.#policy),
      () => {},
    )
  }

  /** In words, where Redis may forget who holds what. */
  warning(): string | undefined {
    if (this.#policy === undefined || this.#policy === NO_EVICTION) return undefined
    return `redis: its maxmemory-policy is ${this.#policy}, so it may forget who holds what; set it to ${NO_EVICTION}`
  }
}
