// Every setting that says a reload applies it: what gw does before, and what it does after. Long, because it is all of them.
import { randomUUID } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { createConnection, createServer, type Socket } from 'node:net'
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { gzipSync } from 'node:zlib'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { type SettingKey, settingKeys, settings } from '../../src/config/schema.ts'
import { controlClient } from '../../src/control/client.ts'
import { addChannel } from '../../src/core/notify/channel.ts'
import { enqueue } from '../../src/core/notify/outbox.ts'
import { addAccount, type NewAccount } from '../../src/core/record/account.ts'
import { addGroup } from '../../src/core/record/group.ts'
import { createKey } from '../../src/core/record/key.ts'
import { addUser } from '../../src/core/record/user.ts'
import { factsOf } from '../../src/dialect/middle/models.ts'
import { parseUsd } from '../../src/lib/money.ts'
import { hello, only, type SendOptions, type TestGateway, until } from '../helpers/gateway.ts'
import { mailServer, receiver } from '../helpers/receiver.ts'
import { type Reloadable, reloadable } from '../helpers/reloadable.ts'
import { head } from '../helpers/wire.ts'

interface World extends Reloadable {
  t: Test
  /** of users with these names */
  keys: Record<'bob' | 'poor' | 'broke' | 'gem', string>
  /** who waits for what does not come leaves with it */
  signal: AbortSignal
  /** that of the gateway, ms */
  clock: { ahead: number }
}

interface Case {
  /** in force from the start; default: the default */
  from?: string
  to: string
  /** other settings that it takes to see anything */
  with?: Record<string, string>
  /** what gw does; asked again until it is what it should be */
  see(w: World): unknown
  /** NOTHING: it does not come; left out: it cannot be asked twice */
  before?: unknown
  after: unknown
}

const NOTHING = Symbol('nothing')
const PATIENT = '1h'
const EVER = '0s'
const OLD = new Date(Date.now() - 400 * 24 * 3_600_000)

// ---- what is seen ----

const codeOf = async (reply: Response): Promise<string> => {
  const { error } = (await reply.json()) as { error?: { code?: string } }
  return error?.code ?? 'OK'
}
const answer = async ({ gw, signal }: World, body: object | Buffer, options: SendOptions = {}) =>
  codeOf(await gw.send(body, { signal, ...options }))
const large = (bytes: number) => hello({ messages: [{ role: 'user', content: 'x'.repeat(bytes) }] })
const turn = (words: string, more: object = {}) =>
  hello({ model: 'warm', messages: [{ role: 'user', content: [{ type: 'text', text: words }] }], ...more })
const isCanned = async (w: World, body: object) =>
  ((await (await w.gw.send(body)).json()) as { id: string }).id === 'msg_mock_warmup'

/** What the client hears whose stream or whole answer stands still somewhere. */
const stalls = (model: string, stream: boolean) => async (w: World) => {
  const reply = await w.gw.send(hello({ model, stream }), { signal: w.signal })
  return /"code":"(\w+)"/.exec(await reply.text())?.[1] ?? 'OK'
}
const stalled = (see: Case['see'], after: string): Case => ({ from: PATIENT, to: '50ms', see, before: NOTHING, after })

/** A connection on which a client says this and no more. */
function opened({ gw, signal }: World, text: string): Socket {
  const { hostname, port } = new URL(gw.url)
  const socket = createConnection(Number(port), hostname, () => socket.write(text))
  signal.addEventListener('abort', () => socket.destroy())
  return socket
}
const said = async (w: World, text: string) =>
  String(await new Promise<Buffer>(resolve => opened(w, text).once('data', resolve))).slice(9, 12)
const closed = (w: World, text: string) =>
  new Promise<boolean>(resolve =>
    opened(w, text)
      .resume()
      .once('end', () => resolve(true)),
  )

/** Every place of the only account of a model's is taken, until the case is over. */
async function occupied({ gw, signal }: World, model: string, options: SendOptions = {}): Promise<void> {
  const credential = gw.credential(`${model}-1`)
  if (gw.mock.stats(credential).holding > 0) return
  gw.mock.script(credential, { hold: 'start' })
  void gw.send(hello({ model }), { signal, ...options }).catch(() => {})
  await gw.mock.until(() => gw.mock.stats(credential).holding === 1)
}

/** What becomes of as many requests where every place is taken: the code, or that it waits. */
async function waits(w: World, model: string, count: number, options: SendOptions = {}): Promise<string[]> {
  await occupied(w, model, options)
  const leave = new AbortController()
  const { places, accountQueue } = w.gw.daemon.gateway
  const waiting = () => places.total() + accountQueue.length
  const seen: string[] = []
  const asked: Promise<unknown>[] = []
  for (let n = 0; n < count; n++) {
    let code: string | undefined
    const before = waiting()
    const one = answer(w, hello({ model }), { ...options, signal: leave.signal }).then(found => (code = found))
    asked.push(one.catch(() => {}))
    await until(w.t, 'it waits or does not', () => code !== undefined || waiting() > before)
    seen.push(code ?? 'waits')
  }
  leave.abort()
  await Promise.all(asked)
  await until(w.t, 'nobody waits', () => waiting() === 0)
  return seen
}

async function openStreams({ gw }: World, count: number): Promise<number[]> {
  const sockets = Array.from(
    { length: count },
    () => new WebSocket(`${gw.daemon.opsUrl!.replace('http', 'ws')}/ops/ws`),
  )
  const one = (socket: WebSocket) =>
    new Promise<number>(resolve => {
      socket.on('open', () => resolve(101))
      socket.on('unexpected-response', (_req, res) => resolve(res.statusCode!))
      socket.on('error', () => {})
    })
  const seen: number[] = []
  for (const socket of sockets) seen.push(await one(socket))
  const closed = sockets.map(socket => new Promise<void>(resolve => socket.on('close', () => resolve())))
  for (const socket of sockets) socket.terminate()
  await Promise.all(closed)
  return seen
}

/** What became of a message to an alert channel that is sent now. */
async function told({ gw, t }: Pick<World, 'gw' | 't'>, channel: string): Promise<string> {
  const { db } = gw.database
  const { rows } = await sql<{ id: number }>`
    insert into alert_events (rule, severity, title, description, metric, op, value, threshold, window_minutes)
    values ('errors', 'P1', 't', 'd', 'error_rate', '>', 7, 5, 1) returning id`.execute(db)
  const event = rows[0]!.id
  const what = { rule_id: null, rule: 'errors', severity: 'P1', dimension: '', title: 't', description: 'd' } as const
  const how = { metric: 'error_rate', op: '>', value: 7, threshold: 5, window_minutes: 1 } as const
  const when = { fired_at: new Date().toISOString(), resolved_at: null }
  const message = { kind: 'firing', ...what, ...how, ...when } as const
  await enqueue(db, { event, message, rule: { notify: [channel], fallback: null } })
  let row: { state: string; error: string | null } | undefined
  await until(t, `what becomes of a message to ${channel}`, async () => {
    row = await db
      .selectFrom('alert_deliveries')
      .select(['state', 'error'])
      .where('event_id', '=', event)
      .executeTakeFirstOrThrow()
    return row.state !== 'pending' || row.error !== null
  })
  return row!.error?.split(/[ :]/)[0] ?? row!.state
}

const KEPT: Record<string, 'day' | 'month'> = {
  usage: 'month',
  usage_minute: 'day',
  usage_hour: 'month',
  usage_day: 'month',
  watch_metrics: 'day',
  watch_cells: 'day',
  watch_minute: 'day',
  watch_hour: 'month',
  watch_day: 'month',
  error_log: 'day',
}
const partition = (table: string) =>
  `${table}_${OLD.toISOString()
    .slice(0, KEPT[table] === 'day' ? 10 : 7)
    .replaceAll('-', '')}`

/** Retention drops what is older than a month, and dropped nothing before. */
const keeps = (table: string): Case => ({
  from: EVER,
  to: '31d',
  async see({ gw }) {
    const { rows } = await sql<{
      there: boolean
    }>`select to_regclass(${partition(table)}) is not null as there`.execute(gw.database.db)
    return rows[0]!.there
  },
  before: true,
  after: false,
})

/** What a command makes of its defaults. */
const made = (line: string, field: string) => async (w: World) => {
  const env = { GW_DATABASE_URL: w.gw.config['database.url']!, GW_SECRET_KEY_FILE: w.gw.config['secret.key_file'] }
  return (await w.cli.json(`${line} --dry-run`, { env }))[field]
}

// ---- the table ----

const cases: Partial<Record<SettingKey, Case>> = {
  // A request is held to what is in force when it comes.
  'limits.body': {
    from: '1MB',
    to: '1KB',
    see: w => answer(w, large(2000)),
    before: 'OK',
    after: 'BODY_TOO_LARGE',
  },
  'limits.decoded_body': {
    from: '1MB',
    to: '1KB',
    see: w => answer(w, gzipSync(JSON.stringify(large(2000))), { headers: { 'content-encoding': 'gzip' } }),
    before: 'OK',
    after: 'BODY_TOO_LARGE',
  },
  'limits.headers': {
    from: '64KB',
    to: '1KB',
    see: w => said(w, head('GET /health', { padding: 'x'.repeat(4000) })),
    before: '200',
    after: '431',
  },
  'limits.bad_keys': {
    from: '0',
    to: '1',
    with: { trusted_proxies: '127.0.0.1' },
    async see(w) {
      const from = { key: 'sk-nobody', headers: { 'x-forwarded-for': '203.0.113.7' } }
      return [await answer(w, hello(), from), await answer(w, hello(), from)].at(-1)
    },
    before: 'INVALID_API_KEY',
    after: 'TOO_MANY_BAD_KEYS',
  },
  trusted_proxies: {
    to: '127.0.0.1',
    async see({ gw, lines, t }) {
      const reply = await gw.send(hello(), { headers: { 'x-forwarded-for': '203.0.113.9' } })
      await reply.text()
      const id = reply.headers.get('x-request-id')!
      const line = () => lines.find(one => one.includes(`"request_id":"${id}"`))
      await until(t, 'it is in the log', () => line() !== undefined)
      return (JSON.parse(line()!) as { ip: string }).ip
    },
    before: '127.0.0.1',
    after: '203.0.113.9',
  },
  'cors.origins': {
    to: 'https://chat.example.com',
    async see({ gw }) {
      const reply = await fetch(`${gw.url}/health`, { headers: { origin: 'https://chat.example.com' } })
      return reply.headers.get('access-control-allow-origin')
    },
    before: null,
    after: 'https://chat.example.com',
  },
  'log.level': {
    to: 'error',
    async see({ gw, lines, t }) {
      const before = lines.length
      await (await gw.send(hello())).text()
      await until(t, 'the request is over', () => gw.daemon.gateway.live.size === 0)
      return lines.slice(before).some(line => line.includes('"msg":"request"'))
    },
    before: true,
    after: false,
  },
  'timeouts.request_header': stalled(w => said(w, 'GET /health HTTP/1.1\r\nhost: gw\r\n'), '408'),
  'timeouts.request_body': stalled(
    w => said(w, head('POST /v1/messages', { 'x-api-key': w.gw.key, 'content-length': 1000 })),
    '408',
  ),
  'timeouts.connect': stalled(stalls('deaf', true), 'UPSTREAM_UNAVAILABLE'),
  'timeouts.response_header': stalled(stalls('headless', true), 'UPSTREAM_UNAVAILABLE'),
  'timeouts.whole_answer': stalled(stalls('slow', false), 'UPSTREAM_TIMEOUT'),
  'timeouts.first_token': stalled(stalls('silent', true), 'UPSTREAM_UNAVAILABLE'),
  'timeouts.idle': stalled(stalls('stuck', true), 'UPSTREAM_IDLE'),
  // Beyond its concurrency, so one waits whatever it is.
  'queue.seats': {
    from: '5',
    to: '0',
    see: w => waits(w, 'queued', 2, { key: w.keys.bob }),
    before: ['waits', 'waits'],
    after: ['waits', 'QUEUE_FULL'],
  },
  'queue.wait': {
    from: PATIENT,
    to: '0s',
    async see(w) {
      await occupied(w, 'queued', { key: w.keys.bob })
      return answer(w, hello({ model: 'queued' }), { key: w.keys.bob })
    },
    before: NOTHING,
    after: 'USER_TIMEOUT',
  },
  'queue.account_seats': {
    from: '5',
    to: '0',
    see: w => waits(w, 'narrow', 1),
    before: ['waits'],
    after: ['QUEUE_FULL'],
  },
  'queue.ping_interval': {
    from: PATIENT,
    to: '1s',
    async see(w) {
      await occupied(w, 'queued', { key: w.keys.bob })
      const asked = w.gw.send(hello({ model: 'queued', stream: true }), { key: w.keys.bob, signal: w.signal })
      await until(w.t, 'it waits', () => w.gw.daemon.gateway.places.total() > 0)
      // The first comes after 8 s, whatever it is.
      w.clock.ahead += 9_000
      const { value } = await (await asked).body!.getReader().read()
      return /ping/.test(String(Buffer.from(value!)))
    },
    before: NOTHING,
    after: true,
  },
  'sticky.ttl': {
    to: '0s',
    async see({ gw }) {
      const session = { 'x-claude-code-session-id': randomUUID() }
      const names = ['shared-1', 'shared-2'] as const
      const asked = () => names.map(name => gw.mock.stats(gw.credential(name)).requests)
      const before = asked()
      for (let n = 0; n < 4; n++) await (await gw.send(hello({ model: 'shared' }), { headers: session })).text()
      return asked().filter((count, i) => count > before[i]!).length
    },
    before: 1,
    after: 2,
  },
  'failover.max_switches': {
    to: '0',
    async see({ gw }) {
      await gw.heal()
      const names = ['fails-1', 'fails-2', 'fails-3']
      const asked = () => names.reduce((sum, name) => sum + gw.mock.stats(gw.credential(name)).requests, 0)
      const before = asked()
      await (await gw.send(hello({ model: 'fails' }))).text()
      return asked() - before
    },
    before: 3,
    after: 1,
  },
  'warmup.texts': { to: 'knit', see: w => isCanned(w, turn('please knit a hat')), before: false, after: true },
  'warmup.exact': { to: 'Tick', see: w => isCanned(w, turn('Tick')), before: false, after: true },
  'warmup.system': {
    to: 'say tock',
    see: w => isCanned(w, turn('hello', { system: [{ type: 'text', text: 'say tock to all' }] })),
    before: false,
    after: true,
  },
  'translate.auto_cache': {
    to: 'false',
    async see({ gw }) {
      const messages = [{ role: 'system', content: 'Be brief.' }, ...hello().messages]
      await (await gw.send({ ...hello(), messages }, { path: '/v1/chat/completions' })).text()
      return gw.mock.stats().bodies.at(-1)!.body!.includes('cache_control')
    },
    before: true,
    after: false,
  },
  'translate.fetch_urls': {
    to: 'false',
    async see({ gw, keys }) {
      const image = { type: 'image_url', image_url: { url: 'https://127.0.0.1/a.png' } }
      const body = { model: 'gemini-3.8-flash', messages: [{ role: 'user', content: [image] }] }
      const reply = await gw.send(body, { path: '/v1/chat/completions', key: keys.gem })
      return /which is loopback|send the bytes/.exec(await reply.text())?.[0]
    },
    before: 'which is loopback',
    after: 'send the bytes',
  },

  // The ops listener.
  'ops.token': {
    to: 'a-long-random-word',
    see: async ({ gw }) => (await fetch(`${gw.daemon.opsUrl}/metrics`)).status,
    before: 200,
    after: 401,
  },
  'ops.ws.connections': { to: '0', see: w => openStreams(w, 1), before: [101], after: [503] },
  'ops.ws.connections_per_address': { to: '1', see: w => openStreams(w, 2), before: [101, 101], after: [101, 429] },
  'ops.ws.origin': { to: 'strict', see: w => openStreams(w, 1), before: [101], after: [403] },
  'ops.explain.size': {
    to: '1MB',
    async see({ gw, cli }) {
      await (await gw.send(hello())).text()
      return readdirSync(path.join(cli.dataDir, 'explain/0')).includes(OLDEST)
    },
    before: true,
    after: false,
  },
  'ops.explain.keep': {
    to: '0s',
    async see({ gw }) {
      const reply = await gw.send(hello())
      await reply.text()
      const control = controlClient(gw.config['control.socket'])
      const asked = control.post<{ source: string }>('/explain', { id: reply.headers.get('x-request-id')! })
      return asked.then(
        found => found.source === 'recorded',
        () => false,
      )
    },
    before: true,
    after: false,
  },

  // Money.
  'billing.overdraft': {
    to: '5',
    see: w => answer(w, hello(), { key: w.keys.broke }),
    before: 'INSUFFICIENT_BALANCE',
    after: 'OK',
  },
  'billing.bytes_per_token': {
    from: '1',
    to: '8',
    see: w => answer(w, large(200_000), { key: w.keys.poor }),
    before: 'INSUFFICIENT_BALANCE',
    after: 'OK',
  },
  'billing.max_output': {
    to: '10',
    see: w => answer(w, { ...hello(), max_tokens: undefined }, { key: w.keys.poor, path: '/v1/chat/completions' }),
    before: 'INSUFFICIENT_BALANCE',
    after: 'OK',
  },
  'billing.min_free_disk': {
    from: '0B',
    to: '1024GB',
    see: w => answer(w, hello()),
    before: 'OK',
    after: 'BOOKS_CLOSED',
  },
  'billing.disk_full': {
    to: 'serve',
    with: { 'billing.min_free_disk': '1024GB' },
    see: w => answer(w, hello()),
    before: 'BOOKS_CLOSED',
    after: 'OK',
  },

  // What is kept.
  'usage.keep': keeps('usage'),
  'usage.keep_minutes': keeps('usage_minute'),
  'usage.keep_hours': keeps('usage_hour'),
  'usage.keep_days': keeps('usage_day'),
  'ops.metrics.keep': keeps('watch_metrics'),
  'ops.cells.keep': keeps('watch_cells'),
  'ops.dimensions.keep_minutes': keeps('watch_minute'),
  'ops.dimensions.keep_hours': keeps('watch_hour'),
  'ops.dimensions.keep_days': keeps('watch_day'),
  'ops.errors.keep': keeps('error_log'),
  'alerts.keep': {
    from: EVER,
    to: '31d',
    async see({ gw }) {
      const { db } = gw.database
      return (await db.selectFrom('alert_events').select('id').where('rule', '=', 'old').execute()).length
    },
    before: 1,
    after: 0,
  },

  // Alerts, and who is told.
  'alerts.file': {
    to: '../alerts.yaml',
    async see({ gw }) {
      const rows = await gw.database.db.selectFrom('alert_rules').select('name').where('source', '=', 'file').execute()
      return rows.map(({ name }) => name)
    },
    before: [],
    after: ['ours'],
  },
  'notify.hourly_cap': { from: '1', to: '0', see: w => told(w, 'hook'), before: 'held', after: 'sent' },
  'smtp.url': {
    to: 'MAIL',
    with: { 'smtp.from': 'gw@example.com', 'smtp.password_file': '../right', 'notify.hourly_cap': '0' },
    see: w => told(w, 'mail'),
    before: 'smtp.url',
    after: 'sent',
  },
  'smtp.from': {
    to: 'gw@example.com',
    with: { 'smtp.url': 'MAIL', 'smtp.password_file': '../right', 'notify.hourly_cap': '0' },
    see: w => told(w, 'mail'),
    before: 'smtp.from',
    after: 'sent',
  },
  'smtp.password_file': {
    from: '../wrong',
    to: '../right',
    with: { 'smtp.url': 'MAIL', 'smtp.from': 'gw@example.com', 'notify.hourly_cap': '0' },
    see: async w => (await told(w, 'mail')) === 'sent',
    before: false,
    after: true,
  },

  // What is done again and again.
  'models.refresh_interval': {
    from: EVER,
    to: '1s',
    see: ({ gw }) => gw.mock.stats('cred-anti').requests > 0,
    before: false,
    after: true,
  },
  'oauth.refresh_before': {
    from: '10s',
    to: '7d',
    see: ({ gw }) => gw.mock.stats('token').requests > 0,
    before: false,
    after: true,
  },
  'models.file': {
    to: '../models.json',
    see: () => factsOf('anthropic', 'mine-1').maxOutput,
    before: 128_000,
    after: 77,
  },

  // What commands read, each time anew.
  'keys.prefix': {
    to: 'mine-',
    see: async w => /^\w+-/.exec(String(await made('key create --user alice --group main --name k', 'key')(w)))?.[0],
    before: 'sk-',
    after: 'mine-',
  },
  'defaults.user_concurrency': { to: '9', see: made('user add eve', 'concurrency'), before: 5, after: 9 },
  'defaults.account_concurrency': {
    to: '9',
    see: made('account add b1 --platform anthropic --group main --api-key-file key', 'concurrency'),
    before: 3,
    after: 9,
  },
  'defaults.account_priority': {
    to: '9',
    see: made('account add b1 --platform anthropic --group main --api-key-file key', 'priority'),
    before: 50,
    after: 9,
  },

  // Connections that rest; then the end.
  'timeouts.keep_alive': {
    from: PATIENT,
    to: '1ms',
    see: w => closed(w, head('GET /health')),
    before: NOTHING,
    after: true,
  },
  drain_timeout: {
    from: PATIENT,
    to: '0s',
    async see(w) {
      await occupied(w, 'queued')
      await w.gw.daemon.stop()
      return 'ends'
    },
    after: 'ends',
  },
}

const OLDEST = '000000000-20260101T0000.log'
const marked = settingKeys.filter(key => settings[key].reloadable)

t.test('every setting that a reload applies has its effect shown here', async t => {
  t.strictSame(Object.keys(cases).sort(), [...marked].sort(), 'a new one needs a row of the table')
})

t.test('a reload applies every setting that says so', async t => {
  const mails = await mailServer(t, { user: 'gw', password: 'right' })
  const yaml = (over: Record<string, string>) =>
    Object.entries({
      ...Object.fromEntries(
        Object.entries(cases).flatMap(([key, { from }]) => (from === undefined ? [] : [[key, from]])),
      ),
      ...over,
    })
      .map(([key, value]) => `${key}: "${value === 'MAIL' ? mails.url : value}"\n`)
      .join('')
  const deaf = createServer().listen(0, '127.0.0.1')
  t.teardown(() => deaf.close())
  await new Promise(resolve => deaf.once('listening', resolve))
  const { port } = deaf.address() as { port: number }
  const fails = { script: { status: 503 } }
  const clock = { ahead: 0 }
  const world = await reloadable(t, yaml({}), {
    now: () => Date.now() + clock.ahead,
    config: { 'oauth.check_interval': 100, 'notify.allow_private': true, 'models.refresh_interval': 0 },
    accounts: [
      // Little of it is paid for, whatever is sent.
      ...only('claude-sonnet-5-5', { script: { usage: { input_tokens: 1, output_tokens: 1 } } }),
      ...only('warm', {}),
      ...only('queued', {}),
      ...only('narrow', { concurrency: 1 }),
      ...only('fails', fails, fails, fails),
      ...only('shared', {}, {}),
      ...only('deaf', { baseUrl: `https://127.0.0.1:${port}` }),
      ...only('headless', { script: { hold: 'start' } }),
      ...only('slow', { script: { hold: 'start' } }),
      ...only('silent', { script: { hold: 0 } }),
      ...only('stuck', { script: { hold: 4, chunks: ['a', 'b', 'c'] } }),
    ],
    async before({ data_dir }) {
      const folder = path.join(data_dir, 'explain/0')
      await mkdir(folder, { recursive: true })
      for (const name of [OLDEST, '000000000-20260101T0001.log'])
        await writeFile(path.join(folder, name), 'x'.repeat(2 ** 20))
    },
  })
  const { gw, configure, file } = world
  await file('models.json', '{"anthropic":{"mine-*":{"maxOutput":77}}}')
  await file('alerts.yaml', 'rules:\n  - {name: ours, metric: error_rate, op: ">", threshold: 99}\n')
  await file('right', 'right\n')
  await file('wrong', 'wrong\n')
  await file('key', 'sk-ant-x\n')
  const keys = await people(gw)
  await old(gw)
  const hook = await receiver(t)
  const { db } = gw.database
  await addChannel(db, gw.secret, { name: 'hook', type: 'webhook', url: hook.url }, { allowPrivate: true })
  await addChannel(
    db,
    gw.secret,
    { name: 'mail', type: 'email', recipients: ['ops@example.com'] },
    { allowPrivate: true },
  )
  t.equal(await told({ ...world, t }, 'hook'), 'sent')

  const reload = async (over: Record<string, string>) => {
    await configure(yaml(over))
    return gw.daemon.reload('test')
  }
  let was = {}
  for (const [key, one] of Object.entries(cases)) {
    const leave = new AbortController()
    const w = { ...world, t, keys, clock, signal: leave.signal }
    const { to, see, with: more = {}, before, after } = one
    if (!isDeepStrictEqual(more, was)) await reload(more)
    if ('before' in one) {
      let early: unknown = NOTHING
      const asked = Promise.resolve(see(w)).then(
        found => (early = found),
        () => {},
      )
      await (before === NOTHING ? codeOf(await gw.send(hello())) : asked)
      t.strictSame(early, before, `${key} before`)
    }
    was = { ...more, [key]: to }
    const { applied, restart } = await reload(was)
    t.ok(
      applied.some(change => change.key === key),
      `${key} is applied`,
    )
    t.strictSame(restart, [])
    let seen: unknown
    await until(t, `${key} has its effect`, async () => isDeepStrictEqual((seen = await see(w)), after)).catch(() => {})
    t.strictSame(seen, after, key)
    leave.abort()
    await until(t, 'nothing is under way', () => gw.daemon.gateway.live.size === 0 && gw.mock.stats().inFlight === 0)
  }
})

/** Who asks: one with a place, two with little money, and one of another platform. */
async function people({ database: { db }, secret, mock, inForce, set }: TestGateway): Promise<World['keys']> {
  await addUser(db, { name: 'bob', concurrency: 1, balance: parseUsd('10') })
  await addUser(db, { name: 'poor', concurrency: 0, balance: parseUsd('0.2') })
  await addUser(db, { name: 'broke', concurrency: 0, balance: 0n })
  await addUser(db, { name: 'gem', concurrency: 0, balance: parseUsd('10') })
  await addGroup(db, { name: 'gem', platform: 'gemini', unknown_model: 'free' })
  const account = (
    one: Pick<NewAccount, 'name' | 'platform' | 'type' | 'groups' | 'credential'> & Partial<NewAccount>,
  ) => addAccount(db, secret, { base_url: mock.url, concurrency: 0, priority: 50, ...one })
  await account({ name: 'gem', platform: 'gemini', type: 'apikey', groups: ['gem'], credential: 'cred-gem' })
  const listed = JSON.stringify({ access_token: 'cred-anti', project_id: 'p' })
  await account({ name: 'anti', platform: 'antigravity', type: 'oauth', groups: [], credential: listed })
  const expires_at = String(Math.floor(Date.now() / 1000) + 3600)
  const fields = { refresh_token: 'family', client_id: 'c', client_secret: 's', token_url: `${mock.url}/token` }
  const credential = JSON.stringify({ access_token: 'o', expires_at, ...fields })
  const nobodys = { model_map: { x: 'x' } }
  await account({ name: 'oauth', platform: 'anthropic', type: 'oauth', groups: ['main'], credential, ...nobodys })
  await set.account('warm-1', { intercept_warmup: true })
  const keys = {} as World['keys']
  for (const name of ['bob', 'poor', 'broke', 'gem'] as const) {
    const group = name === 'gem' ? 'gem' : 'main'
    keys[name] = (await createKey(db, secret, { user: name, group, name, valuePrefix: 'sk-' })).key
  }
  await inForce()
  return keys
}

/** Something of each that is kept, of more than a year ago. */
async function old({ database: { db } }: TestGateway): Promise<void> {
  for (const [table, width] of Object.entries(KEPT))
    await sql`select time_partition(${table}, ${OLD}::timestamptz, ${width})`.execute(db)
  await sql`update watch_rolled set until = date_trunc('day', now())`.execute(db)
  await sql`
    insert into alert_events (rule, severity, status, title, description, metric, op, value, threshold, window_minutes, fired_at, resolved_at)
    values ('old', 'P1', 'resolved', 't', 'd', 'error_rate', '>', 7, 5, 1, ${OLD}, ${OLD})`.execute(db)
}
