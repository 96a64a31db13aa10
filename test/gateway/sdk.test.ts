// The official Anthropic SDK against the gateway: what its users call, and what they catch.

import Anthropic, { APIError } from '@anthropic-ai/sdk'
import type { Test } from 'tap'
import t from 'tap'
import type { Step } from '../../src/mock/step.ts'
import { gateway, only, type Setup, type TestGateway } from '../helpers/gateway.ts'
import { matchAll } from '../helpers/match.ts'

const model = 'claude-sonnet-5-5'
const ask = { model, max_tokens: 64, messages: [{ role: 'user' as const, content: 'hello' }] }

/** A gateway and the SDK pointed at it. It does not retry: every request that is made should be seen. */
async function withSdk(t: Test, setup?: Setup): Promise<{ gw: TestGateway; client: Anthropic }> {
  const gw = await gateway(t, setup)
  return { gw, client: new Anthropic({ baseURL: gw.url, apiKey: gw.key, maxRetries: 0 }) }
}

async function thrown(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    error => error,
  )
}

t.test('messages: whole, streamed, with tools and thinking', async t => {
  const { gw, client } = await withSdk(t)
  const usage = { input_tokens: 12, output_tokens: 5 }

  gw.mock.script('*', { text: 'hi there', usage })
  const whole = await client.messages.create(ask)
  matchAll(t, whole, {
    type: 'message',
    model,
    content: [{ type: 'text', text: 'hi there' }],
    stop_reason: 'end_turn',
    usage,
  })
  t.match(whole._request_id, /^[0-9a-f-]{36}$/, 'with an id to ask us about')

  gw.mock.script('*', { chunks: ['hi', ' ', 'there'], pings: 1, usage })
  const stream = client.messages.stream(ask)
  const pieces: string[] = []
  stream.on('text', text => pieces.push(text))
  matchAll(t, await stream.finalMessage(), { model, content: [{ text: 'hi there' }], stop_reason: 'end_turn', usage })
  t.strictSame(pieces, ['hi', ' ', 'there'])
  const types: string[] = []
  for await (const event of await client.messages.create({ ...ask, stream: true })) types.push(event.type)
  t.equal(types[0], 'message_start')
  t.equal(types.at(-1), 'message_stop')

  const tools = [{ name: 'look', input_schema: { type: 'object' as const } }]
  const input = { q: 'Grüße 🦊', deep: { list: [1, 2.5, null, true] } }
  gw.mock.script('*', { text: 'let me see', tools: [{ name: 'look', input, id: 'toolu_1' }] })
  const calls = [{ type: 'text' }, { type: 'tool_use', id: 'toolu_1', name: 'look', input }]
  t.match(await client.messages.create({ ...ask, tools }), { content: calls, stop_reason: 'tool_use' })
  t.match(await client.messages.stream({ ...ask, tools }).finalMessage(), { content: calls, stop_reason: 'tool_use' })

  gw.mock.script('*', { thinking: ['first ', 'this'], text: 'so' })
  const thinking = { type: 'enabled' as const, budget_tokens: 1024 }
  const thought = await client.messages.stream({ ...ask, thinking }).finalMessage()
  matchAll(t, thought.content, [
    { type: 'thinking', thinking: 'first this', signature: /./ },
    { type: 'text', text: 'so' },
  ])

  gw.mock.script('*', { usage: { input_tokens: 321 } })
  t.strictSame(await client.messages.countTokens({ model, messages: ask.messages }), { input_tokens: 321 })

  const rows = await gw.usage(6)
  t.equal(rows.length, 6, 'counting tokens is free')
  t.equal(gw.mock.stats().requests, 7, 'nothing was asked twice')
})

t.test('models: the list ends, and each can be retrieved', async t => {
  const { gw, client } = await withSdk(t, { accounts: [{ models: { 'claude-b': 'b', 'claude-a': 'a' } }] })
  const ids: string[] = []
  for await (const { id } of client.models.list({ limit: 1 })) ids.push(id)
  t.strictSame(ids, ['claude-a', 'claude-b'])
  t.match(await client.models.retrieve('claude-b'), { id: 'claude-b', type: 'model', display_name: 'claude-b' })
  t.type(await thrown(client.models.retrieve('claude-c')), Anthropic.NotFoundError)
  await gw.set.key('alice', { models: ['claude-b'] })
  t.strictSame(
    (await client.models.list()).data.map(({ id }) => id),
    ['claude-b'],
    'only what the key may use',
  )
  await gw.set.key('alice', { models: [] })
  await gw.set.account('a1', { model_map: {} })
  t.ok(
    (await client.models.list()).data.some(({ id }) => id === model),
    'an account without a map serves what its vendor does',
  )
  t.equal(gw.mock.stats().requests, 0, 'the provider is not asked for it')
})

t.test('errors are thrown as the classes that programs catch', async t => {
  const breaks: [step: Step, type: string][] = [
    [{ error: { type: 'overloaded_error' }, errorAt: 4 }, 'overloaded_error'],
    [{ reset: 4 }, 'api_error'],
    [{ end: 4 }, 'api_error'],
  ]
  const { gw, client } = await withSdk(t, {
    accounts: [
      ...[400, 401, 429, 529].flatMap(status => [...only(`${status}`, {}, {}), ...only(`${status} streamed`, {}, {})]),
      ...breaks.flatMap(([step], i) => only(`break ${i}`, { script: { chunks: ['a', 'b', 'c'], ...step } }, {})),
    ],
  })
  const failing = async (upstream: number, message = 'no') => {
    const before = gw.mock.stats().requests
    gw.mock.script('*', { status: upstream, error: { message } })
    const error = (await thrown(client.messages.create({ ...ask, model: `${upstream}` }))) as APIError
    const streamed = (await thrown(
      client.messages.stream({ ...ask, model: `${upstream} streamed` }).finalMessage(),
    )) as APIError
    t.equal(streamed.constructor, error.constructor, 'the same for a stream')
    t.equal(error.requestID, error.headers?.get('x-request-id'))
    const { status, type, apiMessage } = error
    return { class: error.constructor, status, type, apiMessage, asked: gw.mock.stats().requests - before }
  }
  t.strictSame(await failing(429), {
    class: Anthropic.RateLimitError,
    status: 429,
    type: 'rate_limit_error',
    apiMessage: 'Upstream rate limit exceeded, please retry later.',
    asked: 4,
  })
  const overloaded = await failing(529)
  t.ok(
    overloaded.class === Anthropic.InternalServerError ||
      overloaded.class.prototype instanceof Anthropic.InternalServerError,
  )
  t.match(overloaded, { status: 503, type: 'overloaded_error', asked: 4 })
  t.match(await failing(401), {
    class: Anthropic.InternalServerError,
    status: 502,
    type: 'api_error',
    asked: 4,
  })
  t.match(await failing(400, 'prompt is too long: 2 tokens > 1 maximum'), {
    class: Anthropic.BadRequestError,
    type: 'invalid_request_error',
    apiMessage: 'prompt is too long: 2 tokens > 1 maximum',
    asked: 2,
  })

  const stranger = new Anthropic({ baseURL: gw.url, apiKey: 'sk-nobody', maxRetries: 0 })
  const unknown = (await thrown(stranger.messages.create(ask))) as APIError
  t.type(unknown, Anthropic.AuthenticationError)
  t.match(unknown, { status: 401, type: 'authentication_error', apiMessage: 'This API key is not known.' })

  for (const [i, [step, type]] of breaks.entries()) {
    const before = gw.mock.stats().requests
    const seen: string[] = []
    const stream = client.messages.stream({ ...ask, model: `break ${i}` }).on('text', text => seen.push(text))
    const error = (await thrown(stream.finalMessage())) as APIError
    t.ok(error instanceof APIError, `${JSON.stringify(step)} is an error of the API, not of the parser`)
    t.equal(error.type, type)
    t.strictSame(seen, ['a', 'b'], 'after what had come')
    t.equal(gw.mock.stats().requests - before, 1)
  }
})

t.test('a client that cancels is heard by the provider', async t => {
  const { gw, client } = await withSdk(t, { accounts: [{ script: { hold: 4 } }] })
  const stream = client.messages.stream(ask)
  stream.on('text', () => stream.abort())
  t.type(await thrown(stream.finalMessage()), Anthropic.APIUserAbortError)
  t.match(await gw.mock.until(stats => stats.inFlight === 0, undefined, 5_000), { aborted: 1, completed: 0 })
})

t.test('the SDK’s own retries do not multiply ours', async t => {
  const { gw } = await withSdk(t, { accounts: [{ name: 'a' }, { name: 'b' }] })
  const client = new Anthropic({ baseURL: gw.url, apiKey: gw.key, maxRetries: 2 })
  gw.mock.script('*', [{ status: 500 }, { text: 'second' }])
  matchAll(t, await client.messages.create(ask), { content: [{ text: 'second' }] })
  t.equal(gw.mock.stats().requests, 2)
  t.equal(gw.mock.stats().bodies[1]!.headers['x-stainless-retry-count'], '0', 'it never noticed')
  gw.mock.reset()
  gw.mock.script('*', { status: 400 })
  t.type(await thrown(client.messages.create(ask)), Anthropic.BadRequestError)
  t.equal(gw.mock.stats().requests, 1)
})
