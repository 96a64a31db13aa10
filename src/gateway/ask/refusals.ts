// Refusals: what every account that was asked said no with, as the one answer that their client gets.
import { Failure, type FailureCode } from '../../lib/failure.ts'
import type { VerdictClass } from '../../platform/verdict.ts'
import { better, type Out } from '../choose/out.ts'
import type { Refused } from './exchange.ts'

/** One account's no. */
export interface Refusal extends Refused {
  account: number
  /** Unix ms when it comes back; 0 when it is not out, or nobody knows */
  until: number
}

// When an account that is not out may be worth another try: a fault that was not repeated yet.
const AGAIN_MS = 5_000

// spec/domain.md §6.5; a broken upstream is 503, so that its client hears when to come back.
const codes: Partial<Record<VerdictClass, FailureCode>> = {
  burst: 'UPSTREAM_RATE_LIMITED',
  window: 'UPSTREAM_RATE_LIMITED',
  quota: 'UPSTREAM_RATE_LIMITED',
  overload: 'UPSTREAM_OVERLOADED',
  server: 'UPSTREAM_UNAVAILABLE',
  network: 'UPSTREAM_UNAVAILABLE',
  proxy: 'UPSTREAM_UNAVAILABLE',
}

const NODE_AGAIN_MS = 2_000

/** What a client hears of trouble that is ours. */
export function nodeTrouble({ code, verdict }: Refused): Failure {
  return new Failure('NODE_TROUBLE', [code], {
    cause: Object.assign(new Error(verdict.reason), { code }),
    retryAfterMs: NODE_AGAIN_MS,
  })
}

/**
 * What is said alike by all is what the client hears; else it hears of the account that is back first.
 * @param refusals at least one, in their order
 * @param out of those that were not asked, or of all; undefined when nothing keeps any other out
 * @param model as the client named it
 * @param now Unix ms
 */
export function exhaustedBy(refusals: readonly Refusal[], out: Out | undefined, model: string, now: number): Failure {
  const last = refusals.at(-1)!
  if (refusals.every(r => r.verdict.own)) return nodeTrouble(last)
  const cause = new Error(last.verdict.reason)
  if (refusals.every(r => r.verdict.class === 'absent') && (out === undefined || out.class === 'absent'))
    return new Failure('MODEL_NOT_FOUND', [model], { cause })
  if (refusals.every(r => r.verdict.told !== undefined)) {
    if (refusals.every(r => r.status === 413)) return new Failure('REQUEST_TOO_LARGE', [], { cause })
    const words =
      last.verdict.told || `Every account that serves this model refused the request with status ${last.status}.`
    return new Failure('REQUEST_REFUSED', [words], { cause })
  }
  let best = out
  for (const { verdict, until } of refusals.filter(r => !r.verdict.own))
    best = better(best, { class: verdict.class, until: until > now ? until : now + AGAIN_MS })
  const code = codes[best!.class]
  if (code) return new Failure(code, [], { cause, retryAfterMs: Math.max(1000, best!.until - now) })
  const refused = refusals.findLast(r => r.verdict.class === best!.class) ?? last
  if (refused.status === 401) return new Failure('UPSTREAM_UNAUTHORIZED', [], { cause })
  return new Failure(refused.status === 403 ? 'UPSTREAM_FORBIDDEN' : 'UPSTREAM_FAILED', [], { cause })
}
