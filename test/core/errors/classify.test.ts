// What an error is: of every failure code and every way an attempt ends, its phase, severity, owner and cause (spec/domain.md §12.4).
import t from 'tap'
import { causeOf } from '../../../src/core/errors/cause.ts'
import { classify } from '../../../src/core/errors/classify.ts'
import { rowOf } from '../../../src/core/errors/row.ts'
import { type AttemptRecord, Outcome } from '../../../src/core/outcome.ts'
import { codes, Failure, type FailureCode } from '../../../src/lib/failure.ts'

interface Case {
  code?: FailureCode
  status?: number
  error?: string
  attempts?: Partial<AttemptRecord>[]
}

function outcome({ code, status, error = '', attempts = [] }: Case): Outcome {
  const o = new Outcome({
    id: '01935b1e-7d1f-7abc-8def-0123456789ab',
    at: 1_700_000_000_000,
    method: 'POST',
    path: '/v1/messages',
    ip: '192.0.2.7',
  })
  for (const [i, more] of attempts.entries())
    Object.assign(o.attempt({ id: i + 1, name: `a${i + 1}`, platform: 'anthropic' }, o.at), more)
  if (code) o.failure = new Failure(code)
  o.status = status ?? o.failure?.status ?? 200
  o.error = error || (o.failure?.message ?? '')
  return o
}

/** In a line: phase severity owner source cause, and `limited`, `retry`, `client` where they hold. */
function told(o: Outcome): string {
  const found = classify(o)
  if (!found) return 'no error'
  const row = rowOf(o, found, 'p')
  const marks = [row.limited && 'limited', row.retryable && 'retry', row.user_actionable && 'client']
  return [row.phase, row.severity, row.owner, row.source, causeOf(o), ...marks.filter(Boolean)].join(' ')
}

// Of requests that ended before any account was asked.
const table: Record<FailureCode, string> = {
  API_KEY_REQUIRED: 'auth P3 client client_request UAEX client',
  INVALID_API_KEY: 'auth P3 client client_request UAEX client',
  KEYS_DIFFER: 'auth P3 client client_request UAEX client',
  TOO_MANY_BAD_KEYS: 'auth P3 client client_request RL retry client',
  API_KEY_DISABLED: 'auth P3 client client_request UAEX client',
  API_KEY_EXPIRED: 'auth P3 client client_request UAEX client',
  USER_INACTIVE: 'auth P3 client client_request UAEX client',
  ACCESS_DENIED: 'auth P3 client client_request UAEX client',
  MODEL_NOT_ALLOWED: 'auth P3 client client_request UAEX client',
  MODEL_UNPRICED: 'billing P3 client client_request UAEX client',
  MODE_UNPRICED: 'billing P3 client client_request UAEX client',
  INSUFFICIENT_BALANCE: 'billing P3 client client_request UAEX limited client',
  QUOTA_EXHAUSTED: 'billing P3 client client_request UAEX limited client',
  USAGE_LIMIT_EXCEEDED: 'billing P3 client client_request RL limited retry client',
  LIMIT_TOO_SMALL: 'billing P3 client client_request UAEX limited client',
  MONEY_HELD: 'billing P3 client client_request RL limited retry client',
  SUBSCRIPTION_NOT_FOUND: 'billing P3 client client_request UAEX limited client',
  SUBSCRIPTION_INVALID: 'billing P3 client client_request UAEX limited client',
  KEY_RATE_LIMITED: 'concurrency P3 client client_request RL limited retry client',
  BILLING_UNAVAILABLE: 'billing P1 platform gateway LR retry',
  BOOKS_CLOSED: 'billing P1 platform gateway OM retry',
  GROUP_EXCLUSIVE: 'auth P3 client client_request NR client',
  NO_GROUP: 'auth P3 client client_request NR client',
  WRONG_PLATFORM: 'request P3 client client_request NR client',
  NOT_FOUND: 'request P3 client client_request NR client',
  METHOD_NOT_ALLOWED: 'request P3 client client_request NR client',
  REQUEST_MALFORMED: 'request P3 client client_request DPE client',
  HOST_INVALID: 'request P3 client client_request DPE client',
  VERSION_UNSUPPORTED: 'request P3 client client_request DPE client',
  CODING_UNSUPPORTED: 'request P3 client client_request DPE client',
  HEAD_TOO_LARGE: 'request P3 client client_request DPE client',
  HEAD_TIMEOUT: 'request P3 client client_request SI retry client',
  UPGRADE_REFUSED: 'request P3 client client_request DPE client',
  BODY_TOO_LARGE: 'request P3 client client_request DPE client',
  BODY_UNREADABLE: 'request P3 client client_request DPE client',
  BODY_TIMEOUT: 'request P3 client client_request SI retry client',
  BODY_EMPTY: 'request P3 client client_request DPE client',
  BODY_INVALID: 'request P3 client client_request DPE client',
  ENCODING_UNSUPPORTED: 'request P3 client client_request DPE client',
  MODEL_REQUIRED: 'request P3 client client_request DPE client',
  MODEL_IS_KEY: 'request P3 client client_request DPE client',
  QUEUE_FULL: 'concurrency P3 client client_request RL limited retry client',
  USER_TIMEOUT: 'concurrency P3 client client_request RL limited retry client',
  KEY_TIMEOUT: 'concurrency P3 client client_request RL limited retry client',
  ACCOUNT_TIMEOUT: 'concurrency P1 platform gateway UO retry',
  ALL_RATE_LIMITED: 'upstream P1 provider upstream_http UH retry',
  LEASE_LOST: 'internal P1 platform gateway LR retry',
  MODEL_NOT_FOUND: 'request P3 client client_request NR client',
  UNTRANSLATABLE: 'request P3 client client_request DPE client',
  REQUEST_REFUSED: 'request P3 client upstream_http - client',
  REQUEST_TOO_LARGE: 'request P3 client upstream_http - client',
  NODE_TROUBLE: 'internal P1 platform gateway UH retry',
  NO_UPSTREAM: 'routing P1 platform gateway UH retry',
  UPSTREAM_UNAUTHORIZED: 'upstream P1 provider upstream_http UH',
  UPSTREAM_FORBIDDEN: 'upstream P1 provider upstream_http UH',
  UPSTREAM_RATE_LIMITED: 'upstream P1 provider upstream_http UH retry',
  UPSTREAM_OVERLOADED: 'upstream P1 provider upstream_http UH retry',
  UPSTREAM_UNAVAILABLE: 'upstream P1 provider upstream_http UH retry',
  UPSTREAM_FAILED: 'upstream P1 provider upstream_http UH retry',
  UPSTREAM_BROKE: 'upstream P1 provider upstream_http UC retry',
  UPSTREAM_IDLE: 'upstream P1 provider upstream_http UT retry',
  UPSTREAM_TIMEOUT: 'upstream P1 provider upstream_http DT retry',
  DRAINING: 'internal P1 platform gateway LR retry',
  CLIENT_GONE: 'request P3 client client_request DC client',
  INTERNAL_ERROR: 'internal P1 platform gateway LR retry',
}

t.test('§12.4: every failure has its phase, severity, owner, source and cause', async t => {
  for (const code of Object.keys(codes) as FailureCode[]) t.equal(told(outcome({ code })), table[code], code)
})

t.test('§12.4 [W]: a user over a limit of their own is P3, and no business of the SLA', async t => {
  const limited = (Object.keys(codes) as FailureCode[]).filter(code => classify(outcome({ code }))!.limited)
  t.strictSame(limited, [
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
  for (const code of limited) {
    const found = classify(outcome({ code }))!
    t.strictSame([found.owner, found.severity], ['client', 'P3'], code)
  }
})

const ok = { status: 200 }
const reset = { status: 0, kind: 'network', cause: 'UC', error: 'ECONNRESET: connection reset' }
const refused = { status: 0, kind: 'network', cause: 'UF', error: 'connect ECONNREFUSED' }
const silent = { status: 0, kind: 'network', cause: 'UT', error: 'no response head in time' }
const busy = { status: 529, kind: 'overload', error: 'overloaded', errorType: 'overloaded_error' }

const ways: [why: string, what: Case, told: string][] = [
  ['answered at once', { attempts: [ok] }, 'no error'],
  ['answered here', {}, 'no error'],
  ['another account answered', { attempts: [busy, ok] }, 'upstream P3 provider upstream_http - retry'],
  ['no connection to the first', { attempts: [refused, ok] }, 'network P3 provider upstream_http - retry'],
  ['a stale connection is no error', { attempts: [{ ...reset, kind: 'stale' }, ok] }, 'no error'],
  [
    'nor are proofs that are left out',
    { attempts: [{ status: 400, kind: 'proofs', error: 'refused the proofs of reasoning' }, ok] },
    'no error',
  ],
  [
    'one that failed before, too',
    { attempts: [busy, { ...reset, kind: 'stale' }, ok] },
    'upstream P3 provider upstream_http - retry',
  ],
  [
    'the client was told what it did wrong',
    { status: 400, attempts: [{ status: 400, kind: 'client', errorType: 'invalid_request_error' }] },
    'request P3 client upstream_http - client',
  ],
  [
    'likewise, inside a stream',
    { error: 'prompt is too long', attempts: [{ status: 200, kind: 'client', error: 'prompt is too long' }] },
    'request P3 client upstream_http - client',
  ],
  [
    'an error in the middle of an answer',
    { error: 'Overloaded', attempts: [{ status: 200, kind: 'server', cause: 'UR', error: 'Overloaded' }] },
    'upstream P1 provider upstream_http UR retry',
  ],
  [
    'the only account is overloaded',
    { code: 'UPSTREAM_OVERLOADED', attempts: [busy] },
    'upstream P1 provider upstream_http URX retry',
  ],
  [
    'so are all of them',
    { code: 'UPSTREAM_OVERLOADED', attempts: [busy, busy] },
    'upstream P1 provider upstream_http URX retry',
  ],
  [
    'nobody listens',
    { code: 'UPSTREAM_UNAVAILABLE', attempts: [refused] },
    'network P1 provider upstream_http UF retry',
  ],
  [
    'nobody anywhere',
    { code: 'UPSTREAM_UNAVAILABLE', attempts: [busy, refused] },
    'network P1 provider upstream_http UF,URX retry',
  ],
  [
    'it hung up, every time',
    { code: 'UPSTREAM_UNAVAILABLE', attempts: [reset, reset] },
    'network P1 provider upstream_http UC,URX retry',
  ],
  ['no head came', { code: 'UPSTREAM_UNAVAILABLE', attempts: [silent] }, 'network P1 provider upstream_http UT retry'],
  [
    'no whole answer came in time',
    { code: 'UPSTREAM_TIMEOUT', attempts: [silent] },
    'network P1 provider upstream_http DT retry',
  ],
  [
    'it broke off in the middle',
    { code: 'UPSTREAM_BROKE', attempts: [{ ...reset, status: 200 }] },
    'upstream P1 provider upstream_http UC retry',
  ],
  [
    'this machine cannot connect',
    { code: 'NODE_TROUBLE', attempts: [refused] },
    'internal P1 platform gateway UF retry',
  ],
]

t.test('§12.4: so has every way in which accounts answer', async t => {
  for (const [why, what, expected] of ways) t.equal(told(outcome(what)), expected, why)
})

t.test('what was recovered is marked, and its client saw nothing of it', async t => {
  for (const { attempts } of [{ attempts: [busy, ok] }, { attempts: [reset, busy, ok] }]) {
    const found = classify(outcome({ attempts }))!
    t.strictSame([found.recovered, found.severity, found.type], [true, 'P3', 'overloaded_error'])
  }
  t.equal(classify(outcome({ code: 'UPSTREAM_OVERLOADED', attempts: [busy, busy] }))!.recovered, false)
})
