// Prometheus metrics: a fold over Outcomes (names: docs/metrics.md).
import type { Outcome } from '../core/outcome.ts'
import { cacheWrites } from '../dialect/usage.ts'
import { type Count, Counter, contentType, type Distribution, exposition, Gauge, Histogram } from './exposition.ts'

export interface Metrics {
  ended(outcome: Outcome): void
  /** what a scrape gets */
  text(): string
  contentType: string
}

export interface MetricsOptions {
  /** Whether a model is one we know: only those become label values, since the others are whatever a client sends. */
  priced: (model: string) => boolean
  inFlight: () => number
  spoolWaiting: () => number
  refusedLines: () => number
  /** how often trouble of our own was met, by error code */
  ownTroubles: ReadonlyMap<string, number>
  /** how refreshes of OAuth tokens ended, by result */
  tokenRefreshes: () => ReadonlyMap<string, number>
}

export function createMetrics(options: MetricsOptions): Metrics {
  return new Tally(options)
}

// Series of what was seen, each found by its own key once and then kept by what they are of.
class Tally implements Metrics {
  readonly contentType = contentType
  readonly #requests = new Counter('gw_requests_total', 'Requests ended, by platform, status and failure code.')
  readonly #tokens = new Counter('gw_tokens_total', 'Tokens by platform, model and type.')
  readonly #cost = new Counter('gw_cost_usd_total', 'Cost at list price in USD; approximate, the ledger is exact.')
  readonly #attempts = new Counter(
    'gw_upstream_attempts_total',
    'Attempts at accounts, by account and upstream status (0: no answer).',
  )
  readonly #duration = new Histogram(
    'gw_request_duration_seconds',
    'From the first byte of a request to the last of its answer.',
    [0.05, 0.25, 1, 3, 10, 30, 60, 120, 300, 600],
  )
  readonly #firstToken = new Histogram(
    'gw_time_to_first_token_seconds',
    'From the first byte of a request to the first frame that means something.',
    [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120],
  )
  readonly #intercepted = new Counter('gw_intercepted_total', 'Warmup requests answered here, by account.')
  readonly #translated = new Counter(
    'gw_translated_total',
    'Requests that were translated for an upstream, by the dialects of both sides.',
  )
  readonly #dropped = new Counter(
    'gw_translation_dropped_total',
    'What translations left out or changed of requests, by the field of the client.',
  )
  readonly #translations = new Map<string, Count>()
  readonly #droppedByToken = new Map<string, Count>()
  readonly #troubles = new Counter(
    'gw_node_trouble_total',
    'Requests that this node could send to nobody for trouble of its own, by error code.',
  )
  readonly #refreshes = new Counter(
    'gw_oauth_refreshes_total',
    'Refreshes of OAuth tokens by this node: refreshed, failed (tried again), expired (refused for good).',
  )
  readonly #refreshesByResult = new Map<string, Count>()
  readonly #tokenRefreshes: () => ReadonlyMap<string, number>
  readonly #troublesByCode = new Map<string, Count>()
  readonly #ownTroubles: ReadonlyMap<string, number>
  readonly #gauges: Gauge[]
  readonly #priced: (model: string) => boolean
  readonly #platforms = new Map<string, OfPlatform>()
  readonly #accounts = new Map<string, OfAccount>()

  constructor({ priced, inFlight, spoolWaiting, refusedLines, ownTroubles, tokenRefreshes }: MetricsOptions) {
    this.#tokenRefreshes = tokenRefreshes
    this.#priced = priced
    this.#ownTroubles = ownTroubles
    this.#gauges = [
      new Gauge('gw_requests_in_flight', 'Requests under way.', inFlight),
      new Gauge('gw_spool_lines', 'Usage lines not yet in Postgres.', spoolWaiting),
      new Gauge('gw_refused_lines', 'Usage lines that were refused and wait for an operator.', refusedLines),
      new Gauge('gw_resident_memory_bytes', 'Resident memory of this process.', () => process.memoryUsage.rss()),
    ]
  }

  ended(o: Outcome): void {
    const name = o.platform || 'none'
    const platform = this.#platforms.get(name) ?? opened(this.#platforms, name, new OfPlatform())
    this.#request(platform, name, o.status, o.code).value++
    for (const attempt of o.attempts) this.#attempt(attempt.account, attempt.status).value++
    if (o.intercepted && o.account !== null) {
      const account = this.#account(o.account)
      account.intercepted ??= this.#intercepted.with({ account: o.account })
      account.intercepted.value++
    }
    if (o.dialect !== o.upstreamDialect) this.#translation(o)
    if (!o.metered) return
    platform.duration ??= this.#duration.with({ platform: name })
    platform.duration.observe(o.durationMs / 1000)
    if (o.firstTokenMs > 0) {
      platform.firstToken ??= this.#firstToken.with({ platform: name })
      platform.firstToken.observe(o.firstTokenMs / 1000)
    }
    const label = this.#priced(o.model) ? o.model : 'other'
    const model = platform.models.get(label) ?? opened(platform.models, label, new OfModel())
    const { input, output, cacheRead } = o.usage
    if (input > 0) (model.input ??= this.#ofType('input', name, label)).value += input
    if (output > 0) (model.output ??= this.#ofType('output', name, label)).value += output
    if (cacheRead > 0) (model.cacheRead ??= this.#ofType('cache_read', name, label)).value += cacheRead
    const written = cacheWrites(o.usage)
    if (written > 0) (model.cacheWrite ??= this.#ofType('cache_write', name, label)).value += written
    if (o.cost > 0n) (model.cost ??= this.#cost.with({ platform: name, model: label })).value += Number(o.cost) / 1e9
  }

  text(): string {
    for (const [code, count] of this.#ownTroubles)
      (this.#troublesByCode.get(code) ?? opened(this.#troublesByCode, code, this.#troubles.with({ code }))).value =
        count
    for (const [result, count] of this.#tokenRefreshes())
      (
        this.#refreshesByResult.get(result) ?? opened(this.#refreshesByResult, result, this.#refreshes.with({ result }))
      ).value = count
    return exposition([
      this.#requests,
      this.#tokens,
      this.#cost,
      this.#attempts,
      this.#duration,
      this.#firstToken,
      this.#intercepted,
      this.#translated,
      this.#dropped,
      this.#troubles,
      this.#refreshes,
      ...this.#gauges,
    ])
  }

  #request(platform: OfPlatform, name: string, status: number, code: string): Count {
    const codes = platform.requests.get(status) ?? opened(platform.requests, status, new Map<string, Count>())
    return codes.get(code) ?? opened(codes, code, this.#requests.with({ platform: name, status, code }))
  }

  #translation({ dialect, upstreamDialect, dropped }: Outcome): void {
    const key = `${dialect} ${upstreamDialect}`
    const both = { from: dialect, to: upstreamDialect }
    ;(this.#translations.get(key) ?? opened(this.#translations, key, this.#translated.with(both))).value++
    for (const said of dropped) {
      const token = this.#droppedByToken.has(said) || this.#droppedByToken.size < MOST_TOKENS ? said : 'other'
      const known = this.#droppedByToken.get(token)
      ;(known ?? opened(this.#droppedByToken, token, this.#dropped.with({ token }))).value++
    }
  }

  #ofType(type: string, platform: string, model: string): Count {
    return this.#tokens.with({ platform, model, type })
  }

  #attempt(name: string, status: number): Count {
    const { attempts } = this.#account(name)
    return attempts.get(status) ?? opened(attempts, status, this.#attempts.with({ account: name, status }))
  }

  #account(name: string): OfAccount {
    return this.#accounts.get(name) ?? opened(this.#accounts, name, new OfAccount())
  }
}

// Fields are the client's own words, and a client may make up any.
const MOST_TOKENS = 200

class OfPlatform {
  readonly requests = new Map<number, Map<string, Count>>()
  readonly models = new Map<string, OfModel>()
  duration: Distribution | undefined = undefined
  firstToken: Distribution | undefined = undefined
}

class OfModel {
  input: Count | undefined = undefined
  output: Count | undefined = undefined
  cacheRead: Count | undefined = undefined
  cacheWrite: Count | undefined = undefined
  cost: Count | undefined = undefined
}

class OfAccount {
  readonly attempts = new Map<number, Count>()
  intercepted: Count | undefined = undefined
}

function opened<K, V>(map: Map<K, V>, key: K, value: V): V {
  map.set(key, value)
  return value
}
