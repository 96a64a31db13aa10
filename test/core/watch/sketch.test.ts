// Distributions: within 1 %, and the same however they were cut, stored and merged.
import t from 'tap'
import { Merged, quantilesOf } from '../../../src/core/watch/merged.ts'
import { createSketch, encodeSketch, mergeSketch, quantiles } from '../../../src/core/watch/sketch.ts'

const sketchOf = (seen: readonly number[]) => {
  const sketch = createSketch()
  for (const value of seen) sketch.accept(value)
  return sketch
}
const values = Array.from({ length: 20_000 }, (_, i) => (i % 97 === 0 ? 0 : Math.exp(((i * 7919) % 1000) / 80) / 3))

t.test('quantiles are within 1 % of what was seen, and the average and the largest are exact', async t => {
  const sketch = sketchOf(values)
  const sorted = values.toSorted((a, b) => a - b)
  const told = quantiles(sketch)!
  for (const [name, q] of [
    ['p50', 0.5],
    ['p95', 0.95],
    ['p99', 0.99],
    ['p999', 0.999],
  ] as const) {
    const exact = sorted[Math.floor(q * (sorted.length - 1))]!
    t.ok(Math.abs(told[name] - exact) <= exact * 0.0101, `${name}: ${told[name]} of ${exact}`)
  }
  t.equal(told.max, sorted.at(-1))
  t.ok(Math.abs(told.avg - values.reduce((sum, v) => sum + v, 0) / values.length) < 1e-6)
  const exact = sorted.filter(v => v <= 1000).length
  const read = new Merged()
  read.add(encodeSketch(sketch))
  t.ok(Math.abs(read.countUpTo(1000) - exact) <= sorted.filter(v => v > 980 && v < 1020).length)
  t.equal(read.countUpTo(told.max), values.length)
  t.equal(read.countUpTo(0), values.filter(v => v === 0).length)
})

t.test('sketches of parts, stored and merged in any order, are the sketch of the whole', async t => {
  const whole = sketchOf(values)
  const parts = Array.from({ length: 7 }, (_, p) => encodeSketch(sketchOf(values.filter((_, i) => i % 7 === p))))
  for (const order of [parts, parts.toReversed()]) {
    const merged = new Merged()
    for (const bytes of order) merged.add(bytes)
    t.equal(merged.count, whole.count)
    const [told, wanted] = [merged.quantiles()!, quantiles(whole)!]
    t.strictSame({ ...told, avg: 0 }, { ...wanted, avg: 0 })
    t.ok(Math.abs(told.avg - wanted.avg) < 1e-6)
    // But for the sum, whose last digits are of the order.
    t.strictSame(merged.encode().subarray(9), encodeSketch(whole).subarray(9), 'written again it is what it would be')
  }
  const copy = createSketch()
  mergeSketch(copy, whole)
  t.strictSame(encodeSketch(copy), encodeSketch(whole))
  t.ok(encodeSketch(whole).length < 2_500, 'a stored one is small')
})

t.test('nothing seen has no quantiles, and bytes of another version are refused', async t => {
  t.equal(quantiles(createSketch()), undefined)
  const empty = new Merged()
  empty.add(encodeSketch(createSketch()))
  t.equal(empty.count, 0)
  t.equal(empty.quantiles(), undefined)
  t.strictSame(empty.encode(), encodeSketch(createSketch()))
  t.throws(() => empty.add(Buffer.from([9])), { message: /version 9/ })
})

t.test('the quantiles of many that were written are those of one that has seen all', async t => {
  // Bins far apart, the lower ones later, and counts of several bytes.
  const cuts = [values.slice(0, 7), values.slice(7, 9_000), values.slice(9_000), [], [0], [3e6], [1e-9], [1e-3, 1e12]]
  const [all, twice] = [cuts.flat(), Array.from({ length: 20_000 }, () => 7)]
  const written = cuts.map(cut => encodeSketch(sketchOf(cut)))
  t.strictSame(quantilesOf(written), quantiles(sketchOf(all)))
  t.strictSame(quantilesOf(written.slice(3, 5)), { p50: 0, p95: 0, p99: 0, p999: 0, avg: 0, max: 0 })
  t.equal(quantilesOf(written.slice(3, 4)), undefined)
  t.equal(quantilesOf([]), undefined)
  const again = new Merged()
  for (const bytes of written) again.add(bytes)
  again.clear()
  t.equal(again.quantiles(), undefined)
  const within = Buffer.concat([Buffer.from('before'), encodeSketch(sketchOf(twice)), Buffer.from('after')])
  again.add(within, 6, within.length - 5)
  t.strictSame(again.quantiles(), quantiles(sketchOf(twice)), 'nothing is left of those before it was cleared')
})
