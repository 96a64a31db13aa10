// What a scrape says: what prom-client would have counted, in its format, of few series whatever is made up, and to promtool's liking.
import { setImmediate } from 'node:timers/promises'
import { Counter, Histogram, Registry } from 'prom-client'
import t from 'tap'
import { Outcome } from '../../src/core/outcome.ts'
import { Failure } from '../../src/lib/failure.ts'
import { createMetrics, type Metrics } from '../../src/ops/metrics.ts'
import { Asked, byLabel } from '../../src/ops/series.ts'
import { dice } from '../core/usage-books.ts'
import { promtool, promtoolMissing } from '../helpers/promtool.ts'

const skip = await promtoolMissing()

/** The same metrics, counted by prom-client as they come. */
function judge(priced: (model: string) => boolean) {
  const registry = new Registry()
  const registers = [registry]
  const counter = (name: string, ...labelNames: string[]) => new Counter({ name, help: name, labelNames, registers })
  const histogram = (name: string, buckets: number[], ...more: string[]) =>
    new Histogram({ name, help: name, labelNames: ['platform', ...more], buckets, registers })
  const requests = counter('gw_requests_total', 'platform', 'status', 'code')
  const results = counter('gw_request_results_total', 'platform', 'result')
  const tokens = counter('gw_tokens_total', 'platform', 'model', 'type')
  const cost = counter('gw_cost_usd_total', 'platform', 'model')
  const attempts = counter('gw_upstream_attempts_total', 'account', 'status')
  const duration = histogram('gw_request_duration_seconds', [0.05, 0.25, 1, 3, 10, 30, 60, 120, 300, 600], 'class')
  const firstToken = histogram('gw_time_to_first_token_seconds', [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120])
  const overhead = histogram('gw_overhead_seconds', [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5])
  const queued = histogram('gw_queue_wait_seconds', [0.001, 0.01, 0.1, 0.5, 1, 3, 10, 30, 60])
  const intercepted = counter('gw_intercepted_total', 'account')
  return {
    ended(o: Outcome) {
      const platform = o.platform || 'none'
      requests.inc({ platform, status: o.status, code: o.code })
      for (const attempt of o.attempts) attempts.inc({ account: attempt.account, status: attempt.status })
      if (o.intercepted && o.account !== null) intercepted.inc({ account: o.account })
      if (!o.metered) return
      const theirs = ['QUEUE_FULL', 'CLIENT_GONE'].includes(o.code) || (o.code === '' && o.status === 429)
      results.inc({ platform, result: theirs ? 'client_error' : o.status >= 400 ? 'error' : 'success' })
      duration.observe({ platform, class: `${String(o.status)[0]}xx` }, o.durationMs / 1000)
      queued.observe({ platform }, o.waitedMs / 1000)
      const asked = o.attempts.reduce((sum, a) => sum + a.endedMs - a.startedMs, 0)
      overhead.observe({ platform }, (o.durationMs - o.receivedMs - o.waitedMs - asked) / 1000)
      if (o.firstTokenMs > 0) firstToken.observe({ platform }, o.firstTokenMs / 1000)
      const model = priced(o.model) ? o.model : 'other'
      const { usage } = o
      if (usage.input > 0) tokens.inc({ platform, model, type: 'input' }, usage.input)
      if (usage.output > 0) tokens.inc({ platform, model, type: 'output' }, usage.output)
      if (usage.cacheRead > 0) tokens.inc({ platform, model, type: 'cache_read' }, usage.cacheRead)
      const written = usage.cacheWrite5m + usage.cacheWrite1h
      if (written > 0) tokens.inc({ platform, model, type: 'cache_write' }, written)
      if (o.cost > 0n) cost.inc({ platform, model }, Number(o.cost) / 1e9)
    },
    text: () => registry.metrics(),
  }
}

const outcome = (more: Partial<Outcome>) =>
  Object.assign(new Outcome({ id: 'x', at: 0, method: 'POST', path: '/v1/messages', ip: '' }), more)

/** Samples, by name and labels in order. */
function samples(text: string): Map<string, number> {
  const found = new Map<string, number>()
  for (const line of text.split('\n')) {
    const [, name, labels = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
    if (name === undefined) continue
    const pairs = labels.match(/\w+="(?:[^"\\]|\\.)*"/g) ?? []
    const key = `${name}{${pairs.sort().join(',')}}`
    if (found.has(key)) t.fail(`${key} is there twice`)
    found.set(key, Number(value))
  }
  return found
}

const scrape = async (metrics: Metrics, accept?: string) => (await metrics.scrape(accept)).body

t.test('a scrape says what prom-client would say', async t => {
  const random = dice(23)
  const pick = <T>(...of: T[]): T => of[Math.floor(random() * of.length)]!
  const below = (n: number) => Math.floor(random() * n)
  const priced = (model: string) => model !== 'whatever a client sends'
  const metrics = createMetrics({ priced })
  const expected = judge(priced)
  const same = async (what: string) => {
    const ours = samples(await scrape(metrics))
    const theirs = samples(await expected.text())
    const names = new Set([...theirs.keys()].map(key => key.replace(/\{.*/, '')))
    // A platform that was heard of has its zeros.
    const told = [...ours].filter(
      ([key, value]) => names.has(key.replace(/\{.*/, '')) && (theirs.has(key) || value !== 0),
    )
    const rounded = (all: Iterable<[string, number]>) =>
      Object.fromEntries([...all].map(([key, value]) => [key, Number(value.toPrecision(12))]).sort())
    t.strictSame(rounded(told), rounded(theirs), what)
  }
  for (let i = 0; i < 3_000; i++) {
    const status = pick(200, 200, 200, 429, 499, 503)
    const o = outcome({
      platform: pick('', 'anthropic', 'openai', 'gemini'),
      status,
      failure: status === 200 ? undefined : new Failure(pick('QUEUE_FULL', 'CLIENT_GONE', 'INTERNAL_ERROR')),
      metered: random() < 0.8,
      model: pick('claude', 'a "quoted" one', 'two\nlines', 'back\\slash', 'whatever a client sends', ''),
      intercepted: random() < 0.1,
      // On the edges of buckets, too.
      waitedMs: pick(0, 0, 1, 10, below(60_000)),
      receivedMs: pick(0, 1, below(1_000)),
      firstTokenMs: pick(0, 50, 100, 120_000, 120_001, below(700)),
      cost: pick(0n, BigInt(below(1e9))),
    })
    let asked = 0
    for (let n = below(4); n > 0; n--) {
      const attempt = o.attempt({ id: n, name: pick('first', 'zweitÄr', 'the "third"', '\\', '\n') }, o.receivedMs)
      attempt.status = pick(0, 200, 529)
      attempt.endedMs = attempt.startedMs + pick(1, below(300))
      asked += attempt.endedMs - attempt.startedMs
    }
    o.durationMs = o.receivedMs + o.waitedMs + asked + pick(0, 1, 2, 5, 6, below(6_000))
    o.usage.input = pick(0, below(1e6))
    o.usage.output = pick(0, below(1e4))
    o.usage.cacheRead = pick(0, below(1e5))
    o.usage.cacheWrite5m = pick(0, 7)
    o.usage.cacheWrite1h = pick(0, 11)
    metrics.ended(o)
    expected.ended(o)
    if (i % 997 === 0) await same(`after ${i + 1} requests`)
  }
  await same('after all')
})

t.test('plain text, or OpenMetrics for who asks for it', async t => {
  const metrics = createMetrics({ priced: () => true })
  metrics.add(new Asked('counter', 'gw_asked_total', 'Asked.', () => byLabel('code', [['A', 2]])))
  metrics.ended(outcome({ platform: 'openai', status: 200 }))
  const prometheus =
    'application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2'
  // Each several times: neither must change what the other says.
  for (let i = 0; i < 2; i++) {
    for (const accept of [undefined, '*/*', 'text/plain', 'text/plain;q=0.9, application/openmetrics-text;q=0.1']) {
      const { contentType, body } = await metrics.scrape(accept)
      t.equal(contentType, 'text/plain; version=0.0.4; charset=utf-8')
      t.match(body, '# TYPE gw_asked_total counter\ngw_asked_total{code="A"} 2\n')
      t.match(body, /^gw_process_cpu_seconds_total \S+$/m)
      t.notMatch(body, '# EOF')
    }
    for (const accept of ['application/openmetrics-text', prometheus]) {
      const { contentType, body } = await metrics.scrape(accept)
      t.equal(contentType, 'application/openmetrics-text; version=1.0.0; charset=utf-8')
      t.match(body, '# TYPE gw_asked counter\ngw_asked_total{code="A"} 2\n')
      t.match(body, /^gw_process_cpu_seconds_total \S+$/m)
      t.match(body, /\n# EOF\n$/)
    }
  }
})

t.test('5 000 accounts and 100 000 made-up models are few series, and streams go on meanwhile', async t => {
  // Also where the operator has given all of them a price, and the upstreams answer whatever they like.
  const metrics = createMetrics({ priced: () => true })
  for (let i = 0; i < 100_000; i++) {
    const o = outcome({
      platform: ['anthropic', 'openai', 'gemini', 'antigravity', ''][i % 5]!,
      status: 200 + (i % 800),
      metered: true,
      model: `made-up-${i}`,
      dialect: 'messages',
      upstreamDialect: 'chat',
      dropped: [`field-${i}`],
      intercepted: true,
      cost: 1n,
    })
    o.usage.input = o.usage.output = o.usage.cacheRead = o.usage.cacheWrite1h = 1
    o.attempt({ id: i % 5_000, name: `account-${i % 5_000}` }, 0).status = Math.floor(i / 5_000) * 37
    metrics.ended(o)
  }
  let turns = 0
  let over = false
  const counting = (async () => {
    for (; !over; turns++) await setImmediate()
  })()
  const body = await scrape(metrics)
  over = true
  await counting
  const all = samples(body)
  t.ok(all.size < MOST_SERIES, `${all.size} series, documented are ${MOST_SERIES} at most`)
  t.ok(all.size > 3_000, 'and it is not for want of trying')
  t.ok(turns >= 13, `others had ${turns} turns`)
  const sum = (name: string) =>
    [...all].filter(([key]) => key.startsWith(name)).reduce((total, [, value]) => total + value, 0)
  for (const name of [
    'gw_requests_total',
    'gw_upstream_attempts_total',
    'gw_intercepted_total',
    'gw_translation_dropped_total',
  ])
    t.equal(sum(`${name}{`), 100_000, `none was lost of ${name}`)
  t.equal(sum('gw_tokens_total{'), 400_000)
  t.ok((all.get('gw_tokens_total{model="other",platform="openai",type="input"}') ?? 0) > 10_000)
})

/** As docs/metrics.md says. */
const MOST_SERIES = 8_000

t.test('promtool finds nothing to say against it', { skip }, async t => {
  const metrics = createMetrics({ priced: () => true })
  metrics.ended(outcome({ platform: 'openai', status: 503, failure: new Failure('INTERNAL_ERROR'), metered: true }))
  t.strictSame(await promtool(['check', 'metrics'], await scrape(metrics)), { code: 0, said: '' })
})
