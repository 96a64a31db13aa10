// Out: what keeps accounts from serving, as the one word of it that a client should hear.
import { Failure } from '../../lib/failure.ts'
import type { VerdictClass } from '../../platform/verdict.ts'

/** An account is out, by its upstream's word. */
export interface Out {
  class: VerdictClass
  /** Unix ms when it comes back */
  until: number
}

// What ends by itself, what somebody must mend, and what waiting does not change.
const rank: Record<VerdictClass, number> = {
  burst: 0,
  window: 0,
  quota: 0,
  overload: 0,
  server: 0,
  network: 0,
  proxy: 0,
  auth: 1,
  payment: 1,
  foreign: 1,
  absent: 2,
}

/** The better news of two: what ends by itself before what somebody must mend, and of the like what ends first. */
export function better(one: Out | undefined, other: Out): Out {
  if (one === undefined) return other
  const by = rank[one.class] - rank[other.class] || one.until - other.until
  return by < 0 ? one : other
}

/**
 * The truth for who could ask nobody, since all are out. `why`: the counts of what keeps them out.
 * @param now Unix ms
 */
export function allOut(out: Out, why: string, now: number): Failure {
  const retryAfterMs = Math.max(1000, out.until - now)
  switch (out.class) {
    case 'burst':
    case 'window':
    case 'quota':
      return new Failure('ALL_RATE_LIMITED', [], { retryAfterMs })
    case 'overload':
      return new Failure('UPSTREAM_OVERLOADED', [], { retryAfterMs })
    case 'server':
    case 'network':
    case 'proxy':
      return new Failure('UPSTREAM_UNAVAILABLE', [], { retryAfterMs })
    default:
      return new Failure('NO_UPSTREAM', [why], { retryAfterMs })
  }
}
