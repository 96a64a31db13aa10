// Counters, histograms and gauges as plain numbers, and how they are printed: Prometheus' text format, version 0.0.4.
//
// A series is made once and kept by who counts, so that counting is an addition: no labels are looked at before a scrape.

export const contentType = 'text/plain; version=0.0.4; charset=utf-8'

/** In the order in which they are printed. */
export type Labels = Readonly<Record<string, string | number>>

/** Something with a name of its own in `/metrics`. */
export interface Family {
  text(): string
}

/** One series of a counter. */
export class Count {
  value = 0
  readonly name: string

  constructor(name: string) {
    this.name = name
  }
}

export class Counter implements Family {
  readonly #name: string
  readonly #help: string
  readonly #series: Count[] = []

  constructor(name: string, help: string) {
    this.#name = name
    this.#help = help
  }

  /** A new series; of the same labels there must not be two. */
  with(labels: Labels): Count {
    const count = new Count(named(this.#name, labels))
    this.#series.push(count)
    return count
  }

  text(): string {
    const head = headOf(this.#name, this.#help, 'counter')
    return head + this.#series.map(({ name, value }) => `\n${name} ${value}`).join('')
  }
}

/** One series of a histogram. */
export class Distribution {
  readonly labels: Labels
  /** how many fell into each bucket and not into the one before; the last is beyond all */
  readonly counts: number[]
  sum = 0
  readonly #bounds: readonly number[]

  constructor(labels: Labels, bounds: readonly number[]) {
    this.labels = labels
    this.#bounds = bounds
    this.counts = new Array(bounds.length + 1).fill(0)
  }

  observe(value: number): void {
    let bucket = 0
    while (bucket < this.#bounds.length && value > this.#bounds[bucket]!) bucket++
    this.counts[bucket]!++
    this.sum += value
  }
}

export class Histogram implements Family {
  readonly #name: string
  readonly #help: string
  readonly #bounds: readonly number[]
  readonly #series: Distribution[] = []

  /** `bounds`: the largest value of each bucket, ascending */
  constructor(name: string, help: string, bounds: readonly number[]) {
    this.#name = name
    this.#help = help
    this.#bounds = bounds
  }

  /** A new series; of the same labels there must not be two. */
  with(labels: Labels): Distribution {
    const distribution = new Distribution(labels, this.#bounds)
    this.#series.push(distribution)
    return distribution
  }

  text(): string {
    const lines = [headOf(this.#name, this.#help, 'histogram')]
    for (const { labels, counts, sum } of this.#series) {
      let all = 0
      for (const [bucket, count] of counts.entries()) {
        all += count
        lines.push(`${named(`${this.#name}_bucket`, { le: this.#bounds[bucket] ?? '+Inf', ...labels })} ${all}`)
      }
      lines.push(`${named(`${this.#name}_sum`, labels)} ${sum}`, `${named(`${this.#name}_count`, labels)} ${all}`)
    }
    return lines.join('\n')
  }
}

/** What is asked at each scrape. */
export class Gauge implements Family {
  readonly #name: string
  readonly #help: string
  readonly #now: () => number

  constructor(name: string, help: string, now: () => number) {
    this.#name = name
    this.#help = help
    this.#now = now
  }

  text(): string {
    return `${headOf(this.#name, this.#help, 'gauge')}\n${this.#name} ${this.#now()}`
  }
}

/** The body of a scrape. */
export function exposition(families: readonly Family[]): string {
  return `${families.map(family => family.text()).join('\n\n')}\n`
}

const headOf = (name: string, help: string, type: string) => `# HELP ${name} ${escaped(help)}\n# TYPE ${name} ${type}`

function named(name: string, labels: Labels): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${escaped(value).replaceAll('"', '\\"')}"`)
  return `${name}{${pairs.join(',')}}`
}

const escaped = (value: string | number): string => String(value).replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
