// What a request should have cost, reckoned from the provider's own record and the text of config/prices.json alone.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { Usage } from '../../src/mock/step.ts'

const buckets = ['input', 'output', 'cache_write_5m', 'cache_write_1h', 'cache_read'] as const
type Bucket = (typeof buckets)[number]
/** nano-USD per million tokens */
type Rates = Record<Bucket, bigint>
type Written = Partial<Record<Bucket, string | null>>
interface Row extends Written {
  model: string
  tier?: Written & { above: number }
  modes?: Record<string, Written> & { fast_multiplier?: string }
  web_search?: string
}

const file = path.join(import.meta.dirname, '../../config/prices.json')
const rows = (JSON.parse(readFileSync(file, 'utf8')) as { prices: Row[] }).prices

/** A decimal of USD in nano-USD. */
export function nano(usd: string): bigint {
  const [whole = '0', places = ''] = usd.split('.')
  return BigInt(whole + places.padEnd(9, '0'))
}

function rowOf(model: string): Row {
  const row = rows.find(({ model: name }) => name === model.replace(/-\d{8}$/, ''))
  if (!row) throw new Error(`config/prices.json has no ${model}`)
  return row
}

function base(row: Row): Rates {
  const rate = (bucket: Bucket) => nano(row[bucket] ?? row.input!)
  return Object.fromEntries(buckets.map(bucket => [bucket, rate(bucket)])) as Rates
}

/** A rate that is not named stands to the base rate as `input` does to the base `input`. */
function instead(row: Row, written: Written): Rates {
  const plain = base(row)
  const rate = (bucket: Bucket) => {
    const said = written[bucket]
    return said == null ? (plain[bucket] * nano(written.input!)) / plain.input : nano(said)
  }
  return Object.fromEntries(buckets.map(bucket => [bucket, rate(bucket)])) as Rates
}

function ratesOf(row: Row, prompt: number, mode: string): Rates {
  if (row.tier && prompt > row.tier.above) return instead(row, row.tier)
  if (mode === 'fast' && row.modes?.fast) return instead(row, row.modes.fast)
  if (mode === 'fast' && row.modes?.fast_multiplier) {
    const times = nano(row.modes.fast_multiplier)
    return Object.fromEntries(
      Object.entries(base(row)).map(([bucket, rate]) => [bucket, (rate * times) / 10n ** 9n]),
    ) as Rates
  }
  return base(row)
}

/** List cost in nano-USD, rounded once, half up. */
export function costOf(model: string, usage: Usage): bigint {
  const row = rowOf(model)
  const tokens: Record<Bucket, number> = {
    input: usage.input_tokens,
    output: usage.output_tokens,
    cache_write_5m: usage.ephemeral_5m_input_tokens,
    cache_write_1h: usage.ephemeral_1h_input_tokens,
    cache_read: usage.cache_read_input_tokens,
  }
  const prompt = tokens.input + tokens.cache_write_5m + tokens.cache_write_1h + tokens.cache_read
  const rates = ratesOf(row, prompt, usage.service_tier)
  const sum = buckets.reduce((total, bucket) => total + BigInt(tokens[bucket]) * rates[bucket], 0n)
  return (sum * 2n + 10n ** 6n) / (2n * 10n ** 6n) + BigInt(usage.web_search_requests) * nano(row.web_search ?? '0')
}

/** What is taken for a cost under a group's multiplier. */
export function chargedOf(cost: bigint, multiplier: string): bigint {
  return (cost * nano(multiplier) * 2n + 10n ** 9n) / (2n * 10n ** 9n)
}

/** What a request for a body of plain text may cost at most: every two bytes a token in the dearest bucket. */
export function worstOf(body: { model: string; max_tokens: number }, multiplier = '1'): bigint {
  const row = rowOf(body.model)
  const rates = base(row)
  const dearest = [rates.input, rates.cache_write_5m, rates.cache_read].reduce((a, b) => (a > b ? a : b))
  const tokens = BigInt(Math.ceil(Buffer.byteLength(JSON.stringify(body)) / 2))
  return chargedOf((tokens * dearest + BigInt(body.max_tokens) * rates.output) / 10n ** 6n, multiplier)
}
