// A freeform tool on a wire that has only functions: `{"input": "text"}` in pieces is turned back into the text.
const HEAD = '{"input":"'
/** Before these characters of it there may be blanks. */
const GAPS: ReadonlySet<number> = new Set([0, 1, 8, 9])

/** Takes the pieces of the JSON and gives those of the text. */
export class FreeformText {
  /** how much of the head was read; -1: something else was written */
  #read = 0
  readonly #pieces: string[] = []
  #done = false
  // Of an escape that is there in part.
  #rest = ''

  push(piece: string): string {
    if (this.#done) return ''
    if (this.#read === HEAD.length) return this.#unescaped(this.#rest + piece)
    this.#pieces.push(piece)
    // Each character is looked at once, however many pieces there are.
    for (let at = 0; this.#read >= 0 && at < piece.length; at++) {
      const c = piece[at]!
      if (c === HEAD[this.#read]) {
        if (++this.#read === HEAD.length) return this.#unescaped(piece.slice(at + 1))
      } else if (!GAPS.has(this.#read) || c.trim() !== '') this.#read = -1
    }
    return ''
  }

  /** What is left when the model wrote something else than it was told: all of it, as it is. */
  end(): string {
    if (this.#read === HEAD.length) return ''
    const said = this.#pieces.join('')
    return said.trim() === '{}' ? '' : said
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
