// Which conversation a Responses request belongs to, so that it goes back to the account that has its prompt in cache.
import type { Span } from '../dialect.ts'
import { elements, members } from '../json/walk.ts'
import { identifier, isWritten, sessionOfBeginning, sessionOfHeaders, shortText, textsOf } from '../session.ts'

/** The top-level fields a session is read from. */
export const sessionFields: ReadonlySet<string> = new Set([
  'prompt_cache_key',
  'conversation',
  'previous_response_id',
  'safety_identifier',
  'user',
  'instructions',
  'input',
  'tools',
])

/**
 * The session of a request, as the Messages dialect has it; '' for none. Prefixed by its source: `h:` header, `c:` prompt_cache_key,
 * `v:` conversation, `x:` hash of what the conversation began with, `u:` user, `p:` the previous response.
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
  const conversation = id('conversation') ?? idWithin(body, fields.get('conversation'))
  if (conversation !== undefined) return `v:${conversation}`
  const previous = id('previous_response_id')
  // What follows a response is not the beginning of anything.
  const begun = previous === undefined ? beginning(body, fields) : ''
  if (begun !== '') return begun
  // A person is no session, but better than none: all that is said is of the last turn.
  const user = id('safety_identifier') ?? id('user')
  return user !== undefined ? `u:${user}` : previous !== undefined ? `p:${previous}` : ''
}

function idWithin(body: Buffer, span: Span | undefined): string | undefined {
  if (!span) return undefined
  for (const { key, value } of members(body, span.start)) if (key === 'id') return identifier(shortText(body, value))
  return undefined
}

// Tools that come as an item, and what developers say, are left out: they move between turns.
function beginning(body: Buffer, fields: ReadonlyMap<string, Span>): string {
  const input = fields.get('input')
  const first = input && firstUserContent(body, input)
  if (!first) return ''
  const system = fields.get('instructions')
  return sessionOfBeginning(body, system ? textsOf(body, system) : [], fields.get('tools'), textsOf(body, first))
}

function firstUserContent(body: Buffer, input: Span): Span | undefined {
  if (body[input.start] === QUOTE) return input
  for (const item of elements(body, input.start)) {
    let user = false
    let content: Span | undefined
    for (const { key, value } of members(body, item)) {
      if (key === 'role') user = isWritten(body, value, '"user"')
      else if (key === 'content') content = value
    }
    if (user && content) return content
  }
  return undefined
}
const QUOTE = 0x22
