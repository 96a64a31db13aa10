// Reads Server-Sent Events as bytes pass by: cuts lines, keeps only the data lines somebody wants.
import { LARGE, Squeezer } from './json/squeeze.ts'

/** Told of each event. */
export interface SseReader {
  /**
   * Whether to keep the data of an event, asked at its first data line with the event name seen so far ('' when none)
   * and the line's first bytes, or `whole` all of them. Declined data is skipped, never buffered: an image of 5 MB costs nothing.
   */
  wants(event: string, head: Buffer, whole: boolean): boolean
  /** `data` is empty when `wants` declined it; `bytes` is its length on the wire either way. */
  event(event: string, data: string, wanted: boolean, bytes: number): void
  /** Kept data is JSON whose long strings nobody needs: of a large line they are shortened, its shape stays. */
  readonly squeeze?: true
}

const LF = 10
const CR = 13
// A kept event that grows beyond this is given up: what is kept is usage, and usage is small.
const MAX_KEPT = 16 * 1024 * 1024
// How much of a data line must be there before `wants` is asked, unless the line is shorter. Beyond what comes before the
// text in the deltas of any dialect.
const HEAD = 512

/** Line ends LF, CRLF and CR; comments and unknown fields are skipped (WHATWG HTML §9.2.6). */
export class SseCutter {
  readonly #reader: SseReader
  #event = ''
  #data: string[] = []
  #kept = 0
  #bytes = 0
  #wanted: boolean | undefined
  #hasData = false
  // The unfinished line: its bytes so far, whether its head was looked at, or skipping when nobody wants the rest of it,
  // and whether what is skipped is data.
  #line: Buffer[] = []
  #squeezer: Squeezer | undefined
  #lineBytes = 0
  #judged = false
  #skipping = false
  #skippingData = false
  #afterCr = false
  #firstLine = true

  constructor(reader: SseReader) {
    this.#reader = reader
  }

  push(chunk: Buffer): void {
    // Or a CR would be forgotten whose LF is still to come.
    if (chunk.length === 0) return
    let at = 0
    if (this.#afterCr) {
      this.#afterCr = false
      if (chunk[0] === LF) at = 1
    }
    // Hardly any stream has a CR: one native search a chunk says so, instead of one a line.
    let cr = chunk.indexOf(CR, at)
    let lf = chunk.indexOf(LF, at)
    while (at < chunk.length) {
      if (lf !== -1 && lf < at) lf = chunk.indexOf(LF, at)
      const end = cr !== -1 && (lf === -1 || cr < lf) ? cr : lf
      if (end === -1) {
        this.#partial(chunk.subarray(at))
        return
      }
      this.#finish(chunk.subarray(at, end))
      at = end + 1
      if (end === cr) {
        if (at === chunk.length) this.#afterCr = true
        else if (chunk[at] === LF) at++
        cr = chunk.indexOf(CR, at)
      }
    }
  }

  /** Ends the stream; a last event without its blank line is told too, as clients of the field read it. */
  end(): void {
    if (this.#lineBytes > 0 || this.#skipping) this.#finish(Buffer.alloc(0))
    this.#dispatch()
  }

  #partial(piece: Buffer): void {
    if (this.#skipping) {
      if (this.#skippingData) this.#bytes += piece.length
      return
    }
    if (this.#squeezer) this.#squeezer.push(piece)
    else this.#line.push(piece)
    this.#lineBytes += piece.length
    if (this.#lineBytes < HEAD) return
    if (!this.#judged) {
      const head = this.#unmarked(this.#line.length === 1 ? piece : Buffer.concat(this.#line, this.#lineBytes))
      this.#line = [head]
      this.#lineBytes = head.length
      this.#judged = true
      if (isData(head)) {
        this.#hasData = true
        if (!this.#keeps(dataOf(head), false)) this.#skip(dataOf(head).length)
        else if (this.#reader.squeeze) this.#squeezer = squeezing(head)
      } else if (!startsEvent(head)) this.#skip(-1)
    }
    if (this.#kept + (this.#squeezer?.bytes ?? this.#lineBytes) > MAX_KEPT) {
      this.#giveUp()
      this.#skip(this.#hasData ? this.#lineBytes : -1)
    }
  }

  /** Skips the rest of this line. `bytes` were there of its data; -1: it is no data line. */
  #skip(bytes: number): void {
    this.#line = []
    this.#lineBytes = 0
    this.#squeezer = undefined
    this.#skipping = true
    this.#skippingData = bytes !== -1
    if (this.#skippingData) this.#bytes += bytes
  }

  #giveUp(): void {
    this.#wanted = false
    this.#data = []
  }

  #finish(rest: Buffer): void {
    this.#judged = false
    if (this.#skipping) {
      if (this.#skippingData) this.#bytes += rest.length
      this.#skipping = false
      return
    }
    let line = rest
    if (this.#squeezer) {
      this.#squeezer.push(rest)
      line = this.#squeezer.take()
      this.#squeezer = undefined
      // What was left out is counted here, what is there below.
      this.#bytes += this.#lineBytes + rest.length - line.length
    } else if (this.#lineBytes > 0) {
      this.#line.push(rest)
      line = Buffer.concat(this.#line, this.#lineBytes + rest.length)
    }
    if (this.#lineBytes > 0) {
      this.#line = []
      this.#lineBytes = 0
    }
    if (this.#firstLine) line = this.#unmarked(line)
    if (line.length === 0) this.#dispatch()
    else if (isData(line)) {
      this.#hasData = true
      const data = dataOf(line)
      this.#bytes += data.length
      if (this.#keeps(data, true)) {
        const kept = this.#reader.squeeze && data.length > LARGE ? squeezing(data).take() : data
        this.#kept += kept.length
        if (this.#kept > MAX_KEPT) this.#giveUp()
        else this.#data.push(kept.toString('utf8'))
      }
    } else if (startsEvent(line)) this.#event = fieldValue(line, 6)
  }

  /** Without the byte order mark that a stream may begin with. */
  #unmarked(line: Buffer): Buffer {
    const marked = this.#firstLine && line[0] === 0xef && line[1] === 0xbb && line[2] === 0xbf
    this.#firstLine = false
    return marked ? line.subarray(3) : line
  }

  #keeps(head: Buffer, whole: boolean): boolean {
    this.#wanted ??= this.#reader.wants(this.#event, head, whole)
    return this.#wanted
  }

  #dispatch(): void {
    if (this.#hasData) this.#reader.event(this.#event, this.#data.join('\n'), this.#wanted === true, this.#bytes)
    if (this.#data.length > 0) this.#data = []
    this.#event = ''
    this.#kept = 0
    this.#bytes = 0
    this.#wanted = undefined
    this.#hasData = false
  }
}

function squeezing(piece: Buffer): Squeezer {
  const squeezer = new Squeezer()
  squeezer.push(piece)
  return squeezer
}

// "data:" and "event:" by bytes: this runs for every line of every stream.
function isData(line: Buffer): boolean {
  return line[0] === 0x64 && line[1] === 0x61 && line[2] === 0x74 && line[3] === 0x61 && line[4] === 0x3a
}
function startsEvent(line: Buffer): boolean {
  return (
    line[0] === 0x65 && line[1] === 0x76 && line[2] === 0x65 && line[3] === 0x6e && line[4] === 0x74 && line[5] === 0x3a
  )
}
function dataOf(line: Buffer): Buffer {
  return line.subarray(line[5] === 0x20 ? 6 : 5)
}
function fieldValue(line: Buffer, colon: number): string {
  return line.toString('latin1', line[colon] === 0x20 ? colon + 1 : colon, line.length)
}
