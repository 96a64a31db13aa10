// What a request used, in disjoint buckets whatever the dialect (spec/wire.md §4).

/** Token counts; every token is in exactly one bucket. */
export interface Usage {
  input: number
  output: number
  cacheWrite5m: number
  cacheWrite1h: number
  cacheRead: number
}

export function noUsage(): Usage {
  return { input: 0, output: 0, cacheWrite5m: 0, cacheWrite1h: 0, cacheRead: 0 }
}

/** Tokens of the prompt: what a long-context price tier looks at. */
export function promptTokens(usage: Usage): number {
  return usage.input + usage.cacheRead + usage.cacheWrite5m + usage.cacheWrite1h
}
