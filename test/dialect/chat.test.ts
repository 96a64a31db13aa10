// The Chat Completions dialect where both sides speak it: what is read of a request, and that every byte passes but those that must change.
import t from 'tap'
import { chat } from '../../src/dialect/chat/chat.ts'
import { WholeEvents } from '../../src/dialect/whole-events.ts'
import { Failure } from '../../src/lib/failure.ts'
import { answer } from './answers.ts'

const peek = (body: unknown) => chat.peek(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), '')
const hi = { model: 'm', messages: [{ role: 'user', content: 'hi' }] }
const mapped = (body: string, model = 'm') => Buffer.concat(peek(body).mapped(model).pieces).toString()

t.test('what the corridor must know is read', async t => {
  const cases: [what: string, more: object, is: object][] = [
    ['nothing more', {}, { model: 'm', stream: false, maxTokens: undefined, mode: '', searchesWeb: false, geo: '' }],
    ['a stream', { stream: true }, { stream: true }],
    ['the newer limit wins', { max_tokens: 5, max_completion_tokens: 7 }, { maxTokens: 7 }],
    ['the older alone', { max_tokens: 5 }, { maxTokens: 5 }],
    ['each choice may be as long', { max_tokens: 5, n: 3 }, { maxTokens: 15 }],
    ['no limit that is one', { max_tokens: -1, n: 3 }, { maxTokens: undefined }],
    ['a number that is none', { max_tokens: 5, n: 'x' }, { maxTokens: 5 }],
    ['a tier', { service_tier: 'flex' }, { mode: 'flex' }],
    ['the standard tiers', { service_tier: 'default' }, { mode: '' }],
    ['a cache that lasts', { prompt_cache_options: { ttl: '12h' } }, { cacheWrites: '12h' }],
    ['a cache unasked', {}, { cacheWrites: '30m' }],
    ['a search', { web_search_options: {} }, { searchesWeb: true }],
  ]
  for (const [what, more, is] of cases) t.match(peek({ ...hi, ...more }), is, what)
  for (const [body, code] of [
    ['{"messages":[]}', 'MODEL_REQUIRED'],
    ['{"model":""}', 'MODEL_REQUIRED'],
    ['{"model":1}', 'BODY_INVALID'],
    ['{"model":"m","stream":"yes"}', 'BODY_INVALID'],
    ['[]', 'BODY_INVALID'],
    ['{"model":"m"', 'BODY_INVALID'],
  ] as const)
    t.throws(() => peek(body), { code }, body)
})

t.test('embeddings are a prompt alone', async t => {
  const asked = peek({ model: 'text-embedding-3-small', input: ['a', [1, 2]], encoding_format: 'base64' })
  t.match(asked, { model: 'text-embedding-3-small', stream: false, maxTokens: 0 })
  t.equal(asked.session({}), '')
  const vector = Array.from({ length: 20_000 }, (_, n) => n / 7)
  const body = (more: object) =>
    Buffer.from(
      JSON.stringify({ object: 'list', data: [{ object: 'embedding', index: 0, embedding: vector }], ...more }),
    )
  const read = (bytes: Buffer) => {
    const meter = chat.meter(false)
    for (let at = 0; at < bytes.length; at += 1000) meter.push(bytes.subarray(at, at + 1000))
    meter.end()
    return meter
  }
  const usage = { prompt_tokens: 8, total_tokens: 8 }
  t.match(read(body({ model: 'm', usage })), {
    complete: true,
    told: true,
    usage: { input: 8, output: 0, cacheRead: 0 },
    error: undefined,
  })
  t.match(read(body({ model: 'm' })), { complete: false, told: false }, 'what was not counted is not told')
  t.match(read(Buffer.from('{"error":{"message":"no","code":"bad"}}')), { complete: false, error: { type: 'bad' } })
})

t.test('media count as what they are, not as their base64', async t => {
  const base64 = 'A'.repeat(3_000_000)
  const bytes = (part: object) => peek({ ...hi, messages: [{ role: 'user', content: [part] }] }).promptBytes
  t.ok(bytes({ type: 'image_url', image_url: { url: `data:image/png;base64,${base64}` } }) < 20_000)
  t.ok(bytes({ type: 'image_url', image_url: { url: 'https://x/y.png' } }) > 9_000, 'an image that is only named')
  t.ok(bytes({ type: 'file', file: { file_data: base64 } }) > 5_000_000, 'a document is compressed')
  t.ok(bytes({ type: 'file', file: { file_id: 'f' } }) > 399_000)
  t.ok(bytes({ type: 'input_audio', input_audio: { data: base64, format: 'wav' } }) < 200_000)
  t.ok(bytes({ type: 'text', text: base64, image_url: { url: 'x' } }) > 2_900_000, 'a text is no image')
})

t.test('the session is what stays the same over the turns of a conversation', async t => {
  const session = (more: object, headers = {}) => peek({ ...hi, ...more }).session(headers)
  t.equal(session({}, { 'session-id': 's' }), 'h:s')
  t.equal(session({ prompt_cache_key: 'k', user: 'u' }), 'c:k')
  const first = session({})
  t.match(first, /^x:/)
  const turns = (...messages: object[]) => session({ messages })
  const user = { role: 'user', content: 'hi' }
  t.equal(turns(user, { role: 'assistant', content: 'ho' }, { role: 'system', content: 'now' }), first)
  t.equal(turns({ role: 'user', content: [{ type: 'text', text: 'hi' }] }), first, 'a text is the same as a part')
  t.not(turns({ role: 'developer', content: 'be kind' }, user), first)
  t.equal(session({ user: 'u' }), first, 'a person is no session')
  t.equal(session({ messages: [], user: 'u' }), 'u:u', 'but better than none')
  t.equal(session({ messages: [] }), '')
})

t.test('trap 14: a body passes but for the model: order, digits, unknown fields, spaces, line ends, marks', async t => {
  const odd =
    '\r\n{ "z":1e400,\t"model" : "m" ,"n":1,"x_unknown":{"model":"m","b":123456789012345678901234567890},\r\n' +
    '"messages":[{"role":"user","content":"\\u00fc ü 🦊 \\ud83e\\udd8a"}] ,"temperature":1.50}\n'
  t.equal(mapped(odd), odd)
  t.equal(mapped(odd, 'n/"x"'), odd.replace('"model" : "m"', '"model" : "n/\\"x\\""'))
})

t.test('a stream is asked for its usage, and nothing else of the body changes', async t => {
  const cases: [body: string, asks: string | undefined][] = [
    ['{"stream":true,"model":"m"}', '{"stream":true,"stream_options":{"include_usage":true},"model":"m"}'],
    ['{"model":"m","stream": true }', '{"model":"m","stream": true,"stream_options":{"include_usage":true} }'],
    [
      '{"stream":true,"stream_options":null,"model":"m"}',
      '{"stream":true,"stream_options":{"include_usage":true},"model":"m"}',
    ],
    [
      '{"stream":true,"stream_options": { },"model":"m"}',
      '{"stream":true,"stream_options": {"include_usage":true },"model":"m"}',
    ],
    [
      '{"model":"m","stream_options":{"include_obfuscation":false},"stream":true}',
      '{"model":"m","stream_options":{"include_usage":true,"include_obfuscation":false},"stream":true}',
    ],
    [
      '{"model":"m","stream_options":{"include_usage":false},"stream":true}',
      '{"model":"m","stream_options":{"include_usage":true},"stream":true}',
    ],
    ['{"model":"m","stream_options":{"include_usage":true},"stream":true}', undefined],
    ['{"model":"m","stream":false}', undefined],
    ['{"model":"m"}', undefined],
  ]
  for (const [body, asks] of cases) {
    t.equal(mapped(body), asks ?? body, body)
    t.equal(peek(body).stripped === undefined, asks === undefined, 'and who asks is given it')
    t.equal(mapped(body, 'other'), (asks ?? body).replace('"m"', '"other"'))
  }
})

// Recorded shapes, with line ends of every kind.
const chunk = (rest: string) =>
  `{"id":"c1","object":"chat.completion.chunk","created":1,"model":"up","z":123456789012345678901234567890,${rest}}`
const said = chunk(
  '"choices":[{"index":0,"delta":{"content":"é🦊 \\"usage\\": {1}"},"finish_reason":null}],"usage":null',
)
const azure = chunk('"choices":[],"prompt_filter_results":[{"usage":{"a":1}}]')
const last = chunk('"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}')
const usage = chunk('"choices": [ ] ,"usage" : {"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}')
const stream = (eol: string, data: readonly string[]) =>
  Buffer.from(
    `\ufeff: hello${eol}${eol}${data.map(one => `data: ${one}${eol}${eol}`).join('')}`.replaceAll(
      'data: {"id"',
      'data:  {"id"',
    ),
  )

function passed(bytes: Buffer, pieceBytes: number, way: (events: Buffer) => Buffer): string {
  const events = new WholeEvents()
  const out: Buffer[] = []
  for (let at = 0; at < bytes.length; at += pieceBytes) out.push(way(events.push(bytes.subarray(at, at + pieceBytes))))
  out.push(way(events.rest()))
  return Buffer.concat(out).toString()
}

t.test('exactly the chunk with the usage is taken out, wherever the stream is cut', async t => {
  for (const eol of ['\n', '\r\n', '\r']) {
    const all = stream(eol, [azure, said, last, usage, '[DONE]'])
    const without = stream(eol, [azure, said, last, '[DONE]']).toString()
    for (const bytes of [1, 2, 3, 7, 64, all.length])
      t.equal(passed(all, bytes, peek({ ...hi, stream: true }).stripped!()), without, `${JSON.stringify(eol)} ${bytes}`)
  }
  const text = stream('\n', [said, 'no json "usage":{', usage.slice(0, -1)])
  t.equal(passed(text, 5, peek({ ...hi, stream: true }).stripped!()), text.toString(), 'what is no chunk stays')
})

t.test('the model is put back in every chunk, and no other byte changes', async t => {
  for (const eol of ['\n', '\r\n', '\r']) {
    const all = stream(eol, [azure, said, last, usage, '[DONE]'])
    for (const bytes of [1, 7, all.length])
      t.equal(
        passed(all, bytes, chat.restored(true, 'gpt "x"')),
        all.toString().replaceAll('"model":"up"', '"model":"gpt \\"x\\""'),
      )
  }
  const whole = ' {"usage":{"model":"up"},\r\n"model" :"up","n":1.0}'
  t.equal(chat.restored(false, 'm')(Buffer.from(whole)).toString(), whole.replace('"model" :"up"', '"model" :"m"'))
  t.equal(chat.restored(false, 'm')(Buffer.from('<html>')).toString(), '<html>')
})

t.test('trap 4: an error is told in the envelope of OpenAI, in a stream without [DONE]', async t => {
  const failure = new Failure('UNTRANSLATABLE', ['n', 'no'], { param: 'n' })
  const error = { message: 'n: no.', type: 'invalid_request_error', param: 'n', code: 'UNTRANSLATABLE' }
  t.strictSame(JSON.parse(chat.error(failure, 'id').toString()), { error })
  t.equal(chat.errorFrame(failure, 'id').toString(), `data: ${JSON.stringify({ error })}\n\n`)
  t.equal(chat.asErrorFrame(Buffer.from('{"error":{"message":"x"}}')).toString(), 'data: {"error":{"message":"x"}}\n\n')
  t.match(chat.asErrorFrame(Buffer.from('<html>')).toString(), /^data: \{"error":\{"message":"The upstream refused/)
  t.equal(chat.ping.toString(), ': ping\n\n')
  const listed = (id: string) => ({ id, object: 'model', created: 1704067200, owned_by: 'gw' })
  t.strictSame(chat.models(['b', 'a']), { object: 'list', data: [listed('b'), listed('a')] })
})

t.test('recorded streams lose what was not asked for, and nothing else', async t => {
  for (const name of ['chat', 'chat-other']) {
    const recorded = answer(name)
    const way = peek({ ...hi, stream: true }).stripped!
    const without = passed(Buffer.from(recorded), recorded.length, way())
    t.equal(passed(Buffer.from(recorded), 11, way()), without, name)
    const gone = recorded.split(/(?<=\n\r?\n)/).filter(event => !without.includes(event))
    t.ok(gone.length <= 1, name)
    for (const event of gone) t.match(event, /"choices":\s*\[\].*"usage":\s*\{/s)
  }
})
