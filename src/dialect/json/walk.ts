// Walks inside JSON whose grammar scanObject has checked: where the parts of a value begin and end, nothing built.
import type { Span } from '../dialect.ts'

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const BACKSLASH = 0x5c
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
// How far into a string bytes are looked at one by one before the native search, as in scanObject.
const NEAR = 32

/**
 * Where each element of the array at `at` begins; none of any other value. An element is walked over only when the next
 * one is asked for: stopping at the first costs nothing.
 */
export function* elements(body: Buffer, at: number): Generator<number> {
  if (body[at] !== OPEN_BRACKET) return
  let start = space(body, at + 1)
  while (start < body.length && body[start] !== CLOSE_BRACKET) {
    yield start
    start = next(body, valueEnd(body, start))
  }
}

/** The members of the object at `at`; none of any other value. A key is as written, without its quotes. */
export function* members(body: Buffer, at: number): Generator<{ key: string; value: Span }> {
  if (body[at] !== OPEN_BRACE) return
  let from = space(body, at + 1)
  while (from < body.length && body[from] !== CLOSE_BRACE) {
    const keyEnd = stringEnd(body, from)
    // Past the colon, which stands where the key and its spaces end.
    const start = space(body, space(body, keyEnd) + 1)
    const end = valueEnd(body, start)
    yield { key: body.toString('latin1', from + 1, keyEnd - 1), value: { start, end } }
    from = next(body, end)
  }
}

/** The bytes of `span` in order, without any member `name`: what is left is what JSON.stringify writes without it. */
export function without(body: Buffer, span: Span, name: string): Buffer[] {
  const token = Buffer.from(JSON.stringify(name))
  const pieces: Buffer[] = []
  let from = span.start
  for (let at = from; ; ) {
    at = body.indexOf(token, at)
    if (at === -1 || at >= span.end) break
    const colon = space(body, at + token.length)
    // In valid JSON these bytes are a whole string, unless the first quote is itself quoted; and a key if a colon follows.
    if (body[at - 1] === BACKSLASH || body[colon] !== COLON) {
      at += token.length
      continue
    }
    let before = at
    let after = space(body, valueEnd(body, space(body, colon + 1)))
    while (isSpace(body[before - 1])) before--
    // One comma goes with it: the one in front, or of a first member the one behind.
    if (body[before - 1] === COMMA) before--
    else if (body[after] === COMMA) after = space(body, after + 1)
    pieces.push(body.subarray(from, before))
    from = after
    at = after
  }
  pieces.push(body.subarray(from, span.end))
  return pieces
}

function isSpace(c: number | undefined): boolean {
  return c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09
}

function space(b: Buffer, i: number): number {
  while (isSpace(b[i])) i++
  return i
}

/** Where the next element or member begins, or the bracket that closes them stands. */
function next(b: Buffer, end: number): number {
  const i = space(b, end)
  return b[i] === COMMA ? space(b, i + 1) : i
}

/** The value of a string; undefined for anything else, and for one that cannot be read. */
export function textAt(body: Buffer, { start, end }: Span): string | undefined {
  try {
    const value: unknown = JSON.parse(body.toString('utf8', start, end))
    return typeof value === 'string' ? value : undefined
  } catch {
    return undefined // the scan does not judge what stands in a string
  }
}

/** Where the value that begins at `start` ends. */
export function valueEnd(b: Buffer, start: number): number {
  let i = start
  let depth = 0
  for (; i < b.length; ) {
    const c = b[i]
    if (c === QUOTE) {
      i = stringEnd(b, i)
      if (depth === 0) return i
      continue
    }
    if (c === OPEN_BRACE || c === OPEN_BRACKET) depth++
    else if (c === CLOSE_BRACE || c === CLOSE_BRACKET) {
      // Of a number or word, what closes is the parent's.
      if (depth === 0) return i
      if (--depth === 0) return i + 1
    } else if (depth === 0 && (c === COMMA || isSpace(c))) return i
    i++
  }
  return i
}

/** Where the string that begins at `start` ends, its quotes included; the end of the body when it does not. */
export function stringEnd(b: Buffer, start: number): number {
  // Quoted code has an escape every few bytes: there looking at each byte is cheaper than a native search per quote.
  for (let i = start + 1; ; ) {
    for (const near = i + NEAR; i < near; i++) {
      const c = b[i]
      if (c === QUOTE) return i + 1
      if (c === BACKSLASH) i++
    }
    const quote = b.indexOf(QUOTE, i)
    if (quote === -1) return b.length
    let slashes = 0
    while (quote - slashes > i && b[quote - 1 - slashes] === BACKSLASH) slashes++
    i = quote + 1
    if (slashes % 2 === 0) return i
  }
}
