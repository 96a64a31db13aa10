// Where a whole member of an object stands whose value is known: for edits in place.
import type { Span } from '../dialect.ts'

const QUOTE = 0x22
const COMMA = 0x2c

/** Where its key begins: nothing but a colon and spaces stands between. Of a key without escapes. */
export function keyStart(body: Buffer, value: Span): number {
  const end = body.lastIndexOf(QUOTE, value.start - 1)
  return body.lastIndexOf(QUOTE, end - 1)
}

/** The member with the one comma that goes with it: the one in front, or of a first member the one behind. */
export function memberAt(body: Buffer, value: Span): Span {
  const start = keyStart(body, value)
  let before = start - 1
  while (body[before]! <= 0x20) before--
  if (body[before] === COMMA) return { start: before, end: value.end }
  let after = value.end
  while (body[after]! <= 0x20) after++
  return { start, end: body[after] === COMMA ? after + 1 : value.end }
}
