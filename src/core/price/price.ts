// Prices: which one answers for a model's name at an instant, and what usage costs at it.
import type { Db } from '../../db/connect.ts'
import { type Lifetime, noTokens, promptTokens, type Tokens, type Usage } from '../../dialect/usage.ts'
import type { Nano } from '../../lib/money.ts'
import { readShipped } from './file.ts'
import { operatorRows } from './operator.ts'
import { compile, eachBucket, type Price, type PriceRow, type Rates, writeBuckets } from './row.ts'

/** How a name was found: itself, as a dated release of a model (`-20251001`, `@20251001`, `-latest`), or by `prefix*`. */
export type Match = 'exact' | 'release' | 'prefix'

export interface Found {
  price: Price
  match: Match
}

export interface PriceTable {
  /** The price of a model at an instant (Unix ms), or undefined: what to do then is policy, never a silent zero. */
  find(model: string, at: number): Found | undefined
  /** every price of every layer, by model, the latest first */
  all(): Price[]
}

// A model and its dated releases cost the same; any other longer name is another model, however alike it looks
// ("gpt-5" is not "gpt-5-mini"), so only these tails may be cut off.
const releaseTail = /[-@](\d{4}-?\d{2}-?\d{2}|latest)$/

/** Whether two names are of one model: a dated release and another, or none. */
export function isSameModel(a: string, b: string): boolean {
  return a === b || a.replace(releaseTail, '') === b.replace(releaseTail, '')
}

/** Compiles rows into a lookup; an operator's rows hide shipped rows of the same model, later rows earlier ones. */
export function priceTable(rows: readonly Price[]): PriceTable {
  const byModel = Map.groupBy(rows, row => row.model.toLowerCase())
  for (const list of byModel.values())
    list.sort((a, b) => (a.layer === b.layer ? b.from - a.from : a.layer === 'operator' ? -1 : 1))
  const prefixes = [...byModel]
    .filter(([model]) => model.endsWith('*'))
    .map(([model, list]) => ({ prefix: model.slice(0, -1), list }))
    .sort((a, b) => b.prefix.length - a.prefix.length)

  const inForce = (list: readonly Price[] | undefined, instant: number) => list?.find(price => price.from <= instant)
  const named = (model: string, instant: number) =>
    model.endsWith('*') ? undefined : inForce(byModel.get(model), instant)

  return {
    find(name, instant) {
      const names = namesOf(name)
      for (const model of names) {
        const price = named(model, instant)
        if (price) return { price, match: 'exact' }
      }
      for (const model of names) {
        const price = named(model.replace(releaseTail, ''), instant)
        if (price) return { price, match: 'release' }
      }
      for (const model of names)
        for (const { prefix, list } of prefixes) {
          const price = model.startsWith(prefix) ? inForce(list, instant) : undefined
          if (price) return { price, match: 'prefix' }
        }
      return undefined
    },
    all: () => [...byModel.values()].flat().sort((a, b) => a.model.localeCompare(b.model) || b.from - a.from),
  }
}

// `models/…`, `publishers/google/models/…`, `vendor/…`: the path says who serves the model, not which one it is. The whole
// name comes first, because an operator may have set a price for a model at one vendor.
function namesOf(name: string): string[] {
  const whole = name.toLowerCase()
  const last = whole.slice(whole.lastIndexOf('/') + 1)
  return last === whole || last === '' ? [whole] : [whole, last]
}

/**
 * Exact list cost: of tokens, rounded once, half up, to the nano-USD; and of web searches. A mode or a region without a price
 * costs as the standard one: `unpriced` tells.
 * @param priceOf of a part's model; undefined: it costs nothing. Without it every part costs as the answer
 */
export function cost(usage: Usage, price: Price, priceOf?: (model: string) => Price | undefined): Nano {
  const { parts, mode, geo } = usage
  // As nearly all are.
  if (!parts && geo === '' && usage.webSearches === 0) return roundedOnce(ofTokens(usage, ratesFor(usage, price, mode)))
  let sum = 0n
  if (!parts) sum = weighed(usage, price, mode, geo)
  else
    for (const part of parts) {
      const of = part.model === '' || !priceOf ? price : priceOf(part.model)
      if (of) sum += weighed(part, of, mode, geo)
    }
  return rounded(sum) + BigInt(usage.webSearches) * (price.webSearch ?? 0n)
}

/** What of a service mode and a region has no price: `mode fast`, `region eu`; '' when both have, or are the standard. */
export function unpriced(price: Price, { mode, geo }: { mode: string; geo: string }): string {
  if (mode !== '' && !price.modes.has(mode)) return `mode ${mode}`
  return geo !== '' && !price.geo.has(geo) ? `region ${geo}` : ''
}

export interface Request {
  /** at most so many, of all kinds together */
  inputTokens: number
  outputTokens: number
  /** the service mode that was asked for; absent: the standard one */
  mode?: string | undefined
  /** the region that was asked for; absent: any */
  geo?: string | undefined
  /**
   * how long the prompt may at most be kept in a cache, `none` if it is not. It is a client's word: what a vendor makes of it, which
   * has other lifetimes or caches unasked (OpenAI from gpt-5.6 on, 30 minutes), is reckoned with.
   */
  cacheWrites: 'none' | Lifetime
  /** at most so many; default 0 */
  webSearches?: number
}

/** The most that a request can cost: every token of the prompt in its dearest bucket, tier and mode. */
export function worstCase(price: Price, request: Request): Nano {
  const { inputTokens, outputTokens, cacheWrites } = request
  let rates: Rates = price
  if (price.tier && inputTokens > price.tier.above) rates = dearest(rates, price.tier)
  // At its busiest a vendor serves in the standard mode what was asked for in another, so the mode never lowers the bound.
  const mode = price.modes.get(request.mode ?? '')
  if (mode) rates = dearest(rates, mode)
  let input = larger(rates.input, rates.cacheRead)
  for (let i = 0; i < kept[cacheWrites]; i++) input = larger(input, rates[writeBuckets[i]!])
  const tokens = { ...noTokens(), input: inputTokens, output: outputTokens }
  // A region may be left for another, too, but none costs less than once.
  const geo = request.geo ? price.geo.get(request.geo) : undefined
  const sum = ofTokens(tokens, input === rates.input ? rates : { ...rates, input })
  const cost = geo === undefined || geo <= ONCE ? roundedOnce(sum) : rounded(sum * geo)
  return request.webSearches ? cost + BigInt(request.webSearches) * (price.webSearch ?? 0n) : cost
}

// How many of `writeBuckets` may be written: what is kept no longer than that. A lifetime that its vendor does not have costs as the
// next longer one.
const kept = { none: 0, '5m': 1, '30m': 2, '1h': 3, '12h': 4 } as const satisfies Record<Request['cacheWrites'], number>

// A multiplier of 1, in billionths; and what sums are counted in: parts of a nano-USD, since rates are for a million tokens.
const ONCE = 1_000_000_000n
const PARTS = 1_000_000n * ONCE

/** Tokens at the rates of their prompt's tier, mode and region, in `PARTS` of a nano-USD. */
function weighed(tokens: Tokens, price: Price, mode: string, geo: string): bigint {
  return ofTokens(tokens, ratesFor(tokens, price, mode)) * (geo === '' ? ONCE : (price.geo.get(geo) ?? ONCE))
}

function ratesFor(tokens: Tokens, price: Price, mode: string): Rates {
  const tier = price.tier && promptTokens(tokens) > price.tier.above ? price.tier : undefined
  const served = mode === '' ? undefined : price.modes.get(mode)
  // No vendor says how the two combine; each bucket at the dearer of both is what we would be billed at most.
  return tier && served ? dearest(tier, served) : (tier ?? served ?? price)
}

function ofTokens(tokens: Tokens, rates: Rates): bigint {
  return (
    BigInt(tokens.input) * rates.input +
    BigInt(tokens.output) * rates.output +
    BigInt(tokens.cacheWrite5m) * rates.cacheWrite5m +
    BigInt(tokens.cacheWrite30m) * rates.cacheWrite30m +
    BigInt(tokens.cacheWrite1h) * rates.cacheWrite1h +
    BigInt(tokens.cacheWrite12h) * rates.cacheWrite12h +
    BigInt(tokens.cacheRead) * rates.cacheRead
  )
}

const HALF = PARTS / 2n
const rounded = (sum: bigint): Nano => (sum + HALF) / PARTS
/** Of a sum that no region multiplies: the same, in numbers that are cheaper by half. */
const roundedOnce = (sum: bigint): Nano => (sum + 500_000n) / 1_000_000n

const larger = (a: Nano, b: Nano) => (a > b ? a : b)
const dearest = (a: Rates, b: Rates): Rates => eachBucket(bucket => larger(a[bucket], b[bucket]))

/** The prices in config/prices.json. @throws when it is damaged */
export function shippedPrices(): Price[] {
  return compiled(readShipped())
}

/** The prices an operator set, by gw or by hand; what cannot be read of a row is left out (`gw price lint` names it). */
export async function operatorPrices(db: Db): Promise<Price[]> {
  return compiled((await operatorRows(db)).rows)
}

/** Rows without an input or an output rate are no prices. */
export function compiled(rows: readonly PriceRow[]): Price[] {
  return rows.flatMap(row => compile(row) ?? [])
}
