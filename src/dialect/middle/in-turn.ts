// Parts one after the other: of several that are open at once the later ones wait, for dialects that have one at a time.
import type { Event } from './form.ts'

export class InTurn {
  /** the part whose events go out; -1: none */
  #open = -1
  /** what waits, by part, in the order in which they were opened */
  readonly #waiting = new Map<number, Event[]>()
  readonly #closed = new Set<number>()

  /** The events that may go out now. */
  take(event: Event): readonly Event[] {
    if (!('index' in event)) return [event]
    const { index } = event
    if (this.#open === -1 && event.type === 'open') {
      this.#open = index
      return [event]
    }
    if (index === this.#open) return event.type === 'close' ? [event, ...this.#next()] : [event]
    const queue = this.#waiting.get(index)
    if (queue) queue.push(event)
    else if (event.type === 'open') this.#waiting.set(index, [event])
    if (event.type === 'close') this.#closed.add(index)
    return []
  }

  #next(): Event[] {
    const out: Event[] = []
    this.#open = -1
    for (const [index, queue] of this.#waiting) {
      this.#waiting.delete(index)
      out.push(...queue)
      if (!this.#closed.delete(index)) {
        this.#open = index
        break
      }
    }
    return out
  }
}
