// Compaction, as Codex asks for it where it takes its server for OpenAI's: an upstream of another dialect writes a summary, and the item that
// stands for the conversation from then on is ours around it.
import type { Answer, Asked, Encoder } from '../middle/codec.ts'
import type { Event, Opaque } from '../middle/form.ts'
import { disclose } from '../middle/seal.ts'
import { exactFields } from './own.ts'

/** What a model is told where a conversation ends in `compaction_trigger`. */
export const summarize = `Now write a summary of this conversation. It takes the place of what was said and done so far: the work goes on \
from it alone. Say what the user wants and what was decided, what was done and found out (files, commands and results by their exact names), \
what is left to do and what comes next. Answer with the summary only, and call no tool.`

/** What a model reads in place of a compaction of ours; undefined: a vendor's own, that nobody else can open. */
export function summaryIn(proof: unknown): string | undefined {
  const text = typeof proof === 'string' ? disclose(proof)?.text : undefined
  return text ? `The conversation so far was compacted. This is its summary; go on from it.\n\n${text}` : undefined
}

/** A whole answer, as the compaction that was asked for. */
export function compacted(answer: Answer, asked: Asked): Answer {
  const parts = answer.choices[0]?.parts ?? []
  const summary = parts.map(part => (part.type === 'text' ? part.text : '')).join('')
  return { ...answer, choices: [{ parts: [itemOf(summary, asked)], why: 'end' }] }
}

/** The same of a stream: nothing is told of a summary before all of it is there. */
export class CompactionEncoder implements Encoder {
  readonly #inner: Encoder
  readonly #asked: Asked
  #summary = ''
  /** the part that is open belongs to it */
  #says = false

  constructor(inner: Encoder, asked: Asked) {
    this.#inner = inner
    this.#asked = asked
  }

  write(event: Event): string {
    switch (event.type) {
      case 'open':
        this.#says = event.part.type === 'text'
        return ''
      case 'delta':
        if (this.#says) this.#summary += event.text
        return ''
      case 'close':
        if (event.part?.type === 'text') this.#summary += event.part.text
        return ''
      case 'finish':
        return this.#finished()
      default:
        return this.#inner.write(event)
    }
  }

  // One that was cut off is a summary still; none at all would cost the conversation.
  #finished(): string {
    if (this.#summary.trim() === '')
      return this.#inner.write({ type: 'fail', fault: { kind: 'upstream', message: 'The model wrote no summary.' } })
    const part = itemOf(this.#summary, this.#asked)
    const head = { type: part.type, dialect: part.dialect, kind: part.kind }
    const events: Event[] = [
      { type: 'open', index: 0, part: head },
      { type: 'close', index: 0, part },
      { type: 'finish', why: 'end' },
    ]
    return events.map(one => this.#inner.write(one)).join('')
  }
}

function itemOf(summary: string, asked: Asked): Opaque {
  const fields = { id: asked.id('cmp_'), type: 'compaction', encrypted_content: asked.seal(undefined, summary) }
  return { type: 'opaque', dialect: 'responses', kind: 'compaction', json: exactFields(fields) }
}
