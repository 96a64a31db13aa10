// What is counted, as plain numbers. A series is made once and kept by who counts, so that counting is an addition.
//
// Nothing here is formatted: `registry.ts` hands these values to prom-client when somebody scrapes.

export type Labels = Readonly<Record<string, string | number>>

/** One value, as prom-client prints it. */
export interface Sample {
  labels: Labels
  value: number
  /** of a histogram: which of its three */
  metricName?: string
  /** more labels, printed once and remembered for as long as the object lives */
  sharedLabels?: Labels
}

/** Something with a name of its own in `/metrics`. */
export interface Family {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** What a scrape finds; asked once for each. */
  samples(): Iterable<Sample> | Promise<Iterable<Sample>>
}

const none: Labels = {}

/** One series of a counter. */
export class Count implements Sample {
  value = 0
  readonly labels = none
  readonly sharedLabels: Labels

  constructor(labels: Labels) {
    this.sharedLabels = labels
  }
}

export class Counter implements Family {
  readonly type = 'counter'
  readonly name: string
  readonly help: string
  readonly #series: Count[] = []

  constructor(name: string, help: string) {
    this.name = name
    this.help = help
  }

  /** A new series; of the same labels there must not be two. */
  with(labels: Labels): Count {
    const count = new Count(labels)
    this.#series.push(count)
    return count
  }

  samples(): readonly Sample[] {
    return this.#series
  }
}

/** One series of a histogram. */
export class Distribution {
  /** how many fell into each bucket and not into the one before; the last is beyond all */
  readonly counts: number[]
  sum = 0
  readonly #bounds: readonly number[]
  // What is printed, in its order: the buckets, the sum, the count.
  readonly #printed: Sample[]

  constructor(name: string, labels: Labels, bounds: readonly number[]) {
    this.#bounds = bounds
    this.counts = new Array(bounds.length + 1).fill(0)
    const of = (suffix: string, own: Labels): Sample => ({
      metricName: `${name}_${suffix}`,
      labels: own,
      sharedLabels: labels,
      value: 0,
    })
    this.#printed = [
      ...[...bounds, '+Inf'].map(le => of('bucket', { le })),
      ...['sum', 'count'].map(suffix => of(suffix, {})),
    ]
  }

  observe(value: number): void {
    let bucket = 0
    while (bucket < this.#bounds.length && value > this.#bounds[bucket]!) bucket++
    this.counts[bucket]!++
    this.sum += value
  }

  samples(): readonly Sample[] {
    let all = 0
    for (const [bucket, count] of this.counts.entries()) this.#printed[bucket]!.value = all += count
    this.#printed.at(-2)!.value = this.sum
    this.#printed.at(-1)!.value = all
    return this.#printed
  }
}

export class Histogram implements Family {
  readonly type = 'histogram'
  readonly name: string
  readonly help: string
  readonly #bounds: readonly number[]
  readonly #series: Distribution[] = []

  /** `bounds`: the largest value of each bucket, ascending */
  constructor(name: string, help: string, bounds: readonly number[]) {
    this.name = name
    this.help = help
    this.#bounds = bounds
  }

  /** A new series; of the same labels there must not be two. */
  with(labels: Labels): Distribution {
    const distribution = new Distribution(this.name, labels, this.#bounds)
    this.#series.push(distribution)
    return distribution
  }

  samples(): readonly Sample[] {
    return this.#series.flatMap(series => series.samples())
  }
}

/** What is asked at each scrape: one number, none (`undefined`), or several samples. */
export class Asked implements Family {
  readonly type: 'counter' | 'gauge'
  readonly name: string
  readonly help: string
  readonly #now: () => number | undefined | Iterable<Sample> | Promise<Iterable<Sample>>

  /** Of a counter what is asked must never become less while the process lives. */
  constructor(
    type: 'counter' | 'gauge',
    name: string,
    help: string,
    now: () => number | undefined | Iterable<Sample> | Promise<Iterable<Sample>>,
  ) {
    this.type = type
    this.name = name
    this.help = help
    this.#now = now
  }

  samples(): Iterable<Sample> | Promise<Iterable<Sample>> {
    const found = this.#now()
    if (found === undefined) return []
    return typeof found === 'number' ? [{ labels: {}, value: found }] : found
  }
}

/** Samples of a map whose keys are the values of one label. */
export function byLabel(label: string, values: Iterable<readonly [string, number]>): Sample[] {
  return Array.from(values, ([key, value]) => ({ labels: { [label]: key }, value }))
}

/** Label of what is beyond a limit. */
export const OTHER = 'other'

/**
 * What others make up as label values, as far as it has a series of its own: the first `most` by themselves, the rest
 * together, as `other`.
 */
export class Few<K, V> {
  readonly #most: number
  readonly #made = new Map<K, V>()
  #other: V | undefined
  readonly #make: (key: K | typeof OTHER) => V

  constructor(most: number, make: (key: K | typeof OTHER) => V) {
    this.#most = most
    this.#make = make
  }

  of(key: K): V {
    const known = this.#made.get(key)
    if (known !== undefined) return known
    if (this.#made.size >= this.#most) return (this.#other ??= this.#make(OTHER))
    const made = this.#make(key)
    this.#made.set(key, made)
    return made
  }
}
