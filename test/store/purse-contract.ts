// What every store promises about money.

import type { Test } from 'tap'
import type { Fact, Store, Want } from '../../src/store/store.ts'
import { matchAll } from '../helpers/match.ts'
import { until } from '../helpers/redis.ts'

const LONG = 60_000
const SHORT = 400

const want = (bucket: string, amount: bigint, limit?: bigint, window?: Want['window']): Want => ({
  bucket,
  amount,
  limit,
  window,
})

const fact = (bucket: string, spent: bigint, version: bigint, start?: number): Fact => ({
  bucket,
  spent,
  version,
  start,
})

/** What is used of each bucket. */
export async function used(store: Store, purse = 'user:7'): Promise<Record<string, bigint>> {
  const { buckets } = await store.purse(purse)
  return Object.fromEntries(buckets.map(({ bucket, used }) => [bucket, used]))
}

/** Runs the contract; `make` as for `storeContract`. */
export function purseContract(t: Test, make: (t: Test) => Promise<Store[]>): void {
  const HELD = { held: true }
  const U = 'user:7'

  t.test('a budget is exact, however many ask at once and wherever', async t => {
    const stores = await make(t)
    await stores[0]!.record(U, { facts: [fact('balance', -750n, 1n)] })
    const asked = Array.from({ length: 100 }, (_, i) =>
      stores[i % stores.length]!.reserve(U, `r${i}`, [want('balance', 100n, 0n)], LONG),
    )
    const answers = await Promise.all(asked)
    t.equal(answers.filter(answer => answer.held).length, 7)
    for (const answer of answers) if (!answer.held) t.same(answer, { held: false, bucket: 'balance' })
    const holders = answers.flatMap((answer, i) => (answer.held ? [`r${i}`] : [])).sort()
    for (const store of stores)
      t.same(await store.purse(U), {
        buckets: [{ bucket: 'balance', used: -50n, spent: -750n, start: undefined }],
        holders,
      })
    t.same(await stores.at(-1)!.reserve(U, 'late', [want('balance', 51n, 0n)], LONG), {
      held: false,
      bucket: 'balance',
    })
    t.same(
      await stores.at(-1)!.reserve(U, 'late', [want('balance', 50n, 0n)], LONG),
      HELD,
      'and can be spent to the end',
    )
    t.same(await stores[0]!.reserve(U, 'nothing', [want('balance', 0n, 0n)], LONG), HELD)
    t.same(await stores[0]!.purse('user:8'), { buckets: [], holders: [] }, 'other purses are others')
  })

  t.test('all buckets or none, and a refusal names the first that is full', async t => {
    const [store] = await make(t)
    await store!.record(U, { facts: ['a', 'b', 'c'].map(bucket => fact(bucket, 10n, 1n)) })
    const wants = (b: bigint) => [want('a', 5n, 15n), want('b', 5n, b), want('c', 5n, b)]
    t.same(await store!.reserve(U, 'r', wants(14n), LONG), { held: false, bucket: 'b' })
    t.same(await used(store!), { a: 10n, b: 10n, c: 10n })
    t.same((await store!.purse(U)).holders, [])
    t.same(await store!.reserve(U, 'r', wants(15n), LONG), HELD)
    t.same(await used(store!), { a: 15n, b: 15n, c: 15n })
  })

  t.test('who asks again has the new hold in place of the old, or after a refusal still the old', async t => {
    const stores = await make(t)
    const store = stores[0]!
    await store.record(U, { facts: [fact('a', 0n, 1n), fact('b', 0n, 1n)] })
    t.same(await store.reserve(U, 'r', [want('a', 8n, 10n), want('b', 1n, 10n)], LONG), HELD)
    t.same(await store.reserve(U, 'r', [want('a', 10n, 10n)], LONG), HELD, 'what it held does not count')
    t.same(await used(store), { a: 10n, b: 0n })
    t.same(await stores.at(-1)!.reserve(U, 'r', [want('b', 3n, 10n), want('a', 11n, 10n)], LONG), {
      held: false,
      bucket: 'a',
    })
    t.same(await used(store), { a: 10n, b: 0n })
    t.same((await store.purse(U)).holders, ['r'])
    await store.record(U, { gone: ['r'] })
    t.same(await used(store), { a: 0n, b: 0n })
  })

  t.test('a hold that is not renewed frees what it held', async t => {
    const stores = await make(t)
    const [here, there] = [stores[0]!, stores.at(-1)!]
    await here.record(U, { facts: [fact('a', 0n, 1n)] })
    for (const holder of ['idle', 'renewed', 'asking'])
      t.same(await here.reserve(U, holder, [want('a', 2n, 6n)], SHORT), HELD)
    await here.record(U, { holds: [{ holder: 'renewed', amounts: [{ bucket: 'a', amount: 2n }], ttlMs: LONG }] })
    t.same(await here.reserve(U, 'asking', [want('a', 2n, 6n)], LONG), HELD)
    t.same(await there.reserve(U, 'late', [want('a', 2n, 6n)], LONG), { held: false, bucket: 'a' })
    await until(t, 'there is room', async () => (await there.reserve(U, 'late', [want('a', 2n, 6n)], LONG)).held)
    t.same(await here.purse(U), {
      buckets: [{ bucket: 'a', used: 6n, spent: 0n, start: undefined }],
      holders: ['asking', 'late', 'renewed'],
    })
    await here.record(U, { holds: [{ holder: 'short', amounts: [{ bucket: 'a', amount: 5n }], ttlMs: SHORT }] })
    t.same(await used(there), { a: 11n })
    await until(t, 'operators see it go', async () => (await used(there))['a'] === 6n)
  })

  t.test('the largest version is believed, in whatever order facts come', async t => {
    const stores = await make(t)
    const [here, there] = [stores[0]!, stores.at(-1)!]
    // As text 9 is more than 10, and as doubles the last two are equal.
    const versions = [9n, 10n, 99n, 2n ** 53n, 2n ** 53n + 1n]
    for (const version of versions) {
      await here.record(U, { facts: [fact('a', version * 10n, version)] })
      t.same(await used(there), { a: version * 10n })
      for (const older of versions.filter(other => other <= version))
        await there.record(U, { facts: [fact('a', 3n, older)] })
      t.same(await used(here), { a: version * 10n }, 'older or equal ones are ignored')
    }
    await here.record(U, { facts: [fact('b', 5n, 0n), fact('c', 6n, 1n)] })
    await here.record(U, { facts: [fact('b', 7n, 1n), fact('c', 8n, 1n)] })
    t.match(await used(there), { b: 7n, c: 6n }, 'each bucket has versions of its own, from 0')
  })

  t.test('a bucket is unknown until a fact comes, though holds on it count', async t => {
    const [store] = await make(t)
    const wants = [want('known', 1n, 10n), want('free', 2n), want('a', 4n, 10n), want('b', 5n, 10n)]
    await store!.record(U, {
      facts: [fact('known', 100n, 1n)],
      holds: [{ holder: 'early', amounts: [{ bucket: 'a', amount: 7n }], ttlMs: LONG }],
    })
    t.same(await store!.reserve(U, 'r', wants, LONG), { held: false, unknown: ['a', 'b'] })
    t.same(await store!.reserve('user:8', 'r', wants, LONG), { held: false, unknown: ['known', 'a', 'b'] })
    await store!.record(U, { facts: [fact('known', 0n, 2n), fact('a', 0n, 1n), fact('b', 0n, 1n)] })
    t.same(await store!.reserve(U, 'r', wants, LONG), { held: false, bucket: 'a' })
    await store!.record(U, { gone: ['early', 'never'] })
    t.same(await store!.reserve(U, 'r', wants, LONG), HELD)
    t.same(await store!.purse(U), {
      buckets: [
        { bucket: 'a', used: 4n, spent: 0n, start: undefined },
        { bucket: 'b', used: 5n, spent: 0n, start: undefined },
        { bucket: 'free', used: 2n, spent: undefined, start: undefined },
        { bucket: 'known', used: 1n, spent: 0n, start: undefined },
      ],
      holders: ['r'],
    })
  })

  t.test('what is wanted without a limit is written down beyond any', async t => {
    const [store] = await make(t)
    await store!.record(U, { facts: [fact('a', 10n, 1n)] })
    t.same(await store!.reserve(U, 'r', [want('a', 50n)], LONG), HELD)
    t.same(await used(store!), { a: 60n })
    t.same(await store!.reserve(U, 'next', [want('a', 0n, 59n)], LONG), { held: false, bucket: 'a' })
    await store!.record(U, { holds: [{ holder: 'next', amounts: [{ bucket: 'a', amount: 40n }], ttlMs: LONG }] })
    t.same(await used(store!), { a: 100n })
  })

  t.test('a charge moves from its hold to the fact without being missed or counted twice', async t => {
    const stores = await make(t)
    const [here, there] = [stores[0]!, stores.at(-1)!]
    const full = async (used: bigint) => {
      t.same(await there.reserve(U, 'probe', [want('a', 1000n - used + 1n, 1000n)], LONG), { held: false, bucket: 'a' })
      t.same(await there.reserve(U, 'probe', [want('a', 1000n - used, 1000n)], LONG), HELD)
      await there.record(U, { gone: ['probe'] })
    }
    const pending = (amount: bigint) => ({ holder: 'process', amounts: [{ bucket: 'a', amount }], ttlMs: LONG })
    let [postgres, version, held] = [200n, 1n, 0n]
    await here.record(U, { facts: [fact('a', postgres, version)] })
    for (let i = 0n; i < 10n; i++) {
      t.same(await here.reserve(U, 'request', [want('a', 90n, 1000n)], LONG), HELD)
      await full(postgres + held + 90n)
      held += 30n + i
      await here.record(U, { holds: [pending(held)], gone: ['request'] })
      await full(postgres + held)
      if (i % 3n !== 2n) continue
      postgres += held - 30n - i // all but the last are in Postgres
      held = 30n + i
      await here.record(U, { facts: [fact('a', postgres, ++version)], holds: [pending(held)] })
      await full(postgres + held)
    }
    t.equal(postgres + held, 200n + 345n)
  })

  t.test('a window that is over begins anew for who is admitted, and holds go on counting', async t => {
    const stores = await make(t)
    const [here, there] = [stores[0]!, stores.at(-1)!]
    const ask = (store: Store, holder: string, amount: bigint, start: number, oldest: number) =>
      store.reserve(U, holder, [want('day', amount, 100n, { start, oldest })], LONG)
    await here.record(U, {
      facts: [fact('day', 90n, 1n, 1_790_000_000_000)],
      holds: [{ holder: 'long', amounts: [{ bucket: 'day', amount: 5n }], ttlMs: LONG }],
    })
    t.same(await ask(here, 'r', 6n, 1_790_086_400_000, 1_790_000_000_000), { held: false, bucket: 'day' }, 'still runs')
    const over = [1_790_086_400_000, 1_790_000_000_001] as const
    t.same(await ask(there, 'r', 96n, ...over), { held: false, bucket: 'day' })
    matchAll(
      t,
      await there.purse(U),
      { buckets: [{ used: 95n, spent: 90n, start: 1_790_000_000_000 }] },
      'not for a refusal',
    )
    t.same(await ask(there, 'r', 60n, ...over), HELD)
    matchAll(t, await here.purse(U), { buckets: [{ used: 65n, spent: 0n, start: 1_790_086_400_000 }] })
    t.same(await ask(here, 'next', 36n, 1_790_086_499_999, 1_790_000_000_001), { held: false, bucket: 'day' })
    t.same(await ask(here, 'next', 35n, 1_790_086_499_999, 1_790_000_000_001), HELD)
    matchAll(t, await there.purse(U), { buckets: [{ used: 100n, start: 1_790_086_400_000 }] }, 'begun once, not again')
  })

  t.test('a window that has not begun begins with the first who wants it', async t => {
    const [store] = await make(t)
    await store!.record(U, { facts: [fact('day', 40n, 3n)] })
    const wants = [
      want('day', 100n, 100n, { start: 5000, oldest: 4000 }),
      want('new', 1n, undefined, { start: 5000, oldest: 0 }),
    ]
    t.same(await store!.reserve(U, 'r', wants, LONG), HELD)
    matchAll(t, await store!.purse(U), {
      buckets: [
        { used: 100n, spent: 0n, start: 5000 },
        { used: 1n, spent: undefined, start: undefined },
      ],
    })
    t.same(await store!.reserve(U, 'r', [want('day', 1n, 0n)], LONG), { held: false, bucket: 'day' })
    t.same(await store!.reserve('user:8', 'r', wants, LONG), { held: false, unknown: ['day'] }, 'but nobody guesses')
  })

  t.test(
    'what was spent in an old window never takes room of the new one, and the database has the last word',
    async t => {
      const stores = await make(t)
      const [here, there] = [stores[0]!, stores.at(-1)!]
      const ask = (store: Store, holder: string, amount: bigint) =>
        store.reserve(U, holder, [want('month', amount, 100n, { start: 3000, oldest: 2000 })], LONG)
      await here.record(U, { facts: [fact('month', 90n, 1n, 1000)] })
      t.same(await ask(here, 'r', 60n), HELD)
      await here.record(U, { facts: [fact('month', 90n, 1n, 1000)] })
      matchAll(t, await there.purse(U), { buckets: [{ used: 60n, spent: 0n, start: 3000 }] }, 'the old fact is old')
      // A late batch of the old window is booked.
      await here.record(U, { facts: [fact('month', 95n, 2n, 1000)] })
      t.same(await ask(there, 'late', 41n), { held: false, bucket: 'month' })
      t.same(await ask(there, 'late', 40n), HELD)
      // The database began the window at its own time; had the store insisted on its own, the limit would be no limit.
      await there.record(U, { facts: [fact('month', 30n, 3n, 2500)], gone: ['r'] })
      matchAll(t, await here.purse(U), { buckets: [{ used: 70n, spent: 30n, start: 2500 }] })
      t.same(await ask(here, 'r', 31n), { held: false, bucket: 'month' })
      t.same(await ask(here, 'r', 30n), HELD)
      await here.record(U, { facts: [fact('month', 0n, 4n)] })
      matchAll(t, await there.purse(U), { buckets: [{ used: 70n, spent: 0n, start: undefined }] }, 'and may end it')
    },
  )

  t.test('amounts are exact to the last unit, far beyond what a double holds', async t => {
    const [store] = await make(t)
    const odd = 2n ** 53n + 1n
    await store!.record(U, { facts: [fact('a', 0n, 1n), fact('b', -odd, 1n), fact('c', 2n ** 62n, 1n)] })
    t.same(await store!.reserve(U, 'r', [want('a', odd + 1n, odd)], LONG), { held: false, bucket: 'a' })
    t.same(await store!.reserve(U, 'r', [want('a', odd, odd)], LONG), HELD)
    t.same(await store!.reserve(U, 'one', [want('a', 1n, odd)], LONG), { held: false, bucket: 'a' })
    t.same(await store!.reserve(U, 'one', [want('a', 1n, odd + 1n)], LONG), HELD)
    t.same(await store!.reserve(U, 'b', [want('b', odd + 1n, 0n)], LONG), { held: false, bucket: 'b' })
    t.same(await store!.reserve(U, 'b', [want('b', odd, 0n)], LONG), HELD)
    const max = 2n ** 63n - 1n
    t.same(await store!.reserve(U, 'c', [want('c', 2n ** 62n, max)], LONG), { held: false, bucket: 'c' })
    t.same(await store!.reserve(U, 'c', [want('c', 2n ** 62n - 1n, max)], LONG), HELD)
    t.same(await used(store!), { a: odd + 1n, b: 0n, c: max })
    await store!.record(U, { gone: ['r', 'b', 'c'], facts: [fact('a', -odd, 2n)] })
    t.same(await used(store!), { a: -(2n ** 53n), b: -odd, c: 2n ** 62n })
  })

  t.test('an amount beyond 64 bits is refused to its caller and harms nobody', async t => {
    const [store] = await make(t)
    const beyond = 2n ** 63n
    await store!.record(U, { facts: [fact('a', 0n, 1n)] })
    await t.rejects(store!.reserve(U, 'r', [want('a', beyond)], LONG), RangeError)
    await t.rejects(store!.reserve(U, 'r', [want('a', 1n, beyond)], LONG), RangeError)
    await t.rejects(store!.record(U, { facts: [fact('a', -beyond, 2n)] }), RangeError)
    const hold = { holder: 'r', amounts: [{ bucket: 'a', amount: beyond }], ttlMs: LONG }
    await t.rejects(store!.record(U, { holds: [hold] }), RangeError)
    t.same(await store!.purse(U), { buckets: [{ bucket: 'a', used: 0n, spent: 0n, start: undefined }], holders: [] })
    t.equal(store!.trouble(), undefined)
  })

  t.test('names may be anything', async t => {
    const stores = await make(t)
    const odd = ['a b', 'ä=1;"{x}\\', 'used', 'left', '__proto__']
    const purse = 'user:{7} ö'
    await stores[0]!.record(purse, { facts: odd.map(bucket => fact(bucket, 1n, 1n)) })
    for (const holder of odd) {
      const wants = odd.map(bucket => want(bucket, 1n, 6n))
      t.same(await stores[0]!.reserve(purse, holder, wants, LONG), HELD)
    }
    const seen = await stores.at(-1)!.purse(purse)
    t.same(seen.holders, odd.toSorted())
    t.same(
      seen.buckets.map(({ bucket, used }) => [bucket, used]),
      odd.toSorted().map(bucket => [bucket, 6n]),
    )
    await stores.at(-1)!.record(purse, { gone: odd })
    t.same((await stores[0]!.purse(purse)).holders, [])
  })

  t.test('an empty wish and an empty change are fine', async t => {
    const [store] = await make(t)
    t.same(await store!.reserve(U, 'r', [], LONG), HELD)
    await store!.record(U, {})
    await store!.record(U, { facts: [], holds: [{ holder: 's', amounts: [], ttlMs: LONG }], gone: [] })
    t.same(await store!.purse(U), { buckets: [], holders: ['r', 's'] })
    await store!.record(U, { gone: ['r', 's'] })
    t.same(await store!.purse(U), { buckets: [], holders: [] })
  })
}
