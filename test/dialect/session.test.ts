// The session of a request: one for all turns of a conversation, however its client writes them, and for no other.
import type { IncomingHttpHeaders } from 'node:http'
import t from 'tap'
import { scanObject } from '../../src/dialect/json/scan.ts'
import { elements, members, valueEnd, without } from '../../src/dialect/json/walk.ts'
import { sessionFields, sessionKey } from '../../src/dialect/messages/session.ts'

const uuid = '0f6e1a52-93d8-4c1e-9c8e-2f1f4f1d9a01'
const device = 'ab'.repeat(32)
const ephemeral = { cache_control: { type: 'ephemeral', ttl: '1h' } }
const body = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
const key = (headers: IncomingHttpHeaders, value: unknown) => sessionKey(headers, body(value))
const hi = { messages: [{ role: 'user', content: 'hi' }] }
const HASH = /^x:[0-9a-f]{32}$/

t.test('every client is known by what it sends (spec/wire.md §5)', async t => {
  const user = (user_id: unknown) => ({ ...hi, metadata: { user_id } })
  const cases: [client: string, headers: IncomingHttpHeaders, body: unknown, key: string | RegExp][] = [
    ['Claude Code', { 'x-claude-code-session-id': uuid }, user('whoever'), `h:${uuid}`],
    [
      'Claude Code, a sub-agent: its parent has the cache',
      { 'x-claude-code-session-id': uuid, 'x-claude-code-agent-id': 'a1' },
      hi,
      `h:${uuid}`,
    ],
    [
      'Claude Code behind what drops headers',
      {},
      user(JSON.stringify({ device_id: device, account_uuid: '', session_id: uuid })),
      `u:${uuid}`,
    ],
    ['Claude Code before that', {}, user(`user_${device}_account__session_${uuid}`), `u:${uuid}`],
    [
      'Claude Code before that, with an account',
      {},
      user(`user_${device}_account_${uuid}_session_${uuid}`),
      `u:${uuid}`,
    ],
    ['oh-my-pi: the session alone', {}, user('{"session_id":"01J9ZK"}'), 'u:01J9ZK'],
    ['Codex', { 'session-id': 'cli-run', 'thread-id': 'thread' }, hi, 'h:cli-run'],
    ['Codex, only the thread', { 'thread-id': 'thread' }, { ...hi, prompt_cache_key: 'k' }, 'h:thread'],
    ['Codex before dashes', { session_id: 's-1', conversation_id: 'c-1' }, hi, 'h:s-1'],
    ['Codex before dashes, conversation', { conversation_id: 'c-1' }, hi, 'h:c-1'],
    ['Codex, no header through', {}, { ...hi, prompt_cache_key: 'thread-1' }, 'c:thread-1'],
    ['OpenCode', { 'x-session-affinity': 'ses_1', 'x-session-id': 'ses_1' }, hi, 'h:ses_1'],
    ['OpenCode to a provider called opencode', { 'x-opencode-session': 'ses_2' }, hi, 'h:ses_2'],
    ['an SDK with prompt_cache_key', {}, { ...user('u-77'), prompt_cache_key: 'doc-9' }, 'c:doc-9'],
    ['an SDK that names its user: a person is not a session', {}, user('u-77'), HASH],
    ['an SDK that names nobody', {}, hi, HASH],
    ['Gemini CLI with an API key sends neither header nor field', { 'user-agent': 'GeminiCLI/0.61.0' }, hi, HASH],
    ['nothing was said yet', {}, { messages: [] }, ''],
  ]
  for (const [client, headers, value, expected] of cases) {
    if (typeof expected === 'string') t.equal(key(headers, value), expected, client)
    else t.match(key(headers, value), expected, client)
  }
})

t.test('what is no id is passed over', async t => {
  const strange = ['', '   ', 'x'.repeat(129), 'tab\there', 'line\nbreak', 'é', '\u001b[2J', '\u2028']
  for (const value of strange) {
    t.match(key({ 'session-id': value }, hi), HASH, `header ${encodeURI(value).slice(0, 20)}`)
    t.match(key({}, { ...hi, prompt_cache_key: value }), HASH, `prompt_cache_key ${encodeURI(value).slice(0, 20)}`)
    t.match(key({}, { ...hi, metadata: { user_id: JSON.stringify({ session_id: value }) } }), HASH)
  }
  t.equal(key({ 'session-id': 'é', 'thread-id': ' t ' }, hi), 'h:t', 'the next header, trimmed')
  t.equal(key({ 'session-id': 'x'.repeat(128) }, hi), `h:${'x'.repeat(128)}`)
  const users: unknown[] = [
    `user_${device}_account__session_`,
    `user_${device}_session_${uuid}_more`,
    '_session_handler_of_my_application_is_fine',
    '{"session_id":{}}',
    '{"session_id":',
    '{}',
    'null',
    7,
    null,
    { session_id: uuid },
    `{"session_id":"${'x'.repeat(5000)}"}`,
  ]
  for (const user_id of users) t.match(key({}, { ...hi, metadata: { user_id } }), HASH, JSON.stringify(user_id))
  for (const metadata of [null, [], 'x', 1, {}, { other: 1 }]) t.match(key({}, { ...hi, metadata }), HASH)
  for (const prompt_cache_key of [null, 1, {}, []]) t.match(key({}, { ...hi, prompt_cache_key }), HASH)
})

t.test('the sources cannot be taken for each other', async t => {
  const keys = [
    key({ 'session-id': uuid }, hi),
    key({}, { ...hi, metadata: { user_id: JSON.stringify({ session_id: uuid }) } }),
    key({}, { ...hi, prompt_cache_key: uuid }),
    key({}, hi),
  ]
  t.same(
    keys.map(k => k.slice(0, 2)),
    ['h:', 'u:', 'c:', 'x:'],
  )
  const hash = key({}, hi).slice(2)
  t.not(key({ 'session-id': hash }, hi), key({}, hi), 'not even on purpose')
})

t.test('without anything stable there is no session, and never an exception', async t => {
  const bodies = [
    '',
    'null',
    '[]',
    '{"messages"',
    '{"messages":[],"messages":[]}',
    '{}',
    '{"messages":null}',
    '{"messages":{"role":"user","content":"hi"}}',
    '{"messages":[1,"x",null,[],{}]}',
    '{"messages":[{"role":"assistant","content":"hi"}]}',
    '{"messages":[{"role":"system","content":"hi"}]}',
    '{"messages":[{"role":"user"}]}',
    '{"messages":[{"role":"user","content":""}]}',
    '{"messages":[{"role":"user","content":[]}]}',
    '{"messages":[{"role":"user","content":7}]}',
    '{"messages":[{"role":"user","content":[{"type":"text","text":""}]}]}',
    `{"a":${'['.repeat(600)}`,
  ]
  for (const text of bodies) t.equal(sessionKey({}, Buffer.from(text)), '', text.slice(0, 60))
  t.match(key({}, { system: null, tools: 3, ...hi }), HASH, 'odd values beside a message do no harm')
  t.match(key({}, '{"messages":[{"role":"user","content":[{"type":"text","text":9},{},7,"x"]}]}'), HASH)
})

t.test('a scan made by the caller is as good', async t => {
  const value = body({ model: 'm', system: 's', metadata: { user_id: 'u' }, ...hi })
  const scanned = scanObject(value, new Set(['model', ...sessionFields]))
  t.equal(sessionKey({}, value, scanned), sessionKey({}, value))
})

// ---- the hash of the beginning ----

// The four shapes in which one conversation was seen, turn by turn (spec/wire.md §0.6 and §5).
t.test('turns of one conversation as Claude Code writes them', async t => {
  const attribution = (n: number) => ({
    type: 'text',
    text: `x-anthropic-billing-header: cc_version=2.1.330.${n}; cc_entrypoint=cli; cch=${n}abcd;`,
  })
  const identity = { type: 'text', text: "You are Claude Code, Anthropic's official CLI for Claude." }
  const tools = [
    { name: 'Read', description: 'Reads "a file".', input_schema: { type: 'object', properties: {} } },
    { name: 'Bash', description: 'Runs.', input_schema: { type: 'object' } },
  ]
  const question = { type: 'text', text: 'Fix the "bug"\nin src\\a.ts' }
  const context = { type: 'text', text: '<system-reminder>\nToday is…\n</system-reminder>' }
  const answer = { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_1', name: 'Read', input: {} }] }
  const result = {
    role: 'user',
    content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: 'text', ...ephemeral }],
  }
  const turns = [
    {
      model: 'claude-opus-5',
      messages: [
        { role: 'user', content: [context, { ...question, ...ephemeral }] },
        { role: 'system', content: 'mid', output_config: { effort: 'high' } },
      ],
      system: [attribution(1), { ...identity, ...ephemeral }],
      tools: [tools[0], { ...tools[1], ...ephemeral }],
      stream: true,
    },
    {
      model: 'claude-opus-5',
      messages: [
        { role: 'user', content: [context, question] },
        { role: 'system', content: [{ type: 'text', text: 'mid', ...ephemeral }] },
        answer,
        result,
      ],
      system: [attribution(2), identity],
      tools: [{ ...ephemeral, ...tools[0] }, tools[1]],
      stream: true,
    },
    {
      tools,
      stream: false,
      system: [identity],
      messages: [{ role: 'system' }, { content: [context, question], role: 'user' }, answer, result, answer],
      temperature: 1,
    },
  ]
  const keys = turns.map(turn => key({}, turn))
  t.match(keys[0], HASH)
  t.same(keys, Array(3).fill(keys[0]))
  const pretty = Buffer.from(
    JSON.stringify({ system: [identity], messages: [{ role: 'user', content: [question] }] }, null, 2),
  )
  t.equal(
    sessionKey({}, pretty),
    key({}, { system: [identity], messages: [{ role: 'user', content: [question] }] }),
    'spaces between values say nothing',
  )
})

t.test('a text is the same as a string and as a block', async t => {
  const text = 'line\n"quoted" \\ ünïcode 🙂'
  const said = [
    text,
    [{ type: 'text', text }],
    [{ ...ephemeral, type: 'text', text }],
    [{ text, type: 'text', citations: null }],
  ]
  const keys = new Set(
    said.flatMap(system => said.map(content => key({}, { system, messages: [{ role: 'user', content }] }))),
  )
  t.equal(keys.size, 1)
  const joined = `x-anthropic-billing-header: cc_version=1; cch=${uuid};\n${text}`
  t.ok(keys.has(key({}, { system: joined, messages: [{ role: 'user', content: text }] })), 'blocks joined on the way')
})

t.test('conversations that begin otherwise are others', async t => {
  const image = (data: string) => ({ type: 'image', source: { type: 'base64', media_type: 'image/png', data } })
  const pdf = 'JVBERi0xLjcK'.repeat(2000)
  const begin = (content: unknown, more: object = {}) => ({
    system: 'S',
    tools: [{ name: 'A' }],
    ...more,
    messages: [{ role: 'user', content }],
  })
  const begins = [
    begin('hello'),
    begin('hello '),
    begin('hello', { system: 'T' }),
    begin('hello', { system: undefined }),
    begin('hello', { tools: undefined }),
    begin('hello', { tools: [{ name: 'B' }] }),
    begin('hello', { tools: [{ name: 'A', description: 'd' }] }),
    begin('hello', { tools: [{ name: 'A' }, { name: 'B' }] }),
    // what would read the same when joined
    begin('Xhello'),
    begin('hello', { system: 'SX' }),
    begin('', { system: 'Shello' }),
    begin('Xhello', { tools: undefined }),
    begin('hello', { system: 'SX', tools: undefined }),
    // other blocks
    begin([image('iVBOR')]),
    begin([image('iVBOS')]),
    begin([image('iVBOR'), image('iVBOR')]),
    begin([{ type: 'text', text: 'hello' }, image('iVBOR')]),
    begin([image(pdf)]),
    begin([image(`${pdf}AAAA`)]),
    begin([{ type: 'tool_result', tool_use_id: 'a', content: 'x' }]),
    // long texts that differ in the middle, as generated prompts do
    begin(`${'x'.repeat(50_000)}1${'y'.repeat(50_000)}`),
    begin(`${'x'.repeat(50_000)}2${'y'.repeat(50_000)}`),
  ]
  const keys = begins.map(b => key({}, b))
  t.equal(keys[10], '', 'an empty question is nobody’s')
  t.equal(new Set(keys).size, begins.length)
  t.equal(
    key({}, begin([{ ...image('iVBOR'), ...ephemeral }])),
    key({}, begin([image('iVBOR')])),
    'its breakpoint apart',
  )
})

// ---- properties ----

/** mulberry32: the same numbers at every run. */
function numbers(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (state + 0x6d2b79f5) | 0
    let x = Math.imul(state ^ (state >>> 15), 1 | state)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return Math.floor((((x ^ (x >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

t.test('whatever grows, moves or changes shape, the key stays; whoever begins otherwise has another', async t => {
  const seen = new Map<string, number>()
  for (let seed = 1; seed <= 150; seed++) {
    const pick = numbers(seed)
    const words = [
      'a',
      '"',
      '\\',
      '\n',
      'cache_control',
      '"cache_control":{}',
      '}',
      ']',
      ',',
      '🙂',
      'x-anthropic',
      '\u0000',
      ':',
    ]
    const phrase = () => Array.from({ length: 1 + pick(60) }, () => words[pick(words.length)]).join(' ')
    const maybe = (block: object) =>
      pick(3) === 0 ? (pick(2) ? { ...block, ...ephemeral } : { ...ephemeral, ...block }) : block
    const shaped = (text: string) => (pick(2) ? text : [maybe({ type: 'text', text })])
    const schema = {
      type: 'object',
      properties: { cache_control: { type: 'string' }, [phrase()]: { enum: ['cache_control', phrase()] } },
    }
    const tools = Array.from({ length: pick(4) }, () => ({
      name: phrase(),
      description: phrase(),
      input_schema: schema,
    }))
    const system = phrase()
    const question = `${seed} ${phrase()}`
    const image = { type: 'image', source: { type: 'base64', data: 'AbC+/'.repeat(pick(3000)) } }
    const withImage = pick(3) === 0
    const history: object[] = []

    const keys = new Set<string>()
    for (let turn = 0; turn < 8; turn++) {
      const systems = () => (pick(3) ? [] : [{ role: 'system', content: shaped(phrase()) }])
      const content = withImage ? [maybe(image), maybe({ type: 'text', text: question })] : shaped(question)
      const parts: [string, unknown][] = [
        [
          'system',
          pick(2)
            ? [
                { type: 'text', text: `x-anthropic-billing-header: cch=${pick(1e6)};` },
                maybe({ type: 'text', text: system }),
              ]
            : shaped(system),
        ],
        ['tools', tools.map(maybe)],
        ['messages', [...systems(), { role: 'user', content }, ...systems(), ...history.map(maybe)]],
        ['metadata', { user_id: 'someone' }],
        ['max_tokens', pick(1000)],
        ['stream', pick(2) === 0],
      ]
      for (let i = parts.length - 1; i > 0; i--) {
        const j = pick(i + 1)
        ;[parts[i], parts[j]] = [parts[j]!, parts[i]!]
      }
      keys.add(key({}, Object.fromEntries(parts)))
      history.push({ role: 'assistant', content: shaped(phrase()) }, { role: 'user', content: shaped(phrase()) })
    }
    t.equal(keys.size, 1, `seed ${seed}`)
    const [only] = keys
    t.notOk(seen.has(only!), `seed ${seed} is not seed ${seen.get(only!)}`)
    seen.set(only!, seed)
  }
})

t.test('walking finds what JSON.parse finds', async t => {
  const read = (b: Buffer, at: number): unknown => JSON.parse(b.toString('utf8', at, valueEnd(b, at)))
  for (let seed = 1; seed <= 300; seed++) {
    const pick = numbers(seed)
    const value = (depth: number): unknown => {
      const kind = pick(depth > 3 ? 4 : 7)
      if (kind === 0) return [null, true, false, 0, -1.5e10][pick(5)]
      if (kind < 4)
        return pick(3) === 0
          ? 'cache_control'
          : ['"', '\\', '{]', 'x'.repeat(40), 'é\u2028', '"cache_control":1'].slice(pick(6)).join('')
      const many = Array.from({ length: pick(4) }, () => value(depth + 1))
      if (kind === 4) return many
      return Object.fromEntries(many.map((v, i) => [['cache_control', `k${i}"`, `${i}"cache_control`][pick(3)]!, v]))
    }
    const whole = pick(2) ? [value(0), value(0)] : { a: value(0), cache_control: value(0), b: value(0) }
    for (const indent of [0, 2]) {
      const b = Buffer.from(JSON.stringify(whole, null, indent))
      t.equal(valueEnd(b, 0), b.length)
      t.same(
        [...elements(b, 0)].map(at => read(b, at)),
        Array.isArray(whole) ? whole : [],
      )
      const found = [...members(b, 0)].map(m => [JSON.parse(`"${m.key}"`) as string, read(b, m.value.start)])
      t.same(found, !Array.isArray(whole) ? Object.entries(whole) : [])
      const bare = Buffer.concat(without(b, { start: 0, end: b.length }, 'cache_control')).toString()
      const expected = JSON.parse(JSON.stringify(whole), (k, v: unknown) =>
        k === 'cache_control' ? undefined : v,
      ) as unknown
      t.same(JSON.parse(bare), expected)
      if (indent === 0) t.equal(bare, JSON.stringify(expected))
    }
  }
})
