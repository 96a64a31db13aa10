// The proofs of reasoning in a Gemini conversation that passes, and the conversation with others in their place: every other byte stays.
import type { Span } from '../dialect.ts'
import { memberAt } from '../json/member.ts'
import { elements, members, textAt } from '../json/walk.ts'
import { factsOf } from '../middle/models.ts'
import type { Edit } from '../peeking.ts'
import type { ProofKeys } from '../proofs.ts'
import { SKIP } from './proofs.ts'

/** In requests and in answers, streams too. */
export const proofKeys: ProofKeys = { keys: ['"thoughtSignature"', '"thought_signature"'] }

/**
 * What to edit so that a conversation brings its proofs as `proofs` says. Of one that is left out the part stays: a call says that it
 * has none, where the model wants that.
 */
export function proofEdits(
  body: Buffer,
  contents: Span,
  model: string,
  proofs: ReadonlyMap<string, string | undefined>,
): Edit[] {
  const { callSeals } = factsOf('gemini', model)
  const edits: Edit[] = []
  for (const content of elements(body, contents.start))
    for (const { key, value } of members(body, content))
      if (key === 'parts')
        for (const part of elements(body, value.start)) {
          const { proof, span, call } = partAt(body, part)
          if (!span || proof === undefined || !proofs.has(proof)) continue
          const instead = proofs.get(proof) ?? (call && callSeals ? SKIP : undefined)
          if (instead === undefined) edits.push({ ...memberAt(body, span), text: '' })
          else edits.push({ ...span, text: JSON.stringify(instead) })
        }
  return edits
}

function partAt(body: Buffer, at: number): { proof: string | undefined; span: Span | undefined; call: boolean } {
  let span: Span | undefined
  let call = false
  for (const { key, value } of members(body, at))
    if (key === 'thoughtSignature' || key === 'thought_signature') span = value
    else if (key === 'functionCall' || key === 'function_call') call = true
  return { proof: span && textAt(body, span), span, call }
}
