// Measures fairness: how long polite users wait while one user has a hundred requests waiting.
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { createKey } from '../../src/core/record/key.ts'
import { addUser } from '../../src/core/record/user.ts'
import { gateway, hello, until } from '../helpers/gateway.ts'
import { percentiles } from './percentiles.ts'

const SERVICE_MS = 100
const PLACES = 10
const POLITE = 9
const HOG_WAITS = 100
const ROUNDS = 40

t.test('fairness', { timeout: 120_000 }, async t => {
  const gw = await gateway(t, {
    accounts: [{ concurrency: PLACES, script: { delayMs: SERVICE_MS } }],
    // Seats are counted over all users: with the default of 100 the hog alone would have them all.
    config: { 'queue.account_seats': 1_000 },
  })
  const { db } = gw.database
  const keys: string[] = []
  for (let i = 0; i < POLITE; i++) {
    await addUser(db, { name: `polite${i}`, concurrency: 0, balance: 10n ** 18n })
    keys.push((await createKey(db, gw.secret, { user: `polite${i}`, group: 'main', valuePrefix: 'sk-' })).key)
  }
  await gw.inForce()
  let asked = 0
  const ask = async (key: string) => {
    const reply = await gw.send(hello({ messages: [{ role: 'user', content: `${++asked}` }] }), { key })
    await reply.arrayBuffer()
    if (reply.status !== 200) throw new Error(`${reply.status}`)
  }
  let going = true
  const hog = Array.from({ length: PLACES + HOG_WAITS }, async () => {
    while (going) await ask(gw.key)
  })
  await until(t, 'the hog waits', async () => (await gw.live()).waiting >= HOG_WAITS)
  const waits: number[] = []
  await Promise.all(
    keys.map(async key => {
      for (let round = 0; round < ROUNDS; round++) {
        const since = performance.now()
        await ask(key)
        waits.push(Math.max(0, performance.now() - since - SERVICE_MS) / SERVICE_MS)
        // A polite user reads the answer before it asks again.
        await wait(Math.random() * SERVICE_MS)
      }
    }),
  )
  going = false
  await Promise.all(hog)
  t.comment(`polite wait / service time: ${percentiles(waits, [50, 95, 99])} (${waits.length} requests)`)
})
