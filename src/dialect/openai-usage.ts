// How both dialects of OpenAI count: one number for the whole prompt, whose cached parts are told beside it.
import { type BodyMeter, bucket, count, isWrong, type StreamMeter } from './meter.ts'

/** The parts of `prompt_tokens` or `input_tokens` that were read from the cache or written to it. */
export interface Details {
  cached_tokens?: unknown
  cache_write_tokens?: unknown
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
  const written = count(details?.cache_write_tokens) || usage.cacheWrite5m
  const said = count(prompt)
  const total = said || usage.input + usage.cacheRead + usage.cacheWrite5m
  usage.input = bucket(total - read - written)
  usage.cacheRead = bucket(read)
  // How long it is kept is another price with Anthropic; here it is one, whatever `cache_write_tokens_details` says.
  usage.cacheWrite5m = bucket(written)
  const answer = count(output)
  if (answer !== undefined) usage.output = bucket(answer)
  const wrong = isWrong(prompt) || isWrong(details?.cached_tokens) || isWrong(details?.cache_write_tokens)
  if (said !== undefined) meter.says('prompt')
  if (wrong || said !== undefined) meter.doubts('prompt', wrong)
  if (answer !== undefined) meter.says('output')
  if (answer !== undefined || isWrong(output)) meter.doubts('output', isWrong(output))
}
