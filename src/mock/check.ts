// Checks that a value is a script, naming the field that is wrong.
import { validateHeaderName, validateHeaderValue } from 'node:http'
import type { Step } from './step.ts'

/** Throws when the value at the path is not what the field takes. */
type Check = (value: unknown, path: string) => void

const expected = (ok: (value: unknown) => boolean, what: string): Check => {
  return (value, path) => {
    if (!ok(value)) throw new TypeError(`${path} must be ${what}, got ${shown(value)}`)
  }
}

const whole = (from: number, to = Number.MAX_SAFE_INTEGER) =>
  expected(
    value => Number.isInteger(value) && (value as number) >= from && (value as number) <= to,
    to === Number.MAX_SAFE_INTEGER ? `a whole number, ${from} or more` : `a whole number from ${from} to ${to}`,
  )
const text = expected(value => typeof value === 'string', 'a string')
const flag = expected(value => typeof value === 'boolean', 'true or false')
const oneOf = (...values: string[]) => expected(value => values.includes(value as string), either(values))
const plain = expected(isObject, 'an object')
const isPoint = (value: unknown) => value === 'start' || (Number.isInteger(value) && (value as number) >= 0)
const point = expected(isPoint, '"start" or a number of events')

const list = (each: Check): Check => {
  return (value, path) => {
    if (!Array.isArray(value)) throw new TypeError(`${path} must be a list, got ${shown(value)}`)
    for (const [index, item] of value.entries()) each(item, `${path}[${index}]`)
  }
}

const object = (fields: Record<string, Check>, ...required: string[]): Check => {
  return (value, path) => {
    plain(value, path)
    for (const name of required) fields[name]?.((value as Record<string, unknown>)[name], `${path}.${name}`)
    for (const [name, field] of Object.entries(value as object)) {
      const check = Object.hasOwn(fields, name) && fields[name]
      if (!check) throw new TypeError(`${path}.${name} is not known; known are ${Object.keys(fields).join(', ')}`)
      if (field !== undefined) check(field, `${path}.${name}`)
    }
  }
}

const header = (name: string) => {
  const legal = (value: unknown) => {
    if (typeof value !== 'string') return false
    try {
      validateHeaderName(name)
      validateHeaderValue(name, value)
      return true
    } catch {
      return false
    }
  }
  return expected(legal, 'a header that HTTP allows, its value a string')
}

const headers: Check = (value, path) => {
  plain(value, path)
  for (const [name, field] of Object.entries(value as object)) {
    const check = header(name)
    if (Array.isArray(field)) list(check)(field, `${path}.${name}`)
    else check(field, `${path}.${name}`)
  }
}

const steps: Record<keyof Step, Check> = {
  on: text,
  expect: oneOf('nothing more'),
  text,
  chunks: list(text),
  hugeBytes: whole(1),
  thinking: (value, path) => (Array.isArray(value) ? list(text) : text)(value, path),
  tools: list(object({ name: text, input: plain, id: text }, 'name')),
  interleaved: flag,
  refusal: text,
  stopReason: text,
  model: text,
  usage: object({
    input_tokens: whole(0),
    output_tokens: whole(0),
    cache_creation_input_tokens: whole(0),
    cache_read_input_tokens: whole(0),
    ephemeral_5m_input_tokens: whole(0),
    ephemeral_1h_input_tokens: whole(0),
    ttl_30m_tokens: whole(0),
    ttl_12h_tokens: whole(0),
    web_search_requests: whole(0),
    service_tier: text,
    inference_geo: text,
    iterations: list(
      object(
        {
          type: text,
          model: (value, path) => value === null || text(value, path),
          input_tokens: whole(0),
          output_tokens: whole(0),
          cache_creation_input_tokens: whole(0),
          cache_read_input_tokens: whole(0),
          cache_creation: (value, path) =>
            value === null ||
            object({ ephemeral_5m_input_tokens: whole(0), ephemeral_1h_input_tokens: whole(0) })(value, path),
        },
        'type',
      ),
    ),
  }),
  pings: whole(0),
  headers,
  status: whole(200, 599),
  error: object({ type: text, message: text, details: plain }),
  errorAt: whole(0),
  proofs: oneOf('own', 'own of the model'),
  token: object({ expiresIn: whole(0), rotates: flag }),
  body: text,
  delayMs: whole(0),
  gapMs: whole(0),
  drip: object({ bytes: whole(1), everyMs: whole(0) }, 'bytes', 'everyMs'),
  hold: (value, path) => {
    if (Array.isArray(value)) list(point)(value, path)
    else if (value !== true) expected(isPoint, 'true, "start", a number of events or a list of these')(value, path)
  },
  reset: point,
  close: point,
  end: whole(0),
  eol: oneOf('lf', 'crlf', 'cr'),
  unnamed: flag,
  brokenAt: whole(0),
  splitUtf8: flag,
  encoding: oneOf('gzip', 'deflate', 'br', 'zstd'),
}
const step = object(steps)

/**
 * The steps of a script, as a list.
 * @throws TypeError with a text like `steps[1].status must be a whole number from 200 to 599, got "abc"`.
 */
export function checkSteps(value: unknown): Step[] {
  const all = Array.isArray(value) ? value : [value]
  if (all.length === 0) throw new TypeError('steps must hold at least one step, got an empty list')
  for (const [index, item] of all.entries()) step(item, Array.isArray(value) ? `steps[${index}]` : 'steps')
  return all
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function either(values: string[]): string {
  return values.map(value => JSON.stringify(value)).join(' or ')
}

function shown(value: unknown): string {
  if (value === undefined) return 'nothing'
  const json = JSON.stringify(value) ?? String(value)
  return json.length > 60 ? `${json.slice(0, 60)}…` : json
}
