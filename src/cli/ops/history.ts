// gw ops history: the past in windows of equal length, the oldest first.
import { defaultLimit, type HistoryAsked, type HistoryRow, history as query } from '../../core/watch/history.ts'
import { DAY, spanOf } from '../../core/watch/range.ts'
import { reading } from '../../core/watch/reading.ts'
import { scopeOf } from '../../core/watch/scope.ts'
import type { Invocation } from '../command.ts'
import type { ListOptions } from '../format.ts'
import { type Filters, filterOf } from './figures.ts'

export interface HistoryOptions extends ListOptions, Filters {
  window?: NonNullable<HistoryAsked['window']>
  limit?: number
  since?: Date
  until?: Date
}

const row = (r: HistoryRow) => ({
  at: r.at.toISOString().slice(0, 16).replace('T', ' '),
  requests: r.requests,
  errors: r.errors,
  'success %': r.success_rate,
  qps: r.qps,
  tps: r.tps,
  'ttft p50': r.ttft_ms.p50,
  'ttft p99': r.ttft_ms.p99,
  p50: r.latency_ms.p50,
  p99: r.latency_ms.p99,
  cost: r.cost,
  waiting: r.queue_depth,
  cpu: r.cpu_percent,
})
const less = ['cpu', 'waiting', 'p50', 'ttft p50', 'cost', 'tps', 'p99', 'success %', 'qps']

export async function history(gw: Invocation, options: HistoryOptions): Promise<void> {
  const { window, since, until, limit = defaultLimit(since) } = options
  const span = spanOf({ since, until }, DAY, Date.now())
  const { db } = await gw.database()
  const asked = { ...span, window, limit }
  const found = await reading(db, async tx => query(tx, asked, await scopeOf(tx, filterOf(options))))
  gw.out.list(found.rows, row, `nothing seen since ${found.since.toISOString()}`, less)
  if (found.since.getTime() > span.since)
    gw.out.note(`the newest ${limit} windows of ${found.window}; --limit, or a longer --window, goes back further`)
}
