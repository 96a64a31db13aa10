// What went wrong with a request, in the words of operators: in which phase, how bad, and whose fault (spec/domain.md §12.4).
import type { ErrorOwner, ErrorPhase, ErrorSource, Severity } from '../../db/schema-watch.ts'
import { codes, type FailureCode } from '../../lib/failure.ts'
import type { AttemptRecord, Outcome } from '../outcome.ts'

export interface Classified {
  phase: ErrorPhase
  severity: Severity
  owner: ErrorOwner
  source: ErrorSource
  /** as the client was told, in the words that all dialects share; of what was recovered, the upstream's */
  type: string
  /** a limit of the user's own, or money that it has not: P3, and outside the SLA */
  limited: boolean
  /** another account answered: the client saw nothing of it */
  recovered: boolean
}

// What is not the client's own fault has its phase here; a code that is not named is `request` for a client, else `upstream`
// or `internal`, by whose fault it is.
const phases: Partial<Record<FailureCode, ErrorPhase>> = {
  API_KEY_REQUIRED: 'auth',
  INVALID_API_KEY: 'auth',
  KEYS_DIFFER: 'auth',
  TOO_MANY_BAD_KEYS: 'auth',
  API_KEY_DISABLED: 'auth',
  API_KEY_EXPIRED: 'auth',
  USER_INACTIVE: 'auth',
  ACCESS_DENIED: 'auth',
  MODEL_NOT_ALLOWED: 'auth',
  GROUP_EXCLUSIVE: 'auth',
  NO_GROUP: 'auth',
  MODEL_UNPRICED: 'billing',
  MODE_UNPRICED: 'billing',
  INSUFFICIENT_BALANCE: 'billing',
  QUOTA_EXHAUSTED: 'billing',
  USAGE_LIMIT_EXCEEDED: 'billing',
  LIMIT_TOO_SMALL: 'billing',
  MONEY_HELD: 'billing',
  SUBSCRIPTION_NOT_FOUND: 'billing',
  SUBSCRIPTION_INVALID: 'billing',
  BILLING_UNAVAILABLE: 'billing',
  BOOKS_CLOSED: 'billing',
  KEY_RATE_LIMITED: 'concurrency',
  QUEUE_FULL: 'concurrency',
  USER_TIMEOUT: 'concurrency',
  KEY_TIMEOUT: 'concurrency',
  ACCOUNT_TIMEOUT: 'concurrency',
  NO_UPSTREAM: 'routing',
}

const limits = new Set<FailureCode>([
  'INSUFFICIENT_BALANCE',
  'QUOTA_EXHAUSTED',
  'USAGE_LIMIT_EXCEEDED',
  'LIMIT_TOO_SMALL',
  'MONEY_HELD',
  'SUBSCRIPTION_NOT_FOUND',
  'SUBSCRIPTION_INVALID',
  'KEY_RATE_LIMITED',
  'QUEUE_FULL',
  'USER_TIMEOUT',
  'KEY_TIMEOUT',
])

// What an upstream told of the request itself, though it is we who tell it.
const theirs = new Set<FailureCode>(['REQUEST_REFUSED', 'REQUEST_TOO_LARGE'])

/** Whether a provider failed: an account, what it is reached through, or the way to it. */
export const isProvidersFault = ({ kind }: Pick<AttemptRecord, 'kind'>): boolean =>
  kind !== '' && kind !== 'client' && kind !== 'stale' && kind !== 'proofs'

/** Undefined when it went well, at the first account that was asked. */
export function classify(o: Outcome): Classified | undefined {
  if (o.failure) return ofFailure(o, o.failure.code)
  const { attempts } = o
  if (o.status >= 400) return answered(o.status < 500, attempts.at(-1))
  if (o.error !== '') return answered(attempts.at(-1)?.kind === 'client', attempts.at(-1))
  // A loop, since this is asked of every request.
  for (let i = attempts.length - 1; i >= 0; i--) if (isProvidersFault(attempts[i]!)) return recovered(attempts[i]!)
  return undefined
}

function recovered(failed: AttemptRecord): Classified {
  return {
    phase: failed.status === 0 ? 'network' : 'upstream',
    severity: 'P3',
    owner: 'provider',
    source: 'upstream_http',
    type: failed.errorType || 'upstream_error',
    limited: false,
    recovered: true,
  }
}

function ofFailure(o: Outcome, code: FailureCode): Classified {
  const { fault, type, status } = codes[code]
  const limited = limits.has(code)
  const phase = phases[code] ?? (fault === 'downstream' ? 'request' : fault === 'gateway' ? 'internal' : asked(o))
  return {
    phase,
    severity: fault === 'downstream' ? 'P3' : status >= 500 || status === 429 ? 'P1' : 'P2',
    owner: fault === 'downstream' ? 'client' : fault === 'gateway' ? 'platform' : 'provider',
    source:
      fault === 'upstream' || theirs.has(code) ? 'upstream_http' : fault === 'gateway' ? 'gateway' : 'client_request',
    type,
    limited,
    recovered: false,
  }
}

/** An upstream's error that its client had: of what the client did wrong, or in the middle of an answer. */
function answered(client: boolean, last: AttemptRecord | undefined): Classified {
  return {
    phase: client ? 'request' : 'upstream',
    severity: client ? 'P3' : 'P1',
    owner: client ? 'client' : 'provider',
    source: 'upstream_http',
    type: last?.errorType || (client ? 'invalid_request_error' : 'upstream_error'),
    limited: false,
    recovered: false,
  }
}

/** Whether an upstream answered at all, the last time. */
const asked = (o: Outcome): ErrorPhase => (o.attempts.at(-1)?.status === 0 ? 'network' : 'upstream')
