// Accounts that refuse: out for as long as it takes, back by themselves, and nobody hammers them meanwhile.

import t from 'tap'
import { listHealth } from '../../src/core/record/health.ts'
import { startDaemon } from '../../src/daemon/main.ts'
import { gateway, hello, only, type TestGateway, until } from '../helpers/gateway.ts'
import { matchAll } from '../helpers/match.ts'

const say = (text: string, more: object = {}) => hello({ messages: [{ role: 'user', content: text }], ...more })
const asked = (gw: TestGateway, account: string) => gw.mock.stats(gw.credential(account)).requests
const two = [
  { name: 'a', priority: 10 },
  { name: 'b', priority: 20 },
]
const state = async (gw: TestGateway, name: string) => (await gw.live()).accounts.find(a => a.name === name)!

t.test('a rate limit takes the account out until the time it named', async t => {
  const gw = await gateway(t, { accounts: two })
  gw.mock.script('cred-a', [{ status: 429, headers: { 'retry-after': '20' } }, {}])
  const before = Date.now()
  t.equal((await gw.send(say('1'))).status, 200, 'the other account answered')
  const after = Date.now()
  t.equal((await gw.send(say('2'))).status, 200)
  t.equal(asked(gw, 'a'), 1, 'the limited one was left alone')
  const view = await state(gw, 'a')
  t.match(view, { state: 'rate_limited' })
  const back = Date.parse(view.until!)
  t.ok(back >= before + 20_000 && back <= after + 20_000, `back at ${back - before} ms`)
})

t.test('when every account is limited, the client is told when the first comes back', async t => {
  const gw = await gateway(t, { accounts: two })
  gw.mock.script('cred-a', { status: 429, headers: { 'retry-after': '40' } })
  gw.mock.script('cred-b', { status: 429, headers: { 'retry-after': '25' } })
  const since = Date.now()
  // To a second, and less what has passed since: on a slow machine that is more.
  const in25 = (reply: Response) => {
    const named = Number(reply.headers.get('retry-after'))
    t.ok(named <= 26 && named >= 24 - (Date.now() - since) / 1000, `retry-after ${named}`)
  }
  const first = await gw.send(say('1'))
  t.equal(first.status, 429)
  in25(first)
  const second = await gw.send(say('2'))
  t.equal(second.status, 429)
  t.match(await second.json(), { error: { type: 'rate_limit_error', code: 'ALL_RATE_LIMITED' } })
  in25(second)
  t.equal(asked(gw, 'a') + asked(gw, 'b'), 2, 'nobody was asked again')
})

t.test('without a time named, one request alone tries first, and its answer reopens the account', async t => {
  const gw = await gateway(t, { accounts: [{ name: 'a' }] })
  gw.mock.script('cred-a', [{ status: 429 }, { hold: 'start' }, {}])
  t.equal((await gw.send(say('refused'))).status, 429)
  const { health } = gw.daemon.gateway
  await until(t, 'the back-off has passed', () => health.ailments(1).every(a => a.until <= Date.now()))
  const canary = gw.send(say('tries', { stream: true }))
  await gw.mock.until(s => s.holding === 1)
  const others = [gw.send(say('waits 1')), gw.send(say('waits 2'))]
  await until(t, 'the others wait', async () => (await gw.live()).waiting === 2)
  t.equal(asked(gw, 'a'), 2, 'only one tries')
  gw.mock.release()
  for (const reply of [await canary, ...(await Promise.all(others))]) t.equal(reply.status, 200)
  t.match(await state(gw, 'a'), { state: 'available' })
  const held = () => listHealth(gw.database.db, new Date())
  await until(t, 'and nothing is held against it', async () => (await held()).length === 0)
})

t.test('a server’s fault counts only when it repeats itself', async t => {
  const gw = await gateway(t, { accounts: two })
  gw.mock.script('cred-a', [
    { status: 500 },
    { status: 500 },
    {},
    { status: 500 },
    { status: 500 },
    { status: 500 },
    {},
  ])
  for (let n = 1; n <= 6; n++) t.equal((await gw.send(say(`${n}`))).status, 200)
  t.equal(asked(gw, 'a'), 6, 'two in a row eject nobody, and a success forgets them')
  t.match(await state(gw, 'a'), { state: 'ejected' })
  t.equal((await gw.send(say('7'))).status, 200)
  t.equal(asked(gw, 'a'), 6)
})

t.test('a dead credential puts the account in error; a doubtful one only ejects it', async t => {
  const gw = await gateway(t, { accounts: [...two, { name: 'c', priority: 30 }] })
  gw.mock.script('cred-a', { status: 401, error: { type: 'authentication_error', message: 'invalid x-api-key' } })
  gw.mock.script('cred-b', { status: 403, body: '<html>blocked</html>', headers: { 'content-type': 'text/html' } })
  t.equal((await gw.send(say('1'))).status, 200)
  await until(t, 'a is in error', async () => (await state(gw, 'a')).state === 'error')
  t.match(await state(gw, 'a'), { until: null, reason: /invalid x-api-key/ })
  t.match(await state(gw, 'b'), { state: 'ejected', until: /T/ })
})

t.test('what one process learns another knows, and a restart neither forgets nor prolongs', async t => {
  const gw = await gateway(t, { accounts: two })
  const log = gw.daemon.gateway.log
  const other = await startDaemon(
    { ...gw.config, data_dir: `${gw.config['data_dir']}/2`, 'control.socket': `${gw.config['data_dir']}/2.sock` },
    { log, access: log },
  )
  gw.mock.script('cred-a', [{ status: 429, headers: { 'retry-after': '30' } }, {}])
  t.equal((await gw.send(say('1'))).status, 200)
  const until1 = (await state(gw, 'a')).until!
  const id = [...gw.daemon.gateway.snapshot.accounts.values()].find(a => a.name === 'a')!.id
  const known = (of: typeof other) => of.gateway.health.ailments(id)[0]?.until
  await until(t, 'the other process knows', () => known(other) === Date.parse(until1))
  await other.stop(0)
  const again = await startDaemon(
    { ...gw.config, data_dir: `${gw.config['data_dir']}/2`, 'control.socket': `${gw.config['data_dir']}/2.sock` },
    { log, access: log },
  )
  t.equal(known(again), Date.parse(until1), 'after a restart, too')
  await gw.heal()
  await until(t, 'it is cleared everywhere', () => known(again) === undefined)
  await again.stop(0)
  t.match(await state(gw, 'a'), { state: 'available' })
})

t.test('who waits is served when an account is resumed', async t => {
  const gw = await gateway(t, {
    accounts: [
      { name: 'a', concurrency: 1 },
      { name: 'b', concurrency: 1 },
    ],
  })
  await gw.set.account('b', { status: 'paused' })
  gw.mock.script('*', { hold: true })
  const replies = [gw.send(say('1'))]
  await gw.mock.until(s => s.holding === 1)
  replies.push(gw.send(say('2')))
  await until(t, 'the second waits', async () => (await gw.live()).waiting === 1)
  await gw.set.account('b', { status: 'active' })
  await gw.mock.until(s => s.holding === 2)
  gw.mock.release()
  for (const reply of await Promise.all(replies)) t.equal(reply.status, 200)
})

t.test('only the model that was refused is out, where the upstream says so', async t => {
  const gw = await gateway(t, { accounts: two })
  gw.mock.script('cred-a', [
    {
      status: 429,
      headers: {
        'anthropic-ratelimit-unified-status': 'rejected',
        'anthropic-ratelimit-unified-5h-status': 'allowed',
        'anthropic-ratelimit-unified-7d-status': 'allowed',
        'anthropic-ratelimit-unified-7d_oi-status': 'rejected',
        'anthropic-ratelimit-unified-7d_oi-reset': `${Math.floor(Date.now() / 1000) + 3600}`,
      },
    },
    {},
  ])
  await (await gw.send(say('1', { model: 'claude-opus-5-5' }))).text()
  await (await gw.send(say('2', { model: 'claude-opus-5-5' }))).text()
  t.equal(asked(gw, 'a'), 1, 'out for this model')
  await (await gw.send(say('3', { model: 'claude-sonnet-5-5' }))).text()
  t.equal(asked(gw, 'a'), 2, 'but not for the other')
  t.match(await state(gw, 'a'), { state: 'available', reason: /claude-opus-5-5/ })
})

t.test('an overload is of one model at that account, and its other models are served', async t => {
  const gw = await gateway(t, { accounts: two })
  gw.mock.script('cred-a', [{ status: 529 }, {}])
  await (await gw.send(say('1', { model: 'claude-opus-5-5' }))).text()
  await (await gw.send(say('2', { model: 'claude-opus-5-5' }))).text()
  t.equal(asked(gw, 'a'), 1, 'out for this model')
  await (await gw.send(say('3', { model: 'claude-sonnet-5-5' }))).text()
  t.equal(asked(gw, 'a'), 2, 'but not for the other')
  t.match(await state(gw, 'a'), { state: 'available', reason: 'without claude-opus-5-5: overloaded' })
})

t.test('when all are out, every client hears why, and when the first comes back', async t => {
  const refusals: [status: number, ejectedBy: number, heard: [number, string]][] = [
    [529, 1, [503, 'overloaded_error']],
    [429, 1, [429, 'rate_limit_error']],
    [500, 3, [503, 'api_error']],
  ]
  const gw = await gateway(t, {
    accounts: refusals.flatMap(([status]) => only(`${status}`, { script: { status } }, { script: { status } })),
  })
  const ask = async (model: string) => {
    const reply = await gw.send(say('x', { model }))
    const { error } = (await reply.json()) as { error: { type: string; code: string } }
    return { heard: [reply.status, error.type], code: error.code, wait: Number(reply.headers.get('retry-after')) }
  }
  for (const [status, times, heard] of refusals) {
    for (let n = 0; n < times; n++) {
      const first = await ask(`${status}`)
      t.strictSame(first.heard, heard, `${status}: who asked them`)
      t.ok(first.wait >= 1 && first.wait <= 6, `back in ${first.wait} s`)
    }
    const second = await ask(`${status}`)
    t.strictSame(second.heard, heard, `${status}: who could ask nobody`)
    t.ok(second.wait >= 1 && second.wait <= 6, `back in ${second.wait} s`)
    t.equal(gw.mock.stats().bodies.filter(b => b.model === `${status}`).length, 2 * times, 'nobody was asked again')
  }
})

const html = { 'content-type': 'text/html' }

t.test('an account with a wrong base URL is out and loses its sessions, with a reason to act on', async t => {
  const gw = await gateway(t, { accounts: two })
  await (await gw.send(say('1'))).text()
  t.equal(asked(gw, 'a'), 1, 'its session')
  gw.mock.script('cred-a', { status: 404, body: '<html><title>404 Not Found</title></html>', headers: html })
  for (let n = 2; n <= 4; n++) t.equal((await gw.send(say('1'))).status, 200)
  t.equal(asked(gw, 'a'), 2, 'it is not asked again')
  const reason = 'answers HTML (status 404: 404 Not Found); is the base URL right?'
  t.match(await state(gw, 'a'), { state: 'ejected', reason })
  await gw.heal()
  gw.mock.script('cred-a', {})
  await (await gw.send(say('1'))).text()
  t.equal(asked(gw, 'a'), 2, 'the session has moved')
})

t.test('what may be the request’s own fault is held against an account only when another serves it', async t => {
  const gw = await gateway(t, { accounts: two })
  const refusing = { status: 400, body: '<html>blocked for its words</html>', headers: html }
  gw.mock.script('cred-a', refusing)
  gw.mock.script('cred-b', refusing)
  for (let n = 1; n <= 4; n++) t.equal((await gw.send(say('evil'))).status, 400)
  t.equal(asked(gw, 'a') + asked(gw, 'b'), 8, 'all were asked each time')
  for (const name of ['a', 'b']) t.match(await state(gw, name), { state: 'available', reason: null })
  gw.mock.script('cred-b', {})
  t.equal((await gw.send(say('good'))).status, 200)
  t.match(await state(gw, 'a'), { state: 'ejected', reason: /^answers HTML \(status 400\); is the base URL right/ })
  t.match(await state(gw, 'b'), { state: 'available' })
})

t.test('a model that an account does not serve is asked for elsewhere, and its other models of it', async t => {
  const gw = await gateway(t, { accounts: two })
  const absent = { status: 404, error: { message: 'model: claude-opus-5-5' } }
  gw.mock.script('cred-a', [absent, {}])
  for (let n = 1; n <= 3; n++) t.equal((await gw.send(say(`${n}`, { model: 'claude-opus-5-5' }))).status, 200)
  t.equal(asked(gw, 'a'), 1)
  t.equal((await gw.send(say('4', { model: 'claude-sonnet-5-5' }))).status, 200)
  t.equal(asked(gw, 'a'), 2)
  t.match(await state(gw, 'a'), { state: 'available', reason: 'without claude-opus-5-5: model: claude-opus-5-5' })
  gw.mock.script('*', absent)
  gw.mock.script('cred-a', absent)
  gw.mock.script('cred-b', absent)
  for (let n = 1; n <= 2; n++) t.equal((await gw.send(say('5', { model: 'nonsense' }))).status, 404)
  t.match(await state(gw, 'b'), { state: 'available', reason: null }, 'what nobody serves is held against nobody')
})

const count = { path: '/v1/messages/count_tokens' }

t.test('counting tokens takes no place and waits for none', async t => {
  const gw = await gateway(t, { accounts: [{ name: 'a', concurrency: 1 }], user: { concurrency: 1 } })
  gw.mock.script('cred-a', [
    { on: '/v1/messages', hold: 'start' },
    { on: count.path, hold: 'start' },
  ])
  const message = gw.send(say('1'))
  await gw.mock.until(s => s.holding === 1)
  const counts = [1, 2, 3].map(() => gw.send(say('x'), count))
  await gw.mock.until(s => s.holding === 4)
  t.match(await state(gw, 'a'), { slots: { used: 1 } }, 'only the message has a place')
  t.equal((await gw.live()).waiting, 0)
  gw.mock.release()
  t.equal((await message).status, 200)
  for (const reply of await Promise.all(counts)) t.same(Object.keys((await reply.json()) as object), ['input_tokens'])

  gw.mock.script('cred-a', [{ on: count.path, hold: 'start' }])
  const slow = [1, 2, 3].map(() => gw.send(say('x'), count))
  await gw.mock.until(s => s.holding === 3)
  t.equal((await gw.send(say('2'))).status, 200, 'a message does not stand behind counts')
  gw.mock.release()
  for (const reply of await Promise.all(slow)) t.equal(reply.status, 200)
})

t.test('counting tokens has a health of its own, and fails over', async t => {
  const gw = await gateway(t, { accounts: two })
  const counted = (account: string) => gw.mock.stats(`cred-${account}`).bodies.filter(b => b.path === count.path).length
  gw.mock.script('cred-a', [{ on: count.path, status: 500 }])
  for (let n = 1; n <= 5; n++) t.equal((await gw.send(say('same'), count)).status, 200, 'another account counts')
  t.strictSame([counted('a'), counted('b')], [3, 5], 'after three strikes the first is left alone, for counting')
  t.match(await state(gw, 'a'), { state: 'available', reason: null })
  t.equal((await gw.send(say('same'))).status, 200)
  t.equal(asked(gw, 'a') - counted('a'), 1, 'it generates')

  await (await gw.send(say('moved'))).text()
  gw.mock.script('cred-b', [{ on: '/v1/messages', status: 429, headers: { 'retry-after': '60' } }])
  gw.mock.script('cred-a', [{ on: '/v1/messages', status: 529, headers: { 'retry-after': '60' } }])
  t.equal((await gw.send(say('same'))).status, 503)
  t.equal((await gw.send(say('same'), count)).status, 200, 'what keeps all from generating keeps none from counting')

  await gw.heal()
  gw.mock.script('cred-a', [{}])
  gw.mock.script('cred-b', [{ on: count.path, status: 401, error: { message: 'invalid x-api-key' } }])
  await gw.set.account('a', { status: 'paused' })
  t.equal((await gw.send(say('same'), count)).status, 502)
  await until(t, 'a dead credential is dead for all', async () => (await state(gw, 'b')).state === 'error')
})

t.test(
  'an address that this node cannot reach is struck nowhere but here, and is our own trouble when there is no other',
  async t => {
    // No route leads to a multicast address: the kernel says ENETUNREACH.
    const away = { baseUrl: 'http://224.0.0.1:9' }
    const gw = await gateway(t, {
      accounts: [...only('nowhere', away, away), ...only('elsewhere', away, away, { priority: 60 })],
    })
    const attempts: string[][] = []
    const { outcomes } = gw.daemon.gateway
    const { end } = outcomes
    outcomes.end = outcome => {
      attempts.push(outcome.attempts.map(a => a.account))
      end(outcome)
    }
    const none = await gw.send(say('1', { model: 'nowhere' }))
    matchAll(t, [none.status, none.headers.get('retry-after')], [503, '2'])
    t.match(await none.json(), { error: { code: 'NODE_TROUBLE', message: /\(ENETUNREACH\)/ } })
    for (let n = 1; n <= 8; n++) t.equal((await gw.send(say(`${n}`, { model: 'elsewhere' }))).status, 200)
    await until(t, 'all are over', () => attempts.length === 9)
    t.ok(
      attempts.every(tried => tried.length <= 2),
      'of those at one address only one is tried',
    )
    t.ok(
      attempts.some(tried => tried.join() === 'elsewhere-3'),
      'after some strikes none of them',
    )
    t.strictSame(await listHealth(gw.database.db, new Date(0)), [], 'nothing is stored')
    for (const name of ['nowhere-1', 'nowhere-2']) t.match(await state(gw, name), { state: 'available', reason: null })
  },
)
