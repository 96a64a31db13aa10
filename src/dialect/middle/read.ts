// Reads a client's JSON: what is there has the kind that it must have, or the failure names its field.
import { Failure } from '../../lib/failure.ts'
import { parseExact, Raw } from '../json/exact.ts'

export type Fields = Record<string, unknown>

/** @throws Failure BODY_INVALID */
export function wrong(field: string, must: string): never {
  throw new Failure('BODY_INVALID', [`${field} must be ${must}`], { param: field })
}

/** The body's one object; members named in `kept` are their JSON text. @throws Failure BODY_INVALID */
export function readBody(body: Buffer, kept?: ReadonlySet<string>): Fields {
  let value: unknown
  try {
    value = parseExact(body.toString('utf8'), kept)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw new Failure('BODY_INVALID', [error.message], { cause: error })
  }
  return isFields(value) ? value : wrong('the body', 'one JSON object')
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Raw)
}

const isAbsent = (value: unknown): value is undefined | null => value === undefined || value === null

/** What is absent or null is undefined, here and below. @throws Failure BODY_INVALID */
export function fieldsIn(value: unknown, field: string): Fields | undefined {
  return isAbsent(value) ? undefined : isFields(value) ? value : wrong(field, 'an object')
}

export function listIn(value: unknown, field: string): unknown[] | undefined {
  return isAbsent(value) ? undefined : Array.isArray(value) ? value : wrong(field, 'a list')
}

export function textIn(value: unknown, field: string): string | undefined {
  return isAbsent(value) ? undefined : typeof value === 'string' ? value : wrong(field, 'a string')
}

export function flagIn(value: unknown, field: string): boolean | undefined {
  return isAbsent(value) ? undefined : typeof value === 'boolean' ? value : wrong(field, 'true or false')
}

export function numberIn(value: unknown, field: string): number | undefined {
  if (isAbsent(value)) return undefined
  const number = value instanceof Raw ? Number(value.text) : value
  return typeof number === 'number' && Number.isFinite(number) ? number : wrong(field, 'a number')
}

/** A whole number from 0. */
export function countIn(value: unknown, field: string): number | undefined {
  const number = numberIn(value, field)
  if (number === undefined || (Number.isSafeInteger(number) && number >= 0)) return number
  return wrong(field, 'a whole number from 0')
}

/** A word where one should be; '' for what is none, and for what would not even become one. */
export function wordOf(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'number' || typeof value === 'boolean' ? `${value}` : ''
}

/** What words of a client or an upstream stand for; it has no other, whatever every object has. */
export function words<T>(of: Record<string, T>): Readonly<Record<string, T>> {
  return Object.setPrototypeOf({ ...of }, null)
}
