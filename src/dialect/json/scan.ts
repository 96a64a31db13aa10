// Reads a JSON object's top level without building it: where each wanted value begins and ends, in bytes.
import type { Span } from '../dialect.ts'

/** What is wrong with a body, in words for its sender. */
export class JsonError extends Error {}

const MAX_DEPTH = 512
const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const COMMA = 0x2c
const COLON = 0x3a
const MINUS = 0x2d
const PLUS = 0x2b
const DOT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const UPPER_E = 0x45
const LOWER_E = 0x65
const LOWER_F = 0x66
const LOWER_N = 0x6e
const LOWER_T = 0x74
const LOWER_U = 0x75
const TRUE = Buffer.from('true')
const FALSE = Buffer.from('false')
const NULL = Buffer.from('null')
// What closes each level that is open. One for all: a scan never waits.
const closers = new Uint8Array(MAX_DEPTH)
// How far into a string bytes are looked at one by one before the native search.
const NEAR = 32

/**
 * Finds the values of `wanted` top-level keys. The whole text is walked once (long strings by native search, so base64
 * costs nothing) and its grammar checked, since a body that another parser reads differently could be billed as something
 * it is not. What stands inside strings is not judged; whoever reads a wanted one must expect that it cannot be read.
 * @param words notes which short strings are there, keys and values at any depth, on the way
 * @throws JsonError for what is not one JSON object, nests deeper than 512, or has a wanted key twice
 */
export function scanObject(body: Buffer, wanted: ReadonlySet<string>, words?: Words): Map<string, Span> {
  const found = new Map<string, Span>()
  const s = new Scanner(body, words)
  s.space()
  if (s.take() !== OPEN_BRACE) throw s.error('expected a JSON object', -1)
  s.space()
  if (s.peek() === CLOSE_BRACE) s.take()
  else {
    for (;;) {
      s.space()
      const keyStart = s.at
      if (s.peek() !== QUOTE) throw s.error('expected a property name')
      s.string()
      const key = s.text(keyStart + 1, s.at - 1)
      s.space()
      if (s.take() !== COLON) throw s.error('expected ":"', -1)
      s.space()
      const start = s.at
      s.value()
      if (wanted.has(key)) {
        if (found.has(key)) throw new JsonError(`property "${key}" appears twice`)
        found.set(key, { start, end: s.at })
      }
      s.space()
      const next = s.take()
      if (next === CLOSE_BRACE) break
      if (next !== COMMA) throw s.error('expected "," or "}"', -1)
    }
  }
  s.space()
  if (s.at < body.length) throw s.error('unexpected text after the JSON object')
  return found
}

// Of a word every letter may be written as an escape of six bytes; what is longer is no word.
const LONGEST_WORD = 256

/**
 * Which of some words a body has as a string of its own, key or value; `x*` is any string that begins with x. The scan passes all
 * strings anyway, where searching the whole body for each word would cost as much as scanning it.
 */
export class Words {
  /** A word may be spelled in escapes here: then it cannot be said which are there. */
  escaped = false
  readonly #there: boolean[]
  readonly #words: readonly Word[]

  constructor(words: readonly Word[]) {
    this.#words = words
    this.#there = words.map(() => false)
  }

  /** Whether it has the word with this index, or may have. */
  has(index: number): boolean {
    return this.#there[index]! || this.escaped
  }

  note(body: Buffer, from: number, to: number): void {
    const first = body[from]
    for (let i = 0; i < this.#words.length; i++) {
      const word = this.#words[i]!
      if (word.first === first && !this.#there[i] && word.is(body, from, to)) this.#there[i] = true
    }
  }
}

export class Word {
  readonly first: number
  readonly #text: string
  readonly #begins: boolean

  constructor(text: string) {
    this.#begins = text.endsWith('*')
    this.#text = this.#begins ? text.slice(0, -1) : text
    this.first = this.#text.charCodeAt(0)
  }

  is(body: Buffer, from: number, to: number): boolean {
    const { length } = this.#text
    if (this.#begins ? to - from < length : to - from !== length) return false
    for (let i = 0; i < length; i++) if (body[from + i] !== this.#text.charCodeAt(i)) return false
    return true
  }
}

class Scanner {
  at = 0
  readonly #b: Buffer
  readonly #words: Words | undefined
  constructor(body: Buffer, words: Words | undefined) {
    this.#b = body
    this.#words = words
  }

  peek(): number {
    return this.#b[this.at] ?? -1
  }
  take(): number {
    return this.#b[this.at++] ?? -1
  }

  /** A property name; decoded only when it holds an escape, which no client sends but an attacker may. */
  text(start: number, end: number): string {
    const raw = this.#b.toString('latin1', start, end)
    if (!raw.includes('\\')) return raw
    try {
      return JSON.parse(`"${this.#b.toString('utf8', start, end)}"`) as string
    } catch {
      throw this.error('bad escape in a property name')
    }
  }

  space(): void {
    const b = this.#b
    let i = this.at
    for (let c = b[i]!; c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09; c = b[i]!) i++
    this.at = i
  }

  /** A string. Whatever its escapes say, every parser sees it end at the same quote. */
  string(): void {
    const start = this.at + 1
    const end = this.#stringEnd(start)
    this.at = end + 1
    const words = this.#words
    if (words === undefined || end - start > LONGEST_WORD) return
    words.note(this.#b, start, end)
    if (!words.escaped) words.escaped = this.#spells(start, end)
  }

  /** Whether a string has a letter of ASCII written as an escape. */
  #spells(start: number, end: number): boolean {
    const b = this.#b
    for (let i = start; i < end - 3; i++) {
      if (b[i] !== BACKSLASH) continue
      if (b[i + 1] === LOWER_U && b[i + 2] === ZERO && b[i + 3] === ZERO) return true
      i++
    }
    return false
  }

  #stringEnd(start: number): number {
    const b = this.#b
    let i = start
    for (;;) {
      // Names, types and paths are short: looking at each byte is cheaper there than a call into native code.
      for (const near = i + NEAR; i < near; i++) {
        const c = b[i]
        if (c === QUOTE) return i
        if (c === BACKSLASH) i++
      }
      const quote = b.indexOf(QUOTE, i)
      if (quote === -1) throw this.error('a string is not closed')
      let slashes = 0
      while (quote - slashes > i && b[quote - 1 - slashes] === BACKSLASH) slashes++
      if (slashes % 2 === 0) return quote
      i = quote + 1
    }
  }

  /** Any value. Nested ones without recursion: depth is the sender's choice, our stack is not. */
  value(): void {
    let depth = 0
    for (;;) {
      const c = this.peek()
      if (c === OPEN_BRACE || c === OPEN_BRACKET) {
        if (depth === MAX_DEPTH) throw this.error(`nested deeper than ${MAX_DEPTH} levels`)
        this.at++
        this.space()
        const close = c === OPEN_BRACE ? CLOSE_BRACE : CLOSE_BRACKET
        if (this.peek() === close) this.at++
        else {
          closers[depth++] = close
          if (close === CLOSE_BRACE) this.name()
          continue
        }
      } else if (c === QUOTE) this.string()
      else this.literal()

      for (;;) {
        if (depth === 0) return
        this.space()
        const next = this.take()
        const close = closers[depth - 1]
        if (next === COMMA) {
          this.space()
          if (close === CLOSE_BRACE) this.name()
          break
        }
        if (next !== close) throw this.error('expected "," or a closing bracket', -1)
        depth--
      }
    }
  }

  private name(): void {
    if (this.peek() !== QUOTE) throw this.error('expected a property name')
    this.string()
    this.space()
    if (this.take() !== COLON) throw this.error('expected ":"', -1)
    this.space()
  }

  private literal(): void {
    const b = this.#b
    let i = this.at
    const c = b[i]
    const word = c === LOWER_T ? TRUE : c === LOWER_F ? FALSE : c === LOWER_N ? NULL : undefined
    if (word !== undefined) {
      for (const letter of word) if (b[i++] !== letter) throw this.error('expected a value')
    } else {
      if (c === MINUS) i++
      // No digit may follow a leading zero; what does is found where a comma is expected.
      i = b[i] === ZERO ? i + 1 : this.digits(i)
      if (b[i] === DOT) i = this.digits(i + 1)
      if (b[i] === LOWER_E || b[i] === UPPER_E) i = this.digits(b[i + 1] === PLUS || b[i + 1] === MINUS ? i + 2 : i + 1)
    }
    this.at = i
  }

  /** Where the digits that begin at `i` end; there must be one. */
  private digits(i: number): number {
    const b = this.#b
    const start = i
    for (let c = b[i]!; c >= ZERO && c <= NINE; c = b[i]!) i++
    if (i === start) throw this.error('expected a value')
    return i
  }

  error(what: string, back = 0): JsonError {
    return new JsonError(`${what} at byte ${Math.max(0, Math.min(this.at + back, this.#b.length))}`)
  }
}
