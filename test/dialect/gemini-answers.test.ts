// What Gemini's codec makes of the answers of its upstreams, and what it tells its clients.
import t from 'tap'
import { geminiCodec } from '../../src/dialect/gemini/codec.ts'
import type { Asked } from '../../src/dialect/middle/codec.ts'
import type { Ask, Event, Issuer } from '../../src/dialect/middle/form.ts'
import { Gathering } from '../../src/dialect/middle/gather.ts'
import { relayed, translate } from '../helpers/translate.ts'

// biome-ignore lint/suspicious/noExplicitAny: whatever a body holds
type Any = any

const json = (value: unknown) => Buffer.from(JSON.stringify(value))

// ---- answers of Gemini ----

const from: Issuer = { platform: 'gemini', scope: '0a1b2c3d', model: 'gemini-3.8-flash' }
const sse = (...chunks: object[]) => chunks.map(chunk => `data: ${JSON.stringify(chunk)}\r\n\r\n`).join('')
const chunk = (parts: object[], more: object = {}, beside: object = {}) => ({
  candidates: [{ content: { role: 'model', parts }, index: 0, ...more }],
  ...beside,
})
function events(text: string): Event[] {
  const decoder = geminiCodec.decoder(from)
  return [...decoder.push(Buffer.from(text)), ...decoder.end()]
}
const told = (all: readonly Event[]) =>
  all.map(event => {
    if (event.type === 'open') return `open ${event.part.type}`
    if (event.type === 'delta') return event.text
    if (event.type === 'finish') return `finish ${event.why}`
    return event.type === 'fail' ? `fail ${event.fault.kind}` : event.type
  })

t.test('what is drawn while it thinks is no answer', async t => {
  const drawn = (data: string, more: object = {}) => ({ inlineData: { mimeType: 'image/png', data }, ...more })
  const content = { role: 'model', parts: [drawn('DRAFT', { thought: true }), drawn('DONE')] }
  const body = { candidates: [{ content, finishReason: 'STOP', index: 0 }], usageMetadata: { promptTokenCount: 1 } }
  const events = geminiCodec.decodeWhole(Buffer.from(JSON.stringify(body)), from)
  t.strictSame(
    events.flatMap(event => (event.type === 'delta' ? event.text : [])),
    ['DONE'],
  )
})

t.test('trap 6: every call is its own, trap 24: a blocked prompt is refused, trap 25: a filter is no end', async t => {
  const f = (n: number) => ({ functionCall: { name: 'f', args: { n } } })
  const stop = { finishReason: 'STOP' }
  const cases: [what: string, stream: string, events: string[]][] = [
    [
      'calls of one name in chunks of their own',
      sse(chunk([f(1)]), chunk([f(2)]), chunk([{ text: '' }], stop)),
      ['start', 'open call', '{"n":1}', 'close', 'open call', '{"n":2}', 'close', 'finish end'],
    ],
    [
      'a prompt that is blocked',
      sse({ promptFeedback: { blockReason: 'PROHIBITED_CONTENT' }, usageMetadata: { promptTokenCount: 5 } }),
      ['start', 'usage', 'finish safety'],
    ],
    [
      'safety, without content',
      sse(chunk([{ text: 'a' }]), { candidates: [{ finishReason: 'SAFETY', index: 0 }] }),
      ['start', 'open text', 'a', 'close', 'finish safety'],
    ],
    [
      'thoughts, then text, then its proof',
      sse(
        chunk([{ text: 'T', thought: true }]),
        chunk([{ text: 'a' }]),
        chunk([{ text: 'b' }]),
        chunk([{ text: '', thoughtSignature: 'U0lH' }], stop),
      ),
      ['start', 'open thought', 'T', 'close', 'open text', 'a', 'b', 'seal', 'close', 'finish end'],
    ],
    [
      'an answer that is to be continued',
      sse(chunk([{ text: 'a' }], { finishReason: 'CONTINUATION', continuationToken: 't' })),
      ['start', 'open text', 'a', 'close', 'finish length'],
    ],
    [
      'an image',
      sse(chunk([{ inlineData: { mimeType: 'image/png', data: 'AAAA' } }], stop)),
      ['start', 'open media', 'AAAA', 'close', 'finish end'],
    ],
    ['trap 1: a stream that broke off', sse(chunk([{ text: 'a' }])), ['start', 'open text', 'a', 'fail truncated']],
    ['nothing', '', ['fail truncated']],
    [
      'an error as a chunk',
      sse({ error: { code: 429, message: 'm', status: 'RESOURCE_EXHAUSTED' } }),
      ['fail rateLimited'],
    ],
    [
      'an error in a list, after text',
      `${sse(chunk([{ text: 'a' }]))}data: [{"error":{"code":503,"message":"m"}}]\n\n`,
      ['start', 'open text', 'a', 'fail overloaded'],
    ],
    [
      'trap 59: a missing proof before anything',
      sse(chunk([], { finishReason: 'MISSING_THOUGHT_SIGNATURE' })),
      ['fail sealRefused'],
    ],
    [
      'trap 59: a broken call',
      sse(chunk([{ text: 'a' }], { finishReason: 'MALFORMED_FUNCTION_CALL' })),
      ['start', 'open text', 'a', 'close', 'finish malformedCall'],
    ],
    [
      'counts that come after the end',
      sse(chunk([{ text: 'a' }], stop), { usageMetadata: { promptTokenCount: 3 } }),
      ['start', 'open text', 'a', 'close', 'usage', 'finish end'],
    ],
    [
      'a ping, and what nobody can read',
      `data: {}\n\ndata: {"x\n\n: c\n\n${sse(chunk([{ text: 'a' }], stop))}`,
      ['start', 'open text', 'a', 'close', 'finish end'],
    ],
  ]
  for (const [what, stream, want] of cases) {
    t.strictSame(told(events(stream)), want, what)
    const bytes = Buffer.from(stream)
    for (let cut = 0; cut < bytes.length; cut += 7) {
      const decoder = geminiCodec.decoder(from)
      const got = [...decoder.push(bytes.subarray(0, cut)), ...decoder.push(bytes.subarray(cut)), ...decoder.end()]
      if (JSON.stringify(told(got)) !== JSON.stringify(want)) t.strictSame(told(got), want, `${what}, cut at ${cut}`)
    }
  }
  const [, , delta] = events(
    'data: {"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args": {"n":12345678901234567890}}}]},"finishReason":"STOP"}]}\n\n',
  )
  t.equal((delta as Any).text, '{"n":12345678901234567890}')
  const array = `[${JSON.stringify(chunk([{ text: 'a' }]))},${JSON.stringify(chunk([{ text: 'b' }], stop))}]`
  t.strictSame(told(geminiCodec.decodeWhole(Buffer.from(array), from)), [
    'start',
    'open text',
    'a',
    'b',
    'close',
    'finish end',
  ])
  t.strictSame(told(geminiCodec.decodeWhole(Buffer.from('<html>'), from)), ['fail upstream'])
})

t.test('usage is disjoint, and citations say where they stand', async t => {
  const usageMetadata = {
    promptTokenCount: 100,
    cachedContentTokenCount: 40,
    toolUsePromptTokenCount: 5,
    candidatesTokenCount: 7,
    thoughtsTokenCount: 3,
    totalTokenCount: 115,
  }
  const groundingMetadata = {
    groundingChunks: [{ web: { uri: 'https://x', title: 'X' } }],
    groundingSupports: [{ segment: { startIndex: 3, endIndex: 6, text: 'abc' }, groundingChunkIndices: [0] }],
  }
  const all = events(
    sse(
      chunk([{ text: 'é abc' }]),
      chunk([{ text: '' }], { finishReason: 'STOP', groundingMetadata }, { usageMetadata }),
    ),
  )
  t.strictSame(
    all.find(({ type }) => type === 'usage'),
    {
      type: 'usage',
      usage: { input: 65, output: 10, thinking: 3, cacheRead: 40, cacheWrite: {} },
    },
  )
  const cite = all.find(({ type }) => type === 'cite') as Any
  t.strictSame(cite.citation, { kind: 'url', url: 'https://x', title: 'X', quote: 'abc', start: 2, end: 5 })
})

t.test('errors as faults, and faults as errors', async t => {
  const error = (code: number, message: string, details: object[] = []) =>
    json({ error: { code, message, status: 'X', details } })
  const cases: [status: number, body: Buffer, kind: string][] = [
    [400, error(400, 'bad'), 'invalid'],
    [
      400,
      error(400, 'The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).'),
      'tooLong',
    ],
    [400, error(400, 'Corrupted thought signature.'), 'sealRefused'],
    [400, error(400, 'API key not valid.', [{ reason: 'API_KEY_INVALID' }]), 'auth'],
    [429, error(429, 'slow'), 'rateLimited'],
    [429, error(429, 'x', [{ reason: 'QUOTA_EXHAUSTED' }]), 'quota'],
    [429, json([{ error: { code: 429, message: 'in a list' } }]), 'rateLimited'],
    [503, Buffer.from('<html>'), 'overloaded'],
    [500, Buffer.from(''), 'upstream'],
  ]
  for (const [status, body, kind] of cases) t.equal(geminiCodec.readFault(status, body).kind, kind, body.toString())
  const fault = geminiCodec.readFault(
    429,
    error(429, 'm', [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '2.5s' }]),
  )
  t.equal(fault.retryAfterMs, 2500)
  const { error: said } = JSON.parse(geminiCodec.writeFault({ ...fault, param: 'a.b' }, 429, 'id'))
  t.strictSame([said.code, said.status, said.message], [429, 'RESOURCE_EXHAUSTED', 'm'])
  t.strictSame(
    said.details.map((one: Any) => one['@type'].split('.').at(-1)),
    ['RetryInfo', 'BadRequest', 'RequestInfo'],
  )
})

// ---- answers for Gemini clients ----

t.test('trap 57: a call that is cut off is not run', async t => {
  const call = (args: string) => ({
    role: 'assistant',
    tool_calls: [{ index: 0, id: 'x', type: 'function', function: { name: 'f', arguments: args } }],
  })
  const said = (delta: object, finish_reason: string | null) =>
    `data: ${JSON.stringify({ id: 'c', model: 'm', choices: [{ index: 0, delta, finish_reason }] })}\n\n`
  const answer = (args: string, finish: string) => {
    const path = '/v1beta/models/gpt-4.1:streamGenerateContent?alt=sse'
    const translated = translate('gemini', 'chat', { contents: [{ parts: [{ text: 'q' }] }] }, { path })
    const text = relayed(translated, `${said(call(args), null)}${said({}, finish)}data: [DONE]\n\n`)
    const lines = text.trim().split('\n\n')
    return lines.map(line => JSON.parse(line.slice(6)).candidates[0])
  }
  const [cut] = answer('{"a":', 'length')
  t.strictSame([cut.finishReason, cut.content], ['MAX_TOKENS', { role: 'model', parts: [{ text: '' }] }])
  t.equal(answer('{"a":', 'tool_calls')[0].finishReason, 'MALFORMED_FUNCTION_CALL')
  t.equal(answer('{"a":12345678901234567890}', 'tool_calls')[0].content.parts[0].functionCall.id, 'x')
})

const everything = {
  dialect: 'gemini',
  wants: { usage: true, reasoning: true },
} as Ask
const plainly: Asked = {
  ask: everything,
  model: '',
  id: prefix => `${prefix}1`,
  created: 0,
  promptTokens: 0,
  seal: seal => seal?.value ?? '',
}

t.test('an answer through the middle and back says the same', async t => {
  const usageMetadata = {
    promptTokenCount: 9,
    cachedContentTokenCount: 4,
    candidatesTokenCount: 6,
    thoughtsTokenCount: 2,
    totalTokenCount: 17,
  }
  const parts = [
    { text: 'T', thought: true },
    { text: 'Hello' },
    { functionCall: { id: 'a', name: 'f', args: { x: 1 } }, thoughtSignature: 'U0lH' },
    { functionCall: { id: 'b', name: 'f', args: {} } },
  ]
  const whole = { ...chunk(parts, { finishReason: 'STOP' }, { usageMetadata }), modelVersion: 'm', responseId: 'r' }
  const all = geminiCodec.decodeWhole(json(whole), from)
  const encoder = geminiCodec.encoder(plainly)
  const stream = all.map(event => encoder.write(event)).join('')
  const gathering = new Gathering()
  for (const event of events(stream)) gathering.take(event)
  t.strictSame(JSON.parse(geminiCodec.encodeWhole(gathering.answer!, { ...plainly, model: 'm' })), {
    candidates: [{ content: { role: 'model', parts }, finishReason: 'STOP', index: 0 }],
    usageMetadata,
    modelVersion: 'm',
    responseId: 'r',
  })
})
