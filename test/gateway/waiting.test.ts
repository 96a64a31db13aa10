// Waiting for a place: in turn within a user, fairly between users, with pings, and never for ever.

import t from 'tap'
import { createKey } from '../../src/core/record/key.ts'
import { addUser } from '../../src/core/record/user.ts'
import { gateway, hello, type TestGateway, until } from '../helpers/gateway.ts'
import { matchAll } from '../helpers/match.ts'

const say = (text: string, more: object = {}) => hello({ messages: [{ role: 'user', content: text }], ...more })
const served = (gw: TestGateway) =>
  gw.mock
    .stats()
    .bodies.map(seen => (JSON.parse(seen.body!) as { messages: { content: string }[] }).messages[0]!.content)

async function newUser(gw: TestGateway, name: string, concurrency = 0): Promise<string> {
  const { db } = gw.database
  await addUser(db, { name, concurrency, balance: 1_000_000_000_000n })
  const { key } = await createKey(db, gw.secret, { user: name, group: 'main', valuePrefix: 'sk-' })
  await until(t, `${name} is known`, () => [...gw.daemon.gateway.snapshot.keys()].some(k => k.name === name))
  return key
}

t.test('a user’s requests are served in the order they came', async t => {
  const gw = await gateway(t, { user: { concurrency: 1 } })
  gw.mock.script('*', { hold: true })
  const replies: Promise<Response>[] = []
  for (let i = 0; i < 8; i++) {
    replies.push(gw.send(say(`${i}`)))
    await until(t, `${i} waits`, async () => (await gw.live()).waiting === Math.max(0, i))
  }
  for (let i = 0; i < 8; i++) {
    await gw.mock.until(s => s.holding === 1 && s.requests === i + 1)
    gw.mock.release()
  }
  for (const reply of await Promise.all(replies)) t.equal(reply.status, 200)
  t.strictSame(served(gw), ['0', '1', '2', '3', '4', '5', '6', '7'])
})

t.test('concurrency 1 has 21 seats; who finds none is told at once when to come back', async t => {
  const gw = await gateway(t, { user: { concurrency: 1 } })
  gw.mock.script('*', { hold: true })
  const replies = [gw.send(say('first'))]
  await gw.mock.until(s => s.holding === 1)
  for (let i = 0; i < 21; i++) replies.push(gw.send(say(`${i}`)))
  await until(t, '21 wait', async () => (await gw.live()).waiting === 21)
  const refused = await gw.send(say('too many'))
  t.equal(refused.status, 429)
  t.match(refused.headers.get('retry-after'), /^[1-9]\d*$/)
  t.match(await refused.json(), { error: { type: 'rate_limit_error', code: 'QUEUE_FULL' } })
  gw.mock.script('*', {})
  gw.mock.release()
  for (const reply of await Promise.all(replies)) t.equal(reply.status, 200)
})

t.test('a wait has its end, for a user’s place and for an account’s', async t => {
  const gw = await gateway(t, {
    user: { concurrency: 1 },
    accounts: [{ concurrency: 1 }],
    config: { 'queue.wait': 30 },
  })
  const other = await newUser(gw, 'bob')
  gw.mock.script('*', { hold: true })
  const held = gw.send(say('holds'))
  await gw.mock.until(s => s.holding === 1)
  for (const [key, code] of [
    [gw.key, 'USER_TIMEOUT'],
    [other, 'ACCOUNT_TIMEOUT'],
  ] as const) {
    const reply = await gw.send(say('waits'), { key })
    t.equal(reply.status, 429)
    t.match(reply.headers.get('retry-after'), /^[1-9]\d*$/, 'says when to come back')
    t.match(await reply.json(), { error: { code } })
  }
  gw.mock.release()
  t.equal((await held).status, 200)
})

t.test('a hog with many waiting requests does not hold up polite users', async t => {
  const gw = await gateway(t, { accounts: [{ concurrency: 3 }] })
  const polite = await Promise.all(['p1', 'p2', 'p3'].map(async name => ({ name, key: await newUser(gw, name) })))
  gw.mock.script('*', { hold: true })
  const replies = Array.from({ length: 40 }, (_, i) => gw.send(say(`hog ${i}`)))
  await until(t, 'the hog has all places, and 37 wait', async () => (await gw.live()).waiting === 37)
  for (const { name, key } of polite) replies.push(gw.send(say(name), { key }))
  await until(t, 'the polite wait, too', async () => (await gw.live()).waiting === 40)
  for (let n = 3; n < 43; n += 3) {
    await gw.mock.until(s => s.holding === 3 && s.requests === n)
    gw.mock.release()
  }
  await gw.mock.until(s => s.requests === 43 && s.holding === 1)
  gw.mock.release()
  for (const reply of await Promise.all(replies)) t.equal(reply.status, 200)
  const order = served(gw)
  for (const { name } of polite)
    t.ok(order.indexOf(name) < 3 + 3 + 1, `${name} was served ${order.indexOf(name) + 1}. of 43`)
})

t.test('waiting is for any account: whichever comes free first serves', async t => {
  const gw = await gateway(t, {
    accounts: [
      { name: 'a', concurrency: 1 },
      { name: 'b', concurrency: 1 },
    ],
  })
  gw.mock.script('*', { hold: true })
  const replies = [gw.send(say('1')), gw.send(say('2'))]
  await gw.mock.until(s => s.holding === 2)
  replies.push(gw.send(say('3')))
  await until(t, 'the third waits', async () => (await gw.live()).waiting === 1)
  matchAll(t, (await gw.live()).accounts, [
    { name: 'a', state: 'full', waiting: 1 },
    { name: 'b', state: 'full', waiting: 0 },
  ])
  matchAll(t, (await gw.live()).groups, [{ name: 'main', waiting: 1, slots: { used: 2, limit: 2 } }])
  gw.mock.release('cred-b')
  await gw.mock.until(s => s.requests === 2 && s.holding === 1, 'cred-b')
  gw.mock.release()
  for (const reply of await Promise.all(replies)) t.equal(reply.status, 200)
})

t.test('who leaves the queue leaves nothing behind', async t => {
  const gw = await gateway(t, { user: { concurrency: 1 }, accounts: [{ concurrency: 1 }] })
  const other = await newUser(gw, 'bob')
  gw.mock.script('*', { hold: true })
  const held = gw.send(say('holds'))
  await gw.mock.until(s => s.holding === 1)
  const gone = new AbortController()
  const left = [gw.key, other].map(key =>
    gw.send(say('leaves', { stream: true }), { key, signal: gone.signal }).catch(error => error as Error),
  )
  await until(t, 'both wait', async () => (await gw.live()).waiting === 2)
  gone.abort()
  await until(t, 'nobody waits', async () => (await gw.live()).waiting === 0)
  for (const error of await Promise.all(left)) t.ok(error instanceof Error)
  gw.mock.release()
  t.equal((await held).status, 200)
  t.equal(gw.mock.stats().requests, 1, 'no upstream was asked for nobody')
})

t.test('a streaming caller hears pings while it waits, and then its answer, or an error as an event', async t => {
  const gw = await gateway(t, {
    user: { concurrency: 1 },
    config: { 'queue.ping_interval': 1000, 'queue.wait': 12_000 },
  })
  gw.mock.script('*', { hold: true })
  const held = gw.send(say('holds'))
  await gw.mock.until(s => s.holding === 1)
  const waits = [gw.send(say('waits', { stream: true })), gw.send(say('waits too', { stream: true }))]
  const [first, second] = await Promise.all(waits)
  t.equal(first!.status, 200, 'the first ping has committed the status')
  const texts = Promise.all([first!.text(), second!.text()])
  gw.mock.script('*', [
    { hold: true, chunks: ['at last'] },
    { status: 400, error: { message: 'max_tokens is too large' } },
  ])
  gw.mock.release()
  t.equal((await held).status, 200)
  await gw.mock.until(s => s.holding === 1)
  gw.mock.release()
  const [answer, error] = await texts
  t.match(answer, /^event: ping\ndata: {"type":"ping"}\n\n/)
  t.match(answer, /at last/)
  t.match(answer, /event: message_stop\ndata: [^\n]*\n\n$/)
  t.match(error, /^event: ping\ndata: {"type":"ping"}\n\n/)
  t.match(
    error,
    /event: error\ndata: {"type":"error","error":{"type":"invalid_request_error","message":"max_tokens is too large"[^\n]*\n\n$/,
  )
  t.equal(answer!.match(/event: message_start/g)?.length, 1)
})

t.test(
  'who waits has the limit in force: raised, several go on before newcomers; lowered, nobody above it',
  async t => {
    const limits: [whose: string, limit: (gw: TestGateway, concurrency: number) => Promise<unknown>][] = [
      ['user', (gw, concurrency) => gw.set.user('alice', { concurrency })],
      ['key', (gw, concurrency) => gw.set.key('alice', { concurrency })],
      ['account', (gw, concurrency) => gw.set.account('a1', { concurrency })],
    ]
    for (const [whose, limit] of limits) {
      const gw = await gateway(t, {})
      await limit(gw, 1)
      gw.mock.script('*', { hold: true })
      const replies: Promise<Response>[] = []
      const ask = () => replies.push(gw.send(say(`${replies.length}`)))
      for (let n = 0; n < 6; n++) {
        ask()
        await until(t, `${n} wait`, async () => (await gw.live()).waiting === n && gw.mock.stats().requests === 1)
      }
      const raised = limit(gw, 4)
      for (let n = 0; n < 3; n++) ask()
      await raised
      await gw.mock.until(s => s.holding === 4 && s.requests === 4)
      await until(t, 'the others wait', async () => (await gw.live()).waiting === 5)
      t.strictSame(served(gw).toSorted(), ['0', '1', '2', '3'], `${whose}: raised, those who came first`)

      await limit(gw, 1)
      gw.mock.release()
      for (let waiting = 4; waiting >= 0; waiting--) {
        await gw.mock.until(s => s.holding === 1 && s.requests === 9 - waiting)
        await until(t, 'one goes on', async () => (await gw.live()).waiting === waiting)
        t.equal(gw.mock.stats().inFlight, 1, `${whose}: lowered, one at a time`)
        gw.mock.release()
      }
      for (const reply of await Promise.all(replies)) t.equal(reply.status, 200)
      t.strictSame(served(gw).slice(4, 6), ['4', '5'], `${whose}: in turn`)
    }
  },
)
