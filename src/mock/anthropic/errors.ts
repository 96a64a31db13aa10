// The errors of Anthropic Messages: statuses, types and the envelope.
import { whole } from '../bytes.ts'
import type { Call } from '../call.ts'
import type { Reply } from '../dialect.ts'
import type { Step } from '../step.ts'

interface Known {
  type: string
  message: string
}

// Where several statuses share a type, the first one is what the type alone stands for.
const known: Record<number, Known> = {
  400: { type: 'invalid_request_error', message: 'Invalid request' },
  401: { type: 'authentication_error', message: 'invalid x-api-key' },
  402: { type: 'billing_error', message: 'Your credit balance is too low to access the Anthropic API.' },
  403: { type: 'permission_error', message: 'Your API key does not have permission to use the specified resource.' },
  404: { type: 'not_found_error', message: 'Not found' },
  408: { type: 'timeout_error', message: 'Request timed out' },
  413: { type: 'request_too_large', message: 'Request exceeds the maximum size' },
  429: { type: 'rate_limit_error', message: 'This request would exceed your rate limit.' },
  500: { type: 'api_error', message: 'Internal server error' },
  504: { type: 'timeout_error', message: 'Request timed out' },
  529: { type: 'overloaded_error', message: 'Overloaded' },
}
const other: Known = { type: 'api_error', message: 'An unexpected error has occurred' }

/** An error as the vendor would say it. */
export interface Said extends Known {
  status: number
  details?: Record<string, unknown>
}

/** The error a step asks for, or null when it asks for none. */
export function errorOf({ status, error, errorAt }: Step): Said | null {
  const good = status === undefined || (status >= 200 && status < 300)
  if (good && !error && errorAt === undefined) return null
  const said = good ? statusOf(error?.type) : status
  return { status: said, ...(known[said] ?? other), ...error }
}

function statusOf(type: string | undefined): number {
  const found = Object.entries(known).find(([, error]) => error.type === type)
  return found ? Number(found[0]) : 500
}

/** The body of an error, and the data of an `error` event. */
export function errorBody({ type, message, details }: Said, requestId: string): Record<string, unknown> {
  return { type: 'error', error: { type, message, ...(details && { details }) }, request_id: requestId }
}

/** A refusal nobody scripted: the request itself is wrong. */
export function refusal(call: Call, status: number, message: string, type = (known[status] ?? other).type): Reply {
  return whole(errorBody({ status, type, message }, call.id), {}, null, status)
}
