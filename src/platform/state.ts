// The state an account is in, in the words of operators: from its record, and from what upstreams said of it.
import type { VerdictClass } from './verdict.ts'

/** What there is against an account. */
export interface Held {
  /** '' is the whole account */
  model: string
  class: VerdictClass
  reason: string
  /** Unix ms */
  until: number
}

/** The state that a class of ailments puts a whole account in. */
export const byClass = {
  burst: 'rate_limited',
  window: 'rate_limited',
  quota: 'rate_limited',
  overload: 'overloaded',
  auth: 'ejected',
  payment: 'ejected',
  server: 'ejected',
  network: 'ejected',
  proxy: 'ejected',
  foreign: 'ejected',
  absent: 'ejected',
} as const satisfies Record<VerdictClass, string>

export interface AccountState {
  state: 'available' | 'paused' | 'error' | 'expired' | (typeof byClass)[VerdictClass]
  /** Unix ms when the state ends by itself, if it does */
  until: number | null
  reason: string | null
}

/** What the operator said goes before what upstreams said. Whether it is full is for who counts its places to say. */
export function accountState(
  account: { status: 'active' | 'paused' | 'error' | 'expired'; reason: string | null; expiresAt: number },
  held: readonly Held[],
  now: number,
): AccountState {
  if (account.status !== 'active') return { state: account.status, until: null, reason: account.reason }
  if (account.expiresAt !== 0 && account.expiresAt <= now) return { state: 'expired', until: null, reason: null }
  const lasting = held.filter(h => h.until > now)
  const whole = lasting.find(h => h.model === '')
  if (whole) return { state: byClass[whole.class], until: whole.until, reason: whole.reason }
  const without = lasting.map(h => `without ${h.model}: ${h.reason}`)
  return { state: 'available', until: null, reason: without.join('; ') || null }
}
