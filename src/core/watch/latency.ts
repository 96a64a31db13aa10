// How long answers took, and how long their first tokens: two histograms, with bounds for language models.
import type { Db } from '../../db/connect.ts'
import type { Merged } from './merged.ts'
import { partsOf, reachOf, type Span } from './range.ts'
import { type Milliseconds, milliseconds, percent, type Scope, sumOf } from './sums.ts'

export interface Bucket {
  /** `1s - 3s` */
  range: string
  /** its upper bound; null: none */
  le_ms: number | null
  count: number
  /** two decimals */
  percentage: number | null
}

export interface Histogram {
  count: number
  buckets: Bucket[]
  quantiles_ms: Milliseconds
  slow_request_threshold_ms: number
  /** those above it */
  slow_count: number
}

export interface Latency {
  since: Date
  until: Date
  duration: Histogram
  first_token: Histogram
}

const bounds = {
  duration: { ms: [1_000, 3_000, 10_000, 30_000, 60_000, 120_000], slow: 60_000 },
  first_token: { ms: [250, 500, 1_000, 3_000, 10_000, 30_000], slow: 1_000 },
}

/** Counts of buckets are exact to the width of a bin, 2 % of the bound. */
export async function latency(db: Db, span: Span, scope: Scope): Promise<Latency> {
  const sum = await sumOf(db, partsOf(span, await reachOf(db)), scope)
  return {
    since: new Date(span.since),
    until: new Date(span.until),
    duration: histogram(sum.duration, bounds.duration),
    first_token: histogram(sum.first_token, bounds.first_token),
  }
}

export function histogram(seen: Merged, { ms, slow }: { ms: readonly number[]; slow: number }): Histogram {
  const ends = [...ms, null]
  let below = 0
  const buckets = ends.map((end, i) => {
    const upTo = end === null ? seen.count : seen.countUpTo(end)
    const count = upTo - below
    below = upTo
    return {
      range: named(i === 0 ? null : ms[i - 1]!, end),
      le_ms: end,
      count,
      percentage: percent(count, seen.count),
    }
  })
  return {
    count: seen.count,
    buckets,
    quantiles_ms: milliseconds(seen),
    slow_request_threshold_ms: slow,
    slow_count: seen.count - seen.countUpTo(slow),
  }
}

const spelled = (ms: number) => (ms < 1_000 ? `${ms}ms` : `${ms / 1_000}s`)

function named(from: number | null, to: number | null): string {
  if (from === null) return `<= ${spelled(to!)}`
  return to === null ? `> ${spelled(from)}` : `${spelled(from)} - ${spelled(to)}`
}
