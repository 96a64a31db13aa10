// Vectors of texts: the same for the same text, of length 1.
import { hash } from 'node:crypto'
import type { Usage } from './step.ts'

/** Eight numbers. */
export function embeddingOf(text: string): number[] {
  const bytes = hash('sha256', text, 'buffer')
  const numbers = Array.from({ length: 8 }, (_, i) => bytes[i]! / 255 - 0.5)
  const length = Math.hypot(...numbers) || 1
  return numbers.map(number => number / length)
}

/** The texts of an input: one, several, or tokens, which count as the text of their numbers. */
export function inputsOf(input: unknown): string[] {
  const list = Array.isArray(input) && !input.every(one => typeof one === 'number') ? input : [input]
  return list.map(one => (typeof one === 'string' ? one : JSON.stringify(one ?? '')))
}

/** A usage of what writes nothing and keeps nothing. */
export function noOutput({ input_tokens, service_tier }: Usage): Usage {
  const none = { output_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, web_search_requests: 0 }
  const lifetimes = { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0, ttl_30m_tokens: 0, ttl_12h_tokens: 0 }
  return { input_tokens, ...none, ...lifetimes, service_tier }
}
