// Prices: what a model's tokens cost, in layers; what an operator set stands over what gw ships.
import { readFileSync } from 'node:fs'
import type { Db } from '../db/connect.ts'
import { promptTokens, type Usage } from '../protocol/usage.ts'
import { type Nano, parseUsd } from './money.ts'

/** Nano-USD per million tokens of each bucket. */
export interface Rates {
  input: Nano
  output: Nano
  cacheWrite5m: Nano
  cacheWrite1h: Nano
  cacheRead: Nano
}

export interface Price extends Rates {
  model: string
  /** who sells it, when known */
  vendor: string | null
  /** which layer it is from */
  layer: 'operator' | 'shipped'
  /** Unix ms from which it holds */
  from: number
  /** reprices the whole request when its prompt is longer than `above` tokens (exactly equal is still the base row) */
  tier: (Rates & { above: number }) | null
}

/** How a name was found: `exact`, or as a dated release of the model (`-20251001`, `@20251001`, `-latest`). */
export type Match = 'exact' | 'release'

export interface PriceTable {
  /** The price of a model at an instant (Unix ms), or undefined: what to do then is policy, never a silent zero. */
  find(model: string, at: number): { price: Price; match: Match } | undefined
  all(): Price[]
}

// A model and its dated releases cost the same; any other longer name is another model, however alike it looks
// ("gpt-5" is not "gpt-5-mini"), so only these tails may be cut off.
const releaseTail = /[-@](\d{4}-?\d{2}-?\d{2}|latest)$/

/** Compiles rows into a lookup; an operator's rows hide shipped rows of the same model, later rows earlier ones. */
export function priceTable(rows: readonly Price[]): PriceTable {
  const byModel = new Map<string, Price[]>()
  for (const row of rows) {
    const model = row.model.toLowerCase()
    byModel.set(model, [...(byModel.get(model) ?? []), row])
  }
  for (const list of byModel.values())
    list.sort((a, b) => (a.layer === b.layer ? b.from - a.from : a.layer === 'operator' ? -1 : 1))
  const at = (model: string, instant: number) => byModel.get(model)?.find(price => price.from <= instant)
  return {
    find(name, instant) {
      const model = name.toLowerCase().replace(/^(models|publishers\/google\/models)\//, '')
      const exact = at(model, instant)
      if (exact) return { price: exact, match: 'exact' }
      const base = at(model.replace(releaseTail, ''), instant)
      return base && { price: base, match: 'release' }
    },
    all: () => [...byModel.values()].flat().sort((a, b) => a.model.localeCompare(b.model) || b.from - a.from),
  }
}

/** Exact list cost; rounded once, half up, to the nano-USD. */
export function cost(usage: Usage, price: Price): Nano {
  const r = price.tier && promptTokens(usage) > price.tier.above ? price.tier : price
  const sum =
    BigInt(usage.input) * r.input +
    BigInt(usage.output) * r.output +
    BigInt(usage.cacheWrite5m) * r.cacheWrite5m +
    BigInt(usage.cacheWrite1h) * r.cacheWrite1h +
    BigInt(usage.cacheRead) * r.cacheRead
  return (sum + 500_000n) / 1_000_000n
}

interface ShippedRates {
  input: string
  output: string
  cache_write_5m: string | null
  cache_write_1h: string | null
  cache_read: string | null
}
interface ShippedRow extends ShippedRates {
  model: string
  vendor: string
  from: string
  tier?: ShippedRates & { above: number }
}

/** The prices in config/prices.json. */
export function shippedPrices(): Price[] {
  const file = JSON.parse(readFileSync(new URL('../../config/prices.json', import.meta.url), 'utf8')) as {
    prices: ShippedRow[]
  }
  return file.prices.map(row => ({
    model: row.model,
    vendor: row.vendor,
    layer: 'shipped',
    from: Date.parse(row.from),
    ...ratesOf(row, parse),
    tier: row.tier ? { above: row.tier.above, ...ratesOf(row.tier, parse) } : null,
  }))
}

/** The prices an operator set. */
export async function operatorPrices(db: Db): Promise<Price[]> {
  const rows = await db.selectFrom('prices').selectAll().execute()
  return rows.map(row => ({
    model: row.model,
    vendor: null,
    layer: 'operator',
    from: row.effective_from.getTime(),
    ...ratesOf(row, nano => nano),
    tier: row.tier
      ? { above: Number(row.tier['above']), ...ratesOf(row.tier as unknown as RowRates<string>, BigInt) }
      : null,
  }))
}

type RowRates<T> = { input: T; output: T; cache_write_5m?: T | null; cache_write_1h?: T | null; cache_read?: T | null }

// A vendor without a price for cache tokens bills them as input.
function ratesOf<T>(row: RowRates<T>, nano: (value: T) => Nano): Rates {
  const input = nano(row.input)
  const write = row.cache_write_5m == null ? input : nano(row.cache_write_5m)
  return {
    input,
    output: nano(row.output),
    cacheWrite5m: write,
    cacheWrite1h: row.cache_write_1h == null ? write : nano(row.cache_write_1h),
    cacheRead: row.cache_read == null ? input : nano(row.cache_read),
  }
}

function parse(text: string): Nano {
  const nano = parseUsd(text)
  if (nano === undefined) throw new Error(`config/prices.json: "${text}" is not a decimal of at most nine places`)
  return nano
}
