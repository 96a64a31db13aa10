// Takes the envelope of v1internal off an answer (spec/wire.md §3.5): `{"response": …, "traceId": …}` becomes what stands in it, to the byte.
import type { Span } from '../dialect.ts'
import { JsonError, scanObject } from '../json/scan.ts'

const outer = new Set(['response', 'traceId'])
const inner = new Set(['responseId'])
const OPEN_BRACE = 0x7b
const LF = 10
const CR = 13
const none = Buffer.alloc(0)

/** A chunk or a whole body; undefined for what is not in an envelope. */
export function stripped(json: Buffer): Buffer | undefined {
  const found = scan(json, outer)
  const span = found?.get('response')
  if (!found || !span || json[span.start] !== OPEN_BRACE) return undefined
  const response = json.subarray(span.start, span.end)
  const trace = found.get('traceId')
  if (!trace || json[trace.start] !== 0x22 || scan(response, inner)?.has('responseId')) return response
  // An answer without an id of its own is known by its trace.
  const id = json.subarray(trace.start, trace.end)
  const empty = /^\{\s*\}$/.test(response.toString('latin1', 0, 64))
  return Buffer.concat([
    response.subarray(0, response.length - 1),
    Buffer.from(`${empty ? '' : ','}"responseId":`),
    id,
    Buffer.from('}'),
  ])
}

function scan(json: Buffer, names: ReadonlySet<string>): Map<string, Span> | undefined {
  try {
    return scanObject(json, names)
  } catch (error) {
    if (error instanceof JsonError) return undefined
    throw error
  }
}

/** Of a stream, line by line; what is no data line passes as it is. */
export class StrippedStream {
  #line: Buffer[] = []

  push(chunk: Buffer): Buffer {
    const out: Buffer[] = []
    let from = 0
    let cr = chunk.indexOf(CR)
    for (;;) {
      const lf = chunk.indexOf(LF, from)
      if (cr !== -1 && cr < from) cr = chunk.indexOf(CR, from)
      const end = lf === -1 ? cr : cr === -1 ? lf : Math.min(lf, cr)
      if (end === -1) break
      this.#line.push(chunk.subarray(from, end))
      out.push(strippedLine(this.#taken()), chunk.subarray(end, end + 1))
      from = end + 1
    }
    if (from < chunk.length) this.#line.push(chunk.subarray(from))
    return out.length === 0 ? none : Buffer.concat(out)
  }

  end(): Buffer {
    return strippedLine(this.#taken())
  }

  #taken(): Buffer {
    const line = this.#line.length === 1 ? this.#line[0]! : Buffer.concat(this.#line)
    this.#line = []
    return line
  }
}

function strippedLine(line: Buffer): Buffer {
  if (line.length < 6 || line.toString('latin1', 0, 5) !== 'data:') return line
  const open = line.indexOf(OPEN_BRACE)
  const json = open === -1 ? undefined : stripped(line.subarray(open))
  return json ? Buffer.concat([line.subarray(0, open), json]) : line
}

// It is in memory until its end.
const MOST_BYTES = 32 * 1024 * 1024

/** Of a whole body, given at its end; nothing of one that is too large. */
export class StrippedWhole {
  #pieces: Buffer[] = []
  #bytes = 0

  push(chunk: Buffer): Buffer {
    this.#bytes += chunk.length
    if (this.#bytes <= MOST_BYTES) this.#pieces.push(chunk)
    else this.#pieces = []
    return none
  }

  end(): Buffer {
    const body = Buffer.concat(this.#pieces)
    return stripped(body) ?? body
  }
}
