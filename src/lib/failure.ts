// Every way a request can fail at a client, rendered by the caller's dialect; long, because it is one table of all of them.

/** Whose fault it is; decides the log level and, later, what counts against the SLA. */
export type Fault = 'downstream' | 'gateway' | 'upstream'

interface FailureKind {
  status: number
  /** error type in the words all dialects share; a dialect maps it where its own differs */
  type: string
  fault: Fault
  text: string
}

// Types and texts: spec/domain.md §2.3, §2.5, §3, §6.5.
export const codes = {
  API_KEY_REQUIRED: {
    status: 401,
    type: 'authentication_error',
    fault: 'downstream',
    text: 'An API key is required: send it as "Authorization: Bearer KEY", "x-api-key: KEY" or "x-goog-api-key: KEY".',
  },
  INVALID_API_KEY: {
    status: 401,
    type: 'authentication_error',
    fault: 'downstream',
    text: 'This API key is not known.',
  },
  KEYS_DIFFER: {
    status: 400,
    type: 'invalid_request_error',
    fault: 'downstream',
    text: 'This request brings more than one API key of this gateway (looked for in Authorization, x-api-key, x-goog-api-key, ?key= and ?api_key=); send one.',
  },
  TOO_MANY_BAD_KEYS: {
    status: 429,
    type: 'rate_limit_error',
    fault: 'downstream',
    text: 'Requests with unknown API keys keep coming from this address (%d within a minute); check the key, and retry later.',
  },
  API_KEY_DISABLED: {
    status: 401,
    type: 'authentication_error',
    fault: 'downstream',
    text: 'This API key has been revoked.',
  },
  API_KEY_EXPIRED: {
    status: 401,
    type: 'authentication_error',
    fault: 'downstream',
    text: 'This API key has expired.',
  },
  USER_INACTIVE: {
    status: 401,
    type: 'authentication_error',
    fault: 'downstream',
    text: 'User account is not active.',
  },
  ACCESS_DENIED: {
    status: 403,
    type: 'permission_error',
    fault: 'downstream',
    text: 'This API key may not be used from this address.',
  },
  MODEL_NOT_ALLOWED: {
    status: 403,
    type: 'permission_error',
    fault: 'downstream',
    text: 'This API key may not use model %s.',
  },
  MODEL_UNPRICED: {
    status: 400,
    type: 'invalid_request_error',
    fault: 'downstream',
    text: 'Model %s has no price here, so it cannot be billed; use another model, or ask the operator to run "gw price set".',
  },
  MODE_UNPRICED: {
    status: 400,
    type: 'invalid_request_error',
    fault: 'downstream',
    text: 'Model %s has no price here in %s, so it cannot be billed; ask without it, or ask the operator to run "gw price set".',
  },
  INSUFFICIENT_BALANCE: {
    status: 403,
    type: 'billing_error',
    fault: 'downstream',
    text: 'Insufficient account balance: %s USD is left, and this request may cost up to %s USD. Top up, or ask for fewer max_tokens.',
  },
  QUOTA_EXHAUSTED: {
    status: 403,
    type: 'billing_error',
    fault: 'downstream',
    text: 'The quota of this API key is exhausted: %s USD is left, and this request may cost up to %s USD.',
  },
  USAGE_LIMIT_EXCEEDED: {
    status: 429,
    type: 'rate_limit_error',
    fault: 'downstream',
    text: '%s usage limit exceeded: %s USD is left until %s, and this request may cost up to %s USD.',
  },
  LIMIT_TOO_SMALL: {
    status: 403,
    type: 'billing_error',
    fault: 'downstream',
    text: '%s usage limit is %s USD, and this one request may cost up to %s USD; ask for fewer max_tokens.',
  },
  MONEY_HELD: {
    status: 429,
    type: 'rate_limit_error',
    fault: 'downstream',
    text: 'What is left of the %s is put aside for requests under way (%s USD); this one may cost up to %s USD. Please retry when they are done.',
  },
  SUBSCRIPTION_NOT_FOUND: {
    status: 403,
    type: 'permission_error',
    fault: 'downstream',
    text: 'No active subscription found for this group.',
  },
  SUBSCRIPTION_INVALID: {
    status: 403,
    type: 'permission_error',
    fault: 'downstream',
    text: 'The subscription for this group has expired.',
  },
  KEY_RATE_LIMITED: {
    status: 429,
    type: 'rate_limit_error',
    fault: 'downstream',
    text: 'Rate limit of this API key exceeded (%s), please retry later.',
  },
  BILLING_UNAVAILABLE: {
    status: 503,
    type: 'api_error',
    fault: 'gateway',
    text: 'The gateway cannot look up your balance right now, please retry.',
  },
  BOOKS_CLOSED: {
    status: 503,
    type: 'api_error',
    fault: 'gateway',
    text: 'The gateway cannot record usage right now (%s), please retry later.',
  },
  GROUP_EXCLUSIVE: {
    status: 403,
    type: 'permission_error',
    fault: 'downstream',
    text: 'Group %s is only for users who were let in; ask the operator to run "gw group allow %s %s".',
  },
  NO_GROUP: {
    status: 403,
    type: 'permission_error',
    fault: 'downstream',
    text: 'This API key belongs to no group; ask the operator to run "gw key set KEY --group GROUP".',
  },
  WRONG_PLATFORM: {
    status: 400,
    type: 'invalid_request_error',
    fault: 'downstream',
    text: "This key's group serves platform %s, which has nothing for %s; it can use %s.",
  },
  NOT_FOUND: { status: 404, type: 'not_found_error', fault: 'downstream', text: 'No route %s.' },
  METHOD_NOT_ALLOWED: {
    status: 405,
    type: 'invalid_request_error',
    fault: 'downstream',
    text: '%s is not allowed on %s; use %s.',
  },
  REQUEST_MALFORMED: {
    status: 400,
    type: 'invalid_request_error',
    fault: 'downstream',
    text: 'This is no request of HTTP/1.1: %s.',
  },
  HOST_INVALID: {
    status: 400,
    type: 'invalid_request_error',
    fault: 'downstream',
    text: 'A request needs one Host header, with a name or an address and perhaps a port in it.',
  },
  VERSION_UNSUPPORTED: {
    status: 505,
    type: 'invalid_request_error',
    fault: 'downstream',
    text: 'HTTP/1.1 is spoken here, and HTTP/1.0; no other version.',
  },
  CODING_UNSUPPORTED: {
    status: 501,
    type: 'invalid_request_error',
    fault: 'downstream',
    text: 'The only transfer coding that is understood here is chunked.',
  },
  HEAD_TOO_LARGE: {
    status: 431,
    type: 'invalid_request_error',
    fault: 'downstream',
    text: 'The head of the request is too large, limit is %s.',
  },
  HEAD_TIMEOUT: {
    status: 408,
    type: 'timeout_error',
    fault: 'downstream',
    text: 'The head of the request did not arrive within %s.',
  },
  UPGRADE_REFUSED: {
    status: 426,
    type: 'invalid_request_error',
    fault: 'downstream',
    text: 'WebSocket is not spoken here; use plain HTTP requests.',
  },
  BODY_TOO_LARGE: {
    status: 413,
    type: 'request_too_large',
    fault: 'downstream',
    text: 'Request body too large, limit is %s.',
  },
  BODY_UNREADABLE: {
    status: 400,
    type: 'invalid_request_error',
    fault: 'downstream',
    text: 'Failed to read request body: %s.',
  },
  BODY_TIMEOUT: {
    status: 408,
    type: 'timeout_error',
    fault: 'downstream',
    text: 'The request body did not arrive within %s.',
  },
  BODY_EMPTY: { status: 400, type: 'invalid_request_error', fault: 'downstream', text: 'Request body is empty.' },
  BODY_INVALID: {
    status: 400,
    type: 'invalid_request_error',
    fault: 'downstream',
    text: 'Failed to parse request body: %s.',
  },
  ENCODING_UNSUPPORTED: {
    status: 415,
    type: 'invalid_request_error',
    fault: 'downstream',
    text: 'Content-Encoding %s is not supported; use gzip, deflate, br, zstd or none.',
  },
  MODEL_REQUIRED: { status: 400, type: 'invalid_request_error', fault: 'downstream', text: 'model is required.' },
  MODEL_IS_KEY: {
    status: 400,
    type: 'invalid_request_error',
    fault: 'downstream',
    text: 'The name of the model looks like an API key, so it was neither sent on nor written down; send keys in x-api-key.',
  },
  QUEUE_FULL: {
    status: 429,
    type: 'rate_limit_error',
    fault: 'downstream',
    text: 'Too many pending requests (%d may wait), please retry later.',
  },
  USER_TIMEOUT: {
    status: 429,
    type: 'rate_limit_error',
    fault: 'downstream',
    text: 'Concurrency limit exceeded for user (limit %d), please retry later.',
  },
  KEY_TIMEOUT: {
    status: 429,
    type: 'rate_limit_error',
    fault: 'downstream',
    text: 'Concurrency limit exceeded for this API key (limit %d), please retry later.',
  },
  ACCOUNT_TIMEOUT: {
    status: 429,
    type: 'rate_limit_error',
    fault: 'gateway',
    text: 'Concurrency limit exceeded for account, please retry later.',
  },
  ALL_RATE_LIMITED: {
    status: 429,
    type: 'rate_limit_error',
    fault: 'upstream',
    text: 'Every account that serves this model is out for now, please retry later.',
  },
  LEASE_LOST: {
    status: 503,
    type: 'api_error',
    fault: 'gateway',
    text: 'The gateway stood still and lost this request its place, please retry.',
  },
  MODEL_NOT_FOUND: {
    status: 404,
    type: 'not_found_error',
    fault: 'downstream',
    text: 'model: %s (no account here serves it)',
  },
  UNTRANSLATABLE: {
    status: 400,
    type: 'invalid_request_error',
    fault: 'downstream',
    text: '%s: %s.',
  },
  REQUEST_REFUSED: { status: 400, type: 'invalid_request_error', fault: 'downstream', text: '%s' },
  REQUEST_TOO_LARGE: {
    status: 413,
    type: 'request_too_large',
    fault: 'downstream',
    text: 'Request body too large for every account that serves this model.',
  },
  NODE_TROUBLE: {
    status: 503,
    type: 'api_error',
    fault: 'gateway',
    text: 'The gateway itself cannot connect to any provider right now (%s), please retry.',
  },
  NO_UPSTREAM: { status: 503, type: 'api_error', fault: 'gateway', text: 'No available accounts: %s.' },
  UPSTREAM_UNAUTHORIZED: {
    status: 502,
    type: 'upstream_error',
    fault: 'upstream',
    text: 'Upstream authentication failed, please contact administrator.',
  },
  UPSTREAM_FORBIDDEN: {
    status: 502,
    type: 'upstream_error',
    fault: 'upstream',
    text: 'Upstream access forbidden, please contact administrator.',
  },
  UPSTREAM_RATE_LIMITED: {
    status: 429,
    type: 'rate_limit_error',
    fault: 'upstream',
    text: 'Upstream rate limit exceeded, please retry later.',
  },
  UPSTREAM_OVERLOADED: {
    status: 503,
    type: 'overloaded_error',
    fault: 'upstream',
    text: 'Upstream service overloaded, please retry later.',
  },
  UPSTREAM_UNAVAILABLE: {
    status: 503,
    type: 'upstream_error',
    fault: 'upstream',
    text: 'Upstream service temporarily unavailable.',
  },
  UPSTREAM_FAILED: { status: 502, type: 'upstream_error', fault: 'upstream', text: 'Upstream request failed.' },
  UPSTREAM_BROKE: {
    status: 502,
    type: 'api_error',
    fault: 'upstream',
    text: 'The upstream broke off in the middle of its answer.',
  },
  UPSTREAM_IDLE: { status: 504, type: 'timeout_error', fault: 'upstream', text: 'The upstream was silent for %s.' },
  UPSTREAM_TIMEOUT: {
    status: 504,
    type: 'timeout_error',
    fault: 'upstream',
    text: 'The upstream did not finish its answer within %s; ask for a stream, which has no such limit, or for less.',
  },
  DRAINING: { status: 503, type: 'api_error', fault: 'gateway', text: 'The gateway %s, please retry.' },
  CLIENT_GONE: { status: 499, type: 'api_error', fault: 'downstream', text: 'The client closed the connection.' },
  INTERNAL_ERROR: { status: 500, type: 'api_error', fault: 'gateway', text: 'Internal error.' },
} as const satisfies Record<string, FailureKind>

export type FailureCode = keyof typeof codes

const none: readonly string[] = []

/** A request that ends without an answer from an upstream. Rooms throw it; only the corridor renders it. */
export class Failure extends Error {
  readonly code: FailureCode
  readonly status: number
  readonly type: string
  readonly fault: Fault
  /** when to come back, ms; sent as Retry-After */
  readonly retryAfterMs: number | undefined
  /** headers that belong to it (`allow` …), names and values in turn */
  readonly fields: readonly string[]
  /** the field of the request that it is about, in the client's own words; undefined: none */
  readonly param: string | undefined

  /** `values` fill the `%s` and `%d` of the code's text, in order. */
  constructor(
    code: FailureCode,
    values: readonly (string | number)[] = [],
    options: ErrorOptions & { retryAfterMs?: number; fields?: readonly string[]; param?: string } = {},
  ) {
    const kind: FailureKind = codes[code]
    let i = 0
    super(
      kind.text.replace(/%[sd]/g, () => String(values[i++] ?? '')),
      options,
    )
    this.name = 'Failure'
    this.code = code
    this.status = kind.status
    this.type = kind.type
    this.fault = kind.fault
    this.retryAfterMs = options.retryAfterMs
    this.fields = options.fields ?? none
    this.param = options.param
  }
}

/** Anything thrown, as a Failure: what is not one already is a bug of ours. */
export function toFailure(error: unknown): Failure {
  return error instanceof Failure ? error : new Failure('INTERNAL_ERROR', [], { cause: error })
}
