// The contract, on every store there is; and what only Redis can get wrong.
import t, { type Test } from 'tap'
import { MemoryStore } from '../../src/store/memory.ts'
import { createStore } from '../../src/store/open.ts'
import type { Store } from '../../src/store/store.ts'
import { freePort, redisCluster, redisMissing, redisServer, until } from '../helpers/redis.ts'
import { storeContract } from './contract.ts'

const skip = await redisMissing()
let made = 0

/** Two stores on one Redis, as two processes would have them, apart from those of other tests. */
async function pair(t: Test, redisUrl: string): Promise<[Store, Store]> {
  const prefix = `t${++made}:`
  const open = (name: string) => createStore({ redisUrl, prefix, processId: name, log: (_, line) => t.comment(line) })
  const stores = await Promise.all([open('one'), open('two')])
  t.teardown(() => Promise.all(stores.map(store => store.close())))
  return stores as [Store, Store]
}

t.test('memory', async t => {
  storeContract(t, async t => {
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

t.test('redis', { skip }, async t => {
  const server = await redisServer(t)
  storeContract(t, t => pair(t, server.url))

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
    t.same(await redis.keys(`t${made}:*`), [], 'nor does a process that ends leave its name')
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
    await two.release([{ key: 'k', holder: 'stuck' }])
    await until(t, 'both have heard', () => heard.length === 2)
    t.same(heard.sort(), ['one k', 'two k'])
    t.same(await one.renew([{ key: 'k', holder: 'stuck' }], 60_000), [{ key: 'k', holder: 'stuck' }])
  })

  t.test('does not mind that its scripts are forgotten', async t => {
    const [one, two] = await pair(t, server.url)
    await one.acquire('k', 'a', 1, 60_000)
    await server.client().script('FLUSH')
    const leases = [{ key: 'k', holder: 'a' }]
    t.same(await one.renew(leases, 60_000), [])
    t.same(await two.held(['k']), [1])
    t.match(await two.holders(['k']), [{ holder: 'a' }])
    await server.client().script('FLUSH')
    t.notOk(await two.acquire('k', 'b', 1, 60_000))
    await one.release(leases)
    t.ok(await two.acquire('k', 'b', 1, 60_000))
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

t.test('redis cluster', { skip }, async t => {
  const { url, servers } = await redisCluster(t)
  storeContract(t, t => pair(t, url))

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
