// Which conversation a Messages request belongs to, so that it goes back to the account that has its prompt in cache.
import type { Span } from '../dialect.ts'
import { JsonError, scanObject } from '../json/scan.ts'
import { elements, members } from '../json/walk.ts'
import { identifier, isWritten, sessionOfBeginning, sessionOfHeaders, shortText, textsOf } from '../session.ts'

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
  const named = sessionOfHeaders(headers)
  if (named !== undefined) return named
  let found = scanned
  try {
    found ??= scanObject(body, sessionFields)
  } catch (error) {
    if (error instanceof JsonError) return '' // no session, and soon no request
    throw error
  }
  const user = sessionOfUser(body, found.get('metadata'))
  if (user !== undefined) return `u:${user}`
  const cache = identifier(shortText(body, found.get('prompt_cache_key')))
  return cache === undefined ? beginning(body, found) : `c:${cache}`
}

// Two forms of Claude Code: JSON text with a session_id, and `user_…_account_…_session_<uuid>`. A user_id without a
// session is a person: as a key it would tie all their conversations to one account.
function sessionOfUser(body: Buffer, metadata: Span | undefined): string | undefined {
  if (!metadata) return undefined
  let userId: string | undefined
  for (const { key, value } of members(body, metadata.start)) if (key === 'user_id') userId = shortText(body, value)
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

// Claude Code's first system block says its version and a digest of the whole request: another one every turn
// (spec/wire.md §5, anthropics/claude-code#68900).
const BILLING = Buffer.from('x-anthropic-billing-header')
const LINE_END = Buffer.from('\\n')

// Role-system messages are left out: they move between turns (spec/wire.md §5).
function beginning(body: Buffer, found: ReadonlyMap<string, Span>): string {
  const first = firstUserMessage(body, found.get('messages'))
  if (!first) return ''
  const system = found.get('system')
  const said = system ? textsOf(body, system).map(withoutBilling) : []
  return sessionOfBeginning(body, said, found.get('tools'), textsOf(body, first))
}

function firstUserMessage(body: Buffer, messages: Span | undefined): Span | undefined {
  if (!messages) return undefined
  for (const message of elements(body, messages.start)) {
    let user = false
    let content: Span | undefined
    for (const { key, value } of members(body, message)) {
      if (key === 'role') user = isWritten(body, value, '"user"')
      else if (key === 'content') content = value
    }
    if (user) return content
  }
  return undefined
}

// A block of its own, or the first line where a program in between has joined the blocks.
function withoutBilling(said: Buffer): Buffer {
  if (!said.subarray(0, BILLING.length).equals(BILLING)) return said
  const line = said.indexOf(LINE_END)
  return line === -1 ? said.subarray(said.length) : said.subarray(line + LINE_END.length)
}
