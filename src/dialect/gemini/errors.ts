// Errors as Google writes them (spec/wire.md §3.4), with our own words in the places that it has for such.
import type { Failure } from '../../lib/failure.ts'

const statuses: Record<number, string> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  402: 'FAILED_PRECONDITION',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  405: 'UNIMPLEMENTED',
  408: 'DEADLINE_EXCEEDED',
  409: 'ABORTED',
  413: 'INVALID_ARGUMENT',
  415: 'INVALID_ARGUMENT',
  422: 'INVALID_ARGUMENT',
  426: 'FAILED_PRECONDITION',
  429: 'RESOURCE_EXHAUSTED',
  499: 'CANCELLED',
  501: 'UNIMPLEMENTED',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
  529: 'UNAVAILABLE',
}

/** The word of google.rpc.Code for an HTTP status. */
export function statusWord(status: number): string {
  return statuses[status] ?? (status >= 500 ? 'INTERNAL' : 'UNKNOWN')
}

export interface Told {
  status: number
  message: string
  /** ErrorInfo: what programs may look for */
  reason?: string | undefined
  retryAfterMs?: number | undefined
  /** the field of the request that it is about */
  param?: string | undefined
  requestId: string
}

const type = (name: string) => `type.googleapis.com/google.rpc.${name}`

/** `{"error": …}`. */
export function errorObject({ status, message, reason, retryAfterMs, param, requestId }: Told): object {
  const details: object[] = []
  if (reason) details.push({ '@type': type('ErrorInfo'), reason, domain: 'gw' })
  // No header says it in this dialect: clients read it here.
  if (retryAfterMs !== undefined)
    details.push({ '@type': type('RetryInfo'), retryDelay: `${Math.max(1, Math.ceil(retryAfterMs / 1000))}s` })
  if (param !== undefined)
    details.push({ '@type': type('BadRequest'), fieldViolations: [{ field: param, description: message }] })
  if (requestId !== '') details.push({ '@type': type('RequestInfo'), requestId })
  return { error: { code: status, message, status: statusWord(status), details } }
}

export function failureObject(failure: Failure, requestId: string): object {
  const { status, message, code, retryAfterMs, param } = failure
  return errorObject({ status, message, reason: code, retryAfterMs, param, requestId })
}

/** An upstream's whole error body as one object in one line; of a list of one its element. */
export function errorLine(body: Buffer): string {
  try {
    const parsed: unknown = JSON.parse(body.toString('utf8'))
    const one: unknown = Array.isArray(parsed) ? parsed[0] : parsed
    if (typeof one === 'object' && one !== null && 'error' in one) return JSON.stringify(one)
  } catch {
    // HTML, say: its text is nothing a client could show.
  }
  return JSON.stringify(errorObject({ status: 502, message: 'The upstream refused the request.', requestId: '' }))
}
