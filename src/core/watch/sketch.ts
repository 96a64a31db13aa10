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
export const VERSION = 1

// Of what is no more than nothing: no bin has this number.
const ZERO = -(2 ** 30)
/** Between values and the numbers of bins. */
export const { mapping } = new DDSketch({ relativeAccuracy: ACCURACY })

export const createSketch = (): Sketch => new DDSketch({ relativeAccuracy: ACCURACY })

/** Which bin a value (0 or more) is counted in; to be worked out once where several distributions take it. */
export const binOf = (value: number): number => (value > mapping.minPossible ? mapping.key(value) : ZERO)

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

/**
 * Its bytes, for a `bytea`: sum, least and largest as doubles, then zeros and each bin that is not empty as pairs of varints.
 * The library's protobuf keeps neither least nor largest, and is eight bytes a bin, empty ones too.
 */
export const encodeSketch = ({ sum, min, max, zeroCount: zeros, store: { bins, offset } }: Sketch): Buffer =>
  bytesOf({ sum, min, max, zeros, bins, offset })

/** What a sketch holds: `bins` are counts, the first of the bin with the number `offset`. */
interface Content {
  sum: number
  min: number
  max: number
  zeros: number
  bins: ArrayLike<number>
  offset: number
}

export function bytesOf({ sum, min, max, zeros, bins, offset }: Content): Buffer {
  const filled: number[] = []
  for (let i = 0; i < bins.length; i++) if (bins[i]! > 0) filled.push(i)
  const bytes = Buffer.allocUnsafe(25 + 10 * (filled.length + 2))
  bytes[0] = VERSION
  bytes.writeDoubleLE(sum, 1)
  bytes.writeDoubleLE(min, 9)
  bytes.writeDoubleLE(max, 17)
  let at = varint(bytes, 25, zeros)
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
