// A request that another node served, as far as its rows in Postgres tell.
import { formatUsd } from '../../lib/money.ts'
import type { Attempt, Explanation } from './explanation.ts'
import type { Found } from './links.ts'

/** Undefined when there are no rows of it. `at`: when it began, Unix ms */
export function explanationOfRows(id: string, at: number, { usage, error }: Found): Explanation | undefined {
  if (!usage && !error) return undefined
  const of = usage ?? error!
  return {
    ...{ request_id: id, source: 'database', state: 'ended', phase: null, at: new Date(at).toISOString() },
    ...{ duration_ms: of.duration_ms, first_token_ms: of.first_token_ms, status: of.status },
    completion: error?.completion ?? (usage!.partial ? 'partial' : 'complete'),
    code: error?.code || null,
    error: error?.message || null,
    cause: error?.cause ?? null,
    ip: error?.ip ?? null,
    ...{ user: of.user, user_id: error?.user_id ?? null, key: of.key, key_id: error?.key_id ?? null },
    ...{ group: of.group, group_id: error?.group_id ?? null },
    ...{ method: error?.method || null, path: error?.path || null, dialect: error?.dialect || null },
    ...{ platform: of.platform || null, model: of.model || null, upstream_model: usage?.upstream_model ?? null },
    ...{ stream: of.stream, metered: usage !== undefined, intercepted: false, waits: [], choices: [] },
    attempts: error ? attemptsOf(at, error.attempts) : [],
    ...{ translation: null, left_out: [] },
    usage: usage
      ? {
          ...{ input_tokens: usage.input_tokens, output_tokens: usage.output_tokens },
          ...{ cache_read_tokens: usage.cache_read_tokens, cache_write_5m_tokens: usage.cache_write_5m_tokens },
          ...{
            cache_write_30m_tokens: usage.cache_write_30m_tokens,
            cache_write_1h_tokens: usage.cache_write_1h_tokens,
          },
          ...{ cache_write_12h_tokens: usage.cache_write_12h_tokens, web_searches: usage.web_searches },
          ...{ mode: usage.mode, geo: usage.geo, partial: usage.partial },
        }
      : null,
    price: null,
    cost: usage ? formatUsd(usage.cost) : null,
    charged: usage ? formatUsd(usage.charged) : null,
    billing: (usage?.billing as 'balance' | 'subscription' | undefined) ?? null,
    subscription_id: null,
    reserve: [],
    settlement: usage ? 'booked' : null,
    links: null,
    not_known: [
      'It is in no file of this node: another one served it, or it was served longer ago than gw remembers, or this one was killed within a second of its end. Who could have served it and why they did not, what it waited for and what was put aside is known only where it was served: run gw explain there.',
      ...(usage && !error ? ['Which accounts were asked before is not known: nothing of it is in the error log.'] : []),
    ],
  }
}

function attemptsOf(
  at: number,
  rows: Found['error'] extends infer E ? (E extends { attempts: infer A } ? A : never) : never,
): Attempt[] {
  return rows.map((row, i) => {
    const started = Date.parse(row.at) - at
    return {
      ...{
        account: row.account,
        account_id: row.account_id,
        started_ms: started,
        ended_ms: started + row.ms,
        status: row.status,
      },
      ...{ error: row.message, kind: row.kind, error_type: '', error_code: '', excerpt: '' },
      ...{ upstream_request_id: row.request_id || null, out_until: null, proxy: null, choice: null },
      followed_by: i < rows.length - 1 ? 'another account was chosen, or the same one again' : 'it was the last',
    }
  })
}
