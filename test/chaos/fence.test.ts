// A node that stood still for longer than its leases live: what somebody else holds by then, it does not go on with.
import path from 'node:path'
import t from 'tap'
import { startMock } from '../../src/mock/server.ts'
import { dataDir, type Served, serve, setUp } from '../helpers/daemon.ts'
import { freshDatabase } from '../helpers/database.ts'
import { hello, until } from '../helpers/gateway.ts'
import { redisMissing, redisServer } from '../helpers/redis.ts'

const LIMIT = 4

t.test('SIGSTOP, then SIGCONT', { skip: await redisMissing() }, async t => {
  const mock = await startMock()
  t.teardown(() => mock.close())
  const redis = await redisServer(t)
  const url = await freshDatabase(t)
  const [dir1, dir2] = [dataDir(t), dataDir(t)]
  const env = { GW_DATABASE_URL: url, GW_REDIS_URL: redis.url, GW_SECRET_KEY_FILE: path.join(dir1, 'secret.key') }
  const one = await serve(t, dir1, env)
  t.teardown(() => one.kill('SIGCONT'))
  const two = await serve(t, dir2, env)
  const key = await setUp(t, one, dir1, url, mock, { user: { concurrency: LIMIT } })
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
  t.match(await mock.until(s => s.inFlight === LIMIT), { aborted: LIMIT }, 'and its provider is told')
  for (const node of [one, two]) t.equal(await used(node), LIMIT, 'nobody else has lost anything')
  mock.release()
  for (const answer of await waiting) t.match(answer, /^200 [\s\S]*event: message_stop\ndata: .*\n\n$/)
  for (const node of [one, two]) await until(t, 'nothing is held', async () => (await used(node)) === 0)
  const again = all(one)
  await mock.until(s => s.holding === LIMIT)
  mock.release()
  for (const answer of await again) t.match(answer, 'message_stop', 'the node serves on')
})
