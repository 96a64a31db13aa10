// What this process knows of shared values: for the time that Redis is silent, and for when it lost them.
import { Values } from './values.ts'

/** How long a value that was read is kept, and how many. */
const COPY_MS = 10 * 60_000
const COPIES = 100_000

export class Copies {
  readonly #values: Values

  constructor(now: (() => number) | undefined) {
    this.#values = new Values(now, COPIES)
  }

  get(key: string): string | undefined {
    return this.#values.get(key)
  }

  set(key: string, value: string, ttlMs: number): void {
    this.#values.set(key, value, ttlMs)
  }

  delete(key: string): void {
    this.#values.delete(key)
  }

  /** Redis says so. Returns what it should have said, where it has lost it. */
  heard(key: string, value: string | undefined): { value: string; leftMs: number } | undefined {
    const known = this.#values.get(key)
    const leftMs = known === undefined ? 0 : this.#values.old(key)
    if (value !== undefined) {
      if (value !== known || leftMs > 0) this.#values.set(key, value, COPY_MS)
      return undefined
    }
    if (leftMs > 0) {
      this.#values.set(key, known!, leftMs)
      return { value: known!, leftMs }
    }
    this.#values.delete(key)
    return undefined
  }

  /** Redis has lost them all; each is put back when somebody asks for it. */
  forgotten(): void {
    this.#values.age()
  }
}
