// Shortens the long strings of JSON as its bytes pass, so that an answer with an image in it costs no more than one without.

/** Beyond so many bytes strings are shortened; below, everything is kept as it came, which costs nothing. */
export const LARGE = 64 * 1024
// What is left of a long string. Types, names and messages are shorter; of texts and images nobody reads more.
const LONG = 1024

const QUOTE = 0x22
const BACKSLASH = 0x5c
const LOWER_U = 0x75

/** Takes JSON in pieces and gives it back with the same shape, its strings at most 1 KB each once it is large. */
export class Squeezer {
  /** held now */
  bytes = 0
  #pieces: Buffer[] = []
  #squeezing = false
  #inside = false
  // Of the string we are inside of: bytes so far, and what the next bytes are by an escape: the escaped character (-1),
  // so many hex digits, or nothing special (0).
  #length = 0
  #escape = 0
  // The backslashes that the dropped part ended with so far.
  #slashes = 0

  push(piece: Buffer): void {
    if (this.#squeezing) this.#squeeze(piece)
    else {
      this.#hold(piece)
      if (this.bytes <= LARGE) return
      this.#squeezing = true
      const all = this.#pieces
      this.#pieces = []
      this.bytes = 0
      for (const one of all) this.#squeeze(one)
    }
  }

  /** All that was kept. Nothing may be pushed after it. */
  take(): Buffer {
    return this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces, this.bytes)
  }

  #hold(piece: Buffer): void {
    this.#pieces.push(piece)
    this.bytes += piece.length
  }

  /** Holds a copy: a short piece must not keep the whole read in memory that it came with. */
  #copy(piece: Buffer): void {
    if (piece.length > 0) this.#hold(Buffer.from(piece))
  }

  #squeeze(piece: Buffer): void {
    let from = 0
    let at = 0
    while (at < piece.length) {
      if (!this.#inside) {
        const quote = piece.indexOf(QUOTE, at)
        if (quote === -1) break
        this.#inside = true
        this.#length = 0
        at = quote + 1
      } else if (this.#length < LONG || this.#escape !== 0) {
        at = this.#beginning(piece, at)
        if (this.#inside && this.#length >= LONG && this.#escape === 0) {
          this.#copy(piece.subarray(from, at))
          from = piece.length
        }
      } else {
        at = this.#rest(piece, at)
        if (!this.#inside) from = at - 1
        else from = piece.length
      }
    }
    this.#copy(piece.subarray(from))
  }

  /** Walks the part of a string that is kept, and where it is cut no escape is cut with it. */
  #beginning(piece: Buffer, start: number): number {
    let at = start
    for (; at < piece.length && (this.#length < LONG || this.#escape !== 0); at++, this.#length++) {
      const c = piece[at]
      if (this.#escape === -1) this.#escape = c === LOWER_U ? 4 : 0
      else if (this.#escape > 0) this.#escape--
      else if (c === BACKSLASH) this.#escape = -1
      else if (c === QUOTE) {
        this.#inside = false
        return at + 1
      }
    }
    return at
  }

  /** Looks for the quote that ends a string whose rest is dropped; gives where to go on, behind it if it is there. */
  #rest(piece: Buffer, start: number): number {
    for (let at = start; ; ) {
      const quote = piece.indexOf(QUOTE, at)
      const end = quote === -1 ? piece.length : quote
      let first = end
      while (first > at && piece[first - 1] === BACKSLASH) first--
      // All of it backslashes: those before it count, too.
      const slashes = end - first + (first === at ? this.#slashes : 0)
      this.#slashes = quote === -1 ? slashes : 0
      if (quote === -1) return piece.length
      at = quote + 1
      if (slashes % 2 === 0) {
        this.#inside = false
        return at
      }
    }
  }
}
