// The store of a single process: plain maps.
import type { Store } from './store.ts'

export class MemoryStore implements Store {
  readonly #slots = new Map<string, Set<string>>()

  async acquire(key: string, holder: string, limit: number): Promise<boolean> {
    const holders = this.#slots.get(key)
    if (!holders) {
      this.#slots.set(key, new Set([holder]))
      return true
    }
    if (limit > 0 && holders.size >= limit && !holders.has(holder)) return false
    holders.add(holder)
    return true
  }

  async release(key: string, holder: string): Promise<void> {
    const holders = this.#slots.get(key)
    if (holders?.delete(holder) && holders.size === 0) this.#slots.delete(key)
  }

  async held(keys: readonly string[]): Promise<number[]> {
    return keys.map(key => this.#slots.get(key)?.size ?? 0)
  }
}
