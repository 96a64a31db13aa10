// The proofs of reasoning in a Messages conversation, and the conversation without some of them: every other byte stays.
import type { Span } from '../dialect.ts'
import { removed, spans } from '../json/list.ts'
import { members, textAt } from '../json/walk.ts'
import type { Edit } from '../peeking.ts'
import { type ProofKeys, proofsIn } from '../proofs.ts'

/** In requests and in answers, streams too. */
export const proofKeys: ProofKeys = {
  keys: ['"signature"'],
  behind: { word: '"redacted_thinking"', key: '"data"' },
}

export const proofsOf = (body: Buffer): string[] => proofsIn(body, proofKeys)

/**
 * What to edit so that a conversation is without the blocks whose proofs `edits` has as undefined, and brings the others
 * as it says. A message that had nothing else goes with its blocks: Anthropic takes none without content.
 * @param thinking the request's field, where it has one
 */
export function proofEdits(
  body: Buffer,
  messages: Span,
  thinking: Span | undefined,
  edits: ReadonlyMap<string, string | undefined>,
): Edit[] {
  const out: Edit[] = []
  const all = spans(body, messages)
  const empty = new Set<number>()
  // Whether the newest step calls something without a thought before it, since that was left out.
  let bare = false
  for (const [n, message] of all.entries()) {
    const { role, content } = fieldsOf(body, message.start)
    if (!content) continue
    const blocks = spans(body, content)
    const gone = new Set<number>()
    const types = blocks.map((block, i) => {
      const { type, proof, span } = proofIn(body, block.start)
      if (!span || proof === undefined || !edits.has(proof)) return type
      const instead = edits.get(proof)
      if (instead === undefined) gone.add(i)
      else out.push({ ...span, text: JSON.stringify(instead) })
      return type
    })
    const left = types.filter((_, i) => !gone.has(i))
    if (role === 'assistant') bare = gone.size > 0 && left.includes('tool_use') && !thoughts.has(left[0]!)
    if (gone.size === 0) continue
    if (left.length === 0) empty.add(n)
    else out.push(...removed(blocks, gone).map(span => ({ ...span, text: '' })))
  }
  out.push(...removed(all, empty).map(span => ({ ...span, text: '' })))
  // With a budget the newest step must begin with a thought.
  if (bare && thinking && /"type"\s*:\s*"enabled"/.test(body.toString('latin1', thinking.start, thinking.end)))
    out.push({ ...thinking, text: '{"type":"disabled"}' })
  return out
}

const thoughts = new Set(['thinking', 'redacted_thinking'])

function fieldsOf(body: Buffer, at: number): { role: string; content: Span | undefined } {
  let role = ''
  let content: Span | undefined
  for (const { key, value } of members(body, at))
    if (key === 'role') role = body.toString('latin1', value.start + 1, value.end - 1)
    else if (key === 'content') content = value
  return { role, content }
}

/** The type of a block, and the proof in it with its place. */
function proofIn(body: Buffer, at: number): { type: string; proof: string | undefined; span: Span | undefined } {
  let type = ''
  const found = new Map<string, Span>()
  for (const { key, value } of members(body, at))
    if (key === 'type') type = body.toString('latin1', value.start + 1, value.end - 1)
    else if (key === 'signature' || key === 'data') found.set(key, value)
  const span =
    type === 'thinking' ? found.get('signature') : type === 'redacted_thinking' ? found.get('data') : undefined
  return { type, proof: span && textAt(body, span), span }
}
