// Redis falls silent, dies, fills up; processes stop and are killed: nobody is refused an answer, and the counts heal.

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import t, { type Test } from 'tap'
import type { Held, Store } from '../../src/store/store.ts'
import { matchAll } from '../helpers/match.ts'
import { type RedisServer, redisMissing, redisServer, until } from '../helpers/redis.ts'
import type { Order } from './child.ts'
import { inTrouble, two, well } from './two.ts'

t.jobs = 4 // each has a server of its own, and they mostly wait
const skip = await redisMissing()
const LONG = 60_000

/** Takes places until one is refused, at most 50. */
async function fill(store: Store, key: string, limit: number, name: string): Promise<Held[]> {
  const leases: Held[] = []
  for (let i = 0; i < 50; i++) {
    const lease = { key, holder: `${name}${i}` }
    if (!(await store.acquire(key, lease.holder, limit, LONG))) break
    leases.push(lease)
  }
  return leases
}

/** Callers that take, hold for a moment and give back until told to stop; counts what they saw. */
function traffic(stores: Store[], limit: number) {
  const seen = { answered: 0, failed: 0, slow: 0, holding: 0, mostHolding: 0 }
  let stopped = false
  const asked = async <T>(call: Promise<T>): Promise<T | undefined> => {
    // Not by the clock: a timer that was set with the call is as late as everything else on a machine that is slow.
    const second = setTimeout(() => seen.slow++, 1000)
    try {
      return await call
    } catch {
      seen.failed++
      return undefined
    } finally {
      seen.answered++
      clearTimeout(second)
    }
  }
  const caller = async (store: Store, name: string) => {
    for (let i = 0; !stopped; i++) {
      const lease = { key: 'busy', holder: `${name}.${i}` }
      if (await asked(store.acquire(lease.key, lease.holder, limit, LONG))) {
        seen.mostHolding = Math.max(seen.mostHolding, ++seen.holding)
        await new Promise(resolve => setTimeout(resolve, 3))
        await asked(store.renew([lease], LONG))
        seen.holding--
        await asked(store.release([lease]))
      } else await new Promise(resolve => setTimeout(resolve, 2))
      await asked(store.set(`sticky ${name}`, `${i}`, LONG))
      await asked(store.get([`sticky ${name}`, 'none']))
      await asked(store.held(['busy']))
    }
  }
  const callers = stores.flatMap((store, s) => Array.from({ length: 12 }, (_, c) => caller(store, `${s}.${c}`)))
  return {
    seen,
    async stop() {
      stopped = true
      await Promise.all(callers)
      return seen
    },
  }
}

t.test('a Redis that is silent for a while', { skip }, async t => {
  const server = await redisServer(t)
  const stores = await two(t, server)
  const [one, other] = stores
  const kept = await fill(one, 'kept', 4, 'before')
  t.equal(kept.length, 4)
  const busy = traffic(stores, 10)
  await until(t, 'the traffic flows', () => busy.seen.answered > 200)
  t.ok(busy.seen.mostHolding <= 10)

  process.kill(server.pid(), 'SIGSTOP')
  const before = busy.seen.answered
  await until(t, 'both have noticed', () => inTrouble(stores))
  t.equal(one.trouble(), "redis: no answer within 250 ms; limits are this node's share of 2")
  t.equal((await fill(one, 'fresh', 5, 'one')).length, 2, 'a share is rounded down')
  t.equal((await fill(other, 'fresh', 5, 'two')).length, 2)
  t.equal((await fill(one, 'single', 1, 'one')).length, 1, 'but never to nothing')
  t.equal((await fill(one, 'kept', 4, 'late')).length, 0, 'what was taken before counts')
  await one.release(kept.slice(0, 3))
  t.equal((await fill(one, 'kept', 4, 'late')).length, 1)
  t.not((await one.get(['sticky 0.0']))[0], undefined, 'values are read from the copies')
  await until(t, 'many calls are answered', () => busy.seen.answered - before > 2000)
  t.ok(inTrouble(stores), 'all this while Redis was silent')

  process.kill(server.pid(), 'SIGCONT')
  await until(t, 'both are well again', () => well(stores))
  const seen = await busy.stop()
  t.equal(seen.failed, 0)
  t.equal(seen.slow, 0, 'no call took a second')
  t.ok(seen.mostHolding <= 15, `${seen.mostHolding} at once under a limit of 10: at most a share more`)
  for (const store of stores) t.same(await store.held(['busy', 'fresh', 'single', 'kept']), [0, 4, 1, 2])
  t.equal((await fill(other, 'fresh', 5, 'late')).length, 1, 'limits are shared again')
})

t.test('a Redis that is stopped in mid-flight leaves no phantoms', { skip }, async t => {
  const server = await redisServer(t)
  const stores = await two(t, server)
  const heard: string[] = []
  stores[1].onFreed(key => heard.push(key))
  for (const round of ['short', 'long']) {
    process.kill(server.pid(), 'SIGSTOP')
    // Asked of a server that runs them when it wakes up, long after their callers were told something else.
    const key = `late ${round}`
    const asked = Array.from({ length: 20 }, (_, i) => stores[i % 2]!.acquire(key, `r${i}`, 10, LONG))
    const answers = await Promise.all(asked)
    t.equal(answers.filter(Boolean).length, 10, 'a share each')
    // By then the connection on which they wait was given up.
    if (round === 'long')
      for (const store of stores)
        await until(t, 'a new connection is silent too', () => /does not answer/.test(store.trouble() ?? ''))
    await stores[0].release([{ key, holder: 'r0' }])
    process.kill(server.pid(), 'SIGCONT')
    await until(t, 'both are well again', () => well(stores))
    for (const store of stores) await until(t, 'the count is right', async () => (await store.held([key]))[0] === 9)
    const holders = (await stores[0].holders([key])).map(lease => lease.holder).sort()
    t.same(holders, answers.flatMap((held, i) => (held && i > 0 ? [`r${i}`] : [])).sort())
  }
  stores[1].want(['k'])
  await stores[1].held(['k'])
  await stores[0].acquire('k', 'h', 1, LONG)
  await stores[0].release([{ key: 'k', holder: 'h' }])
  await until(t, 'messages arrive again', () => heard.includes('k'))
})

t.test('a Redis that is killed and comes back empty', { skip }, async t => {
  const server = await redisServer(t)
  const stores = await two(t, server)
  const [one, other] = stores
  const held = [...(await fill(one, 'a', 3, 'one')), ...(await fill(other, 'b', 2, 'two'))]
  const busy = traffic(stores, 10)
  await until(t, 'the traffic flows', () => busy.seen.answered > 200)
  await server.kill()
  await until(t, 'both have noticed', () => inTrouble(stores))
  await until(t, 'the reason is known', () => /ECONNREFUSED|ENOENT/.test(one.trouble()!))
  t.same(await one.renew([held[0]!, { key: 'a', holder: 'nobody' }], LONG), [{ key: 'a', holder: 'nobody' }])
  await one.release([held[1]!])
  const before = busy.seen.answered
  await until(t, 'calls are answered', () => busy.seen.answered - before > 1000)
  t.ok(inTrouble(stores), 'without Redis')

  await server.start()
  await until(t, 'both are well again', () => well(stores))
  const seen = await busy.stop()
  t.equal(seen.failed, 0)
  t.equal(seen.slow, 0, 'no call took a second')
  for (const store of stores) t.same(await store.held(['a', 'b', 'busy']), [2, 2, 0])
  t.equal((await fill(other, 'a', 3, 'late')).length, 1)
  t.same(await other.renew([held[3]!], LONG), [], 'a lease that was put back is an ordinary one')
})

t.test('a Redis that is not there yet when the store opens', { skip }, async t => {
  const server = await redisServer(t)
  await server.kill()
  const stores = await two(t, server, { processes: 2 })
  t.match(stores[0].trouble(), /^redis: connect (ECONNREFUSED|ENOENT) .*; limits are this node's share of 2$/)
  t.equal((await fill(stores[0], 'k', 10, 'one')).length, 5)
  await server.start()
  await until(t, 'both are well', () => well(stores))
  await until(t, 'the other sees it', async () => (await stores[1].held(['k']))[0] === 5)
  const heard: string[] = []
  stores[1].onFreed(key => heard.push(key))
  await until(t, 'messages arrive', async () => {
    stores[1].want(['m'])
    await stores[1].held(['m'])
    await stores[0].acquire('m', 'h', 0, LONG)
    await stores[0].release([{ key: 'm', holder: 'h' }])
    return heard.includes('m')
  })
})

t.test('a Redis that is full', { skip }, async t => {
  const server = await redisServer(t)
  const stores = await two(t, server)
  const admin = server.client()
  await admin.config('SET', 'maxmemory', '1')
  await stores[0].set('v', 'x', LONG)
  t.match(stores[0].trouble(), /^redis: OOM .*; limits are this node's share of 2$/)
  t.same(await stores[0].get(['v']), ['x'])
  t.equal((await fill(stores[0], 'k', 4, 'one')).length, 2)
  await until(t, 'the other has noticed', () => inTrouble(stores))
  await admin.config('SET', 'maxmemory', '0')
  await until(t, 'both are well', () => well(stores))
  t.same(await stores[1].held(['k']), [2])
})

async function child(t: Test, server: RedisServer, name: string) {
  const process: ChildProcess = fork(path.join(import.meta.dirname, 'child.ts'), [server.url, name], { execArgv: [] })
  t.teardown(() => process.kill('SIGKILL'))
  await once(process, 'message')
  return {
    process,
    async order(order: Order): Promise<number> {
      const answer = once(process, 'message')
      process.send(order)
      return (await answer)[0]
    },
  }
}

t.test('a process that is killed loses its places within their time', { skip }, async t => {
  const server = await redisServer(t)
  const [store] = await two(t, server)
  const doomed = await child(t, server, 'doomed')
  t.equal(await doomed.order({ do: 'take', key: 'k', places: 200, ttlMs: 1500 }), 200)
  t.same(await store.held(['k']), [200])
  t.notOk(await store.acquire('k', 'x', 200, LONG))
  doomed.process.kill('SIGKILL')
  await once(doomed.process, 'exit')
  await until(t, 'all places are free', async () => (await store.held(['k']))[0] === 0)
  const taken = await Promise.all(Array.from({ length: 201 }, (_, i) => store.acquire('k', `r${i}`, 200, LONG)))
  t.equal(taken.filter(Boolean).length, 200)
})

t.test('a process that was stopped for too long is told what it lost', { skip }, async t => {
  const server = await redisServer(t)
  const [store] = await two(t, server)
  const sleeper = await child(t, server, 'sleeper')
  t.equal(await sleeper.order({ do: 'take', key: 'k', places: 3, ttlMs: 1000 }), 3)
  t.equal(await sleeper.order({ do: 'renew', key: 'k', places: 3, ttlMs: 1000 }), 0)
  sleeper.process.kill('SIGSTOP')
  await until(t, 'its places are free', async () => (await store.held(['k']))[0] === 0)
  t.ok(await store.acquire('k', 'quick', 1, LONG))
  sleeper.process.kill('SIGCONT')
  t.equal(await sleeper.order({ do: 'renew', key: 'k', places: 3, ttlMs: 1000 }), 3)
  matchAll(t, await store.holders(['k']), [{ holder: 'quick' }])
})

t.test('a Redis that loses its memory: what is held is put back before anybody new is let in', { skip }, async t => {
  const server = await redisServer(t)
  const stores = await two(t, server)
  const [one, other] = stores
  const admin = server.client()
  const held = [await fill(one, 'a', 3, 'one'), await fill(other, 'b', 2, 'two')]
  const both = [...(await fill(one, 'c', 2, 'one')), ...(await fill(other, 'c', 4, 'two'))]
  t.same(
    [...held, both].map(leases => leases.length),
    [3, 2, 4],
  )
  t.equal(await one.take('k', [{ bucket: 'a', amount: 8, perMinute: 8 }]), 0)
  await other.set('sticky', 'x', LONG)
  const busy = traffic(stores, 10)
  await until(t, 'the traffic flows', () => busy.seen.answered > 200)

  for (let round = 0; round < 5; round++) {
    await admin.flushall()
    // Whoever asks first: of what the other process holds as well.
    t.notOk(await one.acquire('b', 'late', 2, LONG))
    t.notOk(await other.acquire('c', 'late', 4, LONG))
    const before = busy.seen.answered
    await until(t, 'the traffic flows again', () => busy.seen.answered - before > 100)
  }
  for (const store of stores) t.same(await store.held(['a', 'b', 'c']), [3, 2, 4])
  t.same(await one.renew(held[0]!, LONG), [])
  t.same(await other.renew(held[1]!, LONG), [])
  t.not(await other.take('k', [{ bucket: 'a', amount: 8, perMinute: 8 }]), 0, 'a rate goes on where it was')
  t.same(await other.get(['sticky', 'none']), ['x', undefined])
  await until(t, 'it is put back for all', async () => (await one.get(['sticky']))[0] === 'x')
  const seen = await busy.stop()
  t.equal(seen.failed, 0)
  t.ok(seen.mostHolding <= 10, `${seen.mostHolding} at once under a limit of 10`)
  t.notOk(inTrouble(stores))
  for (const store of stores) t.same(await store.held(['busy']), [0])
})

/** Waits until the first has looked again who is there. */
async function looked(t: Test, store: Store): Promise<void> {
  const left = async () => (await store.holders(['processes'])).find(({ holder }) => holder === 'one')!.leftMs
  let before = 0
  await until(t, 'the first has looked since', async () => {
    const last = before
    before = await left()
    return last > 0 && before > last
  })
}

t.test('a Redis that loses its memory: who is waited for, and for how long', { skip }, async t => {
  const server = await redisServer(t)
  const [store] = await two(t, server)
  const admin = server.client()
  const sleeper = await child(t, server, 'sleeper')
  t.equal(await sleeper.order({ do: 'take', key: 'k', places: 3, ttlMs: LONG }), 3)
  await until(t, 'it is known', async () => (await store.holders(['processes'])).length === 3)
  await looked(t, store)

  sleeper.process.kill('SIGSTOP')
  await admin.flushall()
  let answer: boolean | undefined
  const asked = store.acquire('k', 'new', 3, LONG).then(taken => (answer = taken))
  t.ok(await store.acquire('free', 'new', 0, LONG), 'who needs no limit does not wait')
  await until(t, 'nobody is let in yet', async () => (await admin.exists('gw:coming-back:{processes}')) === 1)
  t.equal(answer, undefined)
  sleeper.process.kill('SIGCONT')
  t.equal(await asked, false, 'it came back, and its places with it')

  sleeper.process.kill('SIGSTOP')
  await admin.flushall()
  t.equal(await store.acquire('k', 'new', 3, LONG), true, 'who does not come back is not waited for any longer')
  sleeper.process.kill('SIGCONT')
  t.equal(await sleeper.order({ do: 'renew', key: 'k', places: 3, ttlMs: LONG }), 0, 'but loses nothing')
  await until(t, 'all are known again', async () => (await store.held(['k']))[0] === 4)

  await until(t, 'it is known', async () => (await store.holders(['processes'])).length === 3)
  await looked(t, store)
  sleeper.process.kill('SIGSTOP')
  await admin.del('gw:lease:{k}')
  const late = store.acquire('k', 'late', 4, LONG)
  await until(t, 'it is waited for', async () => (await admin.sismember('gw:coming-back:{processes}', 'sleeper')) === 1)
  sleeper.process.kill('SIGCONT')
  t.equal(await late, false, 'where one key was evicted, too')
})

t.test('a Redis that comes back as it was a while ago has lost its memory, too', { skip }, async t => {
  const server = await redisServer(t)
  const [store] = await two(t, server)
  const sleeper = await child(t, server, 'sleeper')
  await until(t, 'it is known', async () => (await store.holders(['processes'])).length === 3)
  await looked(t, store)
  const spent = (amount: bigint, version: bigint) => ({ facts: [{ bucket: 'b', spent: amount, version }] })
  await store.record('p', {
    ...spent(0n, 1n),
    holds: [{ holder: 'h', amounts: [{ bucket: 'b', amount: 9n }], ttlMs: LONG }],
  })
  await server.client().save()
  t.equal(await sleeper.order({ do: 'take', key: 'k', places: 3, ttlMs: LONG }), 3)
  await store.record('p', { ...spent(9n, 2n), gone: ['h'] })

  sleeper.process.kill('SIGSTOP')
  await server.kill()
  await until(t, 'it is noticed', () => inTrouble([store]))
  await server.start()
  const admin = server.client()
  await until(t, 'the other is waited for', async () => (await admin.exists('gw:coming-back:{processes}')) === 1)
  sleeper.process.kill('SIGCONT')
  await until(t, 'all is well', () => well([store]))
  t.notOk(await store.acquire('k', 'new', 3, LONG), 'what was taken since is put back before anybody new is let in')
  const wants = [{ bucket: 'b', amount: 1n, limit: 9n }]
  t.strictSame(
    await store.reserve('p', 'new', wants, LONG),
    { held: false, unknown: ['b'] },
    'and no old purse believed',
  )
})

t.test('a place that Redis alone forgot is put back; one that was taken away is not', { skip }, async t => {
  const server = await redisServer(t)
  const [one, other] = await two(t, server)
  const admin = server.client()
  const evict = (key: string) => admin.del(`gw:lease:{${key}}`)
  const held = await fill(one, 'k', 3, 'one')
  await fill(other, 'both', 2, 'two')
  await fill(one, 'both', 3, 'one')
  await evict('both')
  t.notOk(await one.acquire('both', 'late', 3, LONG), 'of a key that was evicted what the other has is missing, too')
  await until(t, 'all are back', async () => (await other.held(['both']))[0] === 3)
  await evict('k')
  t.notOk(await one.acquire('k', 'late', 3, LONG), 'this process knows what it holds')
  await until(t, 'all are back', async () => (await other.held(['k']))[0] === 3)
  await evict('k')
  t.ok(await other.acquire('k', 'lucky', 3, LONG), 'the other does not')
  t.same(await one.renew([...held, { key: 'k', holder: 'nobody' }], LONG), [{ key: 'k', holder: 'nobody' }])
  t.same(await other.held(['k']), [4], 'nobody is cut')

  await other.release([held[0]!])
  t.same(await one.renew(held, LONG), [held[0]])
  t.same(await other.held(['k']), [3])
})

t.test('a Redis that forgets when it is full is named', { skip }, async t => {
  const server = await redisServer(t, { args: ['--maxmemory-policy', 'allkeys-lru', '--maxmemory', '100mb'] })
  const [store] = await two(t, server)
  await until(t, 'it is named', () => store.warning() !== undefined)
  t.match(store.warning(), /^redis: its maxmemory-policy is allkeys-lru, .* noeviction$/)
  t.equal(store.trouble(), undefined, 'all works')
})
