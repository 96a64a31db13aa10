// Messages requests: what Claude is asked by what each model takes, and what its own clients ask. Long, being tables of cases.
import t from 'tap'
import { messagesCodec as codec } from '../../src/dialect/messages/codec.ts'
import { inputSchema } from '../../src/dialect/messages/schema.ts'
import type { Target } from '../../src/dialect/middle/codec.ts'
import type { Ask, Issuer, Json, Part, Turn } from '../../src/dialect/middle/form.ts'
import { factsOf } from '../../src/dialect/middle/models.ts'
import { Notes } from '../../src/dialect/middle/notes.ts'
import { enclose } from '../../src/dialect/middle/seal.ts'
import { Failure, toFailure } from '../../src/lib/failure.ts'

const json = (value: unknown) => JSON.stringify(value) as Json
const user = (text: string): Turn => ({ role: 'user', parts: [{ type: 'text', text }] })

const plain: Ask = {
  dialect: 'chat',
  model: 'm',
  stream: false,
  system: [],
  turns: [user('q')],
  tools: [],
  choice: 'auto',
  sampling: {},
  limits: { maxTokens: 5000, stop: [] },
  cache: {},
  held: [],
  wants: { usage: true, reasoning: false },
  ext: {},
}
const tool = (name: string, schema: unknown = { type: 'object' }) => ({
  kind: 'function' as const,
  name,
  schema: json(schema),
})

interface Told {
  // biome-ignore lint/suspicious/noExplicitAny: a request as an upstream reads it
  body: any
  dropped: string
  headers: Record<string, string>
}

const issuerOf = (model: string, scope = '0a1b2c3d'): Issuer => ({ platform: 'anthropic', scope, model })

function targetOf(model: string, over: Partial<Target> = {}): Target {
  return {
    model,
    facts: factsOf('anthropic', model),
    own: true,
    internal: false,
    issuer: issuerOf(model),
    kept: () => undefined,
    seals: true,
    settings: { autoCache: false },
    ...over,
  }
}

function encoded(over: Partial<Ask>, model = 'claude-sonnet-5', target: Partial<Target> = {}): Told {
  const notes = new Notes()
  const { body, headers } = codec.encodeAsk({ ...plain, ...over }, targetOf(model, target), notes)
  return { body: JSON.parse(body), dropped: notes.header, headers }
}

const refusal = (over: Partial<Ask>): string | undefined => {
  try {
    encoded(over)
    return undefined
  } catch (error) {
    return error instanceof Failure && error.code === 'UNTRANSLATABLE' ? error.param : String(error)
  }
}

t.test('trap 15, trap 16, trap 31: thinking, sampling and forced tools by what each model takes', async t => {
  const table: {
    what: string
    model: string
    ask: Partial<Ask>
    thinking?: object
    effort?: string
    choice?: object
    dropped?: string
    sampling?: object
  }[] = [
    { what: 'nothing asked', model: 'claude-sonnet-4-5', ask: {} },
    { what: 'nothing asked, but it always thinks', model: 'claude-opus-5-5', ask: {} },
    {
      what: 'nothing asked, it always thinks and the client shows it',
      model: 'claude-opus-5-5',
      ask: { wants: { usage: true, reasoning: true } },
      thinking: { type: 'adaptive', display: 'summarized' },
    },
    {
      what: 'an effort',
      model: 'claude-sonnet-5',
      ask: { thinking: { mode: 'auto', effort: 'high', params: { effort: 'reasoning_effort' } } },
      thinking: { type: 'adaptive' },
      effort: 'high',
    },
    {
      what: 'an effort that is not offered',
      model: 'claude-opus-4-6',
      ask: { thinking: { mode: 'auto', effort: 'xhigh', params: { effort: 'reasoning_effort' } } },
      thinking: { type: 'adaptive' },
      effort: 'high',
      dropped: 'reasoning_effort~',
    },
    {
      what: 'an effort where only budgets are taken',
      model: 'claude-sonnet-4-5',
      ask: { thinking: { mode: 'auto', effort: 'low', params: { effort: 'reasoning_effort' } } },
      thinking: { type: 'enabled', budget_tokens: 1024 },
    },
    {
      what: 'an effort whose budget is more than the answer may have',
      model: 'claude-sonnet-4-5',
      ask: { thinking: { mode: 'auto', effort: 'high', params: {} } },
      thinking: { type: 'enabled', budget_tokens: 4999 },
    },
    {
      what: 'a budget',
      model: 'claude-opus-5',
      ask: { thinking: { mode: 'budget', budget: 2000, params: { mode: 'thinking' } } },
      thinking: { type: 'enabled', budget_tokens: 2000 },
    },
    {
      what: 'a budget that is too large for the answer',
      model: 'claude-opus-5',
      ask: { thinking: { mode: 'budget', budget: 9000, params: { mode: 'thinking' } } },
      thinking: { type: 'enabled', budget_tokens: 4999 },
      dropped: 'thinking~',
    },
    {
      what: 'a budget for which the answer has no room',
      model: 'claude-opus-5',
      ask: {
        limits: { maxTokens: 500, stop: [] },
        thinking: { mode: 'budget', budget: 2000, params: { mode: 'thinking' } },
      },
      thinking: { type: 'disabled' },
      dropped: 'thinking~',
    },
    {
      what: 'a budget where none is taken',
      model: 'claude-opus-5-5',
      ask: { thinking: { mode: 'budget', budget: 2000, show: 'summary', params: { mode: 'thinking' } } },
      thinking: { type: 'adaptive', display: 'summarized' },
      effort: 'medium',
    },
    {
      what: 'off',
      model: 'claude-haiku-5-5',
      ask: { thinking: { mode: 'off', params: { mode: 'reasoning_effort' } } },
      thinking: { type: 'disabled' },
    },
    {
      what: 'off with an effort that only thinking has',
      model: 'claude-opus-5',
      ask: { thinking: { mode: 'off', effort: 'max', params: { effort: 'output_config.effort' } } },
      thinking: { type: 'disabled' },
      effort: 'high',
      dropped: 'output_config.effort~',
    },
    {
      what: 'off where it cannot be',
      model: 'claude-opus-5-5',
      ask: { thinking: { mode: 'off', params: { mode: 'reasoning_effort' } } },
      thinking: { type: 'adaptive' },
      effort: 'low',
      dropped: 'reasoning_effort~',
    },
    {
      what: 'off where between tools is the least',
      model: 'claude-sonnet-5-5',
      ask: { thinking: { mode: 'off', params: { mode: 'reasoning_effort' } } },
      thinking: { type: 'between_tools' },
      dropped: 'reasoning_effort~',
    },
    {
      what: 'a model that does not think',
      model: 'claude-3-haiku',
      ask: { thinking: { mode: 'auto', effort: 'low', params: { effort: 'reasoning_effort' } } },
      dropped: 'max_completion_tokens~, reasoning_effort',
    },
    {
      what: 'reasoning that must not be shown',
      model: 'claude-sonnet-5',
      ask: { thinking: { mode: 'auto', show: 'none', params: {} } },
      thinking: { type: 'adaptive', display: 'omitted' },
    },
    {
      what: 'sampling where it is taken',
      model: 'claude-sonnet-4-5',
      ask: { sampling: { temperature: 1.5, topK: 4 } },
      sampling: { temperature: 1, top_k: 4 },
      dropped: 'temperature~',
    },
    {
      what: 'both kinds of it at once',
      model: 'claude-sonnet-4-5',
      ask: { sampling: { temperature: 0.5, topP: 0.9 } },
      sampling: { temperature: 0.5 },
      dropped: 'top_p',
    },
    {
      what: 'sampling where it is refused, and what nobody has at Anthropic',
      model: 'claude-sonnet-5',
      ask: {
        sampling: { temperature: 0.5, topP: 0.9, topK: 1, seed: 1, presence: 1, frequency: 1 },
        wants: { usage: true, reasoning: false, logprobs: 2 },
        tier: 'flex',
      },
      dropped:
        'frequency_penalty, logprobs, presence_penalty, seed, service_tier, temperature, top_k, top_logprobs, top_p',
    },
    {
      what: 'sampling beside thinking',
      model: 'claude-opus-4-6',
      ask: { sampling: { temperature: 0.5, topK: 1 }, thinking: { mode: 'auto', params: {} } },
      thinking: { type: 'adaptive' },
      dropped: 'temperature, top_k',
    },
    {
      what: 'a forced tool',
      model: 'claude-haiku-5-5',
      ask: { tools: [tool('f')], choice: { names: ['f'] }, parallel: false },
      choice: { type: 'tool', name: 'f', disable_parallel_tool_use: true },
    },
    {
      what: 'a forced tool where none can be',
      model: 'claude-opus-5-5',
      ask: { tools: [tool('f')], choice: { names: ['f'] } },
      choice: { type: 'auto' },
      dropped: 'tool_choice~',
    },
    {
      what: 'any tool beside a budget',
      model: 'claude-opus-5',
      ask: { tools: [tool('f')], choice: 'required', thinking: { mode: 'budget', budget: 2000, params: {} } },
      thinking: { type: 'enabled', budget_tokens: 2000 },
      choice: { type: 'auto' },
      dropped: 'tool_choice~',
    },
    {
      what: 'some of the tools',
      model: 'claude-sonnet-5',
      ask: { tools: [tool('f'), tool('g')], choice: { names: ['f', 'g'] } },
      choice: { type: 'any' },
      dropped: 'tool_choice~',
    },
    {
      what: 'no tool',
      model: 'claude-opus-5-5',
      ask: { tools: [tool('f')], choice: 'none' },
      choice: { type: 'none' },
    },
    { what: 'a choice without tools', model: 'claude-opus-5-5', ask: { choice: 'required' } },
  ]
  for (const { what, model, ask, thinking, effort, choice, dropped = '', sampling = {} } of table) {
    const told = encoded(ask, model)
    const { temperature, top_p, top_k } = told.body
    t.strictSame(
      [
        told.body.thinking,
        told.body.output_config?.effort,
        told.body.tool_choice,
        told.dropped,
        { temperature, top_p, top_k },
      ],
      [thinking, effort, choice, dropped, { temperature: undefined, top_p: undefined, top_k: undefined, ...sampling }],
      `${what} (${model})`,
    )
  }
  const forced = encoded({ tools: [tool('f')], choice: { names: ['f'] } }, 'claude-opus-5-5').body.system
  t.match(forced[0].text, /Call the tool f now/, 'the instruction stands in the system prompt')
})

t.test('the version is the model’s', async t => {
  t.equal(encoded({}, 'claude-sonnet-4-5').headers['anthropic-version'], '2023-06-01')
  t.equal(encoded({}, 'claude-sonnet-5').headers['anthropic-version'], '2026-10-21')
})

t.test('limits and stops', async t => {
  t.equal(encoded({ limits: { stop: [] } }, 'claude-sonnet-4-5').body.max_tokens, 64_000, 'what is left open is all')
  t.equal(encoded({ limits: { maxTokens: 0, stop: [] } }).body.max_tokens, 0, 'which fills the cache')
  t.equal(encoded({ cache: { prewarm: true } }).body.max_tokens, 0)
  const much = encoded({ limits: { maxTokens: 100_000, stop: [' ', 'x'] } }, 'claude-sonnet-4-5')
  t.strictSame(
    [much.body.max_tokens, much.body.stop_sequences, much.dropped],
    [64_000, ['x'], 'max_completion_tokens~, stop~'],
  )
})

t.test('trap 20: a client that cannot ask for a cache has it asked for it', async t => {
  const settings = { autoCache: true }
  t.strictSame(encoded({}, 'claude-sonnet-5', { settings }).body.cache_control, { type: 'ephemeral' })
  t.strictSame(encoded({ cache: { ttl: '12h' } }, 'claude-sonnet-5', { settings }).body.cache_control, {
    type: 'ephemeral',
    ttl: '1h',
  })
  t.notOk(encoded({}).body.cache_control, 'not where the operator does not want it')
  t.notOk(encoded({ cache: { auto: false } }, 'claude-sonnet-5', { settings }).body.cache_control, 'nor the client')
  const own = encoded({ system: [{ type: 'text', text: 's', cache: 'default' }] }, 'claude-sonnet-5', { settings }).body
  t.notOk(own.cache_control, 'nor where it does so itself')
  t.strictSame(own.system, [{ type: 'text', text: 's', cache_control: { type: 'ephemeral' } }])
})

t.test('of breakpoints the last four are kept, and none lasts longer than one before it', async t => {
  const text = (said: string, cache: '1h' | '5m' | 'default') => ({ type: 'text' as const, text: said, cache })
  const { body, dropped } = encoded({
    tools: [{ ...tool('f'), cache: '1h' }],
    system: [text('a', '1h')],
    turns: [{ role: 'user', parts: [text('b', '1h'), text('c', 'default'), text('d', '1h')] }],
  })
  const hour = { type: 'ephemeral', ttl: '1h' }
  const short = { type: 'ephemeral' }
  t.equal(body.tools[0].cache_control, undefined)
  const blocks = [...body.system, ...body.messages[0].content]
  t.strictSame(
    blocks.map(block => block.cache_control),
    [hour, hour, short, short],
  )
  t.equal(dropped, 'prompt_cache_breakpoint~')
})

t.test('trap 33: what Anthropic refuses in a schema is said in its description', async t => {
  const schema = {
    type: 'object',
    properties: {
      n: { type: 'integer', minimum: 1, description: 'how many' },
      minimum: { type: 'string', pattern: '^a', format: 'email' },
      one: {
        oneOf: [
          { type: 'string', format: 'color' },
          { type: 'object', properties: {} },
        ],
      },
      list: { type: 'array', items: { type: 'string', minLength: 2 }, uniqueItems: true },
    },
    required: ['n'],
  }
  const { body, dropped } = encoded({ format: { kind: 'schema', schema: json(schema) } })
  t.strictSame(body.output_config.format, {
    type: 'json_schema',
    schema: {
      type: 'object',
      properties: {
        n: { type: 'integer', description: 'how many (minimum: 1)' },
        minimum: { type: 'string', format: 'email', description: '(pattern: "^a")' },
        one: {
          anyOf: [
            { type: 'string', description: '(format: "color")' },
            { type: 'object', properties: {}, additionalProperties: false },
          ],
        },
        list: {
          type: 'array',
          items: { type: 'string', description: '(minLength: 2)' },
          description: '(uniqueItems: true)',
        },
      },
      required: ['n'],
      additionalProperties: false,
    },
  })
  t.equal(dropped, 'response_format.json_schema.schema~')
  const fine =
    '{ "type":"object", "additionalProperties":false, "properties":{"n":{"const":12345678901234567890}} }' as Json
  const notes = new Notes()
  const asking = codec.encodeAsk(
    { ...plain, format: { kind: 'schema', schema: fine } },
    targetOf('claude-sonnet-5'),
    notes,
  )
  t.ok(asking.body.includes(fine), 'one that needs no change stays as it stood')
  t.equal(notes.header, '')
})

t.test('trap 32: JSON without a schema is asked for in words', async t => {
  const { body, dropped } = encoded({ format: { kind: 'json' } })
  t.match(body.system[0].text, /one JSON object/)
  t.equal(dropped, 'response_format~')
})

t.test('trap 37: a tool’s input is an object at its root', async t => {
  const cases: [schema: unknown, expected: object, changed: boolean][] = [
    [undefined, { type: 'object' }, false],
    [{ properties: { a: {} } }, { type: 'object', properties: { a: {} } }, false],
    [{ type: 'string' }, { type: 'object' }, true],
    [
      {
        anyOf: [
          { properties: { a: {} }, required: ['a'] },
          { properties: { a: {}, b: {} }, required: ['a', 'b'] },
        ],
        description: 'd',
      },
      { description: 'd', type: 'object', properties: { a: {}, b: {} }, required: ['a'] },
      true,
    ],
    [
      {
        type: 'object',
        properties: { c: {} },
        allOf: [{ properties: { a: {} }, required: ['a'] }, { required: ['c'] }],
      },
      { type: 'object', properties: { c: {}, a: {} }, required: ['a', 'c'] },
      true,
    ],
    [3, { type: 'object' }, true],
  ]
  for (const [schema, expected, changed] of cases) {
    const written = inputSchema(schema === undefined ? undefined : json(schema))
    t.strictSame([JSON.parse(written.json), written.changed], [expected, changed])
  }
})

t.test('tools: freeform, namespaced, of the vendor, promised', async t => {
  const { body, dropped } = encoded(
    {
      dialect: 'responses',
      tools: [
        { kind: 'freeform', name: 'patch', description: 'Edit.', grammar: 'start: x' },
        {
          kind: 'function',
          name: 'q',
          namespace: 'db',
          strict: true,
          schema: json({ type: 'object', properties: { n: { minimum: 1 } } }),
        },
        { kind: 'server', name: 'web_search', server: 'webSearch' },
        { kind: 'server', name: 'file_search', server: 'fileSearch' },
        { kind: 'function', name: `mcp.${'x'.repeat(140)}` },
      ],
    },
    'claude-sonnet-5',
  )
  t.strictSame(body.tools[0].input_schema, {
    type: 'object',
    properties: { input: { type: 'string' } },
    required: ['input'],
  })
  t.match(body.tools[0].description, /^Edit\.[\s\S]*start: x$/)
  t.strictSame([body.tools[1].name, body.tools[1].strict], ['db__q', true])
  t.strictSame(body.tools[2], { type: 'web_search_20250305', name: 'web_search' })
  t.match(body.tools[3].name, /^mcp_x{115}_[0-9a-f]{8}$/)
  t.equal(body.tools[3].name.length, 128)
  t.equal(dropped, 'tools.file_search, tools.format, tools.parameters~')
})

t.test('the user begins, and ends where the model takes no beginning of its answer', async t => {
  const said = (role: Turn['role'], text: string): Turn => ({ role, parts: [{ type: 'text', text }] })
  const roles = (turns: Turn[], model: string, more: Partial<Ask> = {}) => {
    const { body, dropped } = encoded({ turns, ...more }, model)
    return [body.messages.map(({ role }: { role: string }) => role).join(' '), dropped]
  }
  const greeted = [said('assistant', 'Hello!'), user('hi')]
  t.strictSame(roles(greeted, 'claude-opus-5-5'), ['user assistant user', ''])
  const begun = [user('a number?'), said('assistant', 'It is ')]
  t.strictSame(roles(begun, 'claude-sonnet-4-5'), ['user assistant', ''], 'it goes on')
  for (const model of ['claude-opus-4-6', 'claude-sonnet-5', 'claude-opus-5-5'])
    t.strictSame(roles(begun, model), ['user assistant user', 'messages~'], model)
  const thinking: Ask['thinking'] = { mode: 'budget', budget: 2000, params: { mode: 'thinking' } }
  t.strictSame(roles(begun, 'claude-sonnet-4-5', { thinking }), ['user assistant user', 'messages~'], 'thinks first')
})

t.test('an image has a type that Claude takes', async t => {
  const type = (base64: string, mime?: string) => {
    const image: Part = { type: 'media', kind: 'image', at: { base64 }, ...(mime ? { mime } : {}) }
    return encoded({ turns: [{ role: 'user', parts: [image] }] }).body.messages[0].content[0].source.media_type
  }
  t.equal(type('/9j/AA', 'image/jpg'), 'image/jpeg', 'as many clients write it')
  t.equal(type('UklGAA', 'application/octet-stream'), 'image/webp')
  t.equal(type('iVBOR', 'IMAGE/*'), 'image/png')
  t.equal(type('R0lGAA'), 'image/gif')
})

t.test('a tool that must be called is named as it is on the wire', async t => {
  const tools: Ask['tools'] = [
    { kind: 'function', name: 'q', namespace: 'db' },
    { kind: 'server', name: 'web_search_preview', server: 'webSearch' },
  ]
  const choice = (name: string) => encoded({ tools, choice: { names: [name] } }, 'claude-sonnet-4-5').body.tool_choice
  t.strictSame(choice('q'), { type: 'tool', name: 'db__q' })
  t.strictSame(choice('web_search_preview'), { type: 'tool', name: 'web_search' })
})

t.test('trap 43: what lives at another provider is refused by its name, and so is what has no translation', async t => {
  t.equal(refusal({ held: [{ what: 'previous', param: 'previous_response_id', id: 'r' }] }), 'previous_response_id')
  t.equal(refusal({ wants: { usage: true, reasoning: false, candidates: 2 } }), 'n')
  const media = (part: object) => refusal({ turns: [{ role: 'user', parts: [part as Part] }] })
  t.equal(media({ type: 'media', kind: 'audio', at: { base64: 'AA' } }), 'messages.audio')
  t.equal(
    media({ type: 'media', kind: 'document', mime: 'application/msword', at: { base64: 'AA' } }),
    'messages.document',
  )
  t.equal(refusal({ turns: [] }), 'messages', 'nothing to answer')
})

t.test(
  'trap 46: system turns stay where they are where the model takes them, and are a reminder elsewhere',
  async t => {
    const turns: Turn[] = [
      { role: 'system', parts: [{ type: 'text', text: 'first' }] },
      user('q'),
      { role: 'system', parts: [{ type: 'text', text: 'later' }] },
      user('r'),
    ]
    const newer = encoded({ system: [{ type: 'text', text: 's' }], turns }).body
    t.strictSame(
      newer.system.map(({ text }: { text: string }) => text),
      ['s', 'first'],
    )
    t.strictSame(newer.messages, [
      { role: 'user', content: 'q' },
      { role: 'system', content: 'later' },
      { role: 'user', content: 'r' },
    ])
    const older = encoded({ turns }, 'claude-sonnet-4-5').body
    t.strictSame(
      older.messages[0].content.map(({ text }: { text: string }) => text),
      ['q', '<system-reminder>\nlater\n</system-reminder>', 'r'],
    )
    t.strictSame(encoded({ system: [{ type: 'text', text: 's' }], turns: [] }).body.messages, [
      { role: 'user', content: 's' },
    ])
  },
)

t.test('trap 17: images and documents, in results too', async t => {
  const image: Part = { type: 'media', kind: 'image', at: { base64: 'R0lGODdh' } }
  const { body } = encoded({
    turns: [
      {
        role: 'user',
        parts: [
          image,
          { type: 'media', kind: 'image', mime: 'image/png', at: { url: 'https://x/y.png' } },
          { type: 'media', kind: 'document', at: { base64: 'JVBERi0=' }, title: 'd' },
          { type: 'media', kind: 'document', mime: 'text/csv', at: { base64: 'YSxi' } },
          { type: 'media', kind: 'document', at: { text: 'hello' } },
        ],
      },
      { role: 'assistant', parts: [{ type: 'call', id: 'c', name: 'f', input: { json: json({}) } }] },
      {
        role: 'user',
        parts: [{ type: 'result', callId: 'c', error: false, parts: [{ type: 'text', text: 'see' }, image] }],
      },
    ],
    tools: [tool('f')],
  })
  const gif = { type: 'image', source: { type: 'base64', media_type: 'image/gif', data: 'R0lGODdh' } }
  t.strictSame(body.messages[0].content, [
    gif,
    { type: 'image', source: { type: 'url', url: 'https://x/y.png' } },
    { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: 'JVBERi0=' }, title: 'd' },
    { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'a,b' } },
    { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'hello' } },
  ])
  t.strictSame(body.messages[2].content[0].content, [{ type: 'text', text: 'see' }, gif])
})

t.test('trap 14: the input of a tool stays the text it is; what is no object is kept under a name', async t => {
  const call = (input: { json: Json }): Turn[] => [
    user('q'),
    { role: 'assistant', parts: [{ type: 'call', id: 'c', name: 'f', input }] },
    user('r'),
  ]
  const written = (input: string) =>
    codec.encodeAsk({ ...plain, turns: call({ json: input as Json }) }, targetOf('claude-sonnet-5'), new Notes()).body
  t.ok(written('{"b": 12345678901234567890, "a":1e400}').includes('"input":{"b": 12345678901234567890, "a":1e400}'))
  t.ok(written('').includes('"input":{}'))
  t.ok(written('{"cut":').includes('"input":{"_raw":"{\\"cut\\":"}'), 'trap 57: nothing is repaired')
  t.ok(written('[1]').includes('"input":{"_raw":"[1]"}'))
})

t.test('trap 12, trap 41: proofs of reasoning go to whoever issued them; the rest is left out and named', async t => {
  const model = 'claude-opus-4-6'
  const thought = (issuer: Issuer | undefined, value = 'SIG', text = 'hm'): Part => ({
    type: 'thought',
    text,
    seal: { value, issuer },
  })
  const asked = (dialect: Ask['dialect'], parts: Part[], target: Partial<Target> = {}) =>
    encoded({ dialect, turns: [user('q'), { role: 'assistant', parts }, user('r')] }, model, target)
  const of = ({ body }: Told) =>
    body.messages.map((one: { content: unknown }) => (Array.isArray(one.content) ? one.content[0].type : one.content))
  const text: Part = { type: 'text', text: 'x' }
  const own = asked('responses', [thought(issuerOf(`${model}-20260101`)), text])
  t.strictSame([of(own), own.dropped], [['q', 'thinking', 'r'], ''], 'of the model, dated or not')
  t.strictSame(own.body.messages[1].content[0], { type: 'thinking', thinking: 'hm', signature: 'SIG' })
  for (const [what, issuer, dialect] of [
    ['of another account', issuerOf(model, 'ffffffff'), 'responses'],
    ['of another model', issuerOf('claude-sonnet-5'), 'responses'],
    ['of another vendor', { ...issuerOf(model), platform: 'openai' }, 'responses'],
    ['of the client’s own vendor', undefined, 'responses'],
  ] as const) {
    const foreign = asked(dialect, [thought(issuer), text])
    t.strictSame([of(foreign), foreign.dropped], [['q', 'x', 'r'], 'input.reasoning'], what)
  }
  const alone = asked('responses', [thought(undefined)])
  t.strictSame(
    alone.body.messages,
    [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'q' },
          { type: 'text', text: 'r' },
        ],
      },
    ],
    'no empty message is left',
  )
  t.strictSame(
    of(asked('messages', [thought(undefined), text])),
    ['q', 'thinking', 'r'],
    'one that nobody knows may be good',
  )
  t.strictSame(
    of(asked('responses', [thought(issuerOf(model)), text], { seals: false })),
    ['q', 'x', 'r'],
    'after a refusal none',
  )
  const redacted = asked('gemini', [
    { type: 'thought', text: '', redacted: true, seal: { value: 'R', issuer: issuerOf(model) } },
    text,
  ])
  t.strictSame(redacted.body.messages[1].content[0], { type: 'redacted_thinking', data: 'R' })
})

t.test('what was kept for a client that has no place for it goes before the call', async t => {
  const model = 'claude-opus-5-5'
  const call = (id: string): Part => ({ type: 'call', id, name: 'f', input: { json: json({}) } })
  const turns: Turn[] = [
    user('q'),
    { role: 'assistant', parts: [{ type: 'text', text: 'x' }, call('a.1'), call('b')] },
    {
      role: 'user',
      parts: [
        { type: 'result', callId: 'a.1', parts: [], error: false },
        { type: 'result', callId: 'b', parts: [], error: false },
      ],
    },
  ]
  const kept = (key: string) =>
    key === 'a.1' ? { seal: { value: 'S', issuer: issuerOf(model) }, text: 'hm' } : undefined
  const { body, headers } = encoded({ turns, tools: [tool('f')], thinking: { mode: 'auto', params: {} } }, model, {
    kept,
  })
  t.strictSame(
    body.messages[1].content.map(({ type }: { type: string }) => type),
    ['thinking', 'text', 'tool_use', 'tool_use'],
  )
  t.match(body.messages[1].content[2].id, /^a_1_/, 'by the client’s own id')
  t.strictSame(
    body.thinking.block_binding,
    { prefix_mismatch_behavior: 'drop_block' },
    'trap 58: one that no longer fits is not the end of it',
  )
  t.equal(headers['anthropic-beta'], 'thinking-binding-controls-2026-08-01')
  const silent = encoded({ turns, tools: [tool('f')] }, model, { kept })
  t.equal(
    silent.body.thinking.type,
    'adaptive',
    'also where nothing is said about thinking, and it thinks all the same',
  )
  t.equal(encoded({ turns, tools: [tool('f')] }, model).body.thinking, undefined, 'but not without any')
  const bare = encoded(
    { turns, tools: [tool('f')], thinking: { mode: 'budget', budget: 2000, params: { mode: 'thinking' } } },
    'claude-sonnet-4-5',
  )
  t.strictSame(
    [bare.body.thinking, bare.dropped],
    [{ type: 'disabled' }, 'thinking~'],
    'with a budget a step under way must begin with a thought',
  )
})

t.test('trap 54: searches of the web in the history are told', async t => {
  const { body, dropped } = encoded({
    dialect: 'responses',
    turns: [
      user('q'),
      {
        role: 'assistant',
        parts: [
          { type: 'call', id: 'ws', name: 'web_search_call', input: { json: json({ query: 'x' }) }, by: 'server' },
          { type: 'text', text: 'found' },
        ],
      },
      user('r'),
    ],
  })
  t.strictSame(body.messages[1].content[0], { type: 'text', text: '[web_search_call {"query":"x"}]' })
  t.equal(dropped, 'input.web_search_call~')
})

t.test('counting asks with the prompt alone', async t => {
  const { body, path } = codec.counting!.encodeAsk(
    { ...plain, stream: true, tools: [tool('f')], endUser: 'u' },
    targetOf('claude-sonnet-5'),
    new Notes(),
  )
  t.strictSame(Object.keys(JSON.parse(body)), ['model', 'messages', 'tools'])
  t.equal(path, '/v1/messages/count_tokens')
  t.equal(codec.counting!.read(Buffer.from('{"input_tokens":12}')), 12)
  t.equal(codec.counting!.read(Buffer.from('<html>')), undefined)
  t.equal(codec.counting!.read(Buffer.from('null')), undefined)
  t.equal(codec.counting!.write(12), '{"input_tokens":12}')
})

// ---- requests of clients ----

const decoded = (body: unknown) =>
  codec.decodeAsk(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), '/v1/messages')

t.test('a client’s request in the middle form', async t => {
  const ask = decoded(
    `{"model":"m","max_tokens":0,"stream":true,"system":[{"type":"text","text":"x-anthropic-billing-header: a"},{"type":"text","text":"s","cache_control":{"type":"ephemeral","ttl":"1h"}}],
    "messages":[{"role":"user","content":[{"type":"document","source":{"type":"text","data":"d"},"title":"t","context":"c"}]},
      {"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{"z":12345678901234567890,"a":1}},{"type":"compaction","content":"so far"},{"type":"new_block","input":{"n":1}}]},
      {"role":"system","content":"now","clear_at":"x"}],
    "tools":[{"name":"f","input_schema":{"type": "object"},"input_examples":[{"input":{"n":1.0}}],"defer_loading":true},{"type":"web_search_20260318","name":"web_search","max_uses":3}],
    "tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true},"thinking":{"type":"enabled","budget_tokens":2048,"display":"omitted"},
    "output_config":{"effort":"max","format":{"type":"json_schema","schema":{"a": 1}},"task_budget":{"total":5}},"metadata":{"user_id":"u","k":1},
    "service_tier":"standard_only","cache_control":{"type":"ephemeral"},"context_management":{"edits":[]}}`,
  )
  t.strictSame(ask.system, [{ type: 'text', text: 's', cache: '1h' }], 'the billing block is no prompt')
  t.strictSame(ask.turns[0]?.parts, [
    { type: 'text', text: 'c' },
    { type: 'media', kind: 'document', title: 't', mime: 'text/plain', at: { text: 'd' } },
  ])
  t.strictSame(ask.turns[1]?.parts, [
    { type: 'call', id: 'a', name: 'f', input: { json: '{"z":12345678901234567890,"a":1}' } },
    { type: 'text', text: 'so far' },
    { type: 'opaque', dialect: 'messages', kind: 'new_block', json: '{"type":"new_block","input":{"n":1}}' },
  ])
  t.strictSame(ask.turns[2], {
    role: 'system',
    parts: [{ type: 'text', text: 'now' }],
    ext: { messages: { clear_at: '"x"' } },
  })
  t.strictSame(ask.tools, [
    {
      kind: 'function',
      name: 'f',
      schema: '{"type": "object"}',
      deferred: true,
      ext: { messages: { input_examples: '[{"input":{"n":1.0}}]' } },
    },
    {
      kind: 'server',
      name: 'web_search_20260318',
      server: 'webSearch',
      ext: { messages: { max_uses: '3', type: '"web_search_20260318"', name: '"web_search"' } },
    },
  ])
  t.strictSame([ask.choice, ask.parallel], [{ names: ['f'] }, false])
  t.strictSame(ask.thinking, {
    mode: 'budget',
    budget: 2048,
    effort: 'max',
    show: 'none',
    params: { mode: 'thinking', effort: 'output_config.effort' },
  })
  t.strictSame(ask.format, { kind: 'schema', schema: '{"a": 1}' })
  t.strictSame(
    [ask.limits.maxTokens, ask.endUser, ask.tier, ask.cache],
    [0, 'u', 'standard', { auto: true, ttl: 'default' }],
  )
  t.strictSame(ask.ext, {
    messages: { context_management: '{"edits":[]}', 'output_config.task_budget': '{"total":5}', metadata: '{"k":1}' },
  })
})

t.test('state that lives at Anthropic is told apart', async t => {
  const ask = decoded({
    model: 'm',
    container: { id: 'c1' },
    thread: { id: 't1' },
    messages: [
      {
        role: 'user',
        content: [
          { type: 'image', source: { type: 'file', file_id: 'f1' } },
          { type: 'container_upload', file_id: 'f2' },
        ],
      },
    ],
  })
  t.strictSame(
    ask.held.map(({ what, id }) => [what, id]),
    [
      ['container', 'c1'],
      ['thread', 't1'],
      ['file', 'f1'],
      ['file', 'f2'],
    ],
  )
})

t.test('our envelopes are opened, broken ones are nothing', async t => {
  const issuer: Issuer = { platform: 'openai', scope: 'aaaaaaaa', model: 'gpt' }
  const envelope = enclose({ issuer, value: 'V', text: '', callId: '' })
  const parts = (signature: string) =>
    decoded({ messages: [{ role: 'assistant', content: [{ type: 'thinking', thinking: 'hm', signature }] }] }).turns[0]!
      .parts
  t.strictSame(parts(envelope), [{ type: 'thought', text: 'hm', seal: { value: 'V', issuer } }])
  t.strictSame(parts(envelope.slice(0, -2)), [{ type: 'thought', text: 'hm' }])
  t.strictSame(parts('native'), [{ type: 'thought', text: 'hm', seal: { value: 'native', issuer: undefined } }])
})

t.test('what is wrong in a request is told by its field', async t => {
  const message = (content: unknown) => ({ messages: [{ role: 'user', content }] })
  const cases: [body: unknown, param: string | undefined][] = [
    ['[1]', 'the body'],
    ['{', undefined],
    [{}, 'messages'],
    [{ messages: {} }, 'messages'],
    [{ messages: [1] }, 'messages.0'],
    [{ messages: [{ role: 'tool', content: '' }] }, 'messages.0.role'],
    [message(5), 'messages.0.content'],
    [message([null]), 'messages.0.content.0'],
    [message([{ type: 'text' }]), 'messages.0.content.0.text'],
    [message([{}]), 'messages.0.content.0.type'],
    [message([{ type: 'image' }]), 'messages.0.content.0.source'],
    [message([{ type: 'image', source: { type: 'x' } }]), 'messages.0.content.0.source.type'],
    [message([{ type: 'tool_result' }]), 'messages.0.content.0.tool_use_id'],
    [message([{ type: 'tool_result', tool_use_id: 'a', content: 3 }]), 'messages.0.content.0.content'],
    [{ ...message('q'), max_tokens: -1 }, 'max_tokens'],
    [{ ...message('q'), temperature: 'hot' }, 'temperature'],
    [{ ...message('q'), tools: [{}] }, 'tools.0.name'],
    [{ ...message('q'), tool_choice: { type: 'tool' } }, 'tool_choice.name'],
    [{ ...message('q'), thinking: 'yes' }, 'thinking'],
    [{ ...message('q'), output_config: { effort: 'huge' } }, 'output_config.effort'],
    [{ ...message('q'), stop_sequences: [1] }, 'stop_sequences.0'],
    [{ ...message('q'), stream: 1 }, 'stream'],
  ]
  for (const [body, param] of cases)
    try {
      decoded(body)
      t.fail(`no failure: ${JSON.stringify(body)}`)
    } catch (error) {
      t.strictSame([toFailure(error).code, toFailure(error).param], ['BODY_INVALID', param], JSON.stringify(body))
    }
})
