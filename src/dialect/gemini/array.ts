// A stream without `alt=sse`: one JSON array, whose elements are written as they come (spec/wire.md §3.1).
import type { Reframing } from '../dialect.ts'

const LF = 10
const CR = 13
const SPACE = 0x20
const OPEN_BRACE = 0x7b
const DATA = Buffer.from('data:')

const OPEN = Buffer.from('[')
/** as Google writes it between two elements */
export const BETWEEN = '\r\n,\r\n'
const between = Buffer.from(BETWEEN)

/** Server-sent events in, elements of an array out, their bytes as they are. Events may come in any pieces. */
export class ArrayFraming implements Reframing {
  /** bytes of `data:` seen at the beginning of this line; -1: it is something else and skipped; 6: its value goes on */
  #seen = 0
  /** the value's first byte is still to come */
  #before = true
  /** an element is open: its event has not ended */
  #inside = false
  #opened = false
  #lineEmpty = true
  #afterCr = false

  push(events: Buffer): Buffer {
    const out: Buffer[] = []
    // Hardly any stream has a CR: it is looked for once, not once a line.
    let cr = events.indexOf(CR)
    for (let at = 0; at < events.length; at++) {
      const c = events[at]!
      if (c === LF || c === CR) {
        this.#lineEnds(c)
        continue
      }
      this.#afterCr = false
      this.#lineEmpty = false
      if (this.#seen === -1) continue
      if (this.#seen < DATA.length) {
        this.#seen = c === DATA[this.#seen] ? this.#seen + 1 : -1
        continue
      }
      if (this.#before) {
        if (c === SPACE) continue
        // `[DONE]`, say, as no server of this dialect ends a stream and others do.
        if (!this.#inside && c !== OPEN_BRACE) {
          this.#seen = -1
          continue
        }
        if (!this.#inside) out.push(this.#opened ? between : OPEN)
        this.#before = false
        this.#inside = true
        this.#opened = true
      }
      const lf = events.indexOf(LF, at)
      if (cr !== -1 && cr < at) cr = events.indexOf(CR, at)
      const end = Math.min(lf === -1 ? events.length : lf, cr === -1 ? events.length : cr)
      out.push(events.subarray(at, end))
      at = end - 1
    }
    return out.length === 1 ? out[0]! : Buffer.concat(out)
  }

  #lineEnds(c: number): void {
    if (c === LF && this.#afterCr) {
      this.#afterCr = false
      return
    }
    this.#afterCr = c === CR
    if (this.#lineEmpty) this.#inside = false
    this.#lineEmpty = true
    this.#seen = 0
    this.#before = true
  }

  end(): Buffer {
    return Buffer.from(this.#opened ? ']' : '[]')
  }
}
