// How both dialects of OpenAI count: one number for the whole prompt, whose cached parts are told beside it.
import { type BodyMeter, bucket, count, isWrong, type StreamMeter } from './meter.ts'
import type { Tokens } from './middle/form.ts'
import { cacheWrites, noUsage, type Usage } from './usage.ts'

/** The parts of `prompt_tokens` or `input_tokens` that were read from the cache or written to it. */
export interface Details {
  cached_tokens?: unknown
  cache_write_tokens?: unknown
  /** the same by how long it is kept; the whole is 30 minutes where it is not told (openai 7.59, `prompt_cache_options.ttl`) */
  cache_write_tokens_details?: { ttl_30m_tokens?: unknown; ttl_12h_tokens?: unknown } | null | undefined
}

/** Fields of an error that may say its type: the code is the finer word, where there is one. */
export const errorKinds = ['code', 'type'] as const

/**
 * Takes counts of which the last ones are true. What is missing takes nothing back, and neither does a 0 of the prompt:
 * servers exist that count only their output by the end.
 */
export function takeInclusive(
  meter: StreamMeter | BodyMeter,
  prompt: unknown,
  details: Details | null | undefined,
  output: unknown,
): void {
  const { short, long } = countInclusive(meter.usage, prompt, details, output)
  meter.lifetimesTold ||= short !== undefined || long !== undefined
  const split = details?.cache_write_tokens_details
  const wrong = [
    prompt,
    details?.cached_tokens,
    details?.cache_write_tokens,
    split?.ttl_30m_tokens,
    split?.ttl_12h_tokens,
  ].some(isWrong)
  const said = count(prompt) !== undefined
  const answered = count(output) !== undefined
  if (said) meter.says('prompt')
  if (wrong || said) meter.doubts('prompt', wrong)
  if (answered) meter.says('output')
  if (answered || isWrong(output)) meter.doubts('output', isWrong(output))
}

function countInclusive(usage: Usage, prompt: unknown, details: Details | null | undefined, output: unknown) {
  const read = count(details?.cached_tokens) || usage.cacheRead
  const split = details?.cache_write_tokens_details
  const [short, long] = [count(split?.ttl_30m_tokens), count(split?.ttl_12h_tokens)]
  // Where total and split disagree the larger is true: a missing split must not make a write free.
  const written = Math.max(count(details?.cache_write_tokens) ?? 0, (short ?? 0) + (long ?? 0)) || cacheWrites(usage)
  const kept = Math.min(long ?? usage.cacheWrite12h, written)
  const total = count(prompt) || usage.input + usage.cacheRead + cacheWrites(usage)
  usage.input = bucket(total - read - written)
  usage.cacheRead = bucket(read)
  usage.cacheWrite12h = bucket(kept)
  usage.cacheWrite30m = bucket(written - kept)
  const answer = count(output)
  if (answer !== undefined) usage.output = bucket(answer)
  return { short, long }
}

/** The same counts as a translation tells them; one for each answer, since what is missing takes nothing back. */
export class InclusiveTokens {
  readonly #usage = noUsage()
  #thinking: number | undefined

  take(prompt: unknown, details: Details | null | undefined, output: unknown, thinking: unknown): Tokens {
    const usage = this.#usage
    countInclusive(usage, prompt, details, output)
    this.#thinking = count(thinking) ?? this.#thinking
    const cacheWrite: Tokens['cacheWrite'] = {}
    if (usage.cacheWrite30m > 0) cacheWrite['30m'] = usage.cacheWrite30m
    if (usage.cacheWrite12h > 0) cacheWrite['12h'] = usage.cacheWrite12h
    const { input, output: said, cacheRead } = usage
    return {
      input,
      output: said,
      cacheRead,
      cacheWrite,
      ...(this.#thinking === undefined ? {} : { thinking: bucket(this.#thinking) }),
    }
  }
}

/** Counts as OpenAI writes them: the whole prompt, and of that what was read from the cache and written to it. */
export function inclusive({ input, cacheRead, cacheWrite }: Tokens): { prompt: number; read: number; written: number } {
  const written = Object.values(cacheWrite).reduce((sum, tokens) => sum + tokens, 0)
  return { prompt: input + cacheRead + written, read: cacheRead, written }
}
