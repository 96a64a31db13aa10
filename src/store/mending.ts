// After a silence: tells Redis what this process holds, and what it holds no more though Redis may believe it does.

export interface MendingOptions {
  /** keys under which this process holds something */
  keys(): readonly string[]
  holders(key: string): readonly string[]
  /** Writes down in Redis what this process holds under a key, and that these holders hold nothing any more. */
  tell(key: string, gone: readonly string[]): Promise<unknown>
}

/** Keys brought up to date at once. */
const SLICE = 200

export class Mending {
  readonly #options: MendingOptions
  /** What Redis may believe this process holds, of all keys it must hear about; kept only while it is silent. */
  readonly #believed = new Map<string, Set<string>>()
  /** Keys that changed here while Redis is being told. */
  #changed: Set<string> | undefined

  constructor(options: MendingOptions) {
    this.#options = options
  }

  /** Redis may believe that these hold something. */
  believe(key: string, holders: readonly string[]): void {
    let believed = this.#believed.get(key)
    if (!believed) this.#believed.set(key, (believed = new Set()))
    for (const holder of holders) believed.add(holder)
  }

  /** Something changed here that Redis does not hear of, as it is silent. */
  touch(key: string): void {
    this.believe(key, []) // no holder that came since: Redis never heard of any, and they may be many
    this.#changed?.add(key)
  }

  /** The silence begins. */
  begin(): void {
    for (const key of this.#options.keys()) this.believe(key, this.#options.holders(key))
  }

  /** Tells everything, slice by slice; what changes meanwhile is for `tellChanged`. */
  async tellAll(): Promise<void> {
    await this.#tellKeys([...new Set([...this.#believed.keys(), ...this.#options.keys()])])
  }

  async tellChanged(): Promise<void> {
    await this.#tellKeys([...this.#changed!])
  }

  /** So much changed meanwhile that it is not for `end`. */
  get behind(): boolean {
    return this.#changed!.size > SLICE
  }

  /** The silence is over. The rest goes ahead of every later call on the same connection: nothing needs to wait for it. */
  end(ask: (tell: () => Promise<true>) => Promise<true | undefined>): void {
    for (const key of this.#changed ?? []) {
      const believed = [...(this.#believed.get(key) ?? [])]
      void ask(() => this.#tell(key)).then(told => {
        if (!told) this.believe(key, believed)
      })
    }
    this.#changed = undefined
    this.#believed.clear()
  }

  async #tellKeys(keys: string[]): Promise<void> {
    this.#changed = new Set()
    while (keys.length > 0) await Promise.all(keys.splice(-SLICE).map(key => this.#tell(key)))
  }

  async #tell(key: string): Promise<true> {
    const holds = new Set(this.#options.holders(key))
    const gone = [...(this.#believed.get(key) ?? [])].filter(holder => !holds.has(holder))
    this.believe(key, [...holds])
    await this.#options.tell(key, gone)
    return true
  }
}
