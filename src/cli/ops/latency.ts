// gw ops latency: how long answers took, and how long their first tokens.
import { type Histogram, latency as query } from '../../core/watch/latency.ts'
import { HOUR, spanOf } from '../../core/watch/range.ts'
import { reading } from '../../core/watch/reading.ts'
import { scopeOf } from '../../core/watch/scope.ts'
import type { Invocation } from '../command.ts'
import { type Filters, filterOf, quantiles, type Span } from './figures.ts'

export async function latency(gw: Invocation, options: Filters & Span): Promise<void> {
  const span = spanOf(options, HOUR, Date.now())
  const { db } = await gw.database()
  const found = await reading(db, async tx => query(tx, span, await scopeOf(tx, filterOf(options))))
  gw.out.print(found, `${drawn('first token', found.first_token)}\n\n${drawn('whole answer', found.duration)}`)
}

const WIDTH = 40

function drawn(
  title: string,
  { count, buckets, quantiles_ms, slow_count, slow_request_threshold_ms }: Histogram,
): string {
  const most = Math.max(1, ...buckets.map(bucket => bucket.count))
  const lines = buckets.map(({ range, count, percentage }) => {
    const bar = '#'.repeat(Math.ceil((WIDTH * count) / most))
    return `  ${range.padStart(14)} ${bar.padEnd(WIDTH)} ${String(count).padStart(9)} ${percentage === null ? '' : `${percentage} %`}`
  })
  const slow = `${slow_count} above ${slow_request_threshold_ms} ms`
  return [`${title}: ${count} seen, ${quantiles(quantiles_ms)}, ${slow}`, ...lines.map(line => line.trimEnd())].join(
    '\n',
  )
}
