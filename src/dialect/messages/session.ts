// Which conversation a Messages request belongs to, so that it goes back to the account that has its prompt in cache.
import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { Span } from '../dialect.ts'
import { JsonError, scanObject } from '../json/scan.ts'
import { elements, members, valueEnd, without } from '../json/walk.ts'

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

/** The top-level fields a session is read from, for a caller whose own scan can find them along the way. */
export const sessionFields: ReadonlySet<string> = new Set([
  'metadata',
  'prompt_cache_key',
  'system',
  'tools',
  'messages',
])

/**
 * The session of a request: the same for every turn of a conversation, another for other conversations; '' when
 * nothing in the request is stable. It is the client's own word: whoever keeps something under it must scope it to
 * the client. Prefixed by its source: `h:` header, `u:` metadata.user_id, `c:` prompt_cache_key, `x:` hash of what the
 * conversation began with.
 * @param scanned where scanObject found `sessionFields` in this body; without it the body is scanned here, which is
 *   nearly all of the cost, unless a header tells the session
 */
export function sessionKey(
  headers: NodeJS.Dict<string | string[]>,
  body: Buffer,
  scanned?: ReadonlyMap<string, Span>,
): string {
  for (const name of sessionHeaders) {
    const id = identifier(headers[name])
    if (id !== undefined) return `h:${id}`
  }
  let found = scanned
  try {
    found ??= scanObject(body, sessionFields)
  } catch (error) {
    if (error instanceof JsonError) return '' // no session, and soon no request
    throw error
  }
  const user = sessionOfUser(body, found.get('metadata'))
  if (user !== undefined) return `u:${user}`
  const cache = identifier(text(body, found.get('prompt_cache_key')))
  if (cache !== undefined) return `c:${cache}`
  const beginning = hashOfBeginning(body, found)
  return beginning === '' ? '' : `x:${beginning}`
}

/** A value that can be an id: at most 128 printable ASCII characters. */
function identifier(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined
  const id = value.trim()
  return /^[\x20-\x7e]{1,128}$/.test(id) ? id : undefined
}

// Two forms of Claude Code: JSON text with a session_id, and `user_…_account_…_session_<uuid>`. A user_id without a
// session is a person: as a key it would tie all their conversations to one account.
function sessionOfUser(body: Buffer, metadata: Span | undefined): string | undefined {
  if (!metadata) return undefined
  let userId: string | undefined
  for (const { key, value } of members(body, metadata.start)) if (key === 'user_id') userId = text(body, value)
  if (userId === undefined) return undefined
  const old = /_session_([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$/i.exec(userId)
  if (old) return old[1]
  if (!userId.startsWith('{')) return undefined
  try {
    return identifier((JSON.parse(userId) as { session_id?: unknown }).session_id)
  } catch {
    return undefined // a name that begins with a brace
  }
}

// A short string's value. What is longer is no id, and what cannot be read is none either.
function text(body: Buffer, span: Span | undefined): string | undefined {
  if (!span || span.end - span.start > 4096) return undefined
  try {
    const value = JSON.parse(body.toString('utf8', span.start, span.end)) as unknown
    return typeof value === 'string' ? value : undefined
  } catch {
    return undefined
  }
}

// ---- the beginning of a conversation ----

// Claude Code's first system block says its version and a digest of the whole request: another one every turn
// (spec/wire.md §5, anthropics/claude-code#68900).
const BILLING = Buffer.from('x-anthropic-billing-header')
const LINE_END = Buffer.from('\\n')
// Of an image or a document so much, and how long it is: two that agree in both are rarely two, and a megabyte of
// base64 costs as much to hash as all the rest of this together.
const SAMPLE_BYTES = 4096
// Of a text that is longer only the two ends are hashed. CRC-32, at ten times the speed of SHA-256, tells apart what differs between.
const WHOLE_BYTES = 64 * 1024

/**
 * 32 hex characters over system text, tools and the first user message; '' without one. The system prompt alone would
 * tie all conversations of a program to one account (spec/domain.md §5.4). Left out is what moves between turns:
 * cache_control, role-system messages, whether a text is a string or a block (spec/wire.md §5), and all that comes later.
 */
function hashOfBeginning(body: Buffer, found: ReadonlyMap<string, Span>): string {
  const first = firstUserMessage(body, found.get('messages'))
  if (!first) return ''
  const user = texts(body, first)
  if (size(user) === 0) return ''
  const systemSpan = found.get('system')
  const system = systemSpan ? texts(body, systemSpan).map(withoutBilling) : []
  const toolsSpan = found.get('tools')
  const tools = toolsSpan ? without(body, toolsSpan, 'cache_control') : []
  // The lengths keep apart what would read the same when joined.
  const pieces = [Buffer.from(`${size(system)}.${size(tools)}.${size(user)}.`)]
  for (const parts of [system, tools, user]) for (const part of parts) addBounded(pieces, part)
  return hash('sha256', Buffer.concat(pieces), 'hex').slice(0, 32)
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

function firstUserMessage(body: Buffer, messages: Span | undefined): Span | undefined {
  if (!messages) return undefined
  for (const message of elements(body, messages.start)) {
    let user = false
    let content: Span | undefined
    for (const { key, value } of members(body, message)) {
      if (key === 'role') user = is(body, value, '"user"')
      else if (key === 'content') content = value
    }
    if (user) return content
  }
  return undefined
}

/** The texts of a string or of content blocks, as written between their quotes; of other blocks a sample. */
function texts(body: Buffer, content: Span): Buffer[] {
  if (body[content.start] === 0x22) return [inner(body, content)]
  const parts: Buffer[] = []
  for (const block of elements(body, content.start)) {
    let isText = false
    let said: Span | undefined
    for (const { key, value } of members(body, block)) {
      if (key === 'type') isText = is(body, value, '"text"')
      else if (key === 'text') said = value
    }
    if (isText && said) parts.push(inner(body, said))
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

// A block of its own, or the first line where a program in between has joined the blocks.
function withoutBilling(said: Buffer): Buffer {
  if (!said.subarray(0, BILLING.length).equals(BILLING)) return said
  const line = said.indexOf(LINE_END)
  return line === -1 ? said.subarray(said.length) : said.subarray(line + LINE_END.length)
}

function inner(body: Buffer, string: Span): Buffer {
  return body.subarray(string.start + 1, string.end - 1)
}

function is(body: Buffer, { start, end }: Span, written: string): boolean {
  return end - start === written.length && body.toString('latin1', start, end) === written
}

function size(parts: readonly Buffer[]): number {
  return parts.reduce((bytes, part) => bytes + part.length, 0)
}
