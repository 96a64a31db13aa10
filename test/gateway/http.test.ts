// HTTP at the door: what is no request of HTTP/1.1 is told so, in words, with an id, and never inside another answer.
import http from 'node:http'
import pino from 'pino'
import t, { type Test } from 'tap'
import { gateway, hello, only, type TestGateway, until } from '../helpers/gateway.ts'
import { type Refusal, refusedOnWire } from '../helpers/refused.ts'
import { connect, head, post } from '../helpers/wire.ts'

/** Says these bytes and hears everything that comes back. */
async function say(t: Test, gw: TestGateway, bytes: string): Promise<string> {
  const wire = await connect(t, gw.url)
  await wire.write(bytes)
  await wire.end()
  return wire.text
}

const bad = (code: string, message: string, status = 400): Refusal => [status, 'invalid_request_error', code, message]
const hostless = bad(
  'HOST_INVALID',
  'A request needs one Host header, with a name or an address and perhaps a port in it.',
)
const version = bad('VERSION_UNSUPPORTED', 'HTTP/1.1 is spoken here, and HTTP/1.0; no other version.', 505)
const coding = bad('CODING_UNSUPPORTED', 'The only transfer coding that is understood here is chunked.', 501)
const malformed = (what: string) => bad('REQUEST_MALFORMED', `This is no request of HTTP/1.1: ${what}.`)

t.test('what is no request that we speak gets a status, a reason and an id, and its connection ends', async t => {
  const lines: string[] = []
  const log = pino({}, { write: (line: string) => void lines.push(line) })
  const gw = await gateway(t, { log, config: { 'timeouts.request_header': 250 } })
  const key = `x-api-key: ${gw.key}\r\n`
  const body = JSON.stringify(hello())
  const start = `POST /v1/messages HTTP/1.1\r\nhost: gw\r\n${key}`
  const chunked = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
  const shapes: Record<string, [bytes: string, refusal: Refusal]> = {
    'no Host': [`GET /v1/models HTTP/1.1\r\n${key}\r\n`, hostless],
    'no Host, for a probe': ['GET /health HTTP/1.1\r\n\r\n', hostless],
    'two Hosts': [`GET /v1/models HTTP/1.1\r\nhost: gw\r\nHost: other\r\n${key}\r\n`, hostless],
    'the same Host twice': [`GET /v1/models HTTP/1.1\r\nhost: gw\r\nhost: gw\r\n${key}\r\n`, hostless],
    'an empty Host': [`GET /v1/models HTTP/1.1\r\nhost:\r\n${key}\r\n`, hostless],
    ...Object.fromEntries(
      ['a b', 'a,b', 'user@gw', 'gw/x', 'gw:80:80', 'gw:x', '[::1', '[::g]', 'http://gw', 'gw?x', 'g\u00fc'].map(
        host => [`Host ${host}`, [`GET /v1/models HTTP/1.1\r\nhost: ${host}\r\n${key}\r\n`, hostless]],
      ),
    ),
    'two Hosts in HTTP/1.0': [`GET /v1/models HTTP/1.0\r\nhost: a\r\nhost: b\r\n${key}\r\n`, hostless],
    'HTTP/2.0': [`GET /v1/models HTTP/2.0\r\nhost: gw\r\n${key}\r\n`, version],
    'HTTP/2.0, for a probe': ['GET /health HTTP/2.0\r\nhost: gw\r\n\r\n', version],
    'HTTP/3.0': [`GET /v1/models HTTP/3.0\r\nhost: gw\r\n${key}\r\n`, version],
    'HTTP/0.9': ['GET /v1/usage\r\n\r\n', version],
    'the preface of HTTP/2': ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', version],
    'gzip, chunked': [`${start}transfer-encoding: gzip, chunked\r\n\r\n${chunked}`, coding],
    'gzip and chunked': [`${start}transfer-encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n${chunked}`, coding],
    gzip: [`${start}transfer-encoding: gzip\r\n\r\n${chunked}`, coding],
    'an unknown coding': [`${start}transfer-encoding: xchunked\r\n\r\n${chunked}`, coding],
    'chunked that is not last': [`${start}transfer-encoding: chunked, identity\r\n\r\n${chunked}`, coding],
    'a method that is none': ['FETCH /v1/models HTTP/1.1\r\nhost: gw\r\n\r\n', malformed('Invalid method encountered')],
    'a broken chunk': [
      `${start}transfer-encoding: chunked\r\n\r\n-1\r\n`,
      malformed('Invalid character in chunk size'),
    ],
    'a target that is no path': [
      `GET ftp://gw/v1/models HTTP/1.1\r\nhost: gw\r\n${key}\r\n`,
      malformed('its target is neither a path nor an http URL'),
    ],
    'an authority that is none': [
      `GET http://user@gw/v1/models HTTP/1.1\r\nhost: gw\r\n${key}\r\n`,
      malformed('its target is neither a path nor an http URL'),
    ],
    'a head that is too large': [
      head('GET /v1/models', { 'x-wide': 'x'.repeat(40_000) }),
      bad('HEAD_TOO_LARGE', 'The head of the request is too large, limit is 32KB.', 431),
    ],
    'a head that does not come': [
      'GET /v1/models HTTP/1.1\r\nhost: gw\r\n',
      [408, 'timeout_error', 'HEAD_TIMEOUT', 'The head of the request did not arrive within 250ms.'],
    ],
    'an upgrade': [
      head('GET /v1/responses', { connection: 'Upgrade', upgrade: 'WebSocket' }),
      [
        426,
        'invalid_request_error',
        'UPGRADE_REFUSED',
        'WebSocket is not spoken here; use plain HTTP requests.',
        'openai',
      ],
    ],
    'a tunnel': [
      'CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n',
      bad('METHOD_NOT_ALLOWED', 'CONNECT is not allowed on this server; use POST.', 405),
    ],
  }
  for (const [name, [bytes, refusal]] of Object.entries(shapes)) {
    const text = await say(t, gw, bytes)
    await refusedOnWire(t, text, refusal, name)
    t.match(text, /\r\nconnection: close\r\n/i, name)
  }
  await until(
    t,
    'each is logged',
    () => lines.filter(line => line.includes('"code"')).length === Object.keys(shapes).length,
  )
  t.equal(gw.mock.stats().requests, 0)
})

t.test('a target may be a whole URL, its path counts', async t => {
  const gw = await gateway(t)
  const body = JSON.stringify(hello())
  const fields = { 'x-api-key': gw.key, 'content-length': body.length, connection: 'close' }
  for (const target of ['http://gw/v1/messages', 'HTTP://gw:8080/v1/messages?beta=true', 'https://[::1]/v1/messages'])
    t.match(await say(t, gw, head(`POST ${target}`, fields) + body), /^HTTP\/1.1 200 /, target)
  t.match(await say(t, gw, head('GET http://gw', { connection: 'close' })), /^HTTP\/1.1 200 /)
  t.match(await say(t, gw, head('GET http://gw?x', { connection: 'close' })), /^HTTP\/1.1 200 /)
  t.match(
    await say(t, gw, head('GET http://gw/nowhere', { connection: 'close' })),
    'No route GET /nowhere.',
    'also in what is said of it',
  )
  t.match(await say(t, gw, 'GET /health HTTP/1.0\r\n\r\n'), /^HTTP\/1.1 200 /, 'HTTP/1.0 knew no Host')
})

/** Asks with node:http, which shows what fetch hides. */
function ask(gw: TestGateway, method: string, path: string, headers: Record<string, string> = {}) {
  return new Promise<{ status: number; headers: http.IncomingHttpHeaders; body: string }>((resolve, reject) => {
    const req = http.request(gw.url + path, { method, headers }, async res => {
      let body = ''
      for await (const chunk of res.setEncoding('utf8')) body += chunk
      resolve({ status: res.statusCode!, headers: res.headers, body })
    })
    req.on('error', reject).end()
  })
}

t.test('HEAD is served where GET is, and a wrong method is told the right one in Allow', async t => {
  const lines: string[] = []
  const log = pino({}, { write: (line: string) => void lines.push(line) })
  const gw = await gateway(t, { log })
  const id = /^[0-9a-f-]{36}$/
  for (const path of [
    '/',
    '/?x=1',
    '/health',
    '/health?x',
    '/v1/models',
    '/v1/models/claude-sonnet-5-5',
    '/v1/usage',
  ]) {
    const got = await ask(gw, 'GET', path, { 'x-api-key': gw.key })
    const headed = await ask(gw, 'HEAD', path, { 'x-api-key': gw.key })
    t.equal(got.status, 200, path)
    t.equal(headed.status, 200, path)
    t.equal(headed.body, '')
    t.equal(headed.headers['content-length'], got.headers['content-length'])
    t.equal(headed.headers['content-length'], String(Buffer.byteLength(got.body)))
    for (const { headers } of [got, headed]) {
      t.match(headers['x-request-id'], id, path)
      t.equal(headers['content-type'], 'application/json')
    }
  }
  t.equal((await ask(gw, 'HEAD', '/')).status, 200, 'without a key, as clients ask at their start')
  t.notMatch(lines.join(''), '"path":"/"', 'and nobody is told of it')
  t.notMatch(lines.join(''), '"code"')
  const cases: [method: string, path: string, allow: string][] = [
    ['GET', '/v1/messages', 'POST'],
    ['HEAD', '/v1/messages', 'POST'],
    ['OPTIONS', '/v1/messages', 'POST'],
    ['PUT', '/v1/messages/count_tokens', 'POST'],
    ['POST', '/v1/models', 'GET, HEAD'],
    ['DELETE', '/v1/models/x', 'GET, HEAD'],
    ['POST', '/', 'GET, HEAD'],
    ['POST', '/health', 'GET, HEAD'],
  ]
  for (const [method, path, allow] of cases) {
    const { status, headers } = await ask(gw, method, path, { 'x-api-key': gw.key })
    t.strictSame([status, headers.allow], [405, allow], `${method} ${path}`)
    t.match(headers['x-request-id'], id)
  }
})

t.test('every model that a request would be sent with is found by its name', async t => {
  const gw = await gateway(t, {
    group: { unknown_model: 'reject' },
    accounts: [
      {
        name: 'mapped',
        models: { 'house-model': 'claude-opus-4-1', 'claude-*': 'claude-*', 'vendor/claude-haiku-4-5': 'x' },
      },
      { name: 'paused', models: { 'claude-only-there': 'claude-sonnet-4-5' } },
    ],
  })
  await gw.set.account('paused', { status: 'paused' })
  const found = async (name: string) => {
    const reply = await gw.send('', { method: 'GET', path: `/v1/models/${name}` })
    const sent = await gw.send(hello({ model: decodeURIComponent(name) }))
    await sent.text()
    t.equal(reply.status === 200, sent.status === 200, `${name}: as a request with it is served`)
    const body = (await reply.json()) as { id?: string }
    return reply.status === 200 ? body.id : reply.status
  }
  t.equal(await found('claude-sonnet-4-5'), 'claude-sonnet-4-5')
  t.equal(await found('claude-sonnet-4-5-20250929'), 'claude-sonnet-4-5-20250929', 'a dated release')
  t.equal(await found('vendor/claude-haiku-4-5'), 'vendor/claude-haiku-4-5', 'a slash')
  t.equal(await found('vendor%2Fclaude-haiku-4-5'), 'vendor/claude-haiku-4-5', 'an escaped slash')
  t.equal(await found('claude%2Dsonnet%2D4%2D5'), 'claude-sonnet-4-5')
  t.equal(await found('house-model'), 404, 'no price, so it would be refused')
  t.equal(await found('gpt-5'), 404, 'no account')
  await gw.set.key('alice', { models: ['claude-haiku-4-5'] })
  t.equal(await found('claude-sonnet-4-5'), 404, 'a key may be for some models only')
  t.equal(await found('claude-haiku-4-5'), 'claude-haiku-4-5')
})

t.test('pages of the origins that are named may ask from a browser, and no others', async t => {
  const page = 'https://chat.example.com'
  const gw = await gateway(t, { config: { 'cors.origins': [page, 'http://localhost:3000'] } })
  const asks = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type,x-api-key' }
  const preflight = await ask(gw, 'OPTIONS', '/v1/messages', { origin: page, ...asks })
  t.equal(preflight.status, 204)
  const { headers } = preflight
  t.equal(headers['access-control-allow-origin'], page)
  t.equal(headers['access-control-allow-methods'], 'GET, HEAD, POST')
  t.equal(headers['access-control-allow-headers'], 'content-type,x-api-key')
  t.equal(headers['access-control-allow-credentials'], undefined)
  t.equal(headers.vary, 'origin')
  t.match(headers['x-request-id'], /^[0-9a-f-]{36}$/)
  const answers = [
    () => gw.send(hello(), { headers: { origin: page } }),
    () => gw.send(hello({ stream: true }), { headers: { origin: page } }),
    () => gw.send(hello(), { key: 'sk-bad', headers: { origin: page } }),
    () => gw.send('', { method: 'GET', path: '/health', headers: { origin: page } }),
    () => gw.send('', { method: 'GET', path: '/nowhere', headers: { origin: page } }),
  ]
  for (const answer of answers) {
    const reply = await answer()
    t.equal(reply.headers.get('access-control-allow-origin'), page)
    t.equal(reply.headers.get('vary'), 'origin')
    t.match(reply.headers.get('access-control-expose-headers'), /x-request-id.*retry-after/)
    t.match(reply.headers.get('x-request-id'), /^[0-9a-f-]{36}$/)
    await reply.text()
  }
  for (const origin of ['https://evil.example.com', 'null', 'http://chat.example.com', `${page}.evil.example`]) {
    const refused = await ask(gw, 'OPTIONS', '/v1/messages', { origin, ...asks })
    t.equal(refused.status, 405, origin)
    t.equal(refused.headers['access-control-allow-origin'], undefined)
    t.equal(refused.headers.vary, 'origin')
  }
  const bare = await gw.send(hello())
  t.equal(bare.headers.get('access-control-allow-origin'), null)
  t.equal(bare.headers.get('vary'), 'origin')
})

t.test('by default no page may', async t => {
  const gw = await gateway(t)
  const origin = 'https://chat.example.com'
  const { status, headers } = await ask(gw, 'OPTIONS', '/v1/messages', {
    origin,
    'access-control-request-method': 'POST',
  })
  t.equal(status, 405)
  t.equal(headers['access-control-allow-origin'], undefined)
  t.equal(headers.vary, undefined)
})

t.test('metrics on loopback are told to known names only', async t => {
  const gw = await gateway(t)
  const url = new URL(gw.daemon.opsUrl!)
  const told = async (host: string, path = '/metrics') => {
    const wire = await connect(t, url.href)
    await wire.write(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`)
    await wire.end()
    return Number(wire.text.split(' ')[1])
  }
  for (const host of [
    'localhost',
    `LocalHost:${url.port}`,
    '127.0.0.1',
    `127.0.0.1:${url.port}`,
    '[::1]',
    '[::1]:9464',
  ])
    t.equal(await told(host), 200, host)
  for (const host of [
    'evil.example',
    `evil.example:${url.port}`,
    '127.0.0.1.evil.example',
    '192.0.2.7',
    'localhost.evil',
  ])
    for (const path of ['/metrics', '/readyz']) t.equal(await told(host, path), 421, host + path)
  t.equal(await told('evil.example', '/livez'), 200, 'that we live is no secret')
  const posted = await fetch(new URL('/metrics', url), { method: 'POST' })
  t.strictSame([posted.status, posted.headers.get('allow')], [405, 'GET, HEAD'])
})

const stream = (gw: TestGateway, model: string) => post(gw.key, hello({ model, stream: true }))
const end = /event: message_stop\r?\ndata: .*\r?\n\r?\n\r\n0\r\n\r\n/

t.test('what comes behind a stream that runs writes nothing into it', async t => {
  const models = ['garbage', 'wide', 'upgrade', 'tunnel', 'late', 'version', 'coding', 'two', 'left']
  const gw = await gateway(t, {
    config: { 'timeouts.request_header': 250 },
    accounts: models.flatMap(model => only(model, { script: { chunks: ['a', 'b', 'c'], hold: 3 } })),
  })
  const upgrade = { connection: 'Upgrade', upgrade: 'websocket' }
  const behind: Record<string, [bytes: string, then: RegExp]> = {
    garbage: ['\x16\x03\x01 what is this\r\n\r\n', /^$/],
    wide: [head('GET /v1/models', { 'x-wide': 'x'.repeat(40_000) }), /^$/],
    // It may be too late only when the stream is over.
    late: ['GET /v1/models HTTP/1.1\r\nhost: gw\r\n', /^(HTTP\/1.1 408 [\s\S]*)?$/],
    version: ['GET /v1/models HTTP/3.0\r\nhost: gw\r\n\r\n', /^$/],
    upgrade: [head('GET /v1/responses', upgrade), /^HTTP\/1.1 426 [\s\S]*UPGRADE_REFUSED[^\n]*$/],
    coding: [
      head('POST /v1/messages', { 'transfer-encoding': 'gzip' }),
      /^HTTP\/1.1 501 [\s\S]*CODING_UNSUPPORTED[^\n]*$/,
    ],
  }
  for (const [model, [bytes, then]] of Object.entries(behind)) {
    const wire = await connect(t, gw.url)
    await wire.write(stream(gw, model))
    await wire.saw(/text_delta/)
    await wire.write(bytes)
    if (model === 'garbage') for (let i = 0; i < 20; i++) await wire.write('more of it\r\n')
    gw.mock.release()
    t.equal(await wire.end(), 'FIN', model)
    t.match(wire.text, /^HTTP\/1.1 200 OK\r\n/, model)
    t.match(wire.text, end, `${model}: the stream is whole`)
    const [streamed, after] = wire.text.split(end)
    t.notMatch(streamed!.slice(9), /HTTP\/1.1/, `${model}: and nothing stands in it`)
    t.match(after, then, `${model}: what follows it`)
  }

  const tunnel = await connect(t, gw.url)
  await tunnel.write(stream(gw, 'tunnel'))
  await tunnel.saw(/text_delta/)
  await tunnel.write('CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n')
  await tunnel.end()
  t.notMatch(tunnel.text.slice(9), /HTTP\/1.1/, 'a tunnel cuts it')

  const two = await connect(t, gw.url)
  await two.write(stream(gw, 'two') + stream(gw, 'two') + 'garbage\r\n\r\n')
  await until(t, 'both are under way', () => gw.mock.stats().inFlight === 2)
  await two.saw(/text_delta/)
  gw.mock.release()
  t.equal(await two.end(), 'FIN')
  t.equal(two.text.match(/HTTP\/1.1 200 OK/g)?.length, 2, 'both of a pipeline are answered')
  t.equal(two.text.match(/event: message_stop/g)?.length, 2)
  t.notMatch(two.text, /HTTP\/1.1 400/)

  const left = await connect(t, gw.url)
  await left.write(stream(gw, 'left') + stream(gw, 'left') + 'garbage\r\n\r\n')
  await left.saw(/text_delta/)
  left.leave()
  await until(t, 'neither request goes on', () => gw.daemon.gateway.live.size === 0)
})

t.test('what comes behind a request that waits for its answer does not answer it', async t => {
  const gw = await gateway(t, { accounts: only('slow', { script: { hold: true, text: 'here' } }) })
  const wire = await connect(t, gw.url)
  await wire.write(post(gw.key, hello({ model: 'slow' })))
  await until(t, 'it is asked', () => gw.mock.stats().inFlight === 1)
  await wire.write('garbage\r\n\r\n')
  await gw.send(hello({ model: 'other' })).then(reply => reply.text())
  gw.mock.release()
  await wire.end()
  t.match(wire.text, /^HTTP\/1.1 200 OK\r\n[\s\S]*"here"/)
  t.match(wire.text, /\r\nconnection: close\r\n/i)
})

t.test('a request that was refused early is not answered twice, whatever comes of its body', async t => {
  const gw = await gateway(t)
  const wire = await connect(t, gw.url)
  await wire.write(head('POST /v1/messages', { 'x-api-key': 'sk-bad', 'transfer-encoding': 'chunked' }) + '1\r\n{\r\n')
  await wire.saw(/INVALID_API_KEY/)
  await wire.write('-1\r\n')
  await wire.end()
  t.strictSame(wire.text.match(/HTTP\/1.1 \d+/g), ['HTTP/1.1 401'])
})
