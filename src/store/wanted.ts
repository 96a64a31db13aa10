// What this process said lately that it waits for, so that it need not be said again.

export class Wanted {
  readonly #keys = new Set<string>()
  readonly #keptMs: number
  #until = 0

  /** `keptMs`: how long it is remembered what is said */
  constructor(keptMs: number) {
    this.#keptMs = keptMs
  }

  /** This process waits for it. Whether that needs to be said. */
  add(key: string): boolean {
    const at = performance.now()
    if (at >= this.#until) {
      this.#keys.clear()
      this.#until = at + this.#keptMs / 2
    }
    if (this.#keys.has(key)) return false
    this.#keys.add(key)
    return true
  }

  /** Nobody remembers any more. Returns what this process waited for. */
  forget(): string[] {
    this.#until = 0
    return [...this.#keys]
  }
}
