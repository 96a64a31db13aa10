// A map that is never changed: the next one shares all but the few shards in which they differ.

/** Which shard a key lives in; keys of one shard should be a few hundred at most. */
export type ShardOf<K> = (key: K) => number

/** Ids grow by one: neighbours live together, and the shards are in the order of ids. */
export const byId: ShardOf<number> = id => id >> 8
/** Of a digest the first byte is as good as any. */
export const byFirstCharacter: ShardOf<string> = text => text.charCodeAt(0)

export class Shards<K, V> implements Iterable<[K, V]> {
  readonly size: number
  readonly #shards: ReadonlyMap<number, ReadonlyMap<K, V>>
  readonly #of: ShardOf<K>

  constructor(of: ShardOf<K>, shards: ReadonlyMap<number, ReadonlyMap<K, V>> = new Map(), size = 0) {
    this.#of = of
    this.#shards = shards
    this.size = size
  }

  get(key: K): V | undefined {
    return this.#shards.get(this.#of(key))?.get(key)
  }

  has(key: K): boolean {
    return this.#shards.get(this.#of(key))?.has(key) ?? false
  }

  *keys(): Generator<K> {
    for (const shard of this.#shards.values()) yield* shard.keys()
  }

  *values(): Generator<V> {
    for (const shard of this.#shards.values()) yield* shard.values()
  }

  *[Symbol.iterator](): Generator<[K, V]> {
    for (const shard of this.#shards.values()) yield* shard
  }

  /** The same map as something that can be changed, and then be `done`. */
  draft(): Draft<K, V> {
    return new Draft(this.#of, this.#shards, this.size)
  }
}

/** The next map in the making. It copies a shard when it is first changed, and none twice. */
export class Draft<K, V> {
  #size: number
  readonly #of: ShardOf<K>
  readonly #shards: Map<number, ReadonlyMap<K, V>>
  readonly #own = new Map<number, Map<K, V>>()

  constructor(of: ShardOf<K>, shards: ReadonlyMap<number, ReadonlyMap<K, V>>, size: number) {
    this.#of = of
    this.#shards = new Map(shards)
    this.#size = size
  }

  get size(): number {
    return this.#size
  }

  get(key: K): V | undefined {
    return this.#shards.get(this.#of(key))?.get(key)
  }

  set(key: K, value: V): void {
    const shard = this.#shard(key)
    const before = shard.size
    shard.set(key, value)
    this.#size += shard.size - before
  }

  delete(key: K): void {
    if (this.get(key) !== undefined && this.#shard(key).delete(key)) this.#size--
  }

  /** What it has become; the draft must not be changed any more. */
  done(): Shards<K, V> {
    return new Shards(this.#of, this.#shards, this.#size)
  }

  #shard(key: K): Map<K, V> {
    const at = this.#of(key)
    let shard = this.#own.get(at)
    if (!shard) {
      shard = new Map(this.#shards.get(at))
      this.#own.set(at, shard)
      this.#shards.set(at, shard)
    }
    return shard
  }
}
