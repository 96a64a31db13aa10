// What a request may cost is put aside before it is sent, what it did cost is taken once, and nobody spends what is not there.

import t, { type Test } from 'tap'
import { listEntries, move } from '../../src/core/books/ledger.ts'
import { writePrice } from '../../src/core/price/operator.ts'
import { setGroup } from '../../src/core/record/group.ts'
import { createKey } from '../../src/core/record/key.ts'
import { assignSubscription } from '../../src/core/record/subscription.ts'
import { addUser } from '../../src/core/record/user.ts'
import { Failure } from '../../src/lib/failure.ts'
import { requestId } from '../../src/lib/id.ts'
import { formatUsd, parseUsd } from '../../src/lib/money.ts'
import { gateway, hello, type Setup, type TestGateway, until } from '../helpers/gateway.ts'
import { matchAll } from '../helpers/match.ts'

// claude-sonnet-5-5, nano-USD a token (config/prices.json): its input could all be written to the cache.
const price = { input: 2_000n, output: 10_000n, write: 2_500n }

/** What is put aside for a body: two bytes a token. */
function worstOf(body: { max_tokens: number }): bigint {
  const bytes = Buffer.byteLength(JSON.stringify(body))
  return BigInt(Math.ceil(bytes / 2)) * price.write + BigInt(body.max_tokens) * price.output
}

/** Of this model five tokens of the prompt cost as much as one of the answer. */
const as64 = { input_tokens: 5, output_tokens: 63 }

const spent = async (gw: TestGateway) =>
  (await gw.database.db.selectFrom('balances').select('balance').executeTakeFirstOrThrow()).balance
const codeOf = async (reply: Response) => ((await reply.json()) as { error: { code: string } }).error.code
const rich = (setup: Setup, nano: bigint): Setup => ({ ...setup, user: { ...setup.user, balance: formatUsd(nano) } })

t.test('a budget for exactly 7 admits exactly 7 of 100 at once, and is spent to the last unit', async t => {
  const gw = await gateway(
    t,
    rich(
      { accounts: [{ script: { hold: 'start', usage: { input_tokens: 11, output_tokens: 7 } } }] },
      7n * worstOf(hello()),
    ),
  )
  let answered = 0
  const replies = Array.from({ length: 100 }, () => gw.send(hello()).finally(() => answered++))
  await gw.mock.until(s => s.holding === 7)
  await until(t, 'the others are refused', () => answered === 93)
  gw.mock.release()
  const statuses = (await Promise.all(replies)).map(reply => reply.status)
  t.equal(statuses.filter(status => status === 200).length, 7)
  t.equal(statuses.filter(status => status === 429).length, 93, 'money that is only put aside may come back')
  const rows = await gw.usage(7)
  t.equal(rows.length, 7)
  for (const row of rows) t.match(row, { cost: 11n * price.input + 7n * price.output, partial: false })
  t.equal(await spent(gw), 7n * worstOf(hello()) - 7n * (11n * price.input + 7n * price.output))
  await until(t, 'refused requests leave nothing put aside, nor does the spool once its rows are booked', async () => {
    return (await gw.daemon.gateway.store.purse('user:1')).holders.length === 0
  })
})

t.test('a balance that is spent is refused in words, and one nano-USD decides', async t => {
  const gw = await gateway(t, rich({}, worstOf(hello()) - 1n))
  const reply = await gw.send(hello())
  t.equal(reply.status, 403)
  t.equal(reply.headers.get('retry-after'), null)
  t.match(await reply.json(), {
    type: 'error',
    error: { type: 'billing_error', code: 'INSUFFICIENT_BALANCE', message: /0\.\d+ USD is left, .* up to 0\.\d+ USD/ },
  })
  t.equal(gw.mock.stats().requests, 0)
  await move(gw.database.db, { user: 1, amount: 1n, kind: 'topup' })
  await until(t, 'the daemon hears of the top-up', async () => (await gw.send(hello())).status === 200)
})

t.test('who has nothing is told so by /v1/usage', async t => {
  const gw = await gateway(t, { user: { balance: '0' } })
  const ask = async () => (await gw.send('', { path: '/v1/usage', method: 'GET' })).text()
  t.equal(await ask(), '{"isValid":true,"planName":"balance","remaining":0.00,"unit":"USD"}')
  t.equal((await gw.send(hello())).status, 403)
  t.equal((await gw.send(hello(), { path: '/v1/messages/count_tokens' })).status, 200, 'counting is free')
  await move(gw.database.db, { user: 1, amount: parseUsd('12.345678901')!, kind: 'topup' })
  t.match(await ask(), '"remaining":12.345678901,')
})

t.test('the gate is asked after the wait for a place', async t => {
  const body = hello()
  const gw = await gateway(t, {
    ...rich({ accounts: [{ script: { hold: 'start', usage: as64 } }] }, worstOf(body)),
    user: { concurrency: 1, balance: formatUsd(worstOf(body)) },
  })
  const first = gw.send(body)
  await gw.mock.until(s => s.holding === 1)
  const second = gw.send(body)
  await until(t, 'the second waits for its place, not for money', async () => (await gw.live()).waiting === 1)
  gw.mock.release()
  t.equal((await first).status, 200)
  const refused = await second
  t.equal(refused.status, 403)
  t.equal(await codeOf(refused), 'INSUFFICIENT_BALANCE')
})

t.test('an overdraft lets a balance fall to its floor and no further', async t => {
  const worst = worstOf(hello())
  const gw = await gateway(t, {
    ...rich({ accounts: [{ script: { usage: as64 } }] }, 0n),
    config: { 'billing.overdraft': worst },
  })
  t.equal((await gw.send(hello())).status, 200)
  t.equal((await gw.send(hello())).status, 403)
  await gw.usage(1)
  await until(t, 'it is booked', async () => (await spent(gw)) === -64n * price.output)
})

t.test('what is free asks nobody for money', async t => {
  const gw = await gateway(t, { user: { balance: '0' }, group: { multiplier: '0' } })
  t.equal((await gw.send(hello())).status, 200)
  const [row] = await gw.usage(1)
  t.ok(row!.cost > 0n)
  t.equal(row!.charged, 0n)
  t.strictSame(await listEntries(gw.database.db, { user: 1, limit: 9 }), [], 'and moves none')
})

t.test('a multiplier scales what is put aside and what is taken', async t => {
  const gw = await gateway(t, {
    ...rich({ accounts: [{ script: { usage: { input_tokens: 3, output_tokens: 5 } } }] }, (worstOf(hello()) * 3n) / 2n),
    group: { multiplier: '1.5' },
  })
  t.equal((await gw.send(hello())).status, 200)
  const [row] = await gw.usage(1)
  t.equal(row!.charged, ((3n * price.input + 5n * price.output) * 3n) / 2n)
  t.equal((await gw.send(hello())).status, 403)
})

t.test('a model without a price is refused, unless the group says what it costs', async t => {
  const gw = await gateway(t, { group: { unknown_model: 'reject' } })
  const ask = () => gw.send(hello({ model: 'nobody-knows' }))
  const refused = await ask()
  t.equal(refused.status, 400)
  t.match(await refused.json(), {
    error: { type: 'invalid_request_error', code: 'MODEL_UNPRICED', message: /nobody-knows/ },
  })
  t.equal(gw.mock.stats().requests, 0)

  await setGroup(gw.database.db, 'main', { unknown_model: 'free', fallback_model: null })
  await gw.inForce()
  t.equal((await ask()).status, 200)
  matchAll(t, await gw.usage(1), [{ cost: 0n, charged: 0n }])

  await setGroup(gw.database.db, 'main', { unknown_model: 'fallback', fallback_model: 'claude-sonnet-5-5' })
  await gw.inForce()
  gw.mock.script('cred-a1', { usage: { input_tokens: 3, output_tokens: 5 } })
  t.equal((await ask()).status, 200)
  matchAll(t, await gw.usage(2), [{ model: 'nobody-knows', cost: 3n * price.input + 5n * price.output }, {}])

  await setGroup(gw.database.db, 'main', { unknown_model: 'fallback', fallback_model: 'nobody-either' })
  await gw.inForce()
  t.equal((await ask()).status, 400, 'a fallback without a price is none')
})

t.test('a mode or a region without a price is refused, unless the group says what it costs', async t => {
  const gw = await gateway(t, { group: { unknown_model: 'reject' } })
  const ask = (more: object) => gw.send(hello({ model: 'claude-haiku-4-5', ...more }))
  for (const [more, what] of [
    [{ speed: 'fast' }, /claude-haiku-4-5 has no price here in mode fast/],
    [{ speed: 'f\u0000!' }, /in mode f__/],
    [{ inference_geo: 'us' }, /in region us/],
    [{ model: 'claude-opus-5', inference_geo: 'eu', speed: 'fast' }, /claude-opus-5 .* in region eu/],
  ] as const) {
    const refused = await ask(more)
    t.equal(refused.status, 400)
    t.match(await refused.json(), { error: { type: 'invalid_request_error', code: 'MODE_UNPRICED', message: what } })
  }
  t.equal(gw.mock.stats().requests, 0)
  for (const more of [{ speed: 'standard' }, { inference_geo: 'global' }, { speed: null, inference_geo: null }])
    t.equal((await ask(more)).status, 200, JSON.stringify(more))

  await setGroup(gw.database.db, 'main', { unknown_model: 'free', fallback_model: null })
  await gw.inForce()
  t.equal((await ask({ speed: 'fast' })).status, 200)
  t.match((await gw.usage(4))[0], { cost: 0n, mode: 'fast', partial: false })

  await setGroup(gw.database.db, 'main', { unknown_model: 'fallback', fallback_model: 'claude-opus-5' })
  await gw.inForce()
  gw.mock.script('cred-a1', { usage: { input_tokens: 3, output_tokens: 5 } })
  t.equal((await ask({ speed: 'fast' })).status, 200)
  t.match((await gw.usage(5))[0], { cost: 3n * 10_000n + 5n * 50_000n, mode: 'fast', partial: false })

  await setGroup(gw.database.db, 'main', { unknown_model: 'fallback', fallback_model: 'nobody-either' })
  await gw.inForce()
  t.equal(await codeOf(await ask({ speed: 'fast' })), 'MODE_UNPRICED')
})

t.test('what a mode and a region may cost is put aside, to the nano-USD', async t => {
  const body = hello({ model: 'claude-opus-5', speed: 'fast', inference_geo: 'us' })
  // Twice the rates, times 1.1: every two bytes a write to the cache at 6.25, and 64 tokens at 25.
  const bytes = Buffer.byteLength(JSON.stringify(body))
  const worst = BigInt(Math.ceil(bytes / 2)) * 13_750n + 64n * 55_000n
  const gw = await gateway(
    t,
    rich({ accounts: [{ script: { usage: { input_tokens: 5, output_tokens: 63 } } }] }, worst - 1n),
  )
  t.equal(await codeOf(await gw.send(body)), 'INSUFFICIENT_BALANCE')
  await move(gw.database.db, { user: 1, amount: 1n, kind: 'topup' })
  await until(t, 'it is enough', async () => (await gw.send(body)).status === 200)
})

t.test('a request costs what its model cost when it began', async t => {
  const gw = await gateway(t, {
    accounts: [{ script: { hold: 'start', usage: { input_tokens: 3, output_tokens: 5 } } }],
  })
  const under = gw.send(hello())
  await gw.mock.until(s => s.holding === 1)
  await writePrice(gw.database.db, {
    model: 'claude-sonnet-5-5',
    vendor: null,
    layer: 'operator',
    from: Date.now(),
    rates: {
      input: 7_000_000_000n,
      output: 9_000_000_000n,
      ...{ cacheWrite5m: null, cacheWrite30m: null, cacheWrite1h: null, cacheWrite12h: null, cacheRead: null },
    },
    tier: null,
    modes: new Map(),
    geo: new Map(),
    webSearch: null,
    source: null,
    embedding: false,
    accepted: true,
  })
  await gw.inForce()
  gw.mock.release()
  t.equal((await under).status, 200)
  gw.mock.script('cred-a1', { usage: { input_tokens: 3, output_tokens: 5 } })
  t.equal((await gw.send(hello())).status, 200)
  matchAll(t, await gw.usage(2), [{ cost: 3n * 7_000n + 5n * 9_000n }, { cost: 3n * price.input + 5n * price.output }])
})

t.test('a key spends its quota and no more, whatever its user has', async t => {
  const body = hello()
  const gw = await gateway(t, { accounts: [{ script: { usage: as64 } }] })
  await gw.set.key('alice', { quota: worstOf(body) + 64n * price.output })
  t.equal((await gw.send(body)).status, 200)
  t.equal((await gw.send(body)).status, 200)
  const refused = await gw.send(body)
  t.equal(refused.status, 403)
  t.equal(await codeOf(refused), 'QUOTA_EXHAUSTED')
  t.match(await (await gw.send('', { path: '/v1/usage', method: 'GET' })).json(), {
    remaining: Number(formatUsd(worstOf(body) - 64n * price.output)),
  })
  await gw.set.key('alice', { quota: null })
  t.equal((await gw.send(body)).status, 200)
})

t.test('requests and tokens a minute', async t => {
  const gw = await gateway(t, { accounts: [{ script: { usage: { input_tokens: 10, output_tokens: 10 } } }] })
  await gw.set.key('alice', { rpm: 3 })
  for (let i = 0; i < 3; i++) t.equal((await gw.send(hello())).status, 200)
  const refused = await gw.send(hello())
  t.equal(refused.status, 429)
  t.match(refused.headers.get('retry-after'), /^([1-9]|1\d|20)$/, 'one comes free every 20 s')
  t.match(await refused.json(), { error: { code: 'KEY_RATE_LIMITED', message: /3 requests a minute/ } })

  // What was reckoned too much is given back when a request is done: three of them use 60 tokens, not three times the worst.
  const { key } = await createKey(gw.database.db, gw.secret, {
    user: 'alice',
    group: 'main',
    name: 'tokens',
    valuePrefix: 'sk-',
    tpm: 150,
  })
  await gw.inForce()
  for (let i = 0; i < 3; i++) {
    t.equal((await gw.send(hello(), { key })).status, 200)
    await gw.usage(4 + i)
  }
  gw.mock.script('cred-a1', { hold: 'start' })
  const over = await gw.send(hello({ max_tokens: 1000 }), { key })
  t.equal(over.status, 429, 'and one that may use more than is left is refused')
})

t.test('a subscription pays in its windows, at list price, and tells when there is more', async t => {
  const body = hello()
  const worst = worstOf(body)
  const gw = await gateway(t, {
    accounts: [{ script: { usage: as64 } }],
    user: { balance: '0' },
    group: {
      multiplier: '3',
      daily_limit: worst + 64n * price.output,
      weekly_limit: null,
      monthly_limit: parseUsd('100')!,
    },
  })
  await setGroup(gw.database.db, 'main', { billing: 'subscription' })
  await gw.inForce()
  const none = await gw.send(body)
  t.equal(none.status, 403)
  t.equal(await codeOf(none), 'SUBSCRIPTION_NOT_FOUND')
  await assignSubscription(gw.database.db, { user: 'alice', group: 'main', days: 30 })
  await gw.inForce()
  t.match(await (await gw.send('', { path: '/v1/usage', method: 'GET' })).json(), {
    isValid: true,
    planName: 'main',
    remaining: Number(formatUsd(worst + 64n * price.output)),
    unit: 'USD',
  })
  t.equal((await gw.send(body)).status, 200)
  t.equal((await gw.send(body)).status, 200)
  const over = await gw.send(body)
  t.equal(over.status, 429)
  const midnight = Math.ceil(Date.now() / 86_400_000) * 86_400_000
  t.ok(
    Math.abs(Number(over.headers.get('retry-after')) - (midnight - Date.now()) / 1000) <= 2,
    `until midnight: ${over.headers.get('retry-after')}`,
  )
  t.match(await over.json(), {
    error: { type: 'rate_limit_error', code: 'USAGE_LIMIT_EXCEEDED', message: /^Daily usage limit exceeded/ },
  })
  t.equal(over.headers.get('x-should-retry'), 'false')

  const rows = await gw.usage(2)
  for (const row of rows)
    t.match(row, { billing: 'subscription', charged: 64n * price.output, cost: 64n * price.output })
  t.equal(await spent(gw), 0n, 'the balance pays nothing')
  const [used] = await gw.database.db.selectFrom('subscription_usage').selectAll().execute()
  t.match(used, { day_used: 128n * price.output, week_used: 128n * price.output, month_used: 128n * price.output })
  t.equal(used!.day_start!.getTime(), midnight - 86_400_000)
  const entries = await listEntries(gw.database.db, { user: 1, limit: 9 })
  t.same(
    entries.map(e => [e.kind, e.amount, e.balance]),
    [
      ['subscription', -64n * price.output, 0n],
      ['subscription', -64n * price.output, 0n],
    ],
  )

  // Yesterday's window is over: the day begins anew, the month goes on.
  await gw.database.db
    .updateTable('subscription_usage')
    .set({ day_start: new Date(midnight - 2 * 86_400_000) })
    .execute()
  const { store } = gw.daemon.gateway
  t.equal((await store.purse('user:1')).holders.length, 0)
  await gw.database.db
    .updateTable('subscriptions')
    .set({ expires_at: new Date(Date.now() - 1000) })
    .execute()
  await gw.inForce()
  const late = await gw.send(body)
  t.equal(late.status, 403)
  t.equal(await codeOf(late), 'SUBSCRIPTION_INVALID')
})

t.test('users do not spend each other’s money', async t => {
  const gw = await gateway(t, rich({}, 0n))
  await addUser(gw.database.db, { name: 'bob', concurrency: 0, balance: parseUsd('1')! })
  const { key } = await createKey(gw.database.db, gw.secret, {
    user: 'bob',
    group: 'main',
    name: 'bob',
    valuePrefix: 'sk-',
  })
  await gw.inForce()
  t.equal((await gw.send(hello(), { key })).status, 200)
  t.equal((await gw.send(hello())).status, 403)
  const [row] = await gw.usage(1)
  t.equal(row!.user, 'bob')
})

t.test('an image is put aside for as an image, not as its base64', async t => {
  const picture = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'A'.repeat(400_000) } }
  const body = hello({ messages: [{ role: 'user', content: [picture] }] })
  const gw = await gateway(
    t,
    rich(
      {},
      worstOf(
        hello({
          messages: [
            { role: 'user', content: [{ ...picture, source: { ...picture.source, data: 'A'.repeat(9_998) } }] },
          ],
        }),
      ),
    ),
  )
  t.equal((await gw.send(body)).status, 200)
  const text = await gw.send(
    hello({ messages: [{ role: 'user', content: [{ type: 'text', text: JSON.stringify(picture) }] }] }),
  )
  t.equal(text.status, 403, 'a text that looks like one is a text')
})

for (const stream of [true, false])
  t.test(
    `who leaves pays what the upstream says in the end, ${stream ? 'of a stream' : 'of a whole answer'}`,
    async t => {
      const gw = await gateway(t, {
        group: { on_disconnect: 'drain', drain_ms: 20_000 },
        accounts: [{ script: { hold: 1, chunks: ['a', 'b', 'c'], usage: { input_tokens: 30, output_tokens: 50 } } }],
      })
      await leaveAt(t, gw, s => s.holding === 1, stream)
      await until(t, 'it is read on', async () => (await gw.live()).in_flight === 1)
      gw.mock.release()
      matchAll(t, await gw.usage(1), [
        {
          status: 499,
          partial: false,
          input_tokens: 30,
          output_tokens: 50,
          cost: 30n * price.input + 50n * price.output,
        },
      ])
      t.equal(gw.mock.stats().aborted, 0)
    },
  )

t.test('an upstream that does not come to its end in time is left, and what came of it is paid', async t => {
  const gw = await gateway(t, {
    group: { on_disconnect: 'drain', drain_ms: 50 },
    accounts: [
      {
        script: {
          hold: 4,
          chunks: ['some forty characters of an honest answer', 'b', 'c'],
          usage: { input_tokens: 30, output_tokens: 50 },
        },
      },
    ],
  })
  await leaveAt(t, gw, s => s.holding === 1)
  await gw.mock.until(s => s.aborted === 1, undefined, 5_000)
  const [row] = await gw.usage(1)
  t.match(row, { status: 499, partial: true, input_tokens: 30 })
  t.ok(row!.output_tokens >= 5 && row!.output_tokens <= 20, `${row!.output_tokens} tokens are reckoned`)
  t.equal(row!.charged, 30n * price.input + BigInt(row!.output_tokens) * price.output)
})

t.test('where leaving ends the upstream, a prompt that was sent is paid all the same', async t => {
  const gw = await gateway(t, { accounts: [{ script: { hold: 'start' } }] })
  await leaveAt(t, gw, s => s.holding === 1)
  await gw.mock.until(s => s.aborted === 1, undefined, 5_000)
  const [row] = await gw.usage(1)
  t.match(row, { status: 499, partial: true, output_tokens: 0 })
  t.equal(row!.input_tokens, Math.ceil(Buffer.byteLength(JSON.stringify(hello({ stream: true }))) / 4))
})

t.test('who leaves before anything was sent pays nothing', async t => {
  const gw = await gateway(t, {
    group: { on_disconnect: 'drain', drain_ms: 20_000 },
    accounts: [{ concurrency: 1, script: { hold: 'start' } }],
  })
  const first = gw.send(hello())
  await gw.mock.until(s => s.holding === 1)
  await leaveAt(t, gw, async () => (await gw.live()).waiting === 1)
  await until(t, 'nobody waits', async () => (await gw.live()).waiting === 0)
  gw.mock.release()
  t.equal((await first).status, 200)
  t.equal((await gw.usage(1)).length, 1)
})

t.test('a refusal costs nothing: a large one, one inside a 200, and one that nobody waits for', async t => {
  const gw = await gateway(t, { group: { on_disconnect: 'drain', drain_ms: 20_000 } })
  const large = { status: 400, error: { type: 'invalid_request_error', message: 'x'.repeat(100_000) } }
  gw.mock.script('cred-a1', large)
  t.equal((await gw.send(hello())).status, 400)
  gw.mock.script('cred-a1', { errorAt: 0, error: { type: 'invalid_request_error', message: 'no' } })
  t.match(await (await gw.send(hello({ stream: true }))).text(), /invalid_request_error/)
  for (const refusal of [
    large,
    { errorAt: 0, status: 529 },
    { end: 0 },
    { reset: 0 as const },
    { reset: 'start' as const },
  ])
    for (const stream of [true, false]) {
      gw.mock.script('cred-a1', { hold: 'start', ...refusal })
      await leaveAt(t, gw, s => s.holding === 1, stream)
      await until(t, 'it is read on', async () => (await gw.live()).in_flight === 1)
      gw.mock.release()
      await until(t, 'it is over', async () => (await gw.live()).in_flight === 0)
      await gw.heal()
    }
  gw.mock.script('cred-a1', {})
  t.equal((await gw.send(hello())).status, 200)
  t.equal((await gw.usage(1)).length, 1, 'of all these only the answer is on the bill')
})

t.test('who asks for more than there can be is told so', async t => {
  const gw = await gateway(t)
  const reply = await gw.send(hello({ max_tokens: Number.MAX_SAFE_INTEGER, model: 'claude-sonnet-5-5' }))
  t.equal(reply.status, 200, '10 000 000 tokens of 10 USD a million are below 1000 USD')
  await setGroup(gw.database.db, 'main', { multiplier: '999999' })
  await gw.inForce()
  t.equal(await codeOf(await gw.send(hello({ max_tokens: Number.MAX_SAFE_INTEGER }))), 'INSUFFICIENT_BALANCE')
  await setGroup(gw.database.db, 'main', { billing: 'subscription', daily_limit: worstOf(hello()) - 1n })
  await assignSubscription(gw.database.db, { user: 'alice', group: 'main', days: 1 })
  await gw.inForce()
  const small = await gw.send(hello())
  t.equal(small.status, 403)
  t.match(await small.json(), { error: { code: 'LIMIT_TOO_SMALL', message: /^Daily usage limit is 0\./ } })
})

t.test('a shutdown does not wait for those who have left', async t => {
  const gw = await gateway(t, {
    group: { on_disconnect: 'drain', drain_ms: 60_000 },
    accounts: [{ script: { hold: 'start' } }],
  })
  await leaveAt(t, gw, s => s.holding === 1)
  await until(t, 'it is read on', async () => (await gw.live()).in_flight === 1)
  for (const down of gw.daemon.gateway.live) down.interrupt(new Failure('DRAINING', ['is shutting down']))
  await gw.mock.until(s => s.aborted === 1, undefined, 5_000)
})

t.test('with a full disk new requests are refused, and readiness says why', async t => {
  const full = { 'billing.min_free_disk': 2 ** 50 }
  const gw = await gateway(t, { config: full })
  const ready = async (one: TestGateway) => {
    const reply = await fetch(`${one.daemon.opsUrl}/readyz`)
    return { status: reply.status, body: (await reply.json()) as object }
  }
  matchAll(t, await ready(gw), { status: 503, body: { status: 'refusing', degraded: [/billing\.min_free_disk/] } })
  const refused = await gw.send(hello())
  t.equal(refused.status, 503)
  t.match(refused.headers.get('retry-after'), /^[1-9]\d*$/)
  t.equal(await codeOf(refused), 'BOOKS_CLOSED')

  const lenient = await gateway(t, { config: { ...full, 'billing.disk_full': 'serve' } })
  t.match(await ready(lenient), { status: 200, body: { status: 'degraded' } })
  t.equal((await lenient.send(hello())).status, 200)
  await lenient.usage(1)
})

t.test('a line that comes twice is booked once', async t => {
  const gw = await gateway(t)
  t.equal((await gw.send(hello())).status, 200)
  const [row] = await gw.usage(1)
  const { books } = gw.daemon.gateway
  const line = {
    request_id: requestId(Date.now()),
    at: new Date().toISOString(),
    user_id: 1,
    key_id: 1,
    platform: 'anthropic',
    model: 'm',
    stream: false,
    status: 200,
    cost: '5',
    charged: '5',
    billing: 'balance',
    partial: false,
    duration_ms: 1,
    attempts: 1,
    input_tokens: 0,
    output_tokens: 0,
    cache_write_5m_tokens: 0,
    cache_write_1h_tokens: 0,
    cache_read_tokens: 0,
  }
  for (let i = 0; i < 3; i++) books.settle(JSON.stringify(line))
  await gw.usage(2)
  for (let i = 0; i < 3; i++) books.settle(JSON.stringify(line))
  books.settle(JSON.stringify({ ...line, request_id: requestId(Date.now()) }))
  await gw.usage(3)
  t.equal(await spent(gw), parseUsd('1000')! - row!.charged - 10n)
})

/** A client that leaves when the fact holds. */
async function leaveAt(
  t: Test,
  gw: TestGateway,
  fact: ((s: ReturnType<TestGateway['mock']['stats']>) => boolean) | (() => Promise<boolean>),
  stream = true,
): Promise<void> {
  const leave = new AbortController()
  const left = gw.send(hello({ stream }), { signal: leave.signal }).then(reply => reply.text())
  await until(t, 'it is time to leave', () => fact(gw.mock.stats()))
  leave.abort()
  await t.rejects(left)
}
