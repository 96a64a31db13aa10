// Reads answers off a socket, piece by piece, and compares every byte of the body with what it must be, or only their number.

type Phase = 'head' | 'length' | 'size' | 'chunk' | 'break' | 'trailer'
const CR = 13
const LF = 10

export class Reply {
  readonly #expected: Buffer | undefined
  readonly #bytes: number
  #phase: Phase = 'head'
  #kept: Buffer | undefined
  /** bytes left of the body or the chunk */
  #left = 0
  #size = 0
  #line = 0
  /** bytes of the body seen so far */
  seen = 0

  /** @param expected of an answer that is different each time: how long it is */
  constructor(expected: Buffer | number) {
    this.#expected = typeof expected === 'number' ? undefined : expected
    this.#bytes = typeof expected === 'number' ? expected : expected.length
  }

  /** Takes a piece. True when the answer is complete with it. @throws Error when it is not what it must be */
  take(buffer: Buffer, length: number): boolean {
    let at = 0
    while (at < length) {
      switch (this.#phase) {
        case 'head': {
          const bytes: Buffer = this.#kept ? Buffer.concat([this.#kept, buffer.subarray(at, length)]) : buffer
          const from = this.#kept ? 0 : at
          const to = this.#kept ? bytes.length : length
          const end = bytes.indexOf('\r\n\r\n', from, 'latin1')
          if (end < 0 || end + 4 > to) {
            this.#kept = Buffer.from(bytes.subarray(from, to))
            return false
          }
          at = length - (to - end - 4)
          this.#kept = undefined
          this.#begin(
            bytes.toString('latin1', from, end + 2),
            bytes.toString('latin1', end + 4, Math.min(to, end + 300)),
          )
          break
        }
        case 'length': {
          at = this.#compare(buffer, at, length)
          if (this.#left === 0) return this.#end(at, length)
          break
        }
        case 'size': {
          const byte = buffer[at++]!
          if (byte === LF) {
            this.#left = this.#size
            this.#phase = this.#size === 0 ? 'trailer' : 'chunk'
            this.#size = 0
            this.#line = 0
          } else if (byte !== CR) this.#size = this.#size * 16 + (byte < 58 ? byte - 48 : (byte | 32) - 87)
          break
        }
        case 'chunk': {
          at = this.#compare(buffer, at, length)
          if (this.#left === 0) this.#phase = 'break'
          break
        }
        case 'break': {
          if (buffer[at++] === LF) this.#phase = 'size'
          break
        }
        case 'trailer': {
          const byte = buffer[at++]!
          if (byte === LF) {
            if (this.#line === 0) return this.#end(at, length)
            this.#line = 0
          } else if (byte !== CR) this.#line++
        }
      }
    }
    return false
  }

  #begin(head: string, beginning: string) {
    if (!head.startsWith('HTTP/1.1 200 ')) throw new Error(`not a 200: ${head}${beginning}`)
    this.seen = 0
    const length = /\r\ncontent-length: *(\d+)\r\n/i.exec(head)
    if (length) {
      this.#left = Number(length[1])
      this.#phase = 'length'
    } else if (/\r\ntransfer-encoding: *chunked\r\n/i.test(head)) this.#phase = 'size'
    else throw new Error(`an answer without a length: ${head}`)
  }

  #compare(buffer: Buffer, at: number, length: number): number {
    const to = Math.min(length, at + this.#left)
    const { seen } = this
    this.seen += to - at
    if (this.seen > this.#bytes || (this.#expected && this.#expected.compare(buffer, at, to, seen, this.seen) !== 0))
      throw new Error(
        `other bytes than the provider's at ${seen}: ${buffer.toString('latin1', at, Math.min(to, at + 200))}`,
      )
    this.#left -= to - at
    return to
  }

  #end(at: number, length: number): true {
    if (this.seen !== this.#bytes) throw new Error(`an answer of ${this.seen} bytes instead of ${this.#bytes}`)
    if (at !== length) throw new Error('bytes after the end of an answer')
    this.#phase = 'head'
    return true
  }
}
