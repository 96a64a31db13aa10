// How OpenAI writes the tokens of a reply down: all of the prompt in one count, its parts beside it.
import type { Speech } from '../speech.ts'
import type { Usage } from '../step.ts'
import { promptOf } from '../usage.ts'

/** The usage as these dialects can say it: writes to the cache that are not said to be kept for 12 hours are kept for half of one. */
export function sayable(usage: Usage): Usage {
  const { cache_creation_input_tokens: total, ttl_12h_tokens: day } = usage
  return { ...usage, ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0, ttl_30m_tokens: total - day }
}

/** The usage object; the counts' names begin with `prompt` and `completion`, or `input` and `output`. */
export function written({ usage, thoughts }: Speech, before: string, after: string): Record<string, unknown> {
  const prompt = promptOf(usage)
  const { cache_read_input_tokens: cached_tokens, cache_creation_input_tokens: cache_write_tokens } = usage
  const { ttl_30m_tokens, ttl_12h_tokens } = usage
  // The split comes with the kind that is asked for; where it is left out, all are of the documented default.
  const split = ttl_12h_tokens > 0 && { cache_write_tokens_details: { ttl_30m_tokens, ttl_12h_tokens } }
  return {
    [`${before}_tokens`]: prompt,
    [`${before}_tokens_details`]: { cached_tokens, cache_write_tokens, ...split },
    [`${after}_tokens`]: usage.output_tokens,
    [`${after}_tokens_details`]: { reasoning_tokens: thoughts },
    total_tokens: prompt + usage.output_tokens,
  }
}
