// Small values with an end: strings by key, forgotten in time.
import { Broom } from './broom.ts'

interface Value {
  value: string
  until: number
  /** set again since it was last passed over */
  again: boolean
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
      return
    }
    this.#values.set(key, { value, until: at + ttlMs, again: false })
    if (this.#values.size > this.#capacity) this.#makeRoom()
  }

  delete(key: string): void {
    this.#values.delete(key)
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
