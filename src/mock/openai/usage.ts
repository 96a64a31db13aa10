// How OpenAI writes the tokens of a reply down: all of the prompt in one count, its parts beside it.
import type { Speech } from '../speech.ts'
import type { Usage } from '../step.ts'
import { promptOf } from '../usage.ts'

/** The usage as these dialects can say it: writes to the cache are of one kind. */
export function sayable(usage: Usage): Usage {
  return { ...usage, ephemeral_5m_input_tokens: usage.cache_creation_input_tokens, ephemeral_1h_input_tokens: 0 }
}

/** The usage object; the counts' names begin with `prompt` and `completion`, or `input` and `output`. */
export function written({ usage, thoughts }: Speech, before: string, after: string): Record<string, unknown> {
  const prompt = promptOf(usage)
  const { cache_read_input_tokens: cached_tokens, cache_creation_input_tokens: cache_write_tokens } = usage
  return {
    [`${before}_tokens`]: prompt,
    [`${before}_tokens_details`]: { cached_tokens, cache_write_tokens },
    [`${after}_tokens`]: usage.output_tokens,
    [`${after}_tokens_details`]: { reasoning_tokens: thoughts },
    total_tokens: prompt + usage.output_tokens,
  }
}
