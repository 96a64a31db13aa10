// What every store promises about amounts per minute.
import type { Test } from 'tap'
import type { Store } from '../../src/store/store.ts'
import { until } from '../helpers/redis.ts'

/** So slow that no test sees it fill by one: ten minutes for that. */
const SLOW = 0.1

/** Runs the contract; `make` as for `storeContract`. */
export function rateContract(t: Test, make: (t: Test) => Promise<Store[]>): void {
  const draw = (bucket: string, amount: number, perMinute: number) => ({ bucket, amount, perMinute })

  t.test('exactly as many pass as the bucket holds, however many ask at once and wherever', async t => {
    const stores = await make(t)
    const asked = Array.from({ length: 10 }, (_, i) => stores[i % stores.length]!.take('key:1', [draw('rpm', 1, 5)]))
    const waits = (await Promise.all(asked)).filter(waitMs => waitMs > 0)
    t.equal(waits.length, 5)
    for (const waitMs of waits) t.ok(Number.isInteger(waitMs) && waitMs <= 12_000, `worth asking in ${waitMs} ms`)
    t.equal(await stores[0]!.take('key:2', [draw('rpm', 5, 5)]), 0, 'other keys have buckets of their own')
    t.equal(await stores[0]!.take('key:1', [draw('tpm', 5, 5)]), 0, 'and so have other names')
  })

  t.test('all or nothing, and the longest wait counts', async t => {
    const stores = await make(t)
    const [here, there] = [stores[0]!, stores.at(-1)!]
    t.equal(await here.take('k', [draw('empty', SLOW, SLOW), draw('half', 3, 6)]), 0)
    const waitMs = await there.take('k', [draw('half', 3, 6), draw('empty', SLOW / 2, SLOW), draw('full', 6, 6)])
    t.ok(waitMs > 15_000 && waitMs <= 30_000, `${waitMs} ms`)
    t.equal(await there.take('k', [draw('half', 3, 6), draw('full', 6, 6)]), 0, 'nothing was taken of the others')
    t.not(await here.take('k', [draw('half', 1, 6)]), 0)
    t.equal(await here.take('k', []), 0)
  })

  t.test('a bucket fills evenly', async t => {
    const [store] = await make(t)
    // 10 a ms: 500 are there in 50 ms.
    const rate = 600_000
    t.equal(await store!.take('k', [draw('a', rate, rate)]), 0)
    await until(t, 'it is there', async () => (await store!.take('k', [draw('a', 500, rate)])) === 0)
    t.not(await store!.take('k', [draw('a', rate, rate)]), 0, 'and not much more')
  })

  t.test('an amount above the rate passes when the bucket is full, and empties it', async t => {
    const [store] = await make(t)
    t.equal(await store!.take('k', [draw('a', 50, 5)]), 0)
    const waitMs = await store!.take('k', [draw('a', 50, 5)])
    t.ok(waitMs > 45_000 && waitMs <= 60_000, `${waitMs} ms until it is full again`)
    t.equal(await store!.take('k', [draw('b', 1, 5)]), 0)
    t.not(await store!.take('k', [draw('b', 50, 5)]), 0, 'not when it is less than full')
  })

  t.test('what is given back can be taken again, never more than full', async t => {
    const stores = await make(t)
    const [here, there] = [stores[0]!, stores.at(-1)!]
    t.equal(await here.take('k', [draw('a', 5, 5)]), 0)
    await there.give('k', 'a', 3, 5)
    t.equal(await here.take('k', [draw('a', 3, 5)]), 0)
    t.not(await here.take('k', [draw('a', 1, 5)]), 0)
    await here.give('k', 'a', 100, 5)
    await here.give('k', 'new', 100, 5)
    for (const bucket of ['a', 'new']) {
      t.equal(await there.take('k', [draw(bucket, 5, 5)]), 0)
      t.not(await there.take('k', [draw(bucket, 1, 5)]), 0)
    }
  })

  t.test('what was taken too little is taken later, below empty and beyond the rate', async t => {
    const stores = await make(t)
    const [here, there] = [stores[0]!, stores.at(-1)!]
    t.equal(await here.take('k', [draw('a', 1, 5)]), 0)
    await here.give('k', 'a', -14, 5)
    const waitMs = await there.take('k', [draw('a', 1, 5)])
    t.ok(waitMs > 120_000 && waitMs <= 132_000, `${waitMs} ms to pay back 10 and have 1`)
    await there.give('k', 'a', 12, 5)
    t.equal(await here.take('k', [draw('a', 2, 5)]), 0)
    t.not(await here.take('k', [draw('a', 1, 5)]), 0)
    await here.give('k', 'new', -4, 5)
    t.not(await there.take('k', [draw('new', 2, 5)]), 0)
    t.equal(await there.take('k', [draw('new', 1, 5)]), 0)
  })

  t.test('a rate that changes holds at once', async t => {
    const [store] = await make(t)
    t.equal(await store!.take('k', [draw('a', 10, 100)]), 0)
    t.equal(await store!.take('k', [draw('a', 5, 5)]), 0, 'no bucket holds more than its rate')
    t.not(await store!.take('k', [draw('a', 1, 5)]), 0)
  })
}
