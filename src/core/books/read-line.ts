// Reading a line of the spool back: strictly, so that what is wrong in it is said and nothing behind it has to doubt.
import { rowColumns } from '../usage/columns.ts'
import type { UsageLine } from './line.ts'

/** A line that cannot be read. Its code is of Postgres' class for bad data, so that whoever books sets it aside like a row that Postgres refuses. */
export class BadLine extends Error {
  readonly code = '22000'
}

/** Reads a line; one that an older gw wrote lacks what came later. @throws BadLine which says what is wrong in it */
export function readLine(text: string): UsageLine {
  const line = parse(text)
  for (const { column, fault, mayLack } of checks) {
    const wrong = fault(line[column], mayLack)
    if (wrong) throw new BadLine(`${column} must be ${wrong}, got ${shown(line[column])}`)
  }
  return line
}

/** The line where it says at least who pays how much, however bad the rest; else undefined. */
export function payableLine(text: string): UsageLine | undefined {
  try {
    const line = parse(text)
    for (const { column, fault, mayLack } of checks)
      if (paying.has(column) && fault(line[column], mayLack)) return undefined
    return line
  } catch {
    return undefined
  }
}

function parse(text: string): UsageLine {
  let line: UsageLine
  try {
    line = JSON.parse(text) as UsageLine
  } catch (error) {
    throw new BadLine(`it is no JSON: ${(error as Error).message}`)
  }
  if (typeof line !== 'object' || line === null || Array.isArray(line)) throw new BadLine('it is no JSON object')
  line.web_searches ??= 0
  line.cache_write_30m_tokens ??= 0
  line.cache_write_12h_tokens ??= 0
  line.mode ??= null
  line.geo ??= null
  line.subscription_id ??= null
  return line
}

const paying = new Set<string>(['user_id', 'key_id', 'charged', 'subscription_id'] satisfies (keyof UsageLine)[])
const nullable = new Set<string>([
  'group_id',
  'account_id',
  'upstream_model',
  'upstream_request_id',
  'mode',
  'geo',
  'subscription_id',
  'price',
  'first_token_ms',
] satisfies (keyof UsageLine)[])

/** What a value of the type must be, where this one is not; of other types Postgres judges. */
const faultOf: Record<string, ((value: unknown, mayLack: boolean) => string | undefined) | undefined> = {
  integer: wholeUpTo(2_147_483_647),
  smallint: wholeUpTo(32_767),
  bigint: value =>
    typeof value === 'string' &&
    /^-?\d{1,19}$/.test(value) &&
    (value.length < 19 || BigInt.asIntN(64, BigInt(value)) === BigInt(value))
      ? undefined
      : 'a whole number of nano-USD as text',
  text: (value, mayLack) =>
    (mayLack && (value === null || value === undefined)) || (typeof value === 'string' && !value.includes('\0'))
      ? undefined
      : 'text without NUL',
  uuid: value => (typeof value === 'string' && uuid.test(value) ? undefined : 'a UUID'),
  // So strict that nobody finds no time in it; a 31st of February is for Postgres to refuse.
  timestamptz: value =>
    typeof value === 'string' && isoTime.test(value) ? undefined : 'a time such as 2026-11-15T12:00:00Z',
  boolean: value => (typeof value === 'boolean' ? undefined : 'true or false'),
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const isoTime = /^\d{4}-(0[1-9]|1[0-2])-([0-2]\d|3[01])T([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?Z$/

function wholeUpTo(most: number) {
  return (value: unknown, mayLack: boolean) =>
    (mayLack && (value === null || value === undefined)) ||
    (Number.isInteger(value) && Math.abs(value as number) <= most)
      ? undefined
      : `a whole number up to ${most}`
}

const checks = (Object.keys(rowColumns) as (keyof typeof rowColumns)[]).flatMap(column => {
  const fault = faultOf[rowColumns[column]]
  return fault ? [{ column, fault, mayLack: nullable.has(column) }] : []
})

function shown(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}
