// Whether an account can serve now, asked in this one place: it is available when it is healthy and not full.
import type { AccountFacts } from '../../core/snapshot.ts'
import type { Egress } from './egress.ts'
import type { Veto } from './health.ts'

/** What a request wants of an account, and when. */
export interface Asked {
  model: string
  /** Unix ms */
  now: number
  /** what upstreams said of an account */
  veto: (account: number, model: string, now: number) => Veto | undefined
  /** what was met at egress proxies; undefined: nothing */
  egress?: Pick<Egress, 'veto'> | undefined
}

/**
 * Why an account cannot serve the model now, or undefined when it is healthy.
 * Asked at the moment of choice, never kept: an account comes back by itself when its time has come.
 */
export function unhealthy(account: AccountFacts, { model, now, veto, egress }: Asked): Veto | undefined {
  if (account.status === 'paused') return paused
  if (account.status === 'error') return inError
  if (account.status === 'expired') return expired
  if (account.expiresAt !== 0 && account.expiresAt <= now) return expired
  if (account.models(model) === undefined) return notServed
  return veto(account.id, model, now) ?? egress?.veto(account.proxy, now)
}

const never = { until: 0, waitable: false, class: undefined }
const paused: Veto = { reason: 'paused', ...never }
const inError: Veto = { reason: 'in error', ...never }
const expired: Veto = { reason: 'expired', ...never }
const notServed: Veto = { reason: 'model not served', ...never }

/** Share of its concurrency that is taken; 0 without a limit. `held`: requests under way at it. */
export function loadOf(account: AccountFacts, held: number): number {
  return account.concurrency > 0 ? held / account.concurrency : 0
}

/** No place is left at it. */
export const full = (load: number): boolean => load >= 1
