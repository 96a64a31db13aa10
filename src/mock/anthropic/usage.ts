// Tokens in Anthropic Messages: what a reply reports, and how it is written down.
import { noUsage } from '../stats.ts'
import type { Step, Usage } from '../step.ts'

/** The tokens of a reply, complete: what a bill must say. */
export function usageOf({ usage = {} }: Step, requestBytes: number, answerBytes: number): Usage {
  const { ephemeral_5m_input_tokens: short, ephemeral_1h_input_tokens: long } = usage
  const total = usage.cache_creation_input_tokens ?? (short ?? 0) + (long ?? 0)
  return {
    ...noUsage,
    input_tokens: Math.ceil(requestBytes / 4),
    output_tokens: Math.max(1, Math.ceil(answerBytes / 4)),
    ...usage,
    cache_creation_input_tokens: total,
    // Writes whose kind is not told are the short ones.
    ephemeral_5m_input_tokens: short ?? total - (long ?? 0),
  }
}

/** The usage object of a body, and of `message_start` when `output_tokens` is the first count. */
export function written(usage: Usage, { usage: scripted = {} }: Step): Record<string, unknown> {
  const { ephemeral_5m_input_tokens, ephemeral_1h_input_tokens, ...totals } = usage
  const split = { cache_creation: { ephemeral_5m_input_tokens, ephemeral_1h_input_tokens } }
  const untold =
    scripted.cache_creation_input_tokens !== undefined &&
    scripted.ephemeral_5m_input_tokens === undefined &&
    scripted.ephemeral_1h_input_tokens === undefined
  return { ...totals, ...(!untold && split), service_tier: 'standard' }
}

/** The usage object of `message_delta`: cumulative, without the split. */
export function cumulative(usage: Usage): Record<string, number> {
  const { input_tokens, output_tokens, cache_creation_input_tokens, cache_read_input_tokens } = usage
  return { input_tokens, cache_creation_input_tokens, cache_read_input_tokens, output_tokens }
}
