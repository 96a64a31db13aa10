// The latest lines of something that goes on, as many as may be kept: what they were is told to whoever asks later.

export interface RecentLine {
  /** grows by one with each line */
  number: number
  /** Unix ms */
  at: number
  text: string
}

/**
 * A ring of bytes, and not a list of strings: a line is built of some thirty pieces, each an object that a list would keep alive
 * for an hour, and every collection of garbage would look at them.
 */
export class Recent {
  readonly #lines: number
  // Made with the first line: most processes have none.
  #bytes: Buffer | undefined
  readonly #size: number
  // Of the line of each number, modulo `#lines`.
  readonly #at: Float64Array
  readonly #begin: Uint32Array
  readonly #length: Uint32Array
  /** the number of the oldest, and the one that the next line gets */
  #first = 0
  #next = 0
  /** where the next line goes */
  #head = 0

  /** `bytes` as UTF-8 */
  constructor({ lines, bytes }: { lines: number; bytes: number }) {
    this.#lines = lines
    this.#size = bytes
    this.#at = new Float64Array(lines)
    this.#begin = new Uint32Array(lines)
    this.#length = new Uint32Array(lines)
  }

  /** Of a line that is longer than all that may be kept, the beginning is. */
  push(at: number, text: string): void {
    const bytes = (this.#bytes ??= Buffer.allocUnsafeSlow(this.#size))
    if (this.size === this.#lines) this.#first++
    // No character takes more than three bytes; how many they are is counted only where that matters.
    if (this.#head + 3 * text.length > this.#size && this.#head + Buffer.byteLength(text) > this.#size) {
      // What stands between here and the end is older than what stands at the beginning.
      this.#forget(this.#head, this.#size)
      this.#head = 0
    }
    const length = bytes.write(text, this.#head)
    this.#forget(this.#head, this.#head + length)
    const slot = this.#next++ % this.#lines
    this.#at[slot] = at
    this.#begin[slot] = this.#head
    this.#length[slot] = length
    this.#head += length
  }

  get size(): number {
    return this.#next - this.#first
  }

  /** The number that the next line gets. */
  get next(): number {
    return this.#next
  }

  /** The oldest first, from a number and an instant on, at most so many. */
  from(number: number, since: number, limit: number): RecentLine[] {
    const found: RecentLine[] = []
    for (let n = Math.max(number, this.#first); n < this.#next && found.length < limit; n++) {
      const slot = n % this.#lines
      const at = this.#at[slot]!
      if (at < since) continue
      const begin = this.#begin[slot]!
      found.push({ number: n, at, text: this.#bytes!.toString('utf8', begin, begin + this.#length[slot]!) })
    }
    return found
  }

  /** The oldest lines, as far as they begin in this stretch, which another takes. */
  #forget(from: number, to: number): void {
    while (this.#first < this.#next) {
      const begin = this.#begin[this.#first % this.#lines]!
      if (begin < from || begin >= to) return
      this.#first++
    }
  }
}
