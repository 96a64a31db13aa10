// Admit: a place among the requests a user may have at once.
import { Failure } from '../lib/failure.ts'
import type { Store } from '../store/store.ts'
import type { Caller } from './authenticate.ts'
import type { Gateway } from './gateway.ts'

/** A place held under a limit; giving it back twice is fine. */
export class Slot {
  #held = true
  readonly #store: Store
  readonly #key: string
  readonly #holder: string
  constructor(store: Store, key: string, holder: string) {
    this.#store = store
    this.#key = key
    this.#holder = holder
  }
  release(): void {
    if (!this.#held) return
    this.#held = false
    void this.#store.release(this.#key, this.#holder)
  }
  [Symbol.dispose](): void {
    this.release()
  }
}

export const userSlot = (id: number): string => `slot:user:${id}`
export const accountSlot = (id: number): string => `slot:account:${id}`

/** @throws Failure USER_CONCURRENCY when every place is taken */
export async function admit(gw: Gateway, caller: Caller, requestId: string): Promise<Slot> {
  const { id, concurrency } = caller.user
  const key = userSlot(id)
  if (!(await gw.store.acquire(key, requestId, concurrency)))
    throw new Failure('USER_CONCURRENCY', [concurrency], { retryAfterMs: 1000 })
  return new Slot(gw.store, key, requestId)
}
