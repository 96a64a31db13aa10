// Writes an answer for a Gemini client: chunks of a stream, or all of it at once (spec/wire.md §3.3).
import { parseExact, Raw, raw, writeExact } from '../json/exact.ts'
import type { Answer, Asked, Encoder } from '../middle/codec.ts'
import type { Citation, Event, Head, Part, Seal, Tokens, Why } from '../middle/form.ts'
import { textOfPart } from '../middle/gather.ts'
import { REDACTED } from '../middle/seal.ts'
import { usageOf } from './counts.ts'
import { wordOf } from './ends.ts'
import { frameOf } from './faults.ts'
import { written } from './proofs.ts'

type Written = Record<string, unknown>

interface Open {
  head: Head
  choice: number
  text: string
  seal: Seal | undefined
}

/** Reasoning whose proof goes with the next call, as Gemini has it; at the end in a part of its own, as Gemini has that, too. */
interface Pending {
  seal: Seal | undefined
  text: string
  redacted: boolean
}

/** The parts of one choice, one after the other. */
class Parts {
  readonly #asked: Asked
  #pending: Pending | undefined
  /** a call could not be read: it was left out, and the end must say so */
  broken = false
  readonly citations: Citation[] = []

  constructor(asked: Asked) {
    this.#asked = asked
  }

  /** A text, or a piece of it. */
  text(text: string, thought: boolean): Written[] {
    if (text === '' || (thought && !this.#asked.ask.wants.reasoning)) return []
    return [thought ? { text, thought: true } : { text }]
  }

  /** What is to be said when a part has ended, `text` being all of it. */
  closed({ head, text, seal }: Open): Written[] {
    switch (head.type) {
      case 'thought': {
        const before = this.#pending ? this.rest() : []
        this.#pending = { seal, text, redacted: head.redacted === true }
        return before
      }
      case 'text':
        return seal ? [{ text: '', ...this.#signed({ seal, text: '', redacted: false }) }] : []
      case 'call':
        return head.by ? [] : this.#call(head, text, seal)
      case 'media':
        return [{ inlineData: { mimeType: head.mime ?? 'image/png', data: text } }]
      case 'opaque':
        return head.dialect === 'gemini' ? objectIn(text) : []
      default:
        return []
    }
  }

  /** A proof that no part has carried. */
  rest(): Written[] {
    const pending = this.#pending
    this.#pending = undefined
    const signed = pending ? this.#signed(pending) : {}
    return 'thoughtSignature' in signed ? [{ text: '', ...signed }] : []
  }

  #call(head: Head & { type: 'call' }, text: string, seal: Seal | undefined): Written[] {
    const args = text.trim() === '' ? raw('{}') : rawObject(text)
    if (!args) {
      // Cut off, mostly: what is left of it must not be run.
      this.broken = true
      return []
    }
    const proof = seal ? { seal, text: '', redacted: false } : this.#pending
    const before = seal && this.#pending ? this.rest() : []
    this.#pending = undefined
    const signed = proof ? this.#signed(proof, head.id) : {}
    return [...before, { functionCall: { id: head.id, name: head.name, args }, ...signed }]
  }

  #signed({ seal, text, redacted }: Pending, callId = ''): { thoughtSignature?: string } {
    const proof = this.#asked.seal(seal, text, redacted ? REDACTED : callId)
    return proof === '' ? {} : { thoughtSignature: written(proof) }
  }
}

function rawObject(text: string): Raw | undefined {
  try {
    const value = parseExact(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Raw)
      ? raw(text)
      : undefined
  } catch {
    return undefined
  }
}

function objectIn(text: string): Written[] {
  try {
    const value = parseExact(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? [value as Written] : []
  } catch {
    return []
  }
}

/** What stands at the end of each candidate. */
function endOf(why: Why, detail: string | undefined, { broken, citations }: Parts): Written {
  const word = broken && why !== 'length' && why !== 'contextFull' ? 'MALFORMED_FUNCTION_CALL' : wordOf(why)
  const message = detail && word !== 'STOP' ? { finishMessage: detail } : {}
  return {
    finishReason: word,
    ...message,
    ...(citations.length > 0 ? { groundingMetadata: groundedOn(citations) } : {}),
  }
}

function groundedOn(citations: readonly Citation[]): Written {
  const web = citations.filter(({ url }) => url !== undefined)
  return { groundingChunks: web.map(({ url, title }) => ({ web: { uri: url, ...(title ? { title } : {}) } })) }
}

const content = (parts: readonly Written[]) => ({ role: 'model', parts })

export class GeminiEncoder implements Encoder {
  readonly #asked: Asked
  readonly #open = new Map<number, Open>()
  readonly #choices = new Map<number, Parts>()
  #id = ''
  #model = ''
  #usage: Tokens | undefined

  constructor(asked: Asked) {
    this.#asked = asked
    this.#model = asked.model
  }

  write(event: Event): string {
    switch (event.type) {
      case 'start':
        this.#id = event.id || this.#asked.id('gw_')
        this.#model ||= event.model
        this.#usage = event.usage
        return ''
      case 'open':
        this.#open.set(event.index, { head: event.part, choice: event.choice ?? 0, text: '', seal: undefined })
        return ''
      case 'delta': {
        const open = this.#open.get(event.index)
        if (!open) return ''
        const { type } = open.head
        // Of a text only its proof needs all of it, and of reasoning that alone.
        if (type !== 'text' && type !== 'refusal') open.text += event.text
        if (type !== 'text' && type !== 'refusal' && type !== 'thought') return ''
        return this.#chunk(this.#parts(open.choice).text(event.text, type === 'thought'), open.choice)
      }
      case 'seal': {
        const open = this.#open.get(event.index)
        if (open) open.seal = event.seal
        return ''
      }
      case 'cite': {
        const open = this.#open.get(event.index)
        if (open) this.#parts(open.choice).citations.push(event.citation)
        return ''
      }
      case 'close':
        return this.#close(event)
      case 'usage':
        this.#usage = event.usage
        return ''
      case 'opaque':
        return event.dialect === 'gemini' ? this.#chunk(objectIn(event.json), 0) : ''
      case 'finish':
        return this.#finish(event)
      case 'fail':
        return `data: ${JSON.stringify(frameOf(event.fault))}\n\n`
      default:
        return ''
    }
  }

  #close({ index, part }: Event & { type: 'close' }): string {
    const open = this.#open.get(index)
    if (!open) return ''
    this.#open.delete(index)
    const parts = this.#parts(open.choice)
    // What was not said in pieces is said at once.
    const told = part && open.text === '' ? textOfPart(part) : undefined
    const late = told !== undefined && isSpoken(open.head) ? parts.text(told, open.head.type === 'thought') : []
    if (told !== undefined) open.text = told
    return this.#chunk([...late, ...parts.closed(open)], open.choice)
  }

  #finish({ why, detail, choice = 0 }: Event & { type: 'finish' }): string {
    const parts = this.#parts(choice)
    const rest = parts.rest()
    const candidate = {
      // The official client forgets a whole turn of which one chunk has no part.
      content: content(rest.length > 0 ? rest : [{ text: '' }]),
      ...endOf(why, detail, parts),
      index: choice,
    }
    const usageMetadata = this.#usage ? usageOf(this.#usage) : undefined
    return this.#frame({ candidates: [candidate], usageMetadata })
  }

  #parts(choice: number): Parts {
    const known = this.#choices.get(choice)
    if (known) return known
    const made = new Parts(this.#asked)
    this.#choices.set(choice, made)
    return made
  }

  #chunk(parts: readonly Written[], choice: number): string {
    return parts.length === 0 ? '' : this.#frame({ candidates: [{ content: content(parts), index: choice }] })
  }

  #frame(chunk: Written): string {
    return `data: ${writeExact({ ...chunk, modelVersion: this.#model, responseId: this.#id })}\n\n`
  }
}

const isSpoken = ({ type }: Head) => type === 'text' || type === 'refusal' || type === 'thought'

export function encodeWhole(answer: Answer, asked: Asked): string {
  const candidates = answer.choices.map((choice, index) => {
    const parts = new Parts(asked)
    const said = choice.parts.flatMap(part => {
      const text = textOfPart(part) ?? ''
      const open: Open = { head: headOf(part), choice: index, text, seal: 'seal' in part ? part.seal : undefined }
      if (part.type === 'text' && part.citations) parts.citations.push(...part.citations)
      return [...(isSpoken(open.head) ? parts.text(text, part.type === 'thought') : []), ...parts.closed(open)]
    })
    return { content: content([...said, ...parts.rest()]), ...endOf(choice.why, choice.detail, parts), index }
  })
  return writeExact({
    candidates,
    usageMetadata: answer.usage ? usageOf(answer.usage) : undefined,
    modelVersion: asked.model || undefined,
    responseId: answer.id || asked.id('gw_'),
  })
}

function headOf(part: Part): Head {
  switch (part.type) {
    case 'call':
      return { type: 'call', id: part.id, name: part.name, ...(part.by ? { by: part.by } : {}) }
    case 'thought':
      return { type: 'thought', ...(part.redacted ? { redacted: true } : {}) }
    case 'media':
      return { type: 'media', kind: part.kind, ...(part.mime ? { mime: part.mime } : {}) }
    case 'opaque':
      return { type: 'opaque', dialect: part.dialect, kind: part.kind }
    case 'result':
      return { type: 'result', callId: part.callId, by: 'server' }
    default:
      return { type: part.type }
  }
}
