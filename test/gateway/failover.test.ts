// Failover: whatever an account does wrong, the client sees one clean answer, or one clean end.

import { hash } from 'node:crypto'
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import type { Step } from '../../src/mock/step.ts'
import { type AccountSetup, gateway, hello, only, type TestGateway } from '../helpers/gateway.ts'
import { matchAll } from '../helpers/match.ts'
import { refused } from '../helpers/refused.ts'
import { serving } from '../helpers/serving.ts'

const html = { 'content-type': 'text/html' }
const envelope = (type: string, message = type) => JSON.stringify({ type: 'error', error: { type, message } })
const ping = 'event: ping\ndata: {"type":"ping"}\n\n'

/** The port of something that says these words to everybody, and then nothing more. */
async function saying(t: Test, words = ''): Promise<number> {
  const open = new Set<net.Socket>()
  const server = net.createServer(socket => {
    open.add(socket.on('error', () => {}))
    socket.write(words)
  })
  server.listen(0, '127.0.0.1')
  t.teardown(() => {
    for (const socket of open) socket.destroy()
    server.close()
  })
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** A port where nobody listens. */
async function nobody(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** How many of each event a stream holds. */
function tally(text: string): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const [, name = ''] of text.matchAll(/^event: (message_start|message_stop|error)$/gm))
    counts[name] = (counts[name] ?? 0) + 1
  return counts
}

const impatient = {
  'timeouts.connect': 1000,
  'timeouts.response_header': 1000,
  'timeouts.whole_answer': 1000,
  'timeouts.first_token': 1000,
  'timeouts.idle': 1000,
}

interface Fault {
  script?: Step
  baseUrl?: string
  /** how often the provider may be asked under the bad account's credential; default once */
  seen?: number[]
}

// A reset before the head on a connection that was used before may be the connection's fault.
const again = [1, 2]

/**
 * A gateway in which every fault has an account of its own, preferred for the model of the fault's name; account
 * `good` serves every model. So all cases can be under way at once, and none leaves a trace in another.
 */
function faulty(t: Test, faults: Record<string, Fault>): Promise<TestGateway> {
  const bad = Object.entries(faults).map(([name, { script, baseUrl }], i) => ({
    name: `bad${i}`,
    priority: 1,
    models: { [name]: name },
    ...(script && { script }),
    ...(baseUrl && { baseUrl }),
  }))
  return gateway(t, {
    config: impatient,
    accounts: [{ name: 'good', priority: 2, script: { text: 'from the good one' } }, ...bad],
  })
}

const asked = (gw: TestGateway, account: string, model: string) =>
  gw.mock.stats(gw.credential(account)).bodies.filter(seen => seen.model === model).length

t.test('before the client has seen anything, another account answers and nobody notices', async t => {
  const early: Record<string, Fault> = {
    'connection refused': { baseUrl: `http://127.0.0.1:${await nobody()}`, seen: [0] },
    'a name that does not exist': { baseUrl: 'http://gw.invalid', seen: [0] },
    'a TLS handshake that hangs': { baseUrl: `https://127.0.0.1:${await saying(t)}`, seen: [0] },
    'no TLS where TLS should be': {
      baseUrl: `https://127.0.0.1:${await saying(t, 'HTTP/1.1 400 Bad Request\r\n\r\n')}`,
      seen: [0],
    },
    'not HTTP': { baseUrl: `http://127.0.0.1:${await saying(t, 'SSH-2.0-OpenSSH_9.9\r\n')}`, seen: [0] },
    'a response head that overflows': {
      baseUrl: `http://127.0.0.1:${await saying(t, `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(100_000)}\r\n`)}`,
      seen: [0],
    },
    'switching protocols': {
      baseUrl: `http://127.0.0.1:${await saying(t, 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n')}`,
      seen: [0],
    },
    'reset before the head': { script: { reset: 'start' }, seen: again },
    'closed before the head': { script: { close: 'start' }, seen: again },
    'reset after the head': { script: { reset: 0 } },
    'closed after the head': { script: { close: 0 } },
    'ended after the head': { script: { end: 0 } },
    'HTML in a 200': { script: { body: '<html><body>maintenance</body></html>' } },
    'text in a 200': { script: { body: 'please log in', headers: { 'content-type': 'text/plain' } } },
    'JSON that is an error': { script: { body: envelope('overloaded_error') } },
    'JSON that is cut': { script: { body: '{"type":"message","content":[{"type":"text","te' } },
    'JSON that says nothing': { script: { body: '{}' } },
    'a redirect': { script: { status: 302, body: 'moved', headers: { location: 'http://127.0.0.1/' } } },
    'not gzip although it says so': {
      script: { body: '{"type":"mess', headers: { 'content-encoding': 'gzip' }, hold: 1 },
    },
  }
  for (const status of [401, 402, 403, 429, 500, 502, 503, 504, 520, 529])
    early[`status ${status}`] = { script: { status } }
  for (const status of [400, 404, 405, 410, 413, 422]) {
    early[`a page with ${status}`] = { script: { status, body: '<html><title>nginx</title></html>', headers: html } }
    early[`words with ${status}`] = { script: { status, body: 'no', headers: { 'content-type': 'text/plain' } } }
    early[`other JSON with ${status}`] = { script: { status, body: '{"detail":"Not Found"}' } }
    early[`nothing with ${status}`] = { script: { status, body: '' } }
  }
  for (const message of [
    'Your credit balance is too low to access the Anthropic API.',
    'This organization has been disabled.',
    'This model is not available for this subscription.',
  ])
    early[message] = { script: { status: 400, error: { message } } }
  early['a model it does not serve'] = { script: { status: 404, error: { message: 'model: x' } } }
  early['a method that is not allowed'] = { script: { status: 405, error: { message: 'Method Not Allowed' } } }
  const inStream: Record<string, Fault> = {
    'silent before the head': { script: { hold: 'start' } },
    'silent after the head': { script: { hold: 0 } },
    'pings and then silence': { script: { body: ping, headers: { 'content-type': 'text/event-stream' }, hold: 1 } },
    'pings and then the end': { script: { body: ping } },
    'an error event first': { script: { error: { type: 'overloaded_error' }, errorAt: 0 } },
    'a ping, then an error event': { script: { body: `${ping}event: error\ndata: ${envelope('api_error')}\n\n` } },
    'an error without an event line': { script: { error: { type: 'rate_limit_error' }, errorAt: 0, unnamed: true } },
    'gzip that breaks off': { script: { encoding: 'gzip', end: 0 } },
  }
  const inBody: Record<string, Fault> = {
    'half a body, then a reset': { script: { reset: 1 } },
    'half a body, then closed': { script: { close: 1 } },
    'half a body, then the end': { script: { end: 1 } },
    'broken JSON': { script: { brokenAt: 0 } },
    'half a gzip': { script: { encoding: 'gzip', end: 1 } },
    'an error instead of an answer': { script: { error: { type: 'overloaded_error' }, errorAt: 0 } },
  }
  for (const [stream, faults] of [
    [true, { ...early, ...inStream }],
    [false, { ...early, ...inBody }],
  ] as [boolean, Record<string, Fault>][]) {
    await t.test(stream ? 'streams' : 'whole answers', async t => {
      const gw = await faulty(t, faults)
      const cases = Object.entries(faults).map(async ([model, { seen = [1] }], i) => {
        const reply = await gw.send(hello({ model, stream }))
        const text = await reply.text()
        return { model, i, seen, reply, text }
      })
      for (const { model, i, seen, reply, text } of await Promise.all(cases)) {
        t.equal(reply.status, 200, model)
        t.match(reply.headers.get('content-type'), stream ? 'text/event-stream' : 'application/json')
        if (stream) t.strictSame(tally(text), { message_start: 1, message_stop: 1 }, `${model}: one clean stream`)
        else
          matchAll(
            t,
            JSON.parse(text),
            { type: 'message', content: [{ text: 'from the good one' }] },
            `${model}: one answer`,
          )
        t.ok(seen.includes(asked(gw, `bad${i}`, model)), `${model}: the bad one was asked ${seen} times`)
        t.equal(asked(gw, 'good', model), 1, `${model}: the good one was asked once`)
      }
      const rows = await gw.usage(Object.keys(faults).length)
      t.strictSame(
        rows.map(({ account, partial }) => ({ account, partial })),
        rows.map(() => ({ account: 'good', partial: false })),
        'each is on one bill, and it is that of the account that answered',
      )
    })
  }
})

t.test('a whole answer may take its time, as long as it does not fall silent', async t => {
  const gw = await faulty(t, { slow: { script: { text: 'from the slow one', drip: { bytes: 40, everyMs: 200 } } } })
  const reply = await gw.send(hello({ model: 'slow' }))
  matchAll(t, await reply.json(), { content: [{ text: 'from the slow one' }] })
  t.equal(asked(gw, 'good', 'slow'), 0, 'nobody else was asked')
})

t.test('once the client has seen something, it gets one terminal error and never a second answer', async t => {
  const faults: Record<string, Fault> = {
    reset: { script: { reset: 4 } },
    closed: { script: { close: 4 } },
    'ended too early': { script: { end: 4 } },
    'ended before message_stop': { script: { chunks: ['a'], end: 5 } },
    'an error event': { script: { error: { type: 'overloaded_error', message: 'too much' }, errorAt: 4 } },
    'a gzip that breaks off': { script: { encoding: 'gzip', reset: 4 } },
    'a gzip that ends too early': { script: { encoding: 'gzip', end: 4 } },
    silent: { script: { hold: 4 } },
    'silent after a ping': { script: { pings: 1, hold: 4 } },
  }
  for (const { script } of Object.values(faults)) {
    script!.chunks ??= ['a', 'b', 'c', 'd']
    script!.usage = { input_tokens: 11 }
    // Whatever is to happen happens when the client has read what came before.
    script!.hold = script!.end ?? 4
  }
  const gw = await faulty(t, faults)
  const cases = Object.keys(faults).map(async (model, i) => {
    const reply = await gw.send(hello({ model, stream: true }))
    let text = ''
    for await (const piece of reply.body!.pipeThrough(new TextDecoderStream())) {
      text += piece
      if (!model.startsWith('silent') && text.includes('"text":"a"')) gw.mock.release(gw.credential(`bad${i}`))
    }
    return { model, i, reply, text }
  })
  const said = (model: string, reply: Response) => {
    const error = (type: string, message: string, code: string) => ({ error: { type, message, code } })
    const id = { request_id: reply.headers.get('x-request-id') }
    if (model === 'an error event')
      return {
        error: { type: 'overloaded_error', message: 'too much' },
        request_id: reply.headers.get('x-upstream-request-id'),
      }
    if (model.startsWith('silent'))
      return { ...error('timeout_error', 'The upstream was silent for 1s.', 'UPSTREAM_IDLE'), ...id }
    return { ...error('api_error', 'The upstream broke off in the middle of its answer.', 'UPSTREAM_BROKE'), ...id }
  }
  for (const { model, i, reply, text } of await Promise.all(cases)) {
    t.equal(reply.status, 200, model)
    t.strictSame(tally(text), { message_start: 1, error: 1 }, `${model}: one beginning, one end`)
    const [, last = '{}'] = /\n\nevent: error\ndata: (.*)\n\n$/.exec(text) ?? []
    t.strictSame(JSON.parse(last), { type: 'error', ...said(model, reply) }, `${model}: the error is the last event`)
    t.match(text, '"text":"a"', `${model}: what came before it was not lost`)
    t.strictSame([asked(gw, `bad${i}`, model), asked(gw, 'good', model)], [1, 0], `${model}: nobody else was asked`)
  }
  const rows = await gw.usage(Object.keys(faults).length)
  t.equal(rows.length, Object.keys(faults).length)
  for (const { model, input_tokens, partial } of rows)
    t.strictSame(
      { input_tokens, partial },
      { input_tokens: 11, partial: true },
      `${model}: what is known is on the bill`,
    )
})

t.test('an answer that breaks off inside an event ends with an error that can be read', async t => {
  for (const end of ['\n', '\r\n', '\r']) {
    const event = (name: string, more: object = {}) =>
      `event: ${name}${end}data: ${JSON.stringify({ type: name, ...more })}${end}${end}`
    const start = event('message_start', { message: { usage: { input_tokens: 5, output_tokens: 1 } } })
    const delta = event('content_block_delta', { index: 0, delta: { type: 'text_delta', text: 'x'.repeat(5000) } })
    const upstream = await serving(t, (_req, res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      res.write(start + delta.slice(0, 20))
      res.write(delta.slice(20) + delta.slice(0, 3000), () => res.destroy())
    })
    const gw = await gateway(t, { accounts: [{ baseUrl: upstream }] })
    const reply = await gw.send(hello({ stream: true }))
    const text = await reply.text()
    const [whole, error = ''] = text.split(/(?<=[\r\n])(?=event: error)/)
    t.equal(whole, start + delta, `what was whole has come, ${JSON.stringify(end)}`)
    t.match(JSON.parse(error.slice('event: error\ndata: '.length)), {
      type: 'error',
      error: { code: 'UPSTREAM_BROKE' },
    })
    await gw.usage(1)
  }
})

t.test('an answer that has come to its end is not spoilt by what the connection does after it', async t => {
  const afterwards: Record<string, Fault> = {
    'reset after message_stop': { script: { reset: 99 } },
    'silent after message_stop': { script: { hold: 99 } },
    'closed after message_stop': { script: { close: 99 } },
    'reset after an error event': { script: { error: { type: 'api_error' }, errorAt: 3, reset: 99 } },
    'silent after an error event': { script: { error: { type: 'api_error' }, errorAt: 3, hold: 99 } },
  }
  const gw = await faulty(t, afterwards)
  const cases = Object.keys(afterwards).map(async model => {
    return { model, text: await (await gw.send(hello({ model, stream: true }))).text() }
  })
  for (const { model, text } of await Promise.all(cases))
    t.strictSame(
      tally(text),
      { message_start: 1, [model.endsWith('error event') ? 'error' : 'message_stop']: 1 },
      `${model}: one beginning, one end`,
    )
  for (const { model, partial } of await gw.usage(5)) t.equal(partial, model.endsWith('error event'), model)
})

t.test("the client's own mistake is its own: relayed as it came, and no other account is asked", async t => {
  const gw = await gateway(t, {
    accounts: [
      { name: 'first', priority: 1 },
      { name: 'second', priority: 2 },
    ],
  })
  gw.mock.script(gw.credential('second'), { expect: 'nothing more' })
  const details = { error_code: 'prompt_too_long' }
  for (const stream of [true, false])
    for (const status of [400, 413, 422]) {
      gw.mock.script(gw.credential('first'), {
        status,
        error: { message: 'prompt is too long: 210000 tokens > 200000 maximum', details },
        headers: { 'x-should-retry': 'false' },
      })
      const reply = await gw.send(hello({ stream }))
      const bytes = Buffer.from(await reply.arrayBuffer())
      const seen = gw.mock.stats().bodies.at(-1)!
      t.equal(reply.status, status)
      t.equal(reply.headers.get('content-type'), 'application/json')
      t.equal(reply.headers.get('x-should-retry'), 'false')
      t.match(JSON.parse(bytes.toString()), { error: { details }, request_id: seen.id })
      t.equal(hash('sha256', bytes), seen.responseSha256, `${status}: byte for byte`)
    }
  gw.mock.script(gw.credential('first'), { error: { type: 'invalid_request_error', message: 'no' }, errorAt: 0 })
  const reply = await gw.send(hello({ stream: true }))
  t.strictSame(tally(await reply.text()), { error: 1 }, 'an error event of that kind is the answer too')
  t.equal(gw.mock.stats().unexpected, 0)
  t.equal(
    (await gw.live()).accounts.every(account => account.slots.used === 0),
    true,
  )
})

t.test('when every account refuses, the client is told what they said, or who is back first', async t => {
  const unavailable = 'Upstream service temporarily unavailable.'
  const table: [upstream: number, status: number, type: string, code: string, message: string][] = [
    [401, 502, 'api_error', 'UPSTREAM_UNAUTHORIZED', 'Upstream authentication failed, please contact administrator.'],
    [402, 502, 'api_error', 'UPSTREAM_FAILED', 'Upstream request failed.'],
    [403, 502, 'api_error', 'UPSTREAM_FORBIDDEN', 'Upstream access forbidden, please contact administrator.'],
    [429, 429, 'rate_limit_error', 'UPSTREAM_RATE_LIMITED', 'Upstream rate limit exceeded, please retry later.'],
    [500, 503, 'api_error', 'UPSTREAM_UNAVAILABLE', unavailable],
    [502, 503, 'api_error', 'UPSTREAM_UNAVAILABLE', unavailable],
    [503, 503, 'api_error', 'UPSTREAM_UNAVAILABLE', unavailable],
    [504, 503, 'api_error', 'UPSTREAM_UNAVAILABLE', unavailable],
    [520, 503, 'api_error', 'UPSTREAM_UNAVAILABLE', unavailable],
    [529, 503, 'overloaded_error', 'UPSTREAM_OVERLOADED', 'Upstream service overloaded, please retry later.'],
  ]
  const refusing = (status: number): AccountSetup => ({ script: { status, error: { message: 'a secret' } } })
  const absent: AccountSetup = { script: { status: 404, error: { message: 'model: a secret' } } }
  const pageOf = (status: number): AccountSetup => ({
    script: { status, body: '<title>a secret</title>', headers: html },
  })
  const long = 'prompt is too long: 210000 tokens > 200000 maximum'
  const other: AccountSetup = { script: { status: 400, body: JSON.stringify({ error: { message: long } }) } }
  const gw = await gateway(t, {
    accounts: [
      ...table.flatMap(([upstream]) => [
        ...only(`${upstream} to a stream`, refusing(upstream), refusing(upstream)),
        ...only(`${upstream}`, refusing(upstream), refusing(upstream)),
      ]),
      ...only('429, then 529', refusing(429), { ...refusing(529), priority: 51 }),
      ...only('401, then 529', { ...refusing(401), priority: 51 }, refusing(529)),
      ...only('no model', absent, absent),
      ...only('no model, and broken', absent, refusing(500)),
      ...only('page', pageOf(404), pageOf(404)),
      ...only('page as an answer', pageOf(200), pageOf(200)),
      ...only('page elsewhere', pageOf(302), pageOf(302)),
      ...only('page for its words', pageOf(400), pageOf(400)),
      ...only('page for its size', pageOf(413), pageOf(413)),
      ...only('other JSON', other, other),
      ...only('no status', { script: { reset: 'start' } }, { script: { close: 'start' } }),
    ],
  })
  const asked = (model: string) => gw.mock.stats().bodies.filter(seen => seen.model === model).length
  for (const [upstream, ...refusal] of table)
    for (const stream of [true, false]) {
      const model = stream ? `${upstream} to a stream` : `${upstream}`
      const reply = await gw.send(hello({ model, stream }))
      const wait = /^\d+$/.test(reply.headers.get('retry-after') ?? '')
      t.equal(wait, refusal[0] !== 502, `${model}: when to come back`)
      await refused(t, reply, refusal, model)
      t.equal(asked(model), 2, `${model}: both were asked, each once`)
    }
  const mixed: [model: string, status: number, type: string, code: string, message?: string][] = [
    ['429, then 529', 429, 'rate_limit_error', 'UPSTREAM_RATE_LIMITED'],
    ['401, then 529', 503, 'overloaded_error', 'UPSTREAM_OVERLOADED'],
    ['no status', 503, 'api_error', 'UPSTREAM_UNAVAILABLE'],
    ['no model', 404, 'not_found_error', 'MODEL_NOT_FOUND', 'model: no model (no account here serves it)'],
    ['no model, and broken', 503, 'api_error', 'UPSTREAM_UNAVAILABLE'],
    ['page', 502, 'api_error', 'UPSTREAM_FAILED'],
    ['page as an answer', 502, 'api_error', 'UPSTREAM_FAILED'],
    ['page elsewhere', 502, 'api_error', 'UPSTREAM_FAILED'],
    ['page for its words', 400, 'invalid_request_error', 'REQUEST_REFUSED'],
    ['page for its size', 413, 'request_too_large', 'REQUEST_TOO_LARGE'],
    ['other JSON', 400, 'invalid_request_error', 'REQUEST_REFUSED', long],
  ]
  for (const [model, status, type, code, message] of mixed) {
    const reply = await gw.send(hello({ model }))
    t.equal(reply.status, status, model)
    const text = await reply.text()
    const { error } = JSON.parse(text)
    t.strictSame([error.type, error.code], [type, code], model)
    if (message !== undefined) t.equal(error.message, message)
    t.notMatch(text, 'a secret', `${model}: what they said of themselves stays here`)
    // A reset before the head on a connection that was used before may be the connection's fault.
    if (model !== 'no status') t.equal(asked(model), 2, `${model}: both were asked, each once`)
  }
})

t.test('a request tries only so many accounts', async t => {
  const gw = await gateway(t, {
    accounts: ['a', 'b', 'c', 'd'].map(name => ({ name, script: { status: 500 } })),
    config: { 'failover.max_switches': 2 },
  })
  t.equal((await gw.send(hello())).status, 503)
  t.equal(gw.mock.stats().requests, 3)
})

t.test('when no account could be asked, the answer says why', async t => {
  const gw = await gateway(t, {
    accounts: [{ name: 'a' }, { name: 'b' }, { name: 'c' }, { name: 'd', models: { other: 'other' } }],
  })
  await gw.set.account('a', { status: 'paused' })
  await gw.set.account('b', { status: 'paused' })
  await gw.set.account('c', { expires_at: new Date(Date.now() - 1000) })
  const none = (why: string): [number, string, string, string] => [
    503,
    'api_error',
    'NO_UPSTREAM',
    `No available accounts: ${why}.`,
  ]
  await refused(t, await gw.send(hello()), none('2 paused, 1 expired, 1 model not served'))
  await gw.set.account('b', { status: 'error' })
  await refused(t, await gw.send(hello()), none('1 paused, 1 in error, 1 expired, 1 model not served'))
  for (const name of ['a', 'b', 'c', 'd']) await gw.set.account(name, { groups: [] })
  await refused(t, await gw.send(hello()), none('the group has no accounts'))
  t.equal(gw.mock.stats().requests, 0)
  await gw.set.account('c', { groups: ['main'], expires_at: new Date(Date.now() + 60_000) })
  t.equal((await gw.send(hello())).status, 200, 'an account that is back is used at once')
})

t.test('the choice: priority, then load, then the one that rested longest', async t => {
  const gw = await gateway(t, {
    accounts: [
      { name: 'first', priority: 10, concurrency: 1 },
      { name: 'small', priority: 20, concurrency: 2 },
      { name: 'large', priority: 20, concurrency: 4 },
    ],
    config: { 'queue.account_seats': 0 },
  })
  gw.mock.script('*', { hold: true })
  const replies: Promise<Response>[] = []
  const order: string[] = []
  for (let n = 1; n <= 7; n++) {
    replies.push(gw.send(hello()))
    const { bodies } = await gw.mock.until(stats => stats.holding === n)
    order.push(bodies.at(-1)!.credential.replace('cred-', ''))
  }
  t.strictSame(order, ['first', 'small', 'large', 'large', 'small', 'large', 'large'])
  await refused(t, await gw.send(hello()), [
    429,
    'rate_limit_error',
    'QUEUE_FULL',
    'Too many pending requests (0 may wait), please retry later.',
  ])
  gw.mock.release()
  for (const reply of await Promise.all(replies)) t.equal(reply.status, 200)

  const even = await gateway(t, { accounts: [{ name: 'x' }, { name: 'y' }, { name: 'z' }] })
  for (let n = 0; n < 6; n++)
    await (await even.send(hello({ messages: [{ role: 'user', content: `session ${n}` }] }))).text()
  t.strictSame(
    even.mock.stats().bodies.map(seen => seen.credential.replace('cred-', '')),
    ['x', 'y', 'z', 'x', 'y', 'z'],
  )
})

t.test('a kept-alive connection that the upstream has closed fails no request', async t => {
  for (const how of ['reset', 'close'] as const) {
    // Answers the first request of every connection, and hangs up on the second.
    const used = new WeakSet<net.Socket>()
    const waiting: (() => void)[] = []
    let requests = 0
    const upstream = await serving(t, (req, res) => {
      requests++
      if (used.has(req.socket)) return how === 'reset' ? req.socket.resetAndDestroy() : req.socket.destroy()
      used.add(req.socket)
      const answer = () =>
        res
          .setHeader('content-type', 'application/json')
          .end('{"type":"message","usage":{"input_tokens":1,"output_tokens":1}}')
      if (requests > 3) return answer()
      // The first three at once, so that there are three connections.
      if (waiting.push(answer) === 3) for (const go of waiting) go()
    })
    const gw = await gateway(t, { accounts: [{ baseUrl: upstream }] })
    const first = await Promise.all([1, 2, 3].map(() => gw.send(hello())))
    t.strictSame(
      first.map(reply => reply.status),
      [200, 200, 200],
    )
    for (let n = 0; n < 3; n++) t.equal((await gw.send(hello())).status, 200, how)
    await gw.usage(6)
  }
})

t.test('a compressed stream is relayed plain and metered', async t => {
  const gw = await gateway(t, { accounts: [{}] })
  const plainly = await (await gw.send(hello({ stream: true }))).text()
  for (const encoding of ['gzip', 'deflate', 'br', 'zstd'] as const)
    for (const stream of [true, false]) {
      gw.mock.script('*', { encoding, usage: { input_tokens: 7, output_tokens: 3 } })
      const reply = await gw.send(hello({ stream }))
      t.equal(reply.headers.get('content-encoding'), null)
      const text = await reply.text()
      t.match(text, stream ? plainly.match(/"text":"This[^"]*"/)![0] : '"type":"message"', `${encoding} ${stream}`)
      if (stream) t.strictSame(tally(text), { message_start: 1, message_stop: 1 })
    }
  const rows = await gw.usage(9)
  for (const row of rows.slice(0, 8)) t.match(row, { input_tokens: 7, output_tokens: 3, partial: false })
})
