// Admit: a place among the requests a user, and a key, may have at once; waited for in turn.
import type { Outcome } from '../../core/outcome.ts'
import type { Downstream } from '../answer/downstream.ts'
import { type Caller, keyNow } from '../enter/authenticate.ts'
import type { Gateway } from '../gateway.ts'
import type { Lease } from './leases.ts'
import { keySlot, userSlot } from './places.ts'

/**
 * The key's own limit first: a key that is full must not hold its user's place while it waits.
 * @throws Failure QUEUE_FULL, USER_TIMEOUT, KEY_TIMEOUT
 */
export async function admit(gw: Gateway, caller: Caller, down: Downstream, outcome: Outcome): Promise<Disposable> {
  const { key, user } = caller
  const waitMs = gw.config['queue.wait']
  const place = (slot: string, limit: () => number, timeout: 'USER_TIMEOUT' | 'KEY_TIMEOUT'): Promise<Lease> =>
    gw.places.take({
      key: slot,
      limit,
      seats: Math.max(limit(), 1) + gw.config['queue.seats'],
      waitMs,
      outcome,
      down,
      timeout,
    })
  const ofUser = () => keyNow(gw, caller).user.concurrency
  if (key.concurrency === null) return place(userSlot(user.id), ofUser, 'USER_TIMEOUT')
  const own = await place(keySlot(key.id), () => keyNow(gw, caller).concurrency ?? 0, 'KEY_TIMEOUT')
  try {
    const shared = await place(userSlot(user.id), ofUser, 'USER_TIMEOUT')
    return {
      [Symbol.dispose]() {
        shared.release()
        own.release()
      },
    }
  } catch (error) {
    own.release()
    throw error
  }
}
