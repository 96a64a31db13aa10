// What ended a request, in the words of Envoy's access log (%RESPONSE_FLAGS%), so that those who know them know ours; docs/errors.md has the table.
import type { FailureCode } from '../../lib/failure.ts'
import type { Outcome } from '../outcome.ts'

/** Of one that was answered, well or with the client's own error. */
export const ANSWERED = '-'

// What is not here is wrong in the request itself: DPE.
const causes: Partial<Record<FailureCode, string>> = {
  CLIENT_GONE: 'DC',
  HEAD_TIMEOUT: 'SI',
  BODY_TIMEOUT: 'SI',
  API_KEY_REQUIRED: 'UAEX',
  INVALID_API_KEY: 'UAEX',
  KEYS_DIFFER: 'UAEX',
  API_KEY_DISABLED: 'UAEX',
  API_KEY_EXPIRED: 'UAEX',
  USER_INACTIVE: 'UAEX',
  ACCESS_DENIED: 'UAEX',
  MODEL_NOT_ALLOWED: 'UAEX',
  MODEL_UNPRICED: 'UAEX',
  MODE_UNPRICED: 'UAEX',
  INSUFFICIENT_BALANCE: 'UAEX',
  QUOTA_EXHAUSTED: 'UAEX',
  LIMIT_TOO_SMALL: 'UAEX',
  SUBSCRIPTION_NOT_FOUND: 'UAEX',
  SUBSCRIPTION_INVALID: 'UAEX',
  TOO_MANY_BAD_KEYS: 'RL',
  USAGE_LIMIT_EXCEEDED: 'RL',
  MONEY_HELD: 'RL',
  KEY_RATE_LIMITED: 'RL',
  QUEUE_FULL: 'RL',
  USER_TIMEOUT: 'RL',
  KEY_TIMEOUT: 'RL',
  ACCOUNT_TIMEOUT: 'UO',
  GROUP_EXCLUSIVE: 'NR',
  NO_GROUP: 'NR',
  WRONG_PLATFORM: 'NR',
  NOT_FOUND: 'NR',
  METHOD_NOT_ALLOWED: 'NR',
  MODEL_NOT_FOUND: 'NR',
  NO_UPSTREAM: 'UH',
  ALL_RATE_LIMITED: 'UH',
  BOOKS_CLOSED: 'OM',
  BILLING_UNAVAILABLE: 'LR',
  LEASE_LOST: 'LR',
  DRAINING: 'LR',
  INTERNAL_ERROR: 'LR',
  UPSTREAM_BROKE: 'UC',
  UPSTREAM_IDLE: 'UT',
  UPSTREAM_TIMEOUT: 'DT',
  // It was the answer of every account that was asked.
  REQUEST_REFUSED: ANSWERED,
  REQUEST_TOO_LARGE: ANSWERED,
}

// Accounts were asked, and none would: how the last one ended says more than that they are at an end.
const exhausted = new Set<FailureCode>([
  'UPSTREAM_UNAUTHORIZED',
  'UPSTREAM_FORBIDDEN',
  'UPSTREAM_RATE_LIMITED',
  'UPSTREAM_OVERLOADED',
  'UPSTREAM_UNAVAILABLE',
  'UPSTREAM_FAILED',
  'NODE_TROUBLE',
])

/** One of the words, or two with a comma where several accounts were asked in vain; `-` for one that was answered. */
export function causeOf({ failure, attempts, error }: Outcome): string {
  if (failure === undefined) return (error !== '' && attempts.at(-1)?.cause) || ANSWERED
  const { code } = failure
  if (!exhausted.has(code)) return causes[code] ?? 'DPE'
  if (attempts.length === 0) return 'UH'
  const last = attempts.at(-1)!.cause
  if (last === '') return 'URX'
  return attempts.length === 1 ? last : `${last},URX`
}
