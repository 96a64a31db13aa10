// Messages answers: what is read of Claude's, and what its clients are told of everybody's. Long, being tables of cases.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import Anthropic from '@anthropic-ai/sdk'
import t from 'tap'
import type { DialectName } from '../../src/dialect/dialect.ts'
import { messagesCodec as codec } from '../../src/dialect/messages/codec.ts'
import { Answers } from '../../src/dialect/middle/answering.ts'
import type { Asked } from '../../src/dialect/middle/codec.ts'
import type { Event, Issuer, Json, Tokens } from '../../src/dialect/middle/form.ts'
import { Gathering } from '../../src/dialect/middle/gather.ts'
import { Relay } from '../../src/dialect/middle/translation.ts'
import { dialectNamed } from '../../src/dialect/table.ts'
// @ts-expect-error it has no types
import * as kit from '../fixtures/golden/kit.mjs'
import { cases } from '../helpers/golden.ts'

const issuerOf = (model: string): Issuer => ({ platform: 'anthropic', scope: '0a1b2c3d', model })

const frames = (...events: object[]) =>
  events.map(event => `event: ${(event as { type: string }).type}\ndata: ${JSON.stringify(event)}\n\n`).join('')
const begin = {
  type: 'message_start',
  message: { id: 'msg_1', model: 'm', content: [], usage: { input_tokens: 3, output_tokens: 1 } },
}
const started: Event = {
  type: 'start',
  id: 'msg_1',
  model: 'm',
  usage: { input: 3, output: 1, cacheRead: 0, cacheWrite: {} },
}
const end = [
  { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 5 } },
  { type: 'message_stop' },
]
const used: Event = { type: 'usage', usage: { input: 3, output: 5, cacheRead: 0, cacheWrite: {} } }
const done: Event = { type: 'finish', why: 'end' }

function read(text: string): Event[] {
  const decoder = codec.decoder(issuerOf('m'))
  return [...decoder.push(Buffer.from(text)), ...decoder.end()]
}

t.test('an answer’s events', async t => {
  const block = (content_block: object, ...deltas: object[]) => [
    { type: 'content_block_start', index: 0, content_block },
    ...deltas.map(delta => ({ type: 'content_block_delta', index: 0, delta })),
    { type: 'content_block_stop', index: 0 },
  ]
  const cases: { what: string; text: string; expected: Event[] }[] = [
    {
      what: 'trap 1: one that is cut has failed',
      text: frames(begin, ...block({ type: 'text', text: '' }, { type: 'text_delta', text: 'a' }), end[0]!),
      expected: [
        started,
        { type: 'open', index: 0, part: { type: 'text' } },
        { type: 'delta', index: 0, text: 'a' },
        { type: 'close', index: 0 },
        used,
        { type: 'fail', fault: { kind: 'truncated', message: 'The upstream broke off in the middle of its answer.' } },
      ],
    },
    {
      what: 'nothing at all',
      text: '',
      expected: [
        { type: 'start', id: '', model: '' },
        { type: 'fail', fault: { kind: 'truncated', message: 'The upstream broke off in the middle of its answer.' } },
      ],
    },
    {
      what: 'trap 4: an error in the stream',
      text: frames(begin, { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }, ...end),
      expected: [started, { type: 'fail', fault: { kind: 'overloaded', message: 'Overloaded' } }],
    },
    {
      what: 'data without event lines, other line ends, and a second beginning',
      text: `data:${JSON.stringify(begin)}\r\n\r\n: hi\r\rdata: ${JSON.stringify(begin)}  \n\n${end.map(one => `data: ${JSON.stringify(one)}\n\n`).join('')}`,
      expected: [started, used, done],
    },
    {
      what: 'all of it in its beginning',
      text: frames(
        {
          ...begin,
          message: {
            ...begin.message,
            content: [{ type: 'tool_use', id: 'a', name: 'f', input: { n: 1 } }],
            stop_reason: 'tool_use',
          },
        },
        { type: 'message_stop' },
      ),
      expected: [
        started,
        { type: 'open', index: 0, part: { type: 'call', id: 'a', name: 'f' } },
        { type: 'delta', index: 0, text: '{"n":1}' },
        { type: 'close', index: 0 },
        { type: 'finish', why: 'calls' },
      ],
    },
    {
      what: 'a refusal has no block, and a reason',
      text: frames(
        begin,
        {
          type: 'message_delta',
          delta: { stop_reason: 'refusal', stop_details: { type: 'refusal', category: 'bio', explanation: 'No.' } },
        },
        { type: 'message_stop' },
      ),
      expected: [
        started,
        {
          type: 'finish',
          why: 'refused',
          detail: 'No.',
          ext: { messages: { stop_details: '{"type":"refusal","category":"bio","explanation":"No."}' as Json } },
        },
      ],
    },
    {
      what: 'reasoning that is redacted, searches and what they found, citations, and what nobody knows',
      text: frames(
        begin,
        ...block({ type: 'redacted_thinking', data: 'R' }),
        ...block(
          { type: 'server_tool_use', id: 's', name: 'web_search', input: {} },
          { type: 'input_json_delta', partial_json: '{"query":"x"}' },
        ),
        ...block({
          type: 'web_search_tool_result',
          tool_use_id: 's',
          content: [{ type: 'web_search_result', title: 'T', url: 'https://u' }],
        }),
        ...block(
          { type: 'text', text: '' },
          {
            type: 'citations_delta',
            citation: { type: 'web_search_result_location', url: 'https://u', title: 'T', cited_text: 'q' },
          },
          { type: 'text_delta', text: 'a' },
        ),
        ...block({ type: 'fallback', n: 1 }),
        { type: 'of_next_year' },
        { type: 'ping' },
        ...end,
      ),
      expected: [
        started,
        { type: 'open', index: 0, part: { type: 'thought', redacted: true } },
        { type: 'seal', index: 0, seal: { value: 'R', issuer: issuerOf('m') } },
        { type: 'close', index: 0 },
        { type: 'open', index: 1, part: { type: 'call', id: 's', name: 'web_search', by: 'server' } },
        { type: 'delta', index: 1, text: '{"query":"x"}' },
        { type: 'close', index: 1 },
        { type: 'open', index: 2, part: { type: 'result', callId: 's', name: 'web_search', by: 'server' } },
        {
          type: 'close',
          index: 2,
          part: {
            type: 'result',
            callId: 's',
            name: 'web_search',
            parts: [{ type: 'text', text: 'T <https://u>' }],
            error: false,
            by: 'server',
          },
        },
        { type: 'open', index: 3, part: { type: 'text' } },
        { type: 'cite', index: 3, citation: { kind: 'url', url: 'https://u', title: 'T', quote: 'q' } },
        { type: 'delta', index: 3, text: 'a' },
        { type: 'close', index: 3 },
        { type: 'opaque', dialect: 'messages', kind: 'fallback', json: '{"type":"fallback","n":1}' as Json },
        { type: 'idle' },
        used,
        done,
      ],
    },
    {
      what: 'blocks that were not closed, one that was not opened, and what comes after the end',
      text: frames(
        begin,
        { type: 'content_block_start', index: 0, content_block: { type: 'text', text: 'a' } },
        { type: 'content_block_start', index: 0, content_block: { type: 'text', text: 'b' } },
        { type: 'content_block_delta', index: 7, delta: { type: 'text_delta', text: 'c' } },
        { type: 'content_block_stop', index: 3 },
        ...end,
        begin,
        ...end,
      ),
      expected: [
        started,
        { type: 'open', index: 0, part: { type: 'text' } },
        { type: 'delta', index: 0, text: 'a' },
        { type: 'close', index: 0 },
        { type: 'open', index: 1, part: { type: 'text' } },
        { type: 'delta', index: 1, text: 'b' },
        { type: 'open', index: 2, part: { type: 'text' } },
        { type: 'delta', index: 2, text: 'c' },
        used,
        { type: 'close', index: 1 },
        { type: 'close', index: 2 },
        done,
      ],
    },
  ]
  for (const { what, text, expected } of cases) t.strictSame(read(text), expected, what)
})

t.test('each reason to stop', async t => {
  const table: [stop: string, why: string][] = [
    ['end_turn', 'end'],
    ['max_tokens', 'length'],
    ['stop_sequence', 'stopSequence'],
    ['tool_use', 'calls'],
    ['pause_turn', 'paused'],
    ['refusal', 'refused'],
    ['model_context_window_exceeded', 'contextFull'],
    ['of_next_year', 'end'],
  ]
  for (const [stop_reason, why] of table) {
    const said = read(
      frames(begin, { type: 'message_delta', delta: { stop_reason, stop_sequence: 'S' } }, { type: 'message_stop' }),
    ).at(-1)
    t.strictSame(said, { type: 'finish', why, ...(why === 'stopSequence' ? { stopSequence: 'S' } : {}) })
  }
})

t.test('trap 51: counts are disjoint, and none is taken back', async t => {
  const usage = {
    input_tokens: 3,
    cache_read_input_tokens: 7,
    cache_creation_input_tokens: 9,
    cache_creation: { ephemeral_5m_input_tokens: 4, ephemeral_1h_input_tokens: 5 },
    output_tokens: 1,
    server_tool_use: { web_search_requests: 2 },
  }
  const told = read(
    frames(
      { ...begin, message: { ...begin.message, usage } },
      {
        type: 'message_delta',
        delta: { stop_reason: 'end_turn' },
        usage: { input_tokens: 0, output_tokens: 50, output_tokens_details: { thinking_tokens: 20 } },
      },
      { type: 'message_stop' },
    ),
  )
  const expected: Tokens = {
    input: 3,
    output: 50,
    cacheRead: 7,
    cacheWrite: { '5m': 4, '1h': 5 },
    thinking: 20,
    webSearches: 2,
  }
  t.strictSame(
    told.find(({ type }) => type === 'usage'),
    { type: 'usage', usage: expected },
  )
  const whole = codec.decodeWhole(Buffer.from(JSON.stringify({ type: 'message', content: [], usage })), issuerOf('m'))
  const { thinking: _, ...once } = expected
  t.strictSame(
    whole.find(({ type }) => type === 'usage'),
    { type: 'usage', usage: { ...once, output: 1 } },
  )
})

t.test('what is no answer is a failure, whole or not', async t => {
  const whole = (body: string) => codec.decodeWhole(Buffer.from(body), issuerOf('m'))
  t.strictSame(
    whole('<html>').map(({ type }) => type),
    ['fail'],
  )
  t.strictSame(whole('{"type":"error","error":{"type":"api_error","message":"M"}}'), [
    { type: 'fail', fault: { kind: 'upstream', message: 'M' } },
  ])
  t.strictSame(
    whole('{"content":5}').map(({ type }) => type),
    ['fail'],
  )
})

const asked: Asked = {
  ask: codec.decodeAsk(Buffer.from('{"messages":[]}'), '/v1/messages'),
  model: 'theirs',
  id: prefix => `${prefix}0`,
  created: 1,
  promptTokens: 77,
  seal: seal => `gw1:${seal?.value ?? 'none'}`,
}

/** The frames that a client is sent, by type and what they say. */
function told(events: readonly Event[]) {
  const encoder = codec.encoder(asked)
  const answers = new Answers({ wires: new Map(), carries: codec.carries, id: asked.id, keep() {} })
  const text = events
    .flatMap(event => [...answers.take(event)])
    .map(event => encoder.write(event))
    .join('')
  // biome-ignore lint/suspicious/noExplicitAny: frames as a client reads them
  const parsed: any[] = text
    .split('\n\n')
    .filter(Boolean)
    .map(one => JSON.parse(one.slice(one.indexOf('data: ') + 6)))
  for (const [n, one] of text.split('\n\n').filter(Boolean).entries())
    if (!one.startsWith(`event: ${parsed[n].type}\n`)) throw new Error(one)
  return parsed
}

t.test('trap 50: what the prompt was is reckoned until it is known', async t => {
  const [first, last] = told([
    { type: 'start', id: 'x', model: 'upstream' },
    { type: 'usage', usage: { input: 5, output: 2, cacheRead: 1, cacheWrite: { '30m': 3 } } },
    done,
  ])
  t.equal(first.message.usage.input_tokens, 77)
  t.equal(first.message.model, 'theirs')
  t.strictSame(
    [
      last.usage.input_tokens,
      last.usage.cache_read_input_tokens,
      last.usage.cache_creation_input_tokens,
      last.usage.output_tokens,
    ],
    [5, 1, 3, 2],
  )
  for (const name of ['stop_reason', 'stop_sequence', 'stop_details', 'container', 'diagnostics'])
    t.equal(first.message[name], null, name)
  for (const name of [
    'cache_creation',
    'output_tokens_details',
    'server_tool_use',
    'service_tier',
    'inference_geo',
    'speed',
  ])
    t.not(first.message.usage[name], undefined, `usage.${name}`)
  t.equal(
    told([
      { type: 'start', id: '', model: '' },
      { type: 'open', index: 0, part: { type: 'text' } },
      { type: 'delta', index: 0, text: '12345678' },
      { type: 'close', index: 0 },
      done,
    ]).at(-2).usage.output_tokens,
    2,
  )
})

t.test('trap 2, trap 7: every end is told in full, by what was said', async t => {
  const whys: [Event & { type: 'finish' }, string][] = [
    [{ type: 'finish', why: 'length' }, 'max_tokens'],
    [{ type: 'finish', why: 'contextFull' }, 'model_context_window_exceeded'],
    [{ type: 'finish', why: 'safety', detail: 'SAFETY' }, 'refusal'],
    [{ type: 'finish', why: 'malformedCall' }, 'end_turn'],
    [{ type: 'finish', why: 'calls' }, 'end_turn'],
    [{ type: 'finish', why: 'stopSequence', stopSequence: 'S' }, 'stop_sequence'],
    [{ type: 'finish', why: 'paused' }, 'pause_turn'],
  ]
  for (const [finish, stop] of whys) {
    const all = told([started, finish])
    t.strictSame(
      all.map(({ type }) => type),
      ['message_start', 'message_delta', 'message_stop'],
    )
    t.equal(all[1].delta.stop_reason, stop)
    t.equal(all[1].delta.stop_sequence, finish.stopSequence ?? null)
    t.strictSame(
      all[1].delta.stop_details,
      stop === 'refusal' ? { type: 'refusal', category: null, explanation: 'SAFETY' } : null,
    )
  }
  const called = told([
    started,
    { type: 'open', index: 0, part: { type: 'call', id: 'a', name: 'f' } },
    { type: 'close', index: 0 },
    done,
  ])
  t.equal(called.at(-2).delta.stop_reason, 'tool_use')
})

t.test('blocks: nothing opens one that says nothing; reasoning closes with a proof of ours', async t => {
  const all = told([
    started,
    { type: 'open', index: 0, part: { type: 'text' } },
    { type: 'close', index: 0 },
    { type: 'open', index: 1, part: { type: 'thought' } },
    { type: 'delta', index: 1, text: 'hm' },
    { type: 'close', index: 1 },
    { type: 'open', index: 2, part: { type: 'thought' } },
    { type: 'seal', index: 2, seal: { value: 'S', issuer: undefined } },
    { type: 'close', index: 2 },
    { type: 'open', index: 3, part: { type: 'thought', redacted: true } },
    { type: 'seal', index: 3, seal: { value: 'R', issuer: undefined } },
    { type: 'close', index: 3 },
    { type: 'open', index: 4, part: { type: 'thought' } },
    { type: 'close', index: 4 },
    { type: 'open', index: 5, part: { type: 'refusal' } },
    { type: 'delta', index: 5, text: 'No.' },
    { type: 'close', index: 5 },
    done,
  ])
  const blocks = all.filter(({ type }) => type === 'content_block_start')
  t.strictSame(
    blocks.map(({ index, content_block }) => [index, content_block.type]),
    [
      [0, 'thinking'],
      [1, 'thinking'],
      [2, 'redacted_thinking'],
      [3, 'text'],
    ],
  )
  t.strictSame(
    all.filter(({ delta }) => delta?.type === 'signature_delta').map(({ delta }) => delta.signature),
    ['gw1:none', 'gw1:S'],
  )
  t.equal(blocks[2].content_block.data, 'gw1:R')
  t.equal(all.filter(({ type }) => type === 'content_block_stop').length, 4)
  t.equal(all.at(-2).delta.stop_reason, 'refusal', 'a refusal is one whatever the upstream calls it')
})

t.test('a search of another vendor is a pair of blocks, and citations keep their place', async t => {
  const all = told([
    started,
    { type: 'open', index: 0, part: { type: 'call', id: 'ws', name: 'web_search', by: 'server' } },
    { type: 'delta', index: 0, text: '{"query":"x"}' },
    { type: 'close', index: 0 },
    { type: 'open', index: 1, part: { type: 'text' } },
    { type: 'delta', index: 1, text: 'a' },
    { type: 'cite', index: 1, citation: { kind: 'url', url: 'https://u', title: 'T' } },
    { type: 'close', index: 1 },
    { type: 'open', index: 2, part: { type: 'media', kind: 'image' } },
    { type: 'delta', index: 2, text: 'BASE64' },
    { type: 'close', index: 2 },
    done,
  ])
  t.strictSame(
    all.filter(({ type }) => type === 'content_block_start').map(({ index, content_block: { type } }) => [index, type]),
    [
      [0, 'server_tool_use'],
      [1, 'web_search_tool_result'],
      [2, 'text'],
      [3, 'text'],
    ],
  )
  t.strictSame(
    all.filter(({ type }) => type === 'content_block_stop').map(({ index }) => index),
    [0, 1, 2, 3],
  )
  t.equal(all.find(({ delta }) => delta?.type === 'citations_delta').delta.citation.url, 'https://u')
  const last = told([
    started,
    { type: 'open', index: 0, part: { type: 'call', id: 'ws', name: 'web_search', by: 'server' } },
    { type: 'close', index: 0 },
    done,
  ])
  t.equal(last.filter(({ type }) => type === 'content_block_stop').length, 2, 'also at the end')
  t.notOk(JSON.stringify(all).includes('BASE64'))
})

t.test('a whole answer is the same at once', async t => {
  const gathering = new Gathering()
  const events: Event[] = [
    started,
    { type: 'open', index: 0, part: { type: 'thought' } },
    { type: 'delta', index: 0, text: 'hm' },
    { type: 'close', index: 0 },
    { type: 'open', index: 1, part: { type: 'text' } },
    { type: 'delta', index: 1, text: 'a' },
    { type: 'close', index: 1 },
    { type: 'open', index: 2, part: { type: 'call', id: 'c', name: 'f' } },
    { type: 'delta', index: 2, text: '{"n": 12345678901234567890}' },
    { type: 'close', index: 2 },
    { type: 'open', index: 3, part: { type: 'call', id: 'd', name: 'f' } },
    { type: 'delta', index: 3, text: '{"cut":' },
    { type: 'close', index: 3 },
    used,
    { type: 'finish', why: 'length' },
  ]
  for (const event of events) gathering.take(event)
  const text = codec.encodeWhole(gathering.answer!, asked)
  t.ok(text.includes('"input":{"n": 12345678901234567890}'))
  const body = JSON.parse(text)
  t.strictSame(
    [
      body.content[0],
      body.content[1],
      body.content[3].input,
      body.stop_reason,
      body.stop_details,
      body.id,
      body.usage.output_tokens,
    ],
    [
      { type: 'thinking', thinking: 'hm', signature: 'gw1:none' },
      { type: 'text', text: 'a', citations: null },
      { _raw: '{"cut":' },
      'max_tokens',
      null,
      'msg_0',
      5,
    ],
    'trap 57: a call that was cut is not repaired',
  )
})

t.test('trap 53: that a prompt is too long is told in the words that clients look for', async t => {
  const cases: [message: string, said: string][] = [
    [
      "This model's maximum context length is 128000 tokens. However, your messages resulted in 130500 tokens.",
      'prompt is too long: 130500 tokens > 128000 maximum',
    ],
    [
      'The input token count (1,200,000) exceeds the maximum number of tokens allowed (1048576).',
      'prompt is too long: 1200000 tokens > 1048576 maximum',
    ],
    ['prompt is too long: 5 tokens > 4 maximum', 'prompt is too long: 5 tokens > 4 maximum'],
    [
      'Your input exceeds the context window of this model.',
      'prompt is too long: Your input exceeds the context window of this model.',
    ],
  ]
  for (const [message, said] of cases)
    t.strictSame(JSON.parse(codec.writeFault({ kind: 'tooLong', message }, 400, 'r')), {
      type: 'error',
      error: { type: 'invalid_request_error', message: said },
      request_id: 'r',
    })
})

t.test('errors of Anthropic', async t => {
  const fault = (status: number, body: unknown) =>
    codec.readFault(status, Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)))
  const of = (type: string, message: string, details?: object) => ({
    type: 'error',
    error: { type, message, ...(details ? { details } : {}) },
  })
  t.strictSame(fault(429, of('rate_limit_error', 'slow')), { kind: 'rateLimited', message: 'slow' })
  t.strictSame(fault(400, of('invalid_request_error', 'no', { error_code: 'tool_name_conflict' })), {
    kind: 'invalid',
    message: 'no',
    code: 'tool_name_conflict',
  })
  t.equal(fault(400, of('invalid_request_error', 'prompt is too long: 5 tokens > 4 maximum')).kind, 'tooLong')
  t.equal(
    fault(400, of('invalid_request_error', 'messages.1.content.0: Invalid `signature` in `thinking` block')).kind,
    'sealRefused',
  )
  t.equal(fault(529, '<html>').kind, 'overloaded')
  t.equal(fault(500, 'null').kind, 'upstream')
  t.notOk(fault(502, '<html>secret</html>').message.includes('secret'))
})

t.test('the official SDK reads every stream that is made of another dialect’s', async t => {
  const names: Record<string, DialectName> = { v1internal: 'gemini' }
  const made: { text: string; stop: string }[] = []
  for (const one of cases.filter(({ client }) => client === 'anthropic'))
    for (const turn of kit.turnsOf(one)) {
      if (!turn.upstreamStream || turn.clientStream?.at(-1)?.data.type !== 'message_stop') continue
      const frames = kit
        .fill(turn.upstreamStream)
        .map((frame: { data: { response?: object } }) => ({ ...frame, data: frame.data.response ?? frame.data }))
      const from = dialectNamed(names[one.upstreamDialect] ?? (one.upstreamDialect as DialectName)).codec!
      const relay = new Relay(
        from.decoder(issuerOf('m')),
        new Answers({ wires: new Map(), carries: codec.carries, id: asked.id, keep() {} }),
        codec.encoder(asked),
      )
      const text = relay.push(Buffer.from(kit.frame(frames))) + relay.end()
      made.push({ text, stop: turn.clientStream.at(-2).data.delta.stop_reason })
    }
  const server = createServer((_, res) => {
    res.setHeader('content-type', 'text/event-stream')
    res.end(made[0]!.text)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const client = new Anthropic({ apiKey: 'k', baseURL: `http://127.0.0.1:${port}`, maxRetries: 0 })
  t.ok(made.length >= 6)
  for (; made.length > 0; made.shift()) {
    const read = client.messages.stream({ model: 'm', max_tokens: 1, messages: [] })
    const message = await read.finalMessage()
    t.equal(message.stop_reason, made[0]!.stop)
    t.equal(message.model, 'theirs')
    for (const block of message.content) if (block.type === 'tool_use') t.equal(typeof block.input, 'object')
  }
})
