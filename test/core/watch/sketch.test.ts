// Distributions: within 1 %, and the same however they were cut, stored and merged.
import t from 'tap'
import {
  countUpTo,
  createSketch,
  encodeSketch,
  mergeEncoded,
  mergeSketch,
  quantiles,
  quantilesOf,
} from '../../../src/core/watch/sketch.ts'

const values = Array.from({ length: 20_000 }, (_, i) => (i % 97 === 0 ? 0 : Math.exp(((i * 7919) % 1000) / 80) / 3))

t.test('quantiles are within 1 % of what was seen, and the average and the largest are exact', async t => {
  const sketch = createSketch()
  for (const value of values) sketch.accept(value)
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
  t.ok(Math.abs(countUpTo(sketch, 1000) - exact) <= sorted.filter(v => v > 980 && v < 1020).length)
  t.equal(countUpTo(sketch, told.max), values.length)
})

t.test('sketches of parts, stored and merged in any order, are the sketch of the whole', async t => {
  const whole = createSketch()
  for (const value of values) whole.accept(value)
  const parts = Array.from({ length: 7 }, (_, p) => {
    const part = createSketch()
    for (const [i, value] of values.entries()) if (i % 7 === p) part.accept(value)
    return encodeSketch(part)
  })
  for (const order of [parts, parts.toReversed()]) {
    const merged = createSketch()
    for (const bytes of order) mergeEncoded(merged, bytes)
    const again = createSketch()
    mergeSketch(again, merged)
    for (const one of [merged, again]) {
      t.equal(one.count, whole.count)
      const [told, wanted] = [quantiles(one)!, quantiles(whole)!]
      t.strictSame({ ...told, avg: 0 }, { ...wanted, avg: 0 })
      t.ok(Math.abs(told.avg - wanted.avg) < 1e-6)
    }
  }
  t.ok(encodeSketch(whole).length < 2_500, 'a stored one is small')
})

t.test('nothing seen has no quantiles, and bytes of another version are refused', async t => {
  t.equal(quantiles(createSketch()), undefined)
  const empty = createSketch()
  mergeEncoded(empty, encodeSketch(createSketch()))
  t.equal(empty.count, 0)
  t.throws(() => mergeEncoded(empty, Buffer.from([9])), { message: /version 9/ })
})

t.test('the quantiles of many that were written are those of one into which they were merged', async t => {
  const cuts = [values.slice(0, 7), values.slice(7, 9_000), values.slice(9_000), [], [0], [3e6]]
  const whole = createSketch()
  const written = cuts.map(cut => {
    const sketch = createSketch()
    for (const value of cut) sketch.accept(value)
    mergeEncoded(whole, encodeSketch(sketch))
    return encodeSketch(sketch)
  })
  t.strictSame(quantilesOf(written), quantiles(whole))
  t.strictSame(quantilesOf(written.slice(3, 5)), { p50: 0, p95: 0, p99: 0, p999: 0, avg: 0, max: 0 })
  t.equal(quantilesOf(written.slice(3, 4)), undefined)
  t.equal(quantilesOf([]), undefined)
  t.strictSame(quantilesOf(written), quantiles(whole), 'nothing is left of the one before')
})
