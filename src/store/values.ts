// Small values with an end: strings by key, forgotten in time.
import { Broom } from './broom.ts'

interface Value {
  value: string
  until: number
  /** set again since it was last passed over */
  again: boolean
  generation: number
}

/**
 * Values of one process. Beyond `capacity` the one goes that was set longest ago, roughly: those set again get a second
 * chance, so that setting what is there moves nothing in the map.
 */
export class Values {
  readonly #values = new Map<string, Value>()
  readonly #capacity: number
  readonly #now: () => number
  readonly #broom = new Broom(this.#values, ({ until }, at) => until <= at)

  #generation = 0

  constructor(now: () => number = () => performance.now(), capacity: number = Number.POSITIVE_INFINITY) {
    this.#now = now
    this.#capacity = capacity
  }

  get(key: string): string | undefined {
    const found = this.#values.get(key)
    if (!found) return undefined
    if (found.until > this.#now()) return found.value
    this.#values.delete(key)
    return undefined
  }

  set(key: string, value: string, ttlMs: number): void {
    const at = this.#now()
    this.#broom.sweep(at)
    const found = this.#values.get(key)
    if (found) {
      found.value = value
      found.until = at + ttlMs
      found.again = true
      found.generation = this.#generation
      return
    }
    this.#values.set(key, { value, until: at + ttlMs, again: false, generation: this.#generation })
    if (this.#values.size > this.#capacity) this.#makeRoom()
  }

  delete(key: string): void {
    this.#values.delete(key)
  }

  /** What is there becomes old; what is set from now on is not. */
  age(): void {
    this.#generation++
  }

  /** The ms left to an old value; 0 when there is none, or it is not old. */
  old(key: string): number {
    const found = this.#values.get(key)
    return found && found.generation !== this.#generation ? Math.max(0, found.until - this.#now()) : 0
  }

  #makeRoom(): void {
    for (const [key, value] of this.#values) {
      this.#values.delete(key)
      if (!value.again) return
      value.again = false
      this.#values.set(key, value)
    }
  }
}
