// The Gemini dialect's face: what is read of a request, and what passes byte for byte.
import t from 'tap'
import type { Dialect } from '../../src/dialect/dialect.ts'
import { gemini, geminiArray } from '../../src/dialect/gemini/gemini.ts'
import { Failure } from '../../src/lib/failure.ts'

const json = (value: unknown) => Buffer.from(JSON.stringify(value))
const peek = (body: unknown, path = '/v1beta/models/m:generateContent') => gemini.peek(json(body), path)
const contents = [{ role: 'user', parts: [{ text: 'hi' }] }]

t.test('model, action and framing are read from the path', async t => {
  const cases: [path: string, model: string, stream: boolean, array: boolean][] = [
    ['/v1beta/models/gemini-2.5-pro:generateContent', 'gemini-2.5-pro', false, false],
    ['/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse', 'gemini-2.5-pro', true, false],
    ['/v1beta/models/gemini-2.5-pro:streamGenerateContent?prettyPrint=false&alt=SSE', 'gemini-2.5-pro', true, false],
    ['/v1/models/gemini-2.5-pro:streamGenerateContent?$alt=sse', 'gemini-2.5-pro', true, false],
    ['/v1/models/gemini-2.5-pro:streamGenerateContent', 'gemini-2.5-pro', true, true],
    ['/v1/models/gemini-2.5-pro:streamGenerateContent?alt=json', 'gemini-2.5-pro', true, true],
    ['/v1beta/models/gemini-2.5-pro/streamGenerateContent?alt=sse', 'gemini-2.5-pro', true, false],
    ['/antigravity/v1beta/models/claude-opus-4-6-thinking:generateContent', 'claude-opus-4-6-thinking', false, false],
    ['/v1beta/models/org%2Fm:countTokens', 'org/m', false, false],
    ['/v1beta/models/org/m:generateContent', 'org/m', false, false],
    ['/v1beta/models/models/m:generateContent', 'm', false, false],
    ['/v1beta/models/100%:generateContent', '100%', false, false],
  ]
  for (const [path, model, stream, array] of cases) {
    const peeked = peek({ contents }, path)
    t.strictSame([peeked.model, peeked.stream, peeked.answersIn === geminiArray], [model, stream, array], path)
  }
  for (const path of ['/v1beta/models/:generateContent', '/v1beta/models'])
    t.throws(() => peek({ contents }, path), { code: 'MODEL_REQUIRED' }, path)
  t.throws(() => peek({ contents }, '/v1beta/models/a%0Ab:generateContent'), { code: 'BODY_INVALID' })
  t.throws(() => gemini.peek(Buffer.from('[1]'), '/v1/models/m:generateContent'), { code: 'BODY_INVALID' })
})

t.test('what a request may cost is read in both spellings', async t => {
  const most: [config: object, maxTokens: number | undefined][] = [
    [{}, undefined],
    [{ generationConfig: { temperature: 1 } }, undefined],
    [{ generationConfig: { maxOutputTokens: 100 } }, 100],
    [{ generation_config: { max_output_tokens: 100, candidate_count: 3 } }, 300],
    [{ generationConfig: { maxOutputTokens: '100', candidateCount: 2 } }, 200],
    [{ generationConfig: { maxOutputTokens: 100, max_output_tokens: 500 } }, 500],
    [{ generationConfig: { maxOutputTokens: -5 } }, undefined],
    [{ generationConfig: 'x' }, undefined],
  ]
  for (const [config, maxTokens] of most)
    t.equal(peek({ contents, ...config }).maxTokens, maxTokens, JSON.stringify(config))
  const spelled = Buffer.from('{"generationConfig":{"\\u006daxOutputTokens":7}}')
  t.equal(gemini.peek(spelled, '/v1/models/m:generateContent').maxTokens, 7, 'an escape hides nothing')
  t.throws(
    () => peek({ contents, generationConfig: { maxOutputTokens: 1 }, generation_config: { max_output_tokens: 9 } }),
    { code: 'BODY_INVALID' },
    'one of them would win, and nobody says which',
  )
  t.equal(peek({ contents, serviceTier: 'flex' }).mode, 'flex')
  t.equal(peek({ contents, service_tier: 'priority' }).mode, 'priority')
  t.equal(peek({ contents, serviceTier: 'standard' }).mode, '')
  for (const tool of ['googleSearch', 'google_search', 'googleSearchRetrieval', 'googleMaps'])
    t.equal(peek({ contents, tools: [{ [tool]: {} }] }).searchesWeb, true, tool)
  t.equal(peek({ contents, tools: [{ codeExecution: {} }] }).searchesWeb, false)
  t.equal(peek({ contents }).cacheWrites, 'none')
})

t.test('the base64 of an image is no text', async t => {
  const data = 'A'.repeat(100_000)
  const image = { contents: [{ parts: [{ inlineData: { mimeType: 'image/png', data } }] }] }
  const snake = { contents: [{ parts: [{ inline_data: { mime_type: 'IMAGE/png', data } }] }] }
  const inResult = {
    contents: [{ parts: [{ functionResponse: { parts: [{ inlineData: { mimeType: 'image/png', data } }] } }] }],
  }
  for (const body of [image, snake, inResult]) {
    const { promptBytes } = peek(body)
    t.ok(promptBytes > 10_000 && promptBytes < 11_000, `${promptBytes}`)
  }
  const document = { contents: [{ parts: [{ inlineData: { mimeType: 'application/pdf', data } }] }] }
  t.ok(peek(document).promptBytes > 200_000, 'a document is compressed')
  const text = { contents: [{ parts: [{ text: 'inlineData', data }] }] }
  t.ok(peek(text).promptBytes > 100_000, 'what is no image stays what it is')
  t.ok(peek({ contents: [{ parts: [{ fileData: { fileUri: 'x' } }] }] }).promptBytes > 400_000)
})

t.test('trap 13: proofs that pass are untouched, and only those that must not go out are edited', async t => {
  const conversation = (first: string, second: string, third: string) =>
    Buffer.from(
      `{"contents":[{"role":"user","parts":[{"text":"\\"thoughtSignature\\":\\"AAAA\\""}]},{"role":"model","parts":[` +
        `{"text":"t","thought" : true},{"functionCall":{"name":"f","args":{"n":1e400}}${first}},` +
        `{"functionCall":{"name":"f"}${second}},{"text":""${third}}]}]}`,
    )
  const body = conversation(
    ',"thoughtSignature": "AAAA"',
    ',"thought_signature":"BBBB"',
    ', "thoughtSignature":"CCCC" ',
  )
  const peeked = gemini.peek(body, '/v1beta/models/gemini-3.8-flash:generateContent')
  t.strictSame(peeked.proofs?.(), ['AAAA', 'BBBB', 'CCCC'])
  const mapped = (proofs: [string, string | undefined][], model = 'gemini-3.8-flash') =>
    Buffer.concat([...peeked.mapped(model, new Map(proofs)).pieces]).toString()
  t.equal(mapped([]), body.toString())
  const SKIP = 'skip_thought_signature_validator'
  t.equal(
    mapped([
      ['AAAA', undefined],
      ['BBBB', 'TkFU'],
      ['CCCC', undefined],
    ]),
    conversation(`,"thoughtSignature": "${SKIP}"`, ',"thought_signature":"TkFU"', ' ').toString(),
  )
  t.equal(
    mapped([['AAAA', undefined]], 'gemini-2.5-pro'),
    conversation('', ',"thought_signature":"BBBB"', ', "thoughtSignature":"CCCC" ').toString(),
    'a model that asks for none is told nothing',
  )
  const reader = gemini.proofReader!()
  reader.push(Buffer.from('data: {"candidates":[{"content":{"parts":[{"text":"","thoughtSign'))
  reader.push(Buffer.from('ature":"U0lH"}]}}]}\r\n\r\n'))
  t.strictSame(reader.found, ['U0lH'])
})

t.test('a session is what the client says, else what the conversation began with', async t => {
  const first = { systemInstruction: { parts: [{ text: 'S' }] }, contents }
  const later = {
    system_instruction: { parts: [{ text: 'S' }] },
    contents: [...contents, { role: 'model', parts: [] }],
  }
  const session = peek(first).session({})
  t.ok(/^x:[0-9a-f]{32}$/.test(session), session)
  t.equal(peek(later).session({}), session)
  t.not(peek({ ...first, systemInstruction: { parts: [{ text: 'T' }] } }).session({}), session)
  t.not(peek({ ...first, contents: [{ parts: [{ text: 'ho' }] }] }).session({}), session)
  t.equal(peek({ ...first, session_id: 'abc' }).session({}), 'c:abc')
  t.equal(peek(first).session({ 'x-session-id': 'h1' }), 'h:h1')
  t.equal(peek({ contents: [] }).session({}), '')
  t.equal(peek({ contents: { parts: [{ text: 'hi' }] } }).session({}).length, 34, 'one content without a list')
})

t.test('a body passes byte for byte, also where the model is another', async t => {
  const odd = Buffer.from(
    ' {"zz":123456789012345678901234567890,\r\n"contents" : [{"parts":[{"text":"\\u00e9\u2028"}]}],"zz2":1e400}\n',
  )
  const { pieces, bytes } = gemini.peek(odd, '/v1beta/models/m:generateContent').mapped('other')
  t.ok(Buffer.concat(pieces).equals(odd))
  t.equal(bytes, odd.length)
  const repeated = Buffer.from('{"requests":[{"model":"models/m","x":1e999},{"model":"models/m"}]}')
  const mapped = gemini.peek(repeated, '/v1beta/models/m:batchEmbedContents').mapped('n')
  t.equal(Buffer.concat(mapped.pieces).toString(), '{"requests":[{"model":"models/n","x":1e999},{"model":"models/n"}]}')
  const counted = Buffer.from('{"generateContentRequest":{"model":"models/m","contents":[]}}')
  t.equal(
    Buffer.concat(gemini.peek(counted, '/v1beta/models/m:countTokens').mapped('n').pieces).toString(),
    '{"generateContentRequest":{"model":"models/n","contents":[]}}',
  )
})

const chunk = (text: string, more = '') =>
  `{"candidates": [{"content":{"parts":[{"text":"${text}","n":123456789012345678901234567890}]},"index":0${more}}],"modelVersion" : "up-1"}`
const streams: [name: string, bytes: string][] = [
  ['LF', `data: ${chunk('é😀')}\n\ndata: ${chunk('b', ',"finishReason":"STOP"')}\n\n`],
  ['CRLF, as Google writes', `data: ${chunk('a')}\r\n\r\ndata:${chunk('b', ',"finishReason":"STOP"')}\r\n\r\n`],
  ['CR', `data: ${chunk('a')}\r\rdata: ${chunk('b')}\r\r`],
  ['a mark first, comments and an event line', `\ufeff: hi\n\nevent: x\nid: 7\ndata: ${chunk('a')}\n\n: ping\n\n`],
]

t.test('only the name of the model changes in a stream', async t => {
  for (const [name, bytes] of streams) {
    const restore = gemini.restored(true, 'mine "x"')
    t.equal(restore(Buffer.from(bytes)).toString(), bytes.replaceAll('"up-1"', '"mine \\"x\\""'), name)
  }
  const quoted = Buffer.from(
    'data: {"candidates":[{"content":{"parts":[{"text":"\\"modelVersion\\":\\"up-1\\""}]}}]}\n\n',
  )
  t.ok(gemini.restored(true, 'mine')(quoted).equals(quoted), 'what a model writes is not renamed')
  const nested = Buffer.from('data: {"candidates":[{"modelVersion":"up-1"}],"broken":\n\n')
  t.ok(gemini.restored(true, 'mine')(nested).equals(nested), 'what cannot be read stays')
  const whole = Buffer.from(chunk('a'))
  t.equal(gemini.restored(false, 'mine')(whole).toString(), chunk('a').replace('up-1', 'mine'))
})

t.test('a stream as one array, cut anywhere', async t => {
  const elements: Record<string, string[]> = {
    LF: [chunk('é😀'), chunk('b', ',"finishReason":"STOP"')],
    'CRLF, as Google writes': [chunk('a'), chunk('b', ',"finishReason":"STOP"')],
    CR: [chunk('a'), chunk('b')],
    'a mark first, comments and an event line': [chunk('a')],
  }
  for (const [name, text] of streams) {
    const bytes = Buffer.from(text)
    const want = `[${elements[name]!.join('\r\n,\r\n')}]`
    for (let cut = 0; cut <= bytes.length; cut++) {
      const framing = geminiArray.reframed!()
      const got = Buffer.concat([
        framing.push(bytes.subarray(0, cut)),
        framing.push(bytes.subarray(cut)),
        framing.end(),
      ])
      if (got.toString() !== want) t.equal(got.toString(), want, `${name}, cut at ${cut}`)
    }
    const framing = geminiArray.reframed!()
    const one = [...bytes].map(byte => framing.push(Buffer.from([byte])))
    t.equal(Buffer.concat([...one, framing.end()]).toString(), want, name)
  }
  const framing = geminiArray.reframed!()
  const lines = 'data: {"a":\ndata: 1}\n\ndata: [DONE]\n\n'
  t.equal(`${framing.push(Buffer.from(lines))}${framing.end()}`, '[{"a":1}]', 'an event in two lines; no end mark')
  t.equal(`${geminiArray.reframed!().end()}`, '[]')
})

t.test('an error closes the array, whatever was written before it', async t => {
  const failure = new Failure('UPSTREAM_OVERLOADED')
  const read = (dialect: Dialect, begun: boolean) => dialect.errorFrame(failure, 'id-1', begun).toString()
  const before = `\n\n[${chunk('a')}\n`
  const [, element] = JSON.parse(before + read(geminiArray, true))
  t.equal(element.error.code, failure.status)
  t.equal(JSON.parse(`\n\n${read(geminiArray, false)}`)[0].error.code, failure.status)
  const upstream = Buffer.from('[{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}]')
  t.equal(JSON.parse(before + geminiArray.asErrorFrame(upstream, true).toString())[1].error.code, 503)
  t.equal(JSON.parse(geminiArray.asErrorFrame(Buffer.from('<html>'), false).toString())[0].error.code, 502)
})

t.test('errors have the shape of Google, with our code where it has a place', async t => {
  const failure = new Failure('KEY_RATE_LIMITED', ['5 per minute'], { retryAfterMs: 1500 })
  const { error } = JSON.parse(gemini.error(failure, 'id-1').toString())
  t.strictSame([error.code, error.status, error.message], [429, 'RESOURCE_EXHAUSTED', failure.message])
  t.strictSame(error.details, [
    { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'KEY_RATE_LIMITED', domain: 'gw' },
    { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '2s' },
    { '@type': 'type.googleapis.com/google.rpc.RequestInfo', requestId: 'id-1' },
  ])
  const refused = new Failure('UNTRANSLATABLE', ['a.b', 'no'], { param: 'a.b' })
  const told = JSON.parse(gemini.error(refused, '').toString()).error
  t.strictSame(told.details[1], {
    '@type': 'type.googleapis.com/google.rpc.BadRequest',
    fieldViolations: [{ field: 'a.b', description: told.message }],
  })
  t.equal(gemini.errorFrame(failure, 'id').toString().slice(0, 16), 'data: {"error":{')
})

t.test('a whole answer as a stream and back, with nothing lost', async t => {
  const whole = `{\r\n "n": 1e400,\n "candidates": [\n{"finishReason":"STOP"}\n],\n "modelVersion": "up-1"}\n`
  t.equal(gemini.asStream(Buffer.from(whole))?.toString(), `data: ${whole.replace(/[\r\n]/g, ' ')}\n\n`)
  for (const none of ['{}', '[]', 'x', '{"error":{}}']) t.equal(gemini.asStream(Buffer.from(none)), undefined, none)

  const events = [
    '{"candidates":[{"content":{"role":"model","parts":[{"text":"T","thought":true}]},"index":0}],"responseId":"r"}',
    '{"candidates":[{"content":{"parts":[{"text":"a"}]},"index":0}],"usageMetadata":{"promptTokenCount":3}}',
    '{"candidates":[{"content":{"parts":[{"text":"b"},{"functionCall":{"name":"f","args":{"n":12345678901234567890}}}]},"index":0}]}',
    '{"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"U0lH"}]},"finishReason":"STOP","index":0}],"usageMetadata":{"candidatesTokenCount":9}}',
  ]
  const gatherer = gemini.gatherer()
  for (const event of events) gatherer.push(Buffer.from(`data: ${event}\r\n\r\n`))
  t.equal(
    gatherer.end()?.toString(),
    '{"candidates":[{"content":{"role":"model","parts":[{"text":"T","thought":true},{"text":"ab"},' +
      '{"functionCall":{"name":"f","args":{"n":12345678901234567890}}},{"text":"","thoughtSignature":"U0lH"}]},' +
      '"index":0,"finishReason":"STOP"}],"responseId":"r","usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":9}}',
  )
  const cut = gemini.gatherer()
  cut.push(Buffer.from(`data: ${events[1]}\n\n`))
  t.equal(cut.end(), undefined, 'a stream without its end is no answer')
  const failed = gemini.gatherer()
  failed.push(Buffer.from(`data: ${events[3]}\n\ndata: {"error":{"code":500}}\n\n`))
  t.equal(failed.end(), undefined)
})

t.test('a ping between events is read by nobody, and models are listed as Google does', async t => {
  t.match(gemini.ping.toString(), /^data: \{.*\}\n\n$/)
  t.strictSame(Object.keys(gemini.models(['a'])), ['models'])
  t.equal((gemini.model('a') as { name: string }).name, 'models/a')
  const meter = gemini.meter(true)
  meter.push(Buffer.concat([gemini.ping, gemini.warmupFrames('m')[0]!]))
  meter.end()
  t.ok(meter.complete)
})
