// The brake: an address that keeps coming with unknown keys is refused for the rest of a minute without a look at them.
import { networkOf } from '../../lib/address.ts'

const SPAN_MS = 60_000
// An attacker may have as many addresses as it likes: the oldest are forgotten, so that they cost no more memory than this.
const ADDRESSES = 10_000

/**
 * Counts bad keys by client address, an IPv6 network of 64 bits as one, in this process. It saves work, it guards nothing:
 * a key is too long to be guessed. That is why a key which was good before passes it: looking that up costs nothing, and
 * one broken client behind a shared address does not lock the others out.
 */
export class Brake {
  readonly #now: () => number
  /** by network, those whose minute began first in front */
  readonly #seen = new Map<string, { bad: number; until: number }>()

  /** `now` in ms, of a clock that nobody sets */
  constructor(now: () => number) {
    this.#now = now
  }

  /** How long this address is still refused, ms; 0 when it is not. `limit` is how many bad keys it may show within a minute, 0 any number. */
  restMs(ip: string, limit: number): number {
    if (limit === 0 || this.#seen.size === 0 || ip === '') return 0
    const seen = this.#seen.get(networkOf(ip))
    return seen && seen.bad >= limit ? Math.max(0, seen.until - this.#now()) : 0
  }

  bad(ip: string): void {
    // A peer without an address (a unix socket) is whoever is behind it.
    if (ip === '') return
    const network = networkOf(ip)
    const seen = this.#seen.get(network)
    if (seen && seen.until > this.#now()) {
      seen.bad++
      return
    }
    this.#seen.delete(network)
    this.#seen.set(network, { bad: 1, until: this.#now() + SPAN_MS })
    if (this.#seen.size > ADDRESSES) this.#seen.delete(this.#seen.keys().next().value!)
  }
}
