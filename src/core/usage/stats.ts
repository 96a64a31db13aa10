// Sums of usage for an operator: read from the coarsest roll-ups that give them exactly, and from rows only at the edges.
import { type RawBuilder, sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { Nano } from '../../lib/money.ts'
import { type Known, resolve, rollupFor, terms, type UsageFilter } from './filter.ts'
import { MODEL_CHARACTERS } from './rollup.ts'

export const usageDimensions = ['user', 'key', 'account', 'model', 'group', 'day', 'hour', 'minute'] as const
export type Dimension = (typeof usageDimensions)[number]

export interface UsageStats {
  /** what the sums are of: a name, or the beginning of a time; `-` is none */
  name: string
  /** of the record, where the dimension has records */
  id?: number
  requests: number
  /** answered with status 400 or above */
  errors: number
  /** streams that broke before their final usage */
  partials: number
  input_tokens: number
  output_tokens: number
  cache_write_tokens: number
  cache_read_tokens: number
  web_searches: number
  cost: Nano
  charged: Nano
  /** mean length of a request */
  duration_ms: number
  /** mean time to the first token, of those that had one; null when none had */
  first_token_ms: number | null
}

export interface Stats {
  rows: UsageStats[]
  /** how the times summed differ from those asked for, because retention has dropped what they need; else undefined */
  note: string | undefined
}

/**
 * Sums by a dimension, the dearest first; times in their own order. Exact for any `since` and `until`, as far as retention
 * has left what that needs; else the times are widened to whole minutes, hours or days, and `note` says so.
 * @throws Refusal `missing` for a name that nobody has
 */
export async function usageStats(db: Db, filter: UsageFilter & { by: Dimension }): Promise<Stats> {
  const known = await resolve(db, filter)
  const kept = await keptSince(db)
  const { parts, since, until } = plan(known, coarsest[filter.by] ?? 3, kept)
  if (parts.length === 0) return { rows: [], note: noteOf(known, since, until) }
  const { name, id, join, order } = dimensions[filter.by]
  const sources = parts.map(part => (part.grain === 0 ? rowsOf : sumsOf)(part, filter.by, known))
  const { rows } = await sql<UsageStats>`
    select ${name} as name, ${id} requests, errors, partials, input_tokens, output_tokens, cache_write_tokens, cache_read_tokens, web_searches,
      cost, charged, duration_ms, first_token_ms
    from (
      select by, sum(requests)::float8 as requests, sum(errors)::float8 as errors, sum(partials)::float8 as partials,
        sum(input_tokens)::float8 as input_tokens, sum(output_tokens)::float8 as output_tokens,
        sum(cache_write_tokens)::float8 as cache_write_tokens, sum(cache_read_tokens)::float8 as cache_read_tokens,
        sum(web_searches)::float8 as web_searches, sum(cost)::bigint as cost, sum(charged)::bigint as charged,
        round(sum(duration_ms) / sum(requests))::float8 as duration_ms,
        round(sum(first_token_ms) / nullif(sum(first_tokens), 0))::float8 as first_token_ms
      from (${sql.join(sources, sql` union all `)}) parts group by 1
    ) s ${join} order by ${order}`.execute(db)
  return { rows, note: noteOf(known, since, until) }
}

interface DimensionSql {
  of: 'at' | 'model' | `${'user' | 'key' | 'account' | 'group'}_id`
  /** of times: the grain whose buckets these are, so that they need not be cut */
  grain?: number
  /** what the sums are named by, from `s.by` and what is joined */
  name: RawBuilder<unknown>
  id: RawBuilder<unknown>
  join: RawBuilder<unknown>
  order: RawBuilder<unknown>
}

const nothing = sql``
const dearest = sql`charged desc, requests desc, 1`
const record = (of: DimensionSql['of'], table: string): DimensionSql => ({
  of,
  name: sql`coalesce(r.name, case s.by when 0 then '-' else s.by::text end)`,
  id: sql`nullif(s.by, 0) as id,`,
  join: sql`left join ${sql.table(table)} r on r.id = s.by`,
  order: dearest,
})
const time = (grain: number, format: string): DimensionSql => ({
  of: 'at',
  grain,
  name: sql`to_char(s.by at time zone 'UTC', ${sql.lit(format)})`,
  id: nothing,
  join: nothing,
  order: sql`s.by`,
})
const dimensions: Record<Dimension, DimensionSql> = {
  user: record('user_id', 'users'),
  key: record('key_id', 'api_keys'),
  account: record('account_id', 'accounts'),
  group: record('group_id', 'groups'),
  model: { of: 'model', name: sql`s.by`, id: nothing, join: nothing, order: dearest },
  day: time(3, 'YYYY-MM-DD'),
  hour: time(2, 'YYYY-MM-DD"T"HH24:00"Z"'),
  minute: time(1, 'YYYY-MM-DD"T"HH24:MI"Z"'),
}

function sumsOf(part: Part, by: Dimension, known: Known): RawBuilder<unknown> {
  const { of, grain } = dimensions[by]
  const { name } = grains[part.grain]!
  // Cutting a time costs as much as adding the rest up.
  const value = grain === undefined || grain === part.grain ? sql.ref(of) : cut(by)
  return sql`select ${value} as by, requests, errors, partials, input_tokens, output_tokens, cache_write_tokens, cache_read_tokens,
    web_searches, cost, charged, duration_ms, first_token_ms, first_tokens
    from ${sql.table(rollupFor(known, name, of))} t where ${within(part)} and ${terms(known, 't', 'roll-up')}`
}

function rowsOf(part: Part, by: Dimension, known: Known): RawBuilder<unknown> {
  const { of } = dimensions[by]
  const value =
    of === 'at'
      ? cut(by)
      : of === 'model'
        ? sql`left(model, ${sql.lit(MODEL_CHARACTERS)})`
        : sql`coalesce(${sql.ref(of)}, 0)`
  return sql`select ${value} as by, 1 as requests, (status >= 400)::integer as errors, partial::integer as partials,
    input_tokens::bigint, output_tokens::bigint,
    cache_write_5m_tokens::bigint + cache_write_30m_tokens + cache_write_1h_tokens + cache_write_12h_tokens as cache_write_tokens,
    cache_read_tokens::bigint, web_searches, cost, charged, duration_ms::bigint, coalesce(first_token_ms, 0)::bigint as first_token_ms,
    (first_token_ms is not null)::integer as first_tokens
    from usage t where ${within(part)} and ${terms(known, 't', 'rows to sum')}`
}

const cut = (width: string) => sql`date_trunc(${sql.lit(width)}, at, 'UTC')`

function within({ from, till }: Part): RawBuilder<unknown> {
  const ends: RawBuilder<unknown>[] = []
  if (from !== -Infinity) ends.push(sql`t.at >= ${new Date(from)}`)
  if (till !== Infinity) ends.push(sql`t.at < ${new Date(till)}`)
  return ends.length === 0 ? sql`true` : sql.join(ends, sql` and `)
}

// Which tables, for which times.
//
//   since 10:58:30.5 of the 1st      until 02:01:10 of the 4th
//   |rows|minutes|hours|          days           |hours|minutes|rows|
//      10:59   11:00  2nd                       4th  02:00   02:01

const grains = [
  { name: 'row', table: 'usage', ms: 1 },
  { name: 'minute', table: 'usage_minute', ms: 60_000 },
  { name: 'hour', table: 'usage_hour', ms: 3_600_000 },
  { name: 'day', table: 'usage_day', ms: 86_400_000 },
] as const

/** The coarsest grain that still tells the dimension. */
const coarsest: Partial<Record<Dimension, number>> = { hour: 2, minute: 1 }

/** Rows or buckets that begin in [from, till), Unix ms. */
export interface Part {
  grain: number
  from: number
  till: number
}

/** From when on each grain is complete, Unix ms. */
type Kept = readonly number[]

async function keptSince(db: Db): Promise<Kept> {
  const rows = await db.selectFrom('usage_kept').selectAll().execute()
  return grains.map(({ table }) => rows.find(row => row.name === table)?.since.getTime() ?? -Infinity)
}

const floor = (at: number, ms: number) => Math.floor(at / ms) * ms
const ceil = (at: number, ms: number) => Math.ceil(at / ms) * ms

/** The parts that give the sums of the times asked for, widened no more than retention makes necessary. */
export function plan(asked: Pick<Known, 'since' | 'until'>, most: number, kept: Kept) {
  const oldest = Math.min(...kept.slice(0, most + 1))
  const from = Math.max(asked.since?.getTime() ?? -Infinity, oldest)
  const till = asked.until?.getTime() ?? Infinity
  // The least widening comes first: 0 is none, then to whole minutes, hours, days.
  for (let widened = 0; widened <= 2 * most; widened++)
    for (let left = Math.max(0, widened - most); left <= Math.min(widened, most); left++) {
      const [since, until] = [floor(from, grains[left]!.ms), ceil(till, grains[widened - left]!.ms)]
      const parts = cover(since, until, most, kept)
      if (parts) return { parts, since, until }
    }
  return { parts: [], since: from, until: till }
}

/** Parts that make up [from, till) with grains up to `grain`, in order; undefined when retention has dropped what they need. */
function cover(from: number, till: number, grain: number, kept: Kept): Part[] | undefined {
  if (from >= till) return []
  if (grain < 0) return undefined
  const { ms } = grains[grain]!
  const [first, last] = [ceil(Math.max(from, kept[grain]!), ms), floor(till, ms)]
  if (first >= last) return cover(from, till, grain - 1, kept)
  const [before, after] = [cover(from, first, grain - 1, kept), cover(last, till, grain - 1, kept)]
  return before && after && [...before, { grain, from: first, till: last }, ...after]
}

function noteOf(asked: Pick<Known, 'since' | 'until'>, since: number, until: number): string | undefined {
  const changed: string[] = []
  if (asked.since && asked.since.getTime() !== since) changed.push(`from ${new Date(since).toISOString()}`)
  if (asked.until && asked.until.getTime() !== until) changed.push(`until ${new Date(until).toISOString()}`)
  return changed.length === 0
    ? undefined
    : `retention has dropped what the exact times need; these sums are ${changed.join(' ')}`
}
