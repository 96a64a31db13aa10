// Forgets what is over, a little at every step: without a timer, and without a long pause.

/** Goes round a map for ever; each `sweep` looks at two entries, so what nobody asks for again goes too. */
export class Broom<T> {
  readonly #map: Map<string, T>
  readonly #isOver: (value: T, at: number) => boolean
  #entries: MapIterator<[string, T]>

  constructor(map: Map<string, T>, isOver: (value: T, at: number) => boolean) {
    this.#map = map
    this.#isOver = isOver
    this.#entries = map.entries()
  }

  sweep(at: number): void {
    for (let i = 0; i < 2; i++) {
      const next = this.#entries.next()
      if (next.done) {
        this.#entries = this.#map.entries()
        return
      }
      const [key, value] = next.value
      if (this.#isOver(value, at)) this.#map.delete(key)
    }
  }
}
