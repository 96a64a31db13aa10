// Reads a JSON object's top level without building it: where each wanted value begins and ends, in bytes.

/** Half-open byte range of a value in the body. */
export interface Span {
  start: number
  end: number
}

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

/**
 * Finds the values of `wanted` top-level keys. The whole text is walked once (strings by native search, so base64 costs
 * nothing) and its grammar checked, since a body that another parser reads differently could be billed as something it is not.
 * @throws JsonError for what is not one JSON object, nests deeper than 512, or has a wanted key twice
 */
export function scanObject(body: Buffer, wanted: ReadonlySet<string>): Map<string, Span> {
  const found = new Map<string, Span>()
  const s = new Scanner(body)
  s.space()
  if (s.take() !== OPEN_BRACE) throw s.error('expected a JSON object', 0)
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

class Scanner {
  at = 0
  readonly #b: Buffer
  constructor(body: Buffer) {
    this.#b = body
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

  string(): void {
    const b = this.#b
    let from = this.at + 1
    for (;;) {
      const quote = b.indexOf(QUOTE, from)
      if (quote === -1) throw this.error('a string is not closed')
      let slashes = 0
      while (b[quote - 1 - slashes] === BACKSLASH) slashes++
      // Backslashes before the opening quote belong to nothing: the walk back stops at it, for it is no backslash.
      if (slashes % 2 === 0) {
        this.at = quote + 1
        return
      }
      from = quote + 1
    }
  }

  /** Any value. Nested ones without recursion: depth is the sender's choice, our stack is not. */
  value(): void {
    const stack: number[] = []
    for (;;) {
      const c = this.peek()
      if (c === OPEN_BRACE || c === OPEN_BRACKET) {
        if (stack.length === MAX_DEPTH) throw this.error(`nested deeper than ${MAX_DEPTH} levels`)
        this.at++
        this.space()
        const close = c === OPEN_BRACE ? CLOSE_BRACE : CLOSE_BRACKET
        if (this.peek() === close) this.at++
        else {
          stack.push(close)
          if (close === CLOSE_BRACE) this.name()
          continue
        }
      } else if (c === QUOTE) this.string()
      else this.literal()

      for (;;) {
        if (stack.length === 0) return
        this.space()
        const next = this.take()
        if (next === COMMA) {
          this.space()
          if (stack.at(-1) === CLOSE_BRACE) this.name()
          break
        }
        if (next !== stack.at(-1)) throw this.error('expected "," or a closing bracket', -1)
        stack.pop()
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
    const start = this.at
    const b = this.#b
    let i = start
    for (
      let c = b[i]!;
      (c >= 0x30 && c <= 0x39) || (c >= 0x61 && c <= 0x7a) || c === 0x2d || c === 0x2b || c === 0x2e || c === 0x45;
      c = b[i]!
    )
      i++
    this.at = i
    const word = b.toString('latin1', start, Math.min(i, start + 400))
    if (word === 'true' || word === 'false' || word === 'null') return
    if (!/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(word)) throw this.error('expected a value', start - i)
  }

  error(what: string, back = 0): JsonError {
    return new JsonError(`${what} at byte ${Math.max(0, Math.min(this.at + back, this.#b.length))}`)
  }
}
