// A client that leaves: its user's place is back at once, and its upstream is read on as the group says.
import t from 'tap'
import type { NewGroup } from '../../src/core/record/group.ts'
import type { Step } from '../../src/mock/step.ts'
import { gateway, hello, type TestGateway, until } from '../helpers/gateway.ts'
import { serving } from '../helpers/serving.ts'

const policies: Record<string, Omit<NewGroup, 'name' | 'platform'>> = {
  stop: { on_disconnect: 'stop' },
  abort: { on_disconnect: 'abort' },
  drain: { on_disconnect: 'drain', drain_ms: 60_000 },
}

/** One place for the user, and a provider that says so much. */
const place = (t: Parameters<typeof gateway>[0], group: keyof typeof policies, script: Step) =>
  gateway(t, {
    group: policies[group]!,
    user: { concurrency: 1 },
    accounts: [{ concurrency: 1, script: [script, {}] }, { concurrency: 1 }],
  })

/** Sends it, and leaves when the provider waits. */
async function leaves(gw: TestGateway, stream: boolean): Promise<void> {
  const leave = new AbortController()
  const reply = gw
    .send(hello({ stream }), { signal: leave.signal })
    .then(reply => reply.text())
    .catch(() => 'left')
  await gw.mock.until(s => s.holding === 1)
  leave.abort()
  await reply
}

// Well before the ten seconds are over for which an upstream is read on that says nothing.
const closed = (gw: TestGateway) => gw.mock.until(s => s.aborted === 1, undefined, 7_000)

const used = async (gw: TestGateway) => {
  const { users, accounts } = await gw.live()
  return { user: users[0]!.slots.used, accounts: accounts.reduce((sum, a) => sum + a.slots.used, 0) }
}

t.test('the user’s place is back at once, whatever the group says', async t => {
  for (const policy of Object.keys(policies))
    for (const stream of [true, false]) {
      const gw = await place(t, policy, { hold: 'start' })
      await leaves(gw, stream)
      // Refused after half a minute if the place were still taken.
      const next = await gw.send(hello({ stream, messages: [{ role: 'user', content: 'next' }] }))
      t.equal(next.status, 200, `${policy}, stream ${stream}`)
      await next.text()
      if (policy === 'abort') await until(t, 'nothing is held', async () => (await used(gw)).accounts === 0)
      else {
        await until(t, 'only the account’s place is held', async () => (await used(gw)).user === 0)
        t.strictSame(await used(gw), { user: 0, accounts: 1 }, `${policy}: the provider works on`)
      }
      gw.mock.release()
      await gw.usage(2)
    }
})

t.test('stop: what the input cost is waited for, and no more', async t => {
  const usage = { input_tokens: 30, cache_read_input_tokens: 200, output_tokens: 99 }
  const chunks = ['12345678', '12345678', '12345678']
  t.test('it was told already', async t => {
    const gw = await place(t, 'stop', { usage, chunks, hold: 4 })
    await leaves(gw, true)
    await closed(gw)
    const [row] = await gw.usage(1)
    t.match(row, { input_tokens: 30, cache_read_tokens: 200, partial: true, status: 499 })
    t.equal(row!.output_tokens, 4, 'two deltas of eight bytes have passed')
  })
  t.test('it is told in the answer’s first event', async t => {
    const gw = await place(t, 'stop', { usage, chunks, hold: ['start', 1] })
    await leaves(gw, true)
    t.equal(gw.mock.stats().aborted, 0, 'nothing has been told: it is read on')
    gw.mock.release()
    await closed(gw)
    const [row] = await gw.usage(1)
    // message_start says 1: no part of it has passed, and it is not read to its end.
    t.match(row, { input_tokens: 30, cache_read_tokens: 200, output_tokens: 1, partial: true })
  })
  t.test('it is told at the end of a whole answer', async t => {
    const gw = await place(t, 'stop', { usage, hold: 'start' })
    await leaves(gw, false)
    gw.mock.release()
    const [row] = await gw.usage(1)
    t.match(row, { input_tokens: 30, cache_read_tokens: 200, output_tokens: 99, partial: false })
  })
  t.test('it is told at the end of a whole answer that is not the end of its connection', async t => {
    const left = Promise.withResolvers<void>()
    const asked = Promise.withResolvers<void>()
    const baseUrl = await serving(t, async (_req, res) => {
      asked.resolve()
      await left.promise
      const body = { type: 'message', content: [{ type: 'text', text: 'hi' }], usage }
      res.write(JSON.stringify(body), () => res.socket!.resetAndDestroy())
    })
    const gw = await gateway(t, { group: policies['stop']!, accounts: [{ baseUrl }] })
    const leave = new AbortController()
    const reply = gw.send(hello(), { signal: leave.signal }).catch(() => 'left')
    await asked.promise
    leave.abort()
    await reply
    await until(t, 'it is read on for the books', async () => (await used(gw)).user === 0)
    left.resolve()
    const [row] = await gw.usage(1)
    t.match(row, { input_tokens: 30, cache_read_tokens: 200, output_tokens: 99, partial: false, status: 499 })
  })
  t.test('it is never told', async t => {
    const gw = await place(t, 'stop', { usage, hold: 'start' })
    await leaves(gw, true)
    await gw.mock.until(s => s.aborted === 1, undefined, 60_000)
    const [row] = await gw.usage(1)
    t.match(row, { partial: true, output_tokens: 0 })
    t.ok(row!.input_tokens > 0, 'what was sent is reckoned')
    t.ok(row!.duration_ms >= 10_000, 'ten seconds were given it')
  })
})
