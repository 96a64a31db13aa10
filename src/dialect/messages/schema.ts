// Schemas as Anthropic takes them: what it refuses is said in a description instead, so that the model still knows it.
import { asJson, parseExact } from '../json/exact.ts'
import type { Json } from '../middle/form.ts'
import { type Fields, isFields, wordOf } from '../middle/read.ts'

export interface Written {
  json: Json
  /** it says something else than it did */
  changed: boolean
}

// spec/wire-additions.md §1; what is neither here nor known to be taken goes the same way.
const taken = new Set(
  '$schema $id $anchor $comment $ref $defs definitions title description default examples const enum type properties required items prefixItems anyOf allOf'.split(
    ' ',
  ),
)
const formats = new Set('date-time time date duration email hostname uri ipv4 ipv6 uuid'.split(' '))
/** By name, not by keyword. */
const maps = new Set(['properties', '$defs', 'definitions'])
const lists = new Set(['anyOf', 'allOf', 'prefixItems'])

/** A schema for an answer, or for a tool that promises to keep to it. */
export function answerSchema(schema: Json): Written {
  const cleaner = new Cleaner()
  const value = read(schema)
  if (!isFields(value)) return { json: '{"type":"object"}' as Json, changed: true }
  const cleaned = cleaner.schema(value)
  return cleaner.changed ? { json: asJson(cleaned), changed: true } : { json: schema, changed: false }
}

class Cleaner {
  changed = false

  schema(value: unknown): unknown {
    // true and false are schemas, too; Anthropic has neither.
    if (!isFields(value)) {
      this.changed = true
      return {}
    }
    const out: Fields = {}
    const said: string[] = []
    for (const [name, one] of Object.entries(value)) {
      if (name === 'oneOf' && Array.isArray(one) && !('anyOf' in value)) {
        this.changed = true
        out['anyOf'] = one.map(branch => this.schema(branch))
      } else if (name === 'format' ? formats.has(wordOf(one)) : taken.has(name)) out[name] = this.#member(name, one)
      else if (name !== 'additionalProperties') said.push(`${name}: ${asJson(one)}`)
      else if (one !== false)
        said.push(one === true ? 'other properties are allowed' : `other properties: ${asJson(one)}`)
    }
    if (isObject(value)) {
      if (value['additionalProperties'] !== false) this.changed = true
      out['additionalProperties'] = false
    }
    if (said.length > 0) {
      this.changed = true
      const before = typeof out['description'] === 'string' && out['description'] !== '' ? `${out['description']} ` : ''
      out['description'] = `${before}(${said.join('; ')})`
    }
    return out
  }

  #member(name: string, value: unknown): unknown {
    if (maps.has(name) && isFields(value))
      return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, this.schema(one)]))
    if (lists.has(name) && Array.isArray(value)) return value.map(one => this.schema(one))
    if (name === 'items') return Array.isArray(value) ? value.map(one => this.schema(one)) : this.schema(value)
    return value
  }
}

const isObject = ({ type, properties }: Fields) =>
  type === 'object' || (Array.isArray(type) && type.includes('object')) || (type === undefined && isFields(properties))

const combiners = ['anyOf', 'oneOf', 'allOf'] as const

/** A schema of a tool's input: an object at its root, whose properties stand there. */
export function inputSchema(schema: Json | undefined): Written {
  const value = schema === undefined ? {} : read(schema)
  if (!isFields(value)) return { json: '{"type":"object"}' as Json, changed: true }
  const combined = combiners.filter(name => Array.isArray(value[name]))
  if (value['type'] === 'object' && combined.length === 0) return { json: schema!, changed: false }
  if (combined.length === 0) {
    const { type, ...rest } = value
    return { json: asJson({ type: 'object', ...rest }), changed: type !== undefined }
  }
  return { json: asJson(flattened(value, combined)), changed: true }
}

/** The properties of all branches at the root; needed is what each of them needs, of `allOf` what any does. */
function flattened(value: Fields, combined: readonly (typeof combiners)[number][]): Fields {
  const out: Fields = { ...value, type: 'object' }
  const properties: Fields = isFields(value['properties']) ? { ...value['properties'] } : {}
  const needed = new Set(namesIn(value['required']))
  for (const name of combined) {
    delete out[name]
    const branches = (value[name] as unknown[]).filter(isFields)
    for (const branch of branches)
      for (const [key, one] of Object.entries(isFields(branch['properties']) ? branch['properties'] : {}))
        if (!Object.hasOwn(properties, key)) properties[key] = one
    const sets = branches.map(branch => namesIn(branch['required']))
    const all = sets.flat()
    for (const key of all) if (name === 'allOf' || sets.every(set => set.includes(key))) needed.add(key)
  }
  out['properties'] = properties
  if (needed.size > 0) out['required'] = [...needed]
  return out
}

const namesIn = (value: unknown) => (Array.isArray(value) ? value.filter(one => typeof one === 'string') : [])

function read(schema: Json): unknown {
  try {
    return parseExact(schema)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
