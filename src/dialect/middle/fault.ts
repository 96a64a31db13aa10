// Our own failures as faults: what a translating encoder ends a stream with.
import type { Failure } from '../../lib/failure.ts'
import type { Fault, FaultKind } from './form.ts'

const kinds: Record<string, FaultKind> = {
  invalid_request_error: 'invalid',
  request_too_large: 'tooLarge',
  authentication_error: 'auth',
  permission_error: 'forbidden',
  billing_error: 'payment',
  not_found_error: 'notFound',
  rate_limit_error: 'rateLimited',
  overloaded_error: 'overloaded',
  timeout_error: 'timeout',
}

export function faultOf({ type, message, code, param, retryAfterMs }: Failure): Fault {
  return {
    kind: kinds[type] ?? 'upstream',
    message,
    code,
    ...(param === undefined ? {} : { param }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  }
}
