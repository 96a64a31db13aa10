// What tells conversations apart in any dialect: the ids that known clients name, and a digest of what a conversation began with.
import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { Span } from './dialect.ts'
import { elements, members, textAt, valueEnd, without } from './json/walk.ts'

// What known clients name their session in, most trusted first (spec/wire.md §5). The last three are OpenCode's, by
// version and provider (Wei-Shaw/sub2api#1578, anomalyco/opencode#31511, router-for-me/CLIProxyAPI#5833).
const sessionHeaders = [
  'x-claude-code-session-id',
  'session-id',
  'thread-id',
  'session_id',
  'conversation_id',
  'x-opencode-session',
  'x-session-affinity',
  'x-session-id',
]

/** The session that a header names, as `h:id`; undefined when none does. */
export function sessionOfHeaders(headers: NodeJS.Dict<string | string[]>): string | undefined {
  for (const name of sessionHeaders) {
    const id = identifier(headers[name])
    if (id !== undefined) return `h:${id}`
  }
  return undefined
}

/** A value that can be an id: at most 128 printable ASCII characters. */
export function identifier(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined
  const id = value.trim()
  return /^[\x20-\x7e]{1,128}$/.test(id) ? id : undefined
}

/** A short string's value. What is longer is no id, and what cannot be read is none either. */
export function shortText(body: Buffer, span: Span | undefined): string | undefined {
  return !span || span.end - span.start > 4096 ? undefined : textAt(body, span)
}

// ---- the beginning of a conversation ----

// Of an image or a document so much, and how long it is: two that agree in both are rarely two, and a megabyte of
// base64 costs as much to hash as all the rest of this together.
const SAMPLE_BYTES = 4096
// Of a text that is longer only the two ends are hashed. CRC-32, at ten times the speed of SHA-256, tells apart what differs between.
const WHOLE_BYTES = 64 * 1024

/**
 * `x:` and 32 hex characters over system text, tools and the first user message; '' without one. The system prompt alone would
 * tie all conversations of a program to one account (spec/domain.md §5.4). Left out is what moves between turns:
 * cache_control, whether a text is a string or a block (spec/wire.md §5), and all that comes later.
 */
export function sessionOfBeginning(
  body: Buffer,
  system: readonly Buffer[],
  toolsSpan: Span | undefined,
  user: readonly Buffer[],
): string {
  if (size(user) === 0) return ''
  const tools = toolsSpan ? without(body, toolsSpan, 'cache_control') : []
  // The lengths keep apart what would read the same when joined.
  const pieces = [Buffer.from(`${size(system)}.${size(tools)}.${size(user)}.`)]
  for (const parts of [system, tools, user]) for (const part of parts) addBounded(pieces, part)
  return `x:${hash('sha256', Buffer.concat(pieces), 'hex').slice(0, 32)}`
}

/** A text so long that SHA-256 of it would cost as much as all the rest is told by its two ends, its length and its checksum. */
function addBounded(pieces: Buffer[], part: Buffer): void {
  if (part.length <= WHOLE_BYTES) pieces.push(part)
  else
    pieces.push(
      part.subarray(0, WHOLE_BYTES / 2),
      part.subarray(part.length - WHOLE_BYTES / 2),
      Buffer.from(`${part.length}.${crc32(part)}.`),
    )
}

// What the dialects call a part that is text; Gemini's have no type.
const textTypes = new Set(['"text"', '"input_text"', ''])

/** The texts of a string or of a list of parts, as written between their quotes; of other parts a sample. */
export function textsOf(body: Buffer, content: Span): Buffer[] {
  if (body[content.start] === 0x22) return [inner(body, content)]
  const parts: Buffer[] = []
  for (const block of elements(body, content.start)) {
    let type = ''
    let said: Span | undefined
    for (const { key, value } of members(body, block)) {
      if (key === 'type') type = body.toString('latin1', value.start, Math.min(value.end, value.start + 16))
      else if (key === 'text') said = value
    }
    if (said && textTypes.has(type)) parts.push(inner(body, said))
    else parts.push(...sample(without(body, { start: block, end: valueEnd(body, block) }, 'cache_control')))
  }
  return parts
}

function sample(pieces: Buffer[]): Buffer[] {
  const parts: Buffer[] = [Buffer.from(`${size(pieces)}.`)]
  let left = SAMPLE_BYTES
  for (const piece of pieces) {
    parts.push(piece.subarray(0, left))
    left -= piece.length
    if (left <= 0) break
  }
  return parts
}

function inner(body: Buffer, string: Span): Buffer {
  return body.subarray(string.start + 1, string.end - 1)
}

function size(parts: readonly Buffer[]): number {
  return parts.reduce((bytes, part) => bytes + part.length, 0)
}

/** Whether a value is this JSON, as it is written everywhere. */
export function isWritten(body: Buffer, { start, end }: Span, written: string): boolean {
  return end - start === written.length && body.toString('latin1', start, end) === written
}
