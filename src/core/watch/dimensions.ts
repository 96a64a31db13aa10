// Figures by account, model, user, key, platform, group or path, over any span.
import { type RawBuilder, sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { Nano } from '../../lib/money.ts'
import { partsOf, reachOf, type Span, writtenUntil } from './range.ts'
import type { dimensionNames } from './scope.ts'
import {
  type Counts,
  countsBy,
  errorRate,
  type Milliseconds,
  milliseconds,
  round,
  seenBy,
  successRate,
} from './sums.ts'

export type DimensionName = (typeof dimensionNames)[number]

export interface DimensionRow extends Counts {
  /** a name or a word; `-` is none */
  name: string
  /** of the record, where the dimension has records */
  id?: number | null
  /** percent; null without traffic */
  success_rate: number | null
  error_rate: number | null
  /** requests a second */
  qps: number
  /** tokens a second */
  tps: number
  cost: Nano
  latency_ms: Milliseconds
  ttft_ms: Milliseconds
}

export interface Dimensions {
  by: DimensionName
  since: Date
  until: Date
  /** how many there are in all */
  total: number
  rows: DimensionRow[]
}

export const sorts = ['requests', 'errors', 'error_rate', 'tokens', 'cost', 'name'] as const
export type Sort = (typeof sorts)[number]

export interface DimensionsAsked extends Span {
  by: DimensionName
  /** what comes first: the most of it, or the names in their order */
  sort: Sort
  limit: number
  offset: number
}

const measures: Record<Exclude<Sort, 'name'>, (counts: Counts) => number> = {
  requests: counts => counts.requests,
  errors: counts => counts.errors,
  error_rate: counts => errorRate(counts) ?? -1,
  tokens: counts => counts.input_tokens + counts.output_tokens,
  cost: counts => Number(counts.cost),
}

/** Counts of all first, which are small; distributions only of those that are shown. */
export async function dimensions(db: Db, asked: DimensionsAsked): Promise<Dimensions> {
  const { by, sort, limit, offset } = asked
  const parts = partsOf(asked, await reachOf(db))
  const since = Math.min(asked.since, ...parts.map(part => part.from))
  const seconds = Math.max(1, ((await writtenUntil(db, asked.until)) - since) / 1000)
  const counts = [...(await countsBy(db, parts, { dimension: by }))].map(([value, counts]) => ({ value, counts }))
  const names = await namesOf(db, by)
  const named = (value: string) => names.get(value) ?? (value === '' || value === '0' ? '-' : value)
  const measure = sort === 'name' ? () => 0 : measures[sort]
  // Keys of several users may have one name: pages follow each other only where nothing is left to chance.
  const order = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
  counts.sort(
    (a, b) => measure(b.counts) - measure(a.counts) || order(named(a.value), named(b.value)) || order(a.value, b.value),
  )
  const page = counts.slice(offset, offset + limit)
  const seen = await seenBy(db, parts, { dimension: by, values: page.map(({ value }) => value) })
  const rows = page.map(({ value, counts }) => ({
    name: named(value),
    ...(by in tables ? { id: Number(value) || null } : {}),
    ...counts,
    success_rate: successRate(counts),
    error_rate: errorRate(counts),
    qps: round(counts.requests / seconds, 3),
    tps: round((counts.input_tokens + counts.output_tokens) / seconds, 1),
    latency_ms: milliseconds(seen.get(value)?.duration),
    ttft_ms: milliseconds(seen.get(value)?.first_token),
  }))
  return { by, since: new Date(since), until: new Date(asked.until), total: counts.length, rows }
}

const tables: Partial<Record<DimensionName, RawBuilder<unknown>>> = {
  account: sql.table('accounts'),
  user: sql.table('users'),
  key: sql.table('api_keys'),
  group: sql.table('groups'),
}

async function namesOf(db: Db, by: DimensionName): Promise<Map<string, string>> {
  const table = tables[by]
  if (table === undefined) return new Map()
  const { rows } = await sql<{ id: number; name: string }>`select id, name from ${table}`.execute(db)
  return new Map(rows.map(({ id, name }) => [String(id), name]))
}
