// The columns of usage, once: what a row holds, and what roll-ups sum of it.
import type { UsageTable } from '../../db/schema.ts'
import type { UsageLine } from '../books/line.ts'

/** Every column of a row, with its type in Postgres. */
export const rowColumns = {
  request_id: 'uuid',
  at: 'timestamptz',
  user_id: 'integer',
  key_id: 'integer',
  group_id: 'integer',
  account_id: 'integer',
  platform: 'platform',
  model: 'text',
  upstream_model: 'text',
  upstream_request_id: 'text',
  stream: 'boolean',
  status: 'smallint',
  input_tokens: 'integer',
  output_tokens: 'integer',
  cache_write_5m_tokens: 'integer',
  cache_write_30m_tokens: 'integer',
  cache_write_1h_tokens: 'integer',
  cache_write_12h_tokens: 'integer',
  cache_read_tokens: 'integer',
  web_searches: 'integer',
  mode: 'text',
  geo: 'text',
  cost: 'bigint',
  charged: 'bigint',
  billing: 'billing',
  subscription_id: 'integer',
  price: 'text',
  partial: 'boolean',
  duration_ms: 'integer',
  first_token_ms: 'integer',
  attempts: 'smallint',
} as const satisfies Record<keyof UsageTable, string>

/** What roll-ups sum: the type of a sum in Postgres, and what one row adds to it. */
export const sums = {
  requests: { type: 'integer', of: () => 1 },
  errors: { type: 'integer', of: row => (row.status >= 400 ? 1 : 0) },
  partials: { type: 'integer', of: row => (row.partial ? 1 : 0) },
  web_searches: { type: 'integer', of: row => row.web_searches },
  first_tokens: { type: 'integer', of: row => (row.first_token_ms === null ? 0 : 1) },
  input_tokens: { type: 'bigint', of: row => row.input_tokens },
  output_tokens: { type: 'bigint', of: row => row.output_tokens },
  cache_write_tokens: {
    type: 'bigint',
    of: row =>
      row.cache_write_5m_tokens + row.cache_write_30m_tokens + row.cache_write_1h_tokens + row.cache_write_12h_tokens,
  },
  cache_read_tokens: { type: 'bigint', of: row => row.cache_read_tokens },
  duration_ms: { type: 'bigint', of: row => row.duration_ms },
  first_token_ms: { type: 'bigint', of: row => row.first_token_ms ?? 0 },
} as const satisfies Record<string, { type: string; of: (row: UsageLine) => number }>

/** Summed, too, and apart: only money may be more than a number holds exactly. */
export const moneySums = ['cost', 'charged'] as const
