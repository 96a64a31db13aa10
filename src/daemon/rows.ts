// Rows of the live stream as text, with when each changed last: whoever reads slowly gets what is new since it read, and no more.

/** How many names of rows that are gone are kept; who has not read for longer begins again. */
const MOST_GONE = 1_000
/** Bytes of one message, at most, but for a single row that is longer. */
const MOST_BYTES = 60_000

/** Rows of one kind, known by their names. */
export class Rows {
  #version = 0
  readonly #rows = new Map<string, { text: string; version: number }>()
  #gone: { name: string; version: number }[] = []
  /** who has read less than this cannot be told what is gone */
  #oldest = 0

  /** These are all there are now. Long lists are given in parts, between which others go on. */
  async update(parts: AsyncIterable<readonly { name: string }[]>): Promise<void> {
    const version = this.#version + 1
    const here = new Set<string>()
    for await (const part of parts)
      for (const row of part) {
        here.add(row.name)
        const text = JSON.stringify(row)
        const known = this.#rows.get(row.name)
        if (known?.text !== text) this.#rows.set(row.name, { text, version })
      }
    for (const name of this.#rows.keys())
      if (!here.has(name)) {
        this.#rows.delete(name)
        this.#gone.push({ name, version })
      }
    if (this.#gone.length > MOST_GONE) {
      this.#gone = this.#gone.slice(-MOST_GONE)
      this.#oldest = this.#gone[0]!.version
    }
    this.#version = version
  }

  /** What is new to who has read up to `seen` (0: nothing yet), as the messages to send, and up to where that is. */
  since(seen: number, of: string): { messages: string[]; seen: number } {
    if (this.#version === 0) return { messages: [], seen: 0 }
    const reset = seen === 0 || seen < this.#oldest
    const texts: string[] = []
    for (const { text, version } of this.#rows.values()) if (reset || version > seen) texts.push(text)
    const gone = reset ? [] : this.#gone.filter(one => one.version > seen && !this.#rows.has(one.name))
    if (texts.length === 0 && gone.length === 0 && !reset) return { messages: [], seen: this.#version }

    const messages: string[] = []
    let part: string[] = []
    let bytes = 0
    const close = () => {
      const first = messages.length === 0
      const names = JSON.stringify(first ? gone.map(one => one.name) : [])
      messages.push(`{"type":"rows","of":"${of}","reset":${reset && first},"rows":[${part.join(',')}],"gone":${names}}`)
      part = []
      bytes = 0
    }
    for (const text of texts) {
      const more = Buffer.byteLength(text) + 1
      if (bytes + more > MOST_BYTES && part.length > 0) close()
      part.push(text)
      bytes += more
    }
    if (part.length > 0 || messages.length === 0) close()
    return { messages, seen: this.#version }
  }
}
