// What the corridor refuses before any provider hears of it: who asks, where, how, and with which body.
import { hash } from 'node:crypto'
import { promisify } from 'node:util'
import zlib from 'node:zlib'
import t, { type Test } from 'tap'
import { addGroup, allowInto, setGroup } from '../../src/core/record/group.ts'
import { createKey, type KeyLimits, revokeKey } from '../../src/core/record/key.ts'
import { freshDatabase } from '../helpers/database.ts'
import { gateway, hello, type SendOptions, type TestGateway, until } from '../helpers/gateway.ts'
import { outageOf } from '../helpers/outage.ts'
import { type Refusal, refused, refusedOnWire } from '../helpers/refused.ts'
import { connect, head, post } from '../helpers/wire.ts'

const noneAsked = (t: Test, gw: TestGateway) => t.equal(gw.mock.stats().requests, 0, 'no provider heard of it')

t.test('a key is taken from every place where clients put one', async t => {
  const gw = await gateway(t)
  const { key } = gw
  const ways: [string, SendOptions][] = [
    ['Authorization: Bearer', { headers: { authorization: `Bearer ${key}` } }],
    ['the scheme in any case', { headers: { authorization: `bEARER  ${key} ` } }],
    ['x-api-key', { headers: { 'x-api-key': key } }],
    ['x-goog-api-key', { headers: { 'x-goog-api-key': key } }],
    ['?key=', { path: `/v1/messages?beta=true&key=${key}` }],
    ['?api_key=', { path: `/v1/messages?api_key=${key}&beta=true` }],
    ['an escaped name', { path: `/v1/messages?beta=true&%6Bey=${key}` }],
    ['an empty one is none', { headers: { authorization: 'Bearer ', 'x-api-key': ' ', 'x-goog-api-key': key } }],
  ]
  for (const [name, options] of ways) {
    const reply = await gw.send(hello(), { key: null, ...options })
    t.equal(reply.status, 200, name)
    const { headers, query } = gw.mock.stats().bodies.at(-1)!
    t.notMatch(JSON.stringify({ headers, query }), key, `${name}: the provider does not see it`)
    t.match(query, /^(beta=true)?$/)
  }
})

t.test('who may not ask is told why, and a change by a command is in force at once', async t => {
  const gw = await gateway(t)
  const { db } = gw.database
  await addGroup(db, { name: 'foreign', platform: 'openai' })
  const made = async (name: string, limits: KeyLimits & { group?: string } = {}) => {
    const { key } = await createKey(db, gw.secret, {
      user: 'alice',
      group: 'main',
      name,
      valuePrefix: 'sk-',
      ...limits,
    })
    return key
  }
  const keys = {
    expired: await made('expired', { expires_at: new Date(Date.now() - 1000) }),
    elsewhere: await made('elsewhere', { allow_ip: ['10.0.0.0/8', '2001:db8::/32'] }),
    here: await made('here', { allow_ip: ['10.0.0.0/8', '127.0.0.1'] }),
    choosy: await made('choosy', { models: ['claude-haiku-5-5'] }),
    foreign: await made('foreign', { group: 'foreign' }),
  }
  await gw.inForce()
  const ask = (options: SendOptions, body: object = hello()) => gw.send(body, options)
  const unknown: Refusal = [401, 'authentication_error', 'INVALID_API_KEY', 'This API key is not known.']

  await refused(t, await ask({ key: null }), [
    401,
    'authentication_error',
    'API_KEY_REQUIRED',
    'An API key is required: send it as "Authorization: Bearer KEY", "x-api-key: KEY" or "x-goog-api-key: KEY".',
  ])
  await refused(t, await ask({ key: 'sk-' + '0'.repeat(64) }), unknown)
  await refused(t, await ask({ key: gw.key.slice(0, -1) }), unknown, 'a key cut short')
  await refused(t, await ask({ key: "' or 1=1 --" }), unknown, 'SQL is a key like any other')
  await refused(t, await ask({ key: keys.expired }), [
    401,
    'authentication_error',
    'API_KEY_EXPIRED',
    'This API key has expired.',
  ])
  await refused(t, await ask({ key: keys.elsewhere }), [
    403,
    'permission_error',
    'ACCESS_DENIED',
    'This API key may not be used from this address.',
  ])
  await refused(t, await ask({ key: keys.choosy }), [
    403,
    'permission_error',
    'MODEL_NOT_ALLOWED',
    'This API key may not use model claude-sonnet-5-5.',
  ])
  noneAsked(t, gw)
  t.equal((await ask({ key: keys.here })).status, 200)
  t.equal((await ask({ key: keys.choosy }, hello({ model: 'claude-haiku-5-5' }))).status, 200)

  await gw.set.key('alice', { models: ['other'] })
  t.match(await (await ask({})).json(), { error: { code: 'MODEL_NOT_ALLOWED' } })
  await gw.set.key('alice', { models: [], expires_at: new Date(Date.now() - 1000) })
  t.match(await (await ask({})).json(), { error: { code: 'API_KEY_EXPIRED' } })
  await gw.set.key('alice', { expires_at: new Date(Date.now() + 3_600_000) })
  t.equal((await ask({})).status, 200)
  await gw.set.user('alice', { status: 'disabled' })
  await refused(t, await ask({}), [401, 'authentication_error', 'USER_INACTIVE', 'User account is not active.'])
  await gw.set.user('alice', { status: 'active' })
  t.equal((await ask({})).status, 200)
  await gw.set.revoke('alice')
  await refused(t, await ask({}), [401, 'authentication_error', 'API_KEY_DISABLED', 'This API key has been revoked.'])
})

t.test('behind a transaction pooler, where no notification arrives, a revoked key is refused all the same', async t => {
  const postgres = await outageOf(t, await freshDatabase(t))
  const gw = await gateway(t, { config: { 'database.url': postgres.url }, beatMs: 100 })
  t.equal((await gw.send(hello())).status, 200)
  postgres.deafen(true)
  const readiness = async () => (await (await fetch(`${gw.daemon.opsUrl}/readyz`)).json()) as { degraded: string[] }
  await until(t, 'operators are told', async () => /transaction pooler/.test((await readiness()).degraded.join()))
  await revokeKey(gw.database.db, 'alice')
  await until(t, 'the key is refused', async () => (await gw.send(hello())).status === 401)
})

t.test('an exclusive group serves who was let in, and nobody else', async t => {
  const gw = await gateway(t)
  const { db } = gw.database
  await setGroup(db, 'main', { exclusive: true })
  await until(t, 'the key is refused', async () => (await gw.send(hello())).status === 403)
  const asked = gw.mock.stats().requests
  await refused(t, await gw.send(hello()), [
    403,
    'permission_error',
    'GROUP_EXCLUSIVE',
    'Group main is only for users who were let in; ask the operator to run "gw group allow main alice".',
  ])
  t.equal(gw.mock.stats().requests, asked, 'no provider heard of it')
  await allowInto(db, 'main', ['alice'], true)
  await until(t, 'it is let in', async () => (await gw.send(hello())).status === 200)
  await allowInto(db, 'main', ['alice'], false)
  await until(t, 'and out', async () => (await gw.send(hello())).status === 403)
})

t.test('a revoked key is refused by a running daemon', async t => {
  const gw = await gateway(t)
  t.equal((await gw.send(hello())).status, 200)
  await revokeKey(gw.database.db, 'alice')
  await until(t, 'the key is refused', async () => (await gw.send(hello())).status === 401)
})

t.test('routes that are not there and methods that do not fit', async t => {
  const gw = await gateway(t, { group: { unknown_model: 'reject' } })
  const missing = async (method: string, path: string, message = `No route ${method} ${path.split('?')[0]}.`) =>
    refused(t, await gw.send('', { method, path }), [404, 'not_found_error', 'NOT_FOUND', message], `${method} ${path}`)
  await missing('POST', '/v1')
  await missing('POST', '/v1/messages/')
  await missing('POST', '/V1/messages')
  await missing('POST', '/v1/messages/batches?key=sk-secret')
  await missing('POST', '/v1/complete')
  await missing('GET', '/v1/models/nope', 'No route /v1/models/nope: this key has no model nope.')
  await missing('GET', '/v1/models/%zz', 'No route /v1/models/%zz: this key has no model %zz.')
  const unfit = async (method: string, path: string, allowed: string) =>
    refused(
      t,
      await gw.send('', { method, path }),
      [405, 'invalid_request_error', 'METHOD_NOT_ALLOWED', `${method} is not allowed on ${path}; use ${allowed}.`],
      `${method} ${path}`,
    )
  await unfit('GET', '/v1/messages', 'POST')
  await unfit('PUT', '/v1/messages', 'POST')
  await unfit('DELETE', '/v1/messages/count_tokens', 'POST')
  await unfit('POST', '/v1/models', 'GET')
  await unfit('POST', '/', 'GET')
  noneAsked(t, gw)
})

t.test('a body that says nothing useful is refused with the place where it goes wrong', async t => {
  const gw = await gateway(t)
  const table: [name: string, body: string, code: string, message: string][] = [
    ['empty', '', 'BODY_EMPTY', 'Request body is empty.'],
    ['blank', ' \n', 'BODY_INVALID', 'expected a JSON object'],
    ['text', 'hello', 'BODY_INVALID', 'expected a JSON object'],
    ['a list', '[]', 'BODY_INVALID', 'expected a JSON object'],
    ['cut', '{"model":"m"', 'BODY_INVALID', 'expected "," or "}" at byte 12'],
    ['cut in a string', '{"model":"m', 'BODY_INVALID', 'a string is not closed at byte 9'],
    ['two documents', '{"model":"m"}{}', 'BODY_INVALID', 'unexpected text after the JSON object at byte 13'],
    ['too deep', `{"model":"m","x":${'['.repeat(9999)}`, 'BODY_INVALID', 'nested deeper than 512 levels at byte 529'],
    ['no model', '{"messages":[]}', 'MODEL_REQUIRED', 'model is required.'],
    ['a model elsewhere', '{"metadata":{"model":"m"}}', 'MODEL_REQUIRED', 'model is required.'],
    ['an empty model', '{"model":""}', 'MODEL_REQUIRED', 'model is required.'],
    ['a number as model', '{"model":5}', 'BODY_INVALID', 'model must be a string'],
    ['null as model', '{"model":null}', 'BODY_INVALID', 'model must be a string'],
    ['two models', '{"model":"cheap","model":"dear"}', 'BODY_INVALID', 'property "model" appears twice'],
    ['two in disguise', '{"model":"cheap","m\\u006fdel":"dear"}', 'BODY_INVALID', 'property "model" appears twice'],
    ['text as stream', '{"model":"m","stream":"true"}', 'BODY_INVALID', 'stream must be true or false'],
    ['a number as stream', '{"model":"m","stream":1}', 'BODY_INVALID', 'stream must be true or false'],
    ['two streams', '{"model":"m","stream":true,"stream":false}', 'BODY_INVALID', 'property "stream" appears twice'],
  ]
  for (const [name, body, code, what] of table) {
    const message = code === 'BODY_INVALID' ? `Failed to parse request body: ${what}.` : what
    const reply = await gw.send(body)
    // Where there is no object at all, the place of the mistake is of no interest.
    const said = (await reply.text()).replace(/(expected a JSON object) at byte \d+/, '$1')
    await refused(t, new Response(said, reply), [400, 'invalid_request_error', code, message], name)
  }
  noneAsked(t, gw)
})

const MB = 1024 * 1024
const big = (bytes: number) => Buffer.from(JSON.stringify(hello({ metadata: { user_id: 'x'.repeat(bytes) } })))
const parts = (body: Buffer) =>
  new ReadableStream({
    start(controller) {
      for (let at = 0; at < body.length; at += MB) controller.enqueue(body.subarray(at, at + MB))
      controller.close()
    },
  })

t.test('a large body passes when the limit allows it, with a length or in chunks, byte for byte', async t => {
  const gw = await gateway(t)
  const body = big(30 * MB)
  for (const sent of [body, parts(body)]) {
    const reply = await fetch(`${gw.url}/v1/messages`, {
      method: 'POST',
      headers: { 'x-api-key': gw.key },
      body: sent,
      duplex: 'half',
    } as RequestInit)
    t.equal(reply.status, 200)
    const seen = gw.mock.stats().bodies.at(-1)!
    t.equal(seen.bytes, body.length)
    t.equal(seen.sha256, hash('sha256', body))
  }
})

t.test('a body beyond the limit is refused while the client is still sending', async t => {
  const gw = await gateway(t, { config: { 'limits.body': 20 * MB } })
  const tooLarge: Refusal = [413, 'request_too_large', 'BODY_TOO_LARGE', 'Request body too large, limit is 20MB.']
  const body = big(30 * MB)

  await t.test('as its length says, before a byte of it was read', async t => {
    const wire = await connect(t, gw.url)
    await wire.write(head('POST /v1/messages', { 'x-api-key': gw.key, 'content-length': body.length }))
    await wire.write(body.subarray(0, 10))
    await refusedOnWire(t, await wire.saw(/"request_id":"[^"]+"}/), tooLarge)
    await wire.write(body.subarray(10))
    await wire.write(head('GET /health'))
    t.match(await wire.saw(/"status":"ok"/), '200 OK', 'and the connection lives on')
  })

  await t.test('in chunks, as soon as it is too much', async t => {
    const wire = await connect(t, gw.url)
    await wire.write(head('POST /v1/messages', { 'x-api-key': gw.key, 'transfer-encoding': 'chunked' }))
    const chunk = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(MB, 'x'), Buffer.from('\r\n')])
    for (let i = 0; i < 20; i++) await wire.write(chunk)
    t.equal(wire.text, '', 'exactly the limit is fine')
    await wire.write('1\r\nx\r\n')
    await refusedOnWire(t, await wire.saw(/"request_id":"[^"]+"}/), tooLarge)
    for (let i = 0; i < 10; i++) await wire.write(chunk)
    await wire.write(`0\r\n\r\n${head('GET /health')}`)
    t.match(await wire.saw(/"status":"ok"/), '200 OK', 'and the connection lives on')
  })

  for (const stream of [true, false]) {
    const reply = await fetch(`${gw.url}/v1/messages`, {
      method: 'POST',
      headers: { 'x-api-key': gw.key },
      body: stream ? parts(body) : body,
      duplex: 'half',
    } as RequestInit)
    await refused(t, reply, tooLarge, 'an ordinary client gets the answer, not a reset')
  }
  noneAsked(t, gw)
})

t.test('compressed bodies are read in every coding clients use, and reach the provider plain', async t => {
  const gw = await gateway(t, { config: { 'limits.decoded_body': MB } })
  const codings = {
    gzip: promisify(zlib.gzip),
    'x-gzip': promisify(zlib.gzip),
    deflate: promisify(zlib.deflate),
    br: promisify(zlib.brotliCompress),
    zstd: promisify(zlib.zstdCompress),
  } as Record<string, (plain: Buffer) => Promise<Buffer>>
  const plain = Buffer.from(JSON.stringify(hello()))
  const bomb = Buffer.alloc(8 * MB)
  for (const [name, compress] of Object.entries(codings)) {
    const coded = { headers: { 'content-encoding': name } }
    t.equal((await gw.send(await compress(plain), coded)).status, 200, name)
    const { body, headers } = gw.mock.stats().bodies.at(-1)!
    t.equal(body, plain.toString())
    t.equal(headers['content-encoding'], undefined)
    await refused(
      t,
      await gw.send(await compress(bomb), coded),
      [413, 'request_too_large', 'BODY_TOO_LARGE', 'Request body too large, limit is 1MB.'],
      `a bomb in ${name}`,
    )
    await refused(
      t,
      await gw.send(Buffer.alloc(64, 0xff), coded),
      [400, 'invalid_request_error', 'BODY_UNREADABLE', `Failed to read request body: not valid ${name}.`],
      `noise as ${name}`,
    )
  }
  t.equal((await gw.send(plain, { headers: { 'content-encoding': ' Identity' } })).status, 200)
  for (const name of ['compress', 'gzip, br', 'constructor'])
    await refused(t, await gw.send(plain, { headers: { 'content-encoding': name } }), [
      415,
      'invalid_request_error',
      'ENCODING_UNSUPPORTED',
      `Content-Encoding ${name} is not supported; use gzip, deflate, br, zstd or none.`,
    ])
  t.equal(gw.mock.stats().requests, Object.keys(codings).length + 1)
})

t.test('a client that is too slow is answered and let go of', async t => {
  const gw = await gateway(t, { config: { 'timeouts.request_body': 250, 'timeouts.request_header': 250 } })
  const body = await connect(t, gw.url)
  await body.write(post(gw.key, hello(), { 'content-length': 1000 }))
  await refusedOnWire(t, await body.saw(/"request_id":"[^"]+"}/), [
    408,
    'timeout_error',
    'BODY_TIMEOUT',
    'The request body did not arrive within 250ms.',
  ])
  const chunked = await connect(t, gw.url)
  await chunked.write(`${head('POST /v1/messages', { 'x-api-key': gw.key, 'transfer-encoding': 'chunked' })}1\r\n{\r\n`)
  t.match(await chunked.saw(/"request_id":"[^"]+"}/), 'BODY_TIMEOUT')
  const headers = await connect(t, gw.url)
  await headers.write('POST /v1/messages HTTP/1.1\r\nhost: gw\r\nx-slow: 1\r\n')
  t.match(await headers.saw(/\r\n\r\n/), /^HTTP\/1.1 408 /)
  t.equal(await headers.end(), 'FIN')
  noneAsked(t, gw)
})

t.test('an upgrade is refused so that clients fall back, and an offer that HTTP lets us ignore is ignored', async t => {
  const gw = await gateway(t)
  const upgrade = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': 13 }
  const wire = await connect(t, gw.url)
  await wire.write(head('GET /v1/responses', upgrade))
  t.equal(await wire.end(), 'FIN')
  await refusedOnWire(t, wire.text, [
    426,
    'invalid_request_error',
    'UPGRADE_REFUSED',
    'WebSocket is not spoken here; use plain HTTP requests.',
    'openai',
  ])

  // What Java's HttpClient sends with every first request to a plain http: URL.
  const offer = await connect(t, gw.url)
  await offer.write(
    post(gw.key, hello(), {
      connection: 'Upgrade, HTTP2-Settings',
      upgrade: 'h2c',
      'http2-settings': 'AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA',
    }),
  )
  t.match(await offer.saw(/\r\n\r\n[\s\S]*}/), /^HTTP\/1.1 200 /)

  for (let i = 0; i < 20; i++) {
    const rude = await connect(t, gw.url)
    await rude.write(head('GET /v1/responses', upgrade) + 'x'.repeat(100_000))
    rude.reset()
  }
  t.equal((await gw.send(hello())).status, 200, 'nobody dies of those who leave before the answer')
})

t.test('what two parsers could read in two ways is read by none', async t => {
  const gw = await gateway(t)
  const { key } = gw
  const body = JSON.stringify(hello())
  const hidden = `POST /v1/messages HTTP/1.1\r\nhost: gw\r\nx-api-key: ${key}\r\ncontent-length: ${body.length}\r\n\r\n${body}`
  const chunked = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
  const start = `POST /v1/messages HTTP/1.1\r\nhost: gw\r\nx-api-key: ${key}\r\n`
  const shapes: Record<string, string> = {
    'length and chunked': `${start}content-length: ${chunked.length}\r\ntransfer-encoding: chunked\r\n\r\n${chunked}${hidden}`,
    'two lengths': `${start}content-length: ${body.length}\r\ncontent-length: 0\r\n\r\n${body}${hidden}`,
    'a length with a sign': `${start}content-length: +${body.length}\r\n\r\n${body}${hidden}`,
    'a length in hex': `${start}content-length: 0x10\r\n\r\n${body}${hidden}`,
    'space before the colon': `${start}transfer-encoding : chunked\r\n\r\n${chunked}${hidden}`,
    'a folded header': `${start}x-fold: a\r\n transfer-encoding: chunked\r\n\r\n${chunked}${hidden}`,
    'bare line feeds': `POST /v1/messages HTTP/1.1\nhost: gw\nx-api-key: ${key}\ncontent-length: 0\n\n${hidden}`,
    'a NUL in a header': `${start}x-nul: a\0b\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    'a chunk size that is none': `${start}transfer-encoding: chunked\r\n\r\n-1\r\n${hidden}`,
    'a chunk longer than it says': `${start}transfer-encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n${hidden}`,
    'no host': `POST /v1/messages HTTP/1.1\r\nx-api-key: ${key}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    'not HTTP': `\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03${hidden}`,
  }
  for (const [name, bytes] of Object.entries(shapes)) {
    const wire = await connect(t, gw.url)
    await wire.write(bytes)
    await wire.end()
    t.match(wire.text, /^HTTP\/1.1 400 Bad Request\r\n/, name)
    t.notMatch(wire.text, /HTTP\/1.1 200/, `${name}: what hides behind it is not served`)
  }
  const codings = ['chunked, identity', 'xchunked', 'gzip, chunked', 'gzip']
  for (const coding of codings) {
    const wire = await connect(t, gw.url)
    await wire.write(`${start}transfer-encoding: ${coding}\r\n\r\n${chunked}${hidden}`)
    await wire.end()
    t.match(wire.text, /^HTTP\/1.1 501 /, coding)
    t.notMatch(wire.text, /HTTP\/1.1 200/, `${coding}: what hides behind it is not served`)
  }
  noneAsked(t, gw)
})
