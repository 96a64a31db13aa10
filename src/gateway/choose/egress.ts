// Egress: what this process met at egress proxies. A dead one is no account's fault: who goes through it waits, and none has a strike.
import type { Through } from '../../egress/through.ts'
import { backoffMs } from '../../platform/verdict.ts'
import type { Veto } from './health.ts'

interface Out {
  /** it was made by this; a proxy that was changed since is tried at once */
  of: Through
  reason: string
  until: number
  strikes: number
}

export class Egress {
  readonly #out = new Map<number, Out>()
  readonly #random: () => number
  readonly #log: (line: string) => void

  constructor(options: { random: () => number; log: (line: string) => void }) {
    this.#random = options.random
    this.#log = options.log
  }

  /** Why nobody should be sent through it now. */
  veto(proxy: Through | null, now: number): Veto | undefined {
    if (proxy === null || this.#out.size === 0) return undefined
    const out = this.#out.get(proxy.id)
    if (!out || out.of !== proxy || out.until <= now) return undefined
    return { reason: `proxy out: ${out.reason}`, until: out.until, waitable: false, class: 'proxy' }
  }

  /** It made no connection. */
  failed(proxy: Through, reason: string, now: number): void {
    const before = this.#out.get(proxy.id)
    const same = before?.of === proxy ? before : undefined
    // Requests that were refused at once are one trouble.
    if (same && same.until > now) return
    const strikes = (same?.strikes ?? 0) + 1
    const until = now + backoffMs('proxy', strikes, this.#random)
    if (strikes === 1) this.#log(`${reason}; its accounts are left alone until it connects again`)
    this.#out.set(proxy.id, { of: proxy, reason, until, strikes })
  }

  /** The wall clock was set back by so much. */
  setBack(byMs: number): void {
    for (const out of this.#out.values()) out.until -= byMs
  }

  /** It made a connection. */
  reached(proxy: Through | null): void {
    if (proxy === null || this.#out.size === 0 || !this.#out.delete(proxy.id)) return
    this.#log(`proxy ${proxy.name}: it connects again`)
  }
}
