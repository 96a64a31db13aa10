// The proofs of reasoning in a Responses conversation, and the conversation without some of them: every other byte stays.
import type { Span } from '../dialect.ts'
import { removed, spans } from '../json/list.ts'
import { members, textAt } from '../json/walk.ts'
import type { Edit } from '../peeking.ts'
import { type ProofKeys, proofsIn } from '../proofs.ts'
import { shortText } from '../session.ts'
import { summaryIn } from './compacting.ts'

/** In requests and in answers, streams too. */
export const proofKeys: ProofKeys = { keys: ['"encrypted_content"'] }

export const proofsOf = (body: Buffer): string[] => proofsIn(body, proofKeys)

/** What to edit so that a conversation is without the reasoning whose proofs `edits` has as undefined, and brings the others as it says. */
export function proofEdits(body: Buffer, input: Span, edits: ReadonlyMap<string, string | undefined>): Edit[] {
  const out: Edit[] = []
  const items = spans(body, input)
  const gone = new Set<number>()
  for (const [n, item] of items.entries()) {
    let type: string | undefined
    let span: Span | undefined
    for (const { key, value } of members(body, item.start))
      if (key === 'type') type = shortText(body, value)
      else if (key === 'encrypted_content') span = value
    const proof = (type === 'reasoning' || type === 'compaction') && span ? textAt(body, span) : undefined
    if (proof === undefined || !edits.has(proof)) continue
    if (type === 'compaction') {
      // Only one of ours has an inside that others can read.
      const text = summaryIn(proof)
      const message = { type: 'message', role: 'user', content: [{ type: 'input_text', text }] }
      if (text !== undefined) out.push({ ...item, text: JSON.stringify(message) })
      continue
    }
    const instead = edits.get(proof)
    if (instead === undefined) gone.add(n)
    else out.push({ ...span!, text: JSON.stringify(instead) })
  }
  return [...out, ...removed(items, gone).map(cut => ({ ...cut, text: '' }))]
}
