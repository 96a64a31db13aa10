// Sums of roll-ups: what was counted within a span by the values of a dimension, and the distributions merged.
import { setImmediate as turn } from 'node:timers/promises'
import { type RawBuilder, sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { WatchDimension } from '../../db/schema-watch.ts'
import type { Nano } from '../../lib/money.ts'
import { Merged } from './merged.ts'
import { Packed, packed } from './packed.ts'
import type { Part } from './range.ts'
import type { Quantiles } from './sketch.ts'
import { sums } from './tally.ts'

export interface Counts extends Record<(typeof counted)[number], number> {
  cost: Nano
}

/** How long answers and first tokens took, ms. */
export interface Seen {
  duration: Merged
  first_token: Merged
}

class Distributions implements Seen {
  readonly duration = new Merged()
  readonly first_token = new Merged()

  /** The next two columns of the row, in this order. */
  add(row: Packed): void {
    row.addTo(this.duration)
    row.addTo(this.first_token)
  }
}

/** Those of `sums` that are counts; money is summed apart, since it stays whole. */
export const counted = sums.filter(name => name !== 'cost')

/** `sum(…) as …` of each of them, doubles that hold any count exactly; money stays whole. */
const summed = sql.raw(
  [
    ...counted.map(name => `coalesce(sum(${name}), 0)::float8 as ${name}`),
    'coalesce(sum(cost), 0)::bigint as cost',
  ].join(', '),
)

export const noCounts = (): Counts => ({ ...nothing })
const nothing: Counts = {
  ...(Object.fromEntries(counted.map(name => [name, 0])) as Record<(typeof counted)[number], number>),
  cost: 0n,
}

/** Which rows: a dimension, and of its values these, or all. */
export interface Scope {
  dimension: WatchDimension
  values?: readonly string[] | undefined
}

/** The rows of the parts, as `p`. */
export function rowsOf(
  parts: readonly Part[],
  { dimension, values }: Scope,
  columns: readonly string[],
): RawBuilder<unknown> {
  const some = values === undefined ? sql`` : sql` and value = any(${values})`
  const each = parts.map(
    part => sql`select ${sql.raw(columns.join(', '))} from ${sql.table(part.table)}
      where dimension = ${dimension} and at >= ${new Date(part.from)} and at < ${new Date(part.till)}${some}`,
  )
  return sql`(${sql.join(each, sql` union all `)}) p`
}

/** What was counted, by value. */
export async function countsBy(db: Db, parts: readonly Part[], scope: Scope): Promise<Map<string, Counts>> {
  if (parts.length === 0) return new Map()
  const columns = ['value', ...counted, 'cost']
  const { rows } = await sql<Counts & { value: string }>`
    select value, ${summed} from ${rowsOf(parts, scope, columns)} group by value`.execute(db)
  return new Map(rows.map(({ value, ...counts }) => [value, counts]))
}

/** The distributions, by value. */
export async function seenBy(db: Db, parts: readonly Part[], scope: Scope): Promise<Map<string, Seen>> {
  const by = new Map<string, Distributions>()
  if (parts.length === 0) return by
  const columns = ['duration', 'first_token']
  const { rows } = await sql<{ value: string; row: string }>`
    select value, ${packed(columns)} as row from ${rowsOf(parts, scope, ['value', ...columns])}`.execute(db)
  await eachRow(rows, (row, { value }) => {
    let seen = by.get(value)
    if (seen === undefined) by.set(value, (seen = new Distributions()))
    seen.add(row)
  })
  return by
}

/** All of a scope in one: of one value, or of several taken together. */
export async function sumOf(db: Db, parts: readonly Part[], scope: Scope): Promise<Counts & Seen> {
  const sum = new Sum()
  if (parts.length > 0) {
    const { rows } = await sql<{ row: string }>`
      select ${packed(sumColumns)} as row from ${rowsOf(parts, scope, sumColumns)}`.execute(db)
    await eachRow(rows, row => sum.add(row))
  }
  const { duration, first_token } = sum.seen
  return { ...sum.counts(), duration, first_token }
}

/** What a row of roll-ups has, packed for a `Sum`. */
export const sumColumns = [...counted, 'cost', 'duration', 'first_token']

/** Rows of roll-ups added up. */
export class Sum {
  readonly seen = new Distributions()
  readonly #counts = new Float64Array(counted.length)
  #cost = 0n

  /** The next `sumColumns` of the row. */
  add(row: Packed): void {
    for (let i = 0; i < counted.length; i++) this.#counts[i]! += row.number()!
    this.#cost += row.bigint()
    this.seen.add(row)
  }

  /** Forgets all, to be used again. */
  clear(): void {
    this.seen.duration.clear()
    this.seen.first_token.clear()
    this.#counts.fill(0)
    this.#cost = 0n
  }

  /** As a row of its own. */
  written() {
    const { duration, first_token } = this.seen
    return { ...this.counts(), duration: duration.encode(), first_token: first_token.encode() }
  }

  counts(): Counts {
    return this.into(noCounts())
  }

  /** Puts what was counted into `counts`. */
  into<C extends Counts>(counts: C): C {
    for (let i = 0; i < counted.length; i++) (counts as Counts)[counted[i]!] = this.#counts[i]!
    counts.cost = this.#cost
    return counts
  }
}

const AT_ONCE = 1_000

/** Gives each row to `take`, and way to requests between them: this process serves, too. */
export async function eachRow<R extends { row: string }>(rows: readonly R[], take: (row: Packed, of: R) => void) {
  const row = new Packed()
  for (let i = 0; i < rows.length; i++) {
    if (i % AT_ONCE === AT_ONCE - 1) await turn()
    row.load(rows[i]!.row)
    take(row, rows[i]!)
  }
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

export function round(value: number, places: keyof typeof powers): number {
  return Math.round(value * powers[places]) / powers[places]
}
// Looked up: charts are of a hundred thousand of them.
const powers = { 0: 1, 1: 10, 2: 100, 3: 1000 } as const

/** ms, one decimal; null where nothing was seen. */
export interface Milliseconds {
  p50: number | null
  p95: number | null
  p99: number | null
  p999: number | null
  avg: number | null
  max: number | null
}

export const milliseconds = (seen: Merged | undefined): Milliseconds => inMilliseconds(seen?.quantiles())

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
