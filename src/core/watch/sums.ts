// Sums of roll-ups: what was counted within a span by the values of a dimension, and the distributions merged.
import { type RawBuilder, sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { WatchDimension } from '../../db/schema-watch.ts'
import type { Nano } from '../../lib/money.ts'
import type { Part } from './range.ts'
import { createSketch, mergeEncoded, type Quantiles, quantiles, type Sketch } from './sketch.ts'
import { sums } from './tally.ts'

export interface Counts extends Record<(typeof counted)[number], number> {
  cost: Nano
}

export interface Seen {
  duration: Sketch
  first_token: Sketch
}

/** Those of `sums` that are counts; money is summed apart, since it stays whole. */
export const counted = sums.filter(name => name !== 'cost')

/** `sum(…) as …` of each of them, doubles that hold any count exactly; money stays whole. */
export const sumColumns: RawBuilder<unknown> = sql.raw(
  [
    ...counted.map(name => `coalesce(sum(${name}), 0)::float8 as ${name}`),
    'coalesce(sum(cost), 0)::bigint as cost',
  ].join(', '),
)

export const noCounts = (): Counts => ({
  ...(Object.fromEntries(counted.map(name => [name, 0])) as Record<(typeof counted)[number], number>),
  cost: 0n,
})

/** Which rows: a dimension, and of its values these, or all. */
export interface Scope {
  dimension: WatchDimension
  values?: readonly string[] | undefined
}

/** The rows of the parts, as `p`. */
export function rowsOf(parts: readonly Part[], { dimension, values }: Scope, columns: string): RawBuilder<unknown> {
  const some = values === undefined ? sql`` : sql` and value = any(${values})`
  const each = parts.map(
    part => sql`select ${sql.raw(columns)} from ${sql.table(part.table)}
      where dimension = ${dimension} and at >= ${new Date(part.from)} and at < ${new Date(part.till)}${some}`,
  )
  return sql`(${sql.join(each, sql` union all `)}) p`
}

/** What was counted, by value. */
export async function countsBy(db: Db, parts: readonly Part[], scope: Scope): Promise<Map<string, Counts>> {
  if (parts.length === 0) return new Map()
  const columns = ['value', ...counted, 'cost'].join(', ')
  const { rows } = await sql<Counts & { value: string }>`
    select value, ${sumColumns} from ${rowsOf(parts, scope, columns)} group by value`.execute(db)
  return new Map(rows.map(({ value, ...counts }) => [value, counts]))
}

/** The distributions, by value. */
export async function seenBy(db: Db, parts: readonly Part[], scope: Scope): Promise<Map<string, Seen>> {
  const by = new Map<string, Seen>()
  if (parts.length === 0) return by
  const { rows } = await sql<{ value: string; duration: Buffer; first_token: Buffer }>`
    select value, duration, first_token from ${rowsOf(parts, scope, 'value, duration, first_token')}`.execute(db)
  for (const { value, duration, first_token } of rows) {
    let seen = by.get(value)
    if (seen === undefined) by.set(value, (seen = { duration: createSketch(), first_token: createSketch() }))
    mergeEncoded(seen.duration, duration)
    mergeEncoded(seen.first_token, first_token)
  }
  return by
}

/** All of a scope in one: of one value, or of several taken together. */
export async function sumOf(db: Db, parts: readonly Part[], scope: Scope): Promise<Counts & Seen> {
  const [counts, seen] = [await countsBy(db, parts, scope), await seenBy(db, parts, scope)]
  const sum: Counts & Seen = { ...noCounts(), duration: createSketch(), first_token: createSketch() }
  for (const one of counts.values()) add(sum, one)
  for (const { duration, first_token } of seen.values()) {
    if (duration.count > 0) sum.duration.merge(duration)
    if (first_token.count > 0) sum.first_token.merge(first_token)
  }
  return sum
}

export function add(into: Counts, from: Counts): void {
  for (const name of counted) into[name] += from[name]
  into.cost += from.cost
}

/** Percent of what counts, two decimals; null without traffic, which is neither good nor bad. */
export const successRate = ({ success, errors }: Pick<Counts, 'success' | 'errors'>): number | null =>
  percent(success, success + errors)
export const errorRate = ({ success, errors }: Pick<Counts, 'success' | 'errors'>): number | null =>
  percent(errors, success + errors)

export const percent = (part: number, whole: number): number | null =>
  whole === 0 ? null : round((100 * part) / whole, 2)

export const round = (value: number, places: number): number => Math.round(value * 10 ** places) / 10 ** places

/** ms, one decimal; null where nothing was seen. */
export interface Milliseconds {
  p50: number | null
  p95: number | null
  p99: number | null
  p999: number | null
  avg: number | null
  max: number | null
}

export const milliseconds = (sketch: Sketch): Milliseconds => inMilliseconds(quantiles(sketch))

export function inMilliseconds(seen: Quantiles | undefined): Milliseconds {
  const of = (value: number | undefined) => (value === undefined ? null : round(value, 1))
  return {
    p50: of(seen?.p50),
    p95: of(seen?.p95),
    p99: of(seen?.p99),
    p999: of(seen?.p999),
    avg: of(seen?.avg),
    max: of(seen?.max),
  }
}
