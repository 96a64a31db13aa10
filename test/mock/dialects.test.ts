// The mock as OpenAI and as Gemini: what each vendor would have written (spec/wire.md §2, §3), byte for byte where it is short.

import t from 'tap'
import type { Mock, Step } from '../../src/mock/server.ts'
import { matchAll } from '../helpers/match.ts'
import { type Answer, ask, eventsOf, mockFor, namesOf } from './ask.ts'

const tools = [{ type: 'function', function: { name: 'w' } }]
const usage: Step['usage'] = {
  input_tokens: 10,
  output_tokens: 20,
  cache_read_input_tokens: 5,
  ephemeral_5m_input_tokens: 3,
  ephemeral_1h_input_tokens: 4,
  web_search_requests: 2,
  service_tier: 'priority',
}
const said: Step = { thinking: ['hm', ' …'], chunks: ['Let ', 'me 🙂'], tools: [{ name: 'w', input: { a: 1 } }], usage }
const told = {
  ...usage,
  cache_creation_input_tokens: 7,
  ephemeral_5m_input_tokens: 0,
  ttl_30m_tokens: 7,
  ttl_12h_tokens: 0,
  ephemeral_1h_input_tokens: 0,
}

const chat = (mock: Mock, body: object = {}) =>
  ask(mock, { path: '/v1/chat/completions', body: { model: 'gpt', messages: [], ...body } })
const responses = (mock: Mock, body: object = {}) =>
  ask(mock, { path: '/v1/responses', body: { model: 'gpt', input: 'hi', ...body } })
const gemini = (mock: Mock, verb: string, body: object = {}) =>
  ask(mock, { path: `/v1beta/models/gemini-3:${verb}`, body: { contents: [], ...body } })

/** The data of a stream without event names. */
const dataOf = (text: string) => [...text.matchAll(/^data: (.*)\r?$/gm)].map(([, data]) => data!.trimEnd())
const json = (answer: Answer) => JSON.parse(answer.text)

t.test('chat, whole', async t => {
  const mock = await mockFor(t, [said, { text: 'Hi' }, { text: 'Hi', stopReason: 'length' }])
  const answer = await chat(mock, { tools })
  const { id } = json(answer)
  t.match(id, /^chatcmpl-[0-9a-f]{24}$/)
  const [call] = json(answer).choices[0].message.tool_calls
  t.match(call.id, /^call_.{10,35}$/, 'at most 40 characters')
  t.same(json(answer), {
    id,
    object: 'chat.completion',
    created: 1_793_000_000,
    model: 'gpt',
    service_tier: 'priority',
    system_fingerprint: `fp_${id.slice(9, 19)}`,
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: 'Let me 🙂',
          refusal: null,
          reasoning_content: 'hm …',
          tool_calls: [{ id: call.id, type: 'function', function: { name: 'w', arguments: '{"a":1}' } }],
        },
        logprobs: null,
        finish_reason: 'tool_calls',
      },
    ],
    usage: {
      prompt_tokens: 22,
      prompt_tokens_details: { cached_tokens: 5, cache_write_tokens: 7 },
      completion_tokens: 20,
      completion_tokens_details: { reasoning_tokens: 2 },
      total_tokens: 42,
    },
  })
  t.same(mock.stats('k').bodies[0]!.usage, { ...told, web_search_requests: 0 }, 'what this dialect can say')
  matchAll(t, json(await chat(mock, { tools })), { service_tier: 'default', choices: [{ finish_reason: 'stop' }] })
  matchAll(t, json(await chat(mock)), { choices: [{ finish_reason: 'length', message: { content: 'Hi' } }] })
})

t.test('chat, streamed: the usage comes only when it was asked for', async t => {
  const mock = await mockFor(t, said)
  const asked = { stream: true, tools, stream_options: { include_usage: true } }
  const all = dataOf((await chat(mock, asked)).text)
  t.equal(all.pop(), '[DONE]')
  const chunks = all.map(data => JSON.parse(data))
  const last = chunks.pop()
  matchAll(t, last, {
    object: 'chat.completion.chunk',
    choices: [],
    usage: { prompt_tokens: 22, completion_tokens: 20 },
  })
  t.ok(chunks.every(chunk => chunk.usage === null && chunk.id === last.id && chunk.choices.length === 1))
  const [{ id }] = chunks[5].choices[0].delta.tool_calls
  const piece = (text: string) => ({ tool_calls: [{ index: 0, function: { arguments: text } }] })
  t.same(
    chunks.map(chunk => chunk.choices[0].delta),
    [
      { role: 'assistant', content: '', refusal: null },
      { reasoning_content: 'hm' },
      { reasoning_content: ' …' },
      { content: 'Let ' },
      { content: 'me 🙂' },
      { tool_calls: [{ index: 0, id, type: 'function', function: { name: 'w', arguments: '' } }] },
      ...['{"a', '":1', '}'].map(piece),
      {},
    ],
  )
  t.same(
    chunks.map(chunk => chunk.choices[0].finish_reason),
    [...Array(9).fill(null), 'tool_calls'],
  )

  const unasked = await chat(mock, { stream: true, tools })
  t.notMatch(unasked.text, /usage/)
  t.match(unasked.text, /^data: \{[^\n]*\}\n\ndata: [\s\S]*\n\ndata: \[DONE\]\n\n$/)
  t.same(
    mock.stats('k').bodies.map(seen => seen.usage),
    [{ ...told, web_search_requests: 0 }, null],
    'nothing is told that nobody asked for',
  )
})

t.test('responses, whole', async t => {
  const mock = await mockFor(t, [said, { text: 'Hi', stopReason: 'max_output_tokens' }])
  const answer = json(await responses(mock, { tools }))
  const [reasoning, message, call] = answer.output
  t.match(answer, {
    id: /^resp_[0-9a-f]+$/,
    object: 'response',
    model: 'gpt',
    status: 'completed',
    error: null,
    incomplete_details: null,
    service_tier: 'priority',
    tool_usage: { web_search: { num_requests: 2 } },
  })
  t.same(answer.usage, {
    input_tokens: 22,
    input_tokens_details: { cached_tokens: 5, cache_write_tokens: 7 },
    output_tokens: 20,
    output_tokens_details: { reasoning_tokens: 2 },
    total_tokens: 42,
  })
  matchAll(t, reasoning, { id: /^rs_/, type: 'reasoning', summary: [{ type: 'summary_text', text: 'hm …' }] })
  const content = [{ type: 'output_text', text: 'Let me 🙂' }]
  t.match(message, { id: /^msg_/, type: 'message', role: 'assistant', status: 'completed', content })
  t.match(call, { id: /^fc_/, type: 'function_call', call_id: /^call_/, name: 'w', arguments: '{"a":1}' })
  t.same(mock.stats('k').bodies[0]!.usage, told)
  t.match(json(await responses(mock)), {
    status: 'incomplete',
    incomplete_details: { reason: 'max_output_tokens' },
    service_tier: 'default',
  })
})

t.test('responses, streamed: the grammar that the SDK insists on', async t => {
  const mock = await mockFor(t, said)
  const { text } = await responses(mock, { stream: true, tools })
  const events = eventsOf(text)
  t.ok(events.every(({ name, data }, nth) => data.type === name && data.sequence_number === nth))
  const item = (...inner: string[]) => ['output_item.added', ...inner, 'output_item.done']
  t.same(
    namesOf(text),
    [
      'created',
      'in_progress',
      ...item(
        'reasoning_summary_part.added',
        'reasoning_summary_text.delta',
        'reasoning_summary_text.delta',
        'reasoning_summary_text.done',
        'reasoning_summary_part.done',
      ),
      ...item('content_part.added', 'output_text.delta', 'output_text.delta', 'output_text.done', 'content_part.done'),
      ...item(...Array(3).fill('function_call_arguments.delta'), 'function_call_arguments.done'),
      'completed',
    ].map(name => `response.${name}`),
  )
  const added = events.filter(({ name }) => name.endsWith('item.added')).map(({ data }) => data)
  t.same(
    added.map(data => data['output_index']),
    [0, 1, 2],
  )
  const ids = added.map(data => (data['item'] as { id: string }).id)
  const inner = events.filter(({ data }) => data['item_id'] !== undefined)
  t.ok(inner.every(({ data }) => ids[data['output_index'] as number] === data['item_id']))
  const done = events.filter(({ name }) => name.endsWith('item.done')).map(({ data }) => data['item'])
  const { response } = events.at(-1)!.data as { response: { output: unknown } }
  t.same(response.output, done, 'what is done is the output')
  matchAll(t, events[0]!.data, { response: { status: 'in_progress', output: [], usage: null } })
  t.match(response, { status: 'completed', usage: { input_tokens: 22 }, service_tier: 'priority' })
})

t.test('errors of OpenAI: refusals, and in the middle of a stream', async t => {
  const limited: Step = {
    status: 429,
    error: { message: 'slow', details: { param: 'p' } },
    headers: { 'retry-after': '7' },
  }
  const mock = await mockFor(t, [limited, { error: { type: 'server_error' } }, { status: 418 }, {}])
  const first = await chat(mock)
  t.match(first, { status: 429, headers: { 'retry-after': '7' } })
  const error = { message: 'slow', type: 'requests', param: 'p', code: 'rate_limit_exceeded' }
  t.same(json(first), { error })
  t.match(await responses(mock), { status: 500, text: /"type":"server_error","param":null,"code":null/ })
  t.equal((await chat(mock)).status, 418)
  t.match(await ask(mock, { path: '/v1/responses', credential: '' }), { status: 401, text: /API key/ })
  t.match(await ask(mock, { path: '/v1/responses', body: Buffer.from('{') }), { status: 400, text: /invalid_request/ })
  t.match(await ask(mock, { path: '/v1/responses', body: {} }), { status: 400, text: /model/ })
  t.equal((await ask(mock, { path: '/v1/chat/completions', method: 'GET' })).status, 405)

  mock.script('k', { status: 429, errorAt: 2 })
  t.match(await chat(mock, { stream: true }), { status: 200, text: /"code":"rate_limit_exceeded"/ }, 'inside a 200')
  t.equal((await chat(mock)).status, 429, 'without a stream it is a refusal')
  mock.script('k', { error: { message: 'no more' }, errorAt: 2 })
  const [, , failed, ...rest] = dataOf((await chat(mock, { stream: true })).text)
  t.same(JSON.parse(failed!), { error: { message: 'no more', type: 'server_error', param: null, code: null } })
  t.same(rest, [], 'nothing comes behind it, not even [DONE]')
  const { text } = await responses(mock, { stream: true })
  const order = ['response.created', 'response.in_progress', 'error', 'response.failed']
  t.same(namesOf(text), order)
  t.match(eventsOf(text).at(-2)!.data, { type: 'error', sequence_number: 2, error: { message: 'no more' } })
  t.match(eventsOf(text).at(-1)!.data, {
    sequence_number: 3,
    response: { status: 'failed', error: { message: 'no more' } },
  })
})

const counts = {
  promptTokenCount: 15,
  candidatesTokenCount: 18,
  totalTokenCount: 35,
  cachedContentTokenCount: 5,
  thoughtsTokenCount: 2,
  trafficType: 'ON_DEMAND',
}

t.test('gemini, whole, as a stream and as an array', async t => {
  const mock = await mockFor(t, said)
  const whole = json(await gemini(mock, 'generateContent', { tools }))
  const { responseId } = whole
  const [, , { functionCall, thoughtSignature }] = whole.candidates[0].content.parts
  t.match(thoughtSignature, /^[A-Za-z0-9+/]+=*$/, 'standard base64')
  const call = { functionCall: { id: functionCall.id, name: 'w', args: { a: 1 } }, thoughtSignature }
  const parts = [{ text: 'hm …', thought: true }, { text: 'Let me 🙂' }, call]
  t.same(whole, {
    candidates: [{ content: { parts, role: 'model' }, finishReason: 'STOP', index: 0 }],
    usageMetadata: counts,
    modelVersion: 'gemini-3',
    responseId,
  })
  const billed = { ...told, cache_creation_input_tokens: 0, ttl_30m_tokens: 0, web_search_requests: 0 }
  t.same(mock.stats('k').bodies[0]!.usage, { ...billed, service_tier: '' }, 'what this dialect can say')

  const { text, headers } = await gemini(mock, 'streamGenerateContent?alt=sse', { tools })
  t.match(headers, { 'content-type': /^text\/event-stream/ })
  t.notMatch(text, /[^\r]\n|event:/, 'CRLF, and no names')
  const chunks = dataOf(text).map(data => JSON.parse(data))
  t.same(
    chunks.map(chunk => chunk.candidates[0].content.parts),
    [
      [{ text: 'hm', thought: true }],
      [{ text: ' …', thought: true }],
      [{ text: 'Let ' }],
      [{ text: 'me 🙂' }],
      [
        {
          ...call,
          functionCall: { ...call.functionCall, id: chunks[4].candidates[0].content.parts[0].functionCall.id },
        },
      ],
      [{ text: '' }],
    ],
  )
  t.same(
    chunks.map(chunk => chunk.candidates[0].finishReason),
    [...Array(5).fill(undefined), 'STOP'],
  )
  t.same(chunks.at(-1).usageMetadata, counts)
  const output = chunks.map(
    ({ usageMetadata: { candidatesTokenCount = 0, thoughtsTokenCount = 0 } }) =>
      candidatesTokenCount + thoughtsTokenCount,
  )
  t.same(
    output,
    [...output].sort((a, b) => a - b),
    'the usage grows',
  )

  const array = await gemini(mock, 'streamGenerateContent', { tools })
  t.match(array, { headers: { 'content-type': 'application/json' }, text: /^\[\{.*\}\r\n,\r\n\{.*\}\]$/s })
  t.equal(array.headers['content-length'], undefined, 'it is written as it comes')
  t.match(
    json(array),
    chunks.map(({ usageMetadata }) => ({ usageMetadata })),
  )
  matchAll(t, mock.stats('k').bodies, [
    { model: 'gemini-3', stream: false, events: 2 },
    { model: 'gemini-3', stream: true, events: 6 },
    { model: 'gemini-3', stream: true, events: 6 },
  ])
})

t.test('one question may be answered in two ways', async t => {
  const mock = await mockFor(t, { text: 'Hi' })
  for (const [query, begins] of [
    ['?alt=sse', 'data: {'],
    ['', '[{'],
    ['?alt=sse', 'data: {'],
  ] as const)
    t.equal((await gemini(mock, `streamGenerateContent${query}`)).text.slice(0, begins.length), begins)
})

t.test('errors of Gemini', async t => {
  const mock = await mockFor(t, [{ status: 429, error: { details: { reason: 'QUOTA' } } }, {}])
  const first = await gemini(mock, 'generateContent')
  t.equal(first.status, 429)
  matchAll(t, json(first), { error: { code: 429, status: 'RESOURCE_EXHAUSTED', details: [{ reason: 'QUOTA' }] } })
  t.match(await ask(mock, { path: '/v1beta/models/m:generateContent', credential: '' }), { status: 403 })
  t.match(await ask(mock, { path: '/v1beta/models/m:generateContent', body: Buffer.from('[') }), { status: 400 })
  t.match(await ask(mock, { path: '/v1beta/models/m:dance' }), { status: 404, text: /"status":"NOT_FOUND"/ })
  t.match(json(await gemini(mock, 'countTokens')), { totalTokens: 4 })
  mock.script('k', { error: { type: 'UNAVAILABLE' }, errorAt: 1 })
  t.match(JSON.parse(dataOf((await gemini(mock, 'streamGenerateContent?alt=sse')).text)[1]!), { error: { code: 503 } })
  matchAll(t, json(await gemini(mock, 'streamGenerateContent')), [
    { candidates: [{}] },
    { error: { status: 'UNAVAILABLE' } },
  ])
})

t.test('the path says who answers, and every answer the id of its record', async t => {
  const mock = await mockFor(t)
  const ids = []
  for (const [path, vendor] of [
    ['/v1/messages', 'request-id'],
    ['/v1/chat/completions', 'x-request-id'],
    ['/v1/responses', 'x-request-id'],
    ['/v1beta/models/a%2Fb:generateContent', undefined],
    ['/v1/models/a:generateContent', undefined],
    ['/v1/nothing', 'request-id'],
  ] as const) {
    const { headers } = await ask(mock, { path, body: { model: 'm', stream: true } })
    const { id } = mock.stats('k').bodies.at(-1)!
    t.equal(headers['x-mock-request-id'], id, path)
    for (const name of ['request-id', 'x-request-id']) t.equal(headers[name], name === vendor ? id : undefined, name)
    ids.push(id)
  }
  t.equal(new Set(ids).size, ids.length)
  t.equal(mock.stats('k').bodies[3]!.model, 'a/b')
  t.equal(
    (await ask(mock, { path: '/v1beta/models/%ff:generateContent' })).status,
    200,
    'a name that cannot be decoded',
  )
  t.equal(mock.stats('k').bodies.at(-1)!.model, '%ff')
  t.match(await ask(mock, { path: '/v1/models', method: 'GET' }), { status: 200, text: /claude/ })
})

t.test('what one dialect is told to say, another says in its words or not at all', async t => {
  const mock = await mockFor(t, { usage: { ...usage, service_tier: 'fast' } })
  const { text } = await ask(mock)
  const [start, ...rest] = eventsOf(text)
  t.match(start!.data, { message: { usage: { speed: 'fast', service_tier: 'standard', server_tool_use: undefined } } })
  t.match(rest.at(-2)!.data, { usage: { server_tool_use: { web_search_requests: 2, web_fetch_requests: 0 } } })
  t.equal(mock.stats('k').bodies[0]!.usage?.service_tier, 'fast')
  t.match(json(await chat(mock)), { service_tier: 'fast' })
  t.equal(mock.stats('k').billed.web_search_requests, 2)
})
