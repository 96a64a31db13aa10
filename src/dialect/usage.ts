// What a request used, in disjoint buckets whatever the dialect (spec/wire.md §4).

/** Token counts, every token in exactly one bucket. */
export interface Tokens {
  input: number
  output: number
  /** written into a cache, by how long it is kept there: each lifetime has a price of its own */
  cacheWrite5m: number
  cacheWrite30m: number
  cacheWrite1h: number
  cacheWrite12h: number
  cacheRead: number
}

/** How long a vendor keeps what is written into its cache: Anthropic 5 minutes or an hour, OpenAI 30 minutes or 12 hours. */
export const lifetimes = ['5m', '30m', '1h', '12h'] as const
export type Lifetime = (typeof lifetimes)[number]

/** The tokens of an answer, and what else an upstream bills by. */
export interface Usage extends Tokens {
  /** searches of the web that a tool on the upstream's side made; billed each */
  webSearches: number
  /** the vendor's word for a service mode with rates of its own (`priority`, `flex`, `fast` …); '' is the standard one */
  mode: string
  /** where it was computed, by the vendor's word, when that has a price of its own (`us`); '' when it has none */
  geo: string
  /** the calls that it took, each with a prompt of its own, when there was more than the one; see `summed` */
  parts?: readonly Part[]
}

/** One of the calls that an answer took on the upstream's side (a compaction, an advisor …). */
export interface Part extends Tokens {
  /** '' for the model that was asked for */
  model: string
  /** whether the counts of the whole answer have it in them */
  counted: boolean
}

export function noTokens(): Tokens {
  return { input: 0, output: 0, cacheWrite5m: 0, cacheWrite30m: 0, cacheWrite1h: 0, cacheWrite12h: 0, cacheRead: 0 }
}

export function noUsage(): Usage {
  return { ...noTokens(), webSearches: 0, mode: '', geo: '' }
}

/** Tokens of the prompt: what a long-context price tier looks at. */
export function promptTokens(tokens: Tokens): number {
  return tokens.input + tokens.cacheRead + cacheWrites(tokens)
}

/** Tokens written into a cache, however long they are kept. */
export function cacheWrites(tokens: Tokens): number {
  return tokens.cacheWrite5m + tokens.cacheWrite30m + tokens.cacheWrite1h + tokens.cacheWrite12h
}

/** The buckets that make up a prompt. */
export const promptBuckets = [
  'input',
  'cacheRead',
  'cacheWrite5m',
  'cacheWrite30m',
  'cacheWrite1h',
  'cacheWrite12h',
] as const
const buckets = [...promptBuckets, 'output'] as const

/**
 * A usage with parts whose counts are the sums of them. What the answer's own counts have beyond the parts that are in them is a
 * part, too: nothing that was told is free.
 */
export function summed(usage: Usage): Usage {
  const { parts } = usage
  if (!parts) return usage
  const inside = sumOf(parts.filter(part => part.counted))
  const rest: Part = { ...noTokens(), model: '', counted: true, output: Math.max(0, usage.output - inside.output) }
  // How writes are split is not told in each place: what is missing is missing of the prompt as a whole.
  let missing = Math.max(0, promptTokens(usage) - promptTokens(inside))
  for (const bucket of promptBuckets) {
    rest[bucket] = Math.min(missing, Math.max(0, usage[bucket] - inside[bucket]))
    missing -= rest[bucket]
  }
  const all = promptTokens(rest) + rest.output > 0 ? [...parts, rest] : parts
  return { ...usage, ...sumOf(all), parts: all }
}

// The largest count that a database column holds.
const MOST = 2 ** 31 - 1

function sumOf(parts: readonly Tokens[]): Tokens {
  const sum = noTokens()
  for (const part of parts) for (const bucket of buckets) sum[bucket] = Math.min(sum[bucket] + part[bucket], MOST)
  return sum
}
