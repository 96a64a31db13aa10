// What only the Gemini dialect has, as text under its own names; Google takes every field in two spellings, and here there is one.
import { asJson, raw } from '../json/exact.ts'
import type { Ext, Json } from '../middle/form.ts'
import { type Fields, isFields } from '../middle/read.ts'

/** Members that stay the text they are: what a client or a tool parses again. */
export const kept: ReadonlySet<string> = new Set([
  'args',
  'response',
  'parameters',
  'parametersJsonSchema',
  'parameters_json_schema',
  'responseSchema',
  'response_schema',
  'responseJsonSchema',
  'response_json_schema',
  '_responseJsonSchema',
])

/** With all its own names in one spelling; what stands deeper is untouched. */
export function camel(fields: Fields): Fields {
  const out: Fields = {}
  for (const [name, value] of Object.entries(fields)) {
    if (value === null) continue
    out[name.includes('_') ? name.replace(/(?<=[a-z])_([a-z])/g, (_, letter: string) => letter.toUpperCase()) : name] =
      value
  }
  return out
}

/** What no word of the form says, under its own names; `before` says in which object it stood. */
export function extOf(fields: Fields, before = ''): Ext | undefined {
  const said = Object.entries(fields).filter(([, value]) => value !== undefined)
  if (said.length === 0) return undefined
  return { gemini: Object.fromEntries(said.map(([name, value]) => [before + name, exact(value, name)])) }
}

export function beside(fields: Fields): { ext?: Ext } {
  const ext = extOf(fields)
  return ext ? { ext } : {}
}

/** A value as JSON text, with what was kept as text in its place. */
export function exact(value: unknown, name = ''): Json {
  return asJson(restored(value, name))
}

function restored(value: unknown, name: string): unknown {
  if (typeof value === 'string' && kept.has(name)) return raw(value)
  if (Array.isArray(value)) return value.map(one => restored(one, ''))
  if (!isFields(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, restored(one, key)]))
}
