// A price as somebody wrote it, where what is not named is null, and as requests are billed by it: compiling fills in the rest.
import { mulDiv, type Nano } from '../../lib/money.ts'

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
  /** rates of a service mode, by the vendor's word; a mode that is not here has no price */
  modes: ReadonlyMap<string, Rates>
  /** how many times its rates tokens cost that are computed in a region, by the vendor's word; in billionths */
  geo: ReadonlyMap<string, Nano>
  /** nano-USD a search of the web; null: unknown, and not billed */
  webSearch: Nano | null
  /** where it was read, when known */
  source: string | null
}

/** The kinds of tokens that are billed apart, and what each is called outside the code. */
export const buckets = {
  input: 'input',
  output: 'output',
  cacheWrite5m: 'cache_write_5m',
  cacheWrite1h: 'cache_write_1h',
  cacheRead: 'cache_read',
} as const satisfies Record<keyof Rates, string>
export type Bucket = keyof Rates
export const bucketNames = Object.keys(buckets) as Bucket[]

/** Nano-USD per million tokens; null: not named. */
export type Written = Record<Bucket, Nano | null>

export interface PriceRow {
  /** lower case; `name*` stands for every name that begins so */
  model: string
  vendor: string | null
  layer: Price['layer']
  /** Unix ms */
  from: number
  rates: Written
  tier: (Written & { above: number | null }) | null
  modes: ReadonlyMap<string, Written>
  /** multipliers in billionths */
  geo: ReadonlyMap<string, Nano>
  webSearch: Nano | null
  /** where it was read */
  source: string | null
  /** the model writes vectors, not tokens: an output rate of 0 is right */
  embedding: boolean
  /** somebody looked at what lint says of it, and wants it so */
  accepted: boolean
}

/** The price that a row says, or undefined when it lacks the input or the output rate. */
export function compile(row: PriceRow): Price | undefined {
  const { model, vendor, layer, from, geo, webSearch, source } = row
  const rates = complete(row.rates)
  if (rates === undefined) return undefined
  const { tier } = row
  return {
    model,
    vendor,
    layer,
    from,
    ...rates,
    // Without its threshold a tier can be billed to nobody.
    tier: tier === null || tier.above === null ? null : { above: tier.above, ...derive(tier, row.rates, rates) },
    modes: new Map([...row.modes].map(([mode, written]) => [mode, derive(written, row.rates, rates)])),
    geo,
    webSearch,
    source,
  }
}

// A vendor without a price for cache tokens bills them as input.
function complete({ input, output, cacheWrite5m, cacheWrite1h, cacheRead }: Written): Rates | undefined {
  if (input === null || output === null) return undefined
  const write = cacheWrite5m ?? input
  return { input, output, cacheWrite5m: write, cacheWrite1h: cacheWrite1h ?? write, cacheRead: cacheRead ?? input }
}

/** The rates of a tier or a mode: what it does not name stands to the base as its input does. */
function derive(part: Written, written: Written, base: Rates): Rates {
  const input = part.input ?? base.input
  const scaled = (rate: Nano) => (base.input === 0n ? rate : mulDiv(rate, input, base.input))
  const cacheWrite5m = part.cacheWrite5m ?? scaled(base.cacheWrite5m)
  return {
    input,
    output: part.output ?? scaled(base.output),
    cacheWrite5m,
    cacheWrite1h: part.cacheWrite1h ?? (written.cacheWrite1h === null ? cacheWrite5m : scaled(base.cacheWrite1h)),
    cacheRead: part.cacheRead ?? scaled(base.cacheRead),
  }
}

/** All rates × `times`, a multiplier in billionths. */
export function multiply(rates: Written, times: bigint): Written {
  const scaled = (rate: Nano | null) => (rate === null ? null : mulDiv(rate, times, 1_000_000_000n))
  return eachBucket(bucket => scaled(rates[bucket]))
}

/** One value for each bucket. */
export function eachBucket<T>(value: (bucket: Bucket) => T): Record<Bucket, T> {
  return {
    input: value('input'),
    output: value('output'),
    cacheWrite5m: value('cacheWrite5m'),
    cacheWrite1h: value('cacheWrite1h'),
    cacheRead: value('cacheRead'),
  }
}
