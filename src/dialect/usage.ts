// What a request used, in disjoint buckets whatever the dialect (spec/wire.md §4).

/** Token counts, every token in exactly one bucket, and what else an upstream bills by. */
export interface Usage {
  input: number
  output: number
  cacheWrite5m: number
  cacheWrite1h: number
  cacheRead: number
  /** searches of the web that a tool on the upstream's side made; billed each */
  webSearches: number
  /** the vendor's word for a service mode with rates of its own (`priority`, `flex`, `fast` …); '' is the standard one */
  mode: string
}

export function noUsage(): Usage {
  return { input: 0, output: 0, cacheWrite5m: 0, cacheWrite1h: 0, cacheRead: 0, webSearches: 0, mode: '' }
}

/** Tokens of the prompt: what a long-context price tier looks at. */
export function promptTokens(usage: Usage): number {
  return usage.input + usage.cacheRead + usage.cacheWrite5m + usage.cacheWrite1h
}
