// The mock as whole providers: proofs of thinking, tokens that are refreshed, Antigravity's envelope, embeddings, counts and models.
import t from 'tap'
import type { Mock, Step } from '../../src/mock/server.ts'
import { matchAll } from '../helpers/match.ts'
import { mockFor } from './ask.ts'

interface Reply {
  status: number
  // biome-ignore lint/suspicious/noExplicitAny: whatever the vendor writes
  json: any
  text: string
}

/** Asks as a vendor's client does that has this key. */
async function post(mock: Mock, path: string, key: string, body: unknown): Promise<Reply> {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
  return answered(await fetch(mock.url + path, { method: 'POST', headers, body: JSON.stringify(body) }))
}
async function get(mock: Mock, path: string, headers: Record<string, string>): Promise<Reply> {
  return answered(await fetch(mock.url + path, { headers }))
}
async function answered(reply: Response): Promise<Reply> {
  const text = await reply.text()
  return {
    status: reply.status,
    text,
    json: text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : undefined,
  }
}

const user = (text: string) => ({ role: 'user', content: text })
const tool = { name: 'w', input: { a: 1 } }

/** Of each dialect: how it is asked, where its proof stands, and what a history with it looks like. */
const dialects: {
  name: string
  path: string
  first: object
  proof(json: Reply['json']): string
  second(json: Reply['json'], proof: string): object
  refusal: object
}[] = [
  {
    name: 'messages',
    path: '/v1/messages',
    first: { model: 'm', max_tokens: 9, messages: [user('hi')] },
    proof: json => json.content[0].signature,
    second: (json, signature) => ({
      ...{ model: 'm', max_tokens: 9 },
      messages: [user('hi'), { role: 'assistant', content: [{ ...json.content[0], signature }] }, user('and?')],
    }),
    refusal: {
      error: {
        type: 'invalid_request_error',
        message: 'messages.1.content.0: Invalid `signature` in `thinking` block',
      },
    },
  },
  {
    name: 'responses',
    path: '/v1/responses',
    first: { model: 'm', input: 'hi' },
    proof: json => json.output[0].encrypted_content,
    second: (json, encrypted_content) => ({ model: 'm', input: [{ ...json.output[0], encrypted_content }] }),
    refusal: {
      error: { code: 'invalid_encrypted_content', message: /^The encrypted content .{11} could not be verified/ },
    },
  },
  {
    name: 'gemini',
    path: '/v1beta/models/m:generateContent',
    first: { contents: [] },
    proof: json => json.candidates[0].content.parts.at(-1).thoughtSignature,
    second: (_, thoughtSignature) => ({ contents: [{ role: 'model', parts: [{ text: 'a', thoughtSignature }] }] }),
    refusal: { error: { code: 400, status: 'INVALID_ARGUMENT', message: 'Corrupted thought signature.' } },
  },
  {
    name: 'antigravity',
    path: '/v1internal:generateContent',
    first: { model: 'm', request: { contents: [] } },
    proof: json => json.response.candidates[0].content.parts.at(-1).thoughtSignature,
    second: (_, thoughtSignature) => ({
      ...{ model: 'm', request: { contents: [{ role: 'model', parts: [{ text: 'a', thoughtSignature }] }] } },
    }),
    refusal: { error: { code: 400, message: 'Corrupted thought signature.' } },
  },
]

t.test('each credential signs its thinking and takes no other proof, in the words of its vendor', async t => {
  for (const { name, path, first, proof, second, refusal } of dialects) {
    const mock = await mockFor(t)
    const step: Step = { thinking: 'first this', text: 'then that', proofs: 'own' }
    for (const key of ['a', 'b']) mock.script(key, step)
    const mine = (await post(mock, path, 'a', first)).json
    const value = proof(mine)
    t.match(value, /^[A-Za-z0-9+/]+=*$/, `${name}: standard base64`)
    t.equal(proof((await post(mock, path, 'a', first)).json), value, `${name}: the same for the same`)
    t.not(proof((await post(mock, path, 'b', first)).json), value, `${name}: another’s is another`)
    t.equal((await post(mock, path, 'a', second(mine, value))).status, 200, `${name}: its own`)
    const foreign = await post(mock, path, 'b', second(mine, value))
    t.match(foreign, { status: 400, json: refusal }, `${name}: another’s`)
    t.equal((await post(mock, path, 'a', second(mine, 'c2lnbmF0dXJl'))).status, 400, `${name}: nobody’s`)
    matchAll(
      t,
      [mock.stats('a'), mock.stats('b'), mock.stats()],
      [1, 1, 2].map(refusedProofs => ({ refusedProofs })),
    )

    mock.script('a', { ...step, proofs: 'own of the model' })
    const other = { ...second(mine, value), model: 'n' }
    t.equal((await post(mock, path.replace('/m:', '/n:'), 'a', other)).status, 400, `${name}: of another model`)
    mock.script('b', { text: 'fine' })
    t.equal((await post(mock, path, 'b', second(mine, value))).status, 200, `${name}: it looks only when told to`)
  }
  const mock = await mockFor(t, { thinking: 'first this', proofs: 'own' })
  const skip = { role: 'model', parts: [{ functionCall: {}, thoughtSignature: 'skip_thought_signature_validator' }] }
  t.equal((await post(mock, '/v1beta/models/m:generateContent', 'k', { contents: [skip] })).status, 200)
  const { content } = (await post(mock, '/v1/messages', 'k', dialects[0]!.first)).json
  const changed = [{ role: 'assistant', content: [{ ...content[0], thinking: 'something else' }] }]
  t.equal((await post(mock, '/v1/messages', 'k', { ...dialects[0]!.first, messages: changed })).status, 400)
})

t.test('a refresh token is good once, and its access token until it expires', async t => {
  let at = 0
  const mock = await mockFor(t, { thinking: 'hm', text: 'Hi', proofs: 'own' }, { now: () => at })
  const refresh = async (token: string, path = '/oauth/token') => {
    const body = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: token, client_id: 'c' })
    return answered(await fetch(mock.url + path, { method: 'POST', body }))
  }
  const one = await refresh('k')
  t.match(one, { status: 200, json: { token_type: 'Bearer', expires_in: 3600 } })
  t.match(await refresh('k'), { status: 400, json: { error: 'invalid_grant' } }, 'it was used before')
  const two = await refresh(one.json.refresh_token, '/token')
  t.not(two.json.access_token, one.json.access_token)
  const all = await Promise.all(Array.from({ length: 20 }, () => refresh(two.json.refresh_token)))
  t.equal(all.filter(({ status }) => status === 200).length, 1, 'one of many')
  t.match(mock.stats(), { refreshes: 3, refusedTokens: 20 })

  const ask = (token: string, body: object = dialects[0]!.first) => post(mock, '/v1/messages', token, body)
  const first = await ask(one.json.access_token)
  const history = dialects[0]!.second(first.json, first.json.content[0].signature)
  t.equal((await ask(two.json.access_token, history)).status, 200, 'proofs are the account’s, not the token’s')
  t.equal(mock.stats('k').requests, 2, 'so are scripts and stats')
  at = 3_600_000
  t.match(await ask(one.json.access_token), { status: 401, json: { error: { type: 'authentication_error' } } })

  mock.script('token', [{ token: { expiresIn: 1, rotates: false } }, { status: 500, error: { type: 'server_error' } }])
  t.match((await refresh('kept')).json, { expires_in: 1, refresh_token: 'kept' })
  t.match(await refresh('kept'), { status: 500, json: { error: 'server_error' } })
  mock.reset()
  const json = { grant_type: 'authorization_code', code: 'c' }
  t.match((await post(mock, '/token', '', json)).json, { access_token: 'mock-access.c.1' }, 'JSON, and a code')
  t.match(await post(mock, '/token', '', { grant_type: 'password' }), { status: 400, json: { error: /unsupported/ } })
  t.equal((await get(mock, '/token', {})).status, 405)
})

t.test('antigravity has Gemini in an envelope', async t => {
  const mock = await mockFor(t, { chunks: ['Let ', 'me'], tools: [tool], usage: { input_tokens: 5, output_tokens: 2 } })
  const ask = (verb: string, body: unknown) => post(mock, `/v1internal:${verb}`, 'k', body)
  const request = { contents: [], tools: [] }
  const whole = (await ask('generateContent', { model: 'gemini-3-flash', project: 'p', request })).json
  const said = { usageMetadata: { promptTokenCount: 5 }, modelVersion: 'gemini-3-flash' }
  t.match(whole, { response: said, traceId: /./ })
  matchAll(t, whole.response.candidates[0].content.parts, [
    { text: 'Let me' },
    { functionCall: { name: 'w', args: { a: 1 } } },
  ])
  const { text } = await ask('streamGenerateContent?alt=sse', { model: 'gemini-3-flash', request })
  const chunks = [...text.matchAll(/^data: (.*)\r$/gm)].map(([, data]) => JSON.parse(data!))
  t.same(
    chunks.map(({ response }) => response.candidates[0].content.parts[0].text),
    ['Let ', 'me', undefined, ''],
  )
  matchAll(t, mock.stats('k').bodies, [
    { model: 'gemini-3-flash', stream: false },
    { model: 'gemini-3-flash', stream: true },
  ])
  t.match(await ask('generateContent', { contents: [] }), { status: 400, text: /INVALID_ARGUMENT/ }, 'without it')
  t.match(await ask('generateContent', { request }), { status: 400, text: /Model is required/ })
  t.match((await ask('countTokens', { request: { model: 'models/m', contents: [] } })).json, { totalTokens: 5 })
  t.match((await ask('loadCodeAssist', {})).json, { cloudaicompanionProject: 'mock-project' })
  t.match((await ask('fetchAvailableModels', {})).json, { models: { 'gemini-3-flash': { quotaInfo: {} } } })
  t.match((await ask('onboardUser', {})).json, { done: true })
  t.match((await ask('retrieveUserQuota', {})).json.buckets[0], { remainingFraction: 1 })
  t.equal((await ask('nothing', {})).status, 404)
  mock.script('k', { status: 429, error: { details: { reason: 'QUOTA_EXHAUSTED' } } })
  const { error } = (await ask('generateContent', {})).json
  t.match(error, { code: 429, status: 'RESOURCE_EXHAUSTED' })
  t.same(error.details, [{ reason: 'QUOTA_EXHAUSTED' }])
})

t.test('embeddings, counts and models of OpenAI and Gemini', async t => {
  const mock = await mockFor(t, { usage: { input_tokens: 7, cache_read_input_tokens: 3, output_tokens: 9 } })
  const embed = (body: object) => post(mock, '/v1/embeddings', 'k', { model: 'e', ...body })
  const { json } = await embed({ input: ['a', 'b'] })
  t.match(json, { object: 'list', usage: { prompt_tokens: 7, total_tokens: 7 } })
  matchAll(t, json.data, [{ index: 0 }, { index: 1 }])
  const [a, b] = json.data.map((one: { embedding: number[] }) => one.embedding)
  t.notSame(a, b)
  const bytes = Buffer.from((await embed({ input: 'a', encoding_format: 'base64' })).json.data[0].embedding, 'base64')
  t.equal(bytes.readFloatLE(0), Math.fround(a[0]), 'the same as 32-bit floats')
  t.equal((await embed({ input: [1, 2, 3] })).json.data.length, 1, 'tokens are one text')
  t.match(mock.stats('k').billed, { requests: 3, input_tokens: 21, output_tokens: 0, cache_read_input_tokens: 0 })
  t.same((await post(mock, '/v1/responses/input_tokens', 'k', { model: 'm', input: 'hi' })).json, {
    object: 'response.input_tokens',
    input_tokens: 7,
  })

  const gemini = (verb: string, body: object) => post(mock, `/v1beta/models/e:${verb}`, 'k', body)
  const { embedding, usageMetadata } = (await gemini('embedContent', { content: { parts: [] } })).json
  t.equal(embedding.values.length, 8)
  t.match(usageMetadata, { promptTokenCount: 7 })
  const three = { requests: [{ content: 'a' }, { content: 'b' }, { content: 'a' }] }
  const { embeddings } = (await gemini('batchEmbedContents', three)).json
  t.same(embeddings[0], embeddings[2])
  t.notSame(embeddings[0], embeddings[1])
  t.same((await gemini('countTokens', { contents: [] })).json, { totalTokens: 7 })

  const bearer = { authorization: 'Bearer k' }
  t.match((await get(mock, '/v1/models', bearer)).json.data[0], { owned_by: 'openai' })
  t.match((await get(mock, '/v1/models/gpt-6-sol', bearer)).json, { id: 'gpt-6-sol', object: 'model' })
  t.match(await get(mock, '/v1/models/none', bearer), { status: 404, text: /model_not_found/ })
  const anthropic = { ...bearer, 'anthropic-version': '2023-06-01' }
  t.match((await get(mock, '/v1/models', anthropic)).json, { first_id: /claude/ }, 'the path is shared')
  const google = { 'x-goog-api-key': 'k' }
  const page = (await get(mock, '/v1beta/models?pageSize=3', google)).json
  t.match(page, { nextPageToken: '3' })
  matchAll(t, page.models, [{ name: 'models/gemini-3.8-flash' }, {}, {}])
  t.equal((await get(mock, `/v1/models?pageToken=${page.nextPageToken}`, google)).json.models.length, 1)
  t.match((await get(mock, '/v1beta/models/gemini-3.6-flash', google)).json, { name: 'models/gemini-3.6-flash' })
  t.match(await get(mock, '/v1beta/models/none', google), { status: 404, text: /NOT_FOUND/ })
})

t.test('a refusal in each dialect’s way, and calls whose fragments are mixed', async t => {
  const mock = await mockFor(t, { refusal: 'I will not.' })
  const chat = { model: 'm', messages: [] }
  const message = (await post(mock, '/v1/messages', 'k', { model: 'm' })).json
  t.same(message.content, [])
  t.match(message, {
    stop_reason: 'refusal',
    stop_details: { type: 'refusal', explanation: 'I will not.' },
  })
  const [choice] = (await post(mock, '/v1/chat/completions', 'k', chat)).json.choices
  t.match(choice, { message: { content: null, refusal: 'I will not.' }, finish_reason: 'stop' })
  const { status, output } = (await post(mock, '/v1/responses', 'k', { model: 'm' })).json
  t.equal(status, 'completed')
  t.same(output[0].content, [{ type: 'refusal', refusal: 'I will not.' }])
  const [candidate] = (await post(mock, '/v1beta/models/m:generateContent', 'k', {})).json.candidates
  t.same(candidate.content.parts, [])
  t.match(candidate, { finishReason: 'SAFETY', finishMessage: 'I will not.' })
  const streamed = (await post(mock, '/v1/chat/completions', 'k', { ...chat, stream: true })).text
  t.match(streamed, /"delta":\{"refusal":"I will"\}|"delta":\{"refusal":"I"\}/)

  mock.script('k', { tools: [tool, { name: 'v', input: { b: 2 } }], interleaved: true })
  const { text } = await post(mock, '/v1/chat/completions', 'k', { ...chat, stream: true, tools: [] })
  const indexes = [...text.matchAll(/"tool_calls":\[\{"index":(\d)/g)].map(([, index]) => Number(index))
  t.same(indexes.slice(0, 6), [0, 1, 0, 1, 0, 1])
})
