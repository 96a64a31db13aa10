// Answering: an upstream's events as the client's encoder may have them: tools by the client's names, ids that it can take, one part at a
// time, a stop reason that is true, and the proofs kept that its dialect has no place for.

import type { Event, Head, Seal } from './form.ts'
import { FreeformText } from './freeform.ts'
import { InTurn } from './in-turn.ts'
import type { Wires } from './names.ts'
import { keyOfText } from './seal.ts'

export interface Answering {
  wires: Wires
  /** kinds of part whose proofs the client's dialect carries itself */
  carries: ReadonlySet<Head['type']>
  id(prefix: string): string
  /** characters of a call's id that the client can give back to its dialect's own server; undefined: any number */
  longestId?: number | undefined
  /** a proof that must be kept here until the client comes back; by a call's id or `keyOfText` */
  keep(key: string, seal: Seal, text: string): void
}

// What every dialect takes.
const legalId = /^[a-zA-Z0-9_-]+$/

interface Open {
  head: Head
  text: string
  seal: Seal | undefined
  freeform: FreeformText | undefined
}

export class Answers {
  readonly #by: Answering
  readonly #turn = new InTurn()
  readonly #open = new Map<number, Open>()
  readonly #ids = new Set<string>()
  /** choices in which the client was told to call something */
  readonly #calling = new Set<number>()
  // Reasoning whose proof has no place of its own goes with the call that follows it.
  #thought: { seal: Seal; text: string } | undefined

  constructor(by: Answering) {
    this.#by = by
  }

  take(event: Event): readonly Event[] {
    switch (event.type) {
      case 'open':
        return this.#turn.take(this.#opened(event))
      case 'delta': {
        const open = this.#open.get(event.index)
        if (!open) return []
        const text = open.freeform ? open.freeform.push(event.text) : event.text
        // Of a call its id is the key.
        if (open.head.type !== 'call') open.text += text
        return text === '' ? [] : this.#turn.take(text === event.text ? event : { ...event, text })
      }
      case 'seal': {
        const open = this.#open.get(event.index)
        if (!open) return []
        open.seal = event.seal
        return this.#by.carries.has(open.head.type) ? this.#turn.take(event) : []
      }
      case 'close':
        return this.#closed(event)
      case 'finish':
        return [this.#finished(event)]
      default:
        return this.#turn.take(event)
    }
  }

  #opened(event: Event & { type: 'open' }): Event {
    let head = event.part
    let freeform: FreeformText | undefined
    if (head.type === 'call') {
      const wired = this.#by.wires.get(head.name)
      const { longestId = Number.POSITIVE_INFINITY } = this.#by
      const kept = legalId.test(head.id) && head.id.length <= longestId && !this.#ids.has(head.id)
      const id = kept ? head.id : this.#by.id('call_')
      this.#ids.add(id)
      if (!head.by) this.#calling.add(event.choice ?? 0)
      head = { ...head, id }
      if (wired) {
        head = { ...head, name: wired.name, ...(wired.namespace ? { namespace: wired.namespace } : {}) }
        if (wired.freeform && !head.freeform) {
          head = { ...head, freeform: true }
          freeform = new FreeformText()
        }
      }
    }
    this.#open.set(event.index, { head, text: '', seal: undefined, freeform })
    return head === event.part ? event : { ...event, part: head }
  }

  #closed(event: Event & { type: 'close' }): readonly Event[] {
    const open = this.#open.get(event.index)
    if (!open) return []
    this.#open.delete(event.index)
    this.#keep(open)
    const rest = open.freeform?.end() ?? ''
    const before = rest === '' ? [] : this.#turn.take({ type: 'delta', index: event.index, text: rest })
    return [...before, ...this.#turn.take(event)]
  }

  #keep({ head, seal, text }: Open): void {
    const { carries, keep } = this.#by
    if (head.type === 'call') {
      if (seal && !carries.has('call')) keep(head.id, seal, '')
      else if (this.#thought) keep(head.id, this.#thought.seal, this.#thought.text)
      this.#thought = undefined
    } else if (seal && !carries.has(head.type)) {
      if (head.type === 'thought') this.#thought = { seal, text }
      else if (text !== '') keep(keyOfText(text), seal, '')
    }
  }

  // Said by the parts, never by the upstream's word alone: a client drops calls that it is not told of, and waits for ones that are not there.
  #finished(event: Event & { type: 'finish' }): Event {
    const calls = this.#calling.has(event.choice ?? 0)
    if (event.why === 'calls' && !calls) return { ...event, why: 'end' }
    if (calls && (event.why === 'end' || event.why === 'stopSequence')) return { ...event, why: 'calls' }
    return event
  }
}
