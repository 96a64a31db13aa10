// What only the Messages dialect has, as text under its own names, and its breakpoints of the cache.
import { asJson, raw } from '../json/exact.ts'
import type { Ext, Json, Ttl } from '../middle/form.ts'
import { type Fields, fieldsIn, isFields, wordOf, words } from '../middle/read.ts'

/** Members that stay the text they are. */
export const kept: ReadonlySet<string> = new Set(['input', 'input_schema', 'schema'])

/** What no word of the form says, under its own names. */
export function extOf(fields: Fields): Ext | undefined {
  const said = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null)
  if (said.length === 0) return undefined
  const texts = said.map(([name, value]) => [name, keeps(name, value) ? (value as Json) : exact(value)] as const)
  return { messages: Object.fromEntries(texts) }
}

/** A value as JSON text, with what was kept as text in its place. */
export function exact(value: unknown): Json {
  return asJson(restored(value))
}

function restored(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(restored)
  if (!isFields(value)) return value
  const pairs = Object.entries(value).map(([name, one]) => [name, keeps(name, one) ? raw(one) : restored(one)])
  return Object.fromEntries(pairs)
}
const keeps = (name: string, value: unknown): value is string => kept.has(name) && typeof value === 'string'

const lifetimes = words<Ttl>({ '5m': '5m', '1h': '1h' })
export const ttlOf = ({ ttl }: Fields): Ttl => lifetimes[wordOf(ttl)] ?? 'default'

/** A breakpoint of the cache, where a block has one. */
export function cacheOf({ cache_control }: Fields, field: string): { cache?: Ttl } {
  const said = fieldsIn(cache_control, `${field}.cache_control`)
  return said ? { cache: ttlOf(said) } : {}
}
