// The contract, on every store there is; and what only Redis can get wrong.

import path from 'node:path'
import t, { type Test } from 'tap'
import { MemoryStore } from '../../src/store/memory.ts'
import { createStore } from '../../src/store/open.ts'
import type { Store } from '../../src/store/store.ts'
import { matchAll } from '../helpers/match.ts'
import { freePort, redisCluster, redisMissing, redisServer, until } from '../helpers/redis.ts'
import { storeContract } from './contract.ts'
import { purseContract } from './purse-contract.ts'
import { rateContract } from './rate-contract.ts'

const skip = await redisMissing()
let made = 0

function everyContract(t: Test, make: (t: Test) => Promise<Store[]>): void {
  for (const contract of [storeContract, purseContract, rateContract]) contract(t, make)
}

/** Two stores on one Redis, as two processes would have them, apart from those of other tests. */
async function pair(t: Test, redisUrl: string): Promise<[Store, Store]> {
  const prefix = `t${++made}:`
  const open = (name: string) => createStore({ redisUrl, prefix, processId: name, log: (_, line) => t.comment(line) })
  const stores = await Promise.all([open('one'), open('two')])
  t.teardown(() => Promise.all(stores.map(store => store.close())))
  return stores as [Store, Store]
}

t.test('memory', async t => {
  everyContract(t, async t => {
    const store = await createStore({ processId: 'one', log() {} })
    t.teardown(() => store.close())
    return [store]
  })

  t.test('has done its work before it returns', async t => {
    const store = new MemoryStore()
    const freed: string[] = []
    store.onFreed(key => freed.push(key))
    void store.acquire('k', 'a', 1, 1000)
    const refused = store.acquire('k', 'b', 1, 1000)
    void store.release([{ key: 'k', holder: 'a' }])
    t.same(freed, ['k'])
    const taken = store.acquire('k', 'c', 1, 1000)
    t.same(await Promise.all([refused, taken]), [false, true])
    await store.close()
  })

  t.test('tells of expired leases too, once, and of those first that waited', async t => {
    let now = 0
    const store = new MemoryStore(() => now)
    const freed: string[] = []
    const waiting: Promise<boolean>[] = []
    store.onFreed(key => {
      freed.push(key)
      if (waiting.length === 0) waiting.push(store.acquire(key, 'waiter', 1, 50))
    })
    await store.acquire('k', 'a', 1, 50)
    now = 51
    t.notOk(await store.acquire('k', 'late', 1, 50), 'who asks is not served before who waits')
    t.same(await Promise.all(waiting), [true])
    now = 102
    await until(t, 'the timer tells of the second', () => freed.length === 2)
    t.same(await store.held(['k']), [0])
    await store.close()
  })

  t.test('forgets values that nobody asks for again', async t => {
    let now = 0
    const store = new MemoryStore(() => now)
    for (let i = 0; i < 1000; i++) await store.set(`old${i}`, 'x', 10)
    now = 11
    for (let i = 0; i < 600; i++) await store.set('new', 'x', 10)
    now = 0 // what was swept away does not come back when the clock is turned back
    t.ok((await store.get(Array.from({ length: 1000 }, (_, i) => `old${i}`))).every(value => value === undefined))
    await store.close()
  })
})

t.test('memory, by the clock', async t => {
  const hour = 3_600_000
  const spent = (amount: bigint) => ({ facts: [{ bucket: 'a', spent: amount, version: 1n }] })
  const one = [{ bucket: 'a', amount: 1n, limit: 1n }]

  t.test('a hold ends on time, and not before', async t => {
    let now = 0
    const store = new MemoryStore(() => now)
    await store.record('p', spent(0n))
    t.same(await store.reserve('p', 'first', one, 100), { held: true })
    now = 99
    t.same(await store.reserve('p', 'second', one, 100), { held: false, bucket: 'a' })
    now = 100
    t.same(await store.reserve('p', 'second', one, 100), { held: true })
    t.same((await store.purse('p')).holders, ['second'])
    const amounts = [{ bucket: 'a', amount: 1n }]
    await store.record('p', { holds: [{ holder: 'third', amounts, ttlMs: 200 }] })
    now = 200
    t.same((await store.purse('p')).holders, ['third'])
    now = 300
    t.same(await store.purse('p'), {
      buckets: [{ bucket: 'a', used: 0n, spent: 0n, start: undefined }],
      holders: [],
    })
    await store.close()
  })

  t.test('has reserved before it returns', async t => {
    const store = new MemoryStore()
    void store.record('p', spent(0n))
    const asked = [store.reserve('p', 'a', one, 1000), store.reserve('p', 'b', one, 1000)]
    void store.record('p', { gone: ['a'] })
    asked.push(store.reserve('p', 'c', one, 1000))
    t.same(
      (await Promise.all(asked)).map(answer => answer.held),
      [true, false, true],
    )
    await store.close()
  })

  t.test('a purse is forgotten 25 h after it was touched, unless something is held of it', async t => {
    let now = 0
    const store = new MemoryStore(() => now)
    await store.record('idle', spent(0n))
    await store.record('held', {
      ...spent(0n),
      holds: [{ holder: 'h', amounts: [{ bucket: 'a', amount: 1n }], ttlMs: 50 * hour }],
    })
    now = 24 * hour
    for (let i = 0; i < 10; i++) await store.record('other', spent(0n))
    now = 25 * hour // 1 h after the others; nobody touched these
    for (let i = 0; i < 10; i++) await store.record('other', spent(0n))
    t.same(await store.reserve('held', 'x', one, 1000), { held: false, bucket: 'a' })
    t.same(await store.reserve('idle', 'x', one, 1000), { held: false, unknown: ['a'] })
    await store.close()
  })

  t.test('a rate fills evenly, and is worth asking for when it said so', async t => {
    let now = 0
    const store = new MemoryStore(() => now)
    const take = (amount: number) => store.take('k', [{ bucket: 'a', amount, perMinute: 60_000 }]) // one each ms
    t.equal(await take(60_000), 0)
    t.equal(await take(10_000), 10_000)
    now = 4000
    t.equal(await take(10_000), 6000)
    t.equal(await take(4000), 0)
    now = 9999
    t.equal(await take(6000), 1)
    now = 10_000
    t.equal(await take(6000), 0)
    now = 100_000
    t.equal(await take(61_000), 0, 'full is full')
    t.equal(await take(1), 1)
    await store.give('k', 'a', -30_000, 60_000)
    t.equal(await take(1), 30_001)
    await store.close()
  })
})

t.test('redis', { skip }, async t => {
  const server = await redisServer(t)
  everyContract(t, t => pair(t, server.url))

  t.test('leaves nothing behind', async t => {
    const [one, two] = await pair(t, server.url)
    const redis = server.client()
    const keys = async () => (await redis.keys(`t${made}:*`)).filter(key => !key.includes('processes')).sort()
    await one.acquire('given back', 'a', 1, 60_000)
    await one.acquire('expired', 'a', 1, 300)
    await one.acquire('expired', 'b', 2, 200)
    await two.acquire('long and short', 'a', 2, 60_000)
    await two.acquire('long and short', 'b', 2, 100)
    await two.renew([{ key: 'long and short', holder: 'b' }], 200)
    await two.set('value', 'x', 300)
    t.equal((await keys()).length, 4)
    for (const key of await redis.keys(`t${made}:*`)) t.ok((await redis.pttl(key)) > 0, `${key} ends by itself`)
    await one.release([{ key: 'given back', holder: 'a' }])
    await until(t, 'only the long one is left', async () => (await keys()).length === 1)
    t.same(await two.held(['long and short']), [1], 'a short lease does not end a longer one')
    await two.release([{ key: 'long and short', holder: 'a' }])
    t.same(await keys(), [])
    await one.close()
    await two.close()
    const left = await redis.keys(`t${made}:*`)
    t.same(left, [`t${made}:wanted:{processes}`], 'nor does a process that ends leave its name')
    t.ok((await redis.pttl(left[0]!)) <= 10_000, 'and what it wanted to hear is soon forgotten')
  })

  t.test('purses and rates end by themselves, but not before what they hold', async t => {
    const [one, two] = await pair(t, server.url)
    const redis = server.client()
    const hour = 3_600_000
    const left = async (kind: string, key: string) => (await redis.pttl(`t${made}:${kind}:{${key}}`)) / hour
    const hold = (holder: string, ttlMs: number) => ({ holder, amounts: [{ bucket: 'a', amount: 1n }], ttlMs })
    await one.record('p', { facts: [{ bucket: 'a', spent: 0n, version: 1n }] })
    await two.reserve('p', 'h', [{ bucket: 'a', amount: 1n, limit: 9n }], 1000)
    for (const kind of ['purse', 'purse-ends']) {
      t.ok((await left(kind, 'p')) > 24.9 && (await left(kind, 'p')) <= 25)
      await redis.pexpire(`t${made}:${kind}:{p}`, hour)
    }
    await one.record('p', { gone: ['nobody'] })
    for (const kind of ['purse', 'purse-ends']) t.ok((await left(kind, 'p')) > 24.9, 'whoever touches it')
    await one.record('p', { holds: [hold('long', 50 * hour)] })
    await one.record('p', { holds: [hold('short', 1000)] })
    for (const kind of ['purse', 'purse-ends']) t.ok((await left(kind, 'p')) > 49.9)

    await one.take('k', [{ bucket: 'a', amount: 30, perMinute: 60 }])
    await two.take('k', [{ bucket: 'b', amount: 1, perMinute: 60 }])
    const seconds = (await left('rate', 'k')) * 3600
    t.ok(seconds > 10 && seconds <= 31, `${seconds} s until it is full again`)
    for (const key of await redis.keys(`t${made}:*`)) t.ok((await redis.pttl(key)) > 0, `${key} ends by itself`)
  })

  t.test('many holders of one purse are told and dropped at once', async t => {
    const [one, two] = await pair(t, server.url)
    const names = Array.from({ length: 1300 }, (_, i) => `r${i}`)
    const holds = names.map(holder => ({ holder, amounts: [{ bucket: 'a', amount: 3n }], ttlMs: 60_000 }))
    const facts = [{ bucket: 'a', spent: 100n, version: 1n }]
    await one.record('p', { facts, holds })
    matchAll(t, await two.purse('p'), {
      buckets: [{ bucket: 'a', used: 4000n, spent: 100n }],
      holders: names.toSorted(),
    })
    await two.record('p', { gone: names.slice(1) })
    matchAll(t, await one.purse('p'), { buckets: [{ used: 103n }], holders: ['r0'] })
    t.equal(await server.client().zcard(`t${made}:purse-ends:{p}`), 1)
    t.equal(one.trouble() ?? two.trouble(), undefined)
  })

  t.test('a process that closes gives back what it holds', async t => {
    const [one, two] = await pair(t, server.url)
    for (let i = 0; i < 3; i++) t.ok(await one.acquire('k', `r${i}`, 3, 60_000))
    t.notOk(await two.acquire('k', 'x', 3, 60_000))
    await one.close()
    t.same(await two.held(['k']), [0])
  })

  t.test("an operator can give back another process's lease, and both hear of it", async t => {
    const [one, two] = await pair(t, server.url)
    const heard: string[] = []
    one.onFreed(key => heard.push(`one ${key}`))
    two.onFreed(key => heard.push(`two ${key}`))
    await one.acquire('k', 'stuck', 1, 60_000)
    t.notOk(await one.acquire('k', 'waits', 1, 60_000))
    await two.release([{ key: 'k', holder: 'stuck' }])
    await until(t, 'both have heard', () => heard.length === 2)
    t.same(heard.sort(), ['one k', 'two k'])
    t.same(await one.renew([{ key: 'k', holder: 'stuck' }], 60_000), [{ key: 'k', holder: 'stuck' }])
  })

  t.test('what nobody waits for is given back without a word to the others', async t => {
    const [one, two] = await pair(t, server.url)
    const heard: string[] = []
    two.onFreed(key => heard.push(key))
    two.want(['c'])
    for (const key of ['a', 'b', 'c']) {
      await one.acquire(key, 'h', 1, 60_000)
      await one.release([{ key, holder: 'h' }])
    }
    await until(t, 'the last is heard', () => heard.length > 0)
    t.same(heard, ['c'])
    const marks = await server.client().keys(`t${made}:wanted:{c}`)
    t.equal(marks.length, 1)
    t.ok((await server.client().pttl(marks[0]!)) <= 10_000, 'and the wish ends by itself')
  })

  t.test('does not mind that its scripts are forgotten', async t => {
    const [one, two] = await pair(t, server.url)
    await one.acquire('k', 'a', 1, 60_000)
    await server.client().script('FLUSH')
    const leases = [{ key: 'k', holder: 'a' }]
    t.same(await one.renew(leases, 60_000), [])
    t.same(await two.held(['k']), [1])
    matchAll(t, await two.holders(['k']), [{ holder: 'a' }])
    await server.client().script('FLUSH')
    t.notOk(await two.acquire('k', 'b', 1, 60_000))
    await one.release(leases)
    t.ok(await two.acquire('k', 'b', 1, 60_000))
    await server.client().script('FLUSH')
    const wants = [{ bucket: 'a', amount: 1n, limit: 1n }]
    t.same(await one.reserve('p', 'h', wants, 60_000), { held: false, unknown: ['a'] })
    t.equal(await two.take('k', [{ bucket: 'a', amount: 1, perMinute: 1 }]), 0)
    t.equal(one.trouble() ?? two.trouble(), undefined)
  })

  t.test('a process that was busy itself does not blame Redis', async t => {
    const [store] = await pair(t, server.url)
    const asked = [1, 2, 3].map(i => store.acquire('k', `r${i}`, 2, 60_000))
    await new Promise(resolve => setImmediate(resolve)) // sent, but not answered yet
    for (const end = performance.now() + 600; performance.now() < end; );
    t.same(await Promise.all(asked), [true, true, false])
    t.equal(store.trouble(), undefined)
  })

  t.test('many leases on one key are renewed and released at once', async t => {
    const [one, two] = await pair(t, server.url)
    const leases = Array.from({ length: 1300 }, (_, i) => ({ key: 'k', holder: `r${i}` }))
    t.ok((await Promise.all(leases.map(({ key, holder }) => one.acquire(key, holder, 0, 60_000)))).every(Boolean))
    t.same(await one.renew(leases, 60_000), [])
    t.same(await two.held(['k']), [1300])
    t.equal((await two.holders(['k'])).length, 1300)
    await one.release(leases)
    t.same(await two.held(['k']), [0])
  })
})

t.test('a URL says which server, which database and who asks', { skip }, async t => {
  const password = 'p@ss/word'
  const tcp = await redisServer(t, { port: await freePort(), password })
  const unix = await redisServer(t, { password })
  for (const [server, url] of [
    [tcp, `${tcp.url}/3`],
    [unix, `${unix.url}?db=3`],
  ] as const) {
    const [store] = await pair(t, url)
    t.equal(store.trouble(), undefined)
    await store.set('k', 'v', 60_000)
    const redis = server.client()
    t.equal(await redis.exists(`t${made}:value:{k}`), 0)
    await redis.select(3)
    t.equal(await redis.get(`t${made}:value:{k}`), 'v')
  }
  const wrong = unix.url.replace('p%40ss', 'secret')
  const stranger = await createStore({ redisUrl: wrong, processId: 'x', log() {} })
  t.match(stranger.trouble(), /WRONGPASS/)
  t.notMatch(stranger.trouble(), /secret/, 'and does not say which')
  await stranger.close()
  await t.rejects(createStore({ redisUrl: 'nonsense', processId: 'x', log() {} }), TypeError)
})

t.test('a private authority signs for Redis where redis.ca_file names it', { skip }, async t => {
  const fixture = (name: string) => path.join(import.meta.dirname, '../fixtures', name)
  const [cert, key] = [fixture('localhost.cert.pem'), fixture('localhost.key.pem')]
  const port = await freePort()
  const tls = ['--tls-port', `${port}`, '--tls-cert-file', cert, '--tls-key-file', key, '--tls-auth-clients', 'no']
  await redisServer(t, { args: tls })
  const troubleAt = async (host: string, redisCa?: string) => {
    const store = await createStore({ redisUrl: `rediss://${host}:${port}`, redisCa, processId: 'one', log() {} })
    const trouble = store.trouble()
    await store.close()
    return trouble
  }
  t.equal(await troubleAt('localhost', cert), undefined)
  t.match(await troubleAt('localhost'), /self-signed certificate/, 'without it nobody is believed')
  t.match(await troubleAt('127.0.0.1', cert), /127\.0\.0\.1 is not in the cert/, 'it is for one host')
  await t.rejects(troubleAt('localhost', key), /redis\.ca_file \S+localhost\.key\.pem holds no certificate/)
  await t.rejects(troubleAt('localhost', '/nowhere.pem'), /redis\.ca_file \/nowhere\.pem is not there/)
})

t.test('redis cluster', { skip }, async t => {
  const { url, servers } = await redisCluster(t)
  everyContract(t, t => pair(t, url))

  t.test('keys are spread over its servers', async t => {
    const [one, two] = await pair(t, url)
    const leases = Array.from({ length: 60 }, (_, i) => ({ key: `k${i}`, holder: 'h' }))
    for (const { key, holder } of leases) t.ok(await one.acquire(key, holder, 1, 60_000))
    t.same(
      await two.held(leases.map(lease => lease.key)),
      leases.map(() => 1),
    )
    for (const server of servers) t.ok((await server.client().dbsize()) > 5)
    await one.release(leases)
    t.same(
      await two.held(leases.map(lease => lease.key)),
      leases.map(() => 0),
    )
  })
})
