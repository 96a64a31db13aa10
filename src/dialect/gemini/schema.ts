// Schemas to Gemini and from it: JSON Schema as it is for the public API, a subset of OpenAPI for v1internal (spec/wire.md §4.3).
import { asJson, parseExact, Raw } from '../json/exact.ts'
import type { Json } from '../middle/form.ts'

type Node = Record<string, unknown>

/** For `parametersJsonSchema`: as it stands, without `$schema`, which is refused. */
export function plainSchema(schema: Json): Json {
  if (!schema.includes('"$schema"')) return schema
  const node = parseExact(schema)
  if (!isNode(node)) return schema
  const { $schema: _, ...rest } = node
  return asJson(rest)
}

/**
 * For `parameters` and `responseSchema` of v1internal: only what its schemas have. What is left out is said in the description.
 * @param one an object without properties gets one, which some models there must have
 */
export function cleanedSchema(schema: Json, one = false): Json {
  let root: unknown
  try {
    root = parseExact(schema)
  } catch {
    root = {}
  }
  const clean = new Cleaner(isNode(root) ? root : {}, one)
  return asJson(clean.root())
}

const types = new Set(['STRING', 'NUMBER', 'INTEGER', 'BOOLEAN', 'ARRAY', 'OBJECT'])
const formats: Record<string, ReadonlySet<string>> = {
  STRING: new Set(['enum', 'date-time']),
  INTEGER: new Set(['int32', 'int64']),
  NUMBER: new Set(['float', 'double']),
}
// Constraints that have no place: a model reads them in words.
const worded: Record<string, (value: string) => string> = {
  minLength: n => `at least ${n} characters`,
  maxLength: n => `at most ${n} characters`,
  pattern: text => `matches ${text}`,
  minimum: n => `at least ${n}`,
  maximum: n => `at most ${n}`,
  exclusiveMinimum: n => `more than ${n}`,
  exclusiveMaximum: n => `less than ${n}`,
  multipleOf: n => `a multiple of ${n}`,
  minItems: n => `at least ${n} items`,
  maxItems: n => `at most ${n} items`,
  uniqueItems: () => 'no item twice',
  default: value => `by default ${value}`,
}
const MOST_DEPTH = 64

class Cleaner {
  readonly #root: Node
  readonly #one: boolean

  constructor(root: Node, one: boolean) {
    this.#root = root
    this.#one = one
  }

  root(): Node {
    const node = this.#clean(this.#root, [], 0)
    // Arguments are an object, whatever a schema says.
    return node['type'] === 'OBJECT' ? node : this.#filled({ type: 'OBJECT' })
  }

  #clean(given: unknown, refs: readonly string[], depth: number): Node {
    if (!isNode(given) || depth > MOST_DEPTH) return { type: 'STRING' }
    const { node, followed } = this.#resolved(given, refs)
    if (!node) return this.#filled({ type: 'OBJECT', ...described(given, []) })
    const united = this.#united(node, followed, depth)
    if (united) return united
    const { type, nullable } = typeOf(node)
    const hints: string[] = []
    for (const [name, say] of Object.entries(worded))
      if (node[name] !== undefined && node[name] !== false && node[name] !== '') hints.push(say(asText(node[name])))
    const clean: Node = { type }
    if (typeof node['title'] === 'string') clean['title'] = node['title']
    if (nullable) clean['nullable'] = true
    const values = valuesOf(node)
    if (values) {
      if (type === 'STRING') clean['enum'] = values.filter(value => value !== '' && value !== null).map(asText)
      else hints.push(`one of ${values.map(asJson).join(', ')}`)
    }
    const { format } = node
    if (typeof format === 'string') {
      if (formats[type]?.has(format)) clean['format'] = format
      else hints.push(`format ${format}`)
    }
    if (type === 'OBJECT') this.#members(node, clean, followed, depth)
    if (type === 'ARRAY') {
      const first = Array.isArray(node['prefixItems']) ? node['prefixItems'][0] : undefined
      clean['items'] = this.#clean(
        isNode(node['items']) ? node['items'] : (first ?? { type: 'string' }),
        followed,
        depth + 1,
      )
    }
    return this.#filled({ ...clean, ...described(node, hints) })
  }

  #members(node: Node, clean: Node, refs: readonly string[], depth: number): void {
    const properties = isNode(node['properties']) ? node['properties'] : {}
    const names = Object.keys(properties)
    if (names.length === 0) return
    const cleaned: Node = {}
    for (const name of names) set(cleaned, name, this.#clean(properties[name], refs, depth + 1))
    clean['properties'] = cleaned
    const required = Array.isArray(node['required'])
      ? node['required'].filter(name => typeof name === 'string' && names.includes(name))
      : []
    if (required.length > 0) clean['required'] = required
  }

  #filled(node: Node): Node {
    if (!this.#one || node['type'] !== 'OBJECT' || node['properties']) return node
    return {
      ...node,
      properties: { reason: { type: 'STRING', description: 'Why this is called.' } },
      required: ['reason'],
    }
  }

  /** With references followed and `allOf` merged; `node` undefined: it leads back into itself, and is cut there. */
  #resolved(given: Node, refs: readonly string[]): { node: Node | undefined; followed: readonly string[] } {
    let node = given
    let followed = refs
    while (typeof node['$ref'] === 'string') {
      const { $ref: ref, ...beside } = node as { $ref: string }
      if (followed.includes(ref)) return { node: undefined, followed }
      followed = [...followed, ref]
      const found = this.#at(ref)
      if (!isNode(found)) {
        node = beside
        break
      }
      node = { ...found, ...beside }
    }
    const all = node['allOf']
    if (Array.isArray(all)) {
      const { allOf: _, ...own } = node
      node = all.filter(isNode).reduce<Node>((sum, part) => {
        const { node: resolved = {} } = this.#resolved(part, followed)
        return merged(sum, resolved)
      }, own)
    }
    return { node, followed }
  }

  #at(ref: string): unknown {
    if (!ref.startsWith('#')) return undefined
    let at: unknown = this.#root
    for (const step of ref.slice(1).split('/').slice(1)) {
      const name = unescaped(step)
      at = isNode(at) ? at[name] : Array.isArray(at) ? at[Number(name)] : undefined
    }
    return at
  }

  /** Of alternatives the one that says most, of constants all of them; undefined: there are none. */
  #united(node: Node, refs: readonly string[], depth: number): Node | undefined {
    const { anyOf, oneOf, ...beside } = node
    const list = [anyOf, oneOf].find(Array.isArray) as unknown[] | undefined
    if (!list) return undefined
    const branches = list.filter(isNode).map(branch => this.#resolved(branch, refs).node ?? {})
    const rest = branches.filter(branch => branch['type'] !== 'null' && branch['const'] !== null)
    const nullable = rest.length < branches.length
    const values = rest.map(valuesOf)
    let chosen: Node
    if (rest.length > 0 && values.every(Boolean)) chosen = { ...merged(beside, {}), enum: values.flat() }
    else chosen = merged(beside, [...rest].sort((a, b) => weightOf(b) - weightOf(a))[0] ?? {})
    const clean = this.#clean(chosen, refs, depth + 1)
    return nullable ? { ...clean, nullable: true } : clean
  }
}

function weightOf(node: Node): number {
  if (isNode(node['properties'])) return 3 + Object.keys(node['properties']).length / 1000
  if (node['type'] === 'object') return 3
  return node['type'] === 'array' || node['items'] ? 2 : 1
}

/** What both say; of a contradiction the first. */
function merged(a: Node, b: Node): Node {
  const properties = { ...(b['properties'] as Node | undefined), ...(a['properties'] as Node | undefined) }
  const list = (value: unknown) => (Array.isArray(value) ? value : [])
  const required = [...new Set([...list(a['required']), ...list(b['required'])])]
  return {
    ...b,
    ...a,
    ...(Object.keys(properties).length > 0 ? { properties } : {}),
    ...(required.length > 0 ? { required } : {}),
  }
}

/** `const` and `enum` are one. */
function valuesOf(node: Node): unknown[] | undefined {
  if ('const' in node) return [node['const']]
  return Array.isArray(node['enum']) ? node['enum'] : undefined
}

function typeOf(node: Node): { type: string; nullable: boolean } {
  const said = Array.isArray(node['type']) ? node['type'] : [node['type']]
  const words = said.filter(word => typeof word === 'string').map(word => word.toUpperCase())
  const nullable = words.includes('NULL') || node['nullable'] === true || valuesOf(node)?.includes(null) === true
  const type = words.find(word => types.has(word)) ?? guessed(node)
  return { type, nullable }
}

function guessed(node: Node): string {
  if (isNode(node['properties'])) return 'OBJECT'
  if (node['items'] || node['prefixItems']) return 'ARRAY'
  const value = valuesOf(node)?.find(one => one !== null)
  if (typeof value === 'boolean') return 'BOOLEAN'
  if (typeof value === 'number' || value instanceof Raw) return Number.isInteger(value) ? 'INTEGER' : 'NUMBER'
  return 'STRING'
}

function described(node: Node, hints: readonly string[]): { description?: string } {
  const said = typeof node['description'] === 'string' ? node['description'] : ''
  const hint = hints.length === 0 ? '' : `(${hints.join('; ')})`
  const description = [said, hint].filter(Boolean).join(' ')
  return description === '' ? {} : { description }
}

const asText = (value: unknown) => (typeof value === 'string' ? value : asJson(value))

const unescaped = (step: string) => {
  const plain = step.replaceAll('~1', '/').replaceAll('~0', '~')
  try {
    return decodeURIComponent(plain)
  } catch {
    return plain
  }
}

/** A schema of Gemini's own (OpenAPI, types in capitals) as JSON Schema. */
export function jsonSchemaOf(schema: Json): Json {
  try {
    return asJson(jsonNode(parseExact(schema), 0))
  } catch {
    return schema
  }
}

const counts = new Set(['minItems', 'maxItems', 'minLength', 'maxLength', 'minProperties', 'maxProperties'])

function jsonNode(given: unknown, depth: number): unknown {
  if (!isNode(given) || depth > MOST_DEPTH) return given
  const node: Node = {}
  for (const [name, value] of Object.entries(given)) {
    if (name === 'nullable' || name === 'propertyOrdering' || name === 'property_ordering' || name === 'example')
      continue
    if (name === 'type' && typeof value === 'string') node['type'] = value.toLowerCase()
    else if ((name === 'properties' || name === '$defs' || name === 'defs') && isNode(value)) {
      const inner: Node = {}
      for (const [key, one] of Object.entries(value)) set(inner, key, jsonNode(one, depth + 1))
      node[name === 'defs' ? '$defs' : name] = inner
    } else if (name === 'items' || name === 'additionalProperties') node[name] = jsonNode(value, depth + 1)
    else if ((name === 'anyOf' || name === 'any_of') && Array.isArray(value))
      node['anyOf'] = value.map(one => jsonNode(one, depth + 1))
    // 64 bit numbers come as text.
    else if (counts.has(name) && typeof value === 'string' && /^\d+$/.test(value)) node[name] = Number(value)
    else if (name === 'format' && value === 'enum') continue
    else node[name] = value
  }
  if (given['nullable'] !== true) return node
  if (typeof node['type'] === 'string') node['type'] = [node['type'], 'null']
  if (Array.isArray(node['enum']) && !node['enum'].includes(null)) node['enum'] = [...node['enum'], null]
  return node
}

// A plain assignment of `__proto__` would set the prototype.
function set(node: Node, name: string, value: unknown): void {
  Object.defineProperty(node, name, { value, enumerable: true, configurable: true, writable: true })
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Raw)
}
