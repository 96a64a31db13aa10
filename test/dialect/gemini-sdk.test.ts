// Google's own client as the judge: what it sends is understood, and what is written for it is read, with each vendor behind.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ApiError, type GenerateContentResponse, GoogleGenAI } from '@google/genai'
import t from 'tap'
import type { DialectName } from '../../src/dialect/dialect.ts'
import { gemini } from '../../src/dialect/gemini/gemini.ts'
import { Failure } from '../../src/lib/failure.ts'
import { type Translated, translate } from '../helpers/translate.ts'

/** What stands behind: a stream as its vendor sends it, or a whole answer. */
interface Upstream {
  dialect: DialectName
  stream?: string
  whole?: object
  /** ends the client's stream otherwise */
  fail?: Failure
}

interface Judge {
  client: GoogleGenAI
  /** what each request was translated to, in order */
  asked: Translated[]
}

/** A server on this machine that translates; its streams come in small pieces with pings between them. */
async function judged(t: Tap.Test, upstream: (n: number) => Upstream): Promise<Judge> {
  const asked: Translated[] = []
  const answer = async (req: IncomingMessage, res: ServerResponse) => {
    const pieces: Buffer[] = []
    for await (const piece of req) pieces.push(piece as Buffer)
    const { dialect, stream, whole, fail } = upstream(asked.length)
    const translated = translate('gemini', dialect, Buffer.concat(pieces).toString(), { path: req.url! })
    asked.push(translated)
    if (whole) {
      res.writeHead(200, { 'content-type': 'application/json' })
      res.end(translated.translation.whole(json(whole)) ?? '')
      return
    }
    if (stream === undefined) {
      res.writeHead(fail!.status, { 'content-type': 'application/json' })
      res.end(gemini.error(fail!, 'id-1'))
      return
    }
    res.writeHead(200, { 'content-type': gemini.streamType })
    const relay = translated.translation.streaming()
    for (const piece of stream.match(/[\s\S]{1,90}/g) ?? []) res.write(relay.push(Buffer.from(piece)) + gemini.ping)
    if (fail) res.end(gemini.errorFrame(fail, 'id-1'))
    else res.end(relay.end())
  }
  const server = createServer((req, res) => void answer(req, res).catch(error => res.destroy(error)))
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const client = new GoogleGenAI({ apiKey: 'k', vertexai: false, httpOptions: { baseUrl: `http://127.0.0.1:${port}` } })
  return { client, asked }
}
declare namespace Tap {
  type Test = { teardown(done: () => void): void }
}

const json = (value: unknown) => Buffer.from(JSON.stringify(value))
type Said = { type: string } & Record<string, unknown>
const named = (events: Said[]) =>
  events.map(event => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('')

const block = (index: number, content_block: object, ...deltas: object[]): Said[] => [
  { type: 'content_block_start', index, content_block },
  ...deltas.map(delta => ({ type: 'content_block_delta', index, delta })),
  { type: 'content_block_stop', index },
]
const claude = (stop_reason: string, ...blocks: Said[][]) =>
  named([
    {
      type: 'message_start',
      message: {
        id: 'msg_1',
        type: 'message',
        role: 'assistant',
        model: 'up',
        content: [],
        stop_reason: null,
        usage: { input_tokens: 10, cache_read_input_tokens: 5, output_tokens: 1 },
      },
    },
    ...blocks.flat(),
    {
      type: 'message_delta',
      delta: { stop_reason, stop_sequence: null },
      usage: { output_tokens: 8, output_tokens_details: { thinking_tokens: 3 } },
    },
    { type: 'message_stop' },
  ])
const thinking = (index: number, text: string, signature: string) =>
  block(
    index,
    { type: 'thinking', thinking: '', signature: '' },
    { type: 'thinking_delta', thinking: text },
    { type: 'signature_delta', signature },
  )
const said = (index: number, ...texts: string[]) =>
  block(index, { type: 'text', text: '' }, ...texts.map(text => ({ type: 'text_delta', text })))
const called = (index: number, id: string, input: string) =>
  block(
    index,
    { type: 'tool_use', id, name: 'f', input: {} },
    { type: 'input_json_delta', partial_json: input.slice(0, 3) },
    { type: 'input_json_delta', partial_json: input.slice(3) },
  )

const chunk = (delta: object, finish_reason: string | null = null) =>
  `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'up', choices: [{ index: 0, delta, finish_reason }] })}\n\n`
const chatCall = (index: number, id: string, args: string) =>
  chunk({ tool_calls: [{ index, id, type: 'function', function: { name: 'f', arguments: args } }] })
const chatUsage = `data: ${JSON.stringify({ id: 'c', choices: [], usage: { prompt_tokens: 15, completion_tokens: 8, total_tokens: 23, prompt_tokens_details: { cached_tokens: 5 }, completion_tokens_details: { reasoning_tokens: 3 } } })}\n\ndata: [DONE]\n\n`

const item = (type: string, more: object): Said => ({ type, sequence_number: 0, ...more })
const functionItem = (n: number, id: string, args: string) => ({
  id: `fc_${n}`,
  type: 'function_call',
  call_id: id,
  name: 'f',
  arguments: args,
  status: 'completed',
})
const response = (status: string, output: object[]) => ({
  id: 'resp_1',
  object: 'response',
  status,
  model: 'up',
  output,
  usage: {
    input_tokens: 15,
    input_tokens_details: { cached_tokens: 5 },
    output_tokens: 8,
    output_tokens_details: { reasoning_tokens: 3 },
    total_tokens: 23,
  },
})
const message = {
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  status: 'completed',
  content: [{ type: 'output_text', text: 'Hello you', annotations: [] }],
}
const responses = named([
  item('response.created', { response: { ...response('in_progress', []), usage: null } }),
  item('response.output_item.added', { output_index: 0, item: { ...message, status: 'in_progress', content: [] } }),
  item('response.content_part.added', {
    item_id: 'msg_1',
    output_index: 0,
    content_index: 0,
    part: { type: 'output_text', text: '', annotations: [] },
  }),
  item('response.output_text.delta', { item_id: 'msg_1', output_index: 0, content_index: 0, delta: 'Hello' }),
  item('response.output_text.delta', { item_id: 'msg_1', output_index: 0, content_index: 0, delta: ' you' }),
  item('response.output_text.done', { item_id: 'msg_1', output_index: 0, content_index: 0, text: 'Hello you' }),
  item('response.output_item.done', { output_index: 0, item: message }),
  ...[
    ['a', '{"n":1}'],
    ['b', '{"n":2}'],
  ].flatMap(([id, args], n) => [
    item('response.output_item.added', {
      output_index: n + 1,
      item: { ...functionItem(n, id!, ''), status: 'in_progress' },
    }),
    item('response.function_call_arguments.delta', { item_id: `fc_${n}`, output_index: n + 1, delta: args }),
    item('response.function_call_arguments.done', { item_id: `fc_${n}`, output_index: n + 1, arguments: args }),
    item('response.output_item.done', { output_index: n + 1, item: functionItem(n, id!, args!) }),
  ]),
  item('response.completed', {
    response: response('completed', [message, functionItem(0, 'a', '{"n":1}'), functionItem(1, 'b', '{"n":2}')]),
  }),
])

const vendors: Record<string, Upstream> = {
  claude: {
    dialect: 'messages',
    stream: claude(
      'tool_use',
      thinking(0, 'T', 'U0lH'),
      said(1, 'Hello', ' you'),
      called(2, 'a', '{"n":1}'),
      called(3, 'b', '{"n":2}'),
    ),
  },
  chat: {
    dialect: 'chat',
    stream:
      chunk({ role: 'assistant', content: 'Hello' }) +
      chunk({ content: ' you' }) +
      chatCall(0, 'a', '{"n":1}') +
      chatCall(1, 'b', '{"n":2}') +
      chunk({}, 'tool_calls') +
      chatUsage,
  },
  responses: { dialect: 'responses', stream: responses },
}
const tools = [
  {
    functionDeclarations: [
      {
        name: 'f',
        description: 'does f',
        parametersJsonSchema: { type: 'object', properties: { n: { type: 'integer' } } },
      },
    ],
  },
]
const thinkingConfig = { includeThoughts: true, thinkingLevel: 'LOW' as never }

async function gathered(stream: AsyncGenerator<GenerateContentResponse>) {
  const chunks: GenerateContentResponse[] = []
  for await (const one of stream) chunks.push(one)
  // Pings are chunks, too, and one comes after the last.
  const last = chunks.findLast(one => one.usageMetadata)
  const parts = chunks.flatMap(one => one.candidates?.[0]?.content?.parts ?? [])
  return {
    text: parts
      .filter(part => !part.thought)
      .map(part => part.text ?? '')
      .join(''),
    calls: chunks.flatMap(one => one.functionCalls ?? []),
    finish: last?.candidates?.[0]?.finishReason,
    usage: last?.usageMetadata,
    models: new Set(chunks.flatMap(one => one.modelVersion ?? [])),
    parts,
  }
}

for (const [vendor, upstream] of Object.entries(vendors))
  t.test(`a stream with text and two calls, from ${vendor}`, async t => {
    const { client, asked } = await judged(t, () => upstream)
    const config = { tools, thinkingConfig, systemInstruction: 'S', maxOutputTokens: 99 }
    const got = await gathered(await client.models.generateContentStream({ model: 'mine', contents: 'hi', config }))
    t.equal(got.text, 'Hello you')
    t.strictSame(got.calls, [
      { id: 'a', name: 'f', args: { n: 1 } },
      { id: 'b', name: 'f', args: { n: 2 } },
    ])
    t.equal(got.finish, 'STOP')
    t.strictSame(got.usage, {
      promptTokenCount: 15,
      cachedContentTokenCount: 5,
      candidatesTokenCount: 5,
      thoughtsTokenCount: 3,
      totalTokenCount: 23,
    })
    t.strictSame([...got.models], ['mine'])
    t.equal(asked[0]!.translation.asking.body.includes('"S"'), true)
    if (vendor !== 'claude') return
    t.strictSame(
      got.parts.filter(part => part.thought).map(part => part.text),
      ['T'],
    )
    for (const { thoughtSignature } of got.parts)
      if (thoughtSignature)
        t.equal(Buffer.from(thoughtSignature, 'base64').toString('base64'), thoughtSignature, 'bytes')
  })

t.test('a conversation of two turns brings its reasoning back', async t => {
  const { client, asked } = await judged(t, n =>
    n === 0 ? vendors['claude']! : { dialect: 'messages', stream: claude('end_turn', said(0, 'Done')) },
  )
  const chat = client.chats.create({ model: 'mine', config: { tools, thinkingConfig, maxOutputTokens: 99 } })
  const first = await gathered(await chat.sendMessageStream({ message: 'hi' }))
  const results = first.calls.map(({ id, name }) => ({
    functionResponse: { id: id!, name: name!, response: { output: `of ${id}` } },
  }))
  const second = await gathered(await chat.sendMessageStream({ message: results }))
  t.equal(second.text, 'Done')
  const [, assistant, user] = asked[1]!.asked.messages
  t.strictSame(
    assistant.content.map((part: { type: string }) => part.type),
    ['thinking', 'text', 'tool_use', 'tool_use'],
  )
  t.strictSame(assistant.content[0], { type: 'thinking', thinking: 'T', signature: 'U0lH' })
  t.strictSame(
    user.content.map((part: { tool_use_id: string }) => part.tool_use_id),
    ['a', 'b'],
  )
  t.equal(asked[1]!.dropped, '')
})

t.test('a whole answer, a schema, and what a filter took', async t => {
  const whole = (stop_reason: string, text: string) => ({
    id: 'm',
    type: 'message',
    role: 'assistant',
    model: 'up',
    content: [{ type: 'text', text }],
    stop_reason,
    stop_sequence: null,
    usage: { input_tokens: 3, output_tokens: 2 },
  })
  const answers = [whole('end_turn', '{"a":1}'), whole('refusal', 'No'), whole('max_tokens', 'cut')]
  const { client, asked } = await judged(t, n => ({ dialect: 'messages', whole: answers[n]! }))
  const config = {
    responseMimeType: 'application/json',
    responseJsonSchema: { type: 'object', properties: { a: { type: 'integer' } } },
    maxOutputTokens: 9,
  }
  const first = await client.models.generateContent({ model: 'm', contents: 'x', config })
  t.strictSame(
    [first.text, first.candidates![0]!.finishReason, first.usageMetadata!.totalTokenCount],
    ['{"a":1}', 'STOP', 5],
  )
  t.match(asked[0]!.translation.asking.body, /"properties":\{"a":/)
  const second = await client.models.generateContent({ model: 'm', contents: 'x' })
  t.strictSame([second.text, second.candidates![0]!.finishReason], ['No', 'SAFETY'])
  const third = await client.models.generateContent({ model: 'm', contents: 'x' })
  t.strictSame([third.text, third.candidates![0]!.finishReason], ['cut', 'MAX_TOKENS'])
})

t.test('errors are the client’s own, before and in a stream', async t => {
  const failure = new Failure('KEY_RATE_LIMITED', ['5 per minute'], { retryAfterMs: 2000 })
  const before = await judged(t, () => ({ dialect: 'messages', fail: failure }))
  const refused = await before.client.models.generateContent({ model: 'm', contents: 'x' }).catch(error => error)
  t.ok(refused instanceof ApiError)
  t.equal(refused.status, 429)
  t.match(refused.message, /RESOURCE_EXHAUSTED.*"retryDelay":"2s"/s)
  const begun = claude('end_turn', said(0, 'Hello')).split('event: message_delta')[0]!
  const inside = await judged(t, () => ({
    dialect: 'messages',
    stream: begun,
    fail: new Failure('UPSTREAM_OVERLOADED'),
  }))
  const stream = await inside.client.models.generateContentStream({ model: 'm', contents: 'x' })
  let text = ''
  const broken = await (async () => {
    for await (const one of stream) text += one.text ?? ''
  })().catch(error => error)
  t.equal(text, 'Hello')
  t.ok(broken instanceof ApiError, String(broken))
  const cut = await judged(t, () => ({ dialect: 'messages', stream: begun }))
  const truncated = await gathered(await cut.client.models.generateContentStream({ model: 'm', contents: 'x' })).catch(
    error => error,
  )
  t.ok(truncated instanceof ApiError, 'trap 4: a stream that broke off is an error in this dialect')
})
