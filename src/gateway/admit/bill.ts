// Bill: what a request may cost at most is put aside before it is sent; what it did cost is settled once.
import { usageLine } from '../../core/books/line.ts'
import { balanceBucket, quotaBucket, takes, windowBucket } from '../../core/books/purse.ts'
import { resetsAt, type WindowName, windowNames, windowsAt } from '../../core/books/window.ts'
import type { Outcome } from '../../core/outcome.ts'
import { cost, isSameModel, unpriced, worstCase } from '../../core/price/price.ts'
import type { Price } from '../../core/price/row.ts'
import type { GroupFacts, KeyFacts, SubscriptionFacts } from '../../core/snapshot.ts'
import type { Meter, Peek } from '../../dialect/dialect.ts'
import { lifetimes, promptTokens, summed, type Usage } from '../../dialect/usage.ts'
import { Failure } from '../../lib/failure.ts'
import { formatUsd, mulDiv, type Nano } from '../../lib/money.ts'
import type { Platform } from '../../platform/platform.ts'
import { platformTable } from '../../platform/table.ts'
import type { Want } from '../../store/store.ts'
import type { Caller } from '../enter/authenticate.ts'
import type { Call } from '../enter/receive.ts'
import type { Gateway } from '../gateway.ts'
import { isPlain, MOST_TOKENS, type Most, reckoned } from './reckon.ts'
import type { Refused } from './wallet.ts'

// Put aside for a request that brings the tool: how often it will be used nobody can know.
const WEB_SEARCHES = 10
// Little enough that Postgres and Redis can hold it.
const MOST_NANO = 4n * 10n ** 18n

// In an answer's first moments most upstreams say what its input cost; one that has not by then may never.
const STOP_MS = 10_000

type Terms = Pick<GroupFacts, 'unknownModel' | 'onDisconnect' | 'multiplier' | 'limits' | 'billing'>

// Of a key without a group: as a new group has it.
const ungrouped: Terms = {
  unknownModel: 'reject',
  onDisconnect: 'stop',
  multiplier: 10_000n,
  limits: { day: null, week: null, month: null },
  billing: 'balance',
}

/** What one request costs its payer, from before it is sent until it is settled. Disposing of it gives back what was put aside. */
export class Bill implements Disposable {
  settled = false
  /** how long the upstream is read on when the client has left, ms */
  readonly readOnMs: number
  /** only until it has said what the input cost */
  readonly stops: boolean
  readonly #gw: Gateway
  readonly #peek: Peek
  readonly #outcome: Outcome
  readonly #key: KeyFacts
  readonly #user: number
  readonly #group: Terms
  /** undefined: it costs nothing */
  readonly #price: Price | undefined
  readonly #subscription: SubscriptionFacts | undefined
  readonly #platform: Platform
  /** the client speaks in its platform's words */
  readonly #own: boolean
  #tokensTaken = 0
  #reserved = false

  /** @throws Failure MODEL_UNPRICED, MODE_UNPRICED, SUBSCRIPTION_NOT_FOUND, SUBSCRIPTION_INVALID */
  constructor(gw: Gateway, { peek, dialect }: Call, caller: Caller, outcome: Outcome) {
    this.#gw = gw
    this.#peek = peek
    this.#outcome = outcome
    this.#key = caller.key
    this.#user = caller.user.id
    this.#group = caller.group ?? ungrouped
    const { onDisconnect } = this.#group
    this.stops = onDisconnect === 'stop'
    this.readOnMs = onDisconnect === 'stop' ? STOP_MS : onDisconnect === 'abort' ? 0 : onDisconnect.drainMs
    // Another vendor's words for modes and regions say what is wished, and what came of it the upstream tells.
    this.#platform = platformTable[caller.platform]
    this.#own = this.#platform.dialects.includes(dialect.name)
    const { price, source } = tariff(gw, this.#group, peek, outcome.at, this.#own)
    this.#price = price
    outcome.price = source
    outcome.priceFrom = price?.from ?? 0
    outcome.multiplier = this.#group.multiplier
    this.#subscription = subscriptionOf(gw, caller)
    outcome.subscription = this.#subscription?.id ?? null
  }

  /**
   * Asked after the wait for a place, since that may take long and another key may have spent the money meanwhile.
   * @throws Failure BOOKS_CLOSED, KEY_RATE_LIMITED, INSUFFICIENT_BALANCE, QUOTA_EXHAUSTED, USAGE_LIMIT_EXCEEDED,
   * LIMIT_TOO_SMALL, MONEY_HELD, BILLING_UNAVAILABLE
   */
  async reserve(): Promise<void> {
    const closed = this.#gw.books.closed()
    if (closed !== undefined) throw new Failure('BOOKS_CLOSED', [closed], { retryAfterMs: 5_000 })
    const peek = this.#peek
    const { input, output, searches } = this.#most()
    if (this.#key.rpm !== null || this.#key.tpm !== null) await this.#takeRate(input + output)
    if (!this.#price) return
    const worst = this.#payable(
      worstCase(this.#price, {
        inputTokens: input,
        outputTokens: output,
        mode: this.#own || this.#price.modes.has(peek.mode) ? peek.mode : '',
        geo: this.#own || this.#price.geo.has(peek.geo) ? peek.geo : '',
        cacheWrites: longer(peek.cacheWrites, this.#platform.unaskedWrites),
        webSearches: searches,
      }),
    )
    const wants = this.#wants(worst < MOST_NANO ? worst : MOST_NANO)
    if (wants.length === 0) return
    const refused = await this.#gw.wallet.reserve(this.#user, this.#outcome.id, wants)
    this.#outcome.reserve = wants
    if (!refused) {
      this.#reserved = true
      this.#outcome.settlement = 'reserved'
    } else {
      this.#giveTokens(0)
      throw this.#refusal(refused, worst, wants)
    }
  }

  /**
   * Prices what the meter read, as of the request's start; when this returns the line is in the spool. Of an answer that broke
   * off, or whose usage was not told, the missing part is reckoned and the row flagged as partial. The first call counts.
   */
  settle(meter: Meter | undefined, status: number): void {
    if (this.settled) return
    this.settled = true
    const gw = this.#gw
    const outcome = this.#outcome
    outcome.status = status
    outcome.settlement = 'booked'
    const plain = meter !== undefined && isPlain(meter)
    outcome.partial = !plain || !meter.complete
    outcome.usage = summed(plain ? meter.usage : reckoned(meter, this.#peek, this.#most()))
    this.#priceIt(meter)
    outcome.durationMs = gw.now() - outcome.at
    gw.books.settle(usageLine(outcome))
    const payer = { key: this.#key.id, billing: this.#group.billing, subscription: outcome.subscription }
    gw.wallet.settle(this.#user, outcome.id, outcome.charged === 0n ? [] : takes(outcome.charged, payer))
    this.#giveTokens(promptTokens(outcome.usage) + outcome.usage.output)
  }

  [Symbol.dispose](): void {
    if (this.settled) return
    if (this.#reserved) {
      this.#outcome.settlement = 'released'
      this.#gw.wallet.release(this.#user, this.#outcome.id)
    }
    this.#giveTokens(0)
  }

  /** What the usage costs. The upstream may have served what was not asked for, and other models may have taken part in it. */
  #priceIt(meter: Meter | undefined): void {
    const outcome = this.#outcome
    const { usage } = outcome
    // What it does not say it did as it was asked to.
    if (!meter?.modeTold && this.#own) usage.mode ||= this.#peek.mode
    if (!meter?.geoTold && this.#own) usage.geo ||= this.#peek.geo
    if (!meter?.lifetimesTold && this.#peek.cacheWrites === '12h') keptLong(usage)
    const price = this.#price
    if (!price && !usage.parts) return
    outcome.cost = cost(usage, price ?? nothing, usage.parts && (model => this.#priceOfPart(model)))
    outcome.charged = this.#payable(outcome.cost)
    const asked = usage.mode === this.#peek.mode && usage.geo === this.#peek.geo
    const without = price && !asked ? unpriced(price, usage) : ''
    if (without !== '') this.#doubt(`${without}, in which ${outcome.upstreamModel} answered, has no price`)
  }

  /** The price of a model that took part in the answer; undefined: it costs nothing. */
  #priceOfPart(model: string): Price | undefined {
    const { at, upstreamModel } = this.#outcome
    if (isSameModel(model, upstreamModel) || isSameModel(model, this.#peek.model)) return this.#price
    const found = this.#gw.snapshot.prices.find(model, at)?.price
    const { unknownModel } = this.#group
    if (found || unknownModel === 'free') return found
    const instead = unknownModel === 'reject' ? undefined : this.#gw.snapshot.prices.find(unknownModel.fallback, at)
    if (!instead) this.#doubt(`model ${model}, which took part in the answer, has no price`)
    return instead?.price ?? this.#price
  }

  /** It is billed, since it was served; whether rightly an operator must say. */
  #doubt(what: string): void {
    this.#outcome.partial = true
    this.#gw.log.warn({ request: this.#outcome.id }, `${what}; run "gw price set"`)
  }

  // A subscription counts at list price (spec/domain.md §8.3).
  #payable(list: Nano): Nano {
    const { multiplier } = this.#group
    return this.#subscription || multiplier === ONE ? list : mulDiv(list, multiplier, ONE)
  }

  // What costs nothing is asked of nobody.
  #wants(amount: Nano): Want[] {
    if (amount === 0n) return []
    const { config, now } = this.#gw
    const wants: Want[] = []
    const { id, quota } = this.#key
    if (quota !== null) wants.push({ bucket: quotaBucket(id), amount, limit: quota })
    if (!this.#subscription) {
      wants.push({ bucket: balanceBucket, amount, limit: config['billing.overdraft'] })
      return wants
    }
    const { start, oldest } = windowsAt(now(), config['timezone'])
    for (const span of windowNames) {
      const limit = this.#group.limits[span]
      if (limit === null) continue
      const bucket = windowBucket(this.#subscription.id, span)
      wants.push({ bucket, amount, limit, window: { start, oldest: oldest[span] } })
    }
    return wants
  }

  #refusal({ bucket, room, unspent, start }: Refused, worst: Nano, wants: Want[]): Failure {
    const subscription = this.#subscription
    const span = windowNames.find(one => subscription && bucket === windowBucket(subscription.id, one))
    const what = span ? `${names[span]} limit` : bucket === balanceBucket ? 'balance' : "key's quota"
    // It would be let in if only the others had ended.
    if (unspent >= worst)
      return new Failure('MONEY_HELD', [what, formatUsd(unspent - room), formatUsd(worst)], { retryAfterMs: 5_000 })
    const left = [formatUsd(unspent > 0n ? unspent : 0n), formatUsd(worst)] as const
    if (bucket === balanceBucket) return new Failure('INSUFFICIENT_BALANCE', left)
    if (!span) return new Failure('QUOTA_EXHAUSTED', left)
    const { limit, window } = wants.find(want => want.bucket === bucket)!
    if (worst > limit!)
      return new Failure('LIMIT_TOO_SMALL', [capital(names[span]), formatUsd(limit!), formatUsd(worst)])
    const ends = resetsAt(start ?? window!.start, span, this.#gw.config['timezone'])
    return new Failure('USAGE_LIMIT_EXCEEDED', [capital(names[span]), left[0], new Date(ends).toISOString(), left[1]], {
      retryAfterMs: Math.max(1000, ends - this.#gw.now()),
    })
  }

  async #takeRate(tokens: number): Promise<void> {
    const { id, rpm, tpm } = this.#key
    const wants = []
    if (rpm !== null) wants.push({ bucket: 'requests', amount: 1, perMinute: rpm })
    if (tpm !== null) wants.push({ bucket: 'tokens', amount: tokens, perMinute: tpm })
    const waitMs = await this.#gw.store.take(rateKey(id), wants)
    if (waitMs > 0) {
      const limits = [rpm && `${rpm} requests`, tpm && `${tpm} tokens`].filter(Boolean).join(' and ')
      throw new Failure('KEY_RATE_LIMITED', [`${limits} a minute`], { retryAfterMs: waitMs })
    }
    this.#tokensTaken = tpm === null ? 0 : Math.min(tokens, tpm)
  }

  /** The difference to what was taken for the worst case. */
  #giveTokens(used: number): void {
    const { id, tpm } = this.#key
    if (tpm === null || this.#tokensTaken === 0) return
    void this.#gw.store.give(rateKey(id), 'tokens', this.#tokensTaken - used, tpm)
    this.#tokensTaken = 0
  }

  #most(): Most {
    const { config } = this.#gw
    const { promptBytes, maxTokens, searchesWeb } = this.#peek
    return {
      input: Math.ceil(promptBytes / config['billing.bytes_per_token']),
      output: Math.min(maxTokens ?? config['billing.max_output'], MOST_TOKENS),
      searches: searchesWeb ? WEB_SEARCHES : 0,
    }
  }
}

const ONE = 10_000n

function longer(one: Peek['cacheWrites'], other: Peek['cacheWrites']): Peek['cacheWrites'] {
  if (one === 'none' || other === 'none') return one === 'none' ? other : one
  return lifetimes.indexOf(one) < lifetimes.indexOf(other) ? other : one
}

/** Of two lifetimes of a vendor's the longer. */
function keptLong(usage: Usage): void {
  usage.cacheWrite12h += usage.cacheWrite30m
  usage.cacheWrite30m = 0
}

const nothing: Price = {
  ...{ model: '', vendor: null, layer: 'operator', from: 0, source: null, tier: null, webSearch: null },
  ...{ input: 0n, output: 0n, cacheWrite5m: 0n, cacheWrite30m: 0n, cacheWrite1h: 0n, cacheWrite12h: 0n, cacheRead: 0n },
  ...{ modes: new Map(), geo: new Map() },
}
const rateKey = (key: number): string => `key:${key}`

const names: Record<WindowName, string> = { day: 'daily', week: 'weekly', month: 'monthly' }
const capital = (word: string) => word.charAt(0).toUpperCase() + word.slice(1)

/**
 * The price in force when the request began, and where it is from; no price means free. A mode or a region that is asked for and
 * has no price is as a model that has none.
 */
function tariff(
  gw: Gateway,
  { unknownModel }: Terms,
  peek: Peek,
  at: number,
  own: boolean,
): { price: Price | undefined; source: string } {
  const { model } = peek
  const found = gw.snapshot.prices.find(model, at)
  const without = found && own ? unpriced(found.price, peek) : ''
  if (found && without === '') return { price: found.price, source: sourceOf(found.price) }
  if (unknownModel === 'free') return { price: undefined, source: 'free' }
  const instead = unknownModel === 'reject' ? undefined : gw.snapshot.prices.find(unknownModel.fallback, at)
  if (!instead) throw found ? new Failure('MODE_UNPRICED', [model, without]) : new Failure('MODEL_UNPRICED', [model])
  return { price: instead.price, source: `fallback:${sourceOf(instead.price)}` }
}

const sourceOf = ({ layer, model }: Price): string => `${layer}:${model}`

function subscriptionOf(gw: Gateway, { user, group }: Caller): SubscriptionFacts | undefined {
  if (group?.billing !== 'subscription') return undefined
  const found = gw.snapshot.subscription(user.id, group.id)
  if (!found) throw new Failure('SUBSCRIPTION_NOT_FOUND')
  if (found.expiresAt <= gw.now()) throw new Failure('SUBSCRIPTION_INVALID')
  return found
}
