// The headers of an answer, named and joined as node:http does it.
import type { IncomingHttpHeaders } from 'node:http'

/** What becomes of a header that comes twice. */
type Rule = 'join' | 'first' | 'list' | 'cookie' | 'once'
/** A header's name, whatever its spelling. */
export interface Field {
  name: string
  rule: Rule
}

const first =
  'age authorization content-type etag expires from host if-modified-since if-unmodified-since last-modified location max-forwards proxy-authorization referer retry-after server user-agent'
const rules = new Map<string, Rule>([
  ...first.split(' ').map(name => [name, 'first'] as const),
  ['set-cookie', 'list'],
  ['cookie', 'cookie'],
  ['content-length', 'once'],
])

// Names as upstreams spell them. Filled by what comes, so it must not grow for ever.
const fields = new Map<string, Field>()
const FIELDS = 1000
const token = /^[\w!#$%&'*+.^`|~-]+$/

/** The field of that name; undefined when it cannot be one's name. */
export function fieldOf(spelt: string): Field | undefined {
  const known = fields.get(spelt)
  if (known) return known
  if (!token.test(spelt)) return undefined
  const name = spelt.toLowerCase()
  const field: Field = { name, rule: rules.get(name) ?? 'join' }
  // A slice keeps the whole head alive; what goes into the table must not.
  if (fields.size < FIELDS) fields.set(Buffer.from(spelt, 'latin1').toString('latin1'), field)
  return field
}

/** Adds a line to the headers; false when it must not come a second time and does. */
export function addHeader(headers: IncomingHttpHeaders, { name, rule }: Field, value: string): boolean {
  const had = headers[name]
  if (rule === 'list') {
    if (Array.isArray(had)) had.push(value)
    else headers[name] = [value]
  } else if (typeof had !== 'string') headers[name] = value
  else if (rule === 'join') headers[name] = `${had}, ${value}`
  else if (rule === 'cookie') headers[name] = `${had}; ${value}`
  return rule !== 'once' || had === undefined
}

/** Whether a list of tokens, such as a Connection header, has this one. */
export function says(list: string | undefined, token: string): boolean {
  if (list === undefined || list === 'keep-alive') return false
  return list.split(',').some(word => word.trim().toLowerCase() === token)
}
