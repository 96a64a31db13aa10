// Servers that speak a dialect otherwise than its vendor: what they leave out, repeat or say in another place.
import t from 'tap'
import type { DialectName } from '../../src/dialect/dialect.ts'
import { meters } from '../../src/dialect/table.ts'
import { metered, pieces } from './answers.ts'
import { heldBy } from './memory.ts'

const sse = (...events: (object | string)[]) =>
  events.map(data => `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`).join('')

t.test('answers of servers that do it otherwise', async t => {
  const completed = (usage: object | null, more: object = {}) => ({
    type: 'response.completed',
    response: { status: 'completed', usage, ...more },
  })
  const created = { type: 'response.created', response: { usage: null } }
  const delta = { type: 'response.output_text.delta', delta: 'a' }
  const failed = (error: object | null) => ({ type: 'response.failed', response: { error } })
  const chunk = (finish_reason: string | null, usage?: object, index = 0) => ({
    choices: [{ index, delta: { content: 'a' }, finish_reason }],
    ...(usage && { usage }),
  })
  const prompt = (prompt_tokens: number, completion_tokens: number, prompt_tokens_details?: object) => ({
    prompt_tokens,
    completion_tokens,
    prompt_tokens_details,
  })
  const part = (finishReason?: string, usageMetadata?: object, index?: number) => ({
    candidates: [{ content: { parts: [{ text: 'a' }] }, finishReason, index }],
    usageMetadata,
  })
  const counts = { promptTokenCount: 9, candidatesTokenCount: 4 }
  const partial = { complete: false, error: undefined }
  const untold = { complete: true, told: false, error: undefined }
  const [usage, cached] = [
    { input_tokens: 9, output_tokens: 4 },
    { cached_tokens: 5, cache_write_tokens: 3 },
  ]

  const split = (ttl_30m_tokens: number, ttl_12h_tokens: number) => ({ ttl_30m_tokens, ttl_12h_tokens })

  const cases: [what: string, dialect: DialectName, stream: string, want: object][] = [
    [
      'more cached than there is',
      'responses',
      sse(completed({ ...usage, input_tokens_details: { cached_tokens: 12 } })),
      { input: 0, cacheRead: 12, complete: true },
    ],
    [
      'a final twice',
      'responses',
      sse(completed({ ...usage, input_tokens_details: cached }), completed({ ...usage, input_tokens_details: cached })),
      { input: 1, output: 4, cacheRead: 5, cacheWrite30m: 3 },
    ],
    [
      'a final again, without its details',
      'responses',
      sse(
        completed(
          { ...usage, input_tokens_details: cached },
          { service_tier: 'flex', output: [{ type: 'web_search_call' }] },
        ),
        completed(usage),
      ),
      { input: 1, cacheRead: 5, cacheWrite30m: 3, mode: 'flex', webSearches: 1 },
    ],
    [
      'writes by their lifetime',
      'responses',
      sse(completed({ ...usage, input_tokens_details: { ...cached, cache_write_tokens_details: split(1, 2) } })),
      { input: 1, output: 4, cacheRead: 5, cacheWrite30m: 1, cacheWrite12h: 2, told: true },
    ],
    [
      'writes by their lifetime, without their sum',
      'responses',
      sse(completed({ ...usage, input_tokens_details: { cache_write_tokens_details: split(1, 2) } })),
      { input: 6, output: 4, cacheWrite30m: 1, cacheWrite12h: 2, told: true },
    ],
    [
      'more writes than their lifetimes say',
      'responses',
      sse(completed({ ...usage, input_tokens_details: { ...cached, cache_write_tokens_details: split(0, 2) } })),
      { input: 1, cacheRead: 5, cacheWrite30m: 1, cacheWrite12h: 2 },
    ],
    [
      'a lifetime that cannot be',
      'responses',
      sse(completed({ ...usage, input_tokens_details: { ...cached, cache_write_tokens_details: split(1, -2) } })),
      { input: 1, cacheRead: 5, cacheWrite30m: 3, told: false },
    ],
    [
      'lifetimes, and then their sum alone',
      'responses',
      sse(
        completed({ ...usage, input_tokens_details: { ...cached, cache_write_tokens_details: split(1, 2) } }),
        completed({ ...usage, input_tokens_details: cached }),
      ),
      { input: 1, cacheRead: 5, cacheWrite30m: 1, cacheWrite12h: 2 },
    ],
    [
      'counted searches go before those of the output',
      'responses',
      sse(completed(usage, { tool_usage: { web_search: { num_requests: 4 } }, output: [{ type: 'web_search_call' }] })),
      { webSearches: 4 },
    ],
    ['completed without usage', 'responses', sse(created, delta, completed(null)), untold],
    ['only created', 'responses', sse(created, { type: 'response.in_progress' }), { ...partial, begun: false }],
    ['created, and a keepalive', 'responses', sse(created, { type: 'keepalive' }), { ...partial, begun: false }],
    ['cut off in the text', 'responses', sse(created, delta), { ...partial, begun: true }],
    [
      'an error said flat',
      'responses',
      sse(created, { type: 'error', code: 'server_error', message: 'x', param: null }),
      { complete: false, begun: false, error: { type: 'server_error', message: 'x' } },
    ],
    [
      'an error named by its line only',
      'responses',
      'event: error\ndata: {"message":"x"}\n\n',
      { error: { type: 'server_error', message: 'x' } },
    ],
    [
      'failed, and no reason',
      'responses',
      sse(created, delta, failed(null)),
      { complete: false, begun: true, error: { type: 'server_error', message: '' } },
    ],
    [
      'failed at once',
      'responses',
      sse(created, failed({ code: 'rate_limit_exceeded', message: 'x' })),
      { begun: false, error: { type: 'rate_limit_exceeded', message: 'x' } },
    ],
    [
      'events of one name',
      'responses',
      sse(created, delta, completed(usage)).replaceAll('data', 'event: message\ndata'),
      { input: 9, complete: true, emitted: 1 },
    ],
    [
      'the type behind the rest',
      'responses',
      sse({ response: { usage }, type: 'response.completed' }),
      { input: 9, complete: true },
    ],

    ['no usage', 'chat', sse(chunk(null), chunk('stop'), '[DONE]'), { ...untold, begun: true, emitted: 2 }],
    [
      'no reason, but counted and over (trap 29)',
      'chat',
      sse(chunk(null), { choices: [], usage: prompt(9, 4) }, '[DONE]'),
      { complete: true, error: undefined, input: 9, output: 4 },
    ],
    ['over, but not counted', 'chat', sse(chunk(null), '[DONE]'), partial],
    ['counted, but not over', 'chat', sse(chunk(null), { choices: [], usage: prompt(9, 4) }), partial],
    [
      'no [DONE]',
      'chat',
      sse(chunk('stop'), { choices: [], usage: prompt(9, 4) }),
      { input: 9, output: 4, complete: true },
    ],
    [
      'usage in the last chunk of text',
      'chat',
      sse(chunk(null), chunk('length', prompt(9, 4)), '[DONE]'),
      { input: 9, output: 4, complete: true },
    ],
    [
      'usage in every chunk',
      'chat',
      sse(chunk(null, prompt(9, 1, cached)), chunk(null, prompt(9, 2)), chunk('stop', prompt(0, 4))),
      { input: 1, output: 4, cacheRead: 5, cacheWrite30m: 3, complete: true },
    ],
    [
      'several choices',
      'chat',
      sse(
        chunk('stop', undefined, 0),
        chunk(null, undefined, 1),
        chunk('stop', undefined, 1),
        { choices: [], usage: prompt(9, 4) },
        '[DONE]',
      ),
      { output: 4, complete: true },
    ],
    [
      'an error in the middle',
      'chat',
      sse(chunk(null), { error: { message: 'x', type: 'server_error', code: null } }),
      { complete: false, begun: true, error: { type: 'server_error', message: 'x' } },
    ],
    [
      'an error at once, its code a number',
      'chat',
      sse({ error: { message: 'x', code: 429 } }),
      { complete: false, begun: false, error: { type: 'server_error', message: 'x' } },
    ],
    [
      'an error by name',
      'chat',
      'event: error\ndata: {"message":"x"}\n\n',
      { begun: false, error: { type: 'server_error', message: 'x' } },
    ],
    [
      'an error in place of the end',
      'chat',
      sse(chunk('stop', prompt(9, 4)), { error: 'x' }, '[DONE]'),
      { complete: false, input: 9, error: { type: 'server_error', message: 'x' } },
    ],
    [
      'a chunk over two lines',
      'chat',
      sse(chunk('stop', prompt(9, 4)), '[DONE]').replace(',"finish_reason', ',\ndata: "finish_reason'),
      { input: 9, complete: true },
    ],

    ['several candidates', 'gemini', sse(part('STOP', counts, 0), part(undefined, counts, 1)), partial],
    [
      'several candidates, all ended',
      'gemini',
      sse(part(undefined, counts, 0), part('STOP', counts, 1), part('STOP', counts, 0)),
      { complete: true },
    ],
    ['no counts at all', 'gemini', sse(part(undefined, { trafficType: 'ON_DEMAND' }), part('STOP')), untold],
    [
      'counts that are taken back',
      'gemini',
      sse(
        part(undefined, { ...counts, cachedContentTokenCount: 5, toolUsePromptTokenCount: 2 }),
        part('STOP', { promptTokenCount: 0, candidatesTokenCount: 0 }),
      ),
      { input: 6, output: 4, cacheRead: 5, complete: true },
    ],
    [
      'more cached than there is',
      'gemini',
      sse(part('STOP', { promptTokenCount: 4, cachedContentTokenCount: 9, toolUsePromptTokenCount: 2 })),
      { input: 2, cacheRead: 9 },
    ],
    ['an end that is none', 'gemini', sse(part('FINISH_REASON_UNSPECIFIED', counts)), partial],
    ['only a usage', 'gemini', sse({ usageMetadata: counts }), { ...partial, begun: false, input: 9 }],
    [
      'an error in the middle',
      'gemini',
      sse(part(undefined, counts), { error: { code: 503, message: 'x', status: 'UNAVAILABLE' } }),
      { complete: false, begun: true, error: { type: 'UNAVAILABLE', message: 'x' } },
    ],
    [
      'an error at once, in an array',
      'gemini',
      sse('[{"error":{"code":429,"message":"x","status":"RESOURCE_EXHAUSTED"}}]'),
      { complete: false, begun: false, error: { type: 'RESOURCE_EXHAUSTED', message: 'x' } },
    ],
    ['an end mark of another dialect', 'gemini', sse(part('STOP', counts), '[DONE]'), { complete: true, input: 9 }],
  ]
  for (const [what, dialect, stream, want] of cases)
    for (const size of [stream.length, 1])
      t.match(
        metered(dialect, true, pieces(Buffer.from(stream), size)),
        want,
        `${dialect}: ${what}, ${size} bytes at once`,
      )

  const bodies: [what: string, dialect: DialectName, body: object, want: object][] = [
    [
      'an error',
      'responses',
      { status: 'failed', error: { code: 'server_error', message: 'x' }, usage },
      { complete: false, error: { type: 'server_error', message: 'x' } },
    ],
    ['work in progress', 'responses', { status: 'queued', error: null, usage: null }, partial],
    [
      'an error',
      'chat',
      { error: { type: 'x', message: 'y' } },
      { complete: false, error: { type: 'x', message: 'y' } },
    ],
    ['no usage', 'chat', { choices: [{ finish_reason: 'stop' }] }, untold],
    [
      'an error',
      'gemini',
      { error: { status: 'INTERNAL', message: 'y' } },
      { complete: false, error: { type: 'INTERNAL', message: 'y' } },
    ],
    [
      'an array that ends in an error',
      'gemini',
      [part('STOP', counts), { error: { message: 'y' } }],
      { complete: false, input: 9, error: { type: 'INTERNAL', message: 'y' } },
    ],
    ['a wrapped body', 'gemini', { response: part('STOP', counts), traceId: 'x' }, { complete: true, input: 9 }],
  ]
  for (const [what, dialect, body, want] of bodies)
    t.match(metered(dialect, false, [Buffer.from(JSON.stringify(body))]), want, `${dialect}: ${what}, whole`)
})

t.test('a delta is passed by unread, and what only begins like one is not', async t => {
  const broken: Partial<Record<DialectName, string>> = {
    messages: 'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"a" broken }}',
    responses: 'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"a" broken }',
    chat: 'data: {"choices":[{"delta":{"content":"a"},"finish_reason":null} broken ],"usage":null}',
  }
  for (const [dialect, event] of Object.entries(broken) as [DialectName, string][]) {
    const first = `${event.replace(' broken ', '')}\n\n`
    const seen = metered(dialect, true, [Buffer.from(`${first}${event}\n\n`)])
    t.match(seen, { begun: true, emitted: 2 }, `${dialect}: nobody has noticed that it is broken`)
    const held = await heldBy(() => {
      const meter = meters[dialect](true)
      meter.push(Buffer.from(first + event))
      for (let i = 0; i < 40; i++) meter.push(Buffer.alloc(1024 * 1024, 'x'))
      meter.push(Buffer.from('\n\n'))
      t.ok(meter.begun)
    })
    t.ok(held < 4, `${dialect}: ${held} MB held of a delta of 40`)
  }
  const text = 'a "long" text }, '.repeat(80)
  const usage = { prompt_tokens: 9, completion_tokens: 4 }
  const long = Buffer.from(
    sse({ choices: [{ delta: { content: text }, logprobs: null, finish_reason: 'stop' }], usage }, '[DONE]'),
  )
  for (let at = 1; at < long.length; at++) {
    const seen = metered('chat', true, [long.subarray(0, at), long.subarray(at)])
    if (!seen.complete || seen.input !== 9) return t.fail(`cut at ${at}: ${long.toString('utf8', 0, at).slice(-20)}`)
  }
  t.pass('a long chunk with an end and a usage behind its text')
})
