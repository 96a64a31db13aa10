// The latest lines of something that goes on, as many as may be kept: what they were is told to whoever asks later.

export interface RecentLine {
  /** grows by one with each line */
  number: number
  /** Unix ms */
  at: number
  text: string
}

export class Recent {
  readonly #lines: { at: number; text: string }[] = []
  // What lies before it was taken out, and is cut off now and then.
  #begin = 0
  #first = 0
  #characters = 0
  readonly #most: number
  readonly #mostCharacters: number

  constructor({ lines, characters }: { lines: number; characters: number }) {
    this.#most = lines
    this.#mostCharacters = characters
  }

  push(at: number, text: string): void {
    this.#lines.push({ at, text })
    this.#characters += text.length
    while (this.size > this.#most || (this.#characters > this.#mostCharacters && this.size > 1)) {
      this.#characters -= this.#lines[this.#begin]!.text.length
      this.#lines[this.#begin++] = gone
      this.#first++
    }
    if (this.#begin > 4096 && this.#begin > this.#lines.length / 2) {
      this.#lines.splice(0, this.#begin)
      this.#begin = 0
    }
  }

  get size(): number {
    return this.#lines.length - this.#begin
  }

  /** The number that the next line gets. */
  get next(): number {
    return this.#first + this.size
  }

  /** The oldest first, from a number and an instant on, at most so many. */
  from(number: number, since: number, limit: number): RecentLine[] {
    const found: RecentLine[] = []
    const start = Math.max(0, number - this.#first)
    for (let i = start; i < this.size && found.length < limit; i++) {
      const line = this.#lines[this.#begin + i]!
      if (line.at >= since) found.push({ number: this.#first + i, ...line })
    }
    return found
  }
}

const gone = { at: 0, text: '' }
