// OpenTelemetry, as a collector and an upstream see it.
import pino from 'pino'
import t from 'tap'
import { collector, type Span } from '../helpers/collector.ts'
import { gateway, hello, only, until } from '../helpers/gateway.ts'

const SERVER = 2
const CLIENT = 3
const ERROR = 2
const parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

t.test('a trace goes through gw: the request, each attempt, and what upstreams are told', async t => {
  const otel = await collector(t)
  const bad = { status: 500, error: { type: 'api_error', message: 'no' } }
  const gw = await gateway(t, {
    accounts: [
      ...only('claude-sonnet-5-5', { name: 'bad', priority: 1, script: bad }, { name: 'good', priority: 2 }),
      ...only('made-up', { name: 'other', script: bad }),
    ],
    config: { 'otel.endpoint': otel.url, 'ops.interval': 1_000 },
  })
  /** @returns headers of what upstreams were asked */
  const asked = async (headers: Record<string, string>, model = 'claude-sonnet-5-5', status = 200) => {
    await gw.heal()
    const before = gw.mock.stats().bodies.length
    const reply = await gw.send(hello({ model }), { headers })
    await reply.text()
    t.equal(reply.status, status)
    return gw.mock
      .stats()
      .bodies.slice(before)
      .map(({ headers }) => headers)
  }
  const spansOf = async (trace: string, count: number): Promise<Span[]> => {
    const found = () => otel.spans().filter(({ traceId }) => traceId === trace)
    await until(t, `${count} spans of ${trace}`, () => found().length >= count)
    t.equal(found().length, count)
    return found()
  }

  const told = await asked({ traceparent: parent, tracestate: 'vendor=1,other=2', 'x-secret': 'canary-header' })
  const spans = await spansOf('0af7651916cd43dd8448eb211c80319c', 3)
  const [server] = spans.filter(({ kind }) => kind === SERVER)
  const [first, second] = spans.filter(({ kind }) => kind === CLIENT)
  t.equal(server!.parentSpanId, 'b7ad6b7169203331', 'the client’s span is its parent')
  t.equal(server!.name, 'POST /v1/messages')
  t.match(server!.attributes, {
    'http.route': '/v1/messages',
    'http.response.status_code': 200,
    'gw.user': 'alice',
    'gw.group': 'main',
  })
  for (const span of [first!, second!]) {
    t.equal(span.parentSpanId, server!.spanId)
    t.equal(span.name, 'chat claude-sonnet-5-5')
    t.match(span.attributes, { 'gen_ai.operation.name': 'chat', 'gen_ai.provider.name': 'anthropic' })
    t.ok(BigInt(span.startTimeUnixNano) >= BigInt(server!.startTimeUnixNano))
    t.ok(BigInt(span.endTimeUnixNano) <= BigInt(server!.endTimeUnixNano))
  }
  t.match(first, {
    status: { code: ERROR },
    attributes: { 'gw.account': 'bad', 'error.type': 'server', 'http.response.status_code': 500 },
  })
  t.notOk(first!.attributes['gen_ai.usage.output_tokens'], 'what was used is told once')
  t.match(second, {
    attributes: { 'gw.account': 'good', 'gen_ai.response.model': 'claude-sonnet-5-5' },
  })
  t.ok((second!.attributes['gen_ai.usage.input_tokens'] as number) > 0)
  t.ok((second!.attributes['gen_ai.usage.output_tokens'] as number) > 0)
  t.strictSame(
    told.map(({ traceparent, tracestate }) => [traceparent, tracestate]),
    [first!, second!].map(({ traceId, spanId }) => [`00-${traceId}-${spanId}-01`, 'vendor=1,other=2']),
    'each upstream is told of its own span',
  )
  t.match(otel.resource(), { 'service.name': 'gw' })

  // Not sampled: the context goes on as it came, and there are no spans.
  const unsampled = parent.replace('0af7', '1af7').replace(/01$/, '00')
  for (const { traceparent } of await asked({ traceparent: unsampled })) t.equal(traceparent, unsampled)
  // Invalid ones begin a trace of our own (W3C Trace Context §3.2.2).
  const zeros = '0'.repeat(32)
  const invalid = [
    parent.replace(/^00/, 'ff'),
    parent.toUpperCase(),
    `${parent}-more`,
    parent.replace('0af7651916cd43dd8448eb211c80319c', zeros),
    parent.replace('b7ad6b7169203331', '0'.repeat(16)),
    'nonsense',
    `${parent}, ${parent}`,
  ]
  for (const traceparent of invalid) {
    const upstreams = await asked({ traceparent, tracestate: 'vendor=1' })
    const [upstream] = upstreams
    const [, id] = /^00-([0-9a-f]{32})-[0-9a-f]{16}-01$/.exec(upstream!['traceparent'] as string) ?? []
    t.ok(id && id !== zeros && id !== '0af7651916cd43dd8448eb211c80319c', `${traceparent} begins another trace`)
    t.notOk(upstream!['tracestate'], 'and what belonged to it is not passed')
    await spansOf(id!, 1 + upstreams.length)
  }
  // A version that is not known yet is read as far as it is known.
  const later = parent.replace(/^00/, 'cc').replace('0af7', '2af7')
  const { length } = await asked({ traceparent: `${later}-what-comes-later` })
  await spansOf('2af7651916cd43dd8448eb211c80319c', 1 + length)

  await asked({ traceparent: parent.replace('0af7', '3af7') }, 'made-up', 503)
  const failed = await spansOf('3af7651916cd43dd8448eb211c80319c', 2)
  t.match(failed.find(({ kind }) => kind === SERVER)!, {
    status: { code: ERROR },
    attributes: { 'http.response.status_code': 503 },
  })
  t.type(failed.find(({ kind }) => kind === SERVER)!.attributes['error.type'], 'string')
  t.equal(failed.find(({ kind }) => kind === CLIENT)!.name, 'chat', 'a model that a client made up names no span')

  await until(t, 'metrics came', () => otel.points('gen_ai.client.operation.duration').length > 2)
  const used = otel.points('gen_ai.client.token.usage')
  for (const type of ['input', 'output'])
    t.ok(
      used.some(
        ({ sum, attributes }) =>
          sum > 0 && attributes['gen_ai.token.type'] === type && attributes['gen_ai.provider.name'] === 'anthropic',
      ),
      `${type} tokens`,
    )
  t.ok(otel.points('gen_ai.server.time_to_first_token').some(({ count }) => count > 0))
  t.ok(otel.points('gen_ai.server.request.duration').some(({ attributes }) => attributes['error.type'] !== undefined))
  const models = otel.points('gen_ai.client.operation.duration').map(p => p.attributes['gen_ai.request.model'])
  t.strictSame([...new Set(models)].sort(), ['claude-sonnet-5-5', 'other'])

  const sent = otel.raw.join('\n')
  for (const secret of [gw.key, gw.credential('good'), gw.credential('bad'), 'canary-header', '"hello"'])
    t.notOk(sent.includes(secret), `${secret} is in no span and no metric`)
})

t.test('a collector that is dead is told of once, and takes nothing from anybody', async t => {
  const otel = await collector(t)
  otel.status = 503
  const lines: string[] = []
  const log = pino({ level: 'info' }, { write: line => void lines.push(line) })
  const gw = await gateway(t, { config: { 'otel.endpoint': `${otel.url}/`, 'ops.interval': 1_000 }, log })
  const about = () => lines.filter(line => line.includes('otel: '))
  await until(t, 'several exports failed', async () => {
    t.equal((await gw.send(hello())).status, 200)
    return otel.refused >= 4 && about().length > 0
  })
  t.equal(about().length, 1)
  t.match(about()[0], 'traces and metrics are dropped')
  otel.status = 200
  await until(t, 'it is told that all is well', async () => {
    t.equal((await gw.send(hello())).status, 200)
    return about().length === 2 && otel.spans().length > 0
  })
  t.match(about()[1], 'again')
})

t.test('of requests without a context so many are traced as otel.sample says', async t => {
  const otel = await collector(t)
  const gw = await gateway(t, { config: { 'otel.endpoint': otel.url, 'otel.sample': 0 } })
  t.equal((await gw.send(hello())).status, 200)
  t.notOk(gw.mock.stats().bodies[0]!.headers['traceparent'], 'an upstream is told of no trace that nobody keeps')
  t.equal((await gw.send(hello(), { headers: { traceparent: parent } })).status, 200)
  await until(t, 'the one that its client traces', () => otel.spans().length === 2)
  t.strictSame(new Set(otel.spans().map(({ traceId }) => traceId)), new Set(['0af7651916cd43dd8448eb211c80319c']))
})
