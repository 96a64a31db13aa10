// How old the oldest of what waits in a queue is, to a second, without a time kept for each.

interface Mark {
  at: number
  /** how many had come when no more came with this mark */
  upTo: number
}

const APART_MS = 1_000
// After so many marks they are set further apart: a queue that waits for days needs no seconds.
const MANY = 1_000
const FAR_APART_MS = 60_000

/** Those that came first leave first. */
export class Ages {
  #came = 0
  #left = 0
  readonly #marks: Mark[] = []

  came(at: number, count = 1): void {
    this.#came += count
    const last = this.#marks.at(-1)
    if (last && at - last.at < (this.#marks.length < MANY ? APART_MS : FAR_APART_MS)) last.upTo = this.#came
    else this.#marks.push({ at, upTo: this.#came })
  }

  left(count: number): void {
    this.#left += count
    let over = 0
    while (over < this.#marks.length && this.#marks[over]!.upTo <= this.#left) over++
    if (over > 0) this.#marks.splice(0, over)
  }

  /** Unix ms; undefined when nothing waits. */
  oldest(): number | undefined {
    return this.#marks[0]?.at
  }
}
