// A request as the scripted provider sees it: who asks, for what, with which body.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { brotliDecompressSync, gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib'

/** What is known of a request before its body. */
export interface Head {
  method: string
  /** Without the query. */
  path: string
  /** Without the question mark; empty when there is none. */
  query: string
  headers: IncomingHttpHeaders
  /** The key the request carries, in whichever way; empty when it carries none. */
  credential: string
}

/** A whole request. */
export interface Call extends Head {
  /** Goes back in a response header, and in the body of an error. */
  id: string
  /** Decompressed. */
  body: Buffer
  /** From the body; empty when it names none. */
  model: string
  stream: boolean
  /** Why the body cannot be used, or null. */
  fault: string | null
}

export function readHead(req: IncomingMessage): Head {
  const url = req.url ?? '/'
  const mark = url.indexOf('?')
  const query = mark < 0 ? '' : url.slice(mark + 1)
  const headers = req.headers
  return {
    method: req.method ?? 'GET',
    path: mark < 0 ? url : url.slice(0, mark),
    query,
    headers,
    credential: credentialOf(headers, query),
  }
}

// When a request carries several keys, a header that only a provider's own clients send goes before the general one.
function credentialOf(headers: IncomingHttpHeaders, query: string): string {
  const own = headers['x-api-key'] ?? headers['x-goog-api-key']
  if (own !== undefined) return String(own)
  if (headers.authorization) return headers.authorization.replace(/^bearer\s+/i, '')
  return query.includes('key=') ? (new URLSearchParams(query).get('key') ?? '') : ''
}

/** Reads the body to its end. Never calls back when the client goes away before that. */
export function collect(req: IncomingMessage, done: (body: Buffer) => void): void {
  const chunks: Buffer[] = []
  req.on('data', (chunk: Buffer) => chunks.push(chunk))
  req.on('end', () => done(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
  // Somebody must listen; what a lost client means is decided where the response closes.
  req.on('error', () => {})
}

/** The whole request, from a body as it came over the wire. */
export function callFrom(head: Head, id: string, raw: Buffer): Call {
  if (head.method === 'GET') return { ...head, id, body: raw, model: '', stream: false, fault: null }
  try {
    const body = decompress(raw, head.headers['content-encoding'])
    return { ...head, id, body, ...(scan(body) ?? parse(body)), fault: null }
  } catch (error) {
    return { ...head, id, body: raw, model: '', stream: false, fault: (error as Error).message }
  }
}

function decompress(body: Buffer, encoding: string | undefined): Buffer {
  switch (encoding) {
    case 'gzip':
      return gunzipSync(body)
    case 'deflate':
      return inflateSync(body)
    case 'br':
      return brotliDecompressSync(body)
    case 'zstd':
      return zstdDecompressSync(body)
    default:
      return body
  }
}

/** What a reply depends on. */
type Peek = Pick<Call, 'model' | 'stream'>

const modelKey = Buffer.from('"model"')
const streamKey = Buffer.from('"stream"')
const [quote, colon, brace, letterT] = [0x22, 0x3a, 0x7b, 0x74] as const

// Finds model and stream in a body that names each key once, which real ones do: building the object would cost more
// than all the rest of a plain answer. Null when in doubt.
function scan(body: Buffer): Peek | null {
  if (body[0] !== brace) return null
  const model = onlyValueOf(body, modelKey)
  const stream = onlyValueOf(body, streamKey)
  if (model < 0 || stream === inDoubt || body[model] !== quote) return null
  const end = body.indexOf(quote, model + 1)
  const name = body.toString('utf8', model + 1, end)
  if (end < 0 || name.includes('\\')) return null
  return { model: name, stream: stream >= 0 && body[stream] === letterT }
}

const inDoubt = -2

/** Where the value of the key begins; -1 when the key is not there. */
function onlyValueOf(body: Buffer, key: Buffer): number {
  const at = body.indexOf(key)
  if (at < 0) return at
  if (body.indexOf(key, at + key.length) >= 0) return inDoubt
  const mark = afterSpace(body, at + key.length)
  return body[mark] === colon ? afterSpace(body, mark + 1) : inDoubt
}

function afterSpace(body: Buffer, at: number): number {
  let index = at
  while ((body[index] ?? 0xff) <= 0x20) index++
  return index
}

function parse(body: Buffer): Peek {
  const json = JSON.parse(body.toString())
  if (typeof json !== 'object' || json === null) throw new TypeError('Input should be an object')
  return { model: typeof json.model === 'string' ? json.model : '', stream: json.stream === true }
}
