// Outcomes that have ended, looked at some at a time: done for one after another, the work runs from warm caches.
import type { Outcome } from './outcome.ts'

// Enough that the first of them, who finds the caches cold, is one of many; few enough that collections of garbage seldom find them.
const AT_ONCE = 32

export class Together {
  readonly #look: (outcome: Outcome) => void
  #waiting: Outcome[] = []

  /** `look` is called for each, in the order in which they were added; it may add none. */
  constructor(look: (outcome: Outcome) => void) {
    this.#look = look
  }

  /** Ends with it, or with one of the next. */
  add(outcome: Outcome): void {
    if (this.#waiting.push(outcome) >= AT_ONCE) this.settle()
  }

  /** Those that wait are looked at now. */
  settle(): void {
    const waiting = this.#waiting
    if (waiting.length === 0) return
    this.#waiting = []
    for (const outcome of waiting) this.#look(outcome)
  }
}
