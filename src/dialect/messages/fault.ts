// Errors as Anthropic writes them (spec/wire.md §1.6), read and written.
import { kindOfStatus, kindsOfType } from '../middle/fault.ts'
import type { Fault, FaultKind } from '../middle/form.ts'
import { type Fields, isFields } from '../middle/read.ts'

const types: Record<FaultKind, string> = {
  invalid: 'invalid_request_error',
  tooLong: 'invalid_request_error',
  sealRefused: 'invalid_request_error',
  tooLarge: 'request_too_large',
  auth: 'authentication_error',
  forbidden: 'permission_error',
  notFound: 'not_found_error',
  payment: 'billing_error',
  rateLimited: 'rate_limit_error',
  quota: 'rate_limit_error',
  overloaded: 'overloaded_error',
  timeout: 'timeout_error',
  upstream: 'api_error',
  truncated: 'api_error',
}

/** `error` of an event or a body; anything, since it is an upstream's. */
export function faultFrom(error: unknown, otherwise: FaultKind): Fault {
  const said: Fields = isFields(error) ? error : {}
  const message = typeof said['message'] === 'string' ? said['message'] : typeof error === 'string' ? error : NOTHING
  const details = isFields(said['details']) ? said['details'] : {}
  const code = typeof details['error_code'] === 'string' ? { code: details['error_code'] } : {}
  const kind = kindsOfType.get(said['type']) ?? otherwise
  if (kind !== 'invalid') return { kind, message, ...code }
  if (/prompt is too long|context (?:window|length)/i.test(message)) return { kind: 'tooLong', message, ...code }
  return {
    kind: /signature.{0,40}thinking|thinking.{0,80}signature/is.test(message) ? 'sealRefused' : kind,
    message,
    ...code,
  }
}

const NOTHING = 'The upstream refused the request and did not say why.'

export function readFault(status: number, body: Buffer): Fault {
  const otherwise = kindOfStatus(status) ?? (status >= 500 ? 'upstream' : 'invalid')
  try {
    const value: unknown = JSON.parse(body.toString('utf8'))
    return faultFrom(isFields(value) ? (value['error'] ?? value) : undefined, otherwise)
  } catch {
    // HTML, say: its text is nothing a client could show.
    return { kind: otherwise, message: NOTHING }
  }
}

/** `error` of an event or a body. */
export function errorOf({ kind, message, code }: Fault): object {
  return {
    type: types[kind],
    message: kind === 'tooLong' ? tooLong(message) : message,
    ...(code === undefined ? {} : { code }),
  }
}

export function writeFault(fault: Fault, requestId: string): string {
  return JSON.stringify({ type: 'error', error: errorOf(fault), request_id: requestId })
}

/** In the words by which Claude Code knows that it has to compact (spec/wire.md §1.6). */
function tooLong(message: string): string {
  if (message.startsWith('prompt is too long')) return message
  const numbers = [...message.matchAll(/\d[\d,_]{2,}/g)].map(([found]) => Number(found.replace(/\D/g, '')))
  const most = Math.min(...numbers)
  // Of one number alone it is known that it was passed.
  const had = Math.max(...numbers) > most ? Math.max(...numbers) : most + 1
  return numbers.length > 0 ? `prompt is too long: ${had} tokens > ${most} maximum` : `prompt is too long: ${message}`
}
