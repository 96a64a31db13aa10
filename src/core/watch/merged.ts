// Many distributions as they were written, added up: what one process would tell that had seen all of it.
import { bytesOf, mapping, type Quantiles, VERSION } from './sketch.ts'

// How many bins an array is longer than it must be: what is seen next mostly lies near what was seen.
const SPARE = 64

/** One array of counts, whatever is added; the library's own merging takes ten times as long, and questions add thousands. */
export class Merged {
  count = 0
  /** ms; Infinity and -Infinity where nothing was seen */
  min = Infinity
  max = -Infinity
  #sum = 0
  #zeros = 0
  /** counts of bins, that of `#lowest` first; none but those from `#first` to `#last` are more than 0 */
  #bins = new Float64Array(0)
  #lowest = 0
  #first = Infinity
  #last = -Infinity

  /** Adds what `encodeSketch` wrote, which lies in `bytes` from `start` to `end`. @throws Error for bytes of another version */
  add(bytes: Buffer, start = 0, end = bytes.length): void {
    const version = bytes[start]
    if (version !== VERSION) throw new Error(`a sketch of version ${version}; this gw reads version ${VERSION}`)
    at = start + 25
    const zeros = varint(bytes)
    let count = zeros
    let bin = 0
    for (let first = true; at < end; first = false) {
      const step = varint(bytes)
      bin += step % 2 === 0 ? step / 2 : -(step + 1) / 2
      const index = bin - this.#lowest
      if (!(index >= 0 && index < this.#bins.length)) this.#reach(bin)
      if (first && bin < this.#first) this.#first = bin
      const seen = varint(bytes)
      this.#bins[bin - this.#lowest]! += seen
      count += seen
    }
    if (count === 0) return
    if (count > zeros && bin > this.#last) this.#last = bin
    this.count += count
    this.#zeros += zeros
    this.#sum += bytes.readDoubleLE(start + 1)
    this.min = Math.min(this.min, bytes.readDoubleLE(start + 9))
    this.max = Math.max(this.max, bytes.readDoubleLE(start + 17))
  }

  quantiles(): Quantiles | undefined {
    if (this.count === 0) return undefined
    // Ranks rise: one walk over the bins finds all of them.
    let below = this.#zeros
    let bin = this.#first - 1
    const at = (q: number) => {
      const rank = q * (this.count - 1)
      if (rank >= this.#zeros) while (below <= rank && bin < this.#last) below += this.#bins[++bin - this.#lowest]!
      return Math.min(this.max, Math.max(this.min, rank < this.#zeros ? 0 : mapping.value(bin)))
    }
    return { p50: at(0.5), p95: at(0.95), p99: at(0.99), p999: at(0.999), avg: this.#sum / this.count, max: this.max }
  }

  /** How many of what was seen were at most `bound` (ms); bins are 2 % wide. */
  countUpTo(bound: number): number {
    if (bound >= this.max) return this.count
    let count = this.#zeros
    const last = Math.min(this.#last, mapping.key(bound))
    for (let bin = this.#first; bin <= last; bin++) count += this.#bins[bin - this.#lowest]!
    return count
  }

  /** As `encodeSketch` writes one that has seen all of it. */
  encode(): Buffer {
    const { min, max } = this
    return bytesOf({ sum: this.#sum, min, max, zeros: this.#zeros, bins: this.#bins, offset: this.#lowest })
  }

  /** Forgets all, to be used again. */
  clear(): void {
    if (this.#last >= this.#first) this.#bins.fill(0, this.#first - this.#lowest, this.#last - this.#lowest + 1)
    this.count = this.#sum = this.#zeros = 0
    this.min = this.#first = Infinity
    this.max = this.#last = -Infinity
  }

  #reach(bin: number): void {
    const { length } = this.#bins
    const lowest = length === 0 ? bin - SPARE : Math.min(this.#lowest, bin - SPARE)
    const end = length === 0 ? bin + 4 * SPARE : Math.max(this.#lowest + length, bin + SPARE)
    const bins = new Float64Array(end - lowest)
    if (length > 0) bins.set(this.#bins, this.#lowest - lowest)
    this.#bins = bins
    this.#lowest = lowest
  }
}

// Where `varint` reads on: to give it back with each number would make an object of each.
let at = 0

function varint(bytes: Buffer): number {
  let value = bytes[at++]!
  if (value < 128) return value
  value -= 128
  for (let unit = 128; ; unit *= 128) {
    const byte = bytes[at++]!
    value += (byte & 127) * unit
    if (byte < 128) return value
  }
}

/** The quantiles of all of them together. */
export function quantilesOf(all: Iterable<Buffer>): Quantiles | undefined {
  const merged = new Merged()
  for (const bytes of all) merged.add(bytes)
  return merged.quantiles()
}
