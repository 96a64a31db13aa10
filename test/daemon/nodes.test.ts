// Nodes know one another by Postgres: what they do without Redis, and what they say.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import pg from 'pg'
import pino from 'pino'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { controlClient } from '../../src/control/client.ts'
import type { StatusView } from '../../src/control/view.ts'
import { beat } from '../../src/core/record/node.ts'
import { type Daemon, startDaemon } from '../../src/daemon/main.ts'
import { joinNodes } from '../../src/daemon/nodes.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { openEars } from '../../src/db/listen.ts'
import { formatUsd } from '../../src/lib/money.ts'
import { openSecret } from '../../src/lib/secret.ts'
import { startMock } from '../../src/mock/server.ts'
import { freshDatabase } from '../helpers/database.ts'
import { hello, populate, type Setup, until } from '../helpers/gateway.ts'
import { matchAll } from '../helpers/match.ts'
import { redisMissing, redisServer } from '../helpers/redis.ts'

const BEAT_MS = 100
/** The worst case of one request, as in test/chaos/nodes.test.ts. */
const WORST = 45n * 2_500n + 64n * 10_000n
/** For 7 of them; what is over pays for those that were answered. */
const BUDGET = 7n * WORST + WORST / 2n

/** One Postgres, one provider; nodes are started as they are wanted, each with its own data_dir. */
async function installation(t: Test, setup: Setup, more: Partial<Config> = {}) {
  const url = await freshDatabase(t)
  const mock = await startMock({ keep: 1_000 })
  t.teardown(() => mock.close())
  const dirs = ['one', 'two'].map(() => {
    const dir = mkdtempSync(path.join(tmpdir(), 'gwn-'))
    t.teardown(() => rmSync(dir, { recursive: true, force: true }))
    return dir
  })
  const configOf = (n: number): Config => ({
    ...loadConfig({ env: {}, flags: { data_dir: dirs[n]! } }).config,
    'database.url': url,
    'secret.key_file': path.join(dirs[0]!, 'secret.key'),
    listen: { host: '127.0.0.1', port: 0 },
    'ops.listen': { host: '127.0.0.1', port: 0 },
    'models.refresh_interval': 0,
    ...more,
  })
  const { db, close } = await openDatabase(configOf(0), { migrate: false })
  t.teardown(close)
  const key = await populate(db, openSecret(configOf(0)['secret.key_file']), mock, setup)
  const start = async (n: number) => {
    const said: string[] = []
    const log = pino({ level: 'info' }, { write: line => void said.push((JSON.parse(line) as { msg: string }).msg) })
    const daemon = await startDaemon(configOf(n), { log, access: pino({ level: 'silent' }), beatMs: BEAT_MS })
    t.teardown(() => daemon.stop(0))
    return { daemon, said, status: () => controlClient(configOf(n)['control.socket']).get<StatusView>('/status') }
  }
  const send = async ({ url }: Daemon, n: number) => {
    const body = JSON.stringify(hello({ messages: [{ role: 'user', content: `${10 + n}` }] }))
    return (await fetch(`${url}/v1/messages`, { method: 'POST', headers: { 'x-api-key': key }, body })).status
  }
  /** How many of so many at once, at each, get to the provider; the others are refused. */
  const admitted = async (nodes: readonly { daemon: Daemon }[], each: number) => {
    mock.script('*', { hold: 'start', usage: { input_tokens: 1, output_tokens: 1 } })
    let refused = 0
    const before = mock.stats().requests
    const replies = nodes.flatMap(({ daemon }) =>
      Array.from({ length: each }, (_, n) => send(daemon, n).then(status => void (status === 200 || refused++))),
    )
    await until(t, 'each is held or refused', () => mock.stats().holding + refused === replies.length)
    const got = mock.stats().requests - before
    mock.release()
    mock.script('*', {})
    await Promise.all(replies)
    return got
  }
  return { url, db, mock, start, admitted }
}

const readiness = async ({ opsUrl }: Daemon) =>
  (await (await fetch(`${opsUrl}/readyz`)).json()) as { status: string; degraded: string[] }

t.test('two nodes on one Postgres without Redis say so, and share what there is', async t => {
  const { url, db, start, admitted } = await installation(t, { user: { balance: formatUsd(BUDGET) } })
  const one = await start(0)
  t.match(await readiness(one.daemon), { status: 'ok' })
  matchAll(t, (await one.status()).nodes, [{ pid: process.pid, shares: 'nothing', this: true }])

  const two = await start(1)
  const words =
    /^nodes: 2 share this Postgres and no Redis, this one and \S+ \(pid \d+\): each admits 1\/2 .* redis\.url/
  t.ok(
    two.said.some(line => words.test(line)),
    'on start',
  )
  await until(t, 'the first has heard', () => one.said.some(line => words.test(line)))
  for (const node of [one, two]) {
    const { status, degraded } = await readiness(node.daemon)
    t.equal(status, 'degraded')
    matchAll(t, degraded, [words])
    const view = await node.status()
    matchAll(t, view.degraded, [words])
    matchAll(t, view.nodes, [{ this: true }, { this: false }])
  }
  t.equal(await admitted([one, two], 10), 6, 'of a budget for 7 each has 3')

  await two.daemon.stop()
  await until(t, 'who leaves says so', async () => (await readiness(one.daemon)).status === 'ok')
  t.ok(one.said.includes('nodes: this one is alone again'))

  const heard: string[] = []
  const ears = new pg.Client(url)
  await ears.connect()
  t.teardown(() => ears.end())
  await ears.query('listen gw_nodes')
  ears.on('notification', ({ payload }) => heard.push(payload!))
  // Of one that died a row stands still, whatever its clock was.
  const dead = { place: 'gone', host: 'attic', version: '0', shares: 'nothing', sees: null } as const
  for (const [process, ahead] of [
    ['dead', 0],
    ['fast', 3_600_000],
  ] as const) {
    for (const _ of ['comes', 'beats']) await beat(db, { ...dead, process, pid: 7 })
    await db
      .updateTable('nodes')
      .set({ beat_at: new Date(Date.now() + ahead) })
      .where('process', '=', process)
      .execute()
  }
  t.strictSame(heard, ['INSERT', 'INSERT'], 'who comes is heard, a heartbeat wakes nobody')
  await until(t, 'they are believed', async () => (await one.status()).nodes.length === 3)
  await until(t, 'and gone after some beats', async () => (await one.status()).nodes.length === 1)
  t.equal(await admitted([one], 10), 7, 'and what it had shared is its own')
})

t.test('with the embedded Postgres nothing is written before somebody comes', async t => {
  const { url, db } = await installation(t, {})
  const ears = await openEars({ connectionString: url }, { log() {} })
  t.teardown(() => ears.close())
  const options = { process: 'own', place: 'here', redis: false, log() {}, beatMs: BEAT_MS }
  const nodes = await joinNodes({ database: { db, embedded: true }, ears, ...options })
  t.teardown(() => nodes.close())
  const rows = async () =>
    (await db.selectFrom('nodes').select('process').orderBy('process').execute()).map(row => row.process)
  t.strictSame(await rows(), [])
  await beat(db, { process: 'guest', place: 'there', host: 'b', pid: 7, version: '0', shares: 'nothing', sees: null })
  await until(t, 'each knows the other', async () => (await rows()).length === 2 && nodes.view().length === 2)
  t.equal(nodes.trouble()?.split(':')[1], ' 2 share this Postgres and no Redis, this one and b (pid 7)')
})

t.test(
  'nodes that are restarted while Redis is away have the share that they had',
  { skip: await redisMissing() },
  async t => {
    const redis = await redisServer(t)
    const { db, start, admitted } = await installation(
      t,
      { user: { balance: formatUsd(BUDGET) } },
      { 'redis.url': redis.url },
    )
    const nodes = [await start(0), await start(1)]
    const known = async () =>
      (await db.selectFrom('settings').select('value').where('key', '=', 'nodes.known').execute())[0]?.value
    await until(t, 'they are counted', async () => (await known()) === 2)
    for (const { daemon } of nodes) t.strictSame(await readiness(daemon), { status: 'ok', degraded: [] })
    await redis.kill()
    await Promise.all(nodes.map(({ daemon }) => daemon.stop()))
    t.strictSame(await db.selectFrom('nodes').selectAll().execute(), [], 'who leaves takes its row away')

    // One after the other: the first finds nobody.
    const again = [await start(0)]
    t.equal(await admitted(again, 10), 3, 'its share of 7 is that of two')
    again.push(await start(1))
    t.equal(await admitted(again, 10), 6)
    for (const { daemon } of again)
      matchAll(t, (await readiness(daemon)).degraded, [/^redis: .* limits are this node's share of 2$/])
    await redis.start()
    for (const { daemon } of again) await until(t, 'all is well', async () => (await readiness(daemon)).status === 'ok')
  },
)
