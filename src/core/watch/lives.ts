// What waits to be written, over clocks that are put back: what was written of a time is never replaced by what came after.
import type { Db } from '../../db/connect.ts'
import type { WatchGauges } from '../../db/schema-watch.ts'
import type { Slice } from './fold.ts'
import { Pending, type PendingOptions } from './pending.ts'

/** `Pending` of a process, and of what it was before its clock was put back. */
export class Lives {
  readonly #options: PendingOptions
  #current: Pending
  /** what they have is whole; each is forgotten once it is written */
  #earlier: Pending[] = []
  #count = 0

  constructor(options: PendingOptions) {
    this.#options = options
    this.#current = new Pending(options)
  }

  /** rows that wait */
  get size(): number {
    return this.#earlier.reduce((sum, { size }) => sum + size, this.#current.size)
  }

  /** As `Pending.add`. */
  add(slices: readonly Slice[], at: number, gauges: WatchGauges | undefined, all = false): void {
    this.#current.add(slices, at, gauges, all)
  }

  /**
   * The clock was put back to `at` (Unix ms): minutes and intervals that are written come again. What is counted from here on has
   * rows beside the others, as of another process; `slices` are the last before it.
   */
  begin(slices: readonly Slice[], at: number, gauges: WatchGauges | undefined): void {
    const { writer, log } = this.#options
    this.#current.add(slices, at, gauges, true)
    this.#earlier.push(this.#current)
    this.#current = new Pending({
      ...this.#options,
      writer: { ...writer, process: `${writer.process}+${++this.#count}` },
    })
    log(
      `watch: the clock was put back to ${new Date(at).toISOString()}; figures of the time until then are beside each other`,
    )
  }

  /** As `Pending.write`. */
  async write(db: Db, at: number): Promise<void> {
    for (const earlier of this.#earlier) {
      await earlier.write(db, Infinity)
      this.#earlier = this.#earlier.filter(one => one !== earlier)
    }
    await this.#current.write(db, at)
  }
}

/** The process that a row's name is of. */
export const processOf = (name: string): string => name.replace(/\+\d+$/, '')
