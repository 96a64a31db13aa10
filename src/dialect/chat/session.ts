// Which conversation a Chat Completions request belongs to, so that it goes back to the account that has its prompt in cache.
import type { Span } from '../dialect.ts'
import { elements, members } from '../json/walk.ts'
import { identifier, isWritten, sessionOfBeginning, sessionOfHeaders, shortText, textsOf } from '../session.ts'

/** The top-level fields a session is read from. */
export const sessionFields: ReadonlySet<string> = new Set([
  'prompt_cache_key',
  'safety_identifier',
  'user',
  'messages',
  'tools',
])

/**
 * The session of a request, as the Messages dialect has it; '' for none. Prefixed by its source: `h:` header, `c:` prompt_cache_key,
 * `x:` hash of what the conversation began with, `u:` user.
 */
export function sessionKey(
  headers: NodeJS.Dict<string | string[]>,
  body: Buffer,
  fields: ReadonlyMap<string, Span>,
): string {
  const named = sessionOfHeaders(headers)
  if (named !== undefined) return named
  const id = (name: string) => identifier(shortText(body, fields.get(name)))
  const cache = id('prompt_cache_key')
  if (cache !== undefined) return `c:${cache}`
  const begun = beginning(body, fields)
  if (begun !== '') return begun
  // A person is no session, but better than none.
  const user = id('safety_identifier') ?? id('user')
  return user === undefined ? '' : `u:${user}`
}

// What developers say between turns is left out: it moves.
function beginning(body: Buffer, fields: ReadonlyMap<string, Span>): string {
  const messages = fields.get('messages')
  if (!messages) return ''
  const system: Buffer[] = []
  for (const message of elements(body, messages.start)) {
    let role: Span | undefined
    let content: Span | undefined
    for (const { key, value } of members(body, message)) {
      if (key === 'role') role = value
      else if (key === 'content') content = value
    }
    if (!role || !content) continue
    if (isWritten(body, role, '"user"'))
      return sessionOfBeginning(body, system, fields.get('tools'), textsOf(body, content))
    if (isWritten(body, role, '"system"') || isWritten(body, role, '"developer"'))
      system.push(...textsOf(body, content))
  }
  return ''
}
