// The official SDK as the judge of our Responses answers: whatever the upstream's dialect, streams and wholes are read as the vendor's own.
import OpenAI from 'openai'
import t from 'tap'
import { Answers } from '../../src/dialect/middle/answering.ts'
import type { Asked } from '../../src/dialect/middle/codec.ts'
import type { Event, Issuer } from '../../src/dialect/middle/form.ts'
import { Gathering } from '../../src/dialect/middle/gather.ts'
import { disclose, enclose } from '../../src/dialect/middle/seal.ts'
import { responsesCodec as codec } from '../../src/dialect/responses/codec.ts'
import { responses } from '../../src/dialect/responses/responses.ts'
import { matchAll } from '../helpers/match.ts'

const issuer: Issuer = { platform: 'anthropic', scope: '0a1b2c3d', model: 'claude-sonnet-5' }
const from: Issuer = { platform: 'openai', scope: '0a1b2c3d', model: 'gpt-6' }

function asked(body: object = {}): Asked {
  let n = 0
  return {
    ask: codec.decodeAsk(
      Buffer.from(JSON.stringify({ model: 'm', input: 'hi', reasoning: { summary: 'auto' }, ...body })),
      '',
    ),
    model: 'm',
    id: prefix => `${prefix}${String(++n).padStart(24, '0')}`,
    created: 1764300000,
    promptTokens: 7,
    seal: (seal, text, callId = '') => enclose({ issuer, value: seal?.value, text, callId }),
  }
}

/** The events as a client is told them, after what every translation does with them. */
function told(events: readonly Event[], by = asked()): { stream: string; whole: string | undefined } {
  const answers = () =>
    new Answers({
      wires: new Map([['edit', { name: 'edit', freeform: true }]]),
      carries: codec.carries,
      id: by.id,
      keep() {},
    })
  const encoder = codec.encoder(by)
  const [streaming, gathered] = [answers(), answers()]
  const gathering = new Gathering()
  let stream = ''
  for (const event of events) {
    for (const one of streaming.take(event)) stream += encoder.write(one)
    for (const one of gathered.take(event)) gathering.take(one)
  }
  const { answer, fault } = gathering
  return { stream, whole: answer && !fault ? codec.encodeWhole(answer, by) : undefined }
}

const client = (bytes: string | Buffer, type = 'text/event-stream') =>
  new OpenAI({
    apiKey: 'k',
    baseURL: 'http://gw/v1',
    maxRetries: 0,
    fetch: async () => new Response(Buffer.from(bytes), { headers: { 'content-type': type } }),
  })
const request = { model: 'm', input: 'hi' }
const read = (bytes: string | Buffer) => client(bytes).responses.stream(request).finalResponse()
const readWhole = (bytes: string | Buffer) => client(bytes, 'application/json').responses.create(request)

let index = 0
const part = (head: (Event & { type: 'open' })['part'], ...inside: (string | Partial<Event>)[]): Event[] => {
  const at = index++
  return [
    { type: 'open', index: at, part: head },
    ...inside.map(
      one => (typeof one === 'string' ? { type: 'delta', index: at, text: one } : { ...one, index: at }) as Event,
    ),
    { type: 'close', index: at },
  ]
}
const start: Event = {
  type: 'start',
  id: 'msg_1',
  model: 'up',
  usage: { input: 7, output: 0, cacheRead: 0, cacheWrite: {} },
}
const usage: Event = {
  type: 'usage',
  usage: { input: 10, output: 25, thinking: 7, cacheRead: 90, cacheWrite: { '5m': 3, '1h': 2 } },
}
const seal = { type: 'seal', seal: { value: 'U0lH', issuer } } as Partial<Event>
const cite = {
  type: 'cite',
  citation: { kind: 'url', url: 'https://x.example', title: 'X', start: 0, end: 2 },
} as Partial<Event>

const everything: Event[] = [
  start,
  ...part({ type: 'thought' }, 'Let me ', 'see.', seal),
  ...part({ type: 'thought', redacted: true }, seal),
  ...part({ type: 'text' }, 'Hel', 'lo', cite),
  ...part({ type: 'text' }, ' you'),
  ...part({ type: 'call', id: 'srv_1', name: 'web_search', by: 'server' }, '{"query":"q"}'),
  ...part({ type: 'result', callId: 'srv_1', by: 'server' }, 'found'),
  ...part({ type: 'call', id: 'toolu_1', name: 'f' }, '{"n":', '12345678901234567890}'),
  ...part({ type: 'call', id: 'toolu_1', name: 'f' }),
  ...part({ type: 'call', id: 'toolu_3', name: 'edit' }, '{"input":"a\\n', 'b"}'),
  ...part({ type: 'text' }, 'Done.'),
  usage,
  { type: 'finish', why: 'end' },
]

t.test('an answer with everything in it is read, streamed and whole, and both say the same', async t => {
  const { stream, whole } = told(everything)
  const [streamed, plain] = [await read(stream), await readWhole(whole!)]
  for (const response of [streamed, plain]) {
    t.equal(response.status, 'completed')
    t.equal(response.model, 'm')
    t.equal(response.output_text, 'Hello youDone.')
    t.strictSame(
      response.output.map(({ type }) => type),
      [
        'reasoning',
        'reasoning',
        'message',
        'web_search_call',
        'function_call',
        'function_call',
        'custom_tool_call',
        'message',
      ],
    )
    const [thought, hidden, message, , first, second, edit] = response.output
    matchAll(t, thought, { summary: [{ text: 'Let me see.' }] })
    const proof = (item: unknown) => disclose((item as { encrypted_content: string }).encrypted_content)
    t.equal(proof(thought)?.value, 'U0lH')
    matchAll(t, hidden, { summary: [] })
    t.equal(proof(hidden)?.value, 'U0lH')
    t.equal(proof(hidden)?.callId, 'redacted', 'what it is survives')
    matchAll(t, message, {
      role: 'assistant',
      status: 'completed',
      content: [{ text: 'Hello', annotations: [{ type: 'url_citation', url: 'https://x.example' }] }, { text: ' you' }],
    })
    t.match(first, { call_id: 'toolu_1', arguments: '{"n":12345678901234567890}', status: 'completed' })
    t.match(second, { arguments: '{}' })
    t.not((second as { call_id: string }).call_id, 'toolu_1', 'an id is given once')
    t.match(edit, { name: 'edit', input: 'a\nb' })
    t.strictSame(response.usage, {
      input_tokens: 105,
      input_tokens_details: { cached_tokens: 90, cache_write_tokens: 5 },
      output_tokens: 25,
      output_tokens_details: { reasoning_tokens: 7 },
      total_tokens: 130,
    })
  }
  t.equal(new Set(streamed.output.map(item => (item as { id: string }).id)).size, streamed.output.length)
})

t.test('every event is numbered, named as it says, and each item is opened and done once', async t => {
  const events = told(everything)
    .stream.trimEnd()
    .split('\n\n')
    .map(frame => /^event: (.*)\ndata: (.*)$/.exec(frame)!)
    .map(([, name, data]) => ({ name, data: JSON.parse(data!) }))
  t.strictSame(
    events.map(({ data }) => data.sequence_number),
    [...events.keys()],
  )
  t.ok(events.every(({ name, data }) => name === data.type))
  const places = (type: string) => events.filter(({ name }) => name === type).map(({ data }) => data.output_index)
  t.strictSame(places('response.output_item.added'), [0, 1, 2, 3, 4, 5, 6, 7])
  t.strictSame(
    [...places('response.output_item.done')].sort(),
    [0, 1, 2, 3, 4, 5, 6, 7],
    'trap 29: all that was opened is done',
  )
  t.equal(events.at(-1)!.name, 'response.completed')
  t.notOk(told(everything).stream.includes('content_block'))
})

t.test('who asked for no summary sees no reasoning, and has it in the proof', async t => {
  const by = asked({ reasoning: { effort: 'low' } })
  for (const response of [await read(told(everything, by).stream), await readWhole(told(everything, by).whole!)]) {
    matchAll(t, response.output[0], { type: 'reasoning', summary: [] })
    t.equal(disclose((response.output[0] as { encrypted_content: string }).encrypted_content)?.text, 'Let me see.')
  }
})

t.test('an answer that was cut is incomplete, and a call in it stays as it was cut (trap 57)', async t => {
  const cut = (why: 'length' | 'safety', ...events: Event[]) => told([start, ...events, usage, { type: 'finish', why }])
  const text = cut('length', ...part({ type: 'text' }, '{"ok":'))
  for (const response of [await read(text.stream), await readWhole(text.whole!)]) {
    t.equal(response.status, 'incomplete')
    t.strictSame(response.incomplete_details, { reason: 'max_output_tokens' })
    t.match(response.output[0], { type: 'message', status: 'incomplete' })
  }
  const call = cut('length', ...part({ type: 'call', id: 'c', name: 'f' }, '{"a":[1,'))
  for (const response of [await read(call.stream), await readWhole(call.whole!)])
    t.match(response.output[0], { type: 'function_call', arguments: '{"a":[1,', status: 'incomplete' })
  t.strictSame((await read(cut('safety', ...part({ type: 'text' }, 'a')).stream)).incomplete_details, {
    reason: 'content_filter',
  })
})

t.test('a refusal is a refusal part', async t => {
  const { stream, whole } = told([
    start,
    ...part({ type: 'refusal' }, 'No', '.'),
    usage,
    { type: 'finish', why: 'refused' },
  ])
  for (const response of [await read(stream), await readWhole(whole!)])
    matchAll(t, response, { status: 'completed', output: [{ content: [{ type: 'refusal', refusal: 'No.' }] }] })
  const silent = told([start, usage, { type: 'finish', why: 'refused', detail: 'Against the rules.' }])
  for (const response of [await read(silent.stream), await readWhole(silent.whole!)])
    matchAll(
      t,
      response,
      { status: 'completed', output: [{ content: [{ type: 'refusal', refusal: 'Against the rules.' }] }] },
      'also when nothing was said (trap 24)',
    )
  const empty = told([start, usage, { type: 'finish', why: 'end' }])
  for (const response of [await read(empty.stream), await readWhole(empty.whole!)]) t.strictSame(response.output, [])
})

t.test('an answer that failed throws, whatever came before it (trap 1, trap 4)', async t => {
  const fault = { kind: 'rateLimited', message: 'Try again in 2s.', code: 'UPSTREAM_BROKE' } as const
  for (const before of [[], [start], [start, ...part({ type: 'text' }, 'Hal')], everything.slice(0, 4)]) {
    const { stream, whole } = told([...before, { type: 'fail', fault }])
    await t.rejects(read(stream), { message: /Try again in 2s/ })
    t.equal(whole, undefined)
    t.ok(stream.endsWith('\n\n'))
    const last = JSON.parse(/data: (.*)\n\n$/.exec(stream)![1]!)
    t.match(last, { type: 'response.failed', response: { status: 'failed', error: { message: 'Try again in 2s.' } } })
    t.notOk(stream.includes('response.completed'))
  }
})

t.test('structured output is parsed by the SDK, streamed and whole', async t => {
  const format = {
    type: 'json_schema',
    name: 'r',
    strict: true,
    schema: { type: 'object', properties: { ok: { type: 'boolean' } } },
  } as const
  const { stream, whole } = told([
    start,
    ...part({ type: 'text' }, '{"ok"', ':true}'),
    usage,
    { type: 'finish', why: 'end' },
  ])
  const parsed = await client(whole!, 'application/json').responses.parse({ ...request, text: { format } })
  t.equal(parsed.output_text, '{"ok":true}')
  const streamed = await client(stream)
    .responses.stream({ ...request, text: { format } })
    .finalResponse()
  t.equal(streamed.output_text, '{"ok":true}')
})

t.test('a whole answer made a stream is read as the same answer, and gathered it is the same again', async t => {
  const whole = JSON.parse(told(everything).whole!)
  whole.metadata = { k: 'v' }
  whole.output.push({ id: 'x_1', type: 'image_generation_call', status: 'completed', result: 'aGk=', n: 1 })
  const said = JSON.stringify(whole).replace('"n":1', '"n":12345678901234567890')
  const stream = responses.asStream(Buffer.from(said))!
  const { output_text, parsed: _, ...response } = (await read(stream)) as unknown as Record<string, unknown>
  t.equal(output_text, 'Hello youDone.')
  t.match(response, { id: whole.id, status: 'completed', metadata: { k: 'v' }, usage: whole.usage })
  const gatherer = responses.gatherer()
  for (let at = 0; at < stream.length; at += 100) gatherer.push(stream.subarray(at, at + 100))
  t.equal(gatherer.end()?.toString(), said, 'with all digits')

  const empty = responses.gatherer()
  empty.push(
    Buffer.from(
      stream.toString().replace(/("status":"completed","background".*?"output":)\[.*\](,"parallel)/, '$1[]$2'),
    ),
  )
  t.strictSame(
    JSON.parse(empty.end()!.toString()).output.length,
    whole.output.length,
    'trap 30: the items that were done',
  )

  for (const bad of ['', '[]', '{}', 'x', '{"error":{"message":"no"}}'])
    t.equal(responses.asStream(Buffer.from(bad)), undefined)
  const broken = responses.gatherer()
  broken.push(stream.subarray(0, stream.length - 200))
  t.equal(broken.end(), undefined, 'trap 1: half an answer is none')
})

t.test('an answer of this dialect, decoded and encoded again, keeps text, tools and usage', async t => {
  const first = told(everything)
  const decoder = codec.decoder(from)
  const bytes = Buffer.from(first.stream)
  const events = []
  for (let at = 0; at < bytes.length; at += 13) events.push(...decoder.push(bytes.subarray(at, at + 13)))
  events.push(...decoder.end())
  const sources = [
    [await read(first.stream), events],
    [await readWhole(first.whole!), codec.decodeWhole(Buffer.from(first.whole!), from)],
  ] as const
  for (const [before, decoded] of sources) {
    const again = told(decoded)
    for (const response of [await read(again.stream), await readWhole(again.whole!)]) {
      t.strictSame(plain(response.output), plain(before.output))
      t.strictSame(response.usage, before.usage)
    }
  }
})

/** Without ids and proofs, which are made anew, and without what the SDK adds. */
const plain = (output: unknown) =>
  JSON.parse(
    JSON.stringify(output, (name, value) =>
      ['id', 'encrypted_content', 'parsed', 'parsed_arguments'].includes(name) ? undefined : value,
    ),
  )
