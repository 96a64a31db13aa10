// Meters against a provider that knows what it billed, over real sockets and however the exchange ends.
import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import type { DialectName, Meter } from '../../src/dialect/dialect.ts'
import { meters } from '../../src/dialect/table.ts'
import { noUsage, type Usage } from '../../src/dialect/usage.ts'
import type { Counts, Mock, Step } from '../../src/mock/server.ts'
import { type Answer, ask, mockFor } from '../mock/ask.ts'
import { generator, one } from './random.ts'

interface Form {
  name: string
  dialect: DialectName
  /** read as events; a Gemini stream without `alt=sse` is an array, read as a body */
  events: boolean
  /** written bit by bit */
  streamed: boolean
  path: string
  body: object
}

const tools = [{ name: 'w' }]
const ends = (stream: boolean) => ({ model: 'm', stream, tools, stream_options: { include_usage: true } })
const gemini = (verb: string) => `/v1beta/models/gemini-3-pro:${verb}`
const forms: Form[] = [
  ...(['messages', 'responses', 'chat'] as const).flatMap(dialect =>
    [true, false].map(stream => ({
      name: `${dialect}, ${stream ? 'stream' : 'whole'}`,
      dialect,
      events: stream,
      streamed: stream,
      path: { messages: '/v1/messages', responses: '/v1/responses', chat: '/v1/chat/completions' }[dialect],
      body: ends(stream),
    })),
  ),
  {
    name: 'gemini, stream',
    dialect: 'gemini',
    events: true,
    streamed: true,
    path: gemini('streamGenerateContent?alt=sse'),
    body: { tools },
  },
  {
    name: 'gemini, array',
    dialect: 'gemini',
    events: false,
    streamed: true,
    path: gemini('streamGenerateContent'),
    body: { tools },
  },
  {
    name: 'gemini, whole',
    dialect: 'gemini',
    events: false,
    streamed: false,
    path: gemini('generateContent'),
    body: { tools },
  },
]

type Scripted = NonNullable<Step['usage']>

/** What a meter must come to, of what the script says: each dialect says what it can. */
function truthOf(dialect: DialectName, told: Scripted): Usage {
  const {
    cache_creation_input_tokens: total,
    ephemeral_5m_input_tokens: short = 0,
    ephemeral_1h_input_tokens: long = 0,
    ttl_30m_tokens: half = 0,
    ttl_12h_tokens: day = 0,
  } = told
  const written = total ?? short + long + half + day
  const mode = told.service_tier === 'standard' ? '' : (told.service_tier ?? '')
  const side = {
    ...noUsage(),
    input: told.input_tokens!,
    output: told.output_tokens!,
    cacheRead: told.cache_read_input_tokens!,
  }
  const webSearches = told.web_search_requests ?? 0
  switch (dialect) {
    case 'messages':
      return { ...side, cacheWrite5m: total ?? short + half, cacheWrite1h: long + day, webSearches, mode }
    case 'responses':
      return { ...side, cacheWrite30m: written - day, cacheWrite12h: day, webSearches, mode }
    case 'chat':
      return { ...side, cacheWrite30m: written - day, cacheWrite12h: day, mode }
    case 'gemini':
      return side
  }
}

type Bucket = Exclude<keyof Usage, 'mode' | 'geo' | 'parts'>

/** What was billed, in the meters' words. */
const billedAs = (counts: Counts): Record<Bucket, number> => ({
  input: counts.input_tokens,
  output: counts.output_tokens,
  cacheRead: counts.cache_read_input_tokens,
  cacheWrite5m: counts.ephemeral_5m_input_tokens,
  cacheWrite1h: counts.ephemeral_1h_input_tokens,
  cacheWrite30m: counts.ttl_30m_tokens,
  cacheWrite12h: counts.ttl_12h_tokens,
  webSearches: counts.web_search_requests,
})

/** What arrived, as it arrived: the end is told only of an answer that ended in good order. */
function metered({ dialect, events }: Form, { chunks, failure }: Answer): Meter {
  const meter = meters[dialect](events)
  for (const chunk of chunks) meter.push(chunk)
  if (failure === null) meter.end()
  return meter
}

const usage: Scripted = {
  input_tokens: 1013,
  output_tokens: 2027,
  cache_read_input_tokens: 3041,
  ephemeral_5m_input_tokens: 4057,
  ephemeral_1h_input_tokens: 5077,
  web_search_requests: 6,
  service_tier: 'priority',
}
const said: Step = {
  thinking: ['hm, ', 'so'],
  chunks: ['Grüße ', '🙂 ', 'all', ' of', ' you'],
  tools: [{ name: 'w', input: { a: ['ü'] } }],
  usage,
}

/** Asks, and goes away when the provider holds and everything it has sent is here. */
async function left(mock: Mock, { path, body }: Form): Promise<Answer> {
  const client = new AbortController()
  let here = 0
  let more = () => {}
  const answer = ask(mock, {
    path,
    body,
    signal: client.signal,
    seen: bytes => {
      here = bytes
      more()
    },
  })
  const { bodies } = await mock.until(stats => stats.holding === 1, 'k')
  const sent = bodies.at(-1)!.responseBytes
  while (here < sent) await new Promise<void>(resolve => (more = resolve))
  client.abort()
  await mock.until(stats => stats.inFlight === 0, 'k')
  return answer
}

type Place = 'start' | number

t.test('however an exchange ends, a meter says what was billed or that it does not know', async t => {
  let exchanges = 0
  for (const form of forms) {
    const mock = await mockFor(t, said)
    const truth = truthOf(form.dialect, usage)
    const whole = metered(form, await ask(mock, { path: form.path, body: form.body }))
    const events = mock.stats('k').bodies[0]!.events
    t.same(
      { ...whole.usage, complete: whole.complete, error: whole.error },
      { ...truth, complete: true, error: undefined },
      form.name,
    )
    t.same(billedAs(mock.stats('k').bodies[0]!.usage!), billedAs(mock.stats('k').billed), 'nothing else was billed')
    t.match(truth, billedAs(mock.stats('k').billed), `${form.name}: as the provider sees it`)

    const places: Record<string, Place> = {
      'before the head': 'start',
      'after the head': 0,
      'in the middle': Math.floor(events / 2),
      'before the last event': events - 1,
      'after the last event': events,
    }
    const cases: [string, Step, leaves: boolean][] = Object.entries(places).flatMap(([where, place]) => [
      [`the client leaves ${where}`, { hold: place }, true],
      [`a reset ${where}`, { reset: place }, false],
      [`a FIN ${where}`, { close: place }, false],
      ...(place === 'start' ? [] : [[`an end ${where}`, { end: place }, false] as [string, Step, boolean]]),
      ...(place === 'start' || place === events || !form.streamed
        ? []
        : [[`an error ${where}`, { errorAt: place, error: { message: 'Over' } }, false] as [string, Step, boolean]]),
    ])
    for (const [what, fault, leaves] of cases) {
      exchanges++
      mock.script('k', { ...said, ...fault })
      const answer = await (leaves ? left(mock, form) : ask(mock, { path: form.path, body: form.body }))
      const told = mock.stats('k').bodies.at(-1)!.usage
      const meter = metered(form, answer)
      const label = `${form.name}: ${what}`
      if (meter.complete) {
        t.same(meter.usage, truth, `${label}: complete, and as billed`)
        t.ok(told !== null, `${label}: the provider has told it in full`)
      } else {
        const over = (Object.keys(billedAs(mock.stats().billed)) as Bucket[]).filter(b => meter.usage[b] > truth[b])
        t.same(over, [], `${label}: partial, and no more than the truth`)
      }
      t.equal(meter.complete, completes(form, answer), `${label}: ${meter.complete ? 'complete' : 'partial'}`)
      t.same(
        meter.error?.message,
        fault.errorAt === undefined ? undefined : 'Over',
        `${label}: the error, if there is one`,
      )
      const text = answer.text.includes('Grüße')
      if (form.events)
        t.equal(meter.emitted > 0, text || answer.text.includes('hm, '), `${label}: ${meter.emitted} bytes of text`)
      else if (meter.complete)
        t.ok(meter.emitted > 20 && meter.emitted < 60, `${label}: ${meter.emitted} bytes of text`)
      else t.equal(meter.emitted, answer.body.length, `${label}: all its bytes`)
    }
  }
  t.comment(`${exchanges} exchanges`)
})

/** Whether all was said that makes an answer whole. */
function completes({ dialect, events }: Form, { text, failure }: Answer): boolean {
  if (text.includes('Over')) return false
  // What is no stream of events is whole when its sender says so and it can be read.
  if (!events) return failure === null && /[\]}]$/.test(text)
  // The last event decides, whatever became of the connection after it.
  if (dialect === 'messages') return text.includes('event: message_stop')
  if (dialect === 'responses') return text.includes('event: response.completed')
  if (dialect === 'gemini') return text.includes('"finishReason"')
  return text.includes('[DONE]') || (failure === null && text.includes('"usage":{'))
}

t.test('whatever was used, a meter counts it to the token', async t => {
  const mock = await mockFor(t)
  const random = generator(20_261_126)
  const most = 2 ** 31 - 1
  // Two of them must fit into one: where a dialect has no split, both are one count.
  const written = () => one(random, [0, 0, 1, random(50), random(100_000), random(2 ** 30), 2 ** 30 - 1])
  const count = () => one(random, [0, 0, 1, random(50), random(100_000), random(2 ** 31), most])
  for (const dialect of Object.keys(meters) as DialectName[]) {
    mock.reset()
    const wrong: unknown[] = []
    const counted: Record<string, number> = {}
    for (let n = 0; n < 500; n++) {
      const usage: Scripted = {
        input_tokens: count(),
        output_tokens: count(),
        cache_read_input_tokens: count(),
        ...(random(3) > 0
          ? { ephemeral_5m_input_tokens: written(), ephemeral_1h_input_tokens: written() }
          : { cache_creation_input_tokens: count() }),
        web_search_requests: one(random, [0, 0, 1, random(30)]),
        service_tier: one(random, ['', 'standard', 'priority', 'flex', 'batch', 'fast', 'ultrafast']),
      }
      const form = one(
        random,
        forms.filter(form => form.dialect === dialect),
      )
      mock.script('k', { usage, unnamed: random(2) === 0, eol: one(random, ['lf', 'crlf', 'cr'] as const) })
      const meter = metered(form, await ask(mock, { path: form.path, body: form.body }))
      if (!meter.complete || !isDeepStrictEqual(meter.usage, truthOf(dialect, usage)))
        wrong.push({ form: form.name, usage, counted: meter.usage, complete: meter.complete })
      for (const name of Object.keys(billedAs(mock.stats().billed)) as Bucket[])
        counted[name] = (counted[name] ?? 0) + meter.usage[name]
    }
    t.same(wrong.slice(0, 2), [], `${dialect}: one by one`)
    t.same(counted, billedAs(mock.stats('k').billed), `${dialect}: in sum, difference 0`)
  }
})
