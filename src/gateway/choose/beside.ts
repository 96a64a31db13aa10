// Beside the road: routes that generate nothing (counting tokens) take no place, wait for nobody, and have a health of their own.
import type { Lease } from '../admit/leases.ts'
import type { Call } from '../enter/receive.ts'
import { isMetered } from '../enter/routes.ts'
import type { Gateway } from '../gateway.ts'
import type { Health } from './health.ts'

/** Whether a call is beside the road. */
export const isBeside = (call: Call): boolean => !isMetered(call.route)

/** What is held against accounts on this call's road. */
export const healthFor = (gw: Gateway, call: Call): Health => (isBeside(call) ? gw.beside : gw.health)

/**
 * Health beside the road: of its own, so that what counting meets never keeps an account from generating, and a burst or an
 * overload of generating never keeps it from counting. What the upstream says of the credential itself holds on both sides: a
 * dead one is put in error by either, a refused or unpaid one on the road is left alone beside it too. Nobody waits here, so
 * there is no turn to prove oneself either.
 */
export function besideHealth(own: Health, road: Health): Health {
  return {
    ...own,
    veto(account, model, now) {
      const veto = own.veto(account, model, now)
      if (veto && !veto.waitable) return veto
      const met = road.veto(account, model, now)
      return met && !met.waitable && (met.class === 'auth' || met.class === 'payment') ? met : undefined
    },
  }
}

/** What stands for a place where none is taken. */
export const noPlace: Lease = {
  key: '',
  release() {},
  [Symbol.dispose]() {},
}
