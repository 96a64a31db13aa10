// Errors of Google as faults of the middle form, and faults as such errors (spec/wire.md §3.4, 4.2).
import { kindOfStatus } from '../middle/fault.ts'
import type { Fault, FaultKind } from '../middle/form.ts'
import { errorObject } from './errors.ts'

// Google says these, too.
const own: Record<number, FaultKind> = { 400: 'invalid', 499: 'timeout' }
const kindAt = (status: number): FaultKind => kindOfStatus(status) ?? own[status] ?? 'upstream'

type Fields = Record<string, unknown>

/** Whatever came. Of a list of one its element. */
export function readFault(status: number, body: Buffer): Fault {
  let whole: unknown
  try {
    whole = JSON.parse(body.toString('utf8'))
  } catch {
    return { kind: kindAt(status), message: `The upstream answered with status ${status}.` }
  }
  const one = (Array.isArray(whole) ? whole[0] : whole) as { error?: unknown } | null
  return faultIn(one?.error, status)
}

/** Of an error object; `status` where it does not say one itself. */
export function faultIn(error: unknown, status: number): Fault {
  const said = (typeof error === 'object' && error !== null ? error : {}) as Fields
  const code = typeof said['code'] === 'number' && said['code'] >= 400 && said['code'] < 600 ? said['code'] : status
  const details = (Array.isArray(said['details']) ? said['details'] : []).filter(isFields)
  const message = typeof said['message'] === 'string' && said['message'] !== '' ? said['message'] : `Status ${code}.`
  const reason = details.map(one => one['reason']).find(one => typeof one === 'string') as string | undefined
  const wait = details.map(one => one['retryDelay']).find(one => typeof one === 'string') as string | undefined
  const seconds = wait === undefined ? Number.NaN : Number.parseFloat(wait)
  return {
    kind: kindOf(code, message, reason),
    message,
    ...(Number.isFinite(seconds) && seconds >= 0 ? { retryAfterMs: Math.ceil(seconds * 1000) } : {}),
    ...(reason ? { code: reason } : {}),
  }
}

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null

// "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
const tooLong = /\btoken count\b.{0,40}\bexceeds\b|exceeds the maximum (?:number of )?tokens/i

function kindOf(code: number, message: string, reason: string | undefined): FaultKind {
  if (code === 400 && /thought[ _]?signature/i.test(message)) return 'sealRefused'
  if (code === 400 && tooLong.test(message)) return 'tooLong'
  if (code === 400 && (reason === 'API_KEY_INVALID' || /^API key (?:not valid|expired)/i.test(message))) return 'auth'
  if (code === 429 && (reason === 'QUOTA_EXHAUSTED' || /\bper day\b|current quota/i.test(message))) return 'quota'
  return kindAt(code)
}

const statuses: Record<FaultKind, number> = {
  invalid: 400,
  tooLong: 400,
  tooLarge: 413,
  auth: 401,
  forbidden: 403,
  notFound: 404,
  payment: 402,
  rateLimited: 429,
  quota: 429,
  overloaded: 503,
  timeout: 504,
  upstream: 502,
  sealRefused: 400,
  truncated: 502,
}

export function writeFault(fault: Fault, status: number, requestId: string): string {
  return JSON.stringify(faultObject(fault, status, requestId))
}

/** Of a fault in a stream, which has no status of its own. */
export const frameOf = (fault: Fault) => faultObject(fault, statuses[fault.kind], '')

function faultObject({ message, code, retryAfterMs, param }: Fault, status: number, requestId: string): object {
  return errorObject({ status, message, reason: code, retryAfterMs, param, requestId })
}
