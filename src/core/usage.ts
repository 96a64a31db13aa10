// Usage: one row a request, written in batches, read by the operator.
import { type RawBuilder, sql } from 'kysely'
import type { Db } from '../db/connect.ts'
import type { Nano } from './money.ts'
import type { Outcome } from './outcome.ts'

/** A usage row as a spool line holds it: the columns of table `usage`, as JSON. */
export function usageLine(o: Outcome): string {
  const key = o.key!
  // bigint as string: JSON has no exact 64-bit integer. Postgres reads it back exactly.
  return JSON.stringify({
    request_id: o.id,
    at: new Date(o.at).toISOString(),
    user_id: key.user.id,
    key_id: key.id,
    group_id: o.group?.id ?? null,
    account_id: o.account?.id ?? null,
    platform: o.platform,
    model: o.model,
    upstream_model: o.upstreamModel,
    upstream_request_id: o.upstreamRequestId || null,
    stream: o.stream,
    status: o.status,
    input_tokens: o.usage.input,
    output_tokens: o.usage.output,
    cache_write_5m_tokens: o.usage.cacheWrite5m,
    cache_write_1h_tokens: o.usage.cacheWrite1h,
    cache_read_tokens: o.usage.cacheRead,
    cost: String(o.cost),
    charged: String(o.charged),
    billing: o.group?.billing ?? 'balance',
    price: o.price || null,
    partial: o.partial,
    duration_ms: o.durationMs,
    first_token_ms: o.firstTokenMs || null,
    attempts: o.attempts.length,
  })
}

/**
 * Writes usage lines in one statement; rows that are there already are left alone, so a batch may be sent again.
 * @returns how many were new
 */
export async function insertUsage(db: Db, lines: readonly string[]): Promise<number> {
  if (lines.length === 0) return 0
  const batch = `[${lines.join(',')}]`
  await sql`select usage_partition(month) from (select distinct date_trunc('month', at at time zone 'UTC') at time zone 'UTC' as month
            from jsonb_to_recordset(${batch}::jsonb) as r(at timestamptz)) months`.execute(db)
  const result =
    await sql`insert into usage select * from jsonb_populate_recordset(null::usage, ${batch}::jsonb) on conflict do nothing`.execute(
      db,
    )
  return Number(result.numAffectedRows ?? 0n)
}

export interface UsageFilter {
  /** request id */
  request?: string | undefined
  since?: Date | undefined
  user?: string | undefined
  key?: string | undefined
  account?: string | undefined
  model?: string | undefined
}

export interface UsageRecord {
  request_id: string
  at: Date
  user: string
  key: string
  group: string | null
  account: string | null
  platform: string
  model: string
  upstream_model: string | null
  stream: boolean
  status: number
  input_tokens: number
  output_tokens: number
  cache_write_5m_tokens: number
  cache_write_1h_tokens: number
  cache_read_tokens: number
  cost: Nano
  charged: Nano
  billing: string
  duration_ms: number
  first_token_ms: number | null
  partial: boolean
}

// Deleted records keep their names here: usage is history.
const joined = sql`usage u
  join users on users.id = u.user_id
  join api_keys k on k.id = u.key_id
  left join groups g on g.id = u.group_id
  left join accounts a on a.id = u.account_id`

/** The newest rows first. */
export async function listUsage(db: Db, filter: UsageFilter & { limit: number }): Promise<UsageRecord[]> {
  const { rows } = await sql<UsageRecord>`
    select u.request_id, u.at, users.name as user, k.name as key, g.name as group, a.name as account, u.platform, u.model,
      u.upstream_model, u.stream, u.status, u.input_tokens, u.output_tokens, u.cache_write_5m_tokens, u.cache_write_1h_tokens,
      u.cache_read_tokens, u.cost, u.charged, u.billing, u.duration_ms, u.first_token_ms, u.partial
    from ${joined} where ${where(filter)} order by u.at desc, u.request_id desc limit ${filter.limit}`.execute(db)
  return rows
}

const dimensions = {
  user: sql`users.name`,
  key: sql`k.name`,
  account: sql`coalesce(a.name, '-')`,
  model: sql`u.model`,
  group: sql`coalesce(g.name, '-')`,
  day: sql`to_char(u.at at time zone 'UTC', 'YYYY-MM-DD')`,
  hour: sql`to_char(u.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:00"Z"')`,
}
export type Dimension = keyof typeof dimensions
export const usageDimensions = Object.keys(dimensions) as Dimension[]

export interface UsageStats {
  name: string
  requests: number
  errors: number
  input_tokens: number
  output_tokens: number
  cache_write_tokens: number
  cache_read_tokens: number
  cost: Nano
  charged: Nano
}

/** Sums by a dimension, the dearest first; time dimensions in their own order. */
export async function usageStats(db: Db, filter: UsageFilter & { by: Dimension }): Promise<UsageStats[]> {
  const name = dimensions[filter.by]
  const order = filter.by === 'day' || filter.by === 'hour' ? sql`1` : sql`charged desc, requests desc, 1`
  const { rows } = await sql<UsageStats>`
    select ${name} as name, count(*)::float8 as requests, (count(*) filter (where u.status >= 400))::float8 as errors,
      sum(u.input_tokens)::float8 as input_tokens, sum(u.output_tokens)::float8 as output_tokens,
      sum(u.cache_write_5m_tokens + u.cache_write_1h_tokens)::float8 as cache_write_tokens,
      sum(u.cache_read_tokens)::float8 as cache_read_tokens,
      sum(u.cost)::bigint as cost, sum(u.charged)::bigint as charged
    from ${joined} where ${where(filter)} group by 1 order by ${order}`.execute(db)
  return rows
}

function where(filter: UsageFilter): RawBuilder<unknown> {
  const named = (column: RawBuilder<unknown>, id: RawBuilder<unknown>, ref: string) =>
    /^\d+$/.test(ref) ? sql`${id} = ${Number(ref)}` : sql`${column} = ${ref}`
  const terms = [sql`true`]
  if (filter.request !== undefined) terms.push(sql`u.request_id = ${filter.request}`)
  if (filter.since) terms.push(sql`u.at >= ${filter.since}`)
  if (filter.user !== undefined) terms.push(named(sql`users.name`, sql`users.id`, filter.user))
  if (filter.key !== undefined) terms.push(named(sql`k.name`, sql`k.id`, filter.key))
  if (filter.account !== undefined) terms.push(named(sql`a.name`, sql`a.id`, filter.account))
  if (filter.model !== undefined) terms.push(sql`u.model = ${filter.model}`)
  return sql.join(terms, sql` and `)
}
