// The tokens of an answer between Anthropic's counts and the middle form.

import { count } from '../meter.ts'
import type { Tokens } from '../middle/form.ts'
import { type Fields, isFields } from '../middle/read.ts'
import { noTokens } from '../usage.ts'
import { takeTokens } from './meter.ts'

/** What was counted so far; each later count overwrites, but for a 0 or nothing of the prompt, which takes nothing back. */
export class Counting {
  readonly #tokens = noTokens()
  #thinking: number | undefined
  #webSearches: number | undefined
  #tier: string | undefined
  #counted = false

  take(usage: unknown): void {
    if (!isFields(usage)) return
    this.#counted = true
    const told = (name: string) => count(usage[name]) || null
    takeTokens(this.#tokens, {
      input_tokens: told('input_tokens'),
      cache_read_input_tokens: told('cache_read_input_tokens'),
      cache_creation_input_tokens: told('cache_creation_input_tokens'),
      output_tokens: usage['output_tokens'],
      cache_creation: splitOf(usage['cache_creation']),
    })
    const { output_tokens_details, server_tool_use, service_tier } = usage
    if (isFields(output_tokens_details))
      this.#thinking = count(output_tokens_details['thinking_tokens']) ?? this.#thinking
    if (isFields(server_tool_use))
      this.#webSearches = count(server_tool_use['web_search_requests']) || this.#webSearches
    if (typeof service_tier === 'string') this.#tier = service_tier
  }

  /** undefined: nothing was counted. */
  get tokens(): Tokens | undefined {
    if (!this.#counted) return undefined
    const { input, output, cacheRead, cacheWrite5m, cacheWrite1h } = this.#tokens
    return {
      input,
      output,
      cacheRead,
      cacheWrite: {
        ...(cacheWrite5m > 0 ? { '5m': cacheWrite5m } : {}),
        ...(cacheWrite1h > 0 ? { '1h': cacheWrite1h } : {}),
      },
      ...(this.#thinking === undefined ? {} : { thinking: this.#thinking }),
      ...(this.#webSearches === undefined ? {} : { webSearches: this.#webSearches }),
      ...(this.#tier === undefined ? {} : { tier: this.#tier }),
    }
  }
}

function splitOf(split: unknown): Fields | null {
  if (!isFields(split)) return null
  const counted = count(split['ephemeral_5m_input_tokens']) || count(split['ephemeral_1h_input_tokens'])
  return counted ? split : null
}

/** All the counts that clients read, with null for what nobody counted; typed ones want each of them. */
export function usageOf(tokens: Tokens): object {
  const { input, output, cacheRead, cacheWrite, thinking, webSearches } = tokens
  const short = (cacheWrite['5m'] ?? 0) + (cacheWrite['30m'] ?? 0) + (cacheWrite.default ?? 0)
  const long = (cacheWrite['1h'] ?? 0) + (cacheWrite['12h'] ?? 0)
  return {
    input_tokens: input,
    cache_creation_input_tokens: short + long,
    cache_read_input_tokens: cacheRead,
    cache_creation: { ephemeral_5m_input_tokens: short, ephemeral_1h_input_tokens: long },
    output_tokens: output,
    output_tokens_details: thinking === undefined ? null : { thinking_tokens: thinking },
    server_tool_use: webSearches === undefined ? null : { web_search_requests: webSearches, web_fetch_requests: 0 },
    service_tier: null,
    inference_geo: null,
    speed: null,
  }
}
