// Times that are asked about, and which roll-ups give their sums: days and hours where they are whole, minutes at the edges.
import { sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import { Refusal } from '../../lib/refusal.ts'

export const MINUTE = 60_000
export const HOUR = 3_600_000
export const DAY = 86_400_000

/** What an overview may be of. */
export const ranges = { '5m': 5 * MINUTE, '30m': 30 * MINUTE, '1h': HOUR, '6h': 6 * HOUR, '24h': DAY } as const
export type Range = keyof typeof ranges
export const rangeNames = Object.keys(ranges) as Range[]

/** What was asked for: one of `ranges`, or from and to. */
export interface Asked {
  range?: Range | undefined
  since?: Date | undefined
  until?: Date | undefined
}

/** Unix ms: from `since` on, and before `until`. */
export interface Span {
  since: number
  until: number
}

/**
 * The span, `fallback` ms back from now where nothing says otherwise. It begins with a whole minute, and where it is long
 * with a whole hour or day: what is finer there nobody sees.
 * @throws Refusal `usage` when it ends before it begins, or two things say when it begins
 */
export function spanOf(asked: Asked, fallback: number, now: number): Span {
  if (asked.range !== undefined && asked.since !== undefined)
    throw new Refusal('usage', 'range and since exclude each other; give one of them')
  const until = asked.until?.getTime() ?? now
  const from = asked.since?.getTime() ?? until - (asked.range === undefined ? fallback : ranges[asked.range])
  if (from > until)
    throw new Refusal(
      'usage',
      `since (${new Date(from).toISOString()}) lies after until (${new Date(until).toISOString()})`,
    )
  const length = until - from
  return { since: floor(from, length > 62 * DAY ? DAY : length > 2 * DAY ? HOUR : MINUTE), until }
}

const grains = [
  { table: 'watch_minute', ms: MINUTE },
  { table: 'watch_hour', ms: HOUR },
  { table: 'watch_day', ms: DAY },
] as const

/** Roll-ups that begin in [from, till), Unix ms. */
export interface Part {
  table: (typeof grains)[number]['table']
  from: number
  till: number
}

/** How far each roll-up reaches, Unix ms: summed up to here, and kept since. */
export interface Reach {
  until: readonly number[]
  since: readonly number[]
}

export async function reachOf(db: Db): Promise<Reach> {
  const { rows } = await sql<{ name: string; until: Date | null; since: Date | null }>`
    select name, r.until, k.since from watch_rolled r full join usage_kept k using (name)`.execute(db)
  const of = (table: string) => rows.find(row => row.name === table)
  return {
    until: grains.map(({ table }, i) => (i === 0 ? Infinity : (of(table)?.until?.getTime() ?? -Infinity))),
    since: grains.map(({ table }) => of(table)?.since?.getTime() ?? -Infinity),
  }
}

/**
 * The parts that make up the span, which they widen to whole hours or days where retention has dropped what is finer.
 * @param most how long the longest of them may be, ms: a day where nothing is said
 */
export function partsOf(span: Span, reach: Reach, most: number = DAY): Part[] {
  let { since, until } = span
  const coarsest = grains.findLastIndex(({ ms }) => ms <= most)
  for (let i = 0; i < coarsest; i++) {
    const coarser = grains[i + 1]!.ms
    if (since < reach.since[i]!) since = floor(since, coarser)
    if (until < reach.since[i]!) until = ceil(until, coarser)
  }
  return cover(since, until, coarsest, reach)
}

function cover(from: number, till: number, grain: number, reach: Reach): Part[] {
  if (from >= till) return []
  const { table, ms } = grains[grain]!
  if (grain === 0) return [{ table, from, till }]
  const [first, last] = [ceil(from, ms), floor(Math.min(till, reach.until[grain]!), ms)]
  if (first >= last) return cover(from, till, grain - 1, reach)
  return [
    ...cover(from, first, grain - 1, reach),
    { table, from: first, till: last },
    ...cover(last, till, grain - 1, reach),
  ]
}

// Rows of a minute come a moment after it.
const LAG_MS = 2_000

/**
 * Up to where (Unix ms, no later than `until`) processes have written. What ended since then is in no row yet, so that a rate is
 * of the time up to here.
 */
export async function writtenUntil(db: Db, until: number): Promise<number> {
  // `ops.interval` is at most an hour.
  const { rows } = await sql<{ at: Date | null }>`select max(at) as at from watch_metrics
    where at > ${new Date(until - 2 * HOUR)} and at <= ${new Date(until)}`.execute(db)
  return Math.max(rows[0]?.at?.getTime() ?? 0, floor(until - LAG_MS, MINUTE))
}

export const floor = (at: number, ms: number): number => Math.floor(at / ms) * ms
export const ceil = (at: number, ms: number): number => Math.ceil(at / ms) * ms
