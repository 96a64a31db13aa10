// What a process knows of money may be old: it admits by what Postgres says now.

import { sql } from 'kysely'
import t from 'tap'
import { loadFacts } from '../../src/core/books/facts.ts'
import { balanceBucket } from '../../src/core/books/purse.ts'
import { addUser } from '../../src/core/record/user.ts'
import { Wallet } from '../../src/gateway/admit/wallet.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import { createStore } from '../../src/store/open.ts'
import { gateway } from '../helpers/gateway.ts'
import { matchAll } from '../helpers/match.ts'
import { redisMissing, redisServer } from '../helpers/redis.ts'

t.test('a balance that others have spent is not spent again by who knew it full', async t => {
  const { db } = (await gateway(t)).database
  const { id } = await addUser(db, { name: 'bob', concurrency: 0, balance: 100n })
  // Two processes, one store; each has read the balances at its start.
  const store = new MemoryStore()
  t.teardown(() => store.close())
  const processes = ['spool-a', 'spool-b'].map(
    spoolId => new Wallet({ store, spoolId, load: users => loadFacts(db, users), log: () => {} }),
  )
  t.teardown(() => {
    for (const one of processes) one.close()
  })
  for (const one of processes) await one.refresh()
  // What one of them books, the other is not told.
  await db.transaction().execute(async tx => {
    await sql`select set_config('gw.booking', 'on', true)`.execute(tx)
    await sql`update balances set balance = 0 where user_id = ${id}`.execute(tx)
  })
  const refused = await processes[1]!.reserve(id, 'r1', [{ bucket: balanceBucket, amount: 1n, limit: 0n }])
  t.match(refused, { bucket: balanceBucket, room: 0n, unspent: 0n })
})

t.test('when Postgres cannot be asked, what was known last must do', async t => {
  const { db } = (await gateway(t)).database
  const { id } = await addUser(db, { name: 'bob', concurrency: 0, balance: 100n })
  const store = new MemoryStore()
  t.teardown(() => store.close())
  let reachable = true
  const said: string[] = []
  const wallet = new Wallet({
    store,
    spoolId: 'spool-a',
    load: users => (reachable ? loadFacts(db, users) : Promise.reject(new Error('gone'))),
    log: line => said.push(line),
  })
  t.teardown(() => wallet.close())
  await wallet.refresh()
  reachable = false
  const wants = [{ bucket: balanceBucket, amount: 60n, limit: 0n }]
  t.equal(await wallet.reserve(id, 'r1', wants), undefined, 'it is held')
  t.match(await wallet.reserve(id, 'r2', wants), { bucket: balanceBucket, room: 40n, unspent: 100n })
  matchAll(t, said, [/gone/])
  await t.rejects(wallet.reserve(id + 1, 'r3', wants), { code: 'BILLING_UNAVAILABLE' })
  wallet.release(id, 'r1')
  t.equal(await wallet.reserve(id, 'r2', wants), undefined, 'what is given back can be had')
  wallet.settle(id, 'r2', [{ bucket: balanceBucket, amount: 45n }])
  matchAll(t, await store.purse(`user:${id}`), { holders: ['spool-a'] })
  t.match(await wallet.reserve(id, 'r4', wants), { room: 55n, unspent: 55n }, 'and what was used cannot')
})

t.test(
  'a Redis that forgets again and again what it is told of a balance refuses nobody',
  { skip: await redisMissing() },
  async t => {
    const { db } = (await gateway(t)).database
    const server = await redisServer(t)
    const admin = server.client()
    const store = await createStore({ redisUrl: server.url, processId: 'one', log: () => {} })
    t.teardown(() => store.close())
    // While what was read is told to Redis, and until it is asked for.
    const forget = async () => {
      for (let n = 0; n < 4; n++) await admin.flushall()
    }
    const load = async (users?: readonly number[]) => {
      const facts = await loadFacts(db, users)
      void forget()
      return facts
    }
    const wallet = new Wallet({ store, spoolId: 'spool-a', load, log: line => t.comment(line) })
    t.teardown(() => wallet.close())
    for (let n = 0; n < 15; n++) {
      const { id } = await addUser(db, { name: `user${n}`, concurrency: 0, balance: 100n })
      t.equal(await wallet.reserve(id, `r${n}`, [{ bucket: balanceBucket, amount: 60n, limit: 0n }]), undefined)
    }
  },
)
