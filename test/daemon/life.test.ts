// The daemon's life as its operator sees it: signals, exit codes, and what a kill at any moment leaves behind.

import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import http, { type IncomingMessage } from 'node:http'
import path from 'node:path'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { controlClient } from '../../src/control/client.ts'
import type { StatusView } from '../../src/control/view.ts'
import { addGroup } from '../../src/core/record/group.ts'
import { listHealth } from '../../src/core/record/health.ts'
import { listUsage, type UsageRecord } from '../../src/core/usage/rows.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { embeddedPaths } from '../../src/db/embedded.ts'
import { type Mock, startMock } from '../../src/mock/server.ts'
import { bin, home, noTerminal } from '../cli/gw.ts'
import { dataDir, type RunOptions, run, type Served, serve, setUp, spool } from '../helpers/daemon.ts'
import { freshDatabase } from '../helpers/database.ts'
import { hello, type Setup, until } from '../helpers/gateway.ts'
import { matchAll } from '../helpers/match.ts'
import { freePort } from '../helpers/port.ts'
import { refused } from '../helpers/refused.ts'
import { connect, head, post, type Wire } from '../helpers/wire.ts'

interface Life {
  dir: string
  /** of the database */
  url: string
  env: Record<string, string>
  gw: Served
  key: string
  mock: Mock
}

/** A daemon of its own process with one key, one account and the scripted provider behind it. */
async function life(
  t: Test,
  env: Record<string, string> = {},
  setup: Setup = {},
  options: RunOptions = {},
): Promise<Life> {
  const dir = dataDir(t)
  const mock = await startMock()
  t.teardown(() => mock.close())
  const url = await freshDatabase(t)
  const all = { GW_DATABASE_URL: url, ...env }
  const gw = await serve(t, dir, all, options)
  return { dir, url, env: all, gw, key: await setUp(t, gw, dir, url, mock, setup), mock }
}

const ask = (url: string, key: string, more: object = {}) =>
  fetch(`${url}/v1/messages`, { method: 'POST', headers: { 'x-api-key': key }, body: JSON.stringify(hello(more)) })

/** All usage there is, oldest first. */
async function usageIn(dir: string, url: string): Promise<UsageRecord[]> {
  const { config } = loadConfig({ env: url ? { GW_DATABASE_URL: url } : {}, flags: { data_dir: dir } })
  const database = await openDatabase(config, { migrate: false })
  try {
    return (await listUsage(database.db, { limit: 100_000 })).reverse()
  } finally {
    await database.close()
  }
}

const draining = (t: Test, gw: Served) =>
  until(t, 'the daemon drains', async () => (await gw.status()).phase === 'draining')

t.test('SIGTERM: what is under way finishes, what is new is turned away, and nothing is lost', async t => {
  const { dir, url, gw, key, mock } = await life(t)
  mock.script('*', [{ hold: 4, chunks: ['a', 'b', 'c'] }, { hold: 'start' }])
  const stream = ask(gw.url, key, { stream: true })
  await mock.until(stats => stats.holding === 1)
  const whole = ask(gw.url, key)
  await mock.until(stats => stats.holding === 2)
  // A load balancer and a client that keep their connections.
  const balancer = await connect(t, gw.url)
  await balancer.write(head('GET /health'))
  t.match(await balancer.saw(/"ok"}/), /^HTTP\/1.1 200 /)
  const regular = await connect(t, gw.url)
  await regular.write(head('GET /v1/models', { 'x-api-key': key }))
  t.match(await regular.saw(/"last_id":.*}/), /^HTTP\/1.1 200 /)

  gw.kill('SIGTERM')
  await draining(t, gw)
  t.match(await gw.status(), { phase: 'draining', in_flight: 2 })
  await t.rejects(connect(t, gw.url), { code: 'ECONNREFUSED' }, 'new connections are refused')
  await balancer.write(head('GET /health'))
  t.match(await balancer.saw(/"draining"}/), 'HTTP/1.1 503 ', 'who watches is told')
  await regular.write(head('GET /v1/models', { 'x-api-key': key }))
  t.equal(await regular.end(), 'FIN', 'who asks on an open connection is answered for the last time')
  t.equal(regular.text.match(/HTTP\/1.1 200 /g)?.length, 2)
  const ready = await fetch(`${gw.opsUrl}/readyz`)
  t.equal(ready.status, 503)
  t.strictSame(await ready.json(), { status: 'draining', degraded: [] })
  t.equal((await fetch(`${gw.opsUrl}/livez`)).status, 200, 'it is alive all the same')

  mock.release()
  const text = await (await stream).text()
  t.match(text, /event: message_stop\ndata: .*\n\n$/)
  t.notMatch(text, 'event: error')
  t.match(await (await whole).json(), { type: 'message' })
  t.equal(await gw.end(), 0)
  t.equal(gw.stderr.includes('Error'), false)
  const rows = await usageIn(dir, url)
  matchAll(t, rows, [
    { status: 200, partial: false },
    { status: 200, partial: false },
  ])
  t.equal(spool(dir), '')
})

t.test('what gw serve makes is for nobody else', async t => {
  const dir = path.join(dataDir(t), 'made')
  const gw = await serve(t, dir)
  t.equal((await fetch(`${gw.url}/health`)).status, 200)
  // As root Postgres is somebody else, who passes through by its group.
  const passed = process.getuid?.() === 0 ? [dir, path.join(dir, 'postgres')] : []
  for (const folder of passed) t.equal(statSync(folder).mode & 0o777, 0o710, folder)
  const open: string[] = []
  for (const { parentPath, name } of [...readdirSync(dir, { recursive: true, withFileTypes: true })]) {
    const file = path.join(parentPath, name)
    const stats = lstatSync(file, { throwIfNoEntry: false })
    // Of Postgres' own files what comes and goes is not asked.
    if (stats && (stats.mode & 0o077) !== 0 && !stats.isSymbolicLink() && !passed.includes(file)) open.push(file)
  }
  t.strictSame(open, [])
  for (const name of ['lock', 'secret.key', 'spool.id', 'gw.sock']) t.ok(existsSync(path.join(dir, name)), name)
  if (passed.length === 0) t.equal(statSync(dir).mode & 0o777, 0o700)
  gw.kill('SIGTERM')
  t.equal(await gw.end(), 0)
})

t.test('SIGHUP has the configuration read again, and cuts nothing', async t => {
  const folder = t.testdir({ 'gw.yaml': '' })
  const file = path.join(folder, 'gw.yaml')
  const env = { CONFIGURATION_DIRECTORY: folder, GW_QUEUE_SEATS: '7' }
  const { gw, key, mock } = await life(t, env, { accounts: [{ script: { hold: 4, chunks: ['a', 'b', 'c'] } }] })
  const stream = ask(gw.url, key, { stream: true })
  await mock.until(stats => stats.holding === 1)
  // The environment goes before the file, and the flags before both, as at the start.
  writeFileSync(file, 'log.level: debug\nqueue.seats: 8\nlisten: 127.0.0.1:1\n')
  gw.kill('SIGHUP')
  await until(t, 'it is applied', () =>
    gw.stdout.includes('"applied":["log.level"],"restart":[],"msg":"SIGHUP: reloaded"'),
  )
  writeFileSync(file, 'log.level: loud\n')
  gw.kill('SIGHUP')
  await until(t, 'it is refused', () => gw.stdout.includes('SIGHUP: nothing is applied'))
  t.match(gw.stdout, `configuration: ${file}:1:12 log.level: must be `)
  t.match(await gw.status(), { phase: 'ready', degraded: { 0: /^configuration: the last reload was refused/ } })
  mock.release()
  t.match(await (await stream).text(), /event: message_stop\ndata: .*\n\n$/)
  gw.kill('SIGHUP')
  gw.kill('SIGTERM')
  t.equal(await gw.end(), 0)
})

for (const format of ['pretty', 'json'])
  t.test(
    `a terminal that is closed takes neither gw nor its Postgres along (${format})`,
    { skip: noTerminal },
    async t => {
      const dir = dataDir(t)
      const listen = `127.0.0.1:${await freePort()}`
      // The shell that types it is the session's leader, whose terminal hangs up when script(1) is gone.
      const terminal = spawn(
        'script',
        ['-qec', `exec ${bin} serve --data-dir ${dir} --listen ${listen}`, '/dev/null'],
        {
          env: { PATH: process.env['PATH'], HOME: process.env['HOME'], GW_OPS_LISTEN: 'off', GW_LOG_FORMAT: format },
          stdio: ['pipe', 'ignore', 'ignore'],
        },
      )
      const control = controlClient(path.join(dir, 'gw.sock'))
      const status = () => control.get<StatusView>('/status').catch(() => undefined)
      await until(t, 'gw serve is ready', async () => (await status())?.phase === 'ready', 60_000)
      const { pid } = (await status())!
      const alive = () => existsSync(`/proc/${pid}`)
      t.teardown(() => alive() && process.kill(pid, 'SIGKILL'))
      const postgres = readFileSync(embeddedPaths(dir).pid, 'utf8')
      terminal.kill('SIGKILL')
      await once(terminal, 'close')
      process.kill(pid, 'SIGHUP')
      for (let i = 0; i < 20; i++)
        t.equal((await fetch(`http://${listen}/v1/messages`, { method: 'POST' })).status, 401)
      t.equal(readFileSync(embeddedPaths(dir).pid, 'utf8'), postgres)
      process.kill(pid, 'SIGTERM')
      await until(t, 'gw has ended', () => !alive(), 60_000)
      t.notOk(existsSync(embeddedPaths(dir).pid), 'and Postgres with it')
    },
  )

t.test('a drain waits until a slow client has its last byte', async t => {
  const { gw, key, mock } = await life(t, {}, { accounts: [{ script: { hugeBytes: 20 * 1024 * 1024 } }] })
  const request = http.request(`${gw.url}/v1/messages`, { method: 'POST', agent: false, headers: { 'x-api-key': key } })
  request.end(JSON.stringify(hello()))
  const [reply] = (await once(request, 'response')) as [IncomingMessage]
  reply.pause()
  t.equal(mock.stats().completed, 1, 'the provider is done')
  gw.kill('SIGTERM')
  await draining(t, gw)
  let bytes = 0
  for await (const chunk of reply) bytes += chunk.length
  t.equal(bytes, mock.stats().bodies[0]!.responseBytes)
  t.equal(await gw.end(), 0)
})

for (const [what, drain, again] of [
  ['when drain_timeout has passed', '300ms', false],
  ['at SIGTERM after gw stop', '600s', true],
] as const)
  t.test(`${what}, what is left is ended with an error its client understands`, async t => {
    const { dir, url, env, gw, key, mock } = await life(t, { GW_DRAIN_TIMEOUT: drain })
    mock.script('*', [{ hold: 4, chunks: ['a', 'b', 'c'] }, { hold: 'start' }])
    const stream = await ask(gw.url, key, { stream: true })
    const whole = ask(gw.url, key)
    await mock.until(stats => stats.holding === 2)
    if (again) {
      const cli = await home(t, { GW_DATA_DIR: dir })
      t.match(await cli.json('stop'), { in_flight: 2, stopped: false })
      await draining(t, gw)
      t.match(await cli.gw('stop --wait --timeout 1s'), { code: 8 }, 'to ask for it once more makes no haste')
      t.match(mock.stats(), { holding: 2 })
    }
    gw.kill('SIGTERM')
    const message = 'The gateway is shutting down, please retry.'
    const [, error = '{}'] = /\n\nevent: error\ndata: (.*)\n\n$/.exec(await stream.text()) ?? []
    t.strictSame(JSON.parse(error), {
      type: 'error',
      error: { type: 'api_error', message, code: 'DRAINING' },
      request_id: stream.headers.get('x-request-id'),
    })
    await refused(t, await whole, [503, 'api_error', 'DRAINING', message])
    t.equal(await gw.end(), 0)
    t.match(await mock.until(stats => stats.inFlight === 0, undefined, 5_000), { aborted: 2 }, 'the provider is told')
    if (again) {
      // Within a second a batch may have been booked, or not, or not been seen off: whoever starts next does the rest, and only that.
      const next = await serve(t, dir, env)
      await until(t, 'nothing is in the spool', () => spool(dir) === '')
      next.kill('SIGTERM')
      t.equal(await next.end(), 0)
    }
    matchAll(t, await usageIn(dir, url), [{ partial: true, status: 503 }], 'what was used is on the bill')
    t.equal(spool(dir), '')
  })

t.test('a daemon that may not start says why in one line, and harms nobody', async t => {
  const { dir, env, gw, key } = await life(t)
  const second = await run(t, dir, env)
  t.equal(await second.end(), 7)
  t.match(second.stderr, /^gw: data_dir \S+ is in use by another gw serve; .+\n$/)
  const sameKey = { ...env, GW_SECRET_KEY_FILE: path.join(dir, 'secret.key') }
  const elsewhere = await run(t, dataDir(t), sameKey, { listen: new URL(gw.url).host })
  t.equal(await elsewhere.end(), 4)
  t.match(elsewhere.stderr, /^gw: listen 127\.0\.0\.1:\d+: another program listens there; .+\n$/)
  const lost = await run(t, dataDir(t), { GW_DATABASE_URL: 'postgres://gw@127.0.0.1:1/gw' })
  t.equal(await lost.end(), 4)
  t.match(lost.stderr, /^gw: database\.url: nobody listens there \(127\.0\.0\.1 port 1\); .*\n$/)
  for (const { stderr } of [second, elsewhere, lost]) t.equal(stderr.split('\n').length, 2, 'one line')
  t.equal((await ask(gw.url, key)).status, 200, 'the first one serves on')
})

/**
 * Clients that ask again and again. What they have received in full is in `received`, by request id; `each` is told
 * of it at once.
 */
function traffic(url: string, key: string, clients: number, each: (id: string) => void = () => {}) {
  const received: string[] = []
  const refusals: string[] = []
  let going = true
  const client = async (i: number) => {
    while (going) {
      try {
        const reply = await ask(url, key, { stream: i % 2 === 0 })
        const text = await reply.text()
        if (reply.status === 200) {
          const id = reply.headers.get('x-request-id')!
          received.push(id)
          each(id)
        } else refusals.push(`${reply.status} ${text}`)
      } catch (error) {
        if (going) refusals.push(String(error))
        return
      }
    }
  }
  const done = Promise.all(Array.from({ length: clients }, (_, i) => client(i)))
  return {
    received,
    refusals,
    async stop() {
      going = false
      await done
    },
    done,
  }
}

const nothingWaits = (t: Test, gw: Served) =>
  until(t, 'no usage waits in the spool', async () =>
    /^gw_spool_lines 0$/m.test(await (await fetch(`${gw.opsUrl}/metrics`)).text()),
  )

t.test('kill -9 under traffic: what a client has received is on the bill, once, and no place is held', async t => {
  // A slow flush leaves much in the spool.
  const lazy = { GW_USAGE_FLUSH_INTERVAL: '1m' }
  const { dir, url, env, gw, key, mock } = await life(t, lazy, { user: { concurrency: 9 } })
  // One client has its last event, but not yet the end of the response.
  mock.script('*', [{ hold: 99 }, {}])
  const unended = await connect(t, gw.url)
  await unended.write(post(key, hello({ stream: true })))
  const [, first = ''] = /x-request-id: (\S+)/.exec(await unended.saw(/event: message_stop\ndata: .*\n\n/)) ?? []
  const notOnDisk: string[] = []
  const { received, done } = traffic(gw.url, key, 8, id => {
    if (!spool(dir).includes(id)) notOnDisk.push(id)
  })
  await until(t, '60 answers have been received', () => received.length >= 60)
  t.strictSame(notOnDisk, [], 'it is on disk before the client can know that it is done')
  gw.kill('SIGKILL')
  await done
  t.equal(await gw.end(), 'SIGKILL')
  t.ok(spool(dir).length > 0, 'it died with usage in its spool')
  t.strictSame(await usageIn(dir, url), [], 'and none of it in the database')

  const again = await serve(t, dir, env)
  await nothingWaits(t, again)
  const rows = await usageIn(dir, url)
  const ids = rows.map(row => row.request_id)
  t.equal(new Set(ids).size, ids.length, 'nothing twice')
  t.strictSame(
    [first, ...received].filter(id => !ids.includes(id)),
    [],
    'nothing missing',
  )
  t.ok(ids.length <= mock.stats().billed.requests, 'nothing that the provider did not do')
  matchAll(t, (await again.live()).users, [{ name: 'alice', slots: { used: 0, limit: 9 } }])
  mock.script('*', { hold: true })
  const replies = Array.from({ length: 9 }, () => ask(again.url, key))
  await mock.until(stats => stats.holding === 9)
  mock.release()
  for (const reply of await Promise.all(replies)) t.equal(reply.status, 200, 'every place can be had')
  again.kill('SIGTERM')
  t.equal(await again.end(), 0)
  t.equal((await usageIn(dir, url)).length, ids.length + 9)
  t.equal(spool(dir), '')
})

t.test('usage that an older gw left, or a worker that is no longer started, is booked once', async t => {
  const { dir, url, env, gw, key } = await life(t, { GW_USAGE_FLUSH_INTERVAL: '1m' })
  const folder = path.join(dir, 'spool')
  const own = path.join(folder, '0')
  const two = async (served: Served) => {
    const replies = await Promise.all([ask(served.url, key), ask(served.url, key)])
    for (const reply of replies) await reply.text()
    served.kill('SIGKILL')
    t.equal(await served.end(), 'SIGKILL')
    t.equal(readdirSync(own).length, 1, 'it died with usage in its spool')
    return replies.map(reply => reply.headers.get('x-request-id')!)
  }
  const booked = async () => (await usageIn(dir, url)).map(row => row.request_id).sort()

  const ids = await two(gw)
  const [name] = readdirSync(own) as [string]
  renameSync(path.join(own, name), path.join(folder, name))
  rmdirSync(own)
  // The same lines again, and under the same name.
  mkdirSync(path.join(folder, '7'))
  copyFileSync(path.join(folder, name), path.join(folder, '7', name))
  const again = await serve(t, dir, env)
  await nothingWaits(t, again)
  t.strictSame(readdirSync(folder), ['0'], 'nothing is left in either place')
  t.strictSame(await booked(), ids.sort())

  ids.push(...(await two(again)))
  const [later] = readdirSync(own) as [string]
  mkdirSync(path.join(folder, '12'))
  renameSync(path.join(own, later), path.join(folder, '12', later))
  const last = await serve(t, dir, env)
  await nothingWaits(t, last)
  t.strictSame(await booked(), ids.sort(), 'of a worker that is gone, too')
  last.kill('SIGTERM')
  t.equal(await last.end(), 0)
  t.equal(spool(dir), '')
})

t.test(
  'damaged usage keeps gw from nothing: it is set aside, counted, and tried again or dropped by the operator',
  async t => {
    const { dir, url, env, gw, key } = await life(t, { GW_USAGE_FLUSH_INTERVAL: '1m' })
    const cli = await home(t, { GW_DATABASE_URL: url, GW_DATA_DIR: dir })
    await (await ask(gw.url, key)).text()
    gw.kill('SIGKILL')
    await gw.end()
    const folder = path.join(dir, 'spool/0')
    const segment = path.join(folder, readdirSync(folder)[0]!)
    const [good] = readFileSync(segment, 'utf8').split('\n') as [string]
    const other = (change: object) =>
      JSON.stringify({ ...(JSON.parse(good) as object), request_id: randomUUID(), charged: '2000000000', ...change })
    const tomorrows = other({ user_id: 2 })
    writeFileSync(segment, ['no json', other({ charged: 'twelve' }), good, tomorrows, ''].join('\n'))

    const again = await serve(t, dir, env)
    await nothingWaits(t, again)
    t.strictSame((await usageIn(dir, url)).length, 1, 'what is whole is booked')
    const ready = async () => (await fetch(`${again.opsUrl}/readyz`)).json()
    const degraded = (count: string) => [`ledger: ${count} refused and charged to nobody (gw ledger refused list)`]
    t.strictSame(await ready(), { status: 'degraded', degraded: degraded('3 usage lines') })
    t.match(await (await fetch(`${again.opsUrl}/metrics`)).text(), /^gw_refused_lines 3$/m)
    const list =
      await cli.json<{ number: number; why: string; charged: string | null; line: string }[]>('ledger refused list')
    t.strictSame(
      list.map(({ number, charged }) => [number, charged]),
      [
        [1, null],
        [2, null],
        [3, '2.00'],
      ],
    )
    t.match(list[0]!.why, /^it is no JSON/)
    t.match(list[1]!.why, /^charged must be a whole number of nano-USD as text, got "twelve"/)
    t.equal(list[2]!.line, tomorrows)

    t.match(await cli.gw('ledger refused retry'), { code: 2, stderr: /name the lines/ })
    t.match(await cli.gw('ledger refused retry 9'), { code: 6, stderr: /no refused line "9"/ })
    t.match(await cli.gw('ledger refused retry --all'), {
      code: 5,
      stderr: /^gw: 3 of 3 usage lines cannot be booked/m,
    })
    // What kept one of them is mended.
    t.equal((await cli.json('user add late --balance 5'))['id'], 2)
    t.match(await cli.gw('ledger refused retry 3 --dry-run'), { code: 0, stderr: /nothing changed/ })
    t.strictSame(((await ready()) as { degraded: string[] }).degraded, degraded('3 usage lines'))
    const retried = await cli.gw('ledger refused retry --all --json')
    t.equal(retried.code, 8)
    t.strictSame(
      (JSON.parse(retried.stdout) as { booked: boolean }[]).map(one => one.booked),
      [false, false, true],
    )
    t.equal((await cli.json('user show late'))['balance'], '3.00')
    t.match(await cli.gw('ledger verify'), { code: 0 })
    t.strictSame(((await ready()) as { degraded: string[] }).degraded, degraded('2 usage lines'))

    t.match(await cli.gw('ledger refused drop --all'), { code: 5, stderr: /add --yes/ })
    t.match(await cli.gw(`ledger refused drop 1 --yes`), { code: 0 })
    t.strictSame(((await ready()) as { degraded: string[] }).degraded, degraded('1 usage line'))
    t.match(await cli.gw('ledger refused drop --all --yes'), { code: 0 })
    t.strictSame(await ready(), { status: 'ok', degraded: [] })
    t.match(await cli.gw('ledger refused list'), { code: 0, stderr: 'no line is refused\n' })
  },
)

t.test(
  'kill -9 of the embedded Postgres under traffic: requests go on, usage comes later, nothing is lost',
  async t => {
    const dir = dataDir(t)
    const mock = await startMock({ record: false })
    t.teardown(() => mock.close())
    const gw = await serve(t, dir)
    const key = await setUp(t, gw, dir, '', mock)
    const postmaster = () => Number(readFileSync(embeddedPaths(dir).pid, 'utf8').split('\n')[0])
    const killed = postmaster()
    const clients = traffic(gw.url, key, 4)
    const { received, refusals } = clients
    await until(t, 'there is traffic', () => received.length >= 20)
    process.kill(killed, 'SIGKILL')
    const then = received.length
    await until(t, 'there is traffic without a database', () => received.length >= then + 100)
    await until(
      t,
      'Postgres is back',
      async () => {
        const { degraded } = await gw.status()
        return degraded.length === 0 && postmaster() !== killed
      },
      30_000,
    )
    const now = received.length
    await until(t, 'there is traffic after it', () => received.length >= now + 20)
    await clients.stop()
    t.strictSame(refusals, [], 'no client noticed')
    await nothingWaits(t, gw)
    t.strictSame(
      (await usageIn(dir, '')).map(row => row.request_id).sort(),
      received.sort(),
      'each is on the bill, once',
    )

    // Changes are heard again.
    const { config } = loadConfig({ env: {}, flags: { data_dir: dir } })
    const database = await openDatabase(config, { migrate: false })
    await addGroup(database.db, { name: 'later', platform: 'anthropic' })
    await database.close()
    await until(t, 'a change is heard', async () => (await gw.live()).groups.length === 2)
    gw.kill('SIGTERM')
    t.equal(await gw.end(), 0)
    t.equal(spool(dir), '')
    t.throws(() => process.kill(postmaster(), 0), 'it took its Postgres along')
  },
)

t.test('what it says of itself: control socket, probes, metrics', async t => {
  const { dir, gw, key, mock } = await life(t, { GW_OPS_TOKEN: 'let-me-in-please' }, { user: { concurrency: 3 } })
  await (await ask(gw.url, key)).text()
  mock.script('*', { hold: true })
  const held = ask(gw.url, key)
  await mock.until(stats => stats.holding === 1)

  const socket = path.join(dir, 'gw.sock')
  t.equal(statSync(socket).mode & 0o777, 0o600)
  matchAll(t, await gw.status(), {
    version: /^\d+\.\d+\.\d+/,
    pid: gw.pid,
    started_at: /^\d{4}-\d\d-\d\dT/,
    phase: 'ready',
    listen: gw.url,
    ops_listen: gw.opsUrl,
    database: 'external',
    in_flight: 1,
    accounts: 1,
    users: 1,
    keys: 1,
    degraded: [],
  })
  matchAll(t, await gw.live(), {
    in_flight: 1,
    users: [{ name: 'alice', slots: { used: 1, limit: 3 } }],
    accounts: [
      { name: 'a1', platform: 'anthropic', groups: ['main'], slots: { used: 1, limit: 0 }, state: 'available' },
    ],
    groups: [{ name: 'main', slots: { used: 1, limit: 0 }, available: 1, accounts: 1 }],
    nodes: [{ pid: gw.pid, in_flight: 1 }],
  })
  await t.rejects(controlClient(socket).get('/nope'), { message: 'no GET /nope here' })

  const ops = async (path: string, init: RequestInit = {}) => {
    const reply = await fetch(gw.opsUrl + path, init)
    return { status: reply.status, text: await reply.text() }
  }
  t.strictSame(await ops('/livez'), { status: 200, text: '{"status":"ok"}' })
  t.strictSame(await ops('/readyz'), { status: 200, text: '{"status":"ok","degraded":[]}' })
  t.match(await ops('/nope'), { status: 404 })
  t.match(await ops('/livez', { method: 'POST' }), { status: 405 })
  t.match(await ops('/metrics'), { status: 401 }, 'metrics are for who has the token')
  t.match(await ops('/metrics', { headers: { authorization: 'Bearer let-me-in' } }), { status: 401 })
  const { status, text } = await ops('/metrics', { headers: { authorization: 'Bearer let-me-in-please' } })
  t.equal(status, 200)
  t.match(text, 'gw_requests_total{platform="anthropic",status="200",code=""} 1\n')
  t.match(text, 'gw_requests_in_flight 1\n')
  t.match(text, 'gw_upstream_attempts_total{account="a1",status="200"} 1\n')
  t.equal((await fetch(`${gw.url}/metrics`)).status, 404, 'and clients find none of it')
  mock.release()
  t.equal((await held).status, 200)
})

t.test('out of file descriptors no account is blamed, and clients are told to come back', async t => {
  const accounts = [{ name: 'a' }, { name: 'b' }]
  const { gw, key, dir, env } = await life(t, {}, { accounts }, { openFiles: 128 })
  const asking = await Promise.all(Array.from({ length: 10 }, () => connect(t, gw.url)))
  const others: Wire[] = []
  await until(t, 'no file is left for another connection', async () => {
    others.push(await connect(t, gw.url))
    return others.some(wire => wire.ended !== undefined)
  })
  for (const wire of asking) {
    await wire.write(post(key, hello()))
    const [top = '', said = ''] = (await wire.saw(/\r\n\r\n\{.*\}$/s)).split('\r\n\r\n')
    t.match(top, /^HTTP\/1.1 503 /)
    t.match(top, /\r\nretry-after: 2\r\n/i)
    t.match(JSON.parse(said), { error: { type: 'api_error', code: 'NODE_TROUBLE' } })
  }
  for (const wire of [...asking, ...others]) wire.leave()

  const ops = async (path: string) => (await fetch(gw.opsUrl + path)).text()
  let ready = ''
  await until(t, 'there are files again', async () => (ready = await ops('/readyz').catch(() => '')) !== '')
  const { status, degraded } = JSON.parse(ready) as { status: string; degraded: string[] }
  t.equal(status, 'degraded')
  t.match(degraded[0], /^this node: EMFILE: too many open files/)
  // What gw writes down of itself may have met it, too; nothing else is wrong.
  for (const also of degraded.slice(1)) t.match(also, /^gw explain: EMFILE/)
  t.match(await ops('/metrics'), '\ngw_node_trouble_total{code="EMFILE"} 10\n')
  const lines = () => (gw.stdout + gw.stderr).match(/EMFILE: too many open files[^(]*no account is blamed/g)
  await until(t, 'the log says so', () => lines() !== null)
  t.equal(lines()!.length, 1, 'in one line for all of them')
  t.strictSame(
    (await gw.live()).accounts.map(({ name, state, reason }) => ({ name, state, reason })),
    accounts.map(({ name }) => ({ name, state: 'available', reason: null })),
  )
  const { config } = loadConfig({ env, flags: { data_dir: dir } })
  const database = await openDatabase(config, { migrate: false })
  t.strictSame(await listHealth(database.db, new Date(0)).finally(() => database.close()), [], 'nothing is stored')
  t.equal((await ask(gw.url, key)).status, 200)
})
