// gw ops providers: how each platform does.
import { type Provider, providers as query } from '../../core/watch/providers.ts'
import { HOUR, spanOf } from '../../core/watch/range.ts'
import { reading } from '../../core/watch/reading.ts'
import type { Invocation } from '../command.ts'
import type { ListOptions } from '../format.ts'
import type { Span } from './figures.ts'

const row = (p: Provider) => ({
  name: p.name,
  status: p.status,
  requests: p.requests,
  errors: p.errors,
  'success %': p.success_rate,
  '4xx': p.errors_by_type['4xx'],
  '5xx': p.errors_by_type['5xx'],
  timeouts: p.errors_by_type.timeout,
  'ttft p99': p.ttft_ms.p99,
  avg: p.latency_ms.avg,
  p99: p.latency_ms.p99,
  reason: p.reason,
})

export async function providers(gw: Invocation, options: ListOptions & Span): Promise<void> {
  const span = spanOf(options, HOUR, Date.now())
  const { db } = await gw.database()
  const found = await reading(db, tx => query(tx, span))
  gw.out.list(found.providers, row, `nothing seen since ${found.since.toISOString()}`, ['avg', '4xx', '5xx', 'p99'])
  const { best_provider: best, worst_provider: worst, avg_success_rate: rate } = found.summary
  if (best !== null && best !== worst) gw.out.note(`all together ${rate} %; best ${best}, worst ${worst}`)
}
