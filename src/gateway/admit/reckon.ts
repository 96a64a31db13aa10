// What a request used: what its upstream told and can be believed, and in place of the rest what its bytes amount to.
import type { Meter, Peek } from '../../dialect/dialect.ts'
import {
  noTokens,
  noUsage,
  type Part,
  promptBuckets,
  promptTokens,
  type Tokens,
  type Usage,
} from '../../dialect/usage.ts'

/** The most that a request may use, by what it asks for. */
export interface Most {
  input: number
  output: number
  searches: number
}

/** More than any model reads or writes: a count above it counts something else. */
export const MOST_TOKENS = 10_000_000
// As many as nobody makes for one answer.
const MOST_SEARCHES = 1000
// Of a token, in text that is not known (spec/wire.md §1.5).
const BYTES = 4

/** Whether a usage can be billed as it was told. */
export function isPlain(meter: Meter): boolean {
  return meter.told && isPossible(meter.usage)
}

/**
 * The usage of a request, of which the meter was not told all: a prompt or an answer that was not told is reckoned from its bytes,
 * never less than what was told of it, and what is impossible is taken for the most that the request asked for.
 */
export function reckoned(meter: Meter | undefined, peek: Peek, most: Most): Usage {
  const usage = meter ? { ...meter.usage } : noUsage()
  if (promptTokens(usage) > MOST_TOKENS) {
    for (const bucket of promptBuckets) if (usage[bucket] > MOST_TOKENS) usage[bucket] = 0
    raisePrompt(usage, most.input)
  } else if (!meter?.promptTold) raisePrompt(usage, Math.ceil(peek.promptBytes / BYTES))
  if (usage.output > MOST_TOKENS) usage.output = most.output
  else if (meter && !meter.outputTold)
    usage.output = Math.max(usage.output, Math.min(Math.ceil(meter.emitted / BYTES), most.output))
  if (usage.webSearches > MOST_SEARCHES) usage.webSearches = most.searches
  if (usage.parts && !usage.parts.every(isPossibleOf))
    usage.parts = usage.parts.map(part => (isPossibleOf(part) ? part : { ...part, ...mostOf(part, most) }))
  return usage
}

/** A call that counts what no model has asked for no more than the request did. */
function mostOf(part: Part, most: Most): Tokens {
  const output = part.output > MOST_TOKENS ? most.output : part.output
  return promptTokens(part) > MOST_TOKENS ? { ...noTokens(), input: most.input, output } : { ...part, output }
}

function isPossible(usage: Usage): boolean {
  return isPossibleOf(usage) && usage.webSearches <= MOST_SEARCHES && (usage.parts?.every(isPossibleOf) ?? true)
}

const isPossibleOf = (tokens: Tokens) => promptTokens(tokens) <= MOST_TOKENS && tokens.output <= MOST_TOKENS

/** What of the prompt is in no bucket was not cached, as far as anybody knows. */
function raisePrompt(usage: Usage, tokens: number): void {
  usage.input += Math.max(0, tokens - promptTokens(usage))
}
