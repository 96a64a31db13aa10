// Requests and answers between the Responses dialect and the middle form: what is said, what is changed, what is named as lost.
import t from 'tap'
import { messages } from '../../src/dialect/messages/messages.ts'
import type { Kept, Target } from '../../src/dialect/middle/codec.ts'
import type { Ask, Event, Issuer, Part, Seal, Turn } from '../../src/dialect/middle/form.ts'
import { factsOf } from '../../src/dialect/middle/models.ts'
import { Notes } from '../../src/dialect/middle/notes.ts'
import { enclose } from '../../src/dialect/middle/seal.ts'
import { responsesCodec as codec } from '../../src/dialect/responses/codec.ts'
import { Failure } from '../../src/lib/failure.ts'
import { generator, one, torn } from './random.ts'

// biome-ignore lint/suspicious/noExplicitAny: whatever a body holds
type Json = Record<string, any>

const issuer: Issuer = { platform: 'openai', scope: '0a1b2c3d', model: 'gpt-5.6-terra' }
const decode = (body: object) => codec.decodeAsk(Buffer.from(JSON.stringify({ model: 'm', ...body })), '')

function ask(more: Partial<Ask> = {}): Ask {
  return {
    dialect: 'messages',
    model: 'm',
    stream: false,
    system: [],
    turns: [{ role: 'user', parts: [{ type: 'text', text: 'hi' }] }],
    tools: [],
    choice: 'auto',
    sampling: {},
    limits: { stop: [] },
    cache: {},
    held: [],
    wants: { usage: true, reasoning: false },
    ext: {},
    ...more,
  }
}

/** What an upstream is asked, and what is named as lost. */
function encode(more: Partial<Ask> | Ask, by: Partial<Target> = {}): { body: Json; lost: string } {
  const model = by.model ?? 'gpt-5.6-terra'
  const target: Target = {
    model,
    facts: factsOf('openai', model),
    own: true,
    internal: false,
    issuer,
    kept: () => undefined,
    seals: true,
    settings: { autoCache: true },
    ...by,
  }
  const notes = new Notes()
  const asking = codec.encodeAsk(ask(more), target, notes)
  t.equal(asking.path, '/v1/responses')
  return { body: JSON.parse(asking.body), lost: notes.header }
}

const sse = (...events: (object | string)[]) =>
  events
    .map(data =>
      typeof data === 'string' ? data : `event: ${(data as Json)['type']}\ndata: ${JSON.stringify(data)}\n\n`,
    )
    .join('')

function events(bytes: string | Buffer, size = 1 << 20): Event[] {
  const decoder = codec.decoder(issuer)
  const all = Buffer.from(bytes)
  const out: Event[] = []
  for (let at = 0; at < all.length; at += size) out.push(...decoder.push(all.subarray(at, at + size)))
  return [...out, ...decoder.end()]
}

/** Events in a few words. */
const say = (list: readonly Event[]) =>
  list.map(event => {
    switch (event.type) {
      case 'open':
        return `open ${event.part.type}${'name' in event.part ? ` ${event.part.name}` : ''}${'phase' in event.part ? ` ${event.part.phase}` : ''}`
      case 'delta':
        return `+${event.text}`
      case 'seal':
        return `seal ${event.seal.value}`
      case 'finish':
        return `finish ${event.why}`
      case 'fail':
        return `fail ${event.fault.kind}: ${event.fault.message}`
      case 'usage':
        return 'usage'
      default:
        return event.type
    }
  })

// ---- a client's request ----

const text = (said: string) => ({ type: 'text', text: said })

t.test('a request is read: what each side said, in turns', async t => {
  const { system, turns } = decode({
    instructions: 'Be brief.',
    input: [
      { role: 'developer', content: 'Rules' },
      { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'a' }] },
      { role: 'user', content: 'b' },
      {
        type: 'reasoning',
        id: 'rs_1',
        summary: [
          { type: 'summary_text', text: 'hm' },
          { type: 'summary_text', text: 'ok' },
        ],
      },
      { role: 'assistant', phase: 'commentary', content: [{ type: 'output_text', text: 'c', annotations: [] }] },
      { type: 'function_call', call_id: 'c1', name: 'q', namespace: 'db', arguments: '{"n":12345678901234567890}' },
      { type: 'custom_tool_call', call_id: 'c2', name: 'edit', input: 'raw' },
      { type: 'local_shell_call', call_id: 'c3', action: { type: 'exec', command: ['ls'] } },
      { type: 'function_call_output', call_id: 'c1', output: 'x' },
      { type: 'custom_tool_call_output', call_id: 'c2', output: [{ type: 'input_text', text: 'y' }] },
      { type: 'shell_call_output', call_id: 'c3', output: [{ stdout: 'z', exit: 0 }] },
      { role: 'system', content: 'Careful.' },
      { role: 'user', content: 'd' },
    ],
  })
  t.strictSame(system, [text('Be brief.'), text('Rules')])
  t.strictSame(turns as unknown, [
    { role: 'user', parts: [text('a'), text('b')] },
    {
      role: 'assistant',
      parts: [
        { type: 'thought', text: 'hm\n\nok' },
        text('c'),
        { type: 'call', id: 'c1', name: 'q', namespace: 'db', input: { json: '{"n":12345678901234567890}' } },
        { type: 'call', id: 'c2', name: 'edit', input: { text: 'raw' } },
        { type: 'call', id: 'c3', name: 'local_shell', input: { json: '{"type":"exec","command":["ls"]}' } },
      ],
      phase: 'commentary',
    },
    {
      role: 'user',
      parts: [
        { type: 'result', callId: 'c1', parts: [text('x')], error: false },
        { type: 'result', callId: 'c2', parts: [text('y')], error: false },
        { type: 'result', callId: 'c3', parts: [text('{"stdout":"z","exit":0}')], error: false },
      ],
    },
    { role: 'system', parts: [text('Careful.')] },
    { role: 'user', parts: [text('d')] },
  ])
})

t.test('a request is read: media, wherever they are (trap 17)', async t => {
  const { turns, held } = decode({
    input: [
      {
        role: 'user',
        content: [
          { type: 'input_image', image_url: 'data:image/png;base64,aGk=', detail: 'high' },
          {
            type: 'input_image',
            image_url: 'https://x/i.png',
            detail: 'auto',
            prompt_cache_breakpoint: { mode: 'explicit', ttl: '12h' },
          },
          { type: 'input_file', filename: 'a.pdf', file_data: 'data:application/pdf;base64,aGk=' },
          { type: 'input_file', file_url: 'https://x/a.pdf' },
          { type: 'input_audio', input_audio: { data: 'aGk=', format: 'mp3' } },
          { type: 'input_image', file_id: 'file_1' },
          { type: 'input_hologram', n: 1 },
        ],
      },
      {
        type: 'function_call_output',
        call_id: 'c',
        output: [{ type: 'input_image', image_url: 'data:image/png;base64,aGk=' }],
      },
    ],
  })
  t.strictSame(turns[0]!.parts as unknown, [
    { type: 'media', kind: 'image', mime: 'image/png', at: { base64: 'aGk=' }, detail: 'high' },
    { type: 'media', kind: 'image', at: { url: 'https://x/i.png' }, cache: '12h' },
    { type: 'media', kind: 'document', mime: 'application/pdf', at: { base64: 'aGk=' }, title: 'a.pdf' },
    { type: 'media', kind: 'document', at: { url: 'https://x/a.pdf' } },
    { type: 'media', kind: 'audio', mime: 'audio/mp3', at: { base64: 'aGk=' } },
    { type: 'media', kind: 'image', at: { file: 'file_1' } },
    { type: 'opaque', dialect: 'responses', kind: 'input_hologram', json: '{"type":"input_hologram","n":1}' },
    {
      type: 'result',
      callId: 'c',
      parts: [{ type: 'media', kind: 'image', mime: 'image/png', at: { base64: 'aGk=' } }],
      error: false,
    },
  ])
  t.strictSame(held, [{ what: 'file', param: 'input.content.file_id', id: 'file_1' }])
})

t.test('state that lives upstream is held, not dropped (trap 23, trap 43)', async t => {
  const { held } = decode({
    input: [{ type: 'item_reference', id: 'rs_1' }],
    previous_response_id: 'resp_1',
    conversation: { id: 'conv_1' },
    prompt: { id: 'pmpt_1', variables: {} },
    background: true,
  })
  t.strictSame(
    held.map(({ what, param, id }) => `${what} ${param} ${id}`),
    [
      'previous previous_response_id resp_1',
      'conversation conversation conv_1',
      'prompt prompt pmpt_1',
      'background background ',
      'item input.item_reference rs_1',
    ],
  )
  t.strictSame(decode({ input: 'hi', previous_response_id: null, conversation: null, background: false }).held, [])
  for (const one of held)
    t.throws(() => encode({ dialect: 'responses', held: [one] }), { code: 'UNTRANSLATABLE', message: one.param })
})

t.test(
  'a proof in a client’s history: ours is opened, one of ours that was changed is left out (trap 12, trap 41)',
  async t => {
    const from: Issuer = { platform: 'anthropic', scope: '0a1b2c3d', model: 'claude-sonnet-5' }
    const sealed = enclose({ issuer: from, value: 'U0lH', text: 'hm', callId: '' })
    const item = (encrypted_content: string | null, summary: object[] = []) => ({
      type: 'reasoning',
      summary,
      encrypted_content,
    })
    const thought = (said: object) => decode({ input: [said] }).turns[0]!.parts[0]
    t.strictSame(thought(item(sealed)), { type: 'thought', text: 'hm', seal: { value: 'U0lH', issuer: from } })
    t.strictSame(thought(item(`${sealed.slice(0, -1)}x`)), { type: 'thought', text: '' })
    const hidden = enclose({ issuer: from, value: 'U0lH', text: '', callId: 'redacted' })
    t.strictSame(thought(item(hidden)), {
      type: 'thought',
      text: '',
      redacted: true,
      seal: { value: 'U0lH', issuer: from },
    })
    t.strictSame(thought(item('gAAAA')), { type: 'thought', text: '', seal: { value: 'gAAAA', issuer: undefined } })
    t.strictSame(thought(item(null, [{ type: 'summary_text', text: 'a' }])), { type: 'thought', text: 'a' })
  },
)

t.test('a request is read: tools, also those that come as an item, and which may be called', async t => {
  const { tools, choice, ext } = decode({
    input: [
      {
        type: 'additional_tools',
        role: 'developer',
        tools: [{ type: 'custom', name: 'edit', format: { type: 'grammar', syntax: 'lark', definition: 'start: x' } }],
      },
    ],
    tools: [
      {
        type: 'function',
        name: 'f',
        parameters: { type: 'object', properties: { title: { type: 'integer', maximum: 1.5 } } },
        strict: true,
        defer_loading: true,
      },
      { type: 'namespace', name: 'db', tools: [{ type: 'function', name: 'q' }] },
      { type: 'web_search_preview', search_context_size: 'low' },
      { type: 'apply_patch' },
    ],
    tool_choice: {
      type: 'allowed_tools',
      mode: 'required',
      tools: [
        { type: 'function', name: 'f' },
        { type: 'custom', name: 'edit' },
      ],
    },
  })
  t.strictSame(tools as unknown, [
    {
      kind: 'function',
      name: 'f',
      schema: '{"type":"object","properties":{"title":{"type":"integer","maximum":1.5}}}',
      strict: true,
      deferred: true,
    },
    { kind: 'function', name: 'q', namespace: 'db' },
    {
      kind: 'server',
      name: 'web_search_preview',
      server: 'webSearch',
      ext: { responses: { search_context_size: '"low"' } },
    },
    { kind: 'server', name: 'apply_patch', server: 'apply_patch' },
    { kind: 'freeform', name: 'edit', grammar: 'lark grammar:\nstart: x' },
  ])
  t.strictSame(choice, { names: ['f', 'edit'] })
  t.strictSame(ext, {})
  const chosen = (tool_choice: unknown) => decode({ tool_choice }).choice
  t.equal(chosen('auto'), 'auto')
  t.equal(chosen('none'), 'none')
  t.equal(chosen('required'), 'required')
  t.strictSame(chosen({ type: 'function', name: 'f' }), { names: ['f'] })
  t.strictSame(chosen({ type: 'web_search_preview' }), { names: ['web_search_preview'] })
  t.strictSame(
    Object.keys(decode({ tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [] } }).ext.responses!),
    ['tool_choice'],
  )
})

t.test('a request is read: how it is to be answered, and what has no word', async t => {
  const said = decode({
    input: 'hi',
    stream: true,
    reasoning: { effort: 'xhigh', summary: 'auto', context: 'x' },
    text: { verbosity: 'low', format: { type: 'json_schema', name: 'r', strict: true, schema: { type: 'object' } } },
    max_output_tokens: 9,
    temperature: 0.5,
    top_p: 0.9,
    top_logprobs: 2,
    parallel_tool_calls: false,
    prompt_cache_key: 'k',
    prompt_cache_options: { ttl: '12h', prewarm: true, mode: 'implicit' },
    service_tier: 'default',
    safety_identifier: 's',
    user: 'u',
    metadata: { n: 12345678901234567890n.toString() },
    client_metadata: { k: 'v' },
    store: false,
    include: ['reasoning.encrypted_content'],
  })
  const { system: _, turns: __, ext, ...rest } = said
  t.strictSame(rest as unknown, {
    dialect: 'responses',
    model: 'm',
    stream: true,
    tools: [],
    choice: 'auto',
    parallel: false,
    thinking: {
      mode: 'auto',
      effort: 'xhigh',
      show: 'summary',
      params: { mode: 'reasoning.effort', effort: 'reasoning.effort' },
    },
    sampling: { temperature: 0.5, topP: 0.9 },
    limits: { maxTokens: 9, stop: [] },
    format: { kind: 'schema', schema: '{"type":"object"}', name: 'r', strict: true },
    cache: { key: 'k', ttl: '12h', prewarm: true },
    tier: 'standard',
    endUser: 's',
    held: [],
    wants: { usage: true, reasoning: true, logprobs: 2 },
  })
  t.strictSame(ext.responses as unknown, {
    metadata: '{"n":"12345678901234567890"}',
    client_metadata: '{"k":"v"}',
    store: 'false',
    include: '["reasoning.encrypted_content"]',
    'reasoning.context': '"x"',
    'text.verbosity': '"low"',
  })
  t.equal(decode({ reasoning: { effort: 'none' } }).thinking?.mode, 'off')
  t.equal(decode({ reasoning: { effort: 'low' } }).wants.reasoning, false)
  t.equal(decode({ text: { format: { type: 'json_object' } } }).format?.kind, 'json')
})

t.test('nothing but instructions is asked, as the user', async t => {
  const { body } = encode({ turns: [], system: [{ type: 'text', text: 'say hi' }] })
  t.strictSame(
    [body['instructions'], body['input']],
    [undefined, [{ type: 'message', role: 'user', content: [{ type: 'input_text', text: 'say hi' }] }]],
  )
})

t.test('an item of a type that nobody knows is no call, whatever it is called', async t => {
  for (const type of ['hologram', 'constructor', 'toString'])
    t.equal(decode({ input: [{ type }] }).turns[0]?.parts[0]?.type, 'opaque', type)
})

t.test('what is wrong in a request is named', async t => {
  const cases: [body: object, says: RegExp][] = [
    [{ input: 1 }, /^Request body.*input must be a list|input/],
    [{ input: ['x'] }, /input\.0 must be an object/],
    [{ input: [{ role: 'tool', content: '' }] }, /input\.0\.role must be user, assistant, system or developer/],
    [
      { input: [{ role: 'user', content: [{ type: 'input_image' }] }] },
      /input\.0\.content\.0 must be an image or a file/,
    ],
    [{ input: [{ type: 'function_call', call_id: 'c' }] }, /input\.0\.name must be there/],
    [{ tools: [{ type: 'function' }] }, /tools\.0\.name must be there/],
    [{ tools: [{}] }, /tools\.0\.type must be there/],
    [{ reasoning: { effort: 'much' } }, /reasoning\.effort must be none, minimal/],
    [{ max_output_tokens: 1.5 }, /max_output_tokens must be a whole number/],
    [{ temperature: 'hot' }, /temperature must be a number/],
    [{ instructions: [] }, /instructions must be a string/],
    [{ text: { format: { type: 'json_schema', schema: 1 } } }, /text\.format\.schema must be an object/],
  ]
  for (const [body, says] of cases) {
    try {
      decode(body)
      t.fail(JSON.stringify(body))
    } catch (error) {
      t.ok(error instanceof Failure && error.code === 'BODY_INVALID', JSON.stringify(body))
      t.match((error as Failure).message, says)
    }
  }
})

t.test('what stands between a call and its output does not part them (trap 42)', async t => {
  const between = decode({
    input: [
      { role: 'user', content: 'a' },
      { type: 'function_call', call_id: 'c1', name: 'f', arguments: '{}' },
      { role: 'assistant', content: 'b' },
      { role: 'developer', content: 'c' },
      { type: 'function_call_output', call_id: 'c1', output: 'x' },
    ],
  })
  const target = {
    model: 'm',
    facts: factsOf('anthropic', 'claude-sonnet-5'),
    own: true,
    internal: false,
    issuer,
    kept: () => undefined,
    seals: true,
    settings: { autoCache: true },
  }
  const { messages: turns } = JSON.parse(messages.codec!.encodeAsk(between, target, new Notes()).body)
  const kinds = turns.map(({ role, content }: Json) => [role, ...[content].flat().map((block: Json) => block['type'])])
  t.strictSame(kinds.slice(0, 3), [
    ['user', undefined],
    ['assistant', 'text', 'tool_use'],
    ['user', 'tool_result'],
  ])
})

// ---- an upstream's request ----

const call = (id: string, name: string, json = '{}'): Part => ({
  type: 'call',
  id,
  name,
  input: { json: json as never },
})
const result = (callId: string, ...parts: Part[]): Part =>
  ({ type: 'result', callId, parts, error: false }) as unknown as Part
const said = (role: Turn['role'], ...parts: Part[]): Turn => ({ role, parts })
const plain = (words: string): Part => ({ type: 'text', text: words })

t.test('functions are strict only where that was asked for (trap 19)', async t => {
  const tool = (more: object) => ({ kind: 'function', name: 'f', ...more }) as Ask['tools'][number]
  const tools = encode({ tools: [tool({}), tool({ strict: true }), tool({ strict: false })] }).body['tools']
  t.strictSame(
    tools.map((one: Json) => one['strict']),
    [false, true, false],
  )
  const schemas = [
    undefined,
    '{"type":"object"}',
    '{"anyOf":[]}',
    '{"type":"object","properties":{"n":{"const":12345678901234567890}}}',
  ]
  const asking = encode({ tools: schemas.map(schema => tool(schema ? { schema } : {})) }).body['tools']
  t.strictSame(
    asking.map((one: Json) => Object.keys(one['parameters'])),
    [
      ['type', 'properties'],
      ['type', 'properties'],
      ['type', 'anyOf'],
      ['type', 'properties'],
    ],
  )
})

t.test('phase is rebuilt from the order, for models that have phases (trap 22)', async t => {
  const turns = [
    said('user', plain('a')),
    said('assistant', plain('b'), call('c1', 'f'), plain('c'), call('c2', 'f')),
    said('user', result('c1', plain('x')), result('c2', plain('y'))),
    said('assistant', plain('d')),
    said('user', plain('e')),
  ]
  const phases = (model: string) =>
    encode({ turns }, { model })
      .body['input'].filter((item: Json) => item['role'] === 'assistant')
      .map((item: Json) => item['phase'])
  t.strictSame(phases('gpt-5.6-terra'), ['commentary', 'commentary', 'final_answer'])
  t.strictSame(phases('gpt-5.3-codex'), ['commentary', 'commentary', 'final_answer'])
  t.strictSame(phases('gpt-5.1'), [undefined, undefined, undefined])
})

t.test(
  'nothing is stored, so nothing has an id, and reasoning has its proof and a summary (trap 23, trap 26)',
  async t => {
    const seal = (model = issuer.model): Seal => ({ value: 'gAAAA', issuer: { ...issuer, model } })
    const turns = [
      said(
        'assistant',
        { type: 'thought', text: '', seal: seal() },
        { type: 'thought', text: 'hm', seal: seal() },
        call('c1', 'f'),
      ),
      said('user', result('c1')),
    ]
    const { body, lost } = encode({ turns })
    t.equal(body['store'], false)
    t.strictSame(body['include'], ['reasoning.encrypted_content'])
    t.strictSame(body['input'].slice(0, 2), [
      { type: 'reasoning', summary: [], encrypted_content: 'gAAAA' },
      { type: 'reasoning', summary: [{ type: 'summary_text', text: 'hm' }], encrypted_content: 'gAAAA' },
    ])
    t.notOk(body['input'].some((item: Json) => 'id' in item || item['type'] === 'item_reference'))
    t.equal(lost, '')
  },
)

t.test('reasoning of others is left out, and named (trap 12, trap 41)', async t => {
  const thoughts: Part[] = [
    { type: 'thought', text: 'a', seal: { value: 'x', issuer: { ...issuer, platform: 'anthropic' } } },
    { type: 'thought', text: 'a', seal: { value: 'x', issuer: { ...issuer, scope: '11111111' } } },
    { type: 'thought', text: 'a', seal: { value: 'x', issuer: { ...issuer, model: 'gpt-6' } } },
    { type: 'thought', text: 'a', seal: { value: '', issuer } },
    { type: 'thought', text: 'a', seal: { value: 'x', issuer: undefined } },
    { type: 'thought', text: 'a' },
  ]
  for (const thought of thoughts) {
    const { body, lost } = encode({ turns: [said('assistant', thought, plain('b')), said('user', plain('c'))] })
    t.strictSame(
      body['input'].map((item: Json) => item['type']),
      ['message', 'message'],
      JSON.stringify(thought),
    )
    t.equal(lost, 'messages.thinking')
  }
  const good: Part = { type: 'thought', text: 'a', seal: { value: 'x', issuer } }
  t.equal(encode({ turns: [said('assistant', good)] }, { seals: false }).lost, 'messages.thinking', 'after a refusal')
})

t.test('a proof that was kept here stands before the call it belongs to', async t => {
  const kept: Record<string, Kept> = { c1: { seal: { value: 'gAAAA', issuer }, text: 'hm' } }
  const turns = [
    said('assistant', plain('a'), call('c1', 'f'), call('c2', 'f')),
    said('user', result('c1'), result('c2')),
  ]
  const { body } = encode({ dialect: 'chat', turns }, { kept: key => kept[key] })
  t.strictSame(
    body['input'].map((item: Json) => item['type']),
    ['message', 'reasoning', 'function_call', 'function_call', 'function_call_output', 'function_call_output'],
  )
})

t.test('ids of more than 64 characters are shortened, calls and results alike (trap 39)', async t => {
  const long = 'x'.repeat(80)
  const { body } = encode({ turns: [said('assistant', call(long, 'f')), said('user', result(long, plain('r')))] })
  const [made, answered] = body['input']
  t.match(made['call_id'], /^[a-zA-Z0-9_-]{1,64}$/)
  t.equal(made['call_id'], answered['call_id'])
})

t.test('fewer tokens than the vendor takes are more, none at all fills the cache (trap 27)', async t => {
  const limits = (maxTokens: number, model?: string) =>
    encode({ limits: { maxTokens, stop: [] } }, model ? { model } : {})
  t.equal(limits(5).body['max_output_tokens'], 16)
  t.equal(limits(5).lost, 'max_tokens~')
  t.equal(limits(16).lost, '')
  t.equal(limits(999_999).body['max_output_tokens'], 128_000)
  t.equal(limits(999_999).lost, 'max_tokens~')
  t.strictSame(limits(0).body['prompt_cache_options'], { prewarm: true })
  t.notOk('max_output_tokens' in limits(0).body)
  t.throws(() => limits(0, 'gpt-5'), { code: 'UNTRANSLATABLE', param: 'max_tokens' })
})

t.test('what has no place here is named (trap 28, trap 31, trap 34)', async t => {
  const all = {
    limits: { stop: ['x'] },
    sampling: { temperature: 0, topP: 0.5, topK: 3, seed: 1, presence: 1, frequency: 1 },
  }
  t.equal(encode(all).lost, 'frequency_penalty, presence_penalty, seed, stop_sequences, temperature, top_k, top_p')
  const off = encode({ ...all, thinking: { mode: 'off', params: {} } })
  t.equal(off.lost, 'frequency_penalty, presence_penalty, seed, stop_sequences, top_k')
  t.match(off.body, { temperature: 0, top_p: 0.5, reasoning: { effort: 'none' } })
  t.match(encode(all, { model: 'gpt-4.1' }).body, { temperature: 0, top_p: 0.5 })
  t.equal(encode({ ext: { messages: { context_management: '{}' as never } } }).lost, 'context_management')
  t.throws(() => encode({ dialect: 'chat', wants: { usage: true, reasoning: false, candidates: 2 } }), {
    message: /^n: /,
  })
})

t.test('effort is the nearest that the model has', async t => {
  const params = { mode: 'thinking', effort: 'output_config.effort' }
  const cases: [model: string, thinking: Ask['thinking'] & object, reasoning: object | undefined, lost: string][] = [
    [
      'gpt-5.6-terra',
      { mode: 'auto', effort: 'max', params },
      { effort: 'xhigh', summary: 'auto' },
      'output_config.effort~',
    ],
    ['gpt-6', { mode: 'auto', effort: 'max', params }, { effort: 'max', summary: 'auto' }, ''],
    ['gpt-6', { mode: 'auto', effort: 'minimal', params }, { effort: 'low', summary: 'auto' }, 'output_config.effort~'],
    ['gpt-5', { mode: 'auto', effort: 'minimal', params }, { effort: 'minimal', summary: 'auto' }, ''],
    ['gpt-5.1', { mode: 'budget', budget: 8192, params }, { effort: 'medium', summary: 'auto' }, ''],
    ['gpt-5.1', { mode: 'auto', params }, { summary: 'auto' }, ''],
    ['gpt-5.1', { mode: 'auto', show: 'none', effort: 'low', params }, { effort: 'low' }, ''],
    ['gpt-5.1', { mode: 'off', params }, { effort: 'none' }, ''],
    ['gpt-6', { mode: 'off', params }, { effort: 'low' }, 'thinking~'],
    ['gpt-6-sol', { mode: 'off', params }, { effort: 'none' }, ''],
    ['gpt-4.1', { mode: 'off', params }, undefined, ''],
    ['gpt-4.1', { mode: 'auto', effort: 'low', params }, undefined, 'output_config.effort, thinking'],
  ]
  for (const [model, thinking, reasoning, lost] of cases) {
    const done = encode({ thinking }, { model })
    t.strictSame(done.body['reasoning'], reasoning, `${model} ${JSON.stringify(thinking)}`)
    t.equal(done.lost, lost, `${model} ${JSON.stringify(thinking)}`)
  }
})

t.test('a breakpoint of the cache is one here, too, where the model has them (trap 60)', async t => {
  const marked = (words: string, cache: Part['cache']): Part => ({
    type: 'text',
    text: words,
    ...(cache ? { cache } : {}),
  })
  const turns = [
    said('user', marked('a', '5m'), plain('b')),
    said('assistant', call('c1', 'f')),
    said('user', { ...result('c1', plain('r')), cache: '1h' } as Part, marked('d', '12h')),
  ]
  const system = [{ type: 'text', text: 'S', cache: '5m' }] as Ask['system']
  const { body, lost } = encode({ system, turns })
  t.equal(lost, '')
  const breakpoint = { prompt_cache_breakpoint: { mode: 'explicit' } }
  t.notOk('instructions' in body, 'a text has no end in the middle')
  t.strictSame(body['input'][0], {
    type: 'message',
    role: 'developer',
    content: [{ type: 'input_text', text: 'S', ...breakpoint }],
  })
  t.strictSame(body['input'][1].content, [
    { type: 'input_text', text: 'a', ...breakpoint },
    { type: 'input_text', text: 'b' },
  ])
  t.strictSame(body['input'][3].output, [{ type: 'input_text', text: 'r', ...breakpoint }])
  t.strictSame(body['input'][4].content[0].prompt_cache_breakpoint, { mode: 'explicit', ttl: '12h' })

  const old = encode({ system, turns }, { model: 'gpt-5.1' })
  t.equal(old.lost, 'cache_control')
  t.equal(old.body['instructions'], 'S')
  t.equal(old.body['input'][2].output, 'r')
  t.notOk(JSON.stringify(old.body).includes('breakpoint'))
  t.equal(encode({ system, turns }, { own: false }).lost, '', 'by the model, wherever it is served')

  const tools: Ask['tools'] = [{ kind: 'function', name: 'f', cache: '5m' }]
  t.equal(encode({ tools, system }).lost, '', 'one behind the tools has them, too')
  t.equal(encode({ tools }).lost, 'cache_control')

  const many = encode({ turns: [said('user', ...['a', 'b', 'c', 'd', 'e', 'f'].map(words => marked(words, '5m')))] })
  t.strictSame(
    many.body['input'][0].content.map((one: Json) => 'prompt_cache_breakpoint' in one),
    [false, false, true, true, true, true],
    'the last ones count',
  )
  t.equal(many.lost, 'cache_control')
})

t.test('a search in the history is told as text, and the tool is the vendor’s (trap 54)', async t => {
  const turns: Turn[] = [
    said('user', plain('a')),
    said(
      'assistant',
      { type: 'call', id: 's1', name: 'web_search', input: { json: '{"query":"q"}' as never }, by: 'server' },
      {
        type: 'result',
        callId: 's1',
        parts: [{ type: 'text', text: 'found' }],
        error: false,
        by: 'server',
      },
      plain('b'),
    ),
    said('user', plain('c')),
  ]
  const tools: Ask['tools'] = [{ kind: 'server', name: 'web_search_20250305', server: 'webSearch' }]
  const { body, lost } = encode({ turns, tools })
  t.strictSame(body['tools'], [{ type: 'web_search' }])
  t.strictSame(
    body['input'][1].content.map((one: Json) => one['text']),
    ['Called web_search: {"query":"q"}', 'Result of web_search:\nfound', 'b'],
  )
  t.equal(lost, 'messages.web_search~')
  const other = encode({
    tools: [{ kind: 'server', name: 'bash_20250124', server: 'bash_20250124' }],
    choice: 'required',
  })
  t.notOk('tools' in other.body)
  t.equal(other.lost, 'tool_choice, tools.bash_20250124')
})

t.test('a freeform tool stays one, whoever serves it (trap 18)', async t => {
  const tools: Ask['tools'] = [
    { kind: 'freeform', name: 'edit', description: 'Edit.', grammar: '', ext: {} },
    {
      kind: 'freeform',
      name: 'patch',
      grammar: 'lark grammar:\nstart: x',
      ext: { chat: { format: '{"type":"grammar","grammar":{"syntax":"lark","definition":"start: x"}}' as never } },
    },
  ]
  const turns = [
    said('assistant', { type: 'call', id: 'c1', name: 'edit', input: { text: 'a\n' } }),
    said('user', result('c1', plain('r'))),
  ]
  const own = encode({ dialect: 'chat', tools, turns, choice: { names: ['edit'] } })
  t.strictSame(own.body['tools'], [
    { type: 'custom', name: 'edit', description: 'Edit.' },
    { type: 'custom', name: 'patch', format: { type: 'grammar', syntax: 'lark', definition: 'start: x' } },
  ])
  t.strictSame(own.body['tool_choice'], { type: 'custom', name: 'edit' })
  t.equal(own.lost, '')
  t.strictSame(own.body['input'], [
    { type: 'custom_tool_call', call_id: 'c1', name: 'edit', input: 'a\n' },
    { type: 'custom_tool_call_output', call_id: 'c1', output: 'r' },
  ])
  t.strictSame(encode({ dialect: 'chat', tools, turns }, { own: false }).body['tools'], own.body['tools'])
})

t.test(
  'names that are too long are mapped there, and only one tool is forced where one was (trap 8, trap 55)',
  async t => {
    const name = `mcp__${'x'.repeat(80)}`
    const tools: Ask['tools'] = [
      { kind: 'function', name },
      { kind: 'function', name: 'q', namespace: 'db' },
    ]
    const { body } = encode({
      tools,
      choice: { names: [name] },
      parallel: false,
      turns: [said('assistant', call('c', name)), said('user', result('c'))],
    })
    const [first, second] = body['tools']
    t.match(first.name, /^[a-zA-Z0-9_-]{1,64}$/)
    t.equal(second.name, 'db__q')
    t.strictSame(body['tool_choice'], { type: 'function', name: first.name })
    t.equal(body['input'][0].name, first.name)
    t.equal(body['parallel_tool_calls'], false)
    t.strictSame(encode({ tools, choice: { names: [name, 'q'] } }).body['tool_choice'], {
      type: 'allowed_tools',
      mode: 'required',
      tools: [
        { type: 'function', name: first.name },
        { type: 'function', name: 'db__q' },
      ],
    })
    t.equal(encode({ tools, choice: 'required' }).body['tool_choice'], 'required')
    t.notOk('parallel_tool_calls' in encode({ parallel: false }).body)
  },
)

t.test('the rest of a request: media, results, rules in the middle, who asks and how', async t => {
  const turns: Turn[] = [
    said(
      'user',
      { type: 'media', kind: 'image', mime: 'image/png', at: { base64: 'aGk=' } },
      { type: 'media', kind: 'image', at: { url: 'https://x/i.png' }, detail: 'low' },
      { type: 'media', kind: 'document', mime: 'application/pdf', at: { base64: 'aGk=' }, title: 'a.pdf' },
      { type: 'media', kind: 'document', at: { url: 'https://x/a.pdf' } },
      { type: 'media', kind: 'document', at: { text: 'T' }, title: 'b.txt' },
    ),
    said('assistant', call('c1', 'f'), call('c2', 'f')),
    said(
      'user',
      {
        type: 'result',
        callId: 'c1',
        parts: [{ type: 'media', kind: 'image', mime: 'image/png', at: { base64: 'aGk=' } }],
        error: false,
      },
      { type: 'result', callId: 'c2', parts: [{ type: 'text', text: 'No such file' }], error: true },
    ),
    said('system', plain('Careful.')),
    said('user', { type: 'opaque', dialect: 'messages', kind: 'search_result', json: '{}' as never }, plain('e')),
  ]
  const { body, lost } = encode({
    turns,
    system: [plain('A'), plain('B')] as Ask['system'],
    stream: true,
    endUser: 'me',
    tier: 'flex',
    cache: { key: 'k', auto: true },
  })
  t.equal(body['instructions'], 'A\n\nB')
  t.strictSame(body['input'][0].content, [
    { type: 'input_image', image_url: 'data:image/png;base64,aGk=', detail: 'auto' },
    { type: 'input_image', image_url: 'https://x/i.png', detail: 'low' },
    { type: 'input_file', filename: 'a.pdf', file_data: 'data:application/pdf;base64,aGk=' },
    { type: 'input_file', file_url: 'https://x/a.pdf' },
    { type: 'input_text', text: 'b.txt:\n\nT' },
  ])
  const outputs = body['input'].filter((item: Json) => item['type'] === 'function_call_output')
  t.strictSame(outputs[0].output, [{ type: 'input_image', image_url: 'data:image/png;base64,aGk=', detail: 'auto' }])
  t.equal(outputs[1].output, 'Error: No such file')
  t.strictSame(body['input'].at(-2), {
    type: 'message',
    role: 'developer',
    content: [{ type: 'input_text', text: 'Careful.' }],
  })
  t.match(body, { stream: true, service_tier: 'flex', prompt_cache_key: 'k' })
  t.match(body['safety_identifier'], /^[0-9a-f]{32}$/)
  t.equal(
    encode({ endUser: 'me' }).body['prompt_cache_key'],
    body['safety_identifier'],
    'a session of Claude’s clients',
  )
  t.equal(lost, 'messages.search_result')
  t.equal(encode({ turns }, { own: false }).body['input'].at(-2).role, 'developer')
  t.equal(
    encode({ turns }, { model: 'deepseek-v4' }).body['input'].at(-2).role,
    'system',
    'trap 45: developer is the word of OpenAI’s models',
  )
  const json = encode({ format: { kind: 'schema', schema: '{"type":"object"}' as never, name: 'my answer' } })
  t.strictSame(json.body['text'], { format: { type: 'json_schema', name: 'my_answer', schema: { type: 'object' } } })
  t.throws(() => encode({ turns: [said('user', { type: 'media', kind: 'video', at: { url: 'x' } })] }), {
    message: /^messages.video: /,
  })
})

t.test('tokens are counted by the vendor', async t => {
  const notes = new Notes()
  const target = {
    model: 'm',
    facts: factsOf('openai', 'gpt-6'),
    own: true,
    internal: false,
    issuer,
    kept: () => undefined,
    seals: true,
    settings: { autoCache: true },
  }
  const asking = codec.counting!.encodeAsk(ask({ limits: { maxTokens: 9, stop: [] }, stream: true }), target, notes)
  t.equal(asking.path, '/v1/responses/input_tokens')
  t.strictSame(Object.keys(JSON.parse(asking.body)), ['model', 'input'])
  t.equal(codec.counting!.read(Buffer.from(codec.counting!.write(17))), 17)
  for (const bad of ['', '{}', '{"input_tokens":"1"}', '[]']) t.equal(codec.counting!.read(Buffer.from(bad)), undefined)
})

// ---- an upstream's answer ----

const created = { type: 'response.created', response: { id: 'resp_1', model: 'up' } }
const added = (output_index: number, item: object) => ({ type: 'response.output_item.added', output_index, item })
const done = (output_index: number, item: object) => ({ type: 'response.output_item.done', output_index, item })
const completed = (more: object = {}) => ({
  type: 'response.completed',
  response: {
    id: 'resp_1',
    status: 'completed',
    output: [],
    usage: { input_tokens: 10, input_tokens_details: { cached_tokens: 4, cache_write_tokens: 1 }, output_tokens: 5 },
    ...more,
  },
})
const message = (id: string, ...texts: string[]) => ({
  type: 'message',
  id,
  role: 'assistant',
  phase: 'commentary',
  content: texts.map(words => ({ type: 'output_text', text: words, annotations: [] })),
})
const fc = (id: string, name: string, said_: string) => ({
  type: 'function_call',
  id,
  call_id: `c_${name}`,
  name,
  arguments: said_,
})

t.test(
  'items that were only told when they were done are there, and an empty output is no empty answer (trap 30)',
  async t => {
    const bytes = sse(
      created,
      done(0, {
        type: 'reasoning',
        id: 'rs',
        summary: [{ type: 'summary_text', text: 'hm' }],
        encrypted_content: 'gA',
      }),
      done(1, message('m', 'a', 'b')),
      done(2, fc('fc', 'f', '{"x":1}')),
      completed(),
    )
    const want = [
      'start',
      'open thought',
      '+hm',
      'seal gA',
      'close',
      'open text commentary',
      '+a',
      'close',
      'open text commentary',
      '+b',
      'close',
      'open call f',
      '+{"x":1}',
      'close',
      'usage',
      'finish calls',
    ]
    t.strictSame(say(events(bytes)), want)
    const output = [
      { type: 'reasoning', id: 'rs', summary: [{ type: 'summary_text', text: 'hm' }], encrypted_content: 'gA' },
      message('m', 'a', 'b'),
      fc('fc', 'f', '{"x":1}'),
    ]
    t.strictSame(say(events(sse(created, completed({ output })))), want, 'or only at the end')
    t.strictSame(
      say(codec.decodeWhole(Buffer.from(JSON.stringify(completed({ output }).response)), issuer)),
      want,
      'or whole',
    )
  },
)

t.test('ids rotate, deltas are padded, events repeat: an item is known by its place', async t => {
  const bytes = sse(
    created,
    { type: 'response.in_progress', response: { id: 'resp_other' } },
    added(0, { type: 'message', id: 'm1', content: [] }),
    {
      type: 'response.content_part.added',
      item_id: 'm2',
      output_index: 0,
      content_index: 0,
      part: { type: 'output_text', text: '' },
    },
    {
      type: 'response.output_text.delta',
      item_id: 'm3',
      output_index: 0,
      content_index: 0,
      delta: 'Hel',
      obfuscation: 'xyz',
    },
    'event: keepalive\ndata: {"type":"keepalive"}\n\n: comment\n\n',
    {
      type: 'response.output_text.delta',
      item_id: 'm4',
      output_index: 0,
      content_index: 0,
      delta: 'lo',
      obfuscation: 'x',
    },
    {
      type: 'response.output_text.annotation.added',
      output_index: 0,
      content_index: 0,
      annotation_index: 0,
      annotation: { type: 'url_citation', url: 'https://x', title: 'X', start_index: 0, end_index: 1 },
    },
    { type: 'response.output_text.done', item_id: 'm5', output_index: 0, content_index: 0, text: 'Hello' },
    {
      type: 'response.content_part.done',
      output_index: 0,
      content_index: 0,
      part: { type: 'output_text', text: 'Hello', annotations: [{ type: 'url_citation', url: 'https://x' }] },
    },
    done(0, message('m6', 'Hello')),
    done(0, message('m6', 'Hello')),
    { type: 'response.of_tomorrow', delta: 'x' },
    completed({ output: [message('m7', 'Hello')] }),
    'data: [DONE]\n\n',
    completed(),
  )
  const want = ['start', 'open text', '+Hel', '+lo', 'cite', 'close', 'usage', 'finish end']
  t.strictSame(say(events(bytes)), want)
  for (const size of [1, 2, 3, 7, 64]) t.strictSame(say(events(bytes, size)), want, `in pieces of ${size}`)
  t.strictSame(say(events(bytes.replaceAll('\n', '\r\n'), 3)), want, 'CRLF')
  t.strictSame(say(events(bytes.replaceAll(/event: .*\n/g, ''))), want, 'without names')
})

t.test('reasoning: parts of a summary are paragraphs, the proof is the one that was told last (trap 23)', async t => {
  const reasoning = (summary_index: number, delta: string) => ({
    type: 'response.reasoning_summary_text.delta',
    output_index: 0,
    summary_index,
    delta,
  })
  const bytes = sse(
    created,
    added(0, { type: 'reasoning', id: 'rs', summary: [], encrypted_content: 'gApartial' }),
    reasoning(0, 'a'),
    { type: 'response.reasoning_summary_text.done', output_index: 0, summary_index: 0, text: 'a' },
    reasoning(1, 'b'),
    done(0, { type: 'reasoning', id: 'rs', summary: [], encrypted_content: 'gAfull' }),
    added(1, { type: 'reasoning', id: 'r2', summary: [] }),
    { type: 'response.reasoning_text.done', output_index: 1, content_index: 0, text: 'c' },
    done(1, { type: 'reasoning', id: 'r2', summary: [] }),
    done(2, { type: 'reasoning', id: 'r3', summary: [], encrypted_content: 'gAhidden' }),
    done(3, { type: 'reasoning', id: 'r4', summary: [] }),
    completed(),
  )
  t.strictSame(say(events(bytes)), [
    'start',
    'open thought',
    '+a',
    '+\n\n',
    '+b',
    'seal gAfull',
    'close',
    'open thought',
    '+c',
    'close',
    'open thought',
    'seal gAhidden',
    'close',
    'usage',
    'finish end',
  ])
})

t.test('calls: freeform ones too, and other items stay as they stood (trap 14)', async t => {
  const bytes = sse(
    created,
    added(0, { type: 'function_call', call_id: 'c1', name: 'f', namespace: 'db', arguments: '' }),
    added(1, { type: 'custom_tool_call', call_id: 'c2', name: 'edit', input: '' }),
    { type: 'response.function_call_arguments.delta', output_index: 0, delta: '{"a"' },
    { type: 'response.custom_tool_call_input.delta', output_index: 1, delta: 'x' },
    { type: 'response.function_call_arguments.delta', output_index: 0, delta: ':1}' },
    { type: 'response.function_call_arguments.done', output_index: 0, arguments: '{"a":1}' },
    { type: 'response.custom_tool_call_input.done', output_index: 1, input: 'x' },
    done(1, { type: 'custom_tool_call', call_id: 'c2', name: 'edit', input: 'x' }),
    done(0, { type: 'function_call', call_id: 'c1', name: 'f', arguments: '{"a":1}' }),
    'event: response.output_item.done\ndata: {"type":"response.output_item.done","output_index":2,"item":{"type":"web_search_call","id":"ws","n":12345678901234567890}}\n\n',
    completed({ service_tier: 'flex', tool_usage: { web_search: { num_requests: 2 } } }),
  )
  const read = events(bytes)
  t.strictSame(say(read), [
    'start',
    'open call f',
    'open call edit',
    '+{"a"',
    '+x',
    '+:1}',
    'close',
    'close',
    'open opaque',
    'close',
    'usage',
    'finish calls',
  ])
  t.strictSame(read.find(event => event.type === 'open')!.part as unknown, {
    type: 'call',
    id: 'c1',
    name: 'f',
    namespace: 'db',
  })
  const opaque = read.find(event => event.type === 'close' && event.part) as Json
  t.equal(opaque['part'].json, '{"type":"web_search_call","id":"ws","n":12345678901234567890}')
  t.strictSame(read.find(event => event.type === 'usage')!.usage as unknown, {
    input: 5,
    output: 5,
    cacheRead: 4,
    cacheWrite: { '30m': 1 },
    webSearches: 2,
    tier: 'flex',
  })
})

t.test('how an answer ended', async t => {
  const incomplete = (reason: string) => ({
    ...completed({ status: 'incomplete', incomplete_details: { reason } }),
    type: 'response.incomplete',
  })
  const refusal = [
    { type: 'response.content_part.added', output_index: 0, content_index: 0, part: { type: 'refusal', refusal: '' } },
    { type: 'response.refusal.delta', output_index: 0, content_index: 0, delta: 'No' },
    { type: 'response.refusal.done', output_index: 0, content_index: 0, refusal: 'No' },
  ]
  const last = (...list: object[]) => say(events(sse(created, ...list))).at(-1)
  t.equal(last(completed()), 'finish end')
  t.equal(last(done(0, fc('x', 'f', '{}')), completed()), 'finish calls')
  t.equal(last(added(0, { type: 'message' }), ...refusal, completed()), 'finish refused')
  t.equal(last(incomplete('max_output_tokens')), 'finish length')
  t.equal(last(incomplete('content_filter')), 'finish safety')
  t.equal(last(incomplete('steered')), 'finish other')
  t.equal(last(incomplete('of_tomorrow')), 'finish length')
})

t.test('a call that was cut by the limit keeps its text (trap 57)', async t => {
  const bytes = sse(
    created,
    added(0, fc('x', 'f', '')),
    { type: 'response.function_call_arguments.delta', output_index: 0, delta: '{"a":[1,' },
    {
      ...completed({ status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } }),
      type: 'response.incomplete',
    },
  )
  t.strictSame(say(events(bytes)), ['start', 'open call f', '+{"a":[1,', 'close', 'usage', 'finish length'])
})

t.test('a failure is one, wherever it comes, and so is an end that did not come (trap 1, trap 3, trap 4)', async t => {
  const failed = (error: object | null) => ({ type: 'response.failed', response: { id: 'r', status: 'failed', error } })
  const limit = { code: 'rate_limit_exceeded', message: 'Please try again in 1.2s.' }
  const delta = { type: 'response.output_text.delta', output_index: 0, content_index: 0, delta: 'a' }
  const last = (...list: (object | string)[]) => events(sse(...list)).at(-1) as Event & { type: 'fail' }
  t.match(last(created, failed(limit)), { type: 'fail', fault: { kind: 'rateLimited', retryAfterMs: 1200 } })
  t.match(last(created, delta, failed(limit)), { fault: { kind: 'rateLimited' } })
  t.match(last(created, delta, { type: 'error', error: limit }), { fault: { kind: 'rateLimited' } })
  t.match(last({ type: 'error', code: 'server_error', message: 'x', param: null }), {
    fault: { kind: 'upstream', message: 'x' },
  })
  t.match(last('event: error\ndata: {"message":"x"}\n\n'), { fault: { kind: 'upstream', message: 'x' } })
  t.match(last(created, failed(null)), { fault: { kind: 'upstream' } })
  t.match(last(failed({ code: 'context_length_exceeded', message: 'Too long.' })), { fault: { kind: 'tooLong' } })
  for (const before of [[], [created], [created, delta]]) t.match(last(...before), { fault: { kind: 'truncated' } })
  t.equal(events(sse(created, failed(limit), completed())).filter(({ type }) => type === 'finish').length, 0)
  const whole = (body: string) => codec.decodeWhole(Buffer.from(body), issuer).at(-1)!
  for (const body of ['', '[]', '{}', '<html>', '{"output":1}']) t.equal(whole(body).type, 'fail', body)
  t.match(whole('{"error":{"code":"slow_down","message":"x"}}'), { fault: { kind: 'overloaded' } })
  t.match(whole('{"status":"failed","output":[],"error":{"code":"server_error","message":"x"}}'), {
    fault: { kind: 'upstream' },
  })
})

t.test('whatever comes, nothing is thrown and the grammar holds', async t => {
  const random = generator(17)
  const values = [
    null,
    0,
    -1,
    1,
    2 ** 60,
    'x',
    '',
    {},
    [],
    [null],
    true,
    { type: 'message' },
    'response.output_item.done',
  ]
  const types = [
    'response.created',
    'response.output_item.added',
    'response.content_part.added',
    'response.output_text.delta',
    'response.output_text.done',
    'response.output_text.annotation.added',
    'response.refusal.delta',
    'response.content_part.done',
    'response.reasoning_summary_text.delta',
    'response.reasoning_summary_text.done',
    'response.function_call_arguments.delta',
    'response.function_call_arguments.done',
    'response.custom_tool_call_input.delta',
    'response.output_item.done',
    'response.completed',
    'response.failed',
    'error',
  ]
  const items = [
    message('m', 'a'),
    fc('x', 'f', '{}'),
    { type: 'reasoning', summary: [{ text: 'a' }], encrypted_content: 'g' },
    { type: 'custom_tool_call', name: 'e', input: 'i' },
    { type: 'odd' },
  ]
  const event = () => ({
    type: one(random, types.slice(0, random(40) === 0 ? types.length : -3)),
    output_index: one(random, [0, 1, 2, 3, undefined, ...values.slice(0, 5)]),
    content_index: one(random, [0, 0, 1, undefined, 'x']),
    summary_index: one(random, [0, 1, undefined]),
    item: one(random, [...items, ...values]),
    part: one(random, [
      { type: 'output_text', text: 'a', annotations: [{}] },
      { type: 'refusal', refusal: 'r' },
      ...values,
    ]),
    delta: one(random, ['a', 'b', ...values]),
    text: one(random, ['a', ...values]),
    arguments: one(random, ['{}', ...values]),
    annotation: one(random, [{ type: 'url_citation', url: 'x' }, ...values]),
    response: one(random, [completed({ output: items }).response, ...values]),
    error: one(random, [{ message: 'x' }, ...values]),
  })
  let finished = 0
  for (let n = 0; n < 3000; n++) {
    const bytes = Buffer.from(sse(...Array.from({ length: 1 + random(12) }, event), random(2) ? completed() : ''))
    const decoder = codec.decoder(issuer)
    const list = [...torn(random, bytes).flatMap(piece => decoder.push(piece)), ...decoder.end()]
    const wrong = ungrammatical(list)
    if (wrong) return t.fail(`${wrong}: ${bytes}`)
    if (list.at(-1)!.type === 'finish') finished++
    codec.decodeWhole(bytes, issuer)
  }
  t.ok(finished > 500, `${finished} came to their end`)
})

/** What is against the grammar of events; '' for nothing. */
function ungrammatical(list: readonly Event[]): string {
  const open = new Set<number>()
  let next = 0
  for (const [n, event] of list.entries()) {
    if (event.type === 'start') {
      if (n > 0) return 'a second start'
    } else if (n === 0 && event.type !== 'fail') return `${event.type} before start`
    if (event.type === 'open') {
      if (event.index !== next++) return 'an index that is not the next'
      open.add(event.index)
    } else if ('index' in event && !open.has(event.index)) return `${event.type} of a part that is not open`
    if (event.type === 'close') open.delete(event.index)
    const end = event.type === 'finish' || event.type === 'fail'
    if (end !== (n === list.length - 1)) return 'an end that is none'
    if (event.type === 'finish' && open.size > 0) return 'finished with an open part'
  }
  return ''
}

t.test('an upstream’s error body is read, and written again as a client’s', async t => {
  const body = (error: object) => Buffer.from(JSON.stringify({ error }))
  const cases: [status: number, body: Buffer, kind: string][] = [
    [400, body({ message: 'x', code: 'context_length_exceeded' }), 'tooLong'],
    [400, body({ message: 'x', code: 'invalid_encrypted_content' }), 'sealRefused'],
    [401, body({ message: 'x', code: 'invalid_api_key' }), 'auth'],
    [404, body({ message: 'x', code: 'model_not_found' }), 'notFound'],
    [429, body({ message: 'x', type: 'tokens', code: 'rate_limit_exceeded' }), 'rateLimited'],
    [500, Buffer.from('<html>'), 'upstream'],
  ]
  for (const [status, said_, kind] of cases) {
    const fault = codec.readFault(status, said_)
    t.equal(fault.kind, kind)
    const { error } = JSON.parse(codec.writeFault(fault, status, 'id'))
    t.strictSame(Object.keys(error), ['message', 'type', 'param', 'code'])
  }
})
