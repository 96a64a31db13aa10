// Each dialect in its own words, from the first byte on: bytes that pass unchanged, routes, lists, errors.
import type http from 'node:http'
import t from 'tap'
import { gateway } from '../helpers/gateway.ts'
import { type Lane, laneNames, lanes } from '../helpers/lanes.ts'
import { serving } from '../helpers/serving.ts'

const auth: Record<string, (key: string) => Record<string, string>> = {
  anthropic: key => ({ 'x-api-key': key, 'anthropic-version': '2023-06-01' }),
  'openai-chat': key => ({ authorization: `Bearer ${key}` }),
  'openai-responses': key => ({ authorization: `Bearer ${key}` }),
  gemini: key => ({ 'x-goog-api-key': key }),
  antigravity: key => ({ 'x-goog-api-key': key }),
}

// What re-serialising would change: a byte order mark, white space, the order of keys, digits, an escape that needs none, keys twice.
const odd = '"b\\u00fc" : 123456789012345678901234567890 ,\r\n\t"10":1.50,"2":{ },"x-unknown":[1e30,"\\/"],"a":null'
const paths: Record<Lane, (action: string) => string> = {
  anthropic: () => '/v1/messages',
  'openai-chat': () => '/v1/chat/completions',
  'openai-responses': () => '/v1/responses',
  gemini: action => `/v1beta/models/m-1:${action}`,
  antigravity: action => `/v1beta/models/gemini-3.1-pro-low:${action}`,
}
const bodies: Record<Lane, string> = {
  anthropic: `{"stream":true,${odd},"model":"m-1","max_tokens":9,"messages":[{"role":"user","content":"hü"}] }`,
  'openai-chat': `{"stream":true,"stream_options":{"include_usage":true},${odd},"model":"m-1","messages":[{"role":"user","content":"hü"}] }`,
  'openai-responses': `{"stream":true,${odd},"model":"m-1","input":"hü" }`,
  gemini: `{${odd},"contents":[{"role":"user","parts":[{"text":"hü"}]}] }`,
  antigravity: `{${odd},"contents":[{"role":"user","parts":[{"text":"hü"}]}] }`,
}
const more = '"n":123456789012345678901234567890,"z":{"10":1,"2":"ü🦊"}'
const chatChunk = (rest: string) =>
  `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m-1",${more},${rest}}\r\n\r\n`
const streams: Record<Lane, string> = {
  anthropic: [
    `event: message_start\r\ndata: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"m-1","content":[],"usage":{"input_tokens":3,"output_tokens":1},${more}}}\r\n\r\n`,
    ': a comment\r\n\r\n',
    'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n',
    `event: content_block_delta\ndata:{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"grün 🦊"},${more}}\n\n`,
    'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n',
    'event: hologram\ndata: {"type":"hologram"}\n\n',
    'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}\n\n',
    'event: message_stop\ndata: {"type":"message_stop"}\n\n',
  ].join(''),
  'openai-chat': [
    chatChunk('"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]'),
    ': a comment\n\n',
    chatChunk('"choices":[{"index":0,"delta":{"content":"grün 🦊"},"finish_reason":null}]'),
    chatChunk('"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]'),
    chatChunk('"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}'),
    'data: [DONE]\n\n',
  ].join(''),
  'openai-responses': [
    `event: response.created\r\ndata: {"type":"response.created","sequence_number":0,"response":{"id":"r","model":"m-1","status":"in_progress","output":[],${more}}}\r\n\r\n`,
    'event: response.hologram\ndata: {"type":"response.hologram"}\n\n',
    `event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":1,"output_index":0,"delta":"grün 🦊",${more}}\n\n`,
    'event: response.completed\ndata: {"type":"response.completed","sequence_number":2,"response":{"id":"r","model":"m-1","status":"completed","output":[],"usage":{"input_tokens":3,"output_tokens":5,"total_tokens":8}}}\n\n',
  ].join(''),
  gemini: [
    `data: {"candidates":[{"content":{"role":"model","parts":[{"text":"grün 🦊"}]},"index":0}],"modelVersion":"m-1","responseId":"r-1",${more}}\r\n\r\n`,
    'data: {"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":5,"totalTokenCount":8},"modelVersion":"m-1","responseId":"r-1"}\r\n\r\n',
  ].join(''),
  antigravity: '',
}
const wrapped = (line: string) => line.replace(/^data: (.*)/gm, 'data: {"response":$1,"traceId":"t-1"}')

t.test('the same dialect on both sides: bytes pass, whatever they are (trap 13)', async t => {
  let asked = Buffer.alloc(0)
  let at: http.IncomingMessage | undefined
  let answer = ''
  let piece = 1
  const url = await serving(t, async (req, res) => {
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk as Buffer)
    asked = Buffer.concat(chunks)
    at = req
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    const bytes = Buffer.from(answer)
    // Cut in the middle of characters and line ends.
    for (let from = 0; from < bytes.length; from += piece) res.write(bytes.subarray(from, from + piece))
    res.end()
  })
  const gw = await gateway(t)
  const keys = await lanes(gw, { baseUrl: url })
  const ask = (lane: Lane, path: string, bom = '') => {
    const headers = { 'content-type': 'application/json', ...auth[lane]!(keys[lane]) }
    return fetch(gw.url + path, { method: 'POST', headers, body: bom + bodies[lane] })
  }
  let rows = 0
  for (const lane of laneNames.filter(lane => lane !== 'antigravity'))
    for (piece of [1, 7, 1000]) {
      answer = streams[lane]
      const reply = await ask(lane, paths[lane]('streamGenerateContent') + (lane === 'gemini' ? '?alt=sse' : ''))
      t.equal(reply.status, 200, lane)
      t.equal(Buffer.from(await reply.arrayBuffer()).toString(), answer, `${lane} in pieces of ${piece}`)
      t.equal(asked.toString(), bodies[lane], `${lane}: the request`)
      t.equal(reply.headers.get('x-gw-dropped'), null)
      rows++
    }
  const booked = await gw.usage(rows)
  for (const row of booked)
    t.match(row, { input_tokens: 3, output_tokens: 5, partial: false }, `${row.platform} is metered`)

  t.test('in an envelope, what is inside passes', async t => {
    answer = wrapped(streams.gemini)
    piece = 5
    const reply = await ask('antigravity', `${paths.antigravity('streamGenerateContent')}?alt=sse`)
    t.equal(await reply.text(), streams.gemini)
    t.equal(at?.url, '/v1internal:streamGenerateContent?alt=sse')
    t.ok(asked.includes(odd), 'the request, too')
    const { model, project, request } = JSON.parse(asked.toString())
    t.strictSame([model, project, request.contents.length], ['gemini-3.1-pro-low', 'proj-1', 1])
  })

  t.test('who asks for a stream without alt=sse is given one array', async t => {
    for (const lane of ['gemini', 'antigravity'] as const) {
      answer = lane === 'gemini' ? streams.gemini : wrapped(streams.gemini)
      const reply = await ask(lane, paths[lane]('streamGenerateContent'))
      t.match(reply.headers.get('content-type'), /^application\/json/)
      const text = await reply.text()
      const elements = streams.gemini.split('\r\n\r\n').flatMap(event => (event ? [event.replace(/^data: /, '')] : []))
      t.equal(text, `[${elements.join('\r\n,\r\n')}]`, `${lane}: each element to the byte`)
    }
    answer = streams.gemini.split('\r\n\r\n')[0] + '\r\n\r\n'
    const broken = await (await ask('gemini', paths.gemini('streamGenerateContent'))).json()
    const [first, last, ...rest] = broken as { [field: string]: unknown }[]
    t.ok(first?.['candidates'], 'also when it breaks off')
    t.match(last, { error: { code: 502, status: String } })
    t.equal(rest.length, 0)
  })
})

t.test('errors come in the words of whoever asks, known or not', async t => {
  const gw = await gateway(t)
  const ask = async (path: string, headers: Record<string, string> = {}, method = 'POST') => {
    const reply = await fetch(gw.url + path, {
      method,
      headers,
      ...(method === 'POST' ? { body: '{"model":"m"}' } : {}),
    })
    return { status: reply.status, body: (await reply.json()) as Record<string, unknown> }
  }
  const anthropic = { type: 'error', error: { type: String, message: String }, request_id: String }
  const openai = { error: { message: String, type: String, code: String, param: null } }
  const google = { error: { code: Number, message: String, status: String } }
  const shapes: [string, object, Record<string, string>?][] = [
    ['/v1/messages', anthropic],
    ['/v1/messages/batches', anthropic],
    ['/v1/responses', openai],
    ['/responses', openai],
    ['/v1/responses/resp_1/cancel', openai],
    ['/v1/chat/completions', openai],
    ['/v1/embeddings', openai],
    ['/v1beta/models/m:generateContent', google],
    ['/v1beta/models/m/generateContent', google],
    ['/v1/models/m:generateContent', google],
    ['/v1beta/models/m:predictLongRunning', google],
    ['/v1beta/interactions', google],
    ['/v1beta/decisions', google],
    ['/v1beta/cachedContents', google],
    ['/antigravity/v1/messages', anthropic],
    ['/antigravity/v1beta/models/m:countTokens', google],
    ['/v1/files', openai],
    ['/v1/files', anthropic, { 'anthropic-version': '2023-06-01' }],
    ['/v1/files', google, { 'x-goog-api-key': 'x' }],
    ['/nowhere', anthropic],
  ]
  for (const [path, shape, headers] of shapes) {
    const { status, body } = await ask(path, headers)
    t.ok([401, 404].includes(status), `${path} ${status}`)
    t.match(body, shape, path)
    t.strictSame(
      Object.keys(body['error'] as object).includes('status'),
      shape === google,
      `${path}: of one vendor only`,
    )
  }
  t.match((await ask('/v1beta/models/m:predictLongRunning')).body, {
    error: { message: /Unsupported action: predictLongRunning/ },
  })
  t.match((await ask('/v1beta/interactions')).body, {
    error: { code: 404, status: 'NOT_FOUND', message: /interactions/ },
  })
  t.match((await ask('/v1/responses/resp_1', {}, 'GET')).body, { error: { message: /not stored here/ } })
  t.match((await ask('/v1/responses/compact')).body, { error: { message: /compaction_trigger as the last item/ } })
})

t.test('a key sees its models in the words of its client', async t => {
  const gw = await gateway(t)
  const keys = await lanes(gw, { group: { unknown_model: 'reject' } })
  const get = async (path: string, headers: Record<string, string>) =>
    (await (await fetch(gw.url + path, { headers })).json()) as Record<string, { [field: string]: unknown }[]>
  const key = keys.gemini
  const google = await get('/v1beta/models', { 'x-goog-api-key': key })
  const names = google['models']!.map(model => String(model['name']))
  t.ok(names.every(name => name.startsWith('models/')))
  t.strictSame(names, [...names].sort(), 'sorted')
  t.strictSame((await get(`/v1beta/models?key=${key}`, {}))['models']!.length, names.length)
  t.match(await get('/v1/models', { 'x-goog-api-key': key }), google)
  const openai = await get('/v1/models', { authorization: `Bearer ${key}` })
  t.match(openai, { object: 'list' })
  t.strictSame(
    openai['data']!.map(model => `models/${model['id']}`),
    names,
    'the same for all',
  )
  t.match(openai['data']![0], { object: 'model', created: Number, owned_by: String })
  const anthropic = await get('/v1/models', { 'x-api-key': key, 'anthropic-version': '2023-06-01' })
  t.match(anthropic, { has_more: false, first_id: String, last_id: String })
  t.match(anthropic['data']![0], { type: 'model', display_name: String, created_at: String })
  const one = names[0]!.slice(7)
  t.match(await get(`/v1beta/models/${one}`, { 'x-goog-api-key': key }), { name: `models/${one}` })
  t.match(await get(`/v1/models/${one}`, { authorization: `Bearer ${key}` }), { id: one, object: 'model' })
  t.match(await get('/v1beta/models/none', { 'x-goog-api-key': key }), { error: { code: 404, status: 'NOT_FOUND' } })
})

t.test('another vendor’s word for a service mode is left out, named, and not billed', async t => {
  const gw = await gateway(t)
  const keys = await lanes(gw, { group: { unknown_model: 'reject' } }, ['anthropic'])
  const ask = (path: string, headers: Record<string, string>, body: object) =>
    fetch(gw.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ model: 'claude-sonnet-5-5', messages: [{ role: 'user', content: 'hi' }], ...body }),
    })
  const reply = await ask('/v1/chat/completions', auth['openai-chat']!(keys.anthropic), { service_tier: 'flex' })
  t.equal(reply.status, 200)
  t.equal(reply.headers.get('x-gw-dropped'), 'service_tier')
  const [row] = await gw.usage(1)
  t.match(row, { mode: null, partial: false })
  const own = await ask('/v1/messages', auth['anthropic']!(keys.anthropic), { max_tokens: 9, speed: 'fast' })
  t.match(await own.json(), { error: { code: 'MODE_UNPRICED' } }, 'its own is refused where nobody knows what it costs')
})

t.test('what is left out is named in a header that every client can read, whatever its fields are called', async t => {
  const gw = await gateway(t)
  const keys = await lanes(gw, {}, ['anthropic'])
  const dropped = async (fields: object) => {
    const answers = [false, true].map(async stream => {
      const reply = await fetch(`${gw.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...auth['openai-chat']!(keys.anthropic) },
        body: JSON.stringify({ model: 'm-1', stream, messages: [{ role: 'user', content: 'hi' }], ...fields }),
        signal: AbortSignal.timeout(10_000),
      })
      t.match(await reply.text(), /answering/, 'it is answered')
      return reply.headers.get('x-gw-dropped')!
    })
    const [whole, streamed] = await Promise.all(answers)
    t.equal(whole, streamed)
    return whole!
  }
  t.equal(
    await dropped({ 'naïve\r\nx-evil: 1': 1, '🦊 \ud800': 1, 'a,b%': 1 }),
    'a%2Cb%25, na%C3%AFve%0D%0Ax-evil:%201, %F0%9F%A6%8A%20%EF%BF%BD',
  )
  const many = await dropped(Object.fromEntries(Array.from({ length: 3000 }, (_, n) => [`field_${n}`, n])))
  t.match(many, /^field_0, field_1, .*, and \d{4} more$/)
  t.ok(many.length < 2_100, 'and no client gives up on it')
  t.ok((await dropped({ ['x'.repeat(5_000)]: 1 })).length < 200)
})

t.test('a name of a model leads to no other path of its upstream', async t => {
  let asked: string[] = []
  const url = await serving(t, (req, res) => {
    asked.push(req.url!)
    req.resume().on('end', () => {
      res.writeHead(200, { 'content-type': 'application/json' })
      res.end('{"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"STOP"}],"usageMetadata":{}}')
    })
  })
  const gw = await gateway(t)
  const keys = await lanes(gw, { baseUrl: url }, ['gemini'])
  const ask = async (path: string, body: object) => {
    asked = []
    const reply = await fetch(gw.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...auth['gemini']!(keys.gemini) },
      body: JSON.stringify(body),
    })
    await reply.text()
    return [reply.status, ...asked]
  }
  const native = { contents: [{ role: 'user', parts: [{ text: 'hi' }] }] }
  const models: [name: string, path?: string][] = [
    ['m-1', 'm-1'],
    ['models/m-1', 'm-1'],
    ['vendor/m-1', 'vendor/m-1'],
    ['m?a=b#c', 'm%3Fa%3Db%23c'],
    ['m%2e%2e', 'm%252e%252e'],
    ['m$&', 'm%24%26'],
    ['../../v1internal/m'],
    ['a/../b'],
    ['a/./b'],
    ['..'],
    ['a\\..\\b'],
  ]
  for (const [model, path] of models) {
    const want = path === undefined ? [400] : [200, `/v1beta/models/${path}:generateContent`]
    const chat = { model, messages: [{ role: 'user', content: 'hi' }] }
    t.strictSame(await ask('/v1/chat/completions', chat), want, `${model}, translated`)
    t.strictSame(
      await ask(`/v1beta/models/${encodeURIComponent(model)}:generateContent`, native),
      want,
      `${model}, passing`,
    )
  }
})

t.test('an answer that is too large to be held whole is none, whoever must hold it', async t => {
  const megabyte = 'x'.repeat(1 << 20)
  const said = (text: string) => `{"candidates":[{"content":{"parts":[{"text":"${text}"}]},"finishReason":"STOP"}]}`
  let type = 'application/json'
  const url = await serving(t, (req, res) => {
    req.resume().on('end', () => {
      res.writeHead(200, { 'content-type': type })
      if (type === 'application/json') res.end(`{"response":${said(megabyte.repeat(33))}}`)
      else res.end(`data: ${said(megabyte)}\n\n`.repeat(33))
    })
  })
  const gw = await gateway(t)
  const keys = await lanes(gw, { baseUrl: url }, ['gemini', 'antigravity'])
  const ask = async (key: string, path: string, body: object) => {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${key}` }
    const reply = await fetch(gw.url + path, { method: 'POST', headers, body: JSON.stringify(body) })
    await reply.bytes()
    return reply.status
  }
  const contents = [{ role: 'user', parts: [{ text: 'hi' }] }]
  t.equal(await ask(keys.antigravity, paths.antigravity('generateContent'), { contents }), 503, 'out of its envelope')
  type = 'text/event-stream'
  const chat = { model: 'm-1', messages: [{ role: 'user', content: 'hi' }] }
  t.equal(await ask(keys.gemini, '/v1/chat/completions', chat), 503, 'gathered from a stream, and translated')
})
