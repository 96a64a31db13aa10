// How Anthropic Messages writes the tokens of a reply down.
import type { Step, Usage } from '../step.ts'

/** The usage as this dialect can say it: what others keep half an hour it keeps 5 minutes, and 12 hours one. */
export function sayable(usage: Usage): Usage {
  const { ttl_30m_tokens: half, ttl_12h_tokens: day } = usage
  if (half + day === 0) return usage
  return {
    ...usage,
    ephemeral_5m_input_tokens: usage.ephemeral_5m_input_tokens + half,
    ephemeral_1h_input_tokens: usage.ephemeral_1h_input_tokens + day,
    ttl_30m_tokens: 0,
    ttl_12h_tokens: 0,
  }
}

/** The usage object of a body, and of `message_start` when `output_tokens` is the first count. */
export function written(usage: Usage, { usage: scripted = {} }: Step): Record<string, unknown> {
  const { ephemeral_5m_input_tokens, ephemeral_1h_input_tokens, web_search_requests, service_tier, ...others } = usage
  const { ttl_30m_tokens: _, ttl_12h_tokens: __, ...totals } = others
  const split = { cache_creation: { ephemeral_5m_input_tokens, ephemeral_1h_input_tokens } }
  const untold =
    scripted.cache_creation_input_tokens !== undefined &&
    scripted.ephemeral_5m_input_tokens === undefined &&
    scripted.ephemeral_1h_input_tokens === undefined
  const fast = service_tier === 'fast'
  return {
    ...totals,
    ...(!untold && split),
    ...searched(usage),
    service_tier: fast ? 'standard' : service_tier || 'standard',
    ...(fast && { speed: 'fast' }),
  }
}

/** The usage object of `message_delta`: cumulative, without the split. */
export function cumulative(usage: Usage): Record<string, unknown> {
  const { input_tokens, output_tokens, cache_creation_input_tokens, cache_read_input_tokens } = usage
  const side = { input_tokens, cache_creation_input_tokens, cache_read_input_tokens }
  return { ...side, output_tokens, ...searched(usage), ...(usage.iterations && { iterations: usage.iterations }) }
}

function searched({ web_search_requests }: Usage) {
  return web_search_requests > 0 && { server_tool_use: { web_search_requests, web_fetch_requests: 0 } }
}
