// What is counted and not in Postgres yet: within a bound, the oldest goes first, and what went is told.
import type { Db } from '../../db/connect.ts'
import type { WatchGauges } from '../../db/schema-watch.ts'
import type { Slice } from './fold.ts'
import { cellRow, type Interval, intervalsOf, Minutes } from './rows.ts'
import { intervalRow, type Writer, type WrittenInterval, writeIntervals, writeMinutes } from './write.ts'

/** Rows of about half a kilobyte. */
const MOST_ROWS = 100_000
/** How many are written in one transaction, when several wait. */
const INTERVALS = 50

export interface PendingOptions {
  writer: Writer
  intervalMs: number
  log: (line: string) => void
  /** default 100,000 */
  mostRows?: number
}

export class Pending {
  readonly #options: PendingOptions
  readonly #mostRows: number
  readonly #minutes = new Minutes()
  readonly #intervals: WrittenInterval[] = []
  /** mostly the one that goes on; gauges were not read for them yet */
  #open: Interval[] = []
  /** intervals and minutes dropped since that was last told */
  #dropped = 0
  #droppedFrom = 0

  constructor(options: PendingOptions) {
    this.#options = options
    this.#mostRows = options.mostRows ?? MOST_ROWS
  }

  /** rows that wait */
  get size(): number {
    return this.#intervals.reduce((sum, { cells }) => sum + 1 + cells.length, this.#minutes.size)
  }

  /**
   * Takes in what was cut at `at` (Unix ms, before the cut). An interval is ready once it is over; with `all` the one that has
   * begun, too. `gauges` may be missing while none is.
   */
  add(slices: readonly Slice[], at: number, gauges: WatchGauges | undefined, all = false): void {
    const { intervalMs } = this.#options
    for (const slice of slices) this.#minutes.add(slice)
    this.#minutes.tidy(at)
    const intervals = intervalsOf(slices, intervalMs, this.#open)
    this.#open = []
    for (const [i, interval] of intervals.entries())
      if (gauges && (all || interval.at <= at || i < intervals.length - 1))
        this.#intervals.push({
          at: interval.at,
          intervalMs,
          metrics: intervalRow(interval, gauges),
          cells: interval.cells.map(cellRow),
        })
      else this.#open.push(interval)
    this.#bound()
  }

  /** Writes all that waits, oldest first. What cannot be written waits for the next time. @throws what Postgres says */
  async write(db: Db, at: number): Promise<void> {
    const { writer, log } = this.#options
    while (this.#intervals.length > 0) {
      const some = this.#intervals.slice(0, INTERVALS)
      await writeIntervals(db, writer, some)
      this.#intervals.splice(0, some.length)
    }
    for (const { minutes, rows } of this.#minutes.due()) {
      if (rows.length > 0) await writeMinutes(db, writer, rows)
      this.#minutes.written(minutes, at)
    }
    if (this.#dropped === 0) return
    log(
      `watch: ${this.#dropped} intervals and minutes from ${new Date(this.#droppedFrom).toISOString()} on are not written, since Postgres was away for longer than ${this.#mostRows} rows`,
    )
    this.#dropped = 0
  }

  #bound(): void {
    while (this.size > this.#mostRows) {
      const interval = this.#intervals.length > 1 ? this.#intervals.shift() : undefined
      const minute = this.#minutes.drop()
      if (interval === undefined && minute === undefined) return
      if (this.#dropped === 0) this.#droppedFrom = Math.min(interval?.at ?? Infinity, minute ?? Infinity)
      this.#dropped += (interval ? 1 : 0) + (minute === undefined ? 0 : 1)
    }
  }
}
