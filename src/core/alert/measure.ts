// The value of a rule's metric at a boundary: read off what all processes wrote of the window that ends there.
import { setImmediate as turn } from 'node:timers/promises'
import { type RawBuilder, sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import { quantilesOf } from '../watch/merged.ts'
import type { Quantiles } from '../watch/sketch.ts'
import { sums } from '../watch/tally.ts'
import { type AccountsCounted, type CountedMetric, type FilterName, type GaugeMetric, metrics } from './metrics.ts'
import { dimensionOf, dimensionsOf, type Rule } from './rule.ts'

export type Measured = Pick<Rule, 'metric' | 'window_minutes' | 'where'>

/** Most values of `*` that are looked at, those with the most requests. */
export const MOST_DIMENSIONS = 1000

export interface Moment {
  /** Unix ms: the end of the window */
  boundary: number
  /** `ops.interval`: a window is at least as long */
  intervalMs: number
}

/** What was read at one moment, so that rules which look at the same ask once. */
export type Readings = Map<string, Promise<readonly Counts[]>>

/** By dimension; without `*` there is '' alone. What has nothing to be measured is not in it. */
export async function measure(
  db: Db,
  rule: Measured,
  moment: Moment,
  readings: Readings = new Map(),
): Promise<Map<string, number>> {
  const metric = metrics[rule.metric]
  // A newer gw's rule, in a database that it shares with this one.
  if (metric === undefined) throw new Error(`"${rule.metric}" is no metric that this gw knows`)
  switch (metric.from) {
    case 'counts':
      return counted(db, metric, rule, moment, readings)
    case 'gauges':
      return gauged(db, metric, rule, moment)
    case 'accounts':
      return ofAccounts(db, metric.value, rule)
  }
}

type Sql = RawBuilder<unknown>

/** Where the window begins (exclusively), and how much of it whole intervals fill. */
function windowOf(
  { window_minutes }: Measured,
  { boundary, intervalMs }: Moment,
): { from: Date; to: Date; ms: number } {
  const ms = Math.max(1, Math.floor((window_minutes * 60_000) / intervalMs)) * intervalMs
  return { from: new Date(boundary - ms), to: new Date(boundary), ms }
}

type Sums = Record<(typeof sums)[number], number>

/** Of one dimension. */
interface Counts extends Sums {
  /** rows that anybody wrote of the window: where there are none nothing is known, and 0 would be a guess */
  written: number
  quantiles: Quantiles | undefined
  dims: string[]
}

async function counted(
  db: Db,
  metric: CountedMetric,
  rule: Measured,
  moment: Moment,
  readings: Readings,
): Promise<Map<string, number>> {
  const names = dimensionsOf(rule.where)
  const window = windowOf(rule, moment)
  const key = JSON.stringify([window.ms, metric.sketch, Object.entries(rule.where).sort()])
  let reading = readings.get(key)
  if (reading === undefined) readings.set(key, (reading = readCounts(db, metric.sketch, rule, window)))
  const values = new Map<string, number>()
  for (const { written, quantiles, dims, ...sum } of await reading) {
    if (written === 0 || dims.includes('')) continue
    const value = metric.value({ ...sum, duration: quantiles, first_token: quantiles }, window.ms)
    if (value !== undefined) values.set(dimensionOf(names, dims), value)
  }
  return values
}

async function readCounts(
  db: Db,
  sketch: CountedMetric['sketch'],
  rule: Measured,
  { from, to }: { from: Date; to: Date },
): Promise<readonly Counts[]> {
  const names = dimensionsOf(rule.where)
  const added = sql.join(sums.map(name => sql`coalesce(sum(${sql.ref(name)}), 0)::float8 as ${sql.ref(name)}`))
  const { rows } = await sql<Omit<Counts, 'quantiles'> & { sketches: Buffer[] | null }>`
    select (select count(*) from watch_metrics where at > ${from} and at <= ${to})::float8 as written, ${added},
      ${sketch === undefined ? sql`null::bytea[]` : sql`array_agg(${sql.ref(sketch)})`} as sketches,
      ${arrayOf(names, cellNames)} as dims
    from ${Object.keys(rule.where).length > 0 ? cells : sql`watch_metrics c`}
    where c.at > ${from} and c.at <= ${to} and ${narrowing(rule, cellNames)}
    ${names.length > 0 ? sql`group by ${sql.join(names.map(name => cellNames[name]))}` : sql``}
    order by requests desc limit ${MOST_DIMENSIONS}`.execute(db)
  const counts: Counts[] = []
  let merged = 0
  for (const { sketches, ...row } of rows) {
    counts.push({ ...row, quantiles: sketches === null ? undefined : quantilesOf(sketches) })
    // Requests are served between them.
    if ((merged += sketches?.length ?? 0) < MERGED_AT_ONCE) continue
    merged = 0
    await turn()
  }
  return counts
}

const MERGED_AT_ONCE = 500

const cells = sql`watch_cells c left join groups g on g.id = c.group_id left join accounts a on a.id = c.account_id`
const cellNames: Record<FilterName, Sql> = {
  platform: sql`c.platform`,
  group: sql`coalesce(g.name, '')`,
  model: sql`c.model`,
  account: sql`coalesce(a.name, '')`,
  node: sql`c.node`,
}

/** What a rule's filters that are no `*` leave. */
function narrowing({ where }: Measured, columns: Record<FilterName, Sql>): Sql {
  const conditions = Object.entries(where).flatMap(([name, value]) =>
    value === '*' ? [] : [sql`${columns[name as FilterName]} = ${value}`],
  )
  return conditions.length === 0 ? sql`true` : sql.join(conditions, sql` and `)
}

const arrayOf = (names: readonly FilterName[], columns: Record<FilterName, Sql>): Sql =>
  names.length === 0 ? sql`'{}'::text[]` : sql`array[${sql.join(names.map(name => columns[name]))}]::text[]`

async function gauged(db: Db, metric: GaugeMetric, rule: Measured, moment: Moment): Promise<Map<string, number>> {
  const { from, to } = windowOf(rule, moment)
  const names = dimensionsOf(rule.where)
  const column =
    metric.column === 'disk_percent'
      ? sql`disk_used_mb * 100.0 / nullif(disk_total_mb, 0)`
      : sql.ref<number>(metric.column)
  const across = metric.across === 'sum' ? sql`sum(${column})` : sql`max(${column})`
  const over =
    metric.over === 'avg' ? sql`avg(v)` : metric.over === 'max' ? sql`max(v)` : sql`(array_agg(v order by at desc))[1]`
  // Of all processes at each interval first, since one that has ended is no part of the intervals after it.
  const { rows } = await sql<{ value: number; dims: string[] }>`
    select (${over})::float8 as value, dims from (
      select c.at, ${arrayOf(names, cellNames)} as dims, (${across})::float8 as v from watch_metrics c
      where c.at > ${from} and c.at <= ${to} and (${column}) is not null and ${narrowing(rule, cellNames)}
      group by 1, 2
    ) each group by dims order by dims limit ${MOST_DIMENSIONS}`.execute(db)
  return new Map(rows.map(({ value, dims }) => [dimensionOf(names, dims), value]))
}

const accountNames: Record<FilterName, Sql> = {
  platform: sql`a.platform`,
  group: sql`g.name`,
  account: sql`a.name`,
  model: sql`null`,
  node: sql`null`,
}

async function ofAccounts(
  db: Db,
  value: (accounts: AccountsCounted) => number | undefined,
  rule: Measured,
): Promise<Map<string, number>> {
  const names = dimensionsOf(rule.where)
  // Asked for only where a rule names groups: an account of two is one account.
  const groups =
    rule.where.group === undefined
      ? sql``
      : sql`join account_groups ag on ag.account_id = a.id join groups g on g.id = ag.group_id and g.deleted_at is null`
  const { rows } = await sql<AccountsCounted & { dims: string[] }>`
    select dims, count(*)::float8 as total,
      count(*) filter (where not broken and not limited and not away)::float8 as available,
      count(*) filter (where limited and not broken)::float8 as limited,
      count(*) filter (where broken or away and not limited)::float8 as broken
    from (
      select ${arrayOf(names, accountNames)} as dims,
        a.status in ('error', 'expired') or coalesce(a.expires_at <= now(), false) as broken,
        coalesce(h.class in ('burst', 'window', 'quota', 'overload'), false) as limited,
        h.class is not null as away
      from accounts a left join account_health h on h.account_id = a.id and h.model = '' and h.until > now() and h.updated_at <= now() + interval '1 minute' ${groups}
      where a.deleted_at is null and a.status <> 'paused' and ${narrowing(rule, accountNames)}
    ) each group by dims order by dims limit ${MOST_DIMENSIONS}`.execute(db)
  // Without any account there is no row, and where there are no dimensions to tell, none is a number, too.
  const all =
    rows.length === 0 && names.length === 0 ? [{ total: 0, available: 0, limited: 0, broken: 0, dims: [] }] : rows
  return new Map(
    all.flatMap(({ dims, ...accounts }) => {
      const found = value(accounts)
      return found === undefined ? [] : [[dimensionOf(names, dims), found] as const]
    }),
  )
}
