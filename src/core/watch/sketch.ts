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

/** Adds what `encodeSketch` wrote. @throws Error for bytes of another version */
export function mergeEncoded(into: Sketch, bytes: Uint8Array): void {
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
  let count = zeros
  let bin = 0
  while (at < bytes.length) {
    const step = next()
    bin += step % 2 === 0 ? step / 2 : -(step + 1) / 2
    const seen = next()
    into.store.add(bin, seen)
    count += seen
  }
  into.zeroCount += zeros
  into.count += count
  into.sum += view.getFloat64(1, true)
  into.min = Math.min(into.min, view.getFloat64(9, true))
  into.max = Math.max(into.max, view.getFloat64(17, true))
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
