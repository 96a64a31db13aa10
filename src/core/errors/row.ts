// A failed request as a row of the error log: everything that is known of it, fit for Postgres and for anybody's eyes.
import { isIP } from 'node:net'
import type { ErrorLogTable, LoggedAttempt } from '../../db/schema-watch.ts'
import { scrub } from '../../lib/credentials.ts'
import type { FailureCode } from '../../lib/failure.ts'
import type { AttemptRecord, Outcome } from '../outcome.ts'
import { causeOf } from './cause.ts'
import { type Classified, isProvidersFault } from './classify.ts'

/** Columns by name, as JSON has them: times as ISO 8601. */
export type ErrorRow = Omit<ErrorLogTable, 'at' | 'attempts'> & { at: string; attempts: LoggedAttempt[] }

// What a client or an upstream made up has no end of its own.
const MESSAGE_CHARACTERS = 1000
const NAME_CHARACTERS = 200
const ATTEMPTS = 32
const SMALLINT = 32_767
const INTEGER = 2_147_483_647

// Another try of the same request would not end otherwise, though its status says that it might.
const hopeless = new Set<FailureCode>([
  'UPSTREAM_UNAUTHORIZED',
  'UPSTREAM_FORBIDDEN',
  'VERSION_UNSUPPORTED',
  'CODING_UNSUPPORTED',
])

/** `process` is this life of this process. */
export function rowOf(o: Outcome, found: Classified, process: string): ErrorRow {
  const { failure, attempts } = o
  const blamed = blamedOf(o, found)
  const answered = blamed !== undefined && blamed.status > 0
  return {
    at: new Date(o.at + o.durationMs).toISOString(),
    request_id: o.id,
    process,
    ip: addressOf(o.ip),
    user_id: o.userId || null,
    key_id: o.keyId || null,
    group_id: o.groupId,
    account_id: (found.recovered ? blamed?.accountId : undefined) ?? o.accountId,
    phase: found.phase,
    type: cut(found.type, NAME_CHARACTERS),
    code: failure?.code ?? codeOf(found, blamed),
    severity: found.severity,
    owner: found.owner,
    source: found.source,
    limited: found.limited,
    recovered: found.recovered,
    status: o.status,
    platform: o.platform,
    model: cut(o.model, NAME_CHARACTERS),
    dialect: o.dialect,
    method: cut(o.method, NAME_CHARACTERS),
    path: cut(o.path, NAME_CHARACTERS),
    stream: o.stream,
    message: cut(scrub(found.recovered ? (blamed?.error ?? '') : o.error), MESSAGE_CHARACTERS),
    upstream_status: answered ? Math.min(SMALLINT, blamed.status) : null,
    upstream_type: (blamed && cut(blamed.errorType, NAME_CHARACTERS)) || null,
    upstream_code: (blamed && cut(blamed.errorCode, NAME_CHARACTERS)) || null,
    upstream_excerpt: blamed?.excerpt || null,
    upstream_request_id: (blamed && cut(blamed.requestId, NAME_CHARACTERS)) || null,
    retryable: isRetryable(o, found),
    user_actionable: found.owner === 'client',
    retries: Math.min(SMALLINT, Math.max(0, attempts.length - 1)),
    completion: o.completion,
    cause: causeOf(o),
    duration_ms: Math.min(INTEGER, o.durationMs),
    first_token_ms: o.firstTokenMs || null,
    attempts: attempts.slice(-ATTEMPTS).map(attempt => loggedOf(o, attempt)),
  }
}

/** About how much memory a row takes that waits, bytes. */
export function weightOf({ message, upstream_excerpt, attempts, model, path }: ErrorRow): number {
  let bytes = 1200 + message.length + (upstream_excerpt?.length ?? 0) + model.length + path.length
  for (const attempt of attempts) bytes += 300 + attempt.message.length
  // As UTF-16, where anything in it is not Latin.
  return 2 * bytes
}

// The attempt that says why: the last one that failed; of a request that ended before any, none.
function blamedOf({ attempts }: Outcome, { recovered }: Classified): AttemptRecord | undefined {
  return recovered ? attempts.findLast(isProvidersFault) : attempts.at(-1)
}

// What a client would have heard of an account that failed it (gateway/ask/refusals.ts), by the class of the verdict.
const codesOfKinds: Record<string, FailureCode> = {
  burst: 'UPSTREAM_RATE_LIMITED',
  window: 'UPSTREAM_RATE_LIMITED',
  quota: 'UPSTREAM_RATE_LIMITED',
  overload: 'UPSTREAM_OVERLOADED',
  server: 'UPSTREAM_UNAVAILABLE',
  network: 'UPSTREAM_UNAVAILABLE',
  proxy: 'UPSTREAM_UNAVAILABLE',
  auth: 'UPSTREAM_UNAUTHORIZED',
}

function codeOf({ owner, recovered }: Classified, blamed: AttemptRecord | undefined): FailureCode {
  if (recovered) return codesOfKinds[blamed?.kind ?? ''] ?? 'UPSTREAM_FAILED'
  // An upstream's words, which we passed on.
  return owner === 'client' ? 'REQUEST_REFUSED' : 'UPSTREAM_BROKE'
}

function isRetryable({ failure, status }: Outcome, { owner }: Classified): boolean {
  if (failure && hopeless.has(failure.code)) return false
  return status === 408 || status === 429 || status >= 500 || (status < 400 && owner !== 'client')
}

function loggedOf(o: Outcome, attempt: AttemptRecord): LoggedAttempt {
  return {
    at: new Date(o.at + attempt.startedMs).toISOString(),
    platform: attempt.platform,
    account: cut(attempt.account, NAME_CHARACTERS),
    account_id: attempt.accountId,
    status: attempt.status,
    kind: attempt.kind,
    request_id: cut(attempt.requestId, NAME_CHARACTERS),
    message: cut(scrub(attempt.error), MESSAGE_CHARACTERS),
    ms: Math.max(0, attempt.endedMs - attempt.startedMs),
  }
}

function addressOf(ip: string): string | null {
  // A zone is this machine's own word, and Postgres knows none.
  const [address = ''] = ip.split('%')
  return isIP(address) === 0 ? null : address
}

// A string of its own: a slice would keep alive all that it was cut from. Postgres takes no NUL and no half of a pair of
// surrogates, of which bytes make a U+FFFD.
function cut(text: string, most: number): string {
  return Buffer.from(text.length > most ? `${text.slice(0, most - 1)}…` : text)
    .toString()
    .replaceAll('\0', ' ')
}
