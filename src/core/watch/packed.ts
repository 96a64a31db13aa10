// Rows in Postgres's own binary form, a row in one field. To write, name and read sixteen columns of ten thousand rows as text
// takes several times as long as what is done with them then.
import { type RawBuilder, sql } from 'kysely'
import type { Merged } from './merged.ts'

/** These columns as one, for `Packed`. */
export const packed = (columns: readonly string[]): RawBuilder<string> =>
  sql.raw(`encode(record_send(row(${columns.join(', ')})), 'base64')`)

// Types of numbers in pg_type.
const [INT8, INT4, FLOAT8] = [20, 23, 701]

/** Reads the columns of a row one after another. */
export class Packed {
  #bytes = Buffer.allocUnsafe(4096)
  #next = 0

  /** Takes another row. */
  load(text: string): this {
    if (text.length > this.#bytes.length) this.#bytes = Buffer.allocUnsafe(2 * text.length)
    this.#bytes.write(text, 'base64')
    this.#next = 4 // after how many columns there are, which who asked knows
    return this
  }

  /** An integer or a double; what is no bigint is exact up to 2^53. @throws Error for a column of another type */
  number(): number | null {
    const [bytes, next] = [this.#bytes, this.#next]
    const type = bytes.readInt32BE(next)
    const at = this.#column()
    if (at < 0) return null
    if (type === INT4) return bytes.readInt32BE(at)
    if (type === INT8) return bytes.readInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4)
    if (type === FLOAT8) return bytes.readDoubleBE(at)
    throw new Error(`a packed column of type ${type} is no number`)
  }

  /** A bigint that is not null. */
  bigint(): bigint {
    return this.#bytes.readBigInt64BE(this.#column())
  }

  /** Adds a distribution, which is not null. */
  addTo(merged: Merged): void {
    const at = this.#column()
    merged.add(this.#bytes, at, this.#next)
  }

  /** Where its value is; negative: null. */
  #column(): number {
    const length = this.#bytes.readInt32BE(this.#next + 4)
    const at = this.#next + 8
    this.#next = at + Math.max(0, length)
    return length < 0 ? -1 : at
  }
}
