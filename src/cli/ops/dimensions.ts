// gw ops dimensions: figures by account, model, user, key, platform, group or path.
import { type DimensionName, type DimensionRow, dimensions as query, type Sort } from '../../core/watch/dimensions.ts'
import { DAY, spanOf } from '../../core/watch/range.ts'
import { reading } from '../../core/watch/reading.ts'
import type { Invocation } from '../command.ts'
import type { ListOptions } from '../format.ts'

export interface DimensionsOptions extends ListOptions {
  by?: DimensionName
  sort?: Sort
  since?: Date
  until?: Date
  limit?: number
  offset?: number
}

const row = (r: DimensionRow) => ({
  name: r.name,
  requests: r.requests,
  errors: r.errors,
  'error %': r.error_rate,
  'client errors': r.client_errors,
  in: r.input_tokens,
  out: r.output_tokens,
  cost: r.cost,
  'ttft p50': r.ttft_ms.p50,
  'ttft p99': r.ttft_ms.p99,
  p50: r.latency_ms.p50,
  p99: r.latency_ms.p99,
})
const less = ['client errors', 'p50', 'ttft p50', 'in', 'out', 'p99', 'error %', 'cost', 'ttft p99', 'errors']

export async function dimensions(gw: Invocation, options: DimensionsOptions): Promise<void> {
  const { by = 'account', sort = 'requests', limit = 50, offset = 0, since, until } = options
  const span = spanOf({ since, until }, DAY, Date.now())
  const { db } = await gw.database()
  const found = await reading(db, tx => query(tx, { ...span, by, sort, limit, offset }))
  gw.out.list(found.rows, row, `nothing seen by ${by} since ${found.since.toISOString()}`, less)
  const next = offset + found.rows.length
  if (next < found.total) gw.out.note(`${found.total - next} more: --offset ${next}`)
}
