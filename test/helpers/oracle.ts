// What a request should have cost, reckoned from the provider's own record and the text of config/prices.json alone.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { Usage } from '../../src/mock/step.ts'

const lifetimes = ['cache_write_5m', 'cache_write_30m', 'cache_write_1h', 'cache_write_12h'] as const
const buckets = ['input', 'output', ...lifetimes, 'cache_read'] as const
type Bucket = (typeof buckets)[number]
/** nano-USD per million tokens */
type Rates = Record<Bucket, bigint>
type Written = Partial<Record<Bucket, string | null>>
interface Row extends Written {
  model: string
  tier?: Written & { above: number }
  modes?: Record<string, Written> & { [mode: `${string}_multiplier`]: string }
  geo?: Record<string, string>
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

/** A lifetime without a rate costs as the next longer one that has one, else as the next shorter one, else as input. */
function rateOf(written: Written, bucket: Bucket): string | null | undefined {
  const nth = lifetimes.indexOf(bucket as (typeof lifetimes)[number])
  if (nth === -1) return written[bucket]
  const inOrder = [...lifetimes.slice(nth), ...lifetimes.slice(0, nth).toReversed()]
  return inOrder.map(one => written[one]).find(rate => rate != null)
}

function base(row: Row): Rates {
  const rate = (bucket: Bucket) => nano(rateOf(row, bucket) ?? row.input!)
  return Object.fromEntries(buckets.map(bucket => [bucket, rate(bucket)])) as Rates
}

/** A rate that is not named stands to the base rate as `input` does to the base `input`. */
function instead(row: Row, written: Written): Rates {
  const plain = base(row)
  const rate = (bucket: Bucket) => {
    // What the base names stands to it; what neither names follows what the part does.
    const said = written[bucket] ?? (row[bucket] == null ? rateOf(written, bucket) : null)
    return said == null ? (plain[bucket] * nano(written.input!)) / plain.input : nano(said)
  }
  return Object.fromEntries(buckets.map(bucket => [bucket, rate(bucket)])) as Rates
}

function ratesOf(row: Row, prompt: number, mode: string): Rates {
  if (row.tier && prompt > row.tier.above) return instead(row, row.tier)
  const written = row.modes?.[mode]
  if (written) return instead(row, written)
  const multiplier = row.modes?.[`${mode}_multiplier`]
  if (multiplier) {
    const times = nano(multiplier)
    return Object.fromEntries(
      Object.entries(base(row)).map(([bucket, rate]) => [bucket, (rate * times) / 10n ** 9n]),
    ) as Rates
  }
  return base(row)
}

type Tokens = Record<Bucket, number>

/** The tokens of a whole answer, or of each of its calls; null stands for the model that was asked for. */
function callsOf(usage: Usage): [model: string | null, Tokens][] {
  if (!usage.iterations)
    return [
      [
        null,
        {
          input: usage.input_tokens,
          output: usage.output_tokens,
          cache_write_5m: usage.ephemeral_5m_input_tokens,
          cache_write_30m: usage.ttl_30m_tokens,
          cache_write_1h: usage.ephemeral_1h_input_tokens,
          cache_write_12h: usage.ttl_12h_tokens,
          cache_read: usage.cache_read_input_tokens,
        },
      ],
    ]
  return usage.iterations.map(one => {
    const hour = one.cache_creation?.ephemeral_1h_input_tokens ?? 0
    const tokens = {
      input: one.input_tokens ?? 0,
      output: one.output_tokens ?? 0,
      cache_write_5m: (one.cache_creation_input_tokens ?? 0) - hour,
      cache_write_30m: 0,
      cache_write_1h: hour,
      cache_write_12h: 0,
      cache_read: one.cache_read_input_tokens ?? 0,
    }
    return [one.model ?? null, tokens]
  })
}

/** All tokens of an answer: input, output, writes by their lifetime, reads. */
export function tokensOf(usage: Usage): number[] {
  return buckets.map(bucket => callsOf(usage).reduce((sum, [, tokens]) => sum + tokens[bucket], 0))
}

/** List cost in nano-USD, rounded once, half up. */
export function costOf(model: string, usage: Usage): bigint {
  let sum = 0n
  for (const [other, tokens] of callsOf(usage)) {
    const row = rowOf(other ?? model)
    const prompt = lifetimes.reduce((sum, bucket) => sum + tokens[bucket], tokens.input + tokens.cache_read)
    const rates = ratesOf(row, prompt, usage.service_tier)
    const times = nano(row.geo?.[usage.inference_geo ?? ''] ?? '1')
    for (const bucket of buckets) sum += BigInt(tokens[bucket]) * rates[bucket] * times
  }
  const searches = BigInt(usage.web_search_requests) * nano(rowOf(model).web_search ?? '0')
  return (sum * 2n + 10n ** 15n) / (2n * 10n ** 15n) + searches
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
