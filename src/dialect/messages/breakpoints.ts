// Breakpoints of the cache: Anthropic takes four, and those that last an hour before those of five minutes.
import type { Ttl } from '../middle/form.ts'

export interface Cached {
  cache_control?: { type: 'ephemeral'; ttl?: '1h' }
}

const MOST = 4
/** What lasts longer than five minutes there lasts an hour here. */
const hours = new Set<Ttl>(['30m', '1h', '12h'])

export const cacheControl = (ttl: Ttl | undefined) =>
  ttl && hours.has(ttl) ? ({ type: 'ephemeral', ttl: '1h' } as const) : ({ type: 'ephemeral' } as const)

export class Breakpoints {
  readonly #marks: { block: Cached; ttl: Ttl }[] = []

  /** Called in the order of the prompt: tools, system, conversation. */
  mark(block: Cached, ttl: Ttl | undefined): void {
    if (ttl) this.#marks.push({ block, ttl })
  }

  get any(): boolean {
    return this.#marks.length > 0
  }

  /** Writes them; the first ones are left out where there are too many, since the last cover the most. @returns how many were left out */
  write(): number {
    const left = Math.max(0, this.#marks.length - MOST)
    let short = false
    for (const { block, ttl } of this.#marks.slice(left)) {
      const control = cacheControl(ttl)
      short ||= control.ttl === undefined
      block.cache_control = short ? { type: 'ephemeral' } : control
    }
    return left
  }
}
