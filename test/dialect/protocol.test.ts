// What gw reads of bodies and streams on their way through: never more than it must, never anything else than is there.
import t from 'tap'
import { JsonError, scanObject } from '../../src/dialect/json/scan.ts'
import { messages } from '../../src/dialect/messages/messages.ts'
import { messagesMeter } from '../../src/dialect/messages/meter.ts'
import { renameBody, renameFrame } from '../../src/dialect/messages/rename.ts'
import { SseCutter } from '../../src/dialect/sse.ts'
import { noUsage, promptTokens, summed, type Usage } from '../../src/dialect/usage.ts'
import { Failure } from '../../src/lib/failure.ts'
import type { Step } from '../../src/mock/server.ts'
import { ask, mockFor, streaming, whole } from '../mock/ask.ts'
import { heldBy } from './memory.ts'
import { generator, one, type Random } from './random.ts'

const wanted = new Set(['model', 'stream', '__proto__'])

/** The text of each wanted value, or the reason why the body is refused. */
function scan(text: string | Buffer): Record<string, string> | string {
  const body = Buffer.from(text as string)
  try {
    return Object.fromEntries(
      [...scanObject(body, wanted)].map(([key, span]) => [`.${key}`, body.toString('utf8', span.start, span.end)]),
    )
  } catch (error) {
    if (error instanceof JsonError) return error.message
    throw error
  }
}

t.test('scanObject finds top-level values and refuses what is not one JSON object', async t => {
  const nested = (depth: number) => `{"a":${'['.repeat(depth)}${']'.repeat(depth)},"model":1}`
  const base64 = 'aGVsbG8h'.repeat(200_000)
  const cases: [text: string | Buffer, found: Record<string, string> | RegExp][] = [
    ['{}', {}],
    [' \r\n\t{ \t} \n', {}],
    ['{"model":"m","stream":true}', { '.model': '"m"', '.stream': 'true' }],
    ['{ "stream" :\n false , "model"\t: "m" }', { '.model': '"m"', '.stream': 'false' }],
    ['{"model":{"model":"x"},"a":[{"stream":1}]}', { '.model': '{"model":"x"}' }],
    ['{"model":[1,[2,{}],[]],"stream":null}', { '.model': '[1,[2,{}],[]]', '.stream': 'null' }],
    ['{"a":1,"a":2,"model":3}', { '.model': '3' }],

    // strings
    [String.raw`{"model":"a\"b","stream":1}`, { '.model': String.raw`"a\"b"`, '.stream': '1' }],
    [String.raw`{"model":"a\\","stream":1}`, { '.model': String.raw`"a\\"`, '.stream': '1' }],
    [String.raw`{"model":"a\\\"","stream":1}`, { '.model': String.raw`"a\\\""`, '.stream': '1' }],
    [String.raw`{"a":"\\","model":"\\"}`, { '.model': String.raw`"\\"` }],
    [`{"a":"${'\\\\'.repeat(500)}","model":1}`, { '.model': '1' }],
    [`{"a":"${'\\"'.repeat(500)}","model":1}`, { '.model': '1' }],
    [`{"a":"${'x'.repeat(100)}\\"${'y'.repeat(100)}\\\\","model":1}`, { '.model': '1' }],
    ...Array.from({ length: 80 }, (_, n): [string, Record<string, string>] => [
      `{"a":"${'x'.repeat(n)}\\\\\\"","model":1}`,
      { '.model': '1' },
    ]),
    [`{"model":"é🙂","stream":"${base64}"}`, { '.model': '"é🙂"', '.stream': `"${base64}"` }],
    ['{"a":"x', /not closed/],
    ['{"a":"x\\"}', /not closed/],
    [`{"a":"${'x'.repeat(100)}\\"}`, /not closed/],

    // names
    [String.raw`{"mod\u0065l":"m"}`, { '.model': '"m"' }],
    [String.raw`{"\u006d\u006fdel":"m","a":1}`, { '.model': '"m"' }],
    ['{"__proto__":{"model":1}}', { '.__proto__': '{"model":1}' }],
    ['{"Model":1,"model ":2,"":3,"é":4}', {}],
    [String.raw`{"mod\xel":1}`, /bad escape in a property name/],
    ['{"model":1,"model":2}', /"model" appears twice/],
    [String.raw`{"model":1,"a":2,"mod\u0065l":2}`, /"model" appears twice/],
    ['{"__proto__":1,"__proto__":2}', /"__proto__" appears twice/],

    // numbers and words
    ...['0', '-0', '10', '-1.5', '0.0', '1e5', '1E+5', '1.5e-300', '9'.repeat(600), `1.${'5'.repeat(600)}`].map(
      (number): [string, Record<string, string>] => [`{"model":${number}}`, { '.model': number }],
    ),
    ...['01', '-', '+1', '.5', '1.', '1.e5', '1e', '1e+', '0x1', '1_0', '--1', '1-', 'NaN', 'Infinity', '1E5E'].map(
      (bad): [string, RegExp] => [`{"model":${bad}}`, /at byte \d+$/],
    ),
    [`{"model":${'9'.repeat(600)}abc}`, /expected/],
    ...['tru', 'truee', 'True', 'nul', 'nulll', 'falsE', 'undefined', 'e', ''].map((bad): [string, RegExp] => [
      `{"model":${bad}}`,
      /expected/,
    ]),

    // structure
    ['', /expected a JSON object at byte 0/],
    ['[]', /expected a JSON object at byte 0/],
    ['"model"', /expected a JSON object/],
    ['\ufeff{"model":1}', /expected a JSON object/],
    ['{', /expected a property name at byte 1/],
    ['{"model"', /expected ":"/],
    ['{"model":1', /expected "," or "}"/],
    ['{"model":1,}', /expected a property name at byte 11/],
    ['{,"model":1}', /expected a property name/],
    ['{model:1}', /expected a property name/],
    ["{'model':1}", /expected a property name/],
    ['{"model" 1}', /expected ":" at byte 9/],
    ['{"a":1 "model":1}', /expected "," or "}" at byte 7/],
    ['{"a":[1,]}', /expected a value/],
    ['{"a":[1 2]}', /expected "," or a closing bracket/],
    ['{"a":[1}', /expected "," or a closing bracket/],
    ['{"a":{"b":1]}', /expected "," or a closing bracket/],
    ['{"a":{"b"}}', /expected ":"/],
    ['{"a":{1:2}}', /expected a property name/],
    ['{"a":]}', /expected a value/],
    ['{"model":1}x', /unexpected text after the JSON object at byte 11/],
    ['{"model":1}{}', /unexpected text/],
    ['{"model":1}\0', /unexpected text/],
    ['{"model":/**/1}', /expected a value/],
    [Buffer.from('{"model":\u00a01}', 'latin1'), /expected a value/],

    // depth
    [nested(512), { '.model': '1' }],
    [nested(513), /nested deeper than 512/],
    [`{"a":${'['.repeat(10_000)}`, /nested deeper than 512/],
    [`{"a":${'{"a":'.repeat(10_000)}`, /nested deeper than 512/],
    [`${'['.repeat(10_000)}`, /expected a JSON object/],
  ]
  for (const [text, found] of cases) {
    const shown = text.toString().slice(0, 60)
    if (found instanceof RegExp) t.match(scan(text), found, `refuses ${shown}`)
    else t.same(scan(text), found, `reads ${shown}`)
  }
})

t.test('scanObject agrees with JSON.parse about every text, and its spans hold the values', async t => {
  const random = generator(20_261_123)
  const seen = { whole: 0, accepted: 0, refused: 0, unclear: 0 }
  const wrong: string[] = []
  for (let i = 0; i < 12_000; i++) {
    let text = objectText(random)
    for (let n = random(5); n > 0; n--) text = mutated(random, text)
    const body = Buffer.from(text)
    text = body.toString() // a mutation may have cut a character in two
    const found = scan(body)
    const value = parsed(text)
    // What stands inside strings is not judged, but for names: without it, JSON.parse must agree.
    const good = isObject(value) || isObject(parsed(text.replace(strings, '""')))
    // Of a name that appears twice JSON.parse takes the last, and others the first.
    const names = good ? topNames(text) : []
    const clear = [...wanted, undefined].every(name => names.filter(other => other === name).length < (name ? 2 : 1))
    seen.unclear += Number(!clear)
    if ((good && clear) !== (typeof found === 'object')) wrong.push(`${good ? 'refused' : 'accepted'}: ${text}`)
    if (typeof found === 'string') {
      seen.refused++
      continue
    }
    seen.accepted++
    if (!isObject(value)) continue
    seen.whole++
    for (const key of wanted) {
      const span = found[`.${key}`]
      const has = Object.hasOwn(value, key)
      if ((span !== undefined) !== has) wrong.push(`${key} of ${text}`)
      else if (span !== undefined && (span.trim() !== span || !same(parsed(span), value[key])))
        wrong.push(`${key} is ${span} in ${text}`)
    }
  }
  t.same(wrong.slice(0, 5), [])
  t.ok(
    Math.min(seen.whole, seen.refused, seen.accepted - seen.whole, seen.unclear) > 50,
    `all sides: ${JSON.stringify(seen)}`,
  )
})

t.test('peek knows what a body may write into a cache, search and show, however that is spelled', async t => {
  const peek = (more: string) => messages.peek(Buffer.from(`{"model":"m","messages":[],${more}}`), '/v1/messages')
  const cached = (ttl: string) =>
    peek(`"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"${ttl}}}]`)
  t.equal(cached('').cacheWrites, '5m')
  t.equal(cached(',"ttl":"1h"').cacheWrites, '1h')
  t.equal(cached(String.raw`,"ttl":"\u0031h"`).cacheWrites, '1h', 'an escape may spell anything')
  t.equal(peek('"x":"1h"').cacheWrites, '5m', 'without a breakpoint nothing is kept for an hour')
  const says = (text: string) => peek(`"system":${JSON.stringify(text)}`)
  t.equal(says('"cache_control":{"ttl":"1h"}').cacheWrites, '5m', 'what a text quotes is no word')

  const tool = (type: string) => peek(`"tools":[{"type":${type},"name":"t"}]`)
  t.equal(tool('"web_search_20250305"').searchesWeb, true)
  t.equal(
    tool(String.raw`"\u0077\u0065\u0062\u005f\u0073\u0065\u0061\u0072\u0063\u0068\u005f20250305"`).searchesWeb,
    true,
  )
  t.equal(tool('"custom"').searchesWeb, false)
  t.equal(says('web_search is a tool').searchesWeb, true, 'a text that begins like one may be one')
  t.equal(says(`the "web_search" tool ${'x'.repeat(300)}`).searchesWeb, false)
  t.equal(says(`${'é'.repeat(100)} web`).searchesWeb, false)

  const shown = (block: object) => {
    const body = Buffer.from(JSON.stringify({ model: 'm', messages: [{ role: 'user', content: [block] }] }))
    return [messages.peek(body, '/v1/messages').promptBytes, body.length] as const
  }
  const data = 'A'.repeat(1_000_000)
  const [image, all] = shown({ type: 'image', source: { type: 'base64', media_type: 'image/png', data } })
  t.ok(image < all / 10, `an image of ${all} bytes counts as ${image}`)
  const [text, bytes] = shown({ type: 'text', text: data })
  t.equal(text, bytes)
})

t.test('peek takes the model and whether it streams, and says what is wrong', async t => {
  const peek = (text: string) => {
    try {
      const found = messages.peek(Buffer.from(text), '/v1/messages')
      // Where the model stands is where another name is put.
      const [before = '', after = ''] = Buffer.concat(found.mapped('another').pieces).toString().split('"another"')
      t.ok(text.startsWith(before) && text.endsWith(after), 'every other byte stays')
      return { model: found.model, stream: found.stream, at: text.slice(before.length, text.length - after.length) }
    } catch (error) {
      if (error instanceof Failure) return `${error.status} ${error.code} ${error.message}`
      throw error
    }
  }
  t.same(peek('{"model":"m"}'), { model: 'm', stream: false, at: '"m"' })
  t.same(peek('{"stream":true,"model" : "\\u006d/x"}'), { model: 'm/x', stream: true, at: '"\\u006d/x"' })
  t.same(peek('{"model":"m","messages":"a\\qb\tc"}'), { model: 'm', stream: false, at: '"m"' }, 'not ours to judge')
  t.match(peek('{}'), '400 MODEL_REQUIRED')
  t.match(peek('{"model":""}'), '400 MODEL_REQUIRED')
  t.match(peek('{"messages":[{"model":"m"}]}'), '400 MODEL_REQUIRED')
  t.match(peek('nonsense'), /^400 BODY_INVALID .*expected a JSON object/)
  t.match(peek('{"model":5}'), /^400 BODY_INVALID .*model must be a string/)
  t.match(peek(`{"model":"${'m'.repeat(5000)}"}`), /^400 BODY_INVALID .*model must be a string/)
  t.match(peek('{"model":"a\\qb"}'), /^400 BODY_INVALID .*model must be a string/, 'a bad escape')
  t.match(peek('{"model":"a\tb"}'), /^400 BODY_INVALID .*model must be a string/, 'a bare control character')
  t.match(peek('{"model":"m","stream":"yes"}'), /^400 BODY_INVALID .*stream must be true or false/)
  t.match(peek('{"model":"m","stream":1}'), /^400 BODY_INVALID .*stream must be true or false/)
  t.match(peek('{"model":"m","stream":tru}'), /^400 BODY_INVALID .*expected a value/)
  for (const name of ['a\\u0000', 'a\\nb', '\\ud83d', '\\u0085'])
    t.match(peek(`{"model":"${name}"}`), /^400 BODY_INVALID .*no name has/, `model ${name}`)
})

t.test('the ping and the error frame are events that a client reads', async t => {
  const failure = new Failure('UPSTREAM_BROKE')
  t.same(cut([messages.ping]), [['ping', '{"type":"ping"}', true]])
  const [[name, data] = []] = cut([messages.errorFrame(failure, 'r1')])
  t.equal(name, 'error')
  t.same(JSON.parse(data!), JSON.parse(messages.error(failure, 'r1').toString()))
  t.match(JSON.parse(data!), {
    type: 'error',
    error: { type: 'api_error', message: failure.message },
    request_id: 'r1',
  })
  const refused = JSON.parse(messages.error(new Failure('UPSTREAM_FAILED'), 'r2').toString())
  t.equal(refused.error.type, 'api_error', 'a type that the dialect has')
})

// Streams.

type Event = [name: string, data: string, wanted: boolean]

function cut(chunks: Iterable<Buffer>, wants: (event: string, head: Buffer) => boolean = () => true): Event[] {
  const events: Event[] = []
  const cutter = new SseCutter({ wants, event: (event, data, wanted) => events.push([event, data, wanted]) })
  for (const chunk of chunks) cutter.push(chunk)
  cutter.end()
  return events
}

/** The stream in two pieces at each place, with and without an empty piece between; then byte by byte, then three by three. */
function* splits(stream: Buffer): Generator<Buffer[]> {
  for (let at = 0; at <= stream.length; at++) {
    yield [stream.subarray(0, at), stream.subarray(at)]
    yield [stream.subarray(0, at), Buffer.alloc(0), stream.subarray(at)]
  }
  for (const step of [1, 3]) yield pieces(stream, step)
}

function pieces(stream: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(stream.length / size) }, (_, i) => stream.subarray(i * size, (i + 1) * size))
}

const long = 'grüße 🙂 '.repeat(12)
const lines: string[][] = [
  ['event: first', 'data: {"a":"é🙂"}'],
  [': a comment', 'event:second', 'data:no space'],
  ['event: third', 'id: 7', 'retry: 10', 'data: one', 'data:  two', 'data:', 'unknown', 'datax: no', 'data: four'],
  ['event: no data, no event'],
  ['data: unnamed'],
  [`event: ${'n'.repeat(80)}`, `data: ${long}`, ': comment '.repeat(20)],
  ['data: name last', 'event: after'],
  ['data:'],
  ['', 'event: ping', 'data: {}'],
  ['event: last', 'data: without a blank line'],
]
const told: [string, string][] = [
  ['first', '{"a":"é🙂"}'],
  ['second', 'no space'],
  ['third', 'one\n two\n\nfour'],
  ['', 'unnamed'],
  ['n'.repeat(80), long],
  ['after', 'name last'],
  ['', ''],
  ['ping', '{}'],
  ['last', 'without a blank line'],
]

t.test('a stream is cut into its events wherever the reads fall and whatever ends its lines', async t => {
  const ends = { LF: ['\n'], CRLF: ['\r\n'], CR: ['\r'], 'all of them': ['\n', '\r\n', '\r'] }
  for (const [name, set] of Object.entries(ends))
    for (const mark of ['', '\ufeff']) {
      const text = lines.map((event, i) => event.map(line => line + set[i % set.length]!).join(''))
      const stream = Buffer.from(mark + text.map((event, i) => event + set[i % set.length]!).join(''))
      const bare = Buffer.from(
        mark + text.map((event, i) => event + (text[i + 1] ? set[i % set.length]! : '')).join(''),
      )
      const torn = stream.subarray(0, stream.lastIndexOf('line') + 4)
      for (const [form, bytes] of Object.entries({ stream, bare, torn })) {
        const wrong = [...splits(bytes)].filter(
          chunks => JSON.stringify(cut(chunks)) !== JSON.stringify(told.map(event => [...event, true])),
        )
        t.same(
          wrong.slice(0, 1).map(chunks => [chunks.map(String), cut(chunks)]),
          [],
          `${name}, ${form}, ${mark ? 'with' : 'without'} a byte order mark`,
        )
      }
    }
})

t.test('data is kept only when it is wanted, and asked for once with its name and its beginning', async t => {
  const stream = Buffer.from(lines.map(event => `${event.join('\n')}\n\n`).join(''))
  const declined = new Set(['second', 'n'.repeat(80), ''])
  // A name that comes after the data is not known when the data is asked for.
  const asks = told.map(([event, data]) => [event === 'after' ? '' : event, data] as const)
  const events = told.map(([event, data], i) => (declined.has(asks[i]![0]) ? [event, '', false] : [event, data, true]))
  for (const chunks of splits(stream)) {
    let asked = 0
    const bad: string[] = []
    const got = cut(chunks, (event, head) => {
      const [name, data] = asks[asked++] ?? ['nothing', '']
      const line = Buffer.from(data.split('\n')[0]!)
      // A long line is asked about before its end, but not before 58 bytes of it are there.
      const enough = head.length >= Math.min(58, line.length) && line.subarray(0, head.length).equals(head)
      if (event !== name || !enough) bad.push(`${event}: ${head}`)
      return !declined.has(event)
    })
    if (bad.length > 0 || asked !== told.length || !same(got, events)) {
      t.same(got, events, `split into ${JSON.stringify(chunks.map(String))}`)
      t.same(bad, [], `asked ${asked} times`)
      return
    }
  }
  t.pass('at every split')
})

t.test('the size of data is told whether it was wanted or not', async t => {
  const bytes = Buffer.from(
    `data: ${'v'.repeat(2000)}\n\n${lines.map(event => `${event.join('\r\n')}\r\n\r\n`).join('')}`,
  )
  // Of data over several lines, without what joins them.
  const sizes = [2000, ...told.map(([, data]) => Buffer.byteLength(data.replaceAll('\n', '')))]
  for (const wants of [true, false]) {
    const wrong = [...splits(bytes)].findIndex(chunks => {
      const seen: number[] = []
      const cutter = new SseCutter({ wants: () => wants, event: (...event) => seen.push(event[3]) })
      for (const chunk of chunks) cutter.push(chunk)
      cutter.end()
      return !same(seen, sizes)
    })
    t.equal(wrong, -1, wants ? 'kept' : 'declined')
  }
  const large = Buffer.from(`data: {"a":"${'v'.repeat(300_000)}"}\n\n`)
  for (const chunks of [[large], pieces(large, 50_000)]) {
    let seen: unknown[] = []
    const cutter = new SseCutter({ squeeze: true, wants: () => true, event: (...event) => (seen = event) })
    for (const chunk of chunks) cutter.push(chunk)
    t.same([(seen[1] as string).length, seen[3]], [8 + 1024, 8 + 300_000], 'squeezed')
  }
})

t.test('an event of many megabytes is not held in memory unless it is wanted, and then only to a bound', async t => {
  const mb = 1024 * 1024
  const flood = async (wants: boolean, megabytes: number, ...head: string[]) => {
    const events: Event[] = []
    let asked = 0
    const cutter = new SseCutter({
      wants: () => {
        asked++
        return wants
      },
      event: (event, data, wanted) => events.push([event, data, wanted]),
    })
    const grown = await heldBy(() => {
      for (const piece of head) cutter.push(Buffer.from(piece))
      for (let i = 0; i < megabytes; i++) cutter.push(Buffer.alloc(mb, 'x'))
    })
    cutter.push(Buffer.from('\n\nevent: next\ndata: y\n\n'))
    return { grown, events, asked }
  }

  const declined = await flood(false, 12, `: ${'long '.repeat(20)}`, '\nevent: delta\ndata: {"')
  t.ok(declined.grown < 4, `declined: ${declined.grown} MB held`)
  t.same(declined.events, [
    ['delta', '', false],
    ['next', '', false],
  ])
  t.equal(declined.asked, 2)

  const comment = await flood(true, 12, ': ')
  t.ok(comment.grown < 4, `a comment: ${comment.grown} MB held`)
  t.same(comment.events, [['next', 'y', true]])

  const kept = await flood(true, 24, 'event: big\ndata: {"')
  t.ok(kept.grown < 4, `given up: ${kept.grown} MB held`)
  t.same(kept.events, [
    ['big', '', false],
    ['next', 'y', true],
  ])

  const seen: Event[] = []
  const lineByLine = new SseCutter({
    wants: () => true,
    event: (event, data, wanted) => seen.push([event, data, wanted]),
  })
  for (let i = 0; i < 20; i++)
    lineByLine.push(Buffer.concat([Buffer.from('data: '), Buffer.alloc(mb, 'x'), Buffer.from('\n')]))
  lineByLine.push(Buffer.from('\ndata: z\n\n'))
  t.same(seen, [
    ['', '', false],
    ['', 'z', true],
  ])

  const five = cut([Buffer.from('data: '), ...pieces(Buffer.alloc(5 * mb, 'v'), 65_536), Buffer.from('\n\n')])
  t.ok(five[0]![1] === 'v'.repeat(5 * mb), 'five wanted megabytes arrive whole')
})

// Meters.

const sse = (...events: [name: string, data: object | string][]) =>
  events
    .map(
      ([name, data]) =>
        `event: ${name}\ndata: ${typeof data === 'string' ? data : JSON.stringify({ type: name, ...data })}\n\n`,
    )
    .join('')
const start = (usage: object | null | undefined, more: object = {}): [string, object] => [
  'message_start',
  {
    message: {
      id: 'msg_1',
      type: 'message',
      role: 'assistant',
      model: 'm',
      content: [],
      stop_reason: null,
      usage,
      ...more,
    },
  },
]
const text = (text: string): [string, object] => [
  'content_block_delta',
  { index: 0, delta: { type: 'text_delta', text } },
]
const delta = (usage?: object | null): [string, object] => [
  'message_delta',
  { delta: { stop_reason: 'end_turn' }, usage },
]
const stop: [string, object] = ['message_stop', {}]

interface Metered extends Partial<Usage> {
  complete?: boolean
  /** default: as `complete` */
  told?: boolean
  begun?: boolean
  error?: { type: string; message: string }
}

const metered = (streaming: boolean, chunks: Iterable<Buffer>) => {
  const meter = messagesMeter(streaming)
  for (const chunk of chunks) meter.push(chunk)
  meter.end()
  return { ...meter.usage, complete: meter.complete, told: meter.told, begun: meter.begun, error: meter.error }
}
const expected = (want: Metered) => ({
  ...noUsage(),
  complete: true,
  told: want.complete ?? true,
  begun: true,
  error: undefined,
  ...want,
})

t.test('the usage of a stream', async t => {
  const full = { input_tokens: 43, output_tokens: 1, cache_creation_input_tokens: 100, cache_read_input_tokens: 7 }
  const split = (five: unknown, hour: unknown) => ({
    cache_creation: { ephemeral_5m_input_tokens: five, ephemeral_1h_input_tokens: hour },
  })
  const cases: Record<string, [stream: string, want: Metered]> = {
    'the delta is cumulative and overwrites': [
      sse(
        start({ ...full, ...split(40, 60) }),
        text('a'),
        delta({ output_tokens: 9 }),
        delta({ ...full, output_tokens: 12 }),
        stop,
      ),
      { input: 43, output: 12, cacheWrite5m: 40, cacheWrite1h: 60, cacheRead: 7 },
    ],
    'the last input wins, too': [
      sse(start({ input_tokens: 43, output_tokens: 1 }), delta({ input_tokens: 61, output_tokens: 5 }), stop),
      { input: 61, output: 5 },
    ],
    'a total without its split is 5m': [
      sse(start({ ...full, cache_creation_input_tokens: 100 }), delta({ output_tokens: 2 }), stop),
      { input: 43, output: 2, cacheWrite5m: 100, cacheRead: 7 },
    ],
    'the delta repeats the split': [
      sse(start({ ...full, ...split(40, 60) }), delta({ ...full, ...split(40, 60), output_tokens: 3 }), stop),
      { input: 43, output: 3, cacheWrite5m: 40, cacheWrite1h: 60, cacheRead: 7 },
    ],
    'the delta alone has the split': [
      sse(start(full), delta({ ...full, ...split(0, 100), output_tokens: 3 }), stop),
      { input: 43, output: 3, cacheWrite1h: 100, cacheRead: 7 },
    ],
    'a split without a total': [
      sse(start({ input_tokens: 1, output_tokens: 1, ...split(5, 6) }), delta({ output_tokens: 3 }), stop),
      { input: 1, output: 3, cacheWrite5m: 5, cacheWrite1h: 6 },
    ],
    'half a split: the rest of the total is 5m': [
      sse(start({ ...full, ...split(undefined, 60) }), delta({ output_tokens: 3 }), stop),
      { input: 43, output: 3, cacheWrite5m: 40, cacheWrite1h: 60, cacheRead: 7 },
    ],
    'a split of zeros does not make a write free': [
      sse(start({ ...full, ...split(0, 0) }), delta({ output_tokens: 3 }), stop),
      { input: 43, output: 3, cacheWrite5m: 100, cacheRead: 7 },
    ],
    'the total grows on the way': [
      sse(start({ ...full, ...split(40, 60) }), delta({ cache_creation_input_tokens: 150, output_tokens: 3 }), stop),
      { input: 43, output: 3, cacheWrite5m: 90, cacheWrite1h: 60, cacheRead: 7 },
    ],
    'the total shrinks on the way': [
      sse(start({ ...full, ...split(40, 60) }), delta({ cache_creation_input_tokens: 50, output_tokens: 3 }), stop),
      { input: 43, output: 3, cacheWrite5m: 0, cacheWrite1h: 50, cacheRead: 7 },
    ],
    'null counts change nothing': [
      sse(
        start({ ...full, ...split(40, 60) }),
        delta({
          input_tokens: null,
          output_tokens: null,
          cache_creation_input_tokens: null,
          cache_read_input_tokens: null,
          cache_creation: null,
        }),
        stop,
      ),
      { input: 43, output: 1, cacheWrite5m: 40, cacheWrite1h: 60, cacheRead: 7, told: false },
    ],
    'a delta of an upstream that counts only its output by then takes nothing back': [
      sse(
        start({ ...full, ...split(40, 60) }),
        delta({
          input_tokens: 0,
          output_tokens: 8,
          cache_creation_input_tokens: 0,
          cache_read_input_tokens: 0,
          ...split(0, 0),
        }),
        stop,
      ),
      { input: 43, output: 8, cacheWrite5m: 40, cacheWrite1h: 60, cacheRead: 7 },
    ],
    'an upstream that reports all at the end': [
      sse(start({ input_tokens: 0, output_tokens: 0 }), text('a'), delta({ ...full, output_tokens: 8 }), stop),
      { input: 43, output: 8, cacheWrite5m: 100, cacheRead: 7 },
    ],
    'an upstream that reports only with the stop': [
      sse(start(null), text('a'), ['message_stop', { usage: { input_tokens: 5, output_tokens: 6 } }]),
      { input: 5, output: 6 },
    ],
    'an output of zero is believed': [
      sse(start({ input_tokens: 4, output_tokens: 1 }), delta({ output_tokens: 0 }), stop),
      { input: 4, output: 0 },
    ],
    'counts that are none become no money': [
      sse(
        start({
          input_tokens: -5,
          output_tokens: 2.9,
          cache_read_input_tokens: '7',
          cache_creation_input_tokens: 1e300,
        }),
        delta({ output_tokens: -1 }),
        stop,
      ),
      { output: 2, cacheRead: 7, cacheWrite5m: 2 ** 31 - 1, told: false },
    ],
    'searches are cumulative, and those of a delta that does not count them stay': [
      sse(
        start({ input_tokens: 1, output_tokens: 1, server_tool_use: { web_search_requests: 1 } }),
        delta({ output_tokens: 2, server_tool_use: { web_search_requests: 3 } }),
        delta({ output_tokens: 3, server_tool_use: { web_search_requests: 0 } }),
        delta({ output_tokens: 4, server_tool_use: null }),
        delta({ output_tokens: 5, server_tool_use: { web_search_requests: -7 } }),
        stop,
      ),
      { input: 1, output: 5, webSearches: 3, told: false },
    ],
    'searches as text are read': [
      sse(start({ input_tokens: 1, server_tool_use: { web_search_requests: '3' } }), delta({ output_tokens: 2 }), stop),
      { input: 1, output: 2, webSearches: 3 },
    ],
    'a part of a search is none': [
      sse(start({ input_tokens: 1, server_tool_use: { web_search_requests: 2.9 } }), delta({ output_tokens: 2 }), stop),
      { input: 1, output: 2, webSearches: 2, told: false },
    ],
    'a tier is its word, and a delta without one takes it not back': [
      sse(start({ input_tokens: 1, service_tier: 'priority' }), delta({ output_tokens: 2 }), stop),
      { input: 1, output: 2, mode: 'priority' },
    ],
    'nor does one that says standard': [
      sse(
        start({ input_tokens: 1, service_tier: 'batch' }),
        delta({ output_tokens: 2, service_tier: 'standard' }),
        stop,
      ),
      { input: 1, output: 2, mode: 'batch' },
    ],
    'fast goes before a tier': [
      sse(start({ input_tokens: 1, service_tier: 'priority', speed: 'fast' }), delta({ output_tokens: 2 }), stop),
      { input: 1, output: 2, mode: 'fast' },
    ],
    'standard, auto and default are no mode': [
      sse(
        start({ input_tokens: 1, service_tier: 'auto', speed: 'standard' }),
        delta({ output_tokens: 2, service_tier: 'default' }),
        stop,
      ),
      { input: 1, output: 2 },
    ],
    'a mode that is no word is none': [
      sse(
        start({ input_tokens: 1, service_tier: null, speed: 'a b' }),
        delta({ output_tokens: 2, service_tier: { a: 1 } }),
        stop,
      ),
      { input: 1, output: 2 },
    ],
    'usage that is no object': [
      sse(start('many' as unknown as object), delta('more' as unknown as object), stop),
      { told: false },
    ],
    'a whole answer in message_start, used 0': [
      sse(
        start(
          { input_tokens: 0, output_tokens: 0 },
          { content: [{ type: 'text', text: 'hi' }], stop_reason: 'end_turn' },
        ),
        stop,
      ),
      { told: false },
    ],
    'a call that code made, in message_start, used 0': [
      sse(
        start(
          { input_tokens: 0, output_tokens: 0 },
          {
            content: [
              { type: 'tool_use', id: 't', name: 'w', input: { a: 1 }, caller: { type: 'code_execution_20260120' } },
            ],
            stop_reason: 'tool_use',
          },
        ),
        stop,
      ),
      {},
    ],
    'a stop that counts nothing takes nothing back': [
      sse(start({ input_tokens: 3, output_tokens: 1 }), text('a'), delta({ output_tokens: 9 }), [
        'message_stop',
        { usage: { input_tokens: 0, output_tokens: 0 } },
      ]),
      { input: 3, output: 9 },
    ],
    'a whole answer in message_start': [
      sse(
        start(
          { input_tokens: 3, output_tokens: 4 },
          { content: [{ type: 'text', text: 'hi' }], stop_reason: 'end_turn' },
        ),
        stop,
      ),
      { input: 3, output: 4 },
    ],
    'a refusal without a block': [
      sse(
        start({ input_tokens: 3, output_tokens: 1 }),
        [
          'message_delta',
          { delta: { stop_reason: 'refusal', stop_details: { category: 'x' } }, usage: { output_tokens: 0 } },
        ],
        stop,
      ),
      { input: 3 },
    ],
    'two starts: the second counts': [
      sse(
        start({ input_tokens: 3, output_tokens: 1 }),
        start({ input_tokens: 4, output_tokens: 1 }),
        delta({ output_tokens: 2 }),
        stop,
      ),
      { input: 4, output: 2 },
    ],
    'an error as the first event': [
      sse(['error', { error: { type: 'overloaded_error', message: 'Overloaded' } }]),
      { complete: false, begun: false, error: { type: 'overloaded_error', message: 'Overloaded' } },
    ],
    'an error after a ping': [
      sse(['ping', {}], ['error', { error: { type: 'overloaded_error', message: 'Overloaded' } }]),
      { complete: false, begun: false, error: { type: 'overloaded_error', message: 'Overloaded' } },
    ],
    'an error in the middle': [
      sse(start({ input_tokens: 3, output_tokens: 1 }), text('a'), [
        'error',
        { error: { type: 'api_error', message: 'x' } },
      ]),
      { input: 3, output: 1, complete: false, error: { type: 'api_error', message: 'x' } },
    ],
    'an error that is only a text': [
      sse(['error', { error: 'no more' }]),
      { complete: false, begun: false, error: { type: 'api_error', message: 'no more' } },
    ],
    'an error of odd kinds': [
      sse(['error', { error: { type: 5, message: { a: 1 } } }]),
      { complete: false, begun: false, error: { type: 'api_error', message: '' } },
    ],
    'an error that names its type only on the event line': [
      sse(['error', '{"error":{"message":"x"}}']),
      { complete: false, begun: false, error: { type: 'api_error', message: 'x' } },
    ],
    'a stop after nothing': [sse(start(null), stop), { complete: false, begun: false, told: false }],
    'cut before its delta': [
      sse(start({ input_tokens: 3, output_tokens: 1 }), text('a')),
      { input: 3, output: 1, complete: false },
    ],
    'cut before its stop': [
      sse(start({ input_tokens: 3, output_tokens: 1 }), text('a'), delta({ output_tokens: 9 })),
      { input: 3, output: 9, complete: false, told: true },
    ],
    'cut inside its delta': [
      sse(start({ input_tokens: 3, output_tokens: 1 }), text('a'), delta({ output_tokens: 99 })).slice(0, -8),
      { input: 3, output: 1, complete: false },
    ],
    'the last blank line is missing': [
      sse(start({ input_tokens: 3, output_tokens: 1 }), delta({ output_tokens: 9 }), stop).slice(0, -2),
      { input: 3, output: 9 },
    ],
    'pings, comments and noise are no beginning': [
      `: hello\n\n${sse(['ping', {}])}data:\n\ndata: [DONE]\n\n${sse(['message_start', '{"broken'])}data: {"type":"ping"}\n\ndata: {"n":1,"type":"ping"}\n\n`,
      { complete: false, begun: false },
    ],
    'a block is a beginning': [sse(text('a')), { complete: false }],
    'an unnamed delta with nothing in it': [
      'data: {"type":"content_block_delta","index":0}\n\n',
      { complete: false, begun: false },
    ],
    'an unknown event is no beginning': [sse(['vendor_news', { a: 1 }]), { complete: false, begun: false }],
    'nothing at all': ['', { complete: false, begun: false }],
    'spaces after the data, none after the colon': [
      sse(start({ input_tokens: 3, output_tokens: 1 }), delta({ output_tokens: 9 }), stop)
        .replace(/\n\n/g, '  \n\n')
        .replace(/: /g, ':'),
      { input: 3, output: 9 },
    ],
    'data over several lines': [
      sse(start({ input_tokens: 3, output_tokens: 1 }), delta({ output_tokens: 9 }), stop).replaceAll(
        ',"',
        ',\ndata: "',
      ),
      { input: 3, output: 9 },
    ],
  }
  for (const [name, [stream, want]] of Object.entries(cases))
    for (const [form, bytes] of Object.entries({
      named: stream,
      unnamed: /^data: \{"(?!type)/m.test(stream) ? stream : stream.replace(/^event: .*\n/gm, ''),
      CRLF: stream.replaceAll('\n', '\r\n'),
      marked: `\ufeff${stream}`,
    })) {
      const whole = Buffer.from(bytes)
      t.same(metered(true, [whole]), expected(want), `${name} (${form})`)
      t.same(metered(true, pieces(whole, 1)), expected(want), `${name} (${form}, byte by byte)`)
    }
})

t.test('the usage of a whole answer', async t => {
  const answer = (usage: unknown) =>
    JSON.stringify({ type: 'message', content: [{ usage: { input_tokens: 99 } }], usage })
  const cases: Record<string, [body: string, want: Metered]> = {
    'with a split': [
      answer({
        input_tokens: 1,
        output_tokens: 2,
        cache_creation_input_tokens: 30,
        cache_read_input_tokens: 4,
        cache_creation: { ephemeral_5m_input_tokens: 10, ephemeral_1h_input_tokens: 20 },
      }),
      { input: 1, output: 2, cacheWrite5m: 10, cacheWrite1h: 20, cacheRead: 4 },
    ],
    'with a total only': [answer({ cache_creation_input_tokens: 30 }), { cacheWrite5m: 30, told: false }],
    'with zeros': [answer({ input_tokens: 0, output_tokens: 0 }), {}],
    'without usage': [answer(undefined), { told: false }],
    'with usage that is none': [answer('free'), { told: false }],
    'an error in a 200': [
      '{"type":"error","error":{"type":"overloaded_error","message":"x"}}',
      { complete: false, error: { type: 'overloaded_error', message: 'x' } },
    ],
    'cut off': [answer({ input_tokens: 1 }).slice(0, -1), { complete: false }],
    'a page': ['<html>', { complete: false }],
    nothing: ['', { complete: false, begun: false }],
  }
  for (const [name, [body, want]] of Object.entries(cases)) {
    t.same(metered(false, body === '' ? [] : [Buffer.from(body)]), expected(want), name)
    t.same(metered(false, pieces(Buffer.from(body), 3)), expected(want), `${name}, in pieces`)
  }
})

t.test('a meter says what the provider said, however it is sent and wherever the reads fall', async t => {
  const usage = {
    input_tokens: 11,
    output_tokens: 22,
    cache_read_input_tokens: 33,
    ephemeral_5m_input_tokens: 44,
    ephemeral_1h_input_tokens: 55,
  }
  const said: Step = {
    thinking: ['hm', '…'],
    chunks: ['Grüße ', '🙂'],
    tools: [{ name: 'w', input: { a: ['ü'] } }],
    pings: 1,
    usage,
  }
  const steps: Record<string, Step> = {
    plain: said,
    CRLF: { ...said, eol: 'crlf' },
    CR: { ...said, eol: 'cr' },
    unnamed: { ...said, unnamed: true },
    'without a split': { ...said, usage: { input_tokens: 1, output_tokens: 2, cache_creation_input_tokens: 3 } },
    'ended after five events': { ...said, end: 5 },
    'an error after five events': { ...said, errorAt: 5, error: { type: 'overloaded_error' } },
  }
  for (const [name, step] of Object.entries(steps))
    for (const question of [
      { ...streaming, tools: [{ name: 'w' }] },
      { ...whole, tools: [{ name: 'w' }] },
    ]) {
      const mock = await mockFor(t, step)
      const { body, status } = await ask(mock, { body: question })
      if (status !== 200) continue // an error inside a 200 exists only in a stream
      const billed = mock.stats().bodies[0]!.usage
      const want = metered(question.stream, [body])
      t.equal(want.complete, billed !== null, `${name}: complete as the provider sees it`)
      if (billed)
        t.match(
          want,
          {
            input: billed.input_tokens,
            output: billed.output_tokens,
            cacheRead: billed.cache_read_input_tokens,
            cacheWrite5m: billed.ephemeral_5m_input_tokens,
            cacheWrite1h: billed.ephemeral_1h_input_tokens,
          },
          `${name}: as billed`,
        )
      if (billed) t.equal(promptTokens(want) + want.output, sum(billed), `${name}: every token once`)
      for (let at = 1; at < body.length; at++) {
        const chunks = [body.subarray(0, at), body.subarray(at)]
        if (!same(metered(question.stream, chunks), want)) return t.fail(`${name}: split into ${chunks.map(String)}`)
      }
    }
})

t.test('only the model changes when an answer is renamed', async t => {
  const nested = `{"model":"up","input":{"model":"up"},"a":12345678901234567890, "b":"model"}`
  t.equal(
    renameBody(Buffer.from(`{"content":[${nested}], "model" : "up/x","usage":{"model":"up"}}`), 'a"é').toString(),
    `{"content":[${nested}], "model" : "a\\"é","usage":{"model":"up"}}`,
  )
  for (const left of [
    '{"content":[]}',
    '[{"model":"up"}]',
    '{"model":"up"',
    '{"model":"up","model":"up"}',
    '<html>',
    '',
  ])
    t.equal(renameBody(Buffer.from(left), 'm').toString(), left, `left alone: ${left}`)

  const message = `{"id":"x","content":[${nested}],"model":"up","usage":{"model":"up"}}`
  const frame = (model: string, eol = '\n', head = 'event: message_start') =>
    `: hi${eol}${eol}event: ping${eol}data: {"type":"ping","model":"up"}${eol}${eol}` +
    `${head}${eol}data: {"type": "message_start", "model":"up","message" : ${message.replace('"model":"up","usage"', `"model":${model},"usage"`)} }  ${eol}${eol}` +
    `event: content_block_delta${eol}data: {"type":"content_block_delta","delta":{"text":"\\"message_start\\" \\"model\\":\\"up\\""}}${eol}${eol}`
  for (const eol of ['\n', '\r\n', '\r'])
    for (const head of ['event: message_start', 'event:message_start', ': unnamed'])
      t.equal(renameFrame(Buffer.from(frame('"up"', eol, head)), 'claude').toString(), frame('"claude"', eol, head))
  t.equal(
    renameFrame(Buffer.from(`${frame('"up"', '\r')}event: ping\n`), 'claude').toString(),
    `${frame('"claude"', '\r')}event: ping\n`,
    'line ends of several kinds',
  )
  const bare = 'data: {"type":"message_start","message":{"model":"up"}}'
  t.equal(renameFrame(Buffer.from(bare), 'm').toString(), bare.replace('"up"', '"m"'), 'the line may be the last')
  for (const left of [
    'event: message_start\ndata: {"type":"message_start","message":{"id":"x"},"model":"up"}\n\n',
    'event: message_start\ndata: {"type":"message_start","message":{"model":"up"\n\n',
    'event: message_start\ndata: "message_start"\n\n',
    'event: content_block_delta\ndata: {"model":"up"}\n\n',
  ])
    t.equal(renameFrame(Buffer.from(left), 'm').toString(), left, `left alone: ${left}`)
})

// Random texts.

const space = (random: Random) => one(random, ['', '', '', ' ', '\n', '\t ', '\r\n'])

function stringText(random: Random): string {
  const parts = [
    '',
    'a',
    'é',
    '🙂',
    '\\"',
    '\\\\',
    '\\n',
    '\\u0041',
    '\\/',
    '\\ud83d\\ude42',
    ':',
    ',',
    '{',
    '}',
    ']',
    'x'.repeat(random(70)),
  ]
  return `"${Array.from({ length: random(5) }, () => one(random, parts)).join('')}"`
}

function valueText(random: Random, depth: number): string {
  const kind = random(depth > 4 ? 6 : 9)
  if (kind < 2) return stringText(random)
  if (kind < 4) return one(random, ['0', '-0', '7', '-12', '3.25', '1e3', '2E-2', '0.5e+1', '12345678901234567890'])
  if (kind < 6) return one(random, ['true', 'false', 'null'])
  const many = random(4)
  if (kind === 6)
    return `[${Array.from({ length: many }, () => space(random) + valueText(random, depth + 1) + space(random)).join(',')}${many === 0 ? space(random) : ''}]`
  return objectText(random, depth + 1)
}

function objectText(random: Random, depth = 0): string {
  const names = [
    '"model"',
    '"stream"',
    '"__proto__"',
    '"mod\\u0065l"',
    '"a"',
    '"b"',
    '""',
    '"é"',
    '"model "',
    '"str\\"eam"',
  ]
  const used = new Set<unknown>()
  const members: string[] = []
  for (let n = random(5); n > 0; n--) {
    const name = random(4) === 0 ? stringText(random) : one(random, names)
    if (used.has(JSON.parse(name))) continue
    used.add(JSON.parse(name))
    members.push(
      [space(random), name, space(random), ':', space(random), valueText(random, depth), space(random)].join(''),
    )
  }
  return `${space(random)}{${members.join(',') || space(random)}}${space(random)}`
}

function mutated(random: Random, text: string): string {
  const at = random(text.length + 1)
  const to = at + random(4)
  const some = one(random, [
    ...'{}[]",:\\-+.eE019tfn \n\0é',
    'true',
    'null',
    '"a":',
    ',"model":1',
    '\\"',
    '\\u',
    '\u00a0',
    '\ufeff',
    '//',
  ])
  switch (random(5)) {
    case 0:
      return text.slice(0, at) + text.slice(to)
    case 1:
      return text.slice(0, at) + some + text.slice(at)
    case 2:
      return text.slice(0, at) + some + text.slice(to)
    case 3:
      return text.slice(0, to) + text.slice(at)
    default:
      return text.slice(0, at)
  }
}

const strings = /"(?:\\[\s\S]|[^"\\])*"/g

/** The names of an object's own members; undefined stands for one with a bad escape. */
function topNames(text: string): unknown[] {
  const tokens = text.match(new RegExp(`${strings.source}|[{}\\[\\],:]`, 'g')) ?? []
  const names: unknown[] = []
  let depth = 0
  tokens.forEach((token, i) => {
    if (token === '{' || token === '[') depth++
    else if (token === '}' || token === ']') depth--
    else if (depth === 1 && token.startsWith('"') && tokens[i + 1] === ':')
      names.push(token.includes('\\') ? parsed(token) : token.slice(1, -1))
  })
  return names
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b)
const sum = (usage: object) =>
  (['input_tokens', 'output_tokens', 'cache_creation_input_tokens', 'cache_read_input_tokens'] as const).reduce(
    (total, key) => total + (usage as Record<string, number>)[key]!,
    0,
  )

t.test('an answer of several calls is the sum of them, whatever its own counts leave out', async t => {
  const at = (usage: object) => {
    const found: unknown[] = []
    for (const streaming of [false, true]) {
      const meter = messagesMeter(streaming)
      const body = JSON.stringify({ type: 'message', content: [], usage })
      meter.push(Buffer.from(streaming ? sse(start({ input_tokens: 1, output_tokens: 1 }), delta(usage), stop) : body))
      meter.end()
      const { input, output, cacheRead, cacheWrite5m, cacheWrite1h, parts } = summed(meter.usage)
      found.push([[input, output, cacheRead, cacheWrite5m, cacheWrite1h], parts?.map(part => part.model), meter.told])
    }
    t.same(found[0], found[1], 'told by a stream as by a whole answer')
    return found[0]
  }
  const top = { input_tokens: 23_000, output_tokens: 1000 }
  const message = { type: 'message', model: null, ...top }
  const compaction = { type: 'compaction', input_tokens: 180_000, output_tokens: 3500 }
  const advice = { type: 'advisor_message', model: 'claude-opus-5', input_tokens: 823, output_tokens: 1612 }
  t.same(at(top), [[23_000, 1000, 0, 0, 0], undefined, true])
  t.same(at({ ...top, iterations: null }), [[23_000, 1000, 0, 0, 0], undefined, true])
  t.same(at({ ...top, iterations: [] }), [[23_000, 1000, 0, 0, 0], undefined, true])
  t.same(at({ ...top, iterations: [message] }), [[23_000, 1000, 0, 0, 0], undefined, true], 'one call is the answer')
  t.same(at({ ...top, iterations: [compaction, message] }), [[203_000, 4500, 0, 0, 0], ['', ''], true])
  t.same(at({ ...top, iterations: [message, advice] }), [[23_823, 2612, 0, 0, 0], ['', 'claude-opus-5'], true])
  t.same(
    at({ ...top, iterations: [compaction] }),
    [[203_000, 4500, 0, 0, 0], ['', ''], true],
    'what is in no call is counted all the same',
  )
  t.same(
    at({
      ...top,
      cache_read_input_tokens: 7,
      iterations: [{ type: 'message', input_tokens: 22_000, output_tokens: 990 }, compaction],
    }),
    [[203_000, 4500, 7, 0, 0], ['', '', ''], true],
    'or in none as much',
  )
  t.same(
    at({
      ...top,
      cache_creation_input_tokens: 9,
      iterations: [
        { ...message, cache_creation: { ephemeral_1h_input_tokens: 9 }, cache_creation_input_tokens: 9 },
        compaction,
      ],
    }),
    [[203_000, 4500, 0, 0, 9], ['', ''], true],
    'a split that only a call has is no more tokens',
  )
  t.same(at({ ...top, iterations: [{ type: 'news', ...top }, message] }), [[46_000, 2000, 0, 0, 0], ['', ''], true])
  t.same(
    at({ ...top, iterations: [compaction, 'none', { ...message, input_tokens: -1 }] }),
    [[203_000, 4500, 0, 0, 0], ['', '', ''], false],
    'a call that cannot be read is not told',
  )
})
