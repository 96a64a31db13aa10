// Tokens of a reply, whatever the dialect that writes them down.
import { noCounts } from './stats.ts'
import type { Step, Usage } from './step.ts'

/** The tokens of a reply, complete: what a bill must say. */
export function usageOf({ usage = {} }: Step, requestBytes: number, answerBytes: number): Usage {
  const { ephemeral_5m_input_tokens: short, ephemeral_1h_input_tokens: long } = usage
  const { ttl_30m_tokens: half = 0, ttl_12h_tokens: day = 0 } = usage
  const total = usage.cache_creation_input_tokens ?? (short ?? 0) + (long ?? 0) + half + day
  return {
    ...noCounts,
    service_tier: '',
    input_tokens: Math.ceil(requestBytes / 4),
    output_tokens: Math.max(1, Math.ceil(answerBytes / 4)),
    ...usage,
    cache_creation_input_tokens: total,
    // Writes whose kind is not told are the short ones.
    ephemeral_5m_input_tokens: short ?? total - (long ?? 0) - half - day,
  }
}

/** All of the prompt in one count, as OpenAI and Gemini write it. */
export function promptOf(usage: Usage): number {
  return usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens
}
