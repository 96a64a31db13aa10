// The live stream (spec/domain.md §12.10, §12.11): who may connect, who is let go, and that its frames are what happened.
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import pino from 'pino'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import type { AccountView, LiveFrame, LiveMessage, LiveRows } from '../../src/control/view.ts'
import { Outcome } from '../../src/core/outcome.ts'
import { createLive } from '../../src/daemon/live.ts'
import { createPulses, errorRate, Steps } from '../../src/daemon/pulse.ts'
import { Rows } from '../../src/daemon/rows.ts'
import { startWatching } from '../../src/daemon/watching.ts'
import { foreignHost } from '../../src/ops/host.ts'
import { originAllowed } from '../../src/ops/origin.ts'
import { createStream, type StreamLimits, type StreamSource, type StreamTimes } from '../../src/ops/stream.ts'
import { createStore } from '../../src/store/open.ts'
import { gateway, hello, until } from '../helpers/gateway.ts'
import { redisMissing, redisServer } from '../helpers/redis.ts'

const quiet: StreamSource = async (_query, send) => send('hello')

interface Setup {
  limits?: Partial<StreamLimits>
  times?: Partial<StreamTimes>
  source?: StreamSource
}

/** A listener with nothing but the stream. */
async function listener(t: Test, { limits = {}, times = {}, source = quiet }: Setup = {}) {
  const lines: string[] = []
  const stream = createStream({
    source,
    limits: () => ({
      connections: 100,
      perAddress: 20,
      origin: 'permissive',
      trustedProxies: ['127.0.0.1'],
      token: undefined,
      ...limits,
    }),
    log: line => lines.push(line),
    times,
  })
  const server = http.createServer((_req, res) => res.writeHead(204).end())
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const foreign = (host: string | undefined) => foreignHost(server.address(), 'gw.example', host)
  stream.attach(server, { path: '/ops/ws', trusted: false, foreign })
  t.teardown(async () => {
    await stream.close()
    await new Promise(resolve => server.close(resolve))
  })
  return { stream, lines, port: (server.address() as AddressInfo).port }
}

interface Watching {
  /** 101, or what it was refused with */
  status: number
  why: string
  protocol: string
  socket: WebSocket
  messages: string[]
  closed: Promise<{ code: number; reason: string }>
}

/** Resolves when it is connected and has heard something, or is refused. */
function watch(
  t: Test,
  url: string,
  { protocols = [], ...options }: { protocols?: string[]; headers?: Record<string, string>; origin?: string } = {},
): Promise<Watching> {
  const socket = new WebSocket(url, protocols, options)
  t.teardown(() => socket.terminate())
  const messages: string[] = []
  const closed = new Promise<{ code: number; reason: string }>(resolve =>
    socket.on('close', (code, reason) => resolve({ code, reason: String(reason) })),
  )
  socket.on('error', () => {})
  return new Promise(resolve => {
    const settle = (status: number, why: string) =>
      resolve({ status, why, protocol: socket.protocol, socket, messages, closed })
    socket.on('message', data => {
      messages.push(String(data))
      settle(101, '')
    })
    socket.on('unexpected-response', (_req, res) => {
      let body = ''
      res.on('data', chunk => (body += chunk))
      res.on('end', () => settle(res.statusCode!, (JSON.parse(body) as { error: string }).error))
    })
  })
}

t.test(
  '§12.11 origin policy: pages of the host that was asked, behind a trusted proxy of that which the proxy was',
  async t => {
    const trusts = (ip: string) => ip === '10.0.0.1'
    const cases: [
      origin: string | undefined,
      host: string,
      forwarded: string | undefined,
      peer: string,
      ok: boolean,
    ][] = [
      ['http://gw.example', 'gw.example', undefined, '192.0.2.1', true],
      ['https://GW.example:8443', 'gw.example:9464', undefined, '192.0.2.1', true],
      ['https://evil.example', 'gw.example', undefined, '192.0.2.1', false],
      ['https://gw.example.evil.example', 'gw.example', undefined, '192.0.2.1', false],
      ['null', 'gw.example', undefined, '192.0.2.1', false],
      ['', 'gw.example', undefined, '192.0.2.1', false],
      ['file://', 'gw.example', undefined, '192.0.2.1', false],
      ['http://[::1]:9464', '[::1]:9464', undefined, '::1', true],
      ['https://gw.example', '127.0.0.1:9464', 'gw.example', '10.0.0.1', true],
      ['https://gw.example', '127.0.0.1:9464', 'gw.example:443, inner', '10.0.0.1', true],
      ['https://gw.example', '127.0.0.1:9464', 'gw.example', '192.0.2.1', false],
      ['http://127.0.0.1:9464', '127.0.0.1:9464', 'gw.example', '10.0.0.1', false],
    ]
    for (const [origin, host, forwardedHost, peer, ok] of cases)
      for (const policy of ['strict', 'permissive'] as const)
        t.equal(
          originAllowed({ origin, host, forwardedHost, peer }, policy, trusts),
          ok,
          `${origin} at ${host}, ${policy}`,
        )
    const without = { origin: undefined, host: 'gw.example', forwardedHost: undefined, peer: '192.0.2.1' }
    t.equal(originAllowed(without, 'permissive', trusts), true)
    t.equal(originAllowed(without, 'strict', trusts), false)
  },
)

t.test(
  '§12.10 limits: so many in all (503), so many of one address, of IPv6 a /64 (429), and a place given back is free',
  async t => {
    const { stream, port } = await listener(t, { limits: { connections: 4, perAddress: 2 } })
    const from = (address: string) =>
      watch(t, `ws://127.0.0.1:${port}/ops/ws`, { headers: { 'x-forwarded-for': address } })
    const first = await from('2001:db8::1')
    t.equal(first.status, 101)
    t.equal((await from('2001:db8::2')).status, 101)
    t.match(await from('2001:db8::3'), { status: 429, why: /ops\.ws\.connections_per_address/ }, 'one household')
    t.equal((await from('2001:db8:0:1::1')).status, 101, 'the next one')
    t.equal((await from('192.0.2.7')).status, 101)
    t.match(await from('192.0.2.8'), { status: 503, why: /all 4 connections of ops\.ws\.connections/ })
    first.socket.close()
    await until(t, 'the place is free', () => stream.size() === 3)
    t.equal((await from('2001:db8::3')).status, 101)

    const { port: off } = await listener(t, { limits: { connections: 0 } })
    t.match(await watch(t, `ws://127.0.0.1:${off}/ops/ws`), { status: 503, why: /is off: ops\.ws\.connections is 0/ })
  },
)

t.test('the token: by header, protocol or query; it is compared whole and never logged', async t => {
  const token = 'se(cr)et/+=%41'
  const { port, lines } = await listener(t, { limits: { token } })
  const url = `ws://127.0.0.1:${port}/ops/ws`
  const spelt = encodeURIComponent(token).replaceAll(/[()]/g, sign => `%${sign.charCodeAt(0).toString(16)}`)
  t.equal((await watch(t, url, { headers: { authorization: `Bearer ${token}` } })).status, 101)
  t.match(await watch(t, url, { protocols: ['gw.live', `gw.token.${spelt}`] }), { status: 101, protocol: 'gw.live' })
  t.match(await watch(t, url, { protocols: [`gw.token.${spelt}`] }), { status: 101 }, 'one that offers nothing else')
  t.equal((await watch(t, `${url}?token=${encodeURIComponent(token)}`)).status, 101)
  for (const wrong of [token.slice(1), `${token}x`, '', 'Bearer'])
    for (const [where, options] of [
      [url, { headers: { authorization: `Bearer ${wrong}` } }],
      [`${url}?token=${encodeURIComponent(wrong)}`, {}],
    ] as const)
      t.match(await watch(t, where, options), { status: 401, why: /^send the ops\.token/ }, wrong)
  t.match(await watch(t, url, { protocols: ['gw.live', 'gw.token.no'] }), { status: 401 })
  t.match(await watch(t, `${url}x`), { status: 404 })
  t.match(await watch(t, url, { headers: { host: 'evil.example' } }), { status: 421 }, 'a name that was rebound')
  t.notMatch(lines.join('\n'), /se\(cr|se%28cr/)

  const strict = await listener(t, { limits: { origin: 'strict' } })
  const asked = `ws://127.0.0.1:${strict.port}/ops/ws`
  t.match(await watch(t, asked), { status: 403, why: /strict/ })
  t.match(await watch(t, asked, { origin: 'https://evil.example' }), { status: 403 })
  t.match(await watch(t, asked, { origin: 'http://127.0.0.1' }), { status: 101 })
})

t.test('who is dead, too slow or too loud is let go; who answers stays', async t => {
  let sent = 0
  const large = 'x'.repeat(60_000)
  const { port, lines, stream } = await listener(t, {
    // What a machine may stand still before the one who answers counts as dead, too.
    times: { pingMs: 15, deadMs: 2_000, sendMs: 10_000 },
    async source(query, send, gone) {
      await send('hello')
      while (query.has('flood') && !gone.aborted) {
        await send(large)
        sent += large.length
      }
    },
  })
  const url = `ws://127.0.0.1:${port}/ops/ws`
  const alive = await watch(t, url)
  let pings = 0
  alive.socket.on('ping', () => pings++)

  // It shakes hands, and then never answers a ping.
  const dead = net.connect(port, '127.0.0.1')
  t.teardown(() => dead.destroy())
  const key = 'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13'
  const upgrade = (path: string) =>
    `GET ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n${key}\r\n\r\n`
  dead.write(upgrade('/ops/ws'))
  dead.resume()
  await new Promise(resolve => dead.on('close', resolve))
  await until(t, 'the others go on', () => pings > 20)
  t.equal(alive.socket.readyState, WebSocket.OPEN)

  // It answers pings no more than it reads, so that only its slowness can be what ends it here.
  const slow = await listener(t, {
    times: { pingMs: 600_000, sendMs: 300 },
    async source(_query, send, gone) {
      while (!gone.aborted) {
        await send(large)
        sent += large.length
      }
    },
  })
  const reader = net.connect(slow.port, '127.0.0.1')
  t.teardown(() => reader.destroy())
  reader.on('error', () => {})
  reader.write(upgrade('/ops/ws'))
  reader.pause()
  await until(t, 'it is let go', () => slow.lines.length > 0)
  t.strictSame(slow.lines, ['live stream: 127.0.0.1 reads too slowly and was let go'])
  // It is said before its connection has closed.
  await until(t, 'and is gone', () => slow.stream.size() === 0)
  t.ok(sent < 20_000_000, 'what the kernel takes, and one message more')

  const polite = await watch(t, url)
  polite.socket.send('x'.repeat(1024))
  polite.socket.ping()
  await new Promise(resolve => polite.socket.once('pong', resolve))
  const loud = await watch(t, url)
  loud.socket.send('x'.repeat(1025))
  t.match(await loud.closed, { code: 1009 })
  t.equal(polite.socket.readyState, WebSocket.OPEN, '1024 bytes are no offence, and no news')
  t.ok(stream.size() >= 2)
  t.strictSame(lines, [])
})

t.test('who offers another protocol than a WebSocket is answered in HTTP', async t => {
  const { port } = await listener(t)
  const asked = (headers: http.OutgoingHttpHeaders) =>
    new Promise<number>((resolve, reject) => {
      const req = http.request({ port, path: '/livez', headers }, res => resolve(res.resume().statusCode!))
      req.on('error', reject).end()
    })
  // As curl --http2 and Java's client do with every first request.
  const h2c = { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABkAAQAAP__' }
  t.equal(await asked(h2c), 204)
  t.equal(await asked({}), 204)
  t.equal(await asked({ connection: 'upgrade', upgrade: 'WebSocket' }), 404, 'the stream is elsewhere')
})

t.test('who stops says 1001, and when it is worth coming back', async t => {
  const { stream, port } = await listener(t)
  const one = await watch(t, `ws://127.0.0.1:${port}/ops/ws`)
  await stream.close()
  t.same(await one.closed, { code: 1001, reason: 'gw stops here; come back in 2 s' })
  t.match(await watch(t, `ws://127.0.0.1:${port}/ops/ws`), { status: 503 })
})

t.test('rows: all at first, then what changed; in messages of bounded size, whatever was missed', async t => {
  const rows = new Rows()
  async function* of(...names: string[]) {
    yield names.map(name => ({ name, groups: ['x'.repeat(300)] }))
  }
  const names = (messages: string[]) =>
    messages.map(message => {
      const { reset, rows, gone } = JSON.parse(message) as { reset: boolean; rows: { name: string }[]; gone: string[] }
      return `${reset ? 'all ' : ''}${rows.map(row => row.name).join(',')}${gone.length ? ` gone ${gone}` : ''}`
    })
  t.strictSame(rows.since(0, 'accounts').messages, [], 'nothing is known yet')
  await rows.update(of('a', 'b'))
  const first = rows.since(0, 'accounts')
  t.strictSame(names(first.messages), ['all a,b'])
  await rows.update(of('a', 'b', 'c'))
  await rows.update(of('b', 'c', 'd'))
  t.strictSame(names(rows.since(first.seen, 'accounts').messages), ['c,d gone a'], 'of two steps at once')
  await rows.update(of('b', 'c', 'd'))
  t.strictSame(rows.since(3, 'accounts').messages, [], 'nothing is news')

  const many = Array.from({ length: 500 }, (_, i) => `account-${i}`)
  const large = new Rows()
  await large.update(of(...many))
  const { messages } = large.since(0, 'accounts')
  t.ok(
    messages.every(message => Buffer.byteLength(message) <= 64 * 1024),
    'each is small',
  )
  t.equal(messages.length, 3)
  t.equal(messages.flatMap(message => (JSON.parse(message) as { rows: [] }).rows).length, 500)
})

t.test('the frames of two processes on one Redis are one, and exact', { skip: await redisMissing() }, async t => {
  const redis = await redisServer(t)
  const live = [createLive(Date.now), createLive(Date.now)]
  const nobody = { waiting: () => 0, waitingBy: () => ({ users: {}, accounts: {}, groups: {} }) }
  const [one, two] = await Promise.all(
    live.map(async (live, i) => {
      const processId = `process${i}`
      const store = await createStore({ redisUrl: redis.url, processId, log: () => {} })
      t.teardown(() => store.close())
      return createPulses(live, store, { processId, shared: true, ...nobody })
    }),
  )
  const request = (at: number, status: number, tokens: number) => {
    const outcome = new Outcome({ id: `${at}`, at: Date.now(), method: 'POST', path: '/', ip: '' })
    live[at]!.began!(outcome)
    outcome.platform = 'anthropic'
    outcome.status = status
    outcome.usage.output = tokens
    outcome.firstTokenMs = 100 + at
    live[at]!.ended(outcome)
  }
  const steps = new Steps()
  request(0, 200, 10)
  await one!.beat()
  await two!.beat()
  await until(t, 'they know of each other', async () => (await one!.all()).length === 2)
  t.match(steps.next(await one!.all()).all, { requests: 1, tokens: 10 }, 'its last step, to who begins to look')
  request(0, 200, 5)
  request(1, 502, 7)
  request(1, 200, 1)
  await two!.beat()
  await one!.beat()
  const pulses = await one!.all()
  t.strictSame(steps.next(pulses), {
    all: { requests: 3, tokens: 13 },
    platforms: { anthropic: { requests: 3, tokens: 13 } },
  })
  t.equal(errorRate(pulses.map(pulse => pulse.all)), 25)
  t.strictSame(steps.next(await one!.all()).all, { requests: 0, tokens: 0 }, 'nothing is told twice')
})

t.test(
  'who begins to look is told of the last second, whatever was told before and whoever left meanwhile',
  async t => {
    const gw = await gateway(t)
    const live = createLive(Date.now)
    const nobody = { waiting: () => 0, waitingBy: () => ({ users: {}, accounts: {}, groups: {} }) }
    const real = createPulses(live, gw.daemon.gateway.store, { processId: 'one', shared: false, ...nobody })
    let held = Promise.resolve()
    let asked = 0
    const slow = {
      beat: () => real.beat(),
      async all() {
        asked++
        await held
        return real.all()
      },
    }
    const watching = startWatching(gw.daemon.gateway, slow, { phase: () => 'ready', shared: false })
    t.teardown(() => watching.close())
    const request = () => {
      const outcome = new Outcome({ id: 'x', at: Date.now(), method: 'POST', path: '/', ip: '' })
      live.began!(outcome)
      live.ended(outcome)
    }
    const beats = async () => (await real.all())[0]!.beat
    const later = async (n: number, from: number) =>
      until(t, `${n} more seconds are over`, async () => (await beats()) >= from + n)
    function look(take: (text: string, gone: AbortSignal) => Promise<void> = async () => {}) {
      const leave = new AbortController()
      const frames: string[] = []
      const send = (text: string) => {
        frames.push(text)
        return take(text, leave.signal)
      }
      return { leave, frames, ended: watching.source(new URLSearchParams('rows=none'), send, leave.signal) }
    }

    const slowly = Promise.withResolvers<void>()
    held = slowly.promise
    const first = look()
    await until(t, 'the first frame is being made', () => asked === 1)
    await later(1, await beats())
    slowly.resolve()
    await until(t, 'it has three', () => first.frames.length > 2)
    t.equal(new Set(first.frames).size, first.frames.length, 'a frame that took longer than its second is told once')
    first.leave.abort()
    await first.ended

    const stuck = look(
      (_, gone) => new Promise((_, reject) => gone.addEventListener('abort', () => reject(gone.reason))),
    )
    await until(t, 'it does not take its first frame', () => stuck.frames.length === 1)
    const meanwhile = Promise.withResolvers<void>()
    held = meanwhile.promise
    const before = asked
    await until(t, 'the next is being made', () => asked > before)
    stuck.leave.abort()
    await t.rejects(stuck.ended)
    meanwhile.resolve()

    for (let i = 0; i < 50; i++) request()
    await later(2, await beats())
    const second = look()
    await until(t, 'it has two frames', () => second.frames.length > 1)
    t.strictSame(
      second.frames.map(text => (JSON.parse(text) as LiveFrame).requests),
      second.frames.map(() => 0),
      'what was before is not told',
    )
    second.leave.abort()
    await second.ended
  },
)

t.test('the frames are what happened: requests and tokens as they pass, accounts that are out', async t => {
  const lines: string[] = []
  const log = pino({ level: 'trace' }, { write: line => void lines.push(line) })
  const gw = await gateway(t, {
    accounts: [{ name: 'a' }, { name: 'b' }],
    config: { 'ops.token': 'frame-token' },
    log,
  })
  const ops = `${gw.daemon.opsUrl!.replace('http:', 'ws:')}/ops/ws`
  t.match(await watch(t, ops), { status: 401 })
  const watching = await watch(t, `${ops}?token=frame-token&rows=accounts`)
  const messages = () => watching.messages.map(text => JSON.parse(text) as LiveMessage)
  const frames = () => messages().filter((message): message is LiveFrame => message.type === 'frame')
  const rows = () => messages().filter((message): message is LiveRows<'accounts'> => message.type === 'rows')
  const sum = (field: 'requests' | 'tokens') => frames().reduce((total, frame) => total + frame[field], 0)
  const state = (name: string) => {
    const known = new Map<string, AccountView>()
    for (const { reset, rows: list } of rows()) {
      if (reset) known.clear()
      for (const row of list) known.set(row.name, row)
    }
    return known.get(name)?.state
  }
  await until(t, 'the accounts are told', () => state('a') === 'available' && state('b') === 'available')
  t.match(frames()[0], { phase: 'ready', error_rate: null, ttft_ms: null, accounts: { total: 2, out: 0 }, waiting: 0 })

  const replies = await Promise.all(Array.from({ length: 7 }, () => gw.send(hello())))
  for (const reply of replies) await reply.arrayBuffer()
  const used = await gw.usage(7)
  const tokens = used.reduce((total, row) => total + row.input_tokens + row.output_tokens, 0)
  await until(t, 'all are told', () => sum('requests') === 7 && sum('tokens') === tokens)

  gw.mock.script('*', { chunks: ['some', ' words'], hold: 3 })
  const held = gw.send(hello({ stream: true }))
  await until(
    t,
    'a running stream is told of while it runs',
    () => frames().at(-1)!.in_flight === 1 && sum('tokens') > tokens,
  )
  t.equal(sum('requests'), 8)
  gw.mock.release()
  await (await held).arrayBuffer()
  const all = (await gw.usage(8)).reduce((total, row) => total + row.input_tokens + row.output_tokens, 0)
  await until(t, 'and by its end exactly', () => frames().at(-1)!.in_flight === 0 && sum('tokens') === all)
  t.match(frames().at(-1), { error_rate: 0, platforms: { anthropic: { in_flight: 0, error_rate: 0 } } })
  t.equal(sum('requests'), 8)

  await gw.set.account('b', { status: 'paused' })
  await until(t, 'who is out is counted', () => frames().at(-1)!.accounts.out === 1 && state('b') === 'paused')
  t.match(frames().at(-1)!.accounts, { total: 2, states: { available: 1, paused: 1 } })
  t.notMatch(lines.join('\n'), /frame-token/, 'the token is in no line of the log')

  const socket = `ws://gw/ws?rows=none`
  const own = new WebSocket(socket, { createConnection: () => net.connect(gw.config['control.socket']) })
  t.teardown(() => own.terminate())
  const [first] = await new Promise<LiveMessage[]>(resolve =>
    own.once('message', data => resolve([JSON.parse(String(data))])),
  )
  t.match(first, { type: 'frame' }, 'the control socket asks for no token')
})
