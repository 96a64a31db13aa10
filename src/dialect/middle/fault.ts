// What an error is, by the words and statuses that all vendors share; and our own failures as faults, with which a translating encoder ends a stream.
import type { Failure } from '../../lib/failure.ts'
import type { Fault, FaultKind } from './form.ts'

/** By `error.type` in Anthropic's words, which our own failures have, too. */
export const kindsOfType: ReadonlyMap<unknown, FaultKind> = new Map<unknown, FaultKind>([
  ['invalid_request_error', 'invalid'],
  ['request_too_large', 'tooLarge'],
  ['authentication_error', 'auth'],
  ['permission_error', 'forbidden'],
  ['billing_error', 'payment'],
  ['not_found_error', 'notFound'],
  ['rate_limit_error', 'rateLimited'],
  ['overloaded_error', 'overloaded'],
  ['timeout_error', 'timeout'],
])

const statuses: Record<number, FaultKind> = {
  401: 'auth',
  402: 'payment',
  403: 'forbidden',
  404: 'notFound',
  408: 'timeout',
  413: 'tooLarge',
  429: 'rateLimited',
  503: 'overloaded',
  504: 'timeout',
  529: 'overloaded',
}

/** What a status says by itself; undefined for one that says no more than whose fault it is. */
export const kindOfStatus = (status: number): FaultKind | undefined => statuses[status]

export function faultOf({ type, message, code, param, retryAfterMs }: Failure): Fault {
  return {
    kind: kindsOfType.get(type) ?? 'upstream',
    message,
    code,
    ...(param === undefined ? {} : { param }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  }
}
