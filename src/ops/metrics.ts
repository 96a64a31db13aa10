// Prometheus metrics: a fold over Outcomes, and whatever else has a number to tell (names: docs/metrics.md).
import { classify } from '../core/errors/classify.ts'
import type { Outcome } from '../core/outcome.ts'
import { cacheWrites } from '../dialect/usage.ts'
import { overheadMs } from './overhead.ts'
import { type Scrape, scraper } from './registry.ts'
import { type Count, Counter, type Distribution, type Family, Few, Histogram, OTHER } from './series.ts'

export interface Metrics {
  ended(outcome: Outcome): void
  /** What else is told; before the first scrape. */
  add(...families: Family[]): void
  /** What a scrape gets; `accept` is its header. */
  scrape(accept?: string): Promise<Scrape>
}

export interface MetricsOptions {
  /** Whether a model is one we know: only those become label values, since the others are whatever a client sends. */
  priced: (model: string) => boolean
}

/** Series there are at most of what clients, providers and operators make up; what is beyond counts as `other`. */
export const most = {
  accounts: 200,
  /** by platform together */
  models: 200,
  groups: 100,
  /** statuses of upstreams: of an account, of all requests of a platform */
  attemptStatuses: 8,
  statuses: 40,
  dropped: 200,
} as const

export function createMetrics(options: MetricsOptions): Metrics {
  return new Tally(options)
}

const SECONDS = [0.05, 0.25, 1, 3, 10, 30, 60, 120, 300, 600]
const SHORT = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5]

// Series of what was seen, each found by its own key once and then kept by what they are of.
class Tally implements Metrics {
  readonly #requests = new Counter('gw_requests_total', 'Requests ended, by platform, status and failure code.')
  readonly #results = new Counter(
    'gw_request_results_total',
    'Metered requests ended: success, error (of a provider or of gw), client_error; what gw ops counts.',
  )
  readonly #errors = new Counter(
    'gw_errors_total',
    'Requests that failed or were saved by another account, by phase, owner and severity.',
  )
  readonly #tokens = new Counter('gw_tokens_total', 'Tokens by platform, model and type.')
  readonly #cost = new Counter('gw_cost_usd_total', 'Cost at list price in USD; approximate, the ledger is exact.')
  readonly #attempts = new Counter(
    'gw_upstream_attempts_total',
    'Attempts at accounts, by account and upstream status (0: no answer).',
  )
  readonly #duration = new Histogram(
    'gw_request_duration_seconds',
    'From the first byte of a request to the last of its answer, by class of the status.',
    SECONDS,
  )
  readonly #firstToken = new Histogram(
    'gw_time_to_first_token_seconds',
    'From the first byte of a request to the first frame that means something.',
    [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120],
  )
  readonly #overhead = new Histogram(
    'gw_overhead_seconds',
    'Time of a request that is neither the client sending it, nor a place waited for, nor an upstream.',
    SHORT,
  )
  readonly #queued = new Histogram(
    'gw_queue_wait_seconds',
    'Time that requests waited for places of their user, key or an account.',
    [0.001, 0.01, 0.1, 0.5, 1, 3, 10, 30, 60],
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
  readonly #families: Family[] = [
    this.#requests,
    this.#results,
    this.#errors,
    this.#tokens,
    this.#cost,
    this.#attempts,
    this.#duration,
    this.#firstToken,
    this.#overhead,
    this.#queued,
    this.#intercepted,
    this.#translated,
    this.#dropped,
  ]
  readonly #priced: (model: string) => boolean
  readonly #platforms = new Map<string, OfPlatform>()
  readonly #accounts = new Few(most.accounts, (account: string) => this.#account(account))
  readonly #translations = new Map<string, Map<string, Count>>()
  readonly #droppedByToken = new Few(most.dropped, (token: string) => this.#dropped.with({ token }))
  readonly #errorsByPhase = new Map<string, Map<string, Count>>()
  #models = 0
  readonly scrape: Metrics['scrape']

  constructor({ priced }: MetricsOptions) {
    this.#priced = priced
    this.scrape = scraper(this.#families)
  }

  add(...families: Family[]): void {
    this.#families.push(...families)
  }

  ended(o: Outcome): void {
    const name = o.platform || 'none'
    const platform = this.#platforms.get(name) ?? opened(this.#platforms, name, this.#platform(name))
    this.#request(platform, name, o.status, o.code).value++
    for (const attempt of o.attempts) this.#accounts.of(attempt.account).attempts.of(attempt.status).value++
    if (o.intercepted && o.account !== null) {
      const account = this.#accounts.of(o.account)
      account.intercepted ??= this.#intercepted.with({ account: account.name })
      account.intercepted.value++
    }
    if (o.dialect !== o.upstreamDialect) this.#translation(o)
    const error = classify(o)
    if (error) this.#error(error.phase, error.owner, error.severity).value++
    if (!o.metered) return
    if (error === undefined || error.recovered) platform.success.value++
    else if (error.owner === 'client') platform.clientErrors.value++
    else platform.errors.value++
    this.#durationOf(platform, name, o.status).observe(o.durationMs / 1000)
    platform.queued.observe(o.waitedMs / 1000)
    platform.overhead.observe(overheadMs(o) / 1000)
    if (o.firstTokenMs > 0) platform.firstToken.observe(o.firstTokenMs / 1000)
    const model = this.#modelOf(platform, o.model)
    const { input, output, cacheRead } = o.usage
    if (input > 0) (model.input ??= this.#ofType('input', name, model)).value += input
    if (output > 0) (model.output ??= this.#ofType('output', name, model)).value += output
    if (cacheRead > 0) (model.cacheRead ??= this.#ofType('cache_read', name, model)).value += cacheRead
    const written = cacheWrites(o.usage)
    if (written > 0) (model.cacheWrite ??= this.#ofType('cache_write', name, model)).value += written
    if (o.cost > 0n)
      (model.cost ??= this.#cost.with({ platform: name, model: model.name })).value += Number(o.cost) / 1e9
  }

  #platform(platform: string): OfPlatform {
    const result = (word: string) => this.#results.with({ platform, result: word })
    return {
      requests: new Map(),
      models: new Map(),
      statuses: new Few<number, number | string>(most.statuses, status => status),
      durations: [],
      success: result('success'),
      errors: result('error'),
      clientErrors: result('client_error'),
      firstToken: this.#firstToken.with({ platform }),
      overhead: this.#overhead.with({ platform }),
      queued: this.#queued.with({ platform }),
    }
  }

  #request(platform: OfPlatform, name: string, seen: number, code: string): Count {
    const status = platform.statuses.of(seen)
    const codes = platform.requests.get(status) ?? opened(platform.requests, status, new Map<string, Count>())
    return codes.get(code) ?? opened(codes, code, this.#requests.with({ platform: name, status, code }))
  }

  #durationOf({ durations }: OfPlatform, platform: string, status: number): Distribution {
    const hundreds = Math.floor(status / 100)
    const at = hundreds >= 1 && hundreds <= 5 ? hundreds : 0
    return (durations[at] ??= this.#duration.with({ platform, class: at === 0 ? OTHER : `${at}xx` }))
  }

  #error(phase: string, owner: string, severity: string): Count {
    const owners = this.#errorsByPhase.get(phase) ?? opened(this.#errorsByPhase, phase, new Map<string, Count>())
    // Nearly always a phase has one owner and severity.
    const key = owner + severity
    return owners.get(key) ?? opened(owners, key, this.#errors.with({ phase, owner, severity }))
  }

  #translation({ dialect, upstreamDialect, dropped }: Outcome): void {
    const to = this.#translations.get(dialect) ?? opened(this.#translations, dialect, new Map<string, Count>())
    const known = to.get(upstreamDialect)
    const both = { from: dialect, to: upstreamDialect }
    ;(known ?? opened(to, upstreamDialect, this.#translated.with(both))).value++
    for (const said of dropped) this.#droppedByToken.of(said).value++
  }

  #modelOf({ models }: OfPlatform, name: string): OfModel {
    const known = models.get(name)
    if (known) return known
    if (name !== OTHER && this.#models < most.models && this.#priced(name)) {
      this.#models++
      return opened(models, name, new OfModel(name))
    }
    return models.get(OTHER) ?? opened(models, OTHER, new OfModel(OTHER))
  }

  #ofType(type: string, platform: string, { name }: OfModel): Count {
    return this.#tokens.with({ platform, model: name, type })
  }

  #account(account: string): OfAccount {
    const attempts = new Few<number, Count>(most.attemptStatuses, status => this.#attempts.with({ account, status }))
    return { name: account, attempts, intercepted: undefined }
  }
}

interface OfPlatform {
  readonly requests: Map<number | string, Map<string, Count>>
  readonly models: Map<string, OfModel>
  readonly statuses: Few<number, number | string>
  /** by hundreds of the status */
  readonly durations: Distribution[]
  readonly success: Count
  readonly errors: Count
  readonly clientErrors: Count
  readonly firstToken: Distribution
  readonly overhead: Distribution
  readonly queued: Distribution
}

class OfModel {
  readonly name: string
  input: Count | undefined = undefined
  output: Count | undefined = undefined
  cacheRead: Count | undefined = undefined
  cacheWrite: Count | undefined = undefined
  cost: Count | undefined = undefined

  constructor(name: string) {
    this.name = name
  }
}

interface OfAccount {
  readonly name: string
  readonly attempts: Few<number, Count>
  intercepted: Count | undefined
}

function opened<K, V>(map: Map<K, V>, key: K, value: V): V {
  map.set(key, value)
  return value
}
