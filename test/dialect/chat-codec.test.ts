// Chat Completions translated: what its upstreams are asked, what its clients are told. Whatever is written for a client is read by the
// official SDK. Long, because its traps are stories of both directions at once.
import OpenAI from 'openai'
import type { ChatCompletion, ChatCompletionChunk } from 'openai/resources/chat/completions'
import t from 'tap'
import { chatCodec } from '../../src/dialect/chat/codec.ts'
import type { Asked } from '../../src/dialect/middle/codec.ts'
import type { Event, Part } from '../../src/dialect/middle/form.ts'
import { Gathering } from '../../src/dialect/middle/gather.ts'
import { asStreamBy, gathererBy } from '../../src/dialect/middle/same.ts'
import { enclose } from '../../src/dialect/middle/seal.ts'
import { dialectNamed } from '../../src/dialect/table.ts'
import { matchAll } from '../helpers/match.ts'
import { relayed, translate } from '../helpers/translate.ts'
import { generator, one, torn } from './random.ts'

const issuer = { platform: 'openai', scope: '0a1b2c3d', model: 'm' } as const
const png = 'iVBORw0KGgo='
const user = (content: unknown) => ({ role: 'user', content })
const claude = (more: object = {}) => ({ model: 'gpt-4.1', max_tokens: 100, messages: [user('hi')], ...more })
const asked = (more: object, options = {}) => translate('messages', 'chat', claude(more), options)
const tool = (name: string, more: object = {}) => ({ name, input_schema: { type: 'object', properties: {} }, ...more })

// ---- what an upstream sends ----

const chunk = (delta: object, more: object = {}) => ({
  id: 'chatcmpl-1',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'up',
  choices: [{ index: 0, delta, finish_reason: null, ...more }],
})
const finish = (why: string, more: object = {}) => chunk({}, { finish_reason: why, ...more })
const counted = (usage: object) => ({ ...chunk({}), choices: [], usage })
const usage = {
  prompt_tokens: 30,
  completion_tokens: 11,
  total_tokens: 41,
  prompt_tokens_details: { cached_tokens: 20 },
}
const sse = (...data: (object | string)[]) =>
  data.map(one => `data: ${typeof one === 'string' ? one : JSON.stringify(one)}\n\n`).join('')
const called = (index: number, id: string, name: string, args = '') =>
  chunk({ tool_calls: [{ index, id, type: 'function', function: { name, arguments: args } }] })
const argued = (index: number, args: string) => chunk({ tool_calls: [{ index, function: { arguments: args } }] })

const events = (stream: string, pieceBytes = 7): Event[] => {
  const decoder = chatCodec.decoder(issuer)
  const bytes = Buffer.from(stream)
  const out: Event[] = []
  for (let at = 0; at < bytes.length; at += pieceBytes) out.push(...decoder.push(bytes.subarray(at, at + pieceBytes)))
  return [...out, ...decoder.end()]
}
const gathered = (all: readonly Event[]) => {
  const gathering = new Gathering()
  for (const event of all) gathering.take(event)
  return gathering
}
const parts = (stream: string): readonly Part[] => gathered(events(stream)).answer!.choices[0]!.parts
const whole = (message: object, more: object = {}) =>
  JSON.stringify({
    id: 'chatcmpl-1',
    object: 'chat.completion',
    created: 1,
    model: 'up',
    choices: [{ index: 0, message: { role: 'assistant', content: null, ...message }, finish_reason: 'stop', ...more }],
    usage,
  })

// ---- what a client is told ----

const words: Asked = {
  ask: chatCodec.decodeAsk(
    Buffer.from('{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}'),
    '',
  ),
  model: 'mine',
  id: prefix => `${prefix}1`,
  created: 1,
  promptTokens: 42,
  seal: () => '',
}
const without: Asked = { ...words, ask: { ...words.ask, wants: { usage: false, reasoning: true } } }
const encoded = (all: readonly Event[], by = words) => {
  const encoder = chatCodec.encoder(by)
  return all.map(event => encoder.write(event)).join('')
}

/** What the official SDK makes of a stream. */
function heard(stream: string): Promise<ChatCompletion> {
  const fetch = async () => new Response(stream, { headers: { 'content-type': 'text/event-stream' } })
  return new OpenAI({ apiKey: 'k', fetch, maxRetries: 0 }).chat.completions
    .stream({ model: 'm', messages: [{ role: 'user', content: 'x' }], stream_options: { include_usage: true } })
    .finalChatCompletion()
}

/** And of a whole answer. */
function read(body: string, status = 200): Promise<ChatCompletion> {
  const fetch = async () => new Response(body, { status, headers: { 'content-type': 'application/json' } })
  return new OpenAI({ apiKey: 'k', fetch, maxRetries: 0 }).chat.completions.create({
    model: 'm',
    messages: [{ role: 'user', content: 'x' }],
  })
}

const said: Event[] = [
  { type: 'start', id: 'msg_1', model: 'up' },
  { type: 'open', index: 0, part: { type: 'thought' } },
  { type: 'delta', index: 0, text: 'hm ' },
  { type: 'delta', index: 0, text: 'é🦊' },
  { type: 'close', index: 0 },
  { type: 'idle' },
  { type: 'open', index: 1, part: { type: 'text' } },
  { type: 'delta', index: 1, text: 'Sure.' },
  { type: 'cite', index: 1, citation: { kind: 'url', url: 'https://x/', title: 'X', start: 0, end: 4 } },
  { type: 'close', index: 1 },
  { type: 'open', index: 2, part: { type: 'call', id: 'call_1', name: 'f' } },
  { type: 'delta', index: 2, text: '{"n":' },
  { type: 'delta', index: 2, text: '12345678901234567890}' },
  { type: 'close', index: 2 },
  { type: 'open', index: 3, part: { type: 'call', id: 'call_2', name: 'now' } },
  { type: 'close', index: 3 },
  { type: 'usage', usage: { input: 20, output: 40, thinking: 7, cacheRead: 75, cacheWrite: { '5m': 5 } } },
  { type: 'finish', why: 'calls' },
]

t.test('a stream is read by the official SDK as what was said', async t => {
  const answer = await heard(encoded(said))
  matchAll(t, answer, {
    id: 'chatcmpl-1',
    model: 'mine',
    choices: [
      {
        finish_reason: 'tool_calls',
        message: {
          role: 'assistant',
          content: 'Sure.',
          tool_calls: [
            { id: 'call_1', type: 'function', function: { name: 'f', arguments: '{"n":12345678901234567890}' } },
            { id: 'call_2', type: 'function', function: { name: 'now', arguments: '{}' } },
          ],
        },
      },
    ],
    usage: {
      prompt_tokens: 100,
      completion_tokens: 40,
      total_tokens: 140,
      prompt_tokens_details: { cached_tokens: 75, cache_write_tokens: 5 },
      completion_tokens_details: { reasoning_tokens: 7 },
    },
  })
  const chunks = encoded(said)
    .split('\n\n')
    .filter(one => one.startsWith('data: {'))
    .map(one => JSON.parse(one.slice(6)) as ChatCompletionChunk)
  matchAll(t, chunks[0], { choices: [{ delta: { role: 'assistant' } }] }, 'the role comes first')
  t.equal(new Set(chunks.map(({ id }) => id)).size, 1)
  t.match(encoded(said), /"annotations":\[\{"type":"url_citation","url_citation":\{"start_index":0,"end_index":4/)
  t.ok(encoded(said).endsWith('data: [DONE]\n\n'))
})

t.test('usage is told to those who ask', async t => {
  t.notMatch(encoded(said, without), /usage/)
  t.match(encoded(said, without), /"finish_reason":"tool_calls"\}\]\}\n\ndata: \[DONE\]\n\n$/)
  const uncounted = said.filter(({ type }) => type !== 'usage')
  t.match(
    (await heard(encoded(uncounted))).usage,
    { prompt_tokens: 42, completion_tokens: 10 },
    'and reckoned where it was not told',
  )
})

t.test('trap 51: a whole answer is read as the same, its prompt with what was cached', async t => {
  const { answer } = gathered(said)
  const answered = await read(chatCodec.encodeWhole(answer!, words))
  matchAll(t, answered, {
    object: 'chat.completion',
    model: 'mine',
    choices: [
      {
        index: 0,
        finish_reason: 'tool_calls',
        message: {
          content: 'Sure.',
          refusal: null,
          reasoning_content: 'hm é🦊',
          annotations: [{ type: 'url_citation', url_citation: { url: 'https://x/' } }],
          tool_calls: [{ function: { arguments: '{"n":12345678901234567890}' } }, { function: { arguments: '{}' } }],
        },
      },
    ],
    usage: { prompt_tokens: 100, prompt_tokens_details: { cached_tokens: 75 } },
  } as never)
})

t.test('every end has its word, and a stream that has one ends', async t => {
  const ends = {
    end: 'stop',
    stopSequence: 'stop',
    length: 'length',
    contextFull: 'length',
    paused: 'stop',
    refused: 'content_filter',
    safety: 'content_filter',
    malformedCall: 'stop',
    other: 'stop',
  } as const
  for (const [why, reason] of Object.entries(ends)) {
    const all: Event[] = [
      { type: 'start', id: 'x', model: 'up' },
      { type: 'finish', why: why as 'end' },
    ]
    t.match(encoded(all), new RegExp(`"delta":\\{\\},"logprobs":null,"finish_reason":"${reason}"`), why)
    t.ok(encoded(all).endsWith('[DONE]\n\n'))
    matchAll(t, JSON.parse(chatCodec.encodeWhole(gathered(all).answer!, words)), {
      choices: [{ finish_reason: reason, message: { content: null } }],
    })
  }
})

t.test('what is cited has its place in the content', async t => {
  const cite = (index: number, more: object = {}): Event => ({
    type: 'cite',
    index,
    citation: { kind: 'url', url: 'https://x/', ...more },
  })
  const all: Event[] = [
    { type: 'start', id: 'x', model: 'up' },
    { type: 'open', index: 0, part: { type: 'text' } },
    { type: 'delta', index: 0, text: 'I know: ' },
    { type: 'close', index: 0 },
    { type: 'open', index: 1, part: { type: 'text' } },
    cite(1),
    { type: 'delta', index: 1, text: 'it is so.' },
    cite(1, { start: 3, end: 5 }),
    { type: 'cite', index: 1, citation: { kind: 'document', quote: 'so' } },
    { type: 'close', index: 1 },
    { type: 'finish', why: 'end' },
  ]
  const where = [
    [8, 17],
    [11, 13],
  ]
  type Cited = { url_citation: { start_index: number; end_index: number; title: string } }[]
  const places = (cited: Cited) => cited.map(({ url_citation: { start_index, end_index } }) => [start_index, end_index])
  const streamed = [...encoded(all).matchAll(/"annotations":(\[.*?\])\}/g)].flatMap(([, json]) => JSON.parse(json!))
  t.strictSame(places(streamed), where)
  const { message } = (await read(chatCodec.encodeWhole(gathered(all).answer!, words))).choices[0]!
  t.strictSame(places(message.annotations as Cited), where)
  t.equal(message.annotations![0]!.url_citation.title, 'https://x/', 'a title is a string')
})

t.test('several choices are one answer, which ends with the last', async t => {
  const all: Event[] = [
    { type: 'start', id: 'x', model: 'up' },
    { type: 'open', index: 0, part: { type: 'text' } },
    { type: 'open', index: 1, part: { type: 'text' }, choice: 1 },
    { type: 'delta', index: 1, text: 'b' },
    { type: 'delta', index: 0, text: 'a' },
    { type: 'close', index: 0 },
    { type: 'close', index: 1 },
    { type: 'finish', why: 'end' },
    { type: 'finish', why: 'length', choice: 1 },
  ]
  const answer = await heard(encoded(all))
  t.strictSame(
    answer.choices.map(({ index, finish_reason, message }) => [index, finish_reason, message.content]),
    [
      [0, 'stop', 'a'],
      [1, 'length', 'b'],
    ],
  )
  t.equal(encoded(all).split('[DONE]').length, 2)
})

t.test('trap 4: an error in the stream is thrown by the SDK, which hears no end', async t => {
  const broken = [...said.slice(0, 9), { type: 'fail', fault: { kind: 'overloaded', message: 'Busy.' } } as Event]
  await t.rejects(heard(encoded(broken)), { message: /Busy/ })
  t.notMatch(encoded(broken), /\[DONE\]|"finish_reason":"/)
  t.equal(encoded([...broken, ...said]), encoded(broken), 'and nothing after it')
  const statuses = { invalid: 400, auth: 401, forbidden: 403, notFound: 404, rateLimited: 429, upstream: 500 } as const
  for (const [kind, status] of Object.entries(statuses)) {
    const body = chatCodec.writeFault({ kind: kind as 'auth', message: 'No.', param: 'n' }, status, 'id')
    await t.rejects(read(body, status), { status, param: 'n', message: /No\./ }, kind)
  }
})

t.test('trap 29: a server that counts an answer and says it is over without a reason has ended it', async t => {
  const uncounted = sse(chunk({ content: 'Hel' }), called(0, 'c', 'f', '{}'))
  const read = events(uncounted + sse(counted(usage), '[DONE]'))
  t.equal(read.filter(({ type }) => type === 'open').length, read.filter(({ type }) => type === 'close').length)
  t.match(read.at(-1), { type: 'finish', why: 'end' })
  t.match(relayed(asked({ stream: true }), uncounted + sse(counted(usage), '[DONE]')), /"stop_reason":"tool_use"/)
  for (const end of ['', sse('[DONE]'), sse(counted(usage))])
    t.match(events(uncounted + end).at(-1), { type: 'fail', fault: { kind: 'truncated' } }, end)
})

t.test('trap 1: what was cut off is told as that, never as an end', async t => {
  for (const stream of [
    sse(chunk({ content: 'Hel' })),
    sse(chunk({ content: 'Hel' }), '[DONE]'),
    sse(chunk({ role: 'assistant' }), called(0, 'c', 'f', '{"a"')),
    '',
    sse(chunk({ content: 'x' })).slice(0, 40),
  ]) {
    t.match(events(stream).at(-1), { type: 'fail', fault: { kind: 'truncated' } })
    t.notMatch(relayed(asked({ stream: true }), stream), /message_stop|end_turn/)
    t.match(relayed(asked({ stream: true }), stream), /event: error/)
  }
  t.match(
    events(sse(chunk({ content: 'x' }), finish('stop'))).at(-1),
    { fault: { kind: 'truncated' } },
    'as the meter has it',
  )
})

t.test('trap 2: an answer that is cut by its limit has its whole end', async t => {
  const stream = relayed(
    asked({ stream: true }),
    sse(chunk({ content: 'Hel' }), finish('length'), counted(usage), '[DONE]'),
  )
  t.match(stream, /event: message_delta\ndata: \{.*"stop_reason":"max_tokens".*\n\nevent: message_stop/s)
})

t.test('trap 5: fragments of calls that come mixed are put in order', async t => {
  const mixed = sse(
    chunk({ content: 'a' }),
    called(0, 'call_a', 'f'),
    called(1, 'call_b', 'f'),
    argued(1, '{"b":'),
    argued(0, '{"a":'),
    chunk({ content: 'b' }),
    argued(1, '2}'),
    argued(0, '1}'),
    finish('tool_calls'),
    '[DONE]',
  )
  const inputs = parts(mixed).flatMap(part => (part.type === 'call' ? [[part.id, part.input]] : []))
  t.strictSame(inputs, [
    ['call_a', { json: '{"a":1}' }],
    ['call_b', { json: '{"b":2}' }],
  ])
  let open = -1
  const seen = new Set<number>()
  for (const line of relayed(asked({ stream: true }), mixed).match(/\{"type":"content_block_.*\}/g)!) {
    const { type, index } = JSON.parse(line)
    if (type === 'content_block_start') {
      t.equal(open, -1, 'one block at a time')
      t.notOk(seen.has(index), 'each index once')
      seen.add((open = index))
    } else t.equal(index, open, 'and nothing for another')
    if (type === 'content_block_stop') open = -1
  }
  t.equal(seen.size, 4)
})

t.test('calls are read in all the ways in which servers write them', async t => {
  const end = [finish('stop'), '[DONE]']
  const two = [
    { id: 'a', name: 'f', input: { json: '{"a":1}' } },
    { id: 'b', name: 'f', input: { json: '{"a":2}' } },
  ]
  const cases: Record<string, (object | string)[]> = {
    'each in one chunk': [called(0, 'a', 'f', '{"a":1}'), called(1, 'b', 'f', '{"a":2}')],
    'both in one chunk': [
      chunk({
        tool_calls: two.map(({ id, name, input }, index) => ({ index, id, function: { name, arguments: input.json } })),
      }),
    ],
    'all numbered 0': [called(0, 'a', 'f', '{"a":1}'), called(0, 'b', 'f', '{"a":2}')],
    'without a number': [
      chunk({ tool_calls: [{ id: 'a', function: { name: 'f', arguments: '{"a":' } }] }),
      chunk({ tool_calls: [{ function: { arguments: '1}' } }] }),
      chunk({ tool_calls: [{ id: 'b', function: { name: 'f', arguments: '{"a":2}' } }] }),
    ],
    'an empty piece behind the last': [
      called(0, 'a', 'f', '{"a":1}'),
      called(1, 'b', 'f', '{"a":2}'),
      chunk({ tool_calls: [{ index: 2, function: { arguments: '' } }] }),
    ],
    'the name in a later piece': [
      chunk({ tool_calls: [{ index: 0, id: 'a', function: { arguments: '{"a"' } }] }),
      chunk({ tool_calls: [{ index: 0, function: { name: 'f', arguments: ':1}' } }] }),
      called(1, 'b', 'f', '{"a":2}'),
    ],
    'the id again in each piece': [
      called(0, 'a', 'f', '{"a":'),
      called(0, 'a', 'f', '1}'),
      called(1, 'b', 'f', '{"a":2}'),
    ],
    'arguments as an object': [
      chunk({ tool_calls: [{ index: 0, id: 'a', function: { name: 'f', arguments: { a: 1 } } }] }),
      called(1, 'b', 'f', '{"a":2}'),
    ],
  }
  for (const [what, chunks] of Object.entries(cases))
    t.strictSame(
      parts(sse(...chunks, ...end)).map(({ type: _, ...part }) => part),
      two,
      what,
    )
  const nameless = (...list: [index: number | undefined, name: string, input: string][]) =>
    parts(
      sse(
        ...list.map(([index, name, said]) =>
          chunk({ tool_calls: [{ index, id: '', function: { name, arguments: said } }] }),
        ),
        ...end,
      ),
    ).map(part => (part.type === 'call' ? [part.name, 'json' in part.input && part.input.json] : part))
  const both = [
    ['f', '{"a":1}'],
    ['f', '{"a":2}'],
  ]
  t.strictSame(nameless([0, 'f', '{"a":1}'], [0, 'f', '{"a":2}']), both, 'numbered 0 and without ids')
  t.strictSame(nameless([undefined, 'f', '{"a":1}'], [undefined, 'f', '{"a":2}']), both, 'with nothing at all')
  t.strictSame(
    nameless([0, 'f', '{"a"'], [0, 'g', '{}']),
    [
      ['f', '{"a"'],
      ['g', '{}'],
    ],
    'another name',
  )
  t.strictSame(
    nameless([0, 'f', '{"a":'], [0, 'f', '{"b":'], [0, 'f', '1}}']),
    [['f', '{"a":{"b":1}}']],
    'the name again',
  )
  const legacy = sse(
    chunk({ function_call: { name: 'f', arguments: '{"a"' } }),
    chunk({ function_call: { arguments: ':1}' } }),
    finish('function_call'),
    '[DONE]',
  )
  t.strictSame(parts(legacy), [{ type: 'call', id: '', name: 'f', input: { json: '{"a":1}' } }])
  const custom = sse(
    chunk({ tool_calls: [{ index: 0, id: 'a', type: 'custom', custom: { name: 'p', input: '*** ' } }] }),
    chunk({ tool_calls: [{ index: 0, custom: { input: 'End' } }] }),
    ...end,
  )
  t.strictSame(parts(custom), [{ type: 'call', id: 'a', name: 'p', input: { text: '*** End' } }])
})

t.test('trap 14: numbers that no double holds pass as they are written, both ways', async t => {
  const digits = '{"z":12345678901234567890,"a":1.50,"2":1,"1":2}'
  const object = `{"id":"x","choices":[{"index":0,"message":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":${digits}}}]},"finish_reason":"stop"}]}`
  for (const body of [object, whole({ tool_calls: [{ id: 'a', function: { name: 'f', arguments: digits } }] })])
    matchAll(t, gathered(chatCodec.decodeWhole(Buffer.from(body), issuer)).answer!.choices[0]!.parts, [
      { input: { json: digits } },
    ])
  const body = JSON.stringify(claude()).replace(
    '"messages":[',
    `"tools":[{"name":"f","input_schema":{"type":"object","properties":{"n":{"maximum":12345678901234567890}}}}],"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":${digits}}]},`,
  )
  const { translation } = translate('messages', 'chat', body)
  t.ok(translation.asking.body.includes(JSON.stringify(digits)))
  t.ok(translation.asking.body.includes('"maximum":12345678901234567890'))
})

t.test('trap 7: the reason to stop follows what was called, not what is said of it', async t => {
  const stop = (stream: string) => /"stop_reason":"(\w+)"/.exec(relayed(asked({ stream: true }), stream))![1]
  t.equal(stop(sse(called(0, 'a', 'f', '{}'), finish('stop'), '[DONE]')), 'tool_use')
  t.equal(stop(sse(chunk({ content: 'x' }), finish('tool_calls'), '[DONE]')), 'end_turn')
  t.equal(stop(sse(called(0, 'a', 'f', '{"a'), finish('length'), '[DONE]')), 'max_tokens')
})

t.test('trap 57: a call that was cut off is not made whole', async t => {
  const stream = sse(called(0, 'a', 'f', '{"path":"/tm'), finish('length'), '[DONE]')
  t.strictSame(parts(stream), [{ type: 'call', id: 'a', name: 'f', input: { json: '{"path":"/tm' } }])
  const told = relayed(asked({ stream: true }), stream)
  t.match(told, /"stop_reason":"max_tokens"/)
  t.equal(
    [...told.matchAll(/"partial_json":("(?:[^"\\]|\\.)*")/g)].map(([, json]) => JSON.parse(json!)).join(''),
    '{"path":"/tm',
  )
})

t.test('trap 21: reasoning has parts of its own, whatever it is called', async t => {
  for (const name of ['reasoning_content', 'reasoning']) {
    const stream = sse(
      chunk({ role: 'assistant', content: '', [name]: null }),
      chunk({ [name]: 'hm' }),
      chunk({ content: '', [name]: ' so' }),
      chunk({ content: 'a' }),
      chunk({ [name]: 'again' }),
      chunk({ content: 'b' }),
      finish('stop'),
      '[DONE]',
    )
    t.strictSame(
      parts(stream).map(part => [part.type, (part as { text: string }).text]),
      [
        ['thought', 'hm so'],
        ['text', 'a'],
        ['thought', 'again'],
        ['text', 'b'],
      ],
    )
    t.equal(relayed(asked({ stream: true }), stream).split('event: message_start').length, 2)
  }
  const mistral = whole({
    content: [
      { type: 'thinking', thinking: [{ type: 'text', text: 'hm' }] },
      { type: 'text', text: 'a' },
    ],
  })
  matchAll(t, gathered(chatCodec.decodeWhole(Buffer.from(mistral), issuer)).answer!.choices[0]!.parts, [
    { type: 'thought', text: 'hm' },
    { type: 'text', text: 'a' },
  ])
})

t.test('oddities of servers are read', async t => {
  const azure = { id: '', model: '', object: '', created: 0, choices: [], prompt_filter_results: [] }
  const all = events(
    sse(
      azure,
      chunk({ role: 'assistant', content: null }),
      chunk({ content: 'a' }),
      finish('stop'),
      counted(usage),
      '[DONE]',
      chunk({ content: 'late' }),
    ),
  )
  t.match(all[0], { type: 'start', id: 'chatcmpl-1', model: 'up' })
  t.match(all.at(-1), { type: 'finish', why: 'end' })
  t.match(all.at(-2), { type: 'usage', usage: { input: 10, cacheRead: 20, output: 11 } })
  const stopped = events(sse(chunk({ content: 'a' }), finish('stop', { stop_reason: 'END' }), '[DONE]')).at(-1)
  t.match(stopped, { type: 'finish', why: 'stopSequence', stopSequence: 'END' }, 'vLLM says where')
  const refused = gathered(events(sse(chunk({ refusal: 'No.' }), finish('stop'), '[DONE]'))).answer!.choices[0]!
  t.match(refused, { why: 'refused', parts: { length: 1 } })
  t.match(events(sse(chunk({ content: 'a' }), { error: { message: 'x', code: 'rate_limit_exceeded' } })).at(-1), {
    type: 'fail',
    fault: { kind: 'rateLimited', message: 'x' },
  })
  t.match(events('event: error\ndata: {"message":"y"}\n\n').at(-1), { type: 'fail', fault: { message: 'y' } })
  t.match(
    events(sse(chunk({ content: 'a' }), finish('eos'), { ...finish('eos'), choices: [], usage })).at(-1),
    { type: 'finish' },
    'counted, without [DONE]',
  )
  const aside = chunk({ content: 'b', tool_calls: [{ index: 0, function: { arguments: '' } }] })
  t.strictSame(parts(sse(chunk({ content: 'a' }), aside, chunk({ content: 'c' }), finish('stop'), '[DONE]')), [
    { type: 'text', text: 'abc' },
  ])
  const image = { images: [{ type: 'image_url', image_url: { url: `data:image/png;base64,${png}` } }] }
  t.strictSame(parts(sse(chunk(image), finish('stop'), '[DONE]')), [
    { type: 'media', kind: 'image', mime: 'image/png', at: { base64: png } },
  ])
  const lines = sse(chunk({ content: 'é🦊' }), finish('stop'), '[DONE]')
  for (const eol of ['\r\n', '\r'])
    for (const bytes of [1, 3, 1000])
      t.strictSame(
        events(`\ufeff${lines.replaceAll('\n', eol)}`, bytes),
        events(lines),
        'line ends, a mark, cuts in letters',
      )
})

t.test('trap 24: what a filter took away is a refusal', async t => {
  const told = relayed(asked({ stream: true }), sse(chunk({ content: 'a' }), finish('content_filter'), '[DONE]'))
  t.match(told, /"stop_reason":"refusal"/)
})

t.test('trap 49: cached tokens are counted once, and the last count holds', async t => {
  const told = relayed(asked({ stream: true }), sse(chunk({ content: 'a' }), finish('stop'), counted(usage), '[DONE]'))
  const [, last] = /event: message_delta\ndata: (.*)/.exec(told)!
  matchAll(t, JSON.parse(last!).usage, { input_tokens: 10, cache_read_input_tokens: 20, output_tokens: 11 })
  const more = { ...usage, completion_tokens: 5, prompt_tokens_details: { cached_tokens: 20, cache_write_tokens: 4 } }
  t.match(
    events(
      sse({ ...chunk({ content: 'a' }), usage: { prompt_tokens: 30 } }, finish('stop'), counted(more), '[DONE]'),
    ).at(-2),
    {
      usage: { input: 6, cacheRead: 20, cacheWrite: { '30m': 4 }, output: 5 },
    },
  )
})

t.test('trap 50: a prompt that is counted at the end is reckoned at the beginning', async t => {
  const told = relayed(asked({ stream: true }), sse(chunk({ content: 'a' }), finish('stop'), counted(usage), '[DONE]'))
  t.match(JSON.parse(/event: message_start\ndata: (.*)/.exec(told)![1]!).message.usage, { input_tokens: 42 })
})

t.test('trap 53: a prompt that is too long is told in the words that clients read', async t => {
  const message =
    "This model's maximum context length is 128000 tokens. However, your messages resulted in 130017 tokens."
  const body = JSON.stringify({
    error: { message, type: 'invalid_request_error', param: 'messages', code: 'context_length_exceeded' },
  })
  t.match(chatCodec.readFault(400, Buffer.from(body)), { kind: 'tooLong' })
  t.match(
    asked({}).translation.error(400, Buffer.from(body), 'id'),
    /prompt is too long: 130017 tokens > 128000 maximum/,
  )
  t.match(chatCodec.readFault(429, Buffer.from('{"error":{"message":"x","code":"insufficient_quota"}}')), {
    kind: 'quota',
  })
  t.match(chatCodec.readFault(502, Buffer.from('<html>')), { kind: 'upstream' })
  const odd = '{"error":{"message":"x","code":"constructor","type":"toString"}}'
  t.match(chatCodec.readFault(400, Buffer.from(odd)), { kind: 'invalid' }, 'a word is looked up as a word')
  t.match(chatCodec.readFault(400, Buffer.from('{"error":"bad"}')), { kind: 'invalid', message: 'bad' })
})

// ---- what an upstream is asked ----

t.test('trap 45: the developer role goes to the vendor alone, and only to models that have it', async t => {
  const roles = (model: string, own: boolean) => {
    const { asked } = translate(
      'messages',
      'chat',
      claude({
        model,
        system: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' },
        ],
      }),
      { own },
    )
    return asked.messages[0]
  }
  t.strictSame(roles('o3', true), { role: 'developer', content: 'a\n\nb' })
  t.strictSame(roles('o3', false), { role: 'system', content: 'a\n\nb' })
  t.strictSame(roles('gpt-4.1', true), { role: 'system', content: 'a\n\nb' })
  t.strictSame(roles('qwen3-coder', false), { role: 'system', content: 'a\n\nb' })
})

t.test('trap 46: a system text in the middle stays in its place', async t => {
  const messages = [user('a'), { role: 'assistant', content: 'b' }, { role: 'system', content: 'Be brief.' }, user('c')]
  t.match(asked({ messages, model: 'o3' }, { own: true }).asked.messages[2], {
    role: 'developer',
    content: 'Be brief.',
  })
  const foreign = asked({ messages }).asked.messages
  t.strictSame(
    foreign.map(({ role }: { role: string }) => role),
    ['user', 'assistant', 'user', 'user'],
  )
  t.match(foreign[2].content, /Be brief\./)
})

t.test('trap 31: a model that reasons is not told what it refuses', async t => {
  const reasons = asked({ model: 'o3', temperature: 0.2, top_p: 0.5, stop_sequences: ['X'] }, { own: true })
  t.strictSame(Object.keys(reasons.asked).sort(), ['max_completion_tokens', 'messages', 'model'])
  t.equal(reasons.dropped, 'stop_sequences, temperature, top_p')
  const plain = asked({ temperature: 0.2, stop_sequences: ['a', 'b', 'c', 'd', 'e'] })
  matchAll(t, plain.asked, { max_tokens: 100, temperature: 0.2, stop: ['a', 'b', 'c', 'd'] as never })
  t.equal(plain.dropped, 'stop_sequences')
  matchAll(t, asked({ max_tokens: 60_000 }), { asked: { max_tokens: 32_768 }, dropped: 'max_tokens~' })
})

t.test('effort and budgets of thinking are said in efforts that the model has', async t => {
  const effort = (more: object, model = 'o3') => {
    const { asked: said, dropped } = asked({ model, ...more }, { own: true })
    return [said.reasoning_effort, dropped]
  }
  t.strictSame(effort({ thinking: { type: 'enabled', budget_tokens: 5000 } }), ['medium', ''])
  t.strictSame(effort({ thinking: { type: 'adaptive' }, output_config: { effort: 'high' } }), ['high', ''])
  t.strictSame(effort({ thinking: { type: 'adaptive' }, output_config: { effort: 'max' } }), [
    'high',
    'output_config.effort~',
  ])
  t.strictSame(effort({ thinking: { type: 'disabled' } }), ['low', 'thinking~'])
  t.strictSame(effort({ thinking: { type: 'enabled', budget_tokens: 5000 } }, 'gpt-4.1'), [undefined, 'thinking'])
  t.strictSame(effort({ thinking: { type: 'disabled' } }, 'gpt-4.1'), [undefined, ''])
  t.strictSame(effort({}), [undefined, ''])
})

t.test('trap 55: the choice of tools and calls at once are told', async t => {
  const tools = [tool('f'), tool('g')]
  const choice = (tool_choice: object) => {
    const { tool_choice: said, parallel_tool_calls } = asked({ tools, tool_choice }).asked
    return [said, parallel_tool_calls]
  }
  t.strictSame(choice({ type: 'any', disable_parallel_tool_use: true }), ['required', false])
  t.strictSame(choice({ type: 'tool', name: 'g' }), [{ type: 'function', function: { name: 'g' } }, undefined])
  t.strictSame(choice({ type: 'none' }), ['none', undefined])
  t.strictSame(choice({ type: 'auto' }), [undefined, undefined])
  const refuses = asked({ model: 'o3', tools, tool_choice: { type: 'auto', disable_parallel_tool_use: true } })
  t.notOk('parallel_tool_calls' in refuses.asked)
  t.equal(refuses.dropped, 'parallel_tool_calls')
  t.notOk(
    'parallel_tool_calls' in asked({ tool_choice: { type: 'auto', disable_parallel_tool_use: true } }).asked,
    'only with tools',
  )
  const named = {
    tools: tools.map(one => ({ type: 'function', function: { name: one.name } })),
    messages: [user('x')],
    model: 'm',
  }
  const allowed = (mode: string, own: boolean) => {
    const tool_choice = {
      type: 'allowed_tools',
      allowed_tools: { mode, tools: [{ type: 'function', function: { name: 'g' } }] },
    }
    const { asked } = translate('chat', 'chat', { ...named, tool_choice }, { own })
    return [asked.tools.length, asked.tool_choice]
  }
  t.strictSame(allowed('auto', false), [1, undefined])
  t.strictSame(allowed('required', false), [2, { type: 'function', function: { name: 'g' } }])
})

const history = (result: object, more: object[] = []) => [
  user('go'),
  { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_1', name: 'f', input: {} }] },
  user([{ type: 'tool_result', tool_use_id: 'toolu_1', ...result }, ...more]),
]

t.test('trap 10: the answer to a call always has a text, and no message is without content', async t => {
  for (const content of [undefined, '', []]) {
    const { messages } = asked({ messages: history({ content }) }).asked
    t.strictSame(messages[2], { role: 'tool', tool_call_id: 'toolu_1', content: '' })
  }
  t.match(asked({ messages: history({ content: 'x', is_error: true }) }).asked.messages[2], { content: 'Error: x' })
  const blank = asked({
    messages: [user('a'), { role: 'assistant', content: [{ type: 'text', text: ' ' }] }, user('b')],
  })
  t.strictSame(
    blank.asked.messages.filter(({ content }: { content: unknown }) => !content),
    [],
  )
})

t.test('trap 17: an image that a tool gave comes in the message after, labelled', async t => {
  const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: png } }
  const { messages } = asked({ messages: history({ content: [image] }, [{ type: 'text', text: 'So?' }]) }).asked
  t.match(messages[2], { role: 'tool', content: /next message/ })
  t.strictSame(messages[3], {
    role: 'user',
    content: [
      { type: 'text', text: 'Image returned by f (toolu_1):' },
      { type: 'image_url', image_url: { url: `data:image/png;base64,${png}` } },
      { type: 'text', text: 'So?' },
    ],
  })
})

t.test('documents, sound and texts go in, what cannot is refused by its name', async t => {
  const source = (more: object) => ({ type: 'document', source: more })
  const content = (part: object) => asked({ messages: [user([part])] }).asked.messages[0].content
  t.strictSame(content(source({ type: 'base64', media_type: 'application/pdf', data: 'JVBERg==' })), [
    { type: 'file', file: { filename: 'document.pdf', file_data: 'data:application/pdf;base64,JVBERg==' } },
  ])
  t.equal(content(source({ type: 'text', media_type: 'text/plain', data: 'plain' })), 'plain')
  t.strictSame(content({ type: 'image', source: { type: 'url', url: 'https://x/y.png' } }), [
    { type: 'image_url', image_url: { url: 'https://x/y.png' } },
  ])
  t.throws(() => content(source({ type: 'url', url: 'https://x/y.pdf' })), { code: 'UNTRANSLATABLE' })
  t.throws(() => content(source({ type: 'file', file_id: 'file_1' })), { code: 'UNTRANSLATABLE' })
  t.throws(() => asked({ mcp_servers: [{ url: 'x' }] }), { code: 'UNTRANSLATABLE', param: 'mcp_servers' })
  t.throws(() => asked({ max_tokens: 0 }), { code: 'UNTRANSLATABLE', param: 'max_tokens' })
})

t.test('trap 38: ids that are used again are made different, in pairs', async t => {
  const call = (id: string) => ({ role: 'assistant', content: [{ type: 'tool_use', id, name: 'f', input: {} }] })
  const result = (id: string) => user([{ type: 'tool_result', tool_use_id: id, content: 'r' }])
  const { messages } = asked({ messages: [user('a'), call('x'), result('x'), call('x'), result('x')] }).asked
  const ids = messages.flatMap((m: { tool_calls?: { id: string }[] }) => m.tool_calls?.map(({ id }) => id) ?? [])
  const answered = messages.flatMap((m: { tool_call_id?: string }) => m.tool_call_id ?? [])
  t.equal(new Set(ids).size, 2)
  t.strictSame(answered, ids)
})

t.test('trap 39: ids have at most 40 characters, the same on both sides', async t => {
  const long = 'toolu_'.padEnd(90, 'x')
  const messages = [
    user('a'),
    { role: 'assistant', content: [{ type: 'tool_use', id: long, name: 'f', input: {} }] },
    user([{ type: 'tool_result', tool_use_id: long, content: 'r' }]),
  ]
  const said = asked({ messages }).asked.messages
  t.equal(said[1].tool_calls[0].id, said[2].tool_call_id)
  t.ok(said[2].tool_call_id.length <= 40)
  const mcp = 'mcp__a_server_with_a_long_name__and_a_tool_with_a_name_that_is_longer_still'
  const named = asked({ stream: true, tools: [tool(mcp)] })
  const wire = named.asked.tools[0].function.name
  t.ok(wire.length <= 64)
  t.match(
    relayed(named, sse(called(0, 'a', wire, '{}'), finish('stop'), '[DONE]')),
    `"name":"${mcp}"`,
    'and comes back under its own',
  )
})

t.test('trap 34: what is left out is named, all of it', async t => {
  const { dropped, asked: said } = asked(
    {
      top_k: 5,
      container: undefined,
      context_management: { edits: [] },
      system: [{ type: 'text', text: 'a', cache_control: { type: 'ephemeral' } }],
      tools: [
        tool('f', { cache_control: { type: 'ephemeral' }, strict: true }),
        { type: 'web_search_20250305', name: 'web_search' },
      ],
      metadata: { user_id: 'u-1' },
      messages: [
        ...history({ content: 'x' }),
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 'hm', signature: 'c2ln' },
            { type: 'text', text: 'y' },
          ],
        },
        user('z'),
      ],
    },
    { own: true },
  )
  t.equal(dropped, 'cache_control, context_management, messages.thinking, tools.web_search_20250305, top_k')
  t.notOk(JSON.stringify(said).includes('u-1'), 'names of people stay here')
  t.match(said, { safety_identifier: /^[0-9a-f]{32}$/, tools: { length: 1 } })
})

t.test('reasoning goes back to a server that wants it, and to no other', async t => {
  const thought = (signature: string) => [
    user('a'),
    {
      role: 'assistant',
      content: [
        { type: 'thinking', thinking: 'hm', signature },
        { type: 'tool_use', id: 't', name: 'f', input: {} },
      ],
    },
    user([{ type: 'tool_result', tool_use_id: 't', content: 'r' }]),
  ]
  const sealed = (scope: string) =>
    enclose({
      issuer: { platform: 'openai', scope, model: 'deepseek-v4-flash' },
      value: undefined,
      text: 'hm',
      callId: '',
    })
  const back = (signature: string, model: string) => asked({ model, messages: thought(signature) })
  t.match(back(sealed('0a1b2c3d'), 'deepseek-v4-flash'), {
    asked: { messages: { 1: { reasoning_content: 'hm' } } },
    dropped: '',
  })
  for (const [signature, model] of [
    [sealed('ffffffff'), 'deepseek-v4-flash'],
    ['bmF0aXZl', 'deepseek-v4-flash'],
    [sealed('0a1b2c3d'), 'gpt-4.1'],
  ] as const) {
    const { asked: said, dropped } = back(signature, model)
    t.notOk('reasoning_content' in said.messages[1])
    t.equal(dropped, 'messages.thinking')
  }
})

t.test('the vendor alone is told of custom tools, newer limits and whose cache it is', async t => {
  const body = {
    model: 'gpt-5.6-terra',
    prompt_cache_key: 'k',
    service_tier: 'flex',
    max_completion_tokens: 50,
    messages: [
      user('a'),
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'c', type: 'custom', custom: { name: 'p', input: 'x "y"' } }],
      },
      { role: 'tool', tool_call_id: 'c', content: 'ok' },
    ],
    tools: [
      {
        type: 'custom',
        custom: {
          name: 'p',
          description: 'd',
          format: { type: 'grammar', grammar: { syntax: 'lark', definition: 'start: "x"' } },
        },
      },
    ],
  }
  const own = translate('chat', 'chat', body, { own: true })
  matchAll(t, own.asked, {
    prompt_cache_key: 'k',
    service_tier: 'flex',
    max_completion_tokens: 50,
    tools: body.tools as never,
    messages: [{}, { tool_calls: [{ type: 'custom', custom: { name: 'p', input: 'x "y"' } }] }, {}],
  })
  const foreign = translate('chat', 'chat', body)
  matchAll(t, foreign.asked, {
    messages: [
      {},
      { tool_calls: [{ type: 'function', function: { name: 'p', arguments: '{"input":"x \\"y\\""}' } }] },
      {},
    ],
    tools: [{ type: 'function', function: { name: 'p', parameters: { required: ['input'] } } }],
  })
  t.match(foreign.asked.tools[0].function.description, /^d\n\nThe input is .*\n\nlark grammar:\nstart: "x"/)
  t.equal(foreign.dropped, 'service_tier, tools.format')
})

t.test('trap 18: a freeform tool that went out as a function comes back as what it is', async t => {
  const tools = [{ type: 'custom', custom: { name: 'patch' } }]
  const there = translate('chat', 'chat', { model: 'm', stream: true, messages: [user('a')], tools })
  const stream = relayed(
    there,
    sse(called(0, 'a', 'patch', '{"in'), argued(0, 'put": "*** B\\u00e9\\n"}'), finish('tool_calls'), '[DONE]'),
  )
  const pieces = [...stream.matchAll(/"custom":(\{.*?\})\}\]/g)].map(([, json]) => JSON.parse(json!))
  t.equal(pieces[0].name, 'patch')
  t.equal(pieces.map(({ input }) => input).join(''), '*** Bé\n')
})

// ---- a client's request, elsewhere ----

const chatOnClaude = (more: object, model = 'claude-sonnet-4-5') =>
  translate('chat', 'messages', { model, messages: [user('hi')], ...more })

t.test('a schema that is nested deeper than is read here goes out as it stands', async t => {
  const deep = `${'{"type":"object","properties":{"a":'.repeat(600)}{}${'}}'.repeat(600)}`
  const tools = [{ name: 'f', input_schema: JSON.parse(deep) }]
  for (const to of ['chat', 'responses'] as const) {
    const { translation } = translate('messages', to, { model: 'm', max_tokens: 9, messages: [user('hi')], tools })
    t.ok(translation.asking.body.includes(`"parameters":${deep}`), to)
  }
})

t.test('an answer with many calls is looked through once', async t => {
  const calls = Array.from({ length: 6000 }, (_, n) => ({ id: `c${n}`, function: { name: 'f', arguments: { n } } }))
  const body = { choices: [{ index: 0, message: { tool_calls: calls }, finish_reason: 'tool_calls' }] }
  const events = chatCodec.decodeWhole(Buffer.from(JSON.stringify(body)), {
    platform: 'openai',
    scope: '0',
    model: 'm',
  })
  t.equal(events.filter(({ type }) => type === 'open').length, 6000)
  t.strictSame(events.filter(({ type }) => type === 'delta').at(-1), { type: 'delta', index: 5999, text: '{"n":5999}' })
})

t.test('a PDF that comes as an image is a document', async t => {
  const url = 'data:application/pdf;base64,JVBERi0='
  const { asked } = chatOnClaude({ messages: [user([{ type: 'image_url', image_url: { url } }])] })
  t.strictSame(asked.messages[0].content[0], {
    type: 'document',
    source: { type: 'base64', media_type: 'application/pdf', data: 'JVBERi0=' },
  })
})

t.test('trap 37: a function without parameters has a schema', async t => {
  const { asked: said } = chatOnClaude({ tools: [{ type: 'function', function: { name: 'f' } }] })
  t.match(said.tools[0].input_schema, { type: 'object' })
})

t.test('trap 32: an answer in JSON without a schema is asked for in words, and named', async t => {
  const { asked: said, dropped } = chatOnClaude({ response_format: { type: 'json_object' } })
  t.match(JSON.stringify(said.system), /JSON/)
  t.match(dropped, /response_format~/)
})

t.test('trap 33: what a schema may not say is said in words', async t => {
  const schema = { type: 'object', properties: { n: { type: 'integer', minimum: 3 } }, required: ['n'] }
  const { asked: said } = chatOnClaude(
    { response_format: { type: 'json_schema', json_schema: { name: 'r', schema } } },
    'claude-opus-5-5',
  )
  const sent = JSON.stringify(said.output_config.format)
  t.notMatch(sent, /"minimum"/)
  t.match(sent, /3/)
})

t.test('trap 40: answers to calls are one turn, however many messages they came in', async t => {
  const call = (id: string) => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } })
  const messages = [
    user('a'),
    { role: 'assistant', content: null, tool_calls: [call('x'), call('y')] },
    { role: 'tool', tool_call_id: 'y', content: '2' },
    { role: 'tool', tool_call_id: 'x', content: '1' },
    user('b'),
  ]
  const { asked: said } = chatOnClaude({ messages })
  t.strictSame(
    said.messages.map(({ role }: { role: string }) => role),
    ['user', 'assistant', 'user'],
  )
  t.strictSame(
    said.messages[2].content.map(({ type }: { type: string }) => type),
    ['tool_result', 'tool_result', 'text'],
  )
})

t.test('trap 44: developers speak as the system', async t => {
  const { asked: said } = chatOnClaude({ messages: [{ role: 'developer', content: 'Dev.' }, user('a')] })
  matchAll(t, said.system, [{ type: 'text', text: 'Dev.' }])
})

t.test('trap 20: a client that cannot speak of the cache has one', async t => {
  t.match(chatOnClaude({}).asked.cache_control, { type: 'ephemeral' })
})

t.test('what no other dialect can do is refused by its name', async t => {
  for (const [more, param] of [
    [{ n: 2 }, 'n'],
    [{ audio: { voice: 'a', format: 'mp3' }, modalities: ['text', 'audio'] }, 'audio'],
  ] as const)
    t.throws(() => chatOnClaude(more), { code: 'UNTRANSLATABLE', param })
  t.equal(translate('chat', 'chat', { model: 'm', messages: [user('x')], n: 2 }).asked.n, 2)
  const { dropped } = chatOnClaude({
    logit_bias: { 5: 1 },
    prediction: { type: 'content', content: 'x' },
    verbosity: 'low',
    store: false,
    seed: 1,
    metadata: { a: 'b' },
  })
  t.equal(dropped, 'logit_bias, metadata, prediction, seed, verbosity')
})

t.test('what Responses says in other words is said to the vendor in those of Chat', async t => {
  const body = {
    model: 'gpt-4.1',
    input: 'x',
    text: { verbosity: 'low' },
    metadata: { a: 'b' },
    tools: [{ type: 'custom', name: 'p', format: { type: 'grammar', syntax: 'lark', definition: 'start: "x"' } }],
  }
  const own = translate('responses', 'chat', body, { own: true })
  matchAll(t, own.asked, {
    verbosity: 'low',
    metadata: { a: 'b' },
    tools: [{ custom: { format: { type: 'grammar', grammar: { syntax: 'lark', definition: 'start: "x"' } } } }],
  })
  t.equal(own.dropped, '')
  t.equal(translate('responses', 'chat', body).dropped, 'metadata, text.verbosity, tools.format')
  t.equal(asked({ metadata: { user_id: 'u', a: 'b' } }, { own: true }).dropped, 'metadata', "Claude's are others")
  const likely = translate('chat', 'chat', { model: 'o3', messages: [user('x')], logprobs: true }, { own: true })
  t.strictSame([likely.dropped, 'logprobs' in likely.asked], ['logprobs', false])
})

t.test('older forms of tools are read', async t => {
  const { asked: said } = translate('chat', 'chat', {
    model: 'm',
    functions: [{ name: 'f', parameters: { type: 'object', properties: {} } }],
    function_call: { name: 'f' },
    messages: [
      user('a'),
      { role: 'assistant', content: null, function_call: { name: 'f', arguments: '{"a":1}' } },
      { role: 'function', name: 'f', content: 'r' },
    ],
  })
  t.match(said, {
    tools: { 0: { type: 'function', function: { name: 'f' } } },
    tool_choice: { function: { name: 'f' } },
  })
  const id = said.messages[1].tool_calls[0].id
  t.strictSame(said.messages[2], { role: 'tool', tool_call_id: id, content: 'r' })
})

t.test('what is wrong in a body is named', async t => {
  const cases: [body: object, says: string][] = [
    [{ messages: 1 }, 'messages must be'],
    [{ messages: [{ role: 'robot' }] }, 'messages.0.role'],
    [{ messages: [user([{ type: 'text' }])] }, 'messages.0.content.0.text'],
    [{ messages: [{ role: 'tool', content: 'x' }] }, 'messages.0.tool_call_id'],
    [{ messages: [], temperature: 'hot' }, 'temperature'],
    [{ messages: [], tools: [{}] }, 'tools.0.type'],
    [{ messages: [], tools: [{ type: 'function', function: {} }] }, 'tools.0.function.name'],
    [{ messages: [], response_format: { type: 'xml' } }, 'response_format.type'],
    [{ messages: [], reasoning_effort: 'hard' }, 'reasoning_effort'],
  ]
  for (const [body, says] of cases)
    t.throws(
      () => chatCodec.decodeAsk(Buffer.from(JSON.stringify({ model: 'm', ...body })), ''),
      { code: 'BODY_INVALID', message: new RegExp(says.replaceAll('.', '\\.')) },
      says,
    )
})

t.test('round trips keep texts, calls, digits and counts', async t => {
  const digits = '{"b":12345678901234567890,"a":[1.0]}'
  const message = {
    content: 'Grüße 🦊',
    reasoning_content: 'hm',
    tool_calls: [
      { id: 'call_1', type: 'function', function: { name: 'f', arguments: digits } },
      { id: 'call_2', type: 'custom', custom: { name: 'p', input: 'x' } },
    ],
  }
  const body = whole(message, { finish_reason: 'tool_calls' })
  const stream = asStreamBy(chatCodec, Buffer.from(body))!
  const gatherer = gathererBy(chatCodec)
  for (const piece of torn(generator(1), stream)) gatherer.push(piece)
  const back = gatherer.end()!.toString()
  for (const answer of [
    await read(back),
    await heard(stream.toString().replace(/,\{"index":1,"id":"call_2".*?\}\}/, '')),
  ])
    matchAll(t, answer, { id: 'chatcmpl-1', model: 'up', usage: { prompt_tokens: 30, completion_tokens: 11 } })
  matchAll(t, JSON.parse(back).choices[0], { message, finish_reason: 'tool_calls' } as never)
  const body2 = JSON.stringify({
    model: 'gpt-4.1',
    messages: [
      { role: 'system', content: 'S' },
      user([
        { type: 'text', text: 'see' },
        { type: 'image_url', image_url: { url: `data:image/png;base64,${png}`, detail: 'low' } },
      ]),
      { role: 'assistant', content: 'ok', tool_calls: [message.tool_calls[0]] },
      { role: 'tool', tool_call_id: 'call_1', content: 'r' },
    ],
    tools: [
      {
        type: 'function',
        function: { name: 'f', description: 'd', parameters: { type: 'object', properties: {} }, strict: true },
      },
    ],
    tool_choice: 'required',
    temperature: 0.5,
    seed: 3,
    logprobs: true,
    top_logprobs: 2,
    logit_bias: { 1: 2 },
    max_tokens: 9,
    stop: ['x'],
    response_format: { type: 'json_schema', json_schema: { name: 'r', schema: { type: 'object' }, strict: true } },
  })
  t.strictSame(translate('chat', 'chat', body2).asked, JSON.parse(body2))
})

t.test('whatever comes, the decoder gives events in their order, and never throws', async t => {
  const random = generator(7)
  const values = [null, '', 'x', 0, -1, 1e30, true, [], {}, [null], { a: 1 }, 'tool_calls', '{"a"']
  const names = ['content', 'reasoning', 'tool_calls', 'function_call', 'refusal', 'annotations', 'images', 'role']
  const call = () => ({
    index: one(random, [0, 1, 'x', null, undefined]),
    id: one(random, values),
    type: one(random, ['function', 'custom', 3]),
    function: one(random, [null, 'x', { name: one(random, values), arguments: one(random, values) }]),
    custom: one(random, [undefined, { name: 'c', input: one(random, values) }]),
  })
  const delta = () =>
    Object.fromEntries(
      [one(random, names), one(random, names)].map(name => [
        name,
        name === 'tool_calls' && random(3) > 0 ? [call(), call()] : one(random, values),
      ]),
    )
  const piece = () =>
    one<() => object | string>(random, [
      () => chunk(delta()),
      () => ({
        ...chunk(delta()),
        choices: one(random, [...values, [{ index: random(3), delta: delta(), finish_reason: one(random, values) }]]),
      }),
      () =>
        counted(
          one(random, [usage, { prompt_tokens: one(random, values), prompt_tokens_details: one(random, values) }]),
        ),
      () => finish(one(random, ['stop', 'length', 'tool_calls', 'odd'])),
      () => one(random, ['[DONE]', '{', 'null', '[]', '{"error":1}', '\u0000']),
    ])()
  for (let round = 0; round < 3000; round++) {
    const stream = sse(...Array.from({ length: random(12) }, piece))
    const decoder = chatCodec.decoder(issuer)
    const all: Event[] = []
    for (const bytes of torn(random, Buffer.from(stream))) all.push(...decoder.push(bytes))
    all.push(...decoder.end())
    const wrong = misordered(all)
    if (wrong) t.fail(wrong, { stream })
    const written = encoded(all)
    if (!written.endsWith('[DONE]\n\n') && !/data: \{"error":.*\n\n$/.test(written))
      t.fail('no end', { stream, written })
    const body = Buffer.from(JSON.stringify(piece()))
    if (misordered(chatCodec.decodeWhole(body, issuer))) t.fail('of a whole answer', { body: body.toString() })
    chatCodec.readFault(one(random, [400, 429, 500]), body)
  }
})

/** What of the grammar of events is not kept; undefined: nothing. */
function misordered(all: readonly Event[]): string | undefined {
  const open = new Set<number>()
  let [next, ended, started] = [0, false, false]
  for (const event of all) {
    if (ended && event.type !== 'finish') return `${event.type} behind the end`
    switch (event.type) {
      case 'start':
        if (started) return 'two starts'
        started = true
        break
      case 'open':
        if (!started || event.index !== next++) return 'an index out of order'
        open.add(event.index)
        break
      case 'delta':
      case 'cite':
      case 'seal':
        if (!open.has(event.index)) return `${event.type} of what is not open`
        break
      case 'close':
        if (!open.delete(event.index)) return 'closed twice'
        break
      case 'finish':
      case 'fail':
        ended = true
        if (event.type === 'finish' && open.size > 0) return 'an end while something is open'
    }
  }
  return ended ? undefined : 'no end'
}

t.test('whatever a client asks, it is asked elsewhere or refused with a reason', async t => {
  const random = generator(11)
  const pick = <T>(...of: T[]) => one(random, of)
  const junk = [null, '', 0, -1, 1.5, true, [], {}, [null], [{}], 'auto', '{"a"', '\u0000', '\ud800']
  const maybe = (value: unknown) => (random(40) === 0 ? one(random, junk) : value)
  const part = () =>
    pick<unknown>(
      { type: 'text', text: maybe(pick('hi', ' ')), prompt_cache_breakpoint: maybe({ mode: 'explicit', ttl: '12h' }) },
      { type: 'image_url', image_url: maybe({ url: maybe(pick('https://x/y.png', 'data:image/png;base64,AAAA')) }) },
      { type: 'file', file: maybe({ file_data: maybe('data:application/pdf;base64,AAAA') }) },
      { type: 'input_audio', input_audio: maybe({ data: 'AAAA', format: maybe('wav') }) },
      { type: maybe('hologram'), x: 1 },
    )
  const content = () => maybe(pick<unknown>('hi', '', null, [part(), part()]))
  const name = () => maybe(pick('f', 'a b', 'x'.repeat(90), 'mcp__a__b'))
  const call = () =>
    pick<unknown>(
      {
        id: maybe(pick('c1', 'c2', '', 'x'.repeat(80), 'ü')),
        type: 'function',
        function: maybe({ name: name(), arguments: maybe(pick<unknown>('{}', '', '{"a"', '[1]', { a: 1 })) }),
      },
      { id: 'c3', type: 'custom', custom: maybe({ name: name(), input: maybe('x') }) },
    )
  const message = () =>
    pick<unknown>(
      { role: pick('system', 'developer', 'user'), content: content() },
      { role: 'assistant', content: content(), tool_calls: maybe([call(), call()]), reasoning_content: maybe('hm') },
      { role: 'tool', tool_call_id: maybe(pick('c1', 'c2', 'nobody')), content: content() },
    )
  const schema = () =>
    maybe(pick<unknown>({ type: 'object', properties: { n: { minimum: 3 } } }, {}, { $ref: '#/x' }, true, []))
  const fields: Record<string, () => unknown> = {
    tools: () => [
      { type: 'function', function: maybe({ name: name(), parameters: schema(), strict: maybe(true) }) },
      { type: 'custom', custom: maybe({ name: name() }) },
    ],
    tool_choice: () => pick<unknown>('none', 'required', { type: 'function', function: maybe({ name: name() }) }),
    response_format: () =>
      pick<unknown>(
        { type: 'json_object' },
        { type: 'json_schema', json_schema: maybe({ name: name(), schema: schema() }) },
      ),
    reasoning_effort: () => pick('none', 'minimal', 'low', 'max'),
    stop: () => pick<unknown>('a', ['a', ' ', 'b', 'c', 'd', 'e']),
    max_tokens: () => pick(1, 50, 1e9),
    temperature: () => 1.7,
    prompt_cache_options: () => ({ ttl: '12h' }),
    logit_bias: () => ({ a: 1 }),
    user: () => 'u',
  }
  let asked = 0
  for (let round = 0; round < 400; round++) {
    const body: Record<string, unknown> = { model: 'gpt-4.1', messages: Array.from({ length: random(6) }, message) }
    for (const [field, value] of Object.entries(fields)) if (random(4) === 0) body[field] = maybe(value())
    for (const upstream of ['messages', 'chat', 'responses', 'gemini'] as const)
      try {
        const said = translate('chat', upstream, body, { own: random(2) === 0 }).asked
        asked++
        const empty = (upstream === 'chat' ? said.messages : []).filter(
          (one: { content: unknown; tool_calls?: unknown }) =>
            one.content === undefined || (one.content === null && !one.tool_calls),
        )
        if (empty.length > 0) t.fail('a message without content', { body, said })
      } catch (error) {
        const { code } = error as { code?: string }
        if (code !== 'BODY_INVALID' && code !== 'UNTRANSLATABLE') t.fail(String(error), { upstream, body })
      }
  }
  t.ok(asked > 400, `${asked} asked`)
})

t.test('the table has it', async t => {
  t.equal(dialectNamed('chat').codec, chatCodec)
})
