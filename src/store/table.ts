// A table of what comes and goes with every request, by holder, in one array that is used again and again.

/** What is in a table; one of a holder at most. */
export interface Entry {
  readonly holder: string
}

const SMALLEST = 8
/** Holders are told apart by their ends: ours end with what is random in a request's id. */
const HASHED = 12

/**
 * A Map that lives long while its members come and go is rebuilt every few members, and V8 chains each outgrown table to
 * its successor: once one of them is old, all that follow outlive every young collection, with all that is in them.
 * This is open addressing with linear probing; half of the slots are empty at least.
 */
export class Table<T extends Entry> {
  #slots: (T | undefined)[] = empty<T>(SMALLEST)
  #size = 0

  get size(): number {
    return this.#size
  }

  get(holder: string): T | undefined {
    return this.#slots[this.#find(holder)]
  }

  /** Puts an entry in, in place of the holder's last one. */
  set(entry: T): void {
    const at = this.#find(entry.holder)
    if (this.#slots[at] === undefined) this.#size++
    this.#slots[at] = entry
    if (this.#size * 2 > this.#slots.length) this.#resize(this.#slots.length * 2)
  }

  /** Takes a holder's entry out; undefined when there is none. */
  delete(holder: string): T | undefined {
    const slots = this.#slots
    const mask = slots.length - 1
    let hole = this.#find(holder)
    const found = slots[hole]
    if (found === undefined) return undefined
    // Whoever was pushed beyond the hole by its members moves back into it.
    for (let at = (hole + 1) & mask; slots[at] !== undefined; at = (at + 1) & mask) {
      const home = hash(slots[at]!.holder) & mask
      if (((at - home) & mask) < ((at - hole) & mask)) continue
      slots[hole] = slots[at]
      hole = at
    }
    slots[hole] = undefined
    this.#size--
    if (slots.length > SMALLEST && this.#size * 8 < slots.length) this.#resize(slots.length / 2)
    return found
  }

  /** In no order; a list, so that members may go while it is read. */
  all(): T[] {
    return this.#slots.filter(entry => entry !== undefined)
  }

  // The holder's slot, or the one where it belongs.
  #find(holder: string): number {
    const slots = this.#slots
    const mask = slots.length - 1
    let at = hash(holder) & mask
    for (;;) {
      const entry = slots[at]
      if (entry === undefined || entry.holder === holder) return at
      at = (at + 1) & mask
    }
  }

  #resize(length: number): void {
    const entries = this.all()
    this.#slots = empty(length)
    for (const entry of entries) this.#slots[this.#find(entry.holder)] = entry
  }
}

const empty = <T>(length: number): (T | undefined)[] => new Array<T | undefined>(length).fill(undefined)

// FNV-1a.
function hash(text: string): number {
  let sum = 0x811c9dc5
  for (let i = Math.max(0, text.length - HASHED); i < text.length; i++)
    sum = Math.imul(sum ^ text.charCodeAt(i), 0x01000193)
  return sum ^ (sum >>> 15)
}
