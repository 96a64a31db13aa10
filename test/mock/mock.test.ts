// The mock as a provider: the official SDK against it, its grammar, scripts and the stats it keeps.

import { createHash } from 'node:crypto'
import http from 'node:http'
import { gzipSync } from 'node:zlib'
import Anthropic from '@anthropic-ai/sdk'
import t from 'tap'
import { matchAll } from '../helpers/match.ts'
import { ask, eventsOf, mockFor, namesOf, streaming, whole } from './ask.ts'

const sha256 = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex')
const client = (baseURL: string, apiKey = 'k') => new Anthropic({ apiKey, baseURL, maxRetries: 0 })
const tool = { name: 'weather', description: '', input_schema: { type: 'object' as const } }

t.test('the official SDK creates, streams, counts and lists', async t => {
  const mock = await mockFor(t)
  const sdk = client(mock.url)
  const question = { model: 'claude-sonnet-5-5', max_tokens: 64, messages: [{ role: 'user' as const, content: 'hi' }] }

  const created = await sdk.messages.create(question)
  t.match(created, { type: 'message', role: 'assistant', model: 'claude-sonnet-5-5', stop_reason: 'end_turn' })
  t.match(created._request_id, /^req_mock/)

  const final = await sdk.messages.stream(question).finalMessage()
  matchAll(t, final.content, [{ type: 'text', text: /^This is claude-sonnet-5-5, answering \d+ bytes\.$/ }])
  const { bytes } = mock.stats('k').bodies.at(-1)!
  t.equal(final.usage.input_tokens, Math.ceil(bytes / 4))

  t.match(await sdk.messages.countTokens(question), { input_tokens: Number })

  const ids: string[] = []
  for await (const model of sdk.models.list({ limit: 2 })) ids.push(model.id)
  t.equal(ids.length, 5)
  t.equal(new Set(ids).size, 5)
  t.equal(mock.stats().bodies.filter(seen => seen.path === '/v1/models').length, 3, 'three pages of two')
  t.match(await sdk.models.retrieve('claude-opus-5-5'), { type: 'model', display_name: 'Claude Opus 5.5' })
  await t.rejects(sdk.models.retrieve('gpt-6'), { message: /^404 .*not_found_error/ })
})

t.test('thinking, text and tool calls come as blocks, streamed and whole', async t => {
  const input = { city: 'Zürich', days: [1, 2] }
  const mock = await mockFor(t, {
    thinking: ['hm', ' …'],
    chunks: ['Let me ', 'see 🙂'],
    tools: [{ name: 'weather', input }],
  })
  const sdk = client(mock.url)
  const question = { ...whole, messages: [{ role: 'user' as const, content: 'hi' }], stream: false as const }
  const content = [
    { type: 'thinking', thinking: 'hm …', signature: /./ },
    { type: 'text', text: 'Let me see 🙂' },
    { type: 'tool_use', name: 'weather', input, id: /^toolu_/ },
  ]
  const streamed = await sdk.messages.stream({ ...question, tools: [tool] }).finalMessage()
  t.match(streamed, { stop_reason: 'tool_use', content })
  t.match(await sdk.messages.create({ ...question, tools: [tool] }), { stop_reason: 'tool_use', content })
  t.match(
    await sdk.messages.create(question),
    { stop_reason: 'end_turn', content: content.slice(0, 2) },
    'no tools, no call',
  )
})

t.test('a stream follows the grammar', async t => {
  const mock = await mockFor(t, { chunks: ['a', 'b', 'c'], thinking: 'hm', pings: 2 })
  const { text, headers } = await ask(mock)
  t.equal(headers['content-type'], 'text/event-stream; charset=utf-8')
  const block = (...inner: string[]) => ['content_block_start', ...inner, 'content_block_stop']
  const delta = 'content_block_delta'
  const blocks = [...block(delta, delta, 'ping'), ...block(delta, delta, 'ping', delta)]
  t.same(namesOf(text), ['message_start', ...blocks, 'message_delta', 'message_stop'])
  for (const { name, data } of eventsOf(text)) t.equal(data.type, name)
})

t.test('usage is reported as scripted and billed to the sums', async t => {
  const cache = { cache_read_input_tokens: 70, ephemeral_5m_input_tokens: 20, ephemeral_1h_input_tokens: 30 }
  const mock = await mockFor(t, [
    { usage: { input_tokens: 10, output_tokens: 5, ...cache } },
    { usage: { input_tokens: 1, output_tokens: 1, cache_creation_input_tokens: 9 } },
    { status: 529 },
  ])
  const [start, ...rest] = eventsOf((await ask(mock)).text)
  const split = { ephemeral_5m_input_tokens: 20, ephemeral_1h_input_tokens: 30 }
  const side = { input_tokens: 10, cache_read_input_tokens: 70, cache_creation_input_tokens: 50 }
  t.match(start?.data, { message: { usage: { ...side, output_tokens: 1, cache_creation: split } } })
  t.match(rest.at(-2)?.data, { delta: { stop_reason: 'end_turn' }, usage: { ...side, output_tokens: 5 } })

  const unsplit = JSON.parse((await ask(mock, { body: whole })).text).usage
  t.equal(unsplit.cache_creation, undefined, 'a total alone is not split on the wire')
  await ask(mock)
  t.same(mock.stats('k').billed, {
    requests: 2,
    input_tokens: 11,
    output_tokens: 6,
    cache_creation_input_tokens: 59,
    cache_read_input_tokens: 70,
    ephemeral_5m_input_tokens: 29,
    ephemeral_1h_input_tokens: 30,
    ttl_30m_tokens: 0,
    ttl_12h_tokens: 0,
    web_search_requests: 0,
  })
  t.same(mock.stats('k').statuses, { 200: 2, 529: 1 })
})

t.test('steps are used in order, per credential and per path; the last repeats', async t => {
  const mock = await mockFor(t, [{ status: 429 }, { on: '/v1/models', status: 401 }, { text: 'fine' }])
  mock.script('*', { status: 503 })
  const statuses = [
    (await ask(mock)).status,
    (await ask(mock)).status,
    (await ask(mock, { method: 'GET', path: '/v1/models' })).status,
    (await ask(mock, { method: 'GET', path: '/v1/models' })).status,
    (await ask(mock, { credential: 'other' })).status,
  ]
  t.same(statuses, [429, 200, 401, 200, 503])
  t.match(await ask(mock, { credential: '' }), { status: 401, text: /authentication_error/ })
})

t.test('the key may come in every way clients send it', async t => {
  const mock = await mockFor(t)
  const bare = { method: 'GET', credential: '', path: '/v1/models' }
  const send = (url: string, headers: Record<string, string>) =>
    new Promise(resolve =>
      http.get(`${mock.url}${url}`, { headers, agent: false }, res => resolve(res.resume().statusCode)),
    )
  t.equal(await send('/v1/models', { authorization: 'Bearer a' }), 200)
  t.equal(await send('/v1/models', { 'x-goog-api-key': 'b' }), 200)
  t.equal(await send('/v1/models?limit=1&key=c', {}), 200)
  t.equal((await ask(mock, { ...bare, credential: 'd', headers: { authorization: 'Bearer x' } })).status, 200)
  t.same(
    mock.stats().bodies.map(seen => seen.credential),
    ['a', 'b', 'c', 'd'],
  )
})

t.test('a record proves which bytes came and went', async t => {
  let clock = 1000
  const mock = await mockFor(t, { text: 'ü' }, { now: () => clock++, keep: 2 })
  await ask(mock)
  const body = Buffer.from(
    `{ "tools": [{"model": "no", "stream": true}], "stream" : false, "model": "m\\u0061x", "big": "${'x'.repeat(70_000)}" }`,
  )
  const answer = await ask(mock, {
    body: gzipSync(body),
    path: '/v1/messages?beta=true',
    headers: { 'content-encoding': 'gzip' },
  })
  const small = await ask(mock)
  const [big, last] = mock.stats('k').bodies
  t.match(big, {
    path: '/v1/messages',
    query: 'beta=true',
    method: 'POST',
    model: 'max',
    stream: false,
    outcome: 'completed',
  })
  t.match(big, {
    sha256: sha256(gzipSync(body)),
    bytes: gzipSync(body).length,
    headers: { 'content-encoding': 'gzip' },
  })
  t.match(big, {
    responseSha256: sha256(answer.body),
    responseBytes: answer.body.length,
    id: answer.headers['request-id'],
  })
  t.match(last, { body: JSON.stringify(streaming), responseSha256: sha256(small.body), status: 200, stream: true })
  t.ok(last!.at < last!.closedAt!)
  t.not(big!.connection, last!.connection)
  t.equal(mock.stats().requests, 3)
  t.equal(mock.stats().bodies.length, 2)

  await ask(mock, { body: Buffer.alloc(100_000, ' ') })
  t.match(mock.stats().bodies.at(-1), { body: null, bytes: 100_000, status: 400 }, 'a large body is not kept')
})

t.test('errors come in the envelope of the vendor', async t => {
  const limited = {
    status: 429,
    error: { message: 'slow down', details: { error_code: 'x' } },
    headers: { 'Retry-After': '7' },
  }
  const mock = await mockFor(t, [limited, { error: { type: 'overloaded_error' } }, { status: 502, body: '<html>' }, {}])
  const first = await ask(mock)
  t.match(first, { status: 429, headers: { 'retry-after': '7', 'content-type': 'application/json' } })
  const error = { type: 'rate_limit_error', message: 'slow down', details: { error_code: 'x' } }
  t.same(JSON.parse(first.text), { type: 'error', error, request_id: first.headers['request-id'] })
  t.equal((await ask(mock)).status, 529)
  t.match(await ask(mock), { status: 502, text: '<html>', headers: { 'content-type': 'text/html' } })
  t.match(await ask(mock, { body: Buffer.from('{') }), { status: 400, text: /invalid_request_error.*not valid JSON/ })
  t.match(await ask(mock, { body: {} }), { status: 400, text: /model: Field required/ })
  t.match(await ask(mock, { path: '/v1/nothing' }), { status: 404, text: /not_found_error/ })
  t.match(await ask(mock, { path: '/v1/messages', method: 'GET' }), { status: 405 })
})

t.test('a request nobody expected is refused and counted', async t => {
  const mock = await mockFor(t, [{}, { expect: 'nothing more' }])
  t.equal((await ask(mock)).status, 200)
  t.equal((await ask(mock)).status, 500)
  t.equal(mock.stats('k').unexpected, 1)
})
