// How both dialects of OpenAI count: one number for the whole prompt, whose cached parts are told beside it.
import { type BodyMeter, bucket, count, isWrong, type StreamMeter } from './meter.ts'
import { cacheWrites } from './usage.ts'

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
  const { usage } = meter
  const read = count(details?.cached_tokens) || usage.cacheRead
  const split = details?.cache_write_tokens_details
  const [short, long] = [count(split?.ttl_30m_tokens), count(split?.ttl_12h_tokens)]
  // Where total and split disagree the larger is true: a missing split must not make a write free.
  const written = Math.max(count(details?.cache_write_tokens) ?? 0, (short ?? 0) + (long ?? 0)) || cacheWrites(usage)
  const kept = Math.min(long ?? usage.cacheWrite12h, written)
  const said = count(prompt)
  const total = said || usage.input + usage.cacheRead + cacheWrites(usage)
  usage.input = bucket(total - read - written)
  usage.cacheRead = bucket(read)
  usage.cacheWrite12h = bucket(kept)
  usage.cacheWrite30m = bucket(written - kept)
  meter.lifetimesTold ||= short !== undefined || long !== undefined
  const answer = count(output)
  if (answer !== undefined) usage.output = bucket(answer)
  const wrong = [
    prompt,
    details?.cached_tokens,
    details?.cache_write_tokens,
    split?.ttl_30m_tokens,
    split?.ttl_12h_tokens,
  ].some(isWrong)
  if (said !== undefined) meter.says('prompt')
  if (wrong || said !== undefined) meter.doubts('prompt', wrong)
  if (answer !== undefined) meter.says('output')
  if (answer !== undefined || isWrong(output)) meter.doubts('output', isWrong(output))
}
