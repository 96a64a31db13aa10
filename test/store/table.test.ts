// The table against a Map: the same after every step, whatever the names and the order.
import t from 'tap'
import { Table } from '../../src/store/table.ts'

/** Repeatable: a linear congruential generator. */
function numbers(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const namings: Record<string, (i: number) => string> = {
  ids: i => `process:0190-7000-8000-${i.toString(16).padStart(12, '0')}`,
  'names with one end': i => `${i} the end of them all`,
  'short names': i => String.fromCharCode(i),
}

for (const [naming, name] of Object.entries(namings))
  t.test(naming, async t => {
    const pick = numbers(7)
    const table = new Table<{ holder: string; value: number }>()
    const map = new Map<string, { holder: string; value: number }>()
    let wrong = 0
    // Grows, is full of comings and goings, and shrinks.
    for (const [steps, leaning] of [
      [600, 9],
      [4000, 5],
      [1500, 1],
    ] as const)
      for (let step = 0; step < steps; step++) {
        const holder = name(pick(500))
        if (pick(10) < leaning) {
          const entry = { holder, value: step }
          table.set(entry)
          map.set(holder, entry)
        } else {
          if (table.delete(holder) !== map.get(holder)) wrong++
          map.delete(holder)
        }
        const other = name(pick(500))
        if (table.get(other) !== map.get(other) || table.size !== map.size) wrong++
      }
    t.equal(wrong, 0)
    const sorted = (all: Iterable<{ holder: string }>) => [...all].map(entry => entry.holder).sort()
    t.strictSame(sorted(table.all()), sorted(map.values()))
    for (const holder of map.keys()) table.delete(holder)
    t.equal(table.size, 0)
    t.strictSame(table.all(), [])
  })
