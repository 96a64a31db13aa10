// From slices to rows: cells of intervals, and sums by dimension of minutes, which grow until their minute is over.
import type { WatchDimension } from '../../db/schema-watch.ts'
import { OTHER } from './classes.ts'
import { type Cell, OVERFLOW, type Slice } from './fold.ts'
import { createSketch, encodeSketch, mergeSketch, type Sketch } from './sketch.ts'
import { sums, Tally } from './tally.ts'

/** The columns of `WatchCounts`, ready to be written. */
export interface CountsRow extends Record<(typeof sums)[number], number> {
  duration: Buffer
  first_token: Buffer
}

export interface CellRow extends CountsRow {
  platform: string
  group_id: number
  account_id: number
  model: string
}

export interface MinuteRow extends CountsRow {
  /** Unix ms of its beginning */
  at: number
  dimension: WatchDimension
  value: string
}

/** What one interval saw, but for gauges. */
export interface Interval {
  /** Unix ms of its end, a multiple of its length */
  at: number
  total: Tally
  upstream: Sketch
  queued: Sketch
  cells: Cell[]
}

const EMPTY = encodeSketch(createSketch())
const encoded = (sketch: Sketch | undefined): Buffer => (sketch ? encodeSketch(sketch) : EMPTY)

export function countsRow(counts: Tally): CountsRow {
  const row = { duration: encoded(counts.duration), first_token: encoded(counts.first_token) } as CountsRow
  for (const name of sums) row[name] = counts[name]
  return row
}

export const cellRow = ({ platform, group, account, model, counts }: Cell): CellRow => ({
  platform,
  group_id: group,
  account_id: account,
  model,
  ...countsRow(counts),
})

/** Puts the slices of intervals together; `open` are those that earlier slices began. */
export function intervalsOf(slices: readonly Slice[], intervalMs: number, open: readonly Interval[]): Interval[] {
  const intervals = [...open]
  for (const slice of slices) {
    const at = Math.ceil(slice.until / intervalMs) * intervalMs
    let interval = intervals.at(-1)
    if (interval?.at !== at) {
      interval = { at, total: new Tally(), upstream: createSketch(), queued: createSketch(), cells: [] }
      intervals.push(interval)
    }
    for (const { counts } of slice.cells) interval.total.add(counts)
    mergeSketch(interval.upstream, slice.upstream)
    mergeSketch(interval.queued, slice.queued)
    addCells(interval, slice.cells)
  }
  return intervals
}

function addCells(interval: Interval, cells: Cell[]): void {
  if (interval.cells.length === 0) {
    interval.cells = cells
    return
  }
  // Only intervals longer than a minute have several slices: what this costs, it costs once a minute.
  const key = (cell: Cell) => JSON.stringify([cell.platform, cell.group, cell.account, cell.model])
  const known = new Map(interval.cells.map(cell => [key(cell), cell]))
  for (const cell of cells) {
    const into = known.get(key(cell))
    if (into) into.counts.add(cell.counts)
    else interval.cells.push({ ...cell, counts: copyOf(cell.counts) })
  }
}

function copyOf(counts: Tally): Tally {
  const copy = new Tally()
  copy.add(counts)
  return copy
}

const BATCH = 500

/** The minutes that this process has to write, each as far as it has come. */
export class Minutes {
  readonly #minutes = new Map<number, Minute>()

  add(slice: Slice): void {
    const at = Math.floor((slice.until - 1) / 60_000) * 60_000
    let minute = this.#minutes.get(at)
    if (minute === undefined) this.#minutes.set(at, (minute = new Minute(at)))
    minute.add(slice)
  }

  /** How many rows it holds. */
  get size(): number {
    let size = 0
    for (const minute of this.#minutes.values()) size += minute.size
    return size
  }

  /** What changed since it was last `written`, some minutes at a time: about so many rows as one statement takes. */
  *due(): Generator<{ minutes: number[]; rows: MinuteRow[] }> {
    let batch: { minutes: number[]; rows: MinuteRow[] } = { minutes: [], rows: [] }
    for (const minute of this.#minutes.values()) {
      batch.minutes.push(minute.at)
      batch.rows.push(...minute.rows())
      if (batch.rows.length < BATCH) continue
      yield batch
      batch = { minutes: [], rows: [] }
    }
    if (batch.minutes.length > 0) yield batch
  }

  /** What was due of these is in the database. Who is over by `now` is forgotten. */
  written(minutes: readonly number[], now: number): void {
    for (const at of minutes)
      if (at + 60_000 <= now) this.#minutes.delete(at)
      else this.#minutes.get(at)?.written()
  }

  /** Forgets those that are over and of which nothing is to be written; keeps as little as it can of the others. */
  tidy(now: number): void {
    for (const minute of this.#minutes.values()) if (minute.at + 60_000 <= now) minute.seal()
  }

  /** Drops the oldest minute and tells which; never the newest, of which more may come. */
  drop(): number | undefined {
    if (this.#minutes.size < 2) return undefined
    const [first] = this.#minutes.keys()
    this.#minutes.delete(first!)
    return first
  }
}

class Minute {
  readonly at: number
  readonly #of = new Map<WatchDimension, Map<string | number, Sum>>()
  #sealed: MinuteRow[] | undefined = undefined
  size = 0

  constructor(at: number) {
    this.at = at
  }

  add(slice: Slice): void {
    for (const { platform, group, account, model, counts } of slice.cells) {
      this.#sum('total', '', counts)
      this.#sum('platform', platform, counts)
      this.#sum('group', group, counts)
      this.#sum('account', account, counts)
      this.#sum('model', model, counts)
    }
    for (const [user, counts] of slice.users) this.#sum('user', user, counts)
    for (const [key, counts] of slice.keys) this.#sum('key', key, counts)
    for (const [path, counts] of slice.paths) this.#sum('path', path, counts)
  }

  rows(): MinuteRow[] {
    if (this.#sealed) return this.#sealed
    const rows: MinuteRow[] = []
    for (const [dimension, values] of this.#of)
      for (const [value, sum] of values)
        if (sum.changed)
          rows.push({
            at: this.at,
            dimension,
            value: value === OVERFLOW ? OTHER : `${value}`,
            ...countsRow(sum.counts),
          })
    return rows
  }

  written(): void {
    for (const values of this.#of.values()) for (const sum of values.values()) sum.changed = false
  }

  /** Nothing more will come: rows are a tenth of what they are made of. */
  seal(): void {
    if (this.#sealed) return
    this.#sealed = this.rows()
    this.#of.clear()
    this.size = this.#sealed.length
  }

  #sum(dimension: WatchDimension, value: string | number, counts: Tally): void {
    let values = this.#of.get(dimension)
    if (values === undefined) this.#of.set(dimension, (values = new Map()))
    let sum = values.get(value)
    if (sum === undefined) {
      values.set(value, (sum = { counts: new Tally(), changed: false }))
      this.size++
    }
    sum.counts.add(counts)
    sum.changed = true
  }
}

interface Sum {
  counts: Tally
  changed: boolean
}
