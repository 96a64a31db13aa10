// A whole answer as a client of the Responses dialect reads it.
import type { Answer, Asked, Choice } from '../middle/codec.ts'
import type { Head, Part } from '../middle/form.ts'
import { ResponseEncoder } from './encode-answer.ts'
import { incomplete } from './response.ts'

export function encodeWhole({ id, choices, usage }: Answer, asked: Asked): string {
  const encoder = new ResponseEncoder(asked, false)
  encoder.write({ type: 'start', id, model: '', ...(usage ? { usage } : {}) })
  const choice = choices[0]
  for (const [index, part] of (choice?.parts ?? []).entries()) {
    const head = headOf(part, choice!, index)
    if (!head) continue
    encoder.write({ type: 'open', index, part: head })
    encoder.write({ type: 'close', index, part })
  }
  const why = choice?.why ?? 'end'
  encoder.write({ type: 'finish', why, ...(choice?.detail === undefined ? {} : { detail: choice.detail }) })
  const reason = incomplete[why]
  return JSON.stringify(
    encoder.response(reason ? 'incomplete' : 'completed', reason ? { incomplete_details: { reason } } : {}),
  )
}

function headOf(part: Part, { parts, phase }: Choice, at: number): Head | undefined {
  switch (part.type) {
    case 'text':
    case 'refusal': {
      // What is said before a call is no answer yet.
      const before = parts.slice(at).some(({ type }) => type === 'call')
      return { type: part.type, ...(phase ? { phase: before ? 'commentary' : phase } : {}) }
    }
    case 'thought':
      return { type: 'thought', ...(part.redacted ? { redacted: true } : {}) }
    case 'call': {
      const { id, name, namespace, by, input } = part
      return {
        type: 'call',
        id,
        name,
        ...(namespace ? { namespace } : {}),
        ...(by ? { by } : {}),
        ...('text' in input ? { freeform: true } : {}),
      }
    }
    case 'media':
      return { type: 'media', kind: part.kind }
    case 'opaque':
      return { type: 'opaque', dialect: part.dialect, kind: part.kind }
    case 'result':
      return undefined
  }
}
