// Prices: which one answers for a model's name at an instant, and what usage costs at it.
import type { Db } from '../../db/connect.ts'
import { promptTokens, type Usage } from '../../dialect/usage.ts'
import type { Nano } from '../../lib/money.ts'
import { readShipped } from './file.ts'
import { operatorRows } from './operator.ts'
import { compile, eachBucket, type Price, type PriceRow, type Rates } from './row.ts'

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

/** Exact list cost: of tokens, rounded once, half up, to the nano-USD; and of web searches. */
export function cost(usage: Usage, price: Price): Nano {
  const tier = price.tier && promptTokens(usage) > price.tier.above ? price.tier : undefined
  const mode = price.modes.get(usage.mode)
  // No vendor says how the two combine; each bucket at the dearer of both is what we would be billed at most.
  const rates = tier && mode ? dearest(tier, mode) : (tier ?? mode ?? price)
  return ofTokens(usage, rates) + BigInt(usage.webSearches) * (price.webSearch ?? 0n)
}

export interface Request {
  /** at most so many, of all kinds together */
  inputTokens: number
  outputTokens: number
  /** the service mode that was asked for; absent: the standard one */
  mode?: string | undefined
  /**
   * what the prompt may write into a cache: nothing, for 5 minutes, or for an hour too. A vendor that caches unasked
   * (OpenAI from gpt-5.6 on) writes `5m`.
   */
  cacheWrites: 'none' | '5m' | '1h'
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
  const written = cacheWrites === 'none' ? 0n : rates.cacheWrite5m
  const kept = cacheWrites === '1h' ? rates.cacheWrite1h : 0n
  const input = [rates.input, rates.cacheRead, written, kept].reduce(larger)
  const tokens = { input: inputTokens, output: outputTokens, cacheWrite5m: 0, cacheWrite1h: 0, cacheRead: 0 }
  return ofTokens(tokens, { ...rates, input }) + BigInt(request.webSearches ?? 0) * (price.webSearch ?? 0n)
}

function ofTokens(usage: Pick<Usage, keyof Rates>, rates: Rates): Nano {
  const sum =
    BigInt(usage.input) * rates.input +
    BigInt(usage.output) * rates.output +
    BigInt(usage.cacheWrite5m) * rates.cacheWrite5m +
    BigInt(usage.cacheWrite1h) * rates.cacheWrite1h +
    BigInt(usage.cacheRead) * rates.cacheRead
  return (sum + 500_000n) / 1_000_000n
}

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
