// Bill: what a request may cost at most is put aside before it is sent; what it did cost is settled once.
import { usageLine } from '../../core/books/line.ts'
import { balanceBucket, quotaBucket, takes, windowBucket } from '../../core/books/purse.ts'
import { resetsAt, type WindowName, windowNames, windowsAt } from '../../core/books/window.ts'
import type { Outcome } from '../../core/outcome.ts'
import { cost, type Price, worstCase } from '../../core/price/price.ts'
import type { GroupFacts, SubscriptionFacts } from '../../core/snapshot.ts'
import type { Meter } from '../../dialect/dialect.ts'
import { noUsage, promptTokens, type Usage } from '../../dialect/usage.ts'
import { Failure } from '../../lib/failure.ts'
import { formatUsd, mulDiv, type Nano } from '../../lib/money.ts'
import type { Want } from '../../store/store.ts'
import type { Caller } from '../enter/authenticate.ts'
import type { Call } from '../enter/receive.ts'
import type { Gateway } from '../gateway.ts'
import type { Refused } from './wallet.ts'

/** What one request costs its payer, from before it is sent until it is settled. Disposing of it gives back what was put aside. */
export interface Bill extends Disposable {
  /**
   * Asked after the wait for a place, since that may take long and another key may have spent the money meanwhile.
   * @throws Failure BOOKS_CLOSED, KEY_RATE_LIMITED, INSUFFICIENT_BALANCE, QUOTA_EXHAUSTED, USAGE_LIMIT_EXCEEDED,
   * LIMIT_TOO_SMALL, MONEY_HELD, BILLING_UNAVAILABLE
   */
  reserve(): Promise<void>
  /**
   * Prices what the meter read, as of the request's start; when this returns the line is in the spool. Usage that was not told
   * to its end is flagged as partial, and what was not told is guessed. The first call counts.
   */
  settle(meter: Meter | undefined, status: number): void
  readonly settled: boolean
  /** how long the upstream is read on when the client has left, ms */
  readonly drainMs: number
}

// Put aside for a request that brings the tool: how often it will be used nobody can know.
const WEB_SEARCHES = 10
// More than any model writes, and little enough that its cost at any multiplier is a number Postgres and Redis can hold.
const MOST_TOKENS = 10_000_000
const MOST_NANO = 4n * 10n ** 18n

// Of a key without a group: as a new group has it.
const ungrouped: Pick<GroupFacts, 'unknownModel' | 'drainMs' | 'multiplier' | 'limits' | 'billing'> = {
  unknownModel: 'reject',
  drainMs: 30_000,
  multiplier: 10_000n,
  limits: { day: null, week: null, month: null },
  billing: 'balance',
}

/** @throws Failure MODEL_UNPRICED, SUBSCRIPTION_NOT_FOUND, SUBSCRIPTION_INVALID */
export function openBill(gw: Gateway, call: Call, caller: Caller, outcome: Outcome): Bill {
  const { key, user } = caller
  const group = caller.group ?? ungrouped
  const { price, source } = tariff(gw, caller, outcome)
  outcome.price = source
  const subscription = subscriptionOf(gw, caller)
  outcome.subscription = subscription?.id ?? null
  const payer = { key: key.id, billing: group.billing, subscription: outcome.subscription }
  // A subscription counts at list price (spec/domain.md §8.3).
  const payable = (list: Nano) => (subscription ? list : mulDiv(list, group.multiplier, 10_000n))
  const rateKey = `key:${key.id}`
  const promptBytes = () => call.route.dialect.promptBytes(call.body, call.peek)
  // A letter may be written as an escape: a body with such is taken to mention everything.
  let escaped: boolean | undefined
  const mentions = (text: string) => call.body.includes(text) || (escaped ??= call.body.includes('\\u00'))
  let tokensTaken = 0
  let reserved = false
  let settled = false

  async function reserve(): Promise<void> {
    const closed = gw.till.closed()
    if (closed !== undefined) throw new Failure('BOOKS_CLOSED', [closed], { retryAfterMs: 5_000 })
    const input = Math.ceil(promptBytes() / gw.config['billing.bytes_per_token'])
    const output = Math.min(call.peek.maxTokens ?? gw.config['billing.max_output'], MOST_TOKENS)
    await takeRate(input + output)
    const worst = price
      ? payable(
          worstCase(price, {
            inputTokens: input,
            outputTokens: output,
            mode: call.peek.mode,
            cacheWrites: mentions('"1h"') ? '1h' : '5m',
            webSearches: mentions('"web_search') ? WEB_SEARCHES : 0,
          }),
        )
      : 0n
    const wants = wantsOf(worst < MOST_NANO ? worst : MOST_NANO)
    if (wants.length === 0) return
    const refused = await gw.wallet.reserve(user.id, outcome.id, wants)
    if (!refused) reserved = true
    else {
      giveTokens(0)
      throw refusal(refused, worst, wants)
    }
  }

  // What costs nothing is asked of nobody.
  function wantsOf(amount: Nano): Want[] {
    if (amount === 0n) return []
    const wants: Want[] = []
    if (key.quota !== null) wants.push({ bucket: quotaBucket(key.id), amount, limit: key.quota })
    if (!subscription) wants.push({ bucket: balanceBucket, amount, limit: gw.config['billing.overdraft'] })
    else {
      const { start, oldest } = windowsAt(gw.now(), gw.config['timezone'])
      for (const span of windowNames) {
        const limit = group.limits[span]
        if (limit !== null)
          wants.push({
            bucket: windowBucket(subscription.id, span),
            amount,
            limit,
            window: { start, oldest: oldest[span] },
          })
      }
    }
    return wants
  }

  function refusal({ bucket, room, unspent, start }: Refused, worst: Nano, wants: Want[]): Failure {
    const atLeast0 = (nano: Nano) => formatUsd(nano > 0n ? nano : 0n)
    const span = windowNames.find(one => subscription && bucket === windowBucket(subscription.id, one))
    const what = span ? `${names[span]} limit` : bucket === balanceBucket ? 'balance' : "key's quota"
    // It would be let in if only the others had ended.
    if (unspent >= worst)
      return new Failure('MONEY_HELD', [what, formatUsd(unspent - room), formatUsd(worst)], { retryAfterMs: 5_000 })
    const left = [atLeast0(unspent), formatUsd(worst)] as const
    if (bucket === balanceBucket) return new Failure('INSUFFICIENT_BALANCE', left)
    if (!span) return new Failure('QUOTA_EXHAUSTED', left)
    const { limit, window } = wants.find(want => want.bucket === bucket)!
    if (worst > limit!)
      return new Failure('LIMIT_TOO_SMALL', [capital(names[span]), formatUsd(limit!), formatUsd(worst)])
    const began = start ?? window!.start
    const ends = resetsAt(began, span, gw.config['timezone'])
    return new Failure('USAGE_LIMIT_EXCEEDED', [capital(names[span]), left[0], new Date(ends).toISOString(), left[1]], {
      retryAfterMs: Math.max(1000, ends - gw.now()),
    })
  }

  async function takeRate(tokens: number): Promise<void> {
    const wants = []
    if (key.rpm !== null) wants.push({ bucket: 'requests', amount: 1, perMinute: key.rpm })
    if (key.tpm !== null) wants.push({ bucket: 'tokens', amount: tokens, perMinute: key.tpm })
    if (wants.length === 0) return
    const waitMs = await gw.store.take(rateKey, wants)
    if (waitMs > 0) {
      const limits = [key.rpm && `${key.rpm} requests`, key.tpm && `${key.tpm} tokens`].filter(Boolean).join(' and ')
      throw new Failure('KEY_RATE_LIMITED', [`${limits} a minute`], { retryAfterMs: waitMs })
    }
    tokensTaken = key.tpm === null ? 0 : Math.min(tokens, key.tpm)
  }

  /** The difference to what was taken for the worst case. */
  function giveTokens(used: number): void {
    if (key.tpm === null || tokensTaken === 0) return
    void gw.store.give(rateKey, 'tokens', tokensTaken - used, key.tpm)
    tokensTaken = 0
  }

  // What came of an answer that broke off is reckoned at four bytes a token, and so is a prompt of which nothing was told
  // (spec/wire.md §1.5).
  function toldSoFar(meter: Meter | undefined): Usage {
    const usage = meter ? { ...meter.usage } : noUsage()
    if (promptTokens(usage) === 0) usage.input = Math.ceil(promptBytes() / 4)
    usage.output = Math.max(usage.output, Math.ceil((meter?.emitted ?? 0) / 4))
    return usage
  }

  return {
    reserve,
    settle(meter, status) {
      if (settled) return
      settled = true
      outcome.status = status
      outcome.partial = meter?.complete !== true
      outcome.usage = meter?.told ? meter.usage : toldSoFar(meter)
      if (price) {
        outcome.cost = cost(outcome.usage, price)
        outcome.charged = payable(outcome.cost)
      }
      outcome.durationMs = gw.now() - outcome.at
      gw.till.take(usageLine(outcome))
      gw.wallet.settle(user.id, outcome.id, outcome.charged === 0n ? [] : takes(outcome.charged, payer))
      giveTokens(promptTokens(outcome.usage) + outcome.usage.output)
    },
    get settled() {
      return settled
    },
    drainMs: group.drainMs,
    [Symbol.dispose]() {
      if (settled) return
      if (reserved) gw.wallet.release(user.id, outcome.id)
      giveTokens(0)
    },
  }
}

const names: Record<WindowName, string> = { day: 'daily', week: 'weekly', month: 'monthly' }
const capital = (word: string) => word.charAt(0).toUpperCase() + word.slice(1)

/** The price in force when the request began, and where it is from; no price means free. */
function tariff(gw: Gateway, caller: Caller, outcome: Outcome): { price: Price | undefined; source: string } {
  const at = (model: string) => {
    const found = gw.snapshot.prices.find(model, outcome.at)
    return found && { price: found.price, source: `${found.price.layer}:${found.price.model}` }
  }
  const found = at(outcome.model)
  if (found) return found
  const { unknownModel } = caller.group ?? ungrouped
  if (unknownModel === 'free') return { price: undefined, source: 'free' }
  const instead = unknownModel === 'reject' ? undefined : at(unknownModel.fallback)
  if (!instead) throw new Failure('MODEL_UNPRICED', [outcome.model])
  return { price: instead.price, source: `fallback:${instead.source}` }
}

function subscriptionOf(gw: Gateway, { user, group }: Caller): SubscriptionFacts | undefined {
  if (group?.billing !== 'subscription') return undefined
  const found = gw.snapshot.subscription(user.id, group.id)
  if (!found) throw new Failure('SUBSCRIPTION_NOT_FOUND')
  if (found.expiresAt <= gw.now()) throw new Failure('SUBSCRIPTION_INVALID')
  return found
}
