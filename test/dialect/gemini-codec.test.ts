// Gemini's codec: what its upstreams are asked and what is made of their answers, and the same for its clients.
import t from 'tap'
import { geminiCodec } from '../../src/dialect/gemini/codec.ts'
import { cleanedSchema, jsonSchemaOf, plainSchema } from '../../src/dialect/gemini/schema.ts'
import type { Asked, Codec, Kept, Target } from '../../src/dialect/middle/codec.ts'
import type { Ask, DialectName, Event, Issuer, Json } from '../../src/dialect/middle/form.ts'
import { Gathering } from '../../src/dialect/middle/gather.ts'
import { factsOf } from '../../src/dialect/middle/models.ts'
import { Notes } from '../../src/dialect/middle/notes.ts'
import { enclose, inBytes, keyOfText } from '../../src/dialect/middle/seal.ts'
import { Translation } from '../../src/dialect/middle/translation.ts'
import { dialectNamed } from '../../src/dialect/table.ts'

// biome-ignore lint/suspicious/noExplicitAny: whatever a body holds
type Any = any

const codecOf = (name: DialectName): Codec => dialectNamed(name).codec!
const json = (value: unknown) => Buffer.from(JSON.stringify(value))

interface How {
  model?: string
  internal?: boolean
  kept?: Record<string, Kept>
  seals?: boolean
}
const issuerOf = (model: string): Issuer => ({ platform: 'gemini', scope: '0a1b2c3d', model })

function targetOf({ model = 'gemini-3.8-flash', internal = false, kept = {}, seals = true }: How): Target {
  const issuer = issuerOf(model)
  const settings = { autoCache: true }
  return {
    model,
    facts: factsOf('gemini', model),
    own: true,
    internal,
    issuer,
    kept: key => kept[key],
    seals,
    settings,
  }
}

/** What Gemini is asked for a client's request. */
function asked(
  client: DialectName,
  body: object,
  how: How = {},
): { body: Any; text: string; path: string; dropped: string } {
  const paths = {
    messages: '/v1/messages',
    chat: '/v1/chat/completions',
    responses: '/v1/responses',
    gemini: '/v1beta/models/m:generateContent',
  }
  const ask = codecOf(client).decodeAsk(json({ model: 'm', ...body }), paths[client])
  const notes = new Notes()
  const { body: text, path, query } = geminiCodec.encodeAsk(ask, targetOf(how), notes)
  return { body: JSON.parse(text), text, path: path + query, dropped: notes.header }
}
const user = (content: unknown) => ({ role: 'user', content })
const tool = (name: string, input_schema: object = { type: 'object', properties: {} }) => ({ name, input_schema })
const use = (id: string, name: string, input: object = {}) => ({ type: 'tool_use', id, name, input })
const result = (tool_use_id: string, content: unknown, more: object = {}) => ({
  type: 'tool_result',
  tool_use_id,
  content,
  ...more,
})
const partsOf = (body: Any, n: number): Any[] => body.contents[n].parts

// ---- requests to Gemini ----

t.test('calls and results', async t => {
  const conversation = {
    max_tokens: 9,
    tools: [tool('f'), tool('mcp server/g')],
    messages: [
      user('go'),
      { role: 'assistant', content: [use('a', 'f', { x: 1 }), use('b', 'mcp server/g')] },
      user([
        result('b', [
          { type: 'text', text: 'B' },
          { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AAAA' } },
        ]),
        result('a', 'bad', { is_error: true }),
        { type: 'text', text: 'next' },
      ]),
    ],
  }
  const { body, dropped } = asked('messages', conversation)
  const [declared] = body.tools
  const name = declared.functionDeclarations[1].name
  t.match(name, /^mcp_server_g_[0-9a-f]{8}$/, 'a name that is not legal is another one, always the same')
  t.strictSame(partsOf(body, 1)[1], { functionCall: { id: 'b', name, args: {} } })
  t.strictSame(
    partsOf(body, 2),
    [
      { functionResponse: { id: 'a', name: 'f', response: { error: 'bad' } } },
      {
        functionResponse: {
          id: 'b',
          name,
          response: { output: 'B' },
          parts: [{ inlineData: { mimeType: 'image/png', data: 'AAAA' } }],
        },
      },
      { text: 'next' },
    ],
    'as many results as calls, in their order, before all else',
  )
  t.equal(dropped, '')
  const older = asked('messages', conversation, { model: 'gemini-2.5-pro' }).body
  t.strictSame(
    partsOf(older, 2).slice(2),
    [
      { text: `From the result of ${name} (b):` },
      { inlineData: { mimeType: 'image/png', data: 'AAAA' } },
      { text: 'next' },
    ],
    'an image that no result may hold stands behind them',
  )
})

t.test(
  'trap 44: developer and system are the system, trap 55: a forced tool and the refusal of parallel calls are told',
  async t => {
    const { body, dropped } = asked('chat', {
      messages: [
        { role: 'developer', content: 'Be brief.' },
        user('hi'),
        { role: 'assistant', content: 'ho' },
        { role: 'system', content: 'Now be long.' },
        user('go'),
      ],
      tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object', properties: {} } } }],
      tool_choice: { type: 'function', function: { name: 'f' } },
      parallel_tool_calls: false,
    })
    t.strictSame(body.systemInstruction, { parts: [{ text: 'Be brief.' }] })
    t.strictSame(
      body.contents.map((content: Any) => content.role),
      ['user', 'model', 'user'],
    )
    t.match(partsOf(body, 2)[0].text, /Now be long\./, 'in place, so that nothing cached moves')
    t.strictSame(body.toolConfig.functionCallingConfig, { mode: 'ANY', allowedFunctionNames: ['f'] })
    t.equal(dropped, 'parallel_tool_calls')
    for (const [choice, mode] of [
      ['required', 'ANY'],
      ['none', 'NONE'],
      ['auto', undefined],
    ] as const) {
      const tools = [{ type: 'function', function: { name: 'f' } }]
      const said = asked('chat', { messages: [user('x')], tools, tool_choice: choice }).body
      t.equal(said.toolConfig?.functionCallingConfig.mode, mode, choice)
    }
  },
)

t.test('trap 11: the first call of a step has a proof, trap 12: and never a stranger’s', async t => {
  const seal = (issuer: Issuer, value: string, callId = '', text = '') => enclose({ issuer, value, text, callId })
  const own = issuerOf('gemini-3.8-flash')
  const claude: Issuer = { platform: 'anthropic', scope: 'ffffffff', model: 'claude-sonnet-5' }
  const history = (signature: string) => ({
    max_tokens: 9,
    tools: [tool('f')],
    messages: [
      user('go'),
      { role: 'assistant', content: [{ type: 'thinking', thinking: 'T', signature }, use('a', 'f'), use('b', 'f')] },
      user([result('a', 'A'), result('b', 'B')]),
    ],
  })
  const proofs = (signature: string, how: How = {}) => {
    const { body, text, dropped } = asked('messages', history(signature), how)
    return [...partsOf(body, 1).map(part => part.thoughtSignature), text.includes('"T"'), dropped]
  }
  const SKIP = 'skip_thought_signature_validator'
  t.strictSame(proofs(seal(own, 'TkFU')), ['TkFU', undefined, false, ''], 'its own goes to the call behind it')
  t.strictSame(proofs(seal(claude, 'Q0xB')), [SKIP, undefined, false, 'messages.thinking'])
  t.strictSame(
    proofs(seal({ ...own, scope: '11111111' }, 'TkFU')),
    [SKIP, undefined, false, 'messages.thinking'],
    'another account',
  )
  t.strictSame(proofs('gw1.broken'), [SKIP, undefined, false, 'messages.thinking'])
  t.strictSame(proofs(seal(claude, 'Q0xB'), { model: 'gemini-2.5-pro' }), [
    undefined,
    undefined,
    false,
    'messages.thinking',
  ])
  const kept = {
    a: { seal: { value: 'S0VQ', issuer: own }, text: '' },
    b: { seal: { value: 'Qg==', issuer: claude }, text: '' },
  }
  t.strictSame(
    proofs(seal(claude, 'Q0xB'), { kept }).slice(0, 2),
    ['S0VQ', undefined],
    'what was kept is found by the id',
  )
  t.strictSame(
    proofs(seal(own, 'TkFU'), { kept, seals: false }).slice(0, 2),
    [SKIP, undefined],
    'and none after a refusal',
  )
  const text = asked(
    'messages',
    { max_tokens: 9, messages: [user('a'), { role: 'assistant', content: 'said' }, user('b')] },
    {
      kept: { [keyOfText('said')]: { seal: { value: 'VEVY', issuer: own }, text: '' } },
    },
  )
  t.equal(partsOf(text.body, 1)[0].thoughtSignature, 'VEVY')
})

t.test('thinking by what the model takes', async t => {
  const cases: [model: string, thinking: object, config: object | undefined, dropped: string][] = [
    ['gemini-3.8-flash', { output_config: { effort: 'medium' } }, { thinkingLevel: 'medium' }, ''],
    ['gemini-3.8-flash', { output_config: { effort: 'max' } }, { thinkingLevel: 'high' }, 'output_config.effort~'],
    ['gemini-3-pro', { output_config: { effort: 'medium' } }, { thinkingLevel: 'low' }, 'output_config.effort~'],
    ['gemini-3.8-flash', { thinking: { type: 'disabled' } }, { thinkingLevel: 'minimal' }, 'thinking~'],
    [
      'gemini-3.8-flash',
      { thinking: { type: 'enabled', budget_tokens: 5000 } },
      { thinkingLevel: 'medium', includeThoughts: true },
      'thinking~',
    ],
    ['gemini-2.5-flash', { thinking: { type: 'disabled' } }, { thinkingBudget: 0 }, ''],
    ['gemini-2.5-pro', { thinking: { type: 'disabled' } }, { thinkingBudget: 128 }, 'thinking~'],
    [
      'gemini-2.5-flash',
      { thinking: { type: 'enabled', budget_tokens: 90_000 } },
      { thinkingBudget: 24_576, includeThoughts: true },
      'thinking~',
    ],
    ['gemini-2.5-pro', { output_config: { effort: 'low' } }, { thinkingBudget: 1024 }, ''],
    ['gemini-2.5-pro', { thinking: { type: 'adaptive', display: 'omitted' } }, { thinkingBudget: -1 }, ''],
    ['gemini-2.0-flash', { thinking: { type: 'enabled', budget_tokens: 2000 } }, undefined, 'thinking~'],
    ['gemini-3.8-flash', {}, undefined, ''],
  ]
  for (const [model, thinking, config, dropped] of cases) {
    const said = asked('messages', { max_tokens: 8000, messages: [user('x')], ...thinking }, { model })
    const { includeThoughts, ...rest } = said.body.generationConfig.thinkingConfig ?? {}
    const { includeThoughts: shows, ...want } = (config ?? {}) as { includeThoughts?: boolean }
    t.strictSame(rest, want, `${model} ${JSON.stringify(thinking)}`)
    if (shows) t.ok(includeThoughts)
    t.equal(said.dropped, dropped, `${model} ${JSON.stringify(thinking)}`)
  }
})

t.test('what cannot be said is named, or refused', async t => {
  const cases: [what: string, client: DialectName, body: object, outcome: string | { refused: string }][] = [
    ['stops beyond five', 'chat', { messages: [user('x')], stop: ['a', 'b', 'c', 'd', 'e', 'f'] }, 'stop'],
    [
      'breakpoints',
      'messages',
      { max_tokens: 1, messages: [user([{ type: 'text', text: 'x', cache_control: { type: 'ephemeral' } }])] },
      'cache_control',
    ],
    [
      'a strict tool',
      'messages',
      { max_tokens: 1, messages: [user('x')], tools: [{ ...tool('f'), strict: true }] },
      'tools.strict',
    ],
    ['a tier there is not', 'chat', { messages: [user('x')], service_tier: 'scale' }, 'service_tier'],
    [
      'an image by address',
      'messages',
      { max_tokens: 1, messages: [user([{ type: 'image', source: { type: 'url', url: 'https://x/y.png' } }])] },
      { refused: 'messages.image' },
    ],
    [
      'a file of another vendor',
      'messages',
      { max_tokens: 1, messages: [user([{ type: 'document', source: { type: 'file', file_id: 'f' } }])] },
      { refused: 'messages' },
    ],
    ['a cache that is only filled', 'messages', { max_tokens: 0, messages: [user('x')] }, { refused: 'max_tokens' }],
  ]
  for (const [what, client, body, outcome] of cases)
    if (typeof outcome === 'string') t.equal(asked(client, body).dropped, outcome, what)
    else
      try {
        asked(client, body)
        t.fail(what)
      } catch (error) {
        const { code, param } = error as { code: string; param: string }
        t.equal(code, 'UNTRANSLATABLE', what)
        t.match(param, new RegExp(`^${outcome.refused}`), what)
      }
  const video = { role: 'user', parts: [{ fileData: { fileUri: 'https://www.youtube.com/watch?v=1' } }] }
  t.strictSame(partsOf(asked('gemini', { contents: [video] }).body, 0), video.parts, 'what Gemini fetches itself')
  t.equal(asked('chat', { messages: [user('x')], service_tier: 'flex' }).body.serviceTier, 'flex')
})

t.test('the form of the answer, and searches beside functions', async t => {
  const format = {
    type: 'json_schema',
    json_schema: { name: 'n', schema: { $schema: 'x', type: 'object', properties: { a: { type: 'string' } } } },
  }
  const tools = [{ type: 'function', function: { name: 'f' } }]
  const said = asked('chat', { messages: [user('x')], response_format: format, tools }).body
  const { thinkingConfig: _, ...config } = said.generationConfig
  t.strictSame(config, {
    responseMimeType: 'application/json',
    responseJsonSchema: { type: 'object', properties: { a: { type: 'string' } } },
  })
  const older = asked('chat', { messages: [user('x')], response_format: format, tools }, { model: 'gemini-2.5-pro' })
  t.match(
    older.body.systemInstruction.parts[0].text,
    /JSON Schema/,
    'trap 33: where it cannot stand beside functions, in words',
  )
  t.equal(older.dropped, 'response_format~')
  const { generationConfig } = asked('chat', { messages: [user('x')], response_format: { type: 'json_object' } }).body
  t.equal(generationConfig.responseMimeType, 'application/json')
  const search = { type: 'web_search_20250305', name: 'web_search' }
  const both = asked('messages', { max_tokens: 1, messages: [user('x')], tools: [search, tool('f')] })
  t.strictSame(both.body.tools[1], { googleSearch: {} })
  t.equal(both.body.toolConfig.includeServerSideToolInvocations, true)
  const not = asked(
    'messages',
    { max_tokens: 1, messages: [user('x')], tools: [search, tool('f')] },
    { model: 'gemini-2.5-pro' },
  )
  t.equal(not.body.tools.length, 1)
  t.equal(not.dropped, 'tools.web_search_20250305')
})

t.test('trap 14: arguments stay the text they are', async t => {
  const args = '{"b": 12345678901234567890, "a":1.50,"é":"\\u00e9"}'
  const body = {
    messages: [
      user('x'),
      { role: 'assistant', tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: args } }] },
    ],
  }
  t.ok(asked('chat', body).text.includes(`"args":${args}`))
  const cut = {
    messages: [
      user('x'),
      { role: 'assistant', tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{"a":' } }] },
    ],
  }
  t.strictSame(
    partsOf(asked('chat', cut).body, 1)[0].functionCall.args,
    { input: '{"a":' },
    'what is no object goes as text',
  )
})

// ---- schemas ----

t.test('trap 35: schemas for v1internal are cleaned by what is allowed, trap 36: names are no keywords', async t => {
  const cases: [what: string, schema: object, clean: object][] = [
    [
      'names like keywords',
      {
        type: 'object',
        properties: {
          properties: { type: 'object', properties: { title: { type: 'string' } } },
          format: { type: 'string' },
          $ref: { type: 'string' },
          type: { type: 'string' },
        },
        required: ['type', 'ghost'],
      },
      {
        type: 'OBJECT',
        properties: {
          properties: { type: 'OBJECT', properties: { title: { type: 'STRING' } } },
          format: { type: 'STRING' },
          $ref: { type: 'STRING' },
          type: { type: 'STRING' },
        },
        required: ['type'],
      },
    ],
    [
      'references and circles',
      {
        type: 'object',
        properties: { a: { $ref: '#/$defs/n' } },
        $defs: { n: { type: 'object', properties: { next: { $ref: '#/$defs/n' } } } },
      },
      { type: 'OBJECT', properties: { a: { type: 'OBJECT', properties: { next: { type: 'OBJECT' } } } } },
    ],
    [
      'constants and lists of values',
      {
        type: 'object',
        properties: {
          a: { const: 'x' },
          b: { enum: ['', 'y', null] },
          c: { enum: [1, 2] },
          d: { anyOf: [{ const: 'p' }, { const: 'q' }] },
        },
      },
      {
        type: 'OBJECT',
        properties: {
          a: { type: 'STRING', enum: ['x'] },
          b: { type: 'STRING', nullable: true, enum: ['y'] },
          c: { type: 'INTEGER', description: '(one of 1, 2)' },
          d: { type: 'STRING', enum: ['p', 'q'] },
        },
      },
    ],
    [
      'alternatives',
      {
        type: 'object',
        properties: {
          a: {
            anyOf: [{ type: 'string' }, { type: 'object', properties: { x: { type: 'number' } } }, { type: 'null' }],
          },
        },
      },
      { type: 'OBJECT', properties: { a: { type: 'OBJECT', nullable: true, properties: { x: { type: 'NUMBER' } } } } },
    ],
    [
      'parts of all',
      {
        allOf: [
          { type: 'object', properties: { a: { type: 'string' } }, required: ['a'] },
          { properties: { b: { type: 'boolean' } } },
        ],
      },
      { type: 'OBJECT', properties: { b: { type: 'BOOLEAN' }, a: { type: 'STRING' } }, required: ['a'] },
    ],
    [
      'keywords nobody there knows',
      {
        $schema: 'x',
        $id: 'y',
        type: 'object',
        additionalProperties: false,
        propertyNames: {},
        patternProperties: {},
        if: {},
        properties: {
          a: { type: 'array', uniqueItems: true, contains: {} },
          b: { type: 'string', format: 'uri', pattern: '^x', minLength: 1 },
        },
      },
      {
        type: 'OBJECT',
        properties: {
          a: { type: 'ARRAY', items: { type: 'STRING' }, description: '(no item twice)' },
          b: { type: 'STRING', description: '(at least 1 characters; matches ^x; format uri)' },
        },
      },
    ],
    ['a root that is no object', { type: 'string' }, { type: 'OBJECT' }],
    ['nothing at all', {}, { type: 'OBJECT' }],
  ]
  for (const [what, schema, clean] of cases)
    t.strictSame(JSON.parse(cleanedSchema(JSON.stringify(schema) as Json)), clean, what)
  t.strictSame(JSON.parse(cleanedSchema('{"type":"object"}' as Json, true)).required, ['reason'])
  t.equal(cleanedSchema('[' as Json), '{"type":"OBJECT"}')
  const kept = '{"type":"object","properties":{"n":{"type":"integer","maximum":12345678901234567890}}}' as Json
  t.equal(plainSchema(kept), kept)
  t.ok(cleanedSchema(kept).includes('at most 12345678901234567890'))
  const { body } = asked(
    'messages',
    { max_tokens: 1, messages: [user('x')], tools: [tool('f')] },
    { internal: true, model: 'claude-opus-4-6-thinking' },
  )
  t.strictSame(body.tools[0].functionDeclarations[0].parameters.required, ['reason'])
  t.equal(body.toolConfig.functionCallingConfig.mode, 'VALIDATED')
})

t.test('schemas of Gemini’s own as JSON Schema', async t => {
  const own =
    '{"type":"OBJECT","properties":{"type":{"type":"STRING","nullable":true,"enum":["a"]},"n":{"type":"ARRAY","minItems":"1","items":{"type":"INTEGER","format":"int32"}}},"propertyOrdering":["n"],"required":["n"]}'
  t.strictSame(JSON.parse(jsonSchemaOf(own as Json)), {
    type: 'object',
    properties: {
      type: { type: ['string', 'null'], enum: ['a', null] },
      n: { type: 'array', minItems: 1, items: { type: 'integer', format: 'int32' } },
    },
    required: ['n'],
  })
})

// ---- requests of Gemini clients ----

const decoded = (body: object, path = '/v1beta/models/m:streamGenerateContent'): Ask =>
  geminiCodec.decodeAsk(json(body), path)

t.test('a client’s request is read in both spellings', async t => {
  const camel = {
    systemInstruction: { parts: [{ text: 'S' }] },
    contents: [{ role: 'user', parts: [{ inlineData: { mimeType: 'image/png', data: 'AA' } }] }],
    tools: [{ functionDeclarations: [{ name: 'f', parametersJsonSchema: { type: 'object' } }] }],
    toolConfig: { functionCallingConfig: { mode: 'ANY', allowedFunctionNames: ['f'] } },
    generationConfig: {
      maxOutputTokens: '7',
      topK: 3,
      stopSequences: ['x'],
      thinkingConfig: { thinkingBudget: 9, includeThoughts: true },
    },
  }
  const snake = {
    system_instruction: { parts: [{ text: 'S' }] },
    contents: [{ role: 'user', parts: [{ inline_data: { mime_type: 'image/png', data: 'AA' } }] }],
    tools: [{ function_declarations: [{ name: 'f', parameters_json_schema: { type: 'object' } }] }],
    tool_config: { function_calling_config: { mode: 'ANY', allowed_function_names: ['f'] } },
    generation_config: {
      max_output_tokens: 7,
      top_k: 3,
      stop_sequences: ['x'],
      thinking_config: { thinking_budget: 9, include_thoughts: true },
    },
  }
  t.strictSame(decoded(snake), decoded(camel))
  const ask = decoded(camel)
  t.strictSame(
    [ask.limits, ask.choice, ask.thinking?.budget, ask.wants.reasoning, ask.stream],
    [{ maxTokens: 7, stop: ['x'] }, { names: ['f'] }, 9, true, true],
  )
  for (const [body, param] of [
    [{}, 'contents'],
    [{ contents: [{ parts: [{ text: 1 }] }] }, 'contents.0.parts.0.text'],
    [{ contents: [], generationConfig: { topP: 'x' } }, 'generationConfig.topP'],
  ] as const)
    t.throws(() => decoded(body), { code: 'BODY_INVALID', param }, param)
})

t.test('trap 47: calls without ids, trap 48: safetySettings are named', async t => {
  const body = {
    contents: [
      { role: 'user', parts: [{ text: 'q' }] },
      { role: 'model', parts: [{ functionCall: { name: 'f', args: { n: 1 } } }, { functionCall: { name: 'g' } }] },
      {
        role: 'user',
        parts: [
          { functionResponse: { name: 'g', response: { error: 'E' } } },
          { functionResponse: { name: 'f', response: { output: 'F', more: 1 } } },
        ],
      },
    ],
    safetySettings: [{ category: 'c', threshold: 't' }],
  }
  const ask = decoded(body)
  const notes = new Notes()
  const target = {
    ...targetOf({}),
    facts: factsOf('anthropic', 'claude-sonnet-5'),
    issuer: { platform: 'anthropic', scope: '0', model: 'x' } as const,
  }
  const { messages } = JSON.parse(codecOf('messages').encodeAsk(ask, target, notes).body)
  const [first, second] = messages[1].content
  t.not(first.id, second.id)
  const byId = new Map(messages[2].content.map((one: Any) => [one.tool_use_id, one]))
  t.equal((byId.get(second.id) as Any).is_error, true, 'by name, where the order is another')
  t.match(JSON.stringify((byId.get(first.id) as Any).content), /more/)
  t.equal(notes.header, 'safetySettings')
})

t.test('what a Gemini client brings back of another vendor’s reasoning is that vendor’s again', async t => {
  const issuer: Issuer = { platform: 'anthropic', scope: '12345678', model: 'claude-sonnet-5' }
  const proof = inBytes(enclose({ issuer, value: 'Q0xBVURF', text: 'T', callId: '' }))
  const call = { functionCall: { id: 'c', name: 'f', args: {} }, thoughtSignature: proof }
  const seal = { value: 'Q0xBVURF', issuer }
  for (const parts of [
    [{ text: 'T', thought: true }, { text: 'Hi' }, call],
    [{ text: 'Hi' }, call],
  ]) {
    const [turn] = decoded({ contents: [{ role: 'model', parts }] }).turns
    t.strictSame(
      turn!.parts.map(({ type }) => type),
      ['thought', 'text', 'call'],
    )
    t.strictSame(turn!.parts[0], { type: 'thought', text: 'T', seal })
    t.notOk('seal' in turn!.parts[2]!)
  }
  const [google] = decoded({
    contents: [{ role: 'model', parts: [{ functionCall: { name: 'f' }, thoughtSignature: 'TkFU' }] }],
  }).turns
  t.equal((google!.parts[0] as Any).seal.issuer.platform, 'gemini', 'a proof of Google’s own is no stranger’s')
  const [skipped] = decoded({
    contents: [
      { role: 'model', parts: [{ functionCall: { name: 'f' }, thoughtSignature: 'skip_thought_signature_validator' }] },
    ],
  }).turns
  t.notOk('seal' in skipped!.parts[0]!)
})

// ---- answers of Gemini ----

const from = issuerOf('gemini-3.8-flash')
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
      ['start', 'usage', 'finish refused'],
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

t.test('trap 52: tokens are counted by who has them', async t => {
  const counting = geminiCodec.counting!
  const ask = codecOf('messages').decodeAsk(
    json({
      model: 'm',
      max_tokens: 5,
      system: 'S',
      messages: [
        user('x'),
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 'T', signature: '' },
            { type: 'text', text: 'y' },
          ],
        },
      ],
    }),
    '/v1/messages',
  )
  const { path, body } = counting.encodeAsk(ask, targetOf({}), new Notes())
  t.equal(path, '/v1beta/models/gemini-3.8-flash:countTokens')
  t.strictSame(JSON.parse(body), {
    generateContentRequest: {
      model: 'models/gemini-3.8-flash',
      contents: [
        { role: 'user', parts: [{ text: 'x' }] },
        { role: 'model', parts: [{ text: 'y' }] },
      ],
      systemInstruction: { parts: [{ text: 'S' }] },
    },
  })
  t.strictSame(Object.keys(JSON.parse(counting.encodeAsk(ask, targetOf({ internal: true }), new Notes()).body)), [
    'contents',
  ])
  t.equal(counting.read(Buffer.from('{"totalTokens":31}')), 31)
  for (const none of ['{}', 'x', '{"totalTokens":-1}']) t.equal(counting.read(Buffer.from(none)), undefined)
  t.equal(counting.write(31), '{"totalTokens":31}')
  const own = counting.decodeAsk(
    json({ generateContentRequest: { model: 'models/m', contents: [{ parts: [{ text: 'z' }] }] } }),
    '/v1beta/models/m:countTokens',
  )
  t.equal(own.turns.length, 1)
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
  const chat = (parts: string[], finish: string) =>
    `data: ${JSON.stringify({ id: 'c', model: 'm', choices: [{ index: 0, delta: { role: 'assistant', tool_calls: [{ index: 0, id: 'x', type: 'function', function: { name: 'f', arguments: parts[0] } }] }, finish_reason: null }] })}\n\n` +
    `data: ${JSON.stringify({ id: 'c', model: 'm', choices: [{ index: 0, delta: {}, finish_reason: finish }] })}\n\ndata: [DONE]\n\n`
  const answer = (stream: string) => {
    const translation = new Translation({
      client: geminiCodec,
      upstream: codecOf('chat'),
      ask: decoded({ contents: [{ parts: [{ text: 'q' }] }] }),
      target: {
        ...targetOf({}),
        facts: factsOf('openai', 'gpt-4.1'),
        issuer: { platform: 'openai', scope: '0a0a0a0a', model: 'gpt-4.1' },
      },
      model: 'gpt-4.1',
      promptTokens: 1,
      now: 0,
      keep: () => {},
    })
    const relay = translation.streaming()
    return (relay.push(Buffer.from(stream)) + relay.end())
      .trim()
      .split('\n\n')
      .map(line => JSON.parse(line.slice(6)))
  }
  const [cut] = answer(chat(['{"a":'], 'length'))
  t.strictSame(
    [cut.candidates[0].finishReason, cut.candidates[0].content],
    ['MAX_TOKENS', { role: 'model', parts: [{ text: '' }] }],
  )
  const [broken] = answer(chat(['{"a":'], 'tool_calls'))
  t.equal(broken.candidates[0].finishReason, 'MALFORMED_FUNCTION_CALL')
  const [whole] = answer(chat(['{"a":12345678901234567890}'], 'tool_calls'))
  t.equal(whole.candidates[0].content.parts[0].functionCall.id, 'x')
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
