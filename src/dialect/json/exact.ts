// JSON with nothing lost: chosen members stay the text they were, numbers keep all their digits, and what is written has raw pieces in it.
import type { Json } from '../middle/form.ts'

/** JSON text among values: written as it stands. */
export class Raw {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

export const raw = (json: Json | string) => new Raw(json)

const none: ReadonlySet<string> = new Set()

/**
 * As JSON.parse, except that the value of a member named in `kept` is its JSON text (as a string of type `Json`), and a number that a
 * double cannot hold is a `Raw`.
 * @throws SyntaxError
 */
export function parseExact(text: string, kept: ReadonlySet<string> = none): unknown {
  const parser = new Parser(text, kept)
  return parser.whole()
}

/** As JSON.stringify of plain data, with every `Raw` as it stands and members that are undefined left out. */
export function writeExact(value: unknown): string {
  if (value instanceof Raw) return value.text
  if (Array.isArray(value)) {
    let said = '['
    for (let i = 0; i < value.length; i++) said += (i === 0 ? '' : ',') + writeExact(value[i] ?? null)
    return `${said}]`
  }
  if (typeof value === 'object' && value !== null) {
    let said = '{'
    for (const name in value) {
      const member = (value as Record<string, unknown>)[name]
      if (member !== undefined) said += `${said === '{' ? '' : ','}${JSON.stringify(name)}:${writeExact(member)}`
    }
    return `${said}}`
  }
  return JSON.stringify(value) ?? 'null'
}

/** A value as JSON text, exactly. */
export const asJson = (value: unknown) => writeExact(value) as Json

// As deep as nobody nests who means it; a stack holds much more.
const MOST_DEPTH = 512

const space = /[ \t\n\r]*/y
const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y

class Parser {
  readonly #text: string
  readonly #kept: ReadonlySet<string>
  #at = 0
  #depth = 0

  constructor(text: string, kept: ReadonlySet<string>) {
    this.#text = text
    this.#kept = kept
  }

  whole(): unknown {
    // A byte order mark is no JSON, and some clients write one.
    if (this.#text.charCodeAt(0) === 0xfeff) this.#at = 1
    const value = this.#value()
    this.#space()
    if (this.#at < this.#text.length) this.#wrong()
    return value
  }

  #value(): unknown {
    this.#space()
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object()
      case '[':
        return this.#array()
      case '"':
        return this.#string()
      case 't':
        return this.#word('true', true)
      case 'f':
        return this.#word('false', false)
      case 'n':
        return this.#word('null', null)
      default:
        return this.#number()
    }
  }

  #object(): object {
    this.#deeper()
    const found: Record<string, unknown> = {}
    this.#at++
    this.#space()
    if (this.#text[this.#at] !== '}')
      for (;;) {
        this.#space()
        if (this.#text[this.#at] !== '"') this.#wrong()
        const name = this.#string()
        this.#space()
        this.#expect(':')
        let value: unknown
        if (this.#kept.has(name)) {
          this.#space()
          const from = this.#at
          this.#skip()
          value = this.#text.slice(from, this.#at)
        } else value = this.#value()
        // A plain assignment would set the prototype.
        if (name === '__proto__')
          Object.defineProperty(found, name, { value, enumerable: true, configurable: true, writable: true })
        else found[name] = value
        this.#space()
        if (this.#text[this.#at] === '}') break
        this.#expect(',')
      }
    this.#at++
    this.#depth--
    return found
  }

  #array(): unknown[] {
    this.#deeper()
    const found: unknown[] = []
    this.#at++
    this.#space()
    if (this.#text[this.#at] !== ']')
      for (;;) {
        found.push(this.#value())
        this.#space()
        if (this.#text[this.#at] === ']') break
        this.#expect(',')
      }
    this.#at++
    this.#depth--
    return found
  }

  #string(): string {
    const from = this.#at
    const end = this.#stringEnd()
    this.#at = end
    // JSON.parse knows the escapes, and what must not stand in a string.
    return JSON.parse(this.#text.slice(from, end))
  }

  #stringEnd(): number {
    const text = this.#text
    for (let from = this.#at + 1; ; ) {
      const quote = text.indexOf('"', from)
      if (quote === -1) this.#wrong()
      let slashes = 0
      while (text.charCodeAt(quote - 1 - slashes) === 0x5c) slashes++
      if (slashes % 2 === 0) return quote + 1
      from = quote + 1
    }
  }

  /** Passes over a value, which must be valid. */
  #skip(): void {
    const from = this.#at
    let depth = 0
    do {
      this.#space()
      const c = this.#text[this.#at]
      if (c === '"') this.#at = this.#stringEnd()
      else if (c === '{' || c === '[') {
        depth++
        this.#at++
      } else if (c === '}' || c === ']') {
        depth--
        this.#at++
      } else if (depth > 0 && (c === ',' || c === ':')) this.#at++
      else if (c === undefined) this.#wrong()
      else if (c === 't') this.#word('true', true)
      else if (c === 'f') this.#word('false', false)
      else if (c === 'n') this.#word('null', null)
      else this.#number()
    } while (depth > 0)
    // Once more by who knows the grammar: what is written on as it stands must be right.
    JSON.parse(this.#text.slice(from, this.#at))
  }

  #number(): unknown {
    number.lastIndex = this.#at
    const found = number.exec(this.#text)?.[0]
    if (found === undefined) this.#wrong()
    this.#at += found.length
    const value = Number(found)
    return String(value) === found || (Number.isSafeInteger(value) && found.length < 16) ? value : new Raw(found)
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) this.#wrong()
    this.#at += word.length
    return value
  }

  #space(): void {
    if (this.#text.charCodeAt(this.#at) > 0x20) return
    space.lastIndex = this.#at
    space.test(this.#text)
    this.#at = space.lastIndex
  }

  #expect(c: string): void {
    if (this.#text[this.#at] !== c) this.#wrong()
    this.#at++
  }

  #deeper(): void {
    if (++this.#depth > MOST_DEPTH) throw new SyntaxError(`nested deeper than ${MOST_DEPTH} levels`)
  }

  #wrong(): never {
    const c = this.#text[this.#at]
    throw new SyntaxError(
      c === undefined ? 'it ends too early' : `unexpected ${JSON.stringify(c)} at character ${this.#at}`,
    )
  }
}
