// What a scrape says: the very text that prom-client prints for the same requests, which is the judge here.
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import t from 'tap'
import { Outcome } from '../../src/core/outcome.ts'
import { Failure } from '../../src/lib/failure.ts'
import { createMetrics } from '../../src/ops/metrics.ts'
import { dice } from '../core/usage-books.ts'

/** The same metrics, counted by prom-client as they come. */
function judge(priced: (model: string) => boolean) {
  const registry = new Registry()
  const registers = [registry]
  const counter = (name: string, help: string, ...labelNames: string[]) =>
    new Counter({ name, help, labelNames, registers })
  const histogram = (name: string, help: string, buckets: number[]) =>
    new Histogram({ name, help, labelNames: ['platform'], buckets, registers })
  const gauge = (name: string, help: string, value: number) => new Gauge({ name, help, registers }).set(value)
  const requests = counter(
    'gw_requests_total',
    'Requests ended, by platform, status and failure code.',
    'platform',
    'status',
    'code',
  )
  const tokens = counter('gw_tokens_total', 'Tokens by platform, model and type.', 'platform', 'model', 'type')
  const cost = counter(
    'gw_cost_usd_total',
    'Cost at list price in USD; approximate, the ledger is exact.',
    'platform',
    'model',
  )
  const attempts = counter(
    'gw_upstream_attempts_total',
    'Attempts at accounts, by account and upstream status (0: no answer).',
    'account',
    'status',
  )
  const duration = histogram(
    'gw_request_duration_seconds',
    'From the first byte of a request to the last of its answer.',
    [0.05, 0.25, 1, 3, 10, 30, 60, 120, 300, 600],
  )
  const firstToken = histogram(
    'gw_time_to_first_token_seconds',
    'From the first byte of a request to the first frame that means something.',
    [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120],
  )
  const intercepted = counter('gw_intercepted_total', 'Warmup requests answered here, by account.', 'account')
  counter(
    'gw_translated_total',
    'Requests that were translated for an upstream, by the dialects of both sides.',
    'from',
    'to',
  )
  counter(
    'gw_translation_dropped_total',
    'What translations left out or changed of requests, by the field of the client.',
    'token',
  )
  const troubles = counter(
    'gw_node_trouble_total',
    'Requests that this node could send to nobody for trouble of its own, by error code.',
    'code',
  )
  counter(
    'gw_oauth_refreshes_total',
    'Refreshes of OAuth tokens by this node: refreshed, failed (tried again), expired (refused for good).',
    'result',
  ).inc({ result: 'failed' }, 2)
  gauge('gw_requests_in_flight', 'Requests under way.', 3)
  gauge('gw_spool_lines', 'Usage lines not yet in Postgres.', 17)
  gauge('gw_refused_lines', 'Usage lines that were refused and wait for an operator.', 2)
  gauge('gw_resident_memory_bytes', 'Resident memory of this process.', 0)
  return {
    troubled: (code: string) => troubles.inc({ code }),
    ended(o: Outcome) {
      const platform = o.platform || 'none'
      requests.inc({ platform, status: o.status, code: o.code })
      for (const attempt of o.attempts) attempts.inc({ account: attempt.account, status: attempt.status })
      if (o.intercepted && o.account !== null) intercepted.inc({ account: o.account })
      if (!o.metered) return
      duration.observe({ platform }, o.durationMs / 1000)
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
    contentType: registry.contentType,
  }
}

t.test('a scrape says what prom-client would say', async t => {
  const random = dice(23)
  const pick = <T>(...of: T[]): T => of[Math.floor(random() * of.length)]!
  const below = (n: number) => Math.floor(random() * n)
  const priced = (model: string) => model !== 'whatever a client sends'
  const ownTroubles = new Map<string, number>()
  const counts = { inFlight: () => 3, spoolWaiting: () => 17, refusedLines: () => 2 }
  const metrics = createMetrics({ priced, ...counts, ownTroubles, tokenRefreshes: () => new Map([['failed', 2]]) })
  const expected = judge(priced)
  const same = async (what: string) => {
    const text = metrics.text().replace(/^(gw_resident_memory_bytes) [1-9]\d+$/m, '$1 0')
    t.equal(text, await expected.text(), what)
  }
  t.equal(metrics.contentType, expected.contentType)
  await same('before any request')
  for (let i = 0; i < 3_000; i++) {
    const o = new Outcome({ id: String(i), at: 0, method: 'POST', path: '/v1/messages', ip: '' })
    o.platform = pick('', 'anthropic', 'openai', 'gemini')
    o.status = pick(200, 200, 200, 429, 499, 503)
    if (o.status !== 200) o.failure = new Failure(pick('QUEUE_FULL', 'CLIENT_GONE', 'INTERNAL_ERROR'))
    o.metered = random() < 0.8
    o.model = pick('claude', 'a "quoted" one', 'two\nlines', 'back\\slash', 'whatever a client sends', '')
    for (let n = below(4); n > 0; n--)
      o.attempt({ id: n, name: pick('first', 'zweitÄr', 'the "third"', '\\', '\n') }, 0).status = pick(0, 200, 529)
    o.intercepted = random() < 0.1
    // On the edges of buckets, too.
    o.durationMs = pick(0, 50, 51, 250, 600_000, 600_001, below(4_000))
    o.firstTokenMs = pick(0, 50, 100, 120_000, 120_001, below(700))
    o.usage.input = pick(0, below(1e6))
    o.usage.output = pick(0, below(1e4))
    o.usage.cacheRead = pick(0, below(1e5))
    o.usage.cacheWrite5m = pick(0, 7)
    o.usage.cacheWrite1h = pick(0, 11)
    o.cost = pick(0n, BigInt(below(1e9)))
    metrics.ended(o)
    expected.ended(o)
    if (i % 500 === 0) {
      const code = pick('EMFILE', 'EAI_AGAIN')
      ownTroubles.set(code, (ownTroubles.get(code) ?? 0) + 1)
      expected.troubled(code)
    }
    if (i % 997 === 0) await same(`after ${i + 1} requests`)
  }
  await same('after all')
})
