// The response object, and the small things that go into it.

import type { Asked } from '../middle/codec.ts'
import type { Tokens, Why } from '../middle/form.ts'
import { wordOf } from '../middle/read.ts'
import { inclusive } from '../openai-usage.ts'
import type { Fields } from './raw.ts'

/** Why an answer is not all that it could have been. */
export const incomplete: Partial<Record<Why, string>> = {
  length: 'max_output_tokens',
  contextFull: 'max_output_tokens',
  safety: 'content_filter',
}

/** What is said of an answer as a whole. */
export interface Said extends Fields {
  id: string
  model: string
  status: string
  output: readonly Fields[]
  usage: Tokens | undefined
}

/** With all fields that typed clients read, of which hardly one looks whether it is there. */
export function responseOf({ ask, created }: Asked, { id, model, status, output, usage, ...more }: Said): Fields {
  const { thinking, sampling, limits, parallel, tier } = ask
  return {
    id,
    object: 'response',
    created_at: created,
    status,
    background: false,
    error: null,
    incomplete_details: null,
    instructions: null,
    max_output_tokens: limits.maxTokens ?? null,
    model,
    output,
    parallel_tool_calls: parallel ?? true,
    previous_response_id: null,
    reasoning: { effort: thinking?.effort ?? null, summary: thinking?.show === 'summary' ? 'auto' : null },
    service_tier: usage?.tier ?? tier ?? 'default',
    store: false,
    temperature: sampling.temperature ?? null,
    text: { format: { type: 'text' } },
    tool_choice: typeof ask.choice === 'string' ? ask.choice : 'required',
    tools: [],
    top_p: sampling.topP ?? null,
    truncation: 'disabled',
    usage: usage ? usageOf(usage) : null,
    user: null,
    metadata: {},
    ...more,
  }
}

function usageOf(tokens: Tokens): Fields {
  const { prompt, read, written } = inclusive(tokens)
  return {
    input_tokens: prompt,
    input_tokens_details: { cached_tokens: read, cache_write_tokens: written },
    output_tokens: tokens.output,
    output_tokens_details: { reasoning_tokens: tokens.thinking ?? 0 },
    total_tokens: prompt + tokens.output,
  }
}

export function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** What was searched for. */
export function queryIn(input: string): string {
  try {
    return wordOf((JSON.parse(input) as { query?: unknown }).query)
  } catch {
    return ''
  }
}
