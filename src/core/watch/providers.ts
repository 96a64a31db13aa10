// How each platform does: counts, rates and latency, with a word for it and the reason.
import type { Db } from '../../db/connect.ts'
import { partsOf, reachOf, type Span } from './range.ts'
import {
  add,
  type Counts,
  countsBy,
  errorRate,
  type Milliseconds,
  milliseconds,
  noCounts,
  seenBy,
  successRate,
} from './sums.ts'

export type ProviderStatus = 'healthy' | 'warning' | 'critical'

export interface Provider {
  /** '-' where no platform was chosen yet */
  name: string
  requests: number
  success: number
  errors: number
  client_errors: number
  success_rate: number | null
  error_rate: number | null
  latency_ms: Milliseconds
  ttft_ms: Milliseconds
  errors_by_type: { '4xx': number; '5xx': number; timeout: number }
  status: ProviderStatus
  /** why it is not healthy, '' when it is */
  reason: string
}

export interface Providers {
  since: Date
  until: Date
  summary: {
    total_requests: number
    /** of all requests together: weighted by how many each had */
    avg_success_rate: number | null
    /** null without traffic */
    best_provider: string | null
    worst_provider: string | null
  }
  providers: Provider[]
}

export async function providers(db: Db, span: Span): Promise<Providers> {
  const parts = partsOf(span, await reachOf(db))
  const counts = await countsBy(db, parts, { dimension: 'platform' })
  const seen = await seenBy(db, parts, { dimension: 'platform' })
  const all = noCounts()
  const list = [...counts].map(([value, one]): Provider => {
    add(all, one)
    const ttft = milliseconds(seen.get(value)?.first_token)
    return {
      name: value || '-',
      requests: one.requests,
      success: one.success,
      errors: one.errors,
      client_errors: one.client_errors,
      success_rate: successRate(one),
      error_rate: errorRate(one),
      latency_ms: milliseconds(seen.get(value)?.duration),
      ttft_ms: ttft,
      errors_by_type: { '4xx': one.errors_4xx, '5xx': one.errors_5xx, timeout: one.errors_timeout },
      ...judged(one, ttft.p99),
    }
  })
  list.sort((a, b) => b.requests - a.requests || (a.name < b.name ? -1 : 1))
  const rated = list.filter(one => one.success_rate !== null).sort((a, b) => b.success_rate! - a.success_rate!)
  return {
    since: new Date(span.since),
    until: new Date(span.until),
    summary: {
      total_requests: all.requests,
      avg_success_rate: successRate(all),
      best_provider: rated[0]?.name ?? null,
      worst_provider: rated.at(-1)?.name ?? null,
    },
    providers: list,
  }
}

/** By success, then timeouts, then how long the first token takes: answers of minutes are nothing unusual. */
export function judged(counts: Counts, ttftP99: number | null): { status: ProviderStatus; reason: string } {
  const rate = successRate(counts)
  if (rate === null) return { status: 'healthy', reason: '' }
  if (rate < 98) return { status: 'critical', reason: `success rate ${rate} % is below 98 %` }
  if (rate < 99.5) return { status: 'warning', reason: `success rate ${rate} % is below 99.5 %` }
  if (counts.errors_timeout >= 10 && counts.requests >= 100)
    return { status: 'warning', reason: `${counts.errors_timeout} timeouts` }
  if (ttftP99 !== null && ttftP99 >= 5_000)
    return { status: 'warning', reason: `the first token takes ${ttftP99} ms (p99), 5000 ms or more` }
  return { status: 'healthy', reason: '' }
}
