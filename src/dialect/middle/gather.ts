// Gather: the events of an answer put together to the whole of it.
import type { Answer, Choice } from './codec.ts'
import type { Citation, Event, Fault, Head, Json, Part, Seal, Text } from './form.ts'

interface Open {
  head: Head
  choice: number
  text: string[]
  seal?: Seal
  citations: Citation[]
  /** the upstream's own word for all of it */
  whole?: Part
}

export class Gathering {
  #answer: Answer | undefined
  readonly #parts: Open[] = []
  readonly #byIndex = new Map<number, Open>()
  readonly #ends = new Map<number, Omit<Choice, 'parts' | 'phase'>>()
  /** the answer failed */
  fault: Fault | undefined

  take(event: Event): void {
    switch (event.type) {
      case 'start':
        this.#answer = { id: event.id, model: event.model, choices: [], usage: event.usage }
        break
      case 'open': {
        const open: Open = { head: event.part, choice: event.choice ?? 0, text: [], citations: [] }
        this.#parts.push(open)
        this.#byIndex.set(event.index, open)
        break
      }
      case 'delta':
        this.#byIndex.get(event.index)?.text.push(event.text)
        break
      case 'seal': {
        const open = this.#byIndex.get(event.index)
        if (open) open.seal = event.seal
        break
      }
      case 'cite':
        this.#byIndex.get(event.index)?.citations.push(event.citation)
        break
      case 'close': {
        const open = this.#byIndex.get(event.index)
        if (open && event.part) open.whole = event.part
        break
      }
      case 'usage':
        if (this.#answer) this.#answer.usage = event.usage
        break
      case 'finish': {
        const { type: _, choice = 0, ext: __, ...end } = event
        this.#ends.set(choice, end)
        break
      }
      case 'fail':
        this.fault ??= event.fault
    }
  }

  /** The whole answer; undefined when it has no end. */
  get answer(): Answer | undefined {
    if (!this.#answer || this.#ends.size === 0) return undefined
    const choices = [...this.#ends].sort(([a], [b]) => a - b)
    this.#answer.choices = choices.map(([nth, end]) => {
      const parts = this.#parts.filter(open => open.choice === nth)
      const phase = parts.map(({ head }) => ('phase' in head ? head.phase : undefined)).findLast(said => said)
      return { ...end, parts: parts.map(partOf), ...(phase ? { phase } : {}) }
    })
    return this.#answer
  }
}

function partOf({ head, text, seal, citations, whole }: Open): Part {
  const said = text.join('')
  if (whole && said === '') return seal && !('seal' in whole) ? ({ ...whole, seal } as Part) : whole
  const sealed = seal ? { seal } : {}
  switch (head.type) {
    case 'text': {
      const part: Text = { type: 'text', text: said, ...sealed }
      return citations.length > 0 ? { ...part, citations } : part
    }
    case 'refusal':
      return { type: 'refusal', text: said }
    case 'thought':
      return { type: 'thought', text: said, ...(head.redacted ? { redacted: true } : {}), ...sealed }
    case 'call': {
      const { id, name, namespace, freeform, by } = head
      const input = freeform ? { text: said } : { json: (said.trim() === '' ? '{}' : said) as Json }
      return { type: 'call', id, name, input, ...(namespace ? { namespace } : {}), ...(by ? { by } : {}), ...sealed }
    }
    case 'result':
      return { type: 'result', callId: head.callId, parts: [{ type: 'text', text: said }], error: false, by: 'server' }
    case 'media':
      return { type: 'media', kind: head.kind, ...(head.mime ? { mime: head.mime } : {}), at: { base64: said } }
    case 'opaque':
      return { type: 'opaque', dialect: head.dialect, kind: head.kind, json: (said || 'null') as Json }
  }
}

/** The text of a part that its deltas would have brought; undefined for one that has none. */
export function textOfPart(part: Part): string | undefined {
  switch (part.type) {
    case 'text':
    case 'thought':
    case 'refusal':
      return part.text
    case 'call':
      return 'json' in part.input ? part.input.json : part.input.text
    case 'media':
      return 'base64' in part.at ? part.at.base64 : undefined
    case 'opaque':
      return part.json
    default:
      return undefined
  }
}
