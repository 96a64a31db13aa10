// What only the Chat Completions dialect has, as text under its own names, and its breakpoints of the cache.
import { asJson, raw } from '../json/exact.ts'
import type { Ext, Json, Ttl } from '../middle/form.ts'
import { type Fields, isFields, wordOf, words } from '../middle/read.ts'

/** Members that stay the text they are: schemas, and what clients write as an object where a string belongs. */
export const kept: ReadonlySet<string> = new Set(['parameters', 'schema', 'arguments'])

/** What no word of the form says, under its own names; what is null or empty says nothing. */
export function extOf(fields: Fields): { ext?: Ext } {
  const said = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null && !isEmpty(value))
  if (said.length === 0) return {}
  return { ext: { chat: Object.fromEntries(said.map(([name, value]) => [name, exact(value, name)])) } }
}

const isEmpty = (value: unknown) => Array.isArray(value) && value.length === 0

/** A value as JSON text, with what was kept as text in its place. */
export function exact(value: unknown, name = ''): Json {
  return asJson(restored(name, value))
}

function restored(name: string, value: unknown): unknown {
  if (typeof value === 'string' && kept.has(name)) return raw(value)
  if (Array.isArray(value)) return value.map(one => restored('', one))
  if (!isFields(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, restored(key, one)]))
}

const lifetimes = words<Ttl>({ '5m': '5m', '30m': '30m', '1h': '1h', '12h': '12h' })

/** A breakpoint of the cache, in OpenAI's words or, as several clients write it, in Anthropic's. */
export function cacheOf({ prompt_cache_breakpoint, cache_control }: Fields): { cache?: Ttl } {
  const said = isFields(prompt_cache_breakpoint) ? prompt_cache_breakpoint : cache_control
  return isFields(said) ? { cache: lifetimes[wordOf(said['ttl'])] ?? 'default' } : {}
}
