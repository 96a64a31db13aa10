// A freeform tool on a wire that has only functions: `{"input": "text"}` in pieces is turned back into the text.
const INPUT = /^\s*\{\s*"input"\s*:\s*"/

/** Takes the pieces of the JSON and gives those of the text. */
export class FreeformText {
  #head = ''
  #inside = false
  #done = false
  // Of an escape that is there in part.
  #rest = ''

  push(piece: string): string {
    if (this.#done) return ''
    let text = piece
    if (!this.#inside) {
      this.#head += piece
      const found = INPUT.exec(this.#head)
      if (!found) return ''
      this.#inside = true
      text = this.#head.slice(found[0].length)
    }
    return this.#unescaped(this.#rest + text)
  }

  /** What is left when the model wrote something else than it was told: all of it, as it is. */
  end(): string {
    return this.#inside || this.#head.trim() === '{}' ? '' : this.#head
  }

  #unescaped(text: string): string {
    let out = ''
    let at = 0
    this.#rest = ''
    for (;;) {
      let next = at
      while (next < text.length && text[next] !== '\\' && text[next] !== '"') next++
      out += text.slice(at, next)
      if (next === text.length) return out
      if (text[next] === '"') {
        this.#done = true
        return out
      }
      const length = text[next + 1] === 'u' ? 6 : 2
      const quoted = text.slice(next, next + length)
      if (quoted.length < length) {
        this.#rest = quoted
        return out
      }
      out += read(quoted)
      at = next + length
    }
  }
}

function read(quoted: string): string {
  try {
    return JSON.parse(`"${quoted}"`)
  } catch {
    return quoted
  }
}
