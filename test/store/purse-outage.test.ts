// Redis falls silent, dies, comes back empty: no money is lost from sight, none is counted twice.

import t from 'tap'
import type { Store } from '../../src/store/store.ts'
import { matchAll } from '../helpers/match.ts'
import { redisMissing, redisServer, until } from '../helpers/redis.ts'
import { used } from './purse-contract.ts'
import { inTrouble, two, well } from './two.ts'

t.jobs = 4 // each has a server of its own, and they mostly wait
const skip = await redisMissing()
const LONG = 60_000
const P = 'user:7'
const HELD = { held: true }

const spent = (amount: bigint, version: bigint) => ({ bucket: 'a', spent: amount, version })
const hold = (holder: string, amount: bigint) => ({ holder, amounts: [{ bucket: 'a', amount }], ttlMs: LONG })

const reserve = (store: Store, holder: string, amount: bigint, limit = 100n, purse = P) =>
  store.reserve(purse, holder, [{ bucket: 'a', amount, limit }], LONG)

t.test('while Redis is silent each process has its share of what was left', { skip }, async t => {
  const server = await redisServer(t)
  const stores = await two(t, server)
  const [one, other] = stores
  const FULL = { held: false, bucket: 'a' }
  await one.record(P, { facts: [spent(3n, 1n)] })
  t.same(await reserve(one, 'one.1', 30n), HELD)
  t.same(await reserve(other, 'other.1', 20n), HELD)

  let silent = true
  await server.client().client('PAUSE', 4000, 'ALL')
  void server
    .client()
    .ping()
    .then(() => (silent = false))
  // Never run by Redis: the connection on which it waits is hung up.
  const unanswered = other.record(P, { gone: ['other.1'] })
  t.same(await reserve(one, 'one.2', 19n), FULL, 'a share of 97 is 48, and 30 are held')
  t.same(await reserve(one, 'one.2', 18n), HELD, 'to the last unit')
  t.same(await reserve(one, 'one.2', 18n), HELD, 'who asks again does not count twice')
  t.same(await reserve(one, 'one.3', 1n), FULL)
  await unanswered
  await until(t, 'both have noticed', () => inTrouble(stores))
  t.same(await reserve(other, 'other.2', 49n), FULL, 'what the other heard when it reserved is what it knows')
  t.same(await reserve(other, 'other.2', 48n), HELD)
  t.same(await used(one), { a: 51n }, 'operators see what this process knows')
  t.same(await reserve(one, 'new', 1n, 9n, 'user:8'), { held: false, unknown: ['a'] })
  await one.record('user:8', { facts: [spent(1n, 1n)] })
  t.same(await reserve(one, 'new', 5n, 9n, 'user:8'), { held: false, bucket: 'a' })
  t.same(await reserve(one, 'new', 4n, 9n, 'user:8'), HELD)

  // A request ends and its charge is held until it is in Postgres; another is there already.
  await one.record(P, { holds: [hold('one', 25n)], gone: ['one.1'] })
  await one.record(P, { facts: [spent(10n, 2n)], holds: [hold('one', 18n)] })
  await one.record('user:9', { facts: [spent(70n, 2n)] })
  await other.record(P, { holds: [hold('other.2', 28n)] })
  t.same(await used(one), { a: 46n })
  t.ok(silent, 'all this while Redis was silent')

  await until(t, 'both are well again', () => well(stores))
  for (const store of stores) {
    matchAll(t, await store.purse(P), { buckets: [{ used: 74n, spent: 10n }], holders: ['one', 'one.2', 'other.2'] })
    matchAll(t, await store.purse('user:8'), { buckets: [{ used: 4n, spent: undefined }], holders: ['new'] })
  }
  t.same(await reserve(other, 'late', 27n), FULL, 'limits are shared again')
  t.same(await reserve(other, 'late', 26n), HELD)
})

t.test('facts that came while Redis was silent are told to it, if it knew the bucket', { skip }, async t => {
  const server = await redisServer(t)
  const stores = await two(t, server)
  const [one, other] = stores
  for (const purse of ['news', 'later', 'old news']) await one.record(purse, { facts: [spent(5n, 1n)] })
  await other.record('old news', { facts: [spent(9n, 3n)] })
  process.kill(server.pid(), 'SIGSTOP')
  await one.record('news', { facts: [spent(6n, 2n)] })
  await until(t, 'both have noticed', () => inTrouble(stores))
  for (const purse of ['news', 'later', 'old news', 'unheard of'])
    await one.record(purse, { facts: [spent(7n, purse === 'news' ? 3n : 2n)] })
  process.kill(server.pid(), 'SIGCONT')
  await until(t, 'both are well again', () => well(stores))
  for (const purse of ['news', 'later']) t.same(await used(other, purse), { a: 7n })
  t.same(await used(other, 'old news'), { a: 9n })
  t.same(await reserve(other, 'r', 1n, 9n, 'unheard of'), { held: false, unknown: ['a'] }, 'others may know more of it')
})

t.test('a Redis that is stopped in mid-flight leaves no phantom holds', { skip }, async t => {
  const server = await redisServer(t)
  const stores = await two(t, server)
  for (const round of ['short', 'long']) {
    const purse = `late ${round}`
    await stores[0].record(purse, { facts: [spent(0n, 1n)] })
    for (const [i, store] of stores.entries()) t.same(await reserve(store, `before${i}`, 1n, 12n, purse), HELD)
    process.kill(server.pid(), 'SIGSTOP')
    // Run by Redis when it wakes up, long after their callers were told something else.
    const asked = Array.from({ length: 20 }, (_, i) => reserve(stores[i % 2]!, `r${i}`, 1n, 12n, purse))
    const dropped = stores[0].record(purse, { gone: ['before0'] })
    const answers = (await Promise.all(asked)).map(answer => answer.held)
    await dropped
    t.equal(answers.filter(Boolean).length, 11, 'a share each, less what was held')
    // By then the connection on which they wait was given up.
    if (round === 'long')
      for (const store of stores)
        await until(t, 'a new connection is silent too', () => /does not answer/.test(store.trouble() ?? ''))
    const [gone] = answers.flatMap((held, i) => (held && i % 2 === 1 ? [`r${i}`] : []))
    await stores[1].record(purse, { gone: [gone!] })
    process.kill(server.pid(), 'SIGCONT')
    await until(t, 'both are well again', () => well(stores))
    const left = answers.flatMap((held, i) => (held && `r${i}` !== gone ? [`r${i}`] : []))
    for (const store of stores)
      matchAll(t, await store.purse(purse), {
        buckets: [{ used: BigInt(left.length) + 1n, spent: 0n }],
        holders: ['before1', ...left].sort(),
      })
  }
})

t.test('a Redis that is killed and comes back empty hears of every hold', { skip }, async t => {
  const server = await redisServer(t)
  const stores = await two(t, server)
  const [one, other] = stores
  // More than are told at once.
  const purses = Array.from({ length: 450 }, (_, i) => `user:${i}`)
  await Promise.all(purses.map(purse => one.record(purse, { facts: [spent(1n, 1n)] })))
  const answers = await Promise.all(purses.map(purse => reserve(one, 'one.1', 2n, 9n, purse)))
  t.ok(answers.every(answer => answer.held))
  t.same(await reserve(other, 'other.1', 3n, 9n, 'user:0'), HELD)
  await server.kill()
  await until(t, 'both have noticed', () => inTrouble(stores))
  await one.record('user:1', { holds: [hold('one', 5n)], gone: ['one.1'] })
  t.same(await reserve(one, 'one.2', 2n, 9n, 'user:2'), HELD)
  await server.start()
  await until(t, 'both are well again', () => well(stores))

  const all = await Promise.all(purses.map(purse => other.purse(purse)))
  const expected: Record<string, [bigint, string[]]> = {
    'user:0': [5n, ['one.1', 'other.1']],
    'user:1': [5n, ['one']],
    'user:2': [4n, ['one.1', 'one.2']],
  }
  t.same(
    all.map(({ buckets, holders }) => [buckets[0]?.used, holders]),
    purses.map(purse => expected[purse] ?? [2n, ['one.1']]),
  )
  t.same(await reserve(other, 'late', 1n, 9n, 'user:0'), { held: false, unknown: ['a'] }, 'and asks what is spent')
  await other.record('user:0', { facts: [spent(1n, 1n)] })
  t.same(await reserve(other, 'late', 4n, 9n, 'user:0'), { held: false, bucket: 'a' })
  t.same(await reserve(other, 'late', 3n, 9n, 'user:0'), HELD)
})

t.test('a window that began here while Redis was silent is not news to it', { skip }, async t => {
  const server = await redisServer(t)
  const stores = await two(t, server)
  const [one, other] = stores
  const ask = (store: Store, holder: string, amount: bigint, start: number, oldest: number) =>
    store.reserve(P, holder, [{ bucket: 'a', amount, limit: 100n, window: { start, oldest } }], LONG)
  await one.record(P, { facts: [{ ...spent(90n, 1n), start: 1000 }] })
  t.same(await ask(one, 'one.1', 10n, 1500, 900), HELD)
  // The other begins a window, of which the first does not hear.
  t.same(await ask(other, 'other.1', 20n, 2000, 1500), HELD)
  process.kill(server.pid(), 'SIGSTOP')
  t.same(await ask(one, 'one.2', 41n, 2500, 1500), { held: false, bucket: 'a' })
  t.same(await ask(one, 'one.2', 40n, 2500, 1500), HELD, 'a share of all, with 10 held')
  matchAll(t, await one.purse(P), { buckets: [{ used: 50n, spent: 0n, start: 2500 }] })
  await until(t, 'both have noticed', () => inTrouble(stores))
  matchAll(t, await other.purse(P), { buckets: [{ used: 20n, spent: 0n, start: 2000 }] })
  process.kill(server.pid(), 'SIGCONT')
  await until(t, 'both are well again', () => well(stores))
  matchAll(t, await one.purse(P), { buckets: [{ used: 70n, spent: 0n, start: 2000 }] })
  t.same(await ask(one, 'one.3', 1n, 2500, 1500), HELD)
  process.kill(server.pid(), 'SIGSTOP')
  await until(t, 'both have noticed', () => inTrouble(stores))
  matchAll(
    t,
    await one.purse(P),
    { buckets: [{ used: 51n, spent: 0n, start: 2000 }] },
    'and has learned of the right one',
  )
  process.kill(server.pid(), 'SIGCONT')
})

t.test('while Redis is silent each process has its share of a rate', { skip }, async t => {
  const server = await redisServer(t)
  const stores = await two(t, server)
  const take = (store: Store, amount: number) => store.take('k', [{ bucket: 'a', amount, perMinute: 8 }])
  t.equal(await take(stores[0], 8), 0)
  process.kill(server.pid(), 'SIGSTOP')
  for (const store of stores) {
    const answers = [await take(store, 1), await take(store, 1), await take(store, 1), await take(store, 1)]
    t.same(answers, [0, 0, 0, 0])
    t.not(await take(store, 1), 0)
    await store.give('k', 'a', 1, 8)
    t.equal(await take(store, 1), 0)
    t.not(await take(store, 1), 0)
  }
  process.kill(server.pid(), 'SIGCONT')
  await until(t, 'both are well again', () => well(stores))
  t.not(await take(stores[0], 8), 0, 'and Redis goes on where it was')
})
