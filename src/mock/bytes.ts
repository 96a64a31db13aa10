// The bytes of a reply: events in their wire form, bodies in halves, pieces cut small or compressed.
import { createBrotliCompress, createDeflate, createGzip, createZstdCompress } from 'node:zlib'
import type { Event, Reply } from './dialect.ts'
import type { Step, Usage } from './step.ts'

const lineEnds = { lf: '\n', crlf: '\r\n', cr: '\r' } as const

/** The events of a stream, and what there is to say of them. */
export interface Story {
  events: Event[]
  usage: Usage | null
  /** The usage is told once so many events are out. Default: all of them. */
  billedAfter?: number
  /** Said in place of what comes after the step's `errorAt`. */
  error?: Event[] | null
}

/** A reply that is a stream of server-sent events. */
export function streamed(story: Story, step: Step): Reply {
  const end = lineEnds[step.eol ?? 'lf']
  return inPieces(story, step, 'text/event-stream; charset=utf-8', ({ name, data }) => {
    const line = name === undefined || step.unnamed ? '' : `event: ${name}${end}`
    return `${line}data: ${data}${end}${end}`
  })
}

/** A reply that is one JSON array, written element by element. */
export function listed(story: Story, step: Step): Reply {
  return inPieces(
    story,
    step,
    'application/json',
    ({ data }, nth, all) => `${nth === 0 ? '[' : ',\r\n'}${data}${nth === all.length - 1 ? ']' : '\r\n'}`,
  )
}

function inPieces(
  { events, usage, billedAfter = events.length, error }: Story,
  step: Step,
  type: string,
  write: (event: Event, nth: number, all: Event[]) => string,
): Reply {
  const { errorAt = events.length } = step
  const said = error ? [...events.slice(0, errorAt), ...error] : events
  const pieces = said.map((event, nth) => {
    const data = nth === step.brokenAt ? halfOf(event.data) : event.data
    return Buffer.from(write({ ...event, data }, nth, said))
  })
  const told = error && errorAt < billedAfter ? null : usage
  const status = error ? 200 : (step.status ?? 200)
  const headers = { 'content-type': type, 'cache-control': 'no-cache', ...lower(step) }
  return { status, headers, pieces, stream: true, usage: told, billedAfter, keep: false }
}

/** A reply that is one JSON body. */
export function whole(json: unknown, step: Step, usage: Usage | null = null, status = step.status ?? 200): Reply {
  const text = JSON.stringify(json)
  const body = Buffer.from(step.brokenAt === undefined ? text : halfOf(text))
  const headers = { 'content-type': 'application/json', ...lower(step) }
  return { status, headers, pieces: halves(body), stream: false, usage, billedAfter: 2, keep: false }
}

/** A reply whose body the script gives word for word. Text that begins like a stream counts its events. */
export function verbatim(body: string, step: Step, usage: Usage | null): Reply {
  const stream = /^(event|data|id|retry)?:/.test(body)
  const pieces = stream
    ? body.split(/(?<=\n\n|\r\n\r\n|\r\r)/).map(piece => Buffer.from(piece))
    : halves(Buffer.from(body))
  const kind = stream ? 'text/event-stream; charset=utf-8' : body.startsWith('<') ? 'text/html' : 'application/json'
  const headers = { 'content-type': kind, ...lower(step) }
  return { status: step.status ?? 200, headers, pieces, stream, usage, billedAfter: pieces.length, keep: false }
}

function lower(step: Step): Record<string, string | string[]> {
  return Object.fromEntries(Object.entries(step.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]))
}

// Half of a JSON text always lacks its closing bracket, so it can never be read by accident.
function halfOf(json: string): string {
  return json.slice(0, Math.floor(json.length / 2))
}

function halves(body: Buffer): Buffer[] {
  const middle = Math.ceil(body.length / 2)
  return [body.subarray(0, middle), body.subarray(middle)]
}

/** The piece in the portions in which the step wants it written. */
export function portions(piece: Buffer, step: Step): Buffer[] {
  if (step.drip) return every(piece, step.drip.bytes)
  if (step.splitUtf8) return insideCharacters(piece)
  return piece.length > portionBytes ? every(piece, portionBytes) : [piece]
}

/** Larger pieces are written bit by bit, so that a client that goes away in the middle is noticed. */
export const portionBytes = 65_536

function every(piece: Buffer, bytes: number): Buffer[] {
  const all: Buffer[] = []
  for (let at = 0; at < piece.length; at += bytes) all.push(piece.subarray(at, at + bytes))
  return all
}

function insideCharacters(piece: Buffer): Buffer[] {
  const all: Buffer[] = []
  let from = 0
  for (let at = 1; at < piece.length; at++) {
    // A lead byte followed by a continuation byte: 11xxxxxx 10xxxxxx.
    if ((piece[at - 1]! & 0xc0) !== 0xc0 || (piece[at]! & 0xc0) !== 0x80) continue
    all.push(piece.subarray(from, at))
    from = at
  }
  all.push(piece.subarray(from))
  return all
}

const compressors = { gzip: createGzip, deflate: createDeflate, br: createBrotliCompress, zstd: createZstdCompress }

/** Compresses pieces into pieces of one compressed stream; each can be read as soon as it is there. */
export async function compressed(pieces: Buffer[], encoding: keyof typeof compressors): Promise<Buffer[]> {
  const compressor = compressors[encoding]()
  const all: Buffer[] = []
  let out: Buffer[] = []
  compressor.on('data', (chunk: Buffer) => out.push(chunk))
  const ended = new Promise(resolve => compressor.once('end', resolve))
  for (const piece of pieces) {
    compressor.write(piece)
    await new Promise<void>(resolve => compressor.flush(resolve))
    // The callback of flush may come before the last bytes were handed out.
    await new Promise(resolve => setImmediate(resolve))
    all.push(Buffer.concat(out))
    out = []
  }
  compressor.end()
  await ended
  all.push(Buffer.concat([all.pop() ?? Buffer.alloc(0), ...out]))
  return all
}
