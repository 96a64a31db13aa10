// Small values with an end: strings by key, forgotten in time.
import { Broom } from './broom.ts'

interface Value {
  value: string
  until: number
}

/** Values of one process. Beyond `capacity` the one set longest ago goes. */
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
    this.#values.delete(key) // so that the map's order is the order of setting
    this.#values.set(key, { value, until: at + ttlMs })
    if (this.#values.size > this.#capacity) this.#values.delete(this.#values.keys().next().value!)
  }

  delete(key: string): void {
    this.#values.delete(key)
  }
}
