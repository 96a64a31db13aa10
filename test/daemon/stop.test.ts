// Ending a daemon while what it stands on stands still: its database, its Redis, whoever reads its log; and letting nobody new in.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import pino from 'pino'
import t, { type Test } from 'tap'
import { listUsage } from '../../src/core/usage/rows.ts'
import { startDaemon } from '../../src/daemon/main.ts'
import { embeddedPaths } from '../../src/db/embedded.ts'
import { startMock } from '../../src/mock/server.ts'
import { home } from '../cli/gw.ts'
import { dataDir, run, serve, setUp, spool } from '../helpers/daemon.ts'
import { gateway, hello, until } from '../helpers/gateway.ts'
import { outageOf } from '../helpers/outage.ts'
import { redisMissing, redisServer } from '../helpers/redis.ts'
import { connect, head, post } from '../helpers/wire.ts'

const ask = (url: string, key: string, more: object = {}) =>
  fetch(`${url}/v1/messages`, { method: 'POST', headers: { 'x-api-key': key }, body: JSON.stringify(hello(more)) })

const lines = (dir: string) => spool(dir).split('\n').filter(Boolean).length

t.test(
  'a daemon ends though neither Postgres nor Redis answers, and the next one books what it left, once',
  { skip: await redisMissing() },
  async t => {
    const gw = await gateway(t)
    const redis = await redisServer(t)
    const outage = await outageOf(t, gw.config['database.url']!)
    const dir = dataDir(t)
    const said: string[] = []
    const log = pino({ level: 'info' }, { write: line => void said.push((JSON.parse(line) as { msg: string }).msg) })
    const config = {
      ...gw.config,
      data_dir: dir,
      'control.socket': path.join(dir, 's'),
      'database.url': outage.url,
      'redis.url': redis.url,
      'usage.flush_interval': 60_000,
      'ops.interval': 3_600_000,
    }
    const daemon = await startDaemon(config, { log, access: pino({ level: 'silent' }) })
    const done = await ask(daemon.url, gw.key)
    await done.text()
    const late = await connect(t, daemon.url)
    await late.write(head('GET /v1/models', { 'x-api-key': gw.key }))
    await late.saw(/"last_id":.*}/)
    gw.mock.script('*', { hold: 4, chunks: ['a', 'b', 'c'] })
    const cut = await ask(daemon.url, gw.key, { stream: true })
    await gw.mock.until(stats => stats.holding === 1)

    outage.silence()
    process.kill(redis.pid(), 'SIGSTOP')
    t.teardown(() => process.kill(redis.pid(), 'SIGCONT'))
    const stopped = daemon.stop(0, 2_000)
    t.match(await cut.text(), /\n\nevent: error\ndata: .*"code":"DRAINING".*\n\n$/, 'who is cut off is told')
    // Usage is on its way to Postgres, or would be.
    await late.write(post(gw.key, hello({ stream: true })))
    t.equal(await late.end(), 'FIN')
    t.match(late.text, /HTTP\/1.1 503 [\s\S]*"code":"DRAINING"/, 'who comes after that is refused, not begun and cut')
    await stopped
    t.equal(lines(dir), 2, 'what was used is on disk')
    const named = said.filter(line => / no end within \d+ ms; gw ends without it$/.test(line))
    t.ok(named.length > 0, 'what did not come to an end is named')
    t.strictSame(
      named.filter(line => /^(store|listener|ops listener|control socket|live stream|leases):/.test(line)),
      [],
      'and is none of what needs no database',
    )

    outage.speak()
    process.kill(redis.pid(), 'SIGCONT')
    const next = await startDaemon(config, { log, access: log })
    await next.stop(0)
    t.equal(spool(dir), '')
    const ids = (await listUsage(gw.database.db, { limit: 10 })).map(row => row.request_id)
    t.strictSame(ids.sort(), [done, cut].map(reply => reply.headers.get('x-request-id')).sort())
    const cli = await home(t, { GW_DATABASE_URL: gw.config['database.url']! })
    t.match(await cli.gw('ledger verify'), { code: 0 })
  },
)

/** Processes that have the folder in their command line: gw, and its Postgres. */
const left = (dir: string) =>
  readdirSync('/proc')
    .filter(pid => /^\d+$/.test(pid))
    .flatMap(pid => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
        return words.includes(dir) ? [words] : []
      } catch {
        return []
      }
    })

const nothingLeft = (t: Test, dir: string) => until(t, 'no process is left', () => left(dir).length === 0)

t.test('a second signal ends gw with its Postgres, though that stands still and nobody reads the log', async t => {
  const dir = dataDir(t)
  const mock = await startMock()
  t.teardown(() => mock.close())
  const env = { GW_USAGE_FLUSH_INTERVAL: '1m' }
  const gw = await serve(t, dir, env, { unread: true })
  const key = await setUp(t, gw, dir, '', mock)
  const ids = []
  for (const stream of [true, false]) {
    const reply = await ask(gw.url, key, { stream })
    await reply.text()
    ids.push(reply.headers.get('x-request-id'))
  }
  const waiting = async () =>
    Number(/^gw_log_lines_waiting (\d+)$/m.exec(await (await fetch(`${gw.opsUrl}/metrics`)).text())![1])
  await until(t, 'the pipe is full', async () => {
    // Of a kilobyte each; a few wait for company anyway.
    for (let n = 0; n < 30; n++) await fetch(`${gw.url}/${'x'.repeat(990)}`).then(reply => reply.text())
    return (await waiting()) > 30
  })
  const postmaster = Number(readFileSync(embeddedPaths(dir).pid, 'utf8').split('\n')[0])
  const children = readdirSync('/proc').filter(pid => {
    const stat = /^\d+$/.test(pid) && existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : ''
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === postmaster
  })
  t.ok(children.length > 3)
  for (const pid of [postmaster, ...children.map(Number)]) process.kill(pid, 'SIGSTOP')
  gw.kill('SIGTERM')
  await until(t, 'the daemon drains', async () => (await gw.status().catch(() => undefined))?.phase !== 'ready')
  gw.kill('SIGTERM')
  t.equal(await gw.end(), 0)
  await nothingLeft(t, dir)
  t.equal(lines(dir), 2)

  // Nor is anything left of a start that is broken off.
  const started = await run(t, dir, env)
  await until(t, 'its Postgres is coming up', () => existsSync(embeddedPaths(dir).pid))
  started.kill('SIGINT')
  t.equal(await started.end(), 130)
  await nothingLeft(t, dir)

  const again = await serve(t, dir, env)
  const cli = await home(t, { GW_DATA_DIR: dir })
  t.match(await cli.gw('ledger verify'), { code: 0 })
  t.match(await cli.json('stop --wait'), { pid: again.pid, in_flight: 0, stopped: true })
  t.equal(await again.end(), 0)
  t.match(await cli.gw('stop'), { code: 4, stderr: /^gw: no gw daemon answers on / })
  t.equal(spool(dir), '')
  const rows = await cli.json<{ request_id: string }[]>('usage list')
  t.strictSame(rows.map(row => row.request_id).sort(), ids.sort(), 'each is on the bill, once')
  await nothingLeft(t, dir)
})

t.test('gw drain lets nobody new in, until that is undone', async t => {
  const gw = await gateway(t, { accounts: [{ script: [{ hold: 4, chunks: ['a', 'b', 'c'] }, {}] }] })
  const cli = await home(t, { GW_DATA_DIR: gw.config.data_dir, GW_DATABASE_URL: gw.config['database.url']! })
  const stream = await ask(gw.url, gw.key, { stream: true })
  t.strictSame(await cli.json('drain'), { drained: true, in_flight: 1 })
  t.match(await cli.gw('drain --wait --timeout 1ms'), { code: 8, stderr: /^gw: 1 request still under way after 1ms; / })
  const refused = await ask(gw.url, gw.key)
  t.match([refused.status, refused.headers.get('retry-after'), refused.headers.get('connection')].join(), '503,5,close')
  const message = 'The gateway takes no new requests at the moment, please retry.'
  t.match(await refused.json(), { error: { type: 'api_error', code: 'DRAINING', message } })
  for (const url of [`${gw.url}/health`, `${gw.daemon.opsUrl}/readyz`]) {
    const reply = await fetch(url)
    t.equal(reply.status, 503, url)
    t.match(await reply.json(), { status: 'draining' })
  }
  const waited = cli.json('drain --wait')
  gw.mock.release()
  t.match(await stream.text(), /event: message_stop\ndata: .*\n\n$/, 'what is under way goes on')
  t.strictSame(await waited, { drained: true, in_flight: 0 })
  t.match(await cli.json('status'), { phase: 'draining' })
  t.match(await cli.gw('drain --undo'), { code: 0, stdout: 'new requests are let in again\n' })
  t.equal((await ask(gw.url, gw.key)).status, 200)
  t.match(await cli.gw('drain --undo --wait'), { code: 2 })
  t.match(await cli.gw('stop'), { code: 5, stderr: /part of another process/ })
})
