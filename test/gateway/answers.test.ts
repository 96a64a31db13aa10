// What an answer is: when it has begun, when it is over, and in which shape the client gets it.

import type { ServerResponse } from 'node:http'
import Anthropic from '@anthropic-ai/sdk'
import t, { type Test } from 'tap'
import { gateway, hello, type TestGateway, until } from '../helpers/gateway.ts'
import { matchAll } from '../helpers/match.ts'
import { serving } from '../helpers/serving.ts'

type Event = [name: string, more?: object]
const event = ([name, more = {}]: Event) => `event: ${name}\ndata: ${JSON.stringify({ type: name, ...more })}\n\n`
const stream = (...events: Event[]) => events.map(event).join('')

const usage = { input_tokens: 30, output_tokens: 1 }
const start: Event = [
  'message_start',
  { message: { id: 'm', type: 'message', role: 'assistant', model: 'm', content: [], stop_reason: null, usage } },
]
const opens = (content_block: object): Event => ['content_block_start', { index: 0, content_block }]
const says = (delta: object): Event => ['content_block_delta', { index: 0, delta }]
const closes: Event = ['content_block_stop', { index: 0 }]
const text = opens({ type: 'text', text: '' })
const hi = says({ type: 'text_delta', text: 'hi' })
const why: Event = ['message_delta', { delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 9 } }]
const stop: Event = ['message_stop']
const ping: Event = ['ping']
const overloaded: Event = ['error', { error: { type: 'overloaded_error', message: 'too much' } }]

const sse = { 'content-type': 'text/event-stream' }
const json = { 'content-type': 'application/json' }

/** A model each, served first by an account of its own that answers so, then by account `good`. */
function each(t: Test, answers: Record<string, string>, headers: Record<string, string> = sse): Promise<TestGateway> {
  return gateway(t, {
    accounts: [
      { name: 'good', priority: 99, script: { text: 'from the good one' } },
      ...Object.entries(answers).map(([model, body], i) => ({
        name: `one${i}`,
        models: { [model]: model },
        script: { body, headers, usage: { input_tokens: 30, output_tokens: 9 } },
      })),
    ],
  })
}

const names = (text: string) => [...text.matchAll(/^event: (\w+)$/gm)].map(([, name]) => name)

t.test('an account that gives up before it has said anything is replaced, whatever frames it sent', async t => {
  const openings: Record<string, Event[]> = {
    'after the start': [start],
    'after a ping': [start, ping],
    'after an empty block': [start, text],
    'after an empty delta': [start, text, says({ type: 'text_delta', text: '' })],
    'after a block that is closed again': [start, text, closes],
    'after thinking that has not begun': [start, opens({ type: 'thinking', thinking: '', signature: '' }), ping],
    'after an event nobody knows': [start, ['vendor_news', { a: 1 }]],
  }
  const gw = await each(
    t,
    Object.fromEntries(Object.entries(openings).map(([what, events]) => [what, stream(...events, overloaded)])),
  )
  for (const model of Object.keys(openings)) {
    const reply = await gw.send(hello({ model, stream: true }))
    const said = await reply.text()
    t.equal(names(said).filter(name => name === 'message_start').length, 1, `${model}: one beginning`)
    t.match(said, '" good"', model)
    t.notMatch(said, 'too much', model)
  }
  for (const row of await gw.usage(Object.keys(openings).length)) t.equal(row.account, 'good', row.model)
})

t.test('once it has said something the client has it, and so it has what follows', async t => {
  const openings: Record<string, Event[]> = {
    text: [start, text, hi],
    thinking: [start, opens({ type: 'thinking', thinking: '' }), says({ type: 'thinking_delta', thinking: 'hm' })],
    'a signature': [
      start,
      opens({ type: 'thinking', thinking: '' }),
      says({ type: 'signature_delta', signature: 's' }),
    ],
    'a block that begins with text': [start, opens({ type: 'text', text: 'hi' })],
    'a tool': [start, opens({ type: 'tool_use', id: 'a', name: 'b', input: {} })],
    'a search': [start, opens({ type: 'server_tool_use', id: 'a', name: 'web_search', input: {} })],
    'redacted thinking': [start, opens({ type: 'redacted_thinking', data: 'xx' })],
    'a block of tomorrow': [start, opens({ type: 'hologram' })],
    'why it ended': [start, why],
  }
  const gw = await each(
    t,
    Object.fromEntries(Object.entries(openings).map(([what, events]) => [what, stream(...events, overloaded)])),
  )
  for (const [model, events] of Object.entries(openings)) {
    const reply = await gw.send(hello({ model, stream: true }))
    t.equal(await reply.text(), stream(...events, overloaded), `${model}: byte for byte`)
  }
  t.equal(gw.mock.stats(gw.credential('good')).requests, 0, 'nobody else was asked')
})

t.test('what says nothing is not held back for ever', async t => {
  const said = Promise.withResolvers<void>()
  const padded = stream(start, ...Array.from({ length: 1000 }, (): Event => ['ping', { pad: 'x'.repeat(300) }]))
  const baseUrl = await serving(t, async (_req, res) => {
    res.writeHead(200, sse).write(padded)
    await said.promise
    res.end(stream(overloaded))
  })
  const gw = await gateway(t, { accounts: [{ baseUrl, priority: 1 }, { name: 'good' }] })
  const reply = await gw.send(hello({ stream: true }))
  said.resolve()
  t.equal(await reply.text(), padded + stream(overloaded), 'what came of it, byte for byte')
  t.equal(gw.mock.stats().requests, 0, 'and nobody else was asked')
})

t.test('the time to the first token ends with the first token', async t => {
  const release = Promise.withResolvers<void>()
  const baseUrl = await serving(t, async (_req, res) => {
    res.writeHead(200, sse).write(stream(start, ping, text))
    await release.promise
    res.end(stream(hi, closes, why, stop))
  })
  const gw = await gateway(t, { accounts: [{ baseUrl }] })
  const reply = gw.send(hello({ stream: true }))
  await until(t, 'the answer has been opened', async () => (await gw.live()).in_flight === 1)
  const since = Date.now()
  await until(t, 'some time has passed', () => Date.now() - since >= 300)
  release.resolve()
  t.equal(await (await reply).text(), stream(start, ping, text, hi, closes, why, stop), 'byte for byte')
  const [row] = await gw.usage(1)
  t.ok(row!.first_token_ms! >= 300, `${row!.first_token_ms} ms`)
})

t.test('the protocol’s end is the end, whatever the connection does', async t => {
  const closed = Promise.withResolvers<void>()
  let open = 0
  const baseUrl = await serving(t, (req, res) => {
    open++
    req.socket.on('close', () => {
      open--
      closed.resolve()
    })
    // And then nothing: neither the end of the body nor of the connection.
    res.writeHead(200, sse).write(stream(start, text, hi, closes, why, stop))
  })
  for (const wants of [true, false]) {
    const gw = await gateway(t, { accounts: [{ baseUrl, concurrency: 1 }], user: { concurrency: 1 } })
    const reply = await gw.send(hello({ stream: wants }))
    const said = await reply.text()
    if (wants) t.equal(said, stream(start, text, hi, closes, why, stop), 'the client has its answer')
    else matchAll(t, JSON.parse(said), { content: [{ type: 'text', text: 'hi' }], usage: { output_tokens: 9 } })
    // With one place each, the next could not be served if anything were still held.
    t.equal((await gw.send(hello({ stream: wants }))).status, 200, 'and its places are free')
    await until(t, 'the upstream’s connections are closed', () => open === 0)
    t.strictSame(
      (await gw.usage(2)).map(row => row.partial),
      [false, false],
      'and the bill is whole',
    )
  }
})

t.test('a stream that falls silent is kept open with pings between its events', async t => {
  const release = Promise.withResolvers<void>()
  const [first, second] = [stream(start, text, hi), stream(hi, closes, why, stop)]
  const half = second.length / 2
  const between = Promise.withResolvers<void>()
  const baseUrl = await serving(t, async (_req, res) => {
    res.writeHead(200, sse).write(first)
    await between.promise
    res.write(second.slice(0, 20))
    await release.promise
    res.write(second.slice(20, half))
    res.end(second.slice(half))
  })
  const gw = await gateway(t, { accounts: [{ baseUrl }], config: { 'queue.ping_interval': 300 } })
  const reply = await gw.send(hello({ stream: true }))
  let said = ''
  const pings = () => said.split(event(ping)).length - 1
  for await (const piece of reply.body!.pipeThrough(new TextDecoderStream())) {
    said += piece
    if (pings() === 2) between.resolve()
    if (pings() === 4) release.resolve()
  }
  t.ok(pings() >= 4, `${pings()} pings, also while half an event had come`)
  t.equal(said.replaceAll(event(ping), ''), first + second, 'and nothing else was changed')
  await gw.usage(1)
})

const message = (content: object[]) => ({
  ...{ id: 'msg_1', type: 'message', role: 'assistant', model: 'm', content },
  ...{ stop_reason: 'tool_use', stop_sequence: null, usage: { input_tokens: 30, output_tokens: 9 } },
})
const blocks = [
  { type: 'thinking', thinking: 'hm', signature: 'c2ln' },
  { type: 'text', text: 'hi' },
  { type: 'tool_use', id: 'toolu_1', name: 'run', input: { command: 'ls' } },
]

t.test('a whole answer to a request for a stream is the stream that it would have been', async t => {
  const gw = await each(t, { whole: JSON.stringify(message(blocks)) }, json)
  const client = new Anthropic({ apiKey: gw.key, baseURL: gw.url, maxRetries: 0 })
  const asked = { model: 'whole', max_tokens: 64, messages: [{ role: 'user', content: 'hello' } as const] }
  t.match(await client.messages.stream(asked).finalMessage(), message(blocks))
  const [row] = await gw.usage(1)
  t.match(row, { account: 'one0', partial: false, input_tokens: 30, output_tokens: 9, stream: true })
})

t.test('also after a ping has made it a stream', async t => {
  const release = Promise.withResolvers<void>()
  const baseUrl = await serving(t, async (_req, res) => {
    await release.promise
    res.writeHead(200, json).end(JSON.stringify(message(blocks)))
  })
  const gw = await gateway(t, { accounts: [{ baseUrl }], config: { 'queue.ping_interval': 1000 } })
  const reply = await gw.send(hello({ stream: true }))
  t.equal(reply.status, 200, 'the first ping has come')
  release.resolve()
  const said = await reply.text()
  t.strictSame(
    names(said).filter(name => !name!.startsWith('content_block')),
    ['ping', 'message_start', 'message_delta', 'message_stop'],
  )
  const [row] = await gw.usage(1)
  t.match(row, { partial: false, output_tokens: 9, status: 200 })
})

t.test('a stream in answer to a request for the whole is gathered', async t => {
  const tool = opens({ type: 'tool_use', id: 'a', name: 'run', input: {} })
  const input = (partial_json: string) => says({ type: 'input_json_delta', partial_json })
  const gw = await each(t, {
    good: stream(start, text, hi, hi, closes, why, stop),
    tool: stream(start, tool, input('{"n":123456'), input('78901234567890}'), closes, why, stop),
    'breaks off': stream(start, text, hi),
    'fails late': stream(start, text, hi, overloaded),
  })
  const whole = async (model: string) => {
    const reply = await gw.send(hello({ model }))
    t.match(reply.headers.get('content-type'), /^application\/json/)
    return await reply.text()
  }
  matchAll(t, JSON.parse(await whole('good')), {
    type: 'message',
    content: [{ type: 'text', text: 'hihi' }],
    stop_reason: 'end_turn',
    usage: { input_tokens: 30, output_tokens: 9 },
  })
  t.match(await whole('tool'), '"input":{"n":12345678901234567890}', 'digits and all')
  for (const model of ['breaks off', 'fails late'])
    t.match(await whole(model), 'from the good one', `${model}: the client has seen nothing of it`)
  const rows = await gw.usage(4)
  t.strictSame(rows.map(row => [row.model, row.account === 'good', row.partial]).sort(), [
    ['breaks off', true, false],
    ['fails late', true, false],
    ['good', false, false],
    ['tool', false, false],
  ])
})

t.test('a whole answer is whole, whatever its connection does', async t => {
  const body = JSON.stringify(message(blocks))
  const after: Record<string, (res: ServerResponse) => unknown> = {
    'is reset': res => res.socket!.resetAndDestroy(),
    'closes within its framing': res => res.socket!.end('5\r\n'),
    'stays open': () => {},
  }
  for (const [what, then] of Object.entries(after)) {
    const baseUrl = await serving(t, (_req, res) => {
      res.writeHead(200, json).write(body, () => then(res))
    })
    const accounts = [{ baseUrl, priority: 1 }, { name: 'second' }]
    const gw = await gateway(t, { accounts, config: { 'timeouts.idle': 300 } })
    for (const stream of [false, true]) {
      const reply = await gw.send(hello({ stream }))
      t.equal(reply.status, 200, what)
      if (stream) t.equal(names(await reply.text()).at(-1), 'message_stop')
      else t.equal(await reply.text(), body)
    }
    for (const row of await gw.usage(2)) t.match(row, { account: 'a1', partial: false, output_tokens: 9 })
    t.strictSame(
      (await gw.live()).accounts.map(a => a.state),
      ['available', 'available'],
    )
  }
})

t.test('an answer is what its first byte says, whatever its label', async t => {
  const whole = JSON.stringify(message(blocks))
  const spoken = stream(start, text, hi, closes, why, stop)
  for (const [body, headers] of [
    [`\n ${whole}`, sse],
    [spoken, json],
    [`: hello\n\n${spoken}`, json],
    [spoken, { 'content-type': 'Text/Event-Stream' }],
  ] as const) {
    const gw = await each(t, { m: body }, headers)
    const reply = await gw.send(hello({ model: 'm' }))
    t.match(reply.headers.get('content-type'), /^application\/json/)
    t.match(await reply.json(), { type: 'message', usage: { output_tokens: 9 } })
    const streamed = await gw.send(hello({ model: 'm', stream: true }))
    t.match(streamed.headers.get('content-type'), /^text\/event-stream/)
    t.equal(names(await streamed.text()).at(-1), 'message_stop')
    for (const row of await gw.usage(2)) t.match(row, { account: 'one0', partial: false, output_tokens: 9 })
  }
})

t.test('an error that is cut short behind its last line is judged all the same', async t => {
  const mistake: Event = ['error', { error: { type: 'invalid_request_error', message: 'messages: too many' } }]
  const gw = await each(t, {
    mistake: stream(start, mistake).slice(0, -2),
    overloaded: stream(start, overloaded).slice(0, -2),
  })
  const said = await (await gw.send(hello({ model: 'mistake', stream: true }))).text()
  t.match(said, '"message":"messages: too many"')
  t.match(await (await gw.send(hello({ model: 'overloaded', stream: true }))).text(), '" good"')
  const { accounts } = await gw.live()
  t.strictSame(
    accounts.map(a => a.reason),
    [null, null, 'without overloaded: overloaded'],
  )
})

t.test('a refusal too large to be kept back is told in the shape that the client expects', async t => {
  const refusal = JSON.stringify({
    type: 'error',
    error: { type: 'invalid_request_error', message: `messages: ${'x'.repeat(100_000)}` },
  })
  const release = Promise.withResolvers<void>()
  const gw = await gateway(t, {
    accounts: [
      {
        baseUrl: await serving(t, async (_req, res) => {
          await release.promise
          res.writeHead(400, json).end(refusal)
        }),
      },
    ],
    config: { 'queue.ping_interval': 1000 },
  })
  const reply = await gw.send(hello({ stream: true }))
  t.equal(reply.status, 200, 'the first ping has come')
  release.resolve()
  t.strictSame(names(await reply.text()), ['ping', 'error'])
  const early = await gw.send(hello({ stream: true }))
  t.equal(early.status, 400)
  t.equal(await early.text(), refusal, 'byte for byte')
})

t.test("the client's own mistake is its own also where it comes in a 200", async t => {
  const mistake: Event = ['error', { error: { type: 'invalid_request_error', message: 'messages: too many' } }]
  const [asEvent, asBody] = [stream(start, mistake), JSON.stringify({ type: 'error', ...mistake[1] })]
  for (const [answers, headers] of [
    [asEvent, sse],
    [asBody, json],
  ] as const) {
    const gw = await each(t, { m: answers }, headers)
    const whole = await gw.send(hello({ model: 'm' }))
    t.equal(whole.status, 400)
    t.match(await whole.json(), { error: { type: 'invalid_request_error', message: 'messages: too many' } })
    const streamed = await (await gw.send(hello({ model: 'm', stream: true }))).text()
    t.match(streamed, '"message":"messages: too many"')
    t.equal(gw.mock.stats(gw.credential('good')).requests, 0, 'nobody else was asked')
    t.strictSame(
      (await gw.live()).accounts.map(a => a.state),
      ['available', 'available'],
      'and nobody is out for it',
    )
  }
})

t.test('a count is whole, whatever its request says of streams', async t => {
  const gw = await gateway(t)
  const reply = await gw.send(hello({ stream: true }), { path: '/v1/messages/count_tokens' })
  t.match(reply.headers.get('content-type'), /^application\/json/)
  t.match(await reply.json(), { input_tokens: Number })
})

t.test('a count that is an error in a 200 is asked of the next, or told as an error', async t => {
  const error = (type: string) => JSON.stringify({ type: 'error', error: { type, message: 'messages: no' } })
  const path = '/v1/messages/count_tokens'
  const gw = await each(t, { overloaded: error('overloaded_error'), mistake: error('invalid_request_error') }, json)
  t.match(await (await gw.send(hello({ model: 'overloaded' }), { path })).json(), { input_tokens: Number })
  const refused = await gw.send(hello({ model: 'mistake' }), { path })
  t.equal(refused.status, 400)
  t.match(await refused.json(), { error: { type: 'invalid_request_error', message: 'messages: no' } })
})

t.test('a page is no count, and its account is left alone for counting', async t => {
  const gw = await each(t, { page: '<html>' }, { 'content-type': 'text/html' })
  for (let n = 1; n <= 2; n++) {
    const reply = await gw.send(hello({ model: 'page' }), { path: '/v1/messages/count_tokens' })
    t.match(await reply.json(), { input_tokens: Number })
  }
  t.equal(gw.mock.stats(gw.credential('one0')).requests, 1)
})

t.test('a whole answer that takes too long ends, and is not asked for again', async t => {
  const config = { 'timeouts.whole_answer': 300, 'timeouts.first_token': 300, 'timeouts.idle': 300 }
  for (const hold of ['start', 0, 1] as const) {
    const gw = await gateway(t, {
      config,
      accounts: [{ name: 'first', priority: 1, script: { hold } }, { name: 'second' }],
    })
    const reply = await gw.send(hello())
    t.equal(reply.status, 504, `held at ${hold}`)
    t.match(await reply.json(), { type: 'error', error: { type: 'timeout_error', code: 'UPSTREAM_TIMEOUT' } })
    t.equal(gw.mock.stats(gw.credential('second')).requests, 0, 'nobody else was asked')
    const rows = await gw.usage(1)
    t.equal(rows.length, 1)
    t.match(rows[0], { account: 'first', status: 504, partial: true })
    t.ok(rows[0]!.input_tokens > 0, 'what was sent is on the books')
    const counted = await gw.send(hello(), { path: '/v1/messages/count_tokens' })
    t.equal(counted.status, 200, 'and a count may be asked of the next')
  }
})

t.test('an operator reads how an answer broke off', async t => {
  const config = { 'timeouts.whole_answer': 300, 'timeouts.idle': 300 }
  const breaks: [how: object, asked: object, reason: string][] = [
    [{ hold: 'start' }, {}, 'no response head in time'],
    [{ hold: 4, chunks: ['a', 'b', 'c'] }, { stream: true }, 'the stream fell silent'],
    [{ reset: 4, chunks: ['a', 'b', 'c'] }, { stream: true }, 'connection reset'],
    [{ close: 4, chunks: ['a', 'b', 'c'] }, { stream: true }, 'connection reset'],
  ]
  for (const [script, asked, reason] of breaks) {
    const gw = await gateway(t, { config, accounts: [{ script }] })
    await (await gw.send(hello(asked))).text()
    const { health, snapshot } = gw.daemon.gateway
    await until(
      t,
      'it is held against the account',
      () => health.ailments([...snapshot.accounts.keys()][0]!).length > 0,
    )
    t.equal(health.ailments([...snapshot.accounts.keys()][0]!)[0]!.reason, reason)
    await gw.usage(1)
  }
})

t.test('a whole answer is given more time than the head of a stream', async t => {
  const config = { 'timeouts.response_header': 200, 'timeouts.whole_answer': 60_000 }
  const accounts = [
    { name: 'slow', priority: 1 },
    { name: 'fast', script: { text: 'from the fast one' } },
  ]
  const gw = await gateway(t, { config, accounts })
  gw.mock.script(gw.credential('slow'), { hold: 'start', text: 'from the slow one' })
  t.match(await (await gw.send(hello({ stream: true }))).text(), '" fast"', 'a stream is asked of another')
  await gw.heal()
  // Another conversation: that one's home is with the fast one now.
  const reply = gw.send(hello({ messages: [{ role: 'user', content: 'another' }] }))
  await gw.mock.until(s => s.holding === 1, gw.credential('slow'))
  const since = Date.now()
  await until(t, 'more time has passed than a stream would have had', () => Date.now() - since > 1000)
  gw.mock.release(gw.credential('slow'))
  matchAll(t, await (await reply).json(), { content: [{ text: 'from the slow one' }] })
})

t.test('interim answers do not keep a request alive', async t => {
  for (const everyMs of [0, 20]) {
    const baseUrl = await serving(t, (req, res) => {
      const timer = setInterval(() => {
        for (let n = 0; n < (everyMs === 0 ? 200 : 1); n++) req.socket.write('HTTP/1.1 102 Processing\r\n\r\n')
      }, everyMs)
      res.on('close', () => clearInterval(timer))
    })
    const accounts = [
      { baseUrl, priority: 1 },
      { name: 'good', script: { text: 'from the good one' } },
    ]
    const gw = await gateway(t, { accounts, config: { 'timeouts.response_header': 500 } })
    t.match(await (await gw.send(hello({ stream: true }))).text(), '" good"', everyMs === 0 ? 'many' : 'for long')
  }
})
