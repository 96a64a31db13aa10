// A node that stood still for longer than its leases live: what somebody else holds by then, it does not go on with.
import t from 'tap'
import { type Served, setUp } from '../helpers/daemon.ts'
import { hello, until } from '../helpers/gateway.ts'
import { startTwo } from '../helpers/nodes.ts'
import { redisMissing } from '../helpers/redis.ts'

const LIMIT = 4

t.test('SIGSTOP, then SIGCONT', { skip: await redisMissing() }, async t => {
  const { mock, url, dir, one, two } = await startTwo(t, { leaseTtlMs: 5_000 })
  t.teardown(() => one.kill('SIGCONT'))
  const key = await setUp(t, one, dir, url, mock, { user: { concurrency: LIMIT } })
  await until(t, 'the other hears of the key', async () => (await two.status()).keys === 1)
  mock.script('*', { hold: 4, chunks: ['a', 'b', 'c'] })
  const ask = async (node: Served) => {
    const reply = await fetch(`${node.url}/v1/messages`, {
      method: 'POST',
      headers: { 'x-api-key': key },
      body: JSON.stringify(hello({ stream: true })),
    })
    return `${reply.status} ${await reply.text()}`
  }
  const all = (node: Served) => Promise.all(Array.from({ length: LIMIT }, () => ask(node)))
  const used = async (node: Served) => (await node.live()).users[0]!.slots.used

  const stopped = all(one)
  await mock.until(s => s.holding === LIMIT)
  const waiting = all(two)
  await until(t, 'the others wait', async () => (await two.live()).waiting === LIMIT)
  one.kill('SIGSTOP')
  await mock.until(s => s.requests === 2 * LIMIT && s.holding === 2 * LIMIT, undefined, 20_000)
  t.equal(await used(two), LIMIT, 'the other node has every place')
  one.kill('SIGCONT')

  for (const answer of await stopped) {
    t.match(answer, /\n\nevent: error\ndata: .*"code":"LEASE_LOST".*\n\n$/, 'what was fenced ends with an error')
    t.notMatch(answer, 'message_stop')
  }
  t.match(await mock.until(s => s.inFlight === LIMIT, undefined, 5_000), { aborted: LIMIT }, 'and its provider is told')
  for (const node of [one, two]) t.equal(await used(node), LIMIT, 'nobody else has lost anything')
  mock.release()
  for (const answer of await waiting) t.match(answer, /^200 [\s\S]*event: message_stop\ndata: .*\n\n$/)
  for (const node of [one, two]) await until(t, 'nothing is held', async () => (await used(node)) === 0)
  const again = all(one)
  await mock.until(s => s.holding === LIMIT)
  mock.release()
  for (const answer of await again) t.match(answer, 'message_stop', 'the node serves on')
})
