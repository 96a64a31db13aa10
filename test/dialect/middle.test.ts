// What every translation shares: JSON with nothing lost, names and ids that an upstream takes, proofs that say whose they are, parts in turn.
import t from 'tap'
import { parseExact, raw, writeExact } from '../../src/dialect/json/exact.ts'
import { Answers } from '../../src/dialect/middle/answering.ts'
import { estimateTokens } from '../../src/dialect/middle/estimate.ts'
import type { Ask, Event, Head, Issuer, Tool } from '../../src/dialect/middle/form.ts'
import { FreeformText } from '../../src/dialect/middle/freeform.ts'
import { Gathering } from '../../src/dialect/middle/gather.ts'
import { InTurn } from '../../src/dialect/middle/in-turn.ts'
import { WireNames } from '../../src/dialect/middle/names.ts'
import { Notes } from '../../src/dialect/middle/notes.ts'
import { disclose, enclose, inBytes, isGoodFor, isOurs } from '../../src/dialect/middle/seal.ts'
import { Failure } from '../../src/lib/failure.ts'

t.test('JSON that a client parses again stays as it stood (trap 14)', async t => {
  const input = '{ "z":12345678901234567890, "10":1.50,"2":[ {"a":1e30,"\\u00fc":"\\"}{" } ],"b":{} }'
  const whole = `\ufeff{"n":123456789012345678901234567890,"small":1.50,"input":${input},"list":[{"input":"x"},{"input":17}],"__proto__":1}`
  const read = parseExact(whole, new Set(['input'])) as Record<string, unknown>
  t.equal(read['input'], input, 'to the byte')
  t.strictSame(read['list'], [{ input: '"x"' }, { input: '17' }])
  t.equal(
    writeExact({ n: read['n'], input: raw(read['input'] as string), left: undefined, list: [null, true, 'ü"'] }),
    `{"n":123456789012345678901234567890,"input":${input},"list":[null,true,"ü\\""]}`,
  )
  t.ok(Object.hasOwn(read, '__proto__'), 'a name like any other')
  for (const bad of [
    '',
    '{',
    '{"a":1,}',
    '[1 2]',
    '{"input":{"a":01}}',
    '{"input":[}',
    'nul',
    '"a',
    '{"a" 1}',
    '"\u0001"',
    '1 1',
  ])
    t.throws(() => parseExact(bad, new Set(['input'])), SyntaxError, bad)
  t.throws(() => parseExact('['.repeat(100_000)), { message: /nested deeper/ })
  const deep = `${'['.repeat(500)}${']'.repeat(500)}`
  t.equal(writeExact(parseExact(deep)), deep)
})

t.test('a name that an upstream refuses is turned there and back (trap 8)', async t => {
  const tool = (name: string, more: Partial<Tool> = {}): Tool => ({ kind: 'function', name, ...more })
  const long = 'x'.repeat(90)
  const names = new WireNames(
    [
      tool('run'),
      tool('query', { namespace: 'db' }),
      tool('db__query'),
      tool(long),
      tool('my tool'),
      tool('9'),
      tool('edit', { kind: 'freeform' }),
    ],
    { first: 'a-zA-Z_', rest: 'a-zA-Z0-9_-', max: 64 },
  )
  t.equal(names.of(tool('run')), 'run')
  t.equal(names.of({ name: 'query', namespace: 'db' }), 'db__query')
  const seen = new Set<string>()
  for (const name of ['db__query', long, 'my tool', '9']) {
    const wire = names.of({ name })
    t.match(wire, /^[a-zA-Z_][a-zA-Z0-9_-]{0,63}$/, name)
    t.equal(names.wires.get(wire)?.name, name)
    t.notOk(seen.has(wire))
    seen.add(wire)
  }
  t.strictSame(names.wires.get('db__query'), { name: 'query', namespace: 'db' })
  t.strictSame(names.wires.get('edit'), { name: 'edit', freeform: true })
  const again = new WireNames([tool(long)], { first: 'a-zA-Z_', rest: 'a-zA-Z0-9_-', max: 64 })
  t.equal(again.of({ name: long }), names.of({ name: long }), 'the same in every turn')
})

t.test('a proof says who issued it, and is believed only whole', async t => {
  const issuer: Issuer = { platform: 'gemini', scope: '0a1b2c3d', model: 'gemini-3.1-pro' }
  const sealed = enclose({ issuer, value: 'c2ln+/=', text: 'hm ü', callId: 'call_1' })
  t.match(sealed, /^gw1\.g\.0a1b2c3d\.[A-Za-z0-9_-]+\.[0-9a-f]{4}$/)
  const said = { issuer, value: 'c2ln+/=', text: 'hm ü', callId: 'call_1' }
  t.strictSame(disclose(sealed), said)
  t.strictSame(disclose(inBytes(sealed)), said, 'where a dialect has bytes')
  t.match(inBytes(sealed), /^[A-Za-z0-9+/]+={0,2}$/)
  t.equal(disclose(enclose({ issuer, value: undefined, text: '', callId: '' }))?.value, undefined, 'of none')
  for (const broken of [
    sealed.slice(0, -1),
    sealed.replace('0a1b', '0a1c'),
    `${sealed}x`,
    'gw1.g.0a1b2c3d.e30.0000',
    'c2lnbmF0dXJl',
    '',
  ])
    t.equal(disclose(broken), undefined, broken)
  t.ok(isOurs(sealed.slice(0, 20)) && isOurs(inBytes(sealed)), 'also one that was cut is no vendor’s')
  t.notOk(isOurs('EqQBCkYIBBgCKkA'))

  const seal = { value: 'x', issuer }
  t.ok(isGoodFor(seal, issuer))
  t.notOk(isGoodFor({ value: 'x', issuer: undefined }, issuer), 'of another dialect, and nobody knows whose')
  t.ok(isGoodFor(seal, { ...issuer, model: 'gemini-3.1-pro-preview' }), 'a model of the same family')
  for (const other of [{ platform: 'antigravity' as const }, { scope: 'ffffffff' }, { model: 'gemini-3.6-flash' }])
    t.notOk(isGoodFor(seal, { ...issuer, ...other }), JSON.stringify(other))
})

const open = (index: number, part: Head = { type: 'text' }): Event => ({ type: 'open', index, part })
const delta = (index: number, text: string): Event => ({ type: 'delta', index, text })
const close = (index: number): Event => ({ type: 'close', index })

t.test('parts that are open at once come one after the other (trap 5)', async t => {
  const turn = new InTurn()
  const out = [
    open(0),
    open(1),
    delta(1, 'b'),
    open(2),
    delta(0, 'a'),
    close(1),
    delta(2, 'c'),
    close(0),
    delta(2, 'd'),
    close(2),
  ].flatMap(event => turn.take(event))
  t.strictSame(out, [
    open(0),
    delta(0, 'a'),
    close(0),
    open(1),
    delta(1, 'b'),
    close(1),
    open(2),
    delta(2, 'c'),
    delta(2, 'd'),
    close(2),
  ])
  const later = new InTurn()
  t.strictSame([open(0), close(0), open(1), delta(1, 'x'), close(1)].flatMap(event => later.take(event)).length, 5)
})

t.test('a freeform tool comes back as its text, however it is cut (trap 18)', async t => {
  const text = '*** Begin Patch\n+ "ü" \\ 🦊 \u0001 </end>'
  for (const json of [
    JSON.stringify({ input: text }),
    ` {\n "input" : ${JSON.stringify(text).replace('🦊', '\\ud83e\\udd8a')}}`,
  ])
    for (let at = 0; at <= json.length; at++) {
      const free = new FreeformText()
      const out = free.push(json.slice(0, at)) + free.push(json.slice(at)) + free.end()
      if (out !== text) t.equal(out, text, `cut at ${at}`)
    }
  const other = new FreeformText()
  t.equal(other.push('just words'), '')
  t.equal(other.end(), 'just words', 'what is no object is given as it is')
  const long = new FreeformText()
  const piece = 'x'.repeat(40)
  long.push('{"patch":"')
  for (let n = 0; n < 200_000; n++) long.push(piece)
  t.equal(long.end().length, 8_000_010, 'however much of it there is, and in how many pieces: each is read once')
  t.pass('every cut')
})

const answers = (more: Partial<ConstructorParameters<typeof Answers>[0]> = {}) => {
  let n = 0
  const kept: [string, string, string][] = []
  const by = new Answers({
    wires: new Map([['db__query', { name: 'query', namespace: 'db' }]]),
    carries: new Set<Head['type']>(['thought']),
    id: prefix => `${prefix}new${++n}`,
    keep: (key, seal, text) => kept.push([key, seal.value, text]),
    ...more,
  })
  return { take: (...events: Event[]) => events.flatMap(event => by.take(event)), kept }
}
const call = (id: string, name = 'f'): Head => ({ type: 'call', id, name })
const seal = (index: number, value: string): Event => ({ type: 'seal', index, seal: { value, issuer: undefined } })

t.test('calls have ids of their own and their own names (traps 38, 47)', async t => {
  const { take } = answers()
  const opened = take(
    open(0, call('a', 'db__query')),
    close(0),
    open(1, call('a')),
    close(1),
    open(2, call('')),
    close(2),
    open(3, call('ü!')),
    close(3),
  )
  const heads = opened.flatMap(event => (event.type === 'open' ? [event.part] : []))
  t.strictSame(heads, [
    { type: 'call', id: 'a', name: 'query', namespace: 'db' },
    { type: 'call', id: 'call_new1', name: 'f' },
    { type: 'call', id: 'call_new2', name: 'f' },
    { type: 'call', id: 'call_new3', name: 'f' },
  ])
})

t.test('the reason to stop follows from what was said (trap 7)', async t => {
  const why = (events: Event[], said: Event & { type: 'finish' }) => {
    const last = answers()
      .take(...events, said)
      .at(-1)!
    return last.type === 'finish' && last.why
  }
  const finish = (why: (Event & { type: 'finish' })['why']) => ({ type: 'finish', why }) as const
  const called = [open(0, call('a')), close(0)]
  t.equal(why(called, finish('end')), 'calls')
  t.equal(why(called, finish('length')), 'length', 'a call that was cut is not to be made')
  t.equal(why([open(0), close(0)], finish('calls')), 'end')
  t.equal(why([open(0, { ...call('s'), by: 'server' } as Head), close(0)], finish('end')), 'end', 'the vendor ran it')
})

t.test('proofs without a place are kept by call or text', async t => {
  const chat = answers({ carries: new Set() })
  const said = chat.take(
    open(0, { type: 'thought' }),
    delta(0, 'hm'),
    seal(0, 'S1'),
    close(0),
    open(1),
    delta(1, 'hi'),
    seal(1, 'S2'),
    close(1),
    open(2, call('c1')),
    close(2),
    open(3, call('c2')),
    seal(3, 'S3'),
    close(3),
  )
  t.notOk(
    said.some(({ type }) => type === 'seal'),
    'the client is not told',
  )
  t.strictSame(
    chat.kept.map(([key, value, text]) => [key.slice(0, 2), value, text]),
    [
      ['t:', 'S2', ''],
      ['c1', 'S1', 'hm'],
      ['c2', 'S3', ''],
    ],
  )
  const claude = answers()
  const heard = claude.take(
    open(0, { type: 'thought' }),
    seal(0, 'S'),
    close(0),
    open(1, call('c')),
    seal(1, 'T'),
    close(1),
  )
  t.equal(heard.filter(({ type }) => type === 'seal').length, 1, 'a thought carries its own')
  t.strictSame(claude.kept, [['c', 'T', '']])
})

t.test('a whole answer is the sum of its events', async t => {
  const gathering = new Gathering()
  const events: Event[] = [
    { type: 'start', id: 'x', model: 'm' },
    open(0, { type: 'thought' }),
    delta(0, 'h'),
    delta(0, 'm'),
    seal(0, 'S'),
    close(0),
    open(1, call('c')),
    close(1),
    { type: 'usage', usage: { input: 1, output: 2, cacheRead: 0, cacheWrite: {} } },
    { type: 'finish', why: 'calls' },
  ]
  for (const event of events) gathering.take(event)
  t.strictSame(gathering.answer, {
    id: 'x',
    model: 'm',
    choices: [
      {
        why: 'calls',
        parts: [
          { type: 'thought', text: 'hm', seal: { value: 'S', issuer: undefined } },
          { type: 'call', id: 'c', name: 'f', input: { json: '{}' } },
        ],
      },
    ],
    usage: { input: 1, output: 2, cacheRead: 0, cacheWrite: {} },
  })
  t.equal(new Gathering().answer, undefined, 'of nothing')
})

t.test('what is lost is named, sorted, once (trap 34)', async t => {
  const notes = new Notes()
  notes.drop('top_k')
  notes.change('temperature')
  notes.drop('messages.thinking')
  notes.drop('top_k')
  t.equal(notes.header, 'messages.thinking, temperature~, top_k')
  t.throws(() => notes.refuse('n', 'only one answer can be had here'), Failure)
})

t.test('tokens that nobody counts are reckoned, and never too few (trap 52)', async t => {
  const ask = (text: string) =>
    ({ system: [], tools: [], turns: [{ role: 'user', parts: [{ type: 'text', text }] }] }) as unknown as Ask
  t.ok(estimateTokens(ask('The quick brown fox jumps over the lazy dog.')) >= 10)
  t.ok(estimateTokens(ask('東京の天気は晴れです')) >= 10, 'a token a character')
  t.ok(estimateTokens(ask('x'.repeat(40_000))) >= 10_000)
})

// Counts of o200k_base (gpt-tokenizer 3), recorded 2026-11-28; a vendor adds a few for each turn.
const recorded: [what: string, text: string, tokens: number, least: number][] = [
  [
    'prose',
    'A gateway pools accounts, hands out keys and keeps the books. Whoever asks pays what the upstream counted, and what it did not count is reckoned from the bytes that passed and flagged as such.',
    40,
    1,
  ],
  [
    'code',
    'export function estimateTokens(ask: Ask): number {\n  let tokens = FRAME\n  for (const { text } of ask.system) tokens += FRAME + tokensOf(text)\n  return tokens\n}\n',
    41,
    1,
  ],
  [
    'a schema',
    '{"type":"object","properties":{"city":{"type":"string","description":"The city to look up"},"unit":{"type":"string","enum":["celsius","fahrenheit"]}},"required":["city"],"additionalProperties":false}',
    48,
    1,
  ],
  [
    'German',
    'Straßenbahnhaltestellen gehören zu den Wörtern, die ein Übersetzer zählen müsste; größere Texte übertreffen die Schätzung selten.',
    32,
    1,
  ],
  ['Russian', 'Шлюз объединяет учётные записи, выдаёт ключи и ведёт книги.', 19, 1],
  ['Chinese', '网关汇集账户，发放密钥，并记录每一笔费用。', 17, 1],
  ['Japanese', '東京の天気は晴れです。明日は雨が降るでしょう。', 17, 1],
  ['Arabic', 'البوابة تجمع الحسابات وتوزع المفاتيح وتحفظ الدفاتر.', 18, 1],
  // What has no words is dearer than four characters a token: the known weakness of the rule (spec/domain.md §6.9).
  ['digits', '3.14159265358979323846264338327950288419716939937510, 2718281828459045, 1618033988749894', 35, 0.6],
  ['a hash', '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08', 43, 0.35],
  ['base64', 'TWFueSBoYW5kcyBtYWtlIGxpZ2h0IHdvcmsuIFdlIHNob3VsZCBub3QgY291bnQgdGhlbSB0d2ljZS4=', 51, 0.35],
]

t.test('what is reckoned is no less than what was counted, but of text without words', async t => {
  for (const [what, text, tokens, least] of recorded) {
    const turns = [{ role: 'user', parts: [{ type: 'text', text }] }]
    const reckoned = estimateTokens({ system: [], tools: [], turns } as unknown as Ask)
    t.ok(reckoned >= tokens * least, `${what}: ${reckoned}, counted ${tokens}`)
    t.ok(reckoned <= tokens * 4, `${what}: ${reckoned} is not wide of ${tokens}`)
  }
})
