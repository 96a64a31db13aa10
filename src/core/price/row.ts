// A price as somebody wrote it, where what is not named is null, and as requests are billed by it: compiling fills in the rest.
import { mulDiv, type Nano } from '../../lib/money.ts'

/** Nano-USD per million tokens of each bucket. */
export interface Rates {
  input: Nano
  output: Nano
  /** of what is kept in the vendor's cache so long */
  cacheWrite5m: Nano
  cacheWrite30m: Nano
  cacheWrite1h: Nano
  cacheWrite12h: Nano
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
  cacheWrite30m: 'cache_write_30m',
  cacheWrite1h: 'cache_write_1h',
  cacheWrite12h: 'cache_write_12h',
  cacheRead: 'cache_read',
} as const satisfies Record<keyof Rates, string>
export type Bucket = keyof Rates
export const bucketNames = Object.keys(buckets) as Bucket[]
/** Those of writes into a cache, the shortest lifetime first. */
export const writeBuckets = ['cacheWrite5m', 'cacheWrite30m', 'cacheWrite1h', 'cacheWrite12h'] as const

type Write = (typeof writeBuckets)[number]

/** How long vendors that are known keep what is written into their cache; of others any may be. */
export const soldWrites: Readonly<Record<string, readonly Write[]>> = {
  anthropic: ['cacheWrite5m', 'cacheWrite1h'],
  openai: ['cacheWrite30m', 'cacheWrite12h'],
  google: [],
  antigravity: [],
  deepseek: [],
}
const leadingWrites: readonly Write[] = ['cacheWrite5m', 'cacheWrite1h', 'cacheWrite30m', 'cacheWrite12h']

/** Writes in the order in which one speaks for all that have its rate: those that the vendor sells come first. */
export function writesOf(vendor: string | null): Write[] {
  return [...new Set([...(soldWrites[vendor ?? ''] ?? []), ...leadingWrites])]
}

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

// Rows are replaced, never changed, and a list is measured against the same ones several times.
const known = new WeakMap<PriceRow, Price | undefined>()

/** The price that a row says, or undefined when it lacks the input or the output rate. */
export function compile(row: PriceRow): Price | undefined {
  if (!known.has(row)) known.set(row, made(row))
  return known.get(row)
}

function made(row: PriceRow): Price | undefined {
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

function complete(written: Written): Rates | undefined {
  const { input, output, cacheRead } = written
  if (input === null || output === null) return undefined
  return { input, output, ...filled(written, input), cacheRead: cacheRead ?? input }
}

/** The rates of a tier or a mode: what it does not name stands to the base as its input does. */
function derive(part: Written, written: Written, base: Rates): Rates {
  const input = part.input ?? base.input
  const scaled = (rate: Nano) => (base.input === 0n ? rate : mulDiv(rate, input, base.input))
  const own = (bucket: Bucket) => part[bucket] ?? (written[bucket] === null ? null : scaled(base[bucket]))
  return {
    input,
    output: part.output ?? scaled(base.output),
    ...filled({ ...part, ...eachWrite(own) }, input),
    cacheRead: part.cacheRead ?? scaled(base.cacheRead),
  }
}

function filled(written: Written, input: Nano): Record<Write, Nano> {
  return eachWrite(bucket => written[standsIn(written, bucket)] ?? input)
}

/**
 * The bucket whose rate a bucket has: itself where it has one that is named. A write is kept as long as the next longer one
 * that has a rate, which is the dearer; else as the next shorter one. A vendor without any price for cache tokens bills them as input.
 */
export function standsIn(written: Written, bucket: Bucket): Bucket {
  if (written[bucket] !== null || bucket === 'output') return bucket
  const nth = (writeBuckets as readonly Bucket[]).indexOf(bucket)
  if (nth === -1) return 'input'
  const named = (one: Bucket) => written[one] !== null
  return writeBuckets.slice(nth).find(named) ?? writeBuckets.slice(0, nth).findLast(named) ?? 'input'
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
    ...eachWrite(value),
    cacheRead: value('cacheRead'),
  }
}

function eachWrite<T>(value: (bucket: Bucket) => T): Record<Write, T> {
  return {
    cacheWrite5m: value('cacheWrite5m'),
    cacheWrite30m: value('cacheWrite30m'),
    cacheWrite1h: value('cacheWrite1h'),
    cacheWrite12h: value('cacheWrite12h'),
  }
}
