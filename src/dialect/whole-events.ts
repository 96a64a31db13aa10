// Passes a stream on in whole events, so that an error frame can follow at any moment and be read.

// An event beyond this is passed on as it comes: holding it would be holding a slow client's memory for ever.
const MOST = 1024 * 1024
const LF = 10
const CR = 13
const none = Buffer.alloc(0)

/** Keeps back the beginning of an event whose end has not come; every byte comes out again, in order. */
export class WholeEvents {
  #tail: Buffer[] = []
  #tailBytes = 0
  #passing = false

  /** What went on ended with an event, not in the middle of one that is too large to be kept. */
  get between(): boolean {
    return !this.#passing
  }

  /** What may go on now; empty while an event is incomplete. */
  push(chunk: Buffer): Buffer {
    // The blank line may lie across two chunks.
    const before = this.#tail.at(-1)?.subarray(-2) ?? none
    const cut = endOfEvents(before.length === 0 ? chunk : Buffer.concat([before, chunk])) - before.length
    if (cut <= 0) {
      this.#tail.push(chunk)
      this.#tailBytes += chunk.length
      if (this.#tailBytes <= MOST && !this.#passing) return none
      this.#passing = true
      return this.rest()
    }
    this.#passing = false
    if (cut === chunk.length && this.#tailBytes === 0) return chunk
    this.#tail.push(chunk.subarray(0, cut))
    const whole = this.rest()
    if (cut < chunk.length) {
      this.#tail.push(chunk.subarray(cut))
      this.#tailBytes = chunk.length - cut
    }
    return whole
  }

  /** What was kept back: the end of a stream that ends without a blank line. */
  rest(): Buffer {
    const all = this.#tail.length === 1 ? this.#tail[0]! : Buffer.concat(this.#tail)
    this.#tail = []
    this.#tailBytes = 0
    return all
  }
}

/** Where the last blank line ends, in any of the three line ends; 0 when there is none. */
function endOfEvents(bytes: Buffer): number {
  let lf = bytes.lastIndexOf(LF)
  let cr = bytes.lastIndexOf(CR)
  while (lf > 0 || cr > 0) {
    const at = Math.max(lf, cr)
    const before = bytes[at] === LF && bytes[at - 1] === CR ? bytes[at - 2] : bytes[at - 1]
    if (before === LF || before === CR) return at + 1
    if (lf === at) lf = bytes.lastIndexOf(LF, at - 1)
    else cr = bytes.lastIndexOf(CR, at - 1)
  }
  return 0
}
