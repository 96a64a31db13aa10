// What Gemini's codec asks its upstreams, and how it reads what its clients ask.
import t from 'tap'
import { geminiCodec } from '../../src/dialect/gemini/codec.ts'
import type { Codec, Kept, Target } from '../../src/dialect/middle/codec.ts'
import type { Ask, DialectName, Issuer } from '../../src/dialect/middle/form.ts'
import { factsOf } from '../../src/dialect/middle/models.ts'
import { Notes } from '../../src/dialect/middle/notes.ts'
import { enclose, inBytes, keyOfText } from '../../src/dialect/middle/seal.ts'
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
  fetched?: Target['fetched']
}
const issuerOf = (model: string): Issuer => ({ platform: 'gemini', scope: '0a1b2c3d', model })

function targetOf({ model = 'gemini-3.8-flash', internal = false, kept = {}, seals = true, fetched }: How): Target {
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
    fetched,
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
      { thinking: { type: 'disabled' }, output_config: { effort: 'high' } },
      { thinkingLevel: 'minimal' },
      'thinking~',
    ],
    [
      'gemini-3.8-flash',
      { thinking: { type: 'enabled', budget_tokens: 5000 } },
      { thinkingLevel: 'medium', includeThoughts: true },
      '',
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
  const at = (url: string) => ({ messages: [user([{ type: 'image_url', image_url: { url } }])] })
  const fetched = new Map([
    ['image https://x/a.gif', { mime: 'image/gif', base64: 'R0lGODlh' }],
    ['document https://x/a.gif', { mime: 'application/pdf', base64: 'JVBERi0=' }],
    ['image https://x/b.png', { why: 'x answered 404' }],
  ])
  t.throws(() => asked('chat', at('https://x/a.gif'), { fetched }), /image\/gif, and this model takes image\/png, /)
  t.throws(() => asked('chat', at('https://x/b.png'), { fetched }), { message: 'messages.image: x answered 404.' })
  t.throws(() => asked('chat', at('https://x/c.png'), { fetched }), /send the bytes/)
  const gif = asked('chat', at('https://x/a.gif'), { fetched, model: 'claude-sonnet-4-5', internal: true })
  t.strictSame(
    partsOf(gif.body, 0),
    [{ inlineData: { mimeType: 'image/gif', data: 'R0lGODlh' } }],
    'as the model takes',
  )
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

t.test('the user begins and ends a conversation, whoever spoke', async t => {
  const roles = (messages: object[]) => {
    const { body, dropped } = asked('chat', { messages })
    return [body.contents.map(({ role }: { role: string }) => role).join(' '), dropped, body.systemInstruction]
  }
  const call = { id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } }
  const cut = [
    { role: 'assistant', content: null, tool_calls: [call] },
    { role: 'tool', tool_call_id: 'a', content: '1' },
  ]
  t.strictSame(roles(cut), ['user model user', '', undefined], 'a call stands behind a turn of the user')
  t.strictSame(roles([user('x'), { role: 'assistant', content: 'y' }]), ['user model user', 'messages~', undefined])
  t.strictSame(roles([{ role: 'system', content: 'say hi' }]), ['user', '', undefined], 'nothing but rules is asked')
})

t.test('only functions are forced', async t => {
  const tools = [
    { type: 'web_search' },
    { type: 'namespace', name: 'db', tools: [{ type: 'function', name: 'q', parameters: {} }] },
  ]
  const choice = (tool_choice: object) => asked('responses', { input: 'x', tools, tool_choice })
  const forced = choice({ type: 'function', name: 'q' })
  t.strictSame(forced.body.toolConfig.functionCallingConfig, { mode: 'ANY', allowedFunctionNames: ['db__q'] })
  const search = choice({ type: 'web_search' })
  t.equal(search.body.toolConfig.functionCallingConfig, undefined)
  t.equal(search.dropped, 'tool_choice~')
  const odd = codecOf('gemini').decodeAsk(
    json({ contents: [{ role: 'toString', parts: [{ text: 'x' }] }], tools: [{ constructor: {} }] }),
    '/v1beta/models/m:generateContent',
  )
  t.strictSame([odd.turns[0]?.role, odd.tools[0]?.server], ['user', 'constructor'], 'a word is looked up as a word')
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

t.test('Claude on Antigravity is called by schemas that have a property', async t => {
  const { body } = asked(
    'messages',
    { max_tokens: 1, messages: [user('x')], tools: [tool('f')] },
    { internal: true, model: 'claude-opus-4-6-thinking' },
  )
  t.strictSame(body.tools[0].functionDeclarations[0].parameters.required, ['reason'])
  t.equal(body.toolConfig.functionCallingConfig.mode, 'VALIDATED')
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
