// Distributions of milliseconds that merge exactly: DDSketch, each quantile within 1 % of a value that was seen.
import { DDSketch } from '@datadog/sketches-js'

/** What was seen of one duration. Merging two gives what one would be that had seen all: in any order, over processes. */
export type Sketch = DDSketch

/** All in ms, undefined where nothing was seen. */
export interface Quantiles {
  p50: number
  p95: number
  p99: number
  p999: number
  avg: number
  max: number
}

// All must agree on it: sketches of another accuracy cannot be merged, and what is stored names bins by number.
const ACCURACY = 0.01
const VERSION = 1

// Of what is no more than nothing: no bin has this number.
const ZERO = -(2 ** 30)
const shared = new DDSketch({ relativeAccuracy: ACCURACY }).mapping

export const createSketch = (): Sketch => new DDSketch({ relativeAccuracy: ACCURACY })

/** Which bin a value (0 or more) is counted in; to be worked out once where several distributions take it. */
export const binOf = (value: number): number => (value > shared.minPossible ? shared.key(value) : ZERO)

/** Takes in a value whose bin is known: what `accept` of the library does, but for the logarithm. */
export function accept(sketch: Sketch, value: number, bin: number): void {
  if (bin === ZERO) sketch.zeroCount++
  else sketch.store.add(bin, 1)
  sketch.count++
  sketch.sum += value
  if (value < sketch.min) sketch.min = value
  if (value > sketch.max) sketch.max = value
}

export function quantiles(sketch: Sketch): Quantiles | undefined {
  if (sketch.count === 0) return undefined
  const at = (q: number) => Math.min(sketch.max, Math.max(sketch.min, sketch.getValueAtQuantile(q)))
  return {
    p50: at(0.5),
    p95: at(0.95),
    p99: at(0.99),
    p999: at(0.999),
    avg: sketch.sum / sketch.count,
    max: sketch.max,
  }
}

/** How many of what was seen were at most `bound` (ms); bins are 2 % wide. */
export function countUpTo(sketch: Sketch, bound: number): number {
  if (bound >= sketch.max) return sketch.count
  let count = sketch.zeroCount
  const last = sketch.mapping.key(bound)
  const { bins, offset } = sketch.store
  for (let i = 0; i < bins.length && i + offset <= last; i++) count += bins[i]!
  return count
}

/**
 * Its bytes, for a `bytea`: sum, least and largest as doubles, then zeros and each bin that is not empty as pairs of varints.
 * The library's protobuf keeps neither least nor largest, and is eight bytes a bin, empty ones too.
 */
export function encodeSketch(sketch: Sketch): Buffer {
  const { bins, offset } = sketch.store
  const filled: number[] = []
  for (let i = 0; i < bins.length; i++) if (bins[i]! > 0) filled.push(i)
  const bytes = Buffer.allocUnsafe(25 + 10 * (filled.length + 2))
  bytes[0] = VERSION
  bytes.writeDoubleLE(sketch.sum, 1)
  bytes.writeDoubleLE(sketch.min, 9)
  bytes.writeDoubleLE(sketch.max, 17)
  let at = varint(bytes, 25, sketch.zeroCount)
  let before = 0
  for (const i of filled) {
    // The first may be negative (below 1 ms): folded, so that small ones stay small.
    const step = i + offset - before
    at = varint(bytes, at, step >= 0 ? step * 2 : -step * 2 - 1)
    at = varint(bytes, at, bins[i]!)
    before = i + offset
  }
  return bytes.subarray(0, at)
}

/** What `encodeSketch` wrote; the bins are in `keys` and `seen` until the next is read. @throws Error for bytes of another version */
function decode(bytes: Uint8Array): { filled: number; zeros: number; sum: number; min: number; max: number } {
  if (bytes[0] !== VERSION) throw new Error(`a sketch of version ${bytes[0]}; this gw reads version ${VERSION}`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 25
  const next = () => {
    let value = 0
    for (let unit = 1; ; unit *= 128) {
      const byte = bytes[at++]!
      value += (byte & 127) * unit
      if (byte < 128) return value
    }
  }
  const zeros = next()
  let bin = 0
  let filled = 0
  while (at < bytes.length) {
    const step = next()
    bin += step % 2 === 0 ? step / 2 : -(step + 1) / 2
    keys[filled] = bin
    seen[filled++] = next()
  }
  const [sum, min, max] = [view.getFloat64(1, true), view.getFloat64(9, true), view.getFloat64(17, true)]
  return { filled, zeros, sum, min, max }
}
const keys: number[] = []
const seen: number[] = []

/** Adds what `encodeSketch` wrote. @throws Error for bytes of another version */
export function mergeEncoded(into: Sketch, bytes: Uint8Array): void {
  const { filled, zeros, sum, min, max } = decode(bytes)
  // The last first: a store moves all of its bins for each key beyond those that it has.
  if (filled > 1) into.store.add(keys[filled - 1]!, 0)
  let count = zeros
  for (let i = 0; i < filled; i++) {
    into.store.add(keys[i]!, seen[i]!)
    count += seen[i]!
  }
  into.zeroCount += zeros
  into.count += count
  into.sum += sum
  into.min = Math.min(into.min, min)
  into.max = Math.max(into.max, max)
}

// Bins below and above these hold what lasted less than a millionth of a ms, or longer than 10^17.
const LOWEST = -1_024
const bins = new Float64Array(3_072)
const { mapping } = createSketch()

/** The quantiles of all of them together, as of one sketch into which they were merged; a sketch for each of many is slow. */
export function quantilesOf(all: readonly Uint8Array[]): Quantiles | undefined {
  let [zeros, count, sum, min, max] = [0, 0, 0, Infinity, -Infinity]
  let [first, last] = [bins.length, -1]
  for (const bytes of all) {
    const one = decode(bytes)
    for (let i = 0; i < one.filled; i++) {
      const at = Math.min(bins.length - 1, Math.max(0, keys[i]! - LOWEST))
      bins[at]! += seen[i]!
      count += seen[i]!
      first = Math.min(first, at)
      last = Math.max(last, at)
    }
    zeros += one.zeros
    count += one.zeros
    sum += one.sum
    min = Math.min(min, one.min)
    max = Math.max(max, one.max)
  }
  if (count === 0) return undefined
  const at = (q: number) => {
    const rank = q * (count - 1)
    let value = 0
    if (rank >= zeros) {
      let bin = first
      for (let below = zeros + bins[first]!; below <= rank && bin < last; ) below += bins[++bin]!
      value = mapping.value(bin + LOWEST)
    }
    return Math.min(max, Math.max(min, value))
  }
  const found = { p50: at(0.5), p95: at(0.95), p99: at(0.99), p999: at(0.999), avg: sum / count, max }
  bins.fill(0, first, last + 1)
  return found
}

/** Adds one to another, which stays as it is. */
export function mergeSketch(into: Sketch, from: Sketch): void {
  if (from.count > 0) into.merge(from)
}

function varint(bytes: Buffer, start: number, value: number): number {
  let at = start
  let rest = value
  while (rest >= 128) {
    bytes[at++] = (rest % 128) | 128
    rest = Math.floor(rest / 128)
  }
  bytes[at++] = rest
  return at
}
