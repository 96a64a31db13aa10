// Receive: the body as one buffer of plain bytes, and what the corridor needs to know of it.
import type { IncomingMessage } from 'node:http'
import { promisify } from 'node:util'
import zlib from 'node:zlib'
import type { Dialect, Peek } from '../../dialect/dialect.ts'
import type { Ask } from '../../dialect/middle/form.ts'
import { carriesCredential, holdsCredential } from '../../lib/credentials.ts'
import { Failure } from '../../lib/failure.ts'
import { formatDuration, formatSize } from '../../lib/units.ts'
import type { Downstream } from '../answer/downstream.ts'
import type { Gateway } from '../gateway.ts'
import type { Found, Route } from './routes.ts'

/** A request as the later rooms see it. */
export interface Call {
  route: Route
  /** the client's */
  dialect: Dialect
  req: IncomingMessage
  /** with its query */
  path: string
  /** with `?`, without the parameters that carry keys; or '' */
  query: string
  body: Buffer
  peek: Peek
  /** the client wants a stream, and the route has one */
  stream: boolean
  /** the request in the middle form, once somebody needs it translated; see `askOf` */
  ask: Ask | undefined
}

/**
 * Reads and decodes the body, and finds in it what the corridor needs.
 * @throws Failure BODY_* , ENCODING_UNSUPPORTED, MODEL_REQUIRED, MODEL_IS_KEY
 */
export async function receive(gw: Gateway, req: IncomingMessage, found: Found, down: Downstream): Promise<Call> {
  const raw = await readBody(gw, req, down)
  const body = await decode(gw, raw, req.headers['content-encoding'])
  if (body.length === 0) throw new Failure('BODY_EMPTY')
  const { route } = found
  const query = queryOf(req.url ?? '')
  const path = `${down.ticket.path}${query}`
  const peek = found.dialect.peek(body, path)
  const dialect = peek.answersIn ?? found.dialect
  down.dialect = dialect
  if (holdsCredential(peek.model)) throw new Failure('MODEL_IS_KEY')
  const stream = peek.stream && route.kind === 'generate'
  return { route, dialect, req, path, query, body, peek, stream, ask: undefined }
}

function readBody(gw: Gateway, req: IncomingMessage, down: Downstream): Promise<Buffer> {
  const limit = gw.config['limits.body']
  const tooLarge = () => new Failure('BODY_TOO_LARGE', [formatSize(limit)])
  const length = req.headers['content-length']
  const announced = length === undefined ? undefined : Number(length)
  if (announced !== undefined && announced > limit) return Promise.reject(tooLarge())
  return new Promise((resolve, reject) => {
    // With a length, bytes are copied once into their place and the socket's buffers are free again: a large body is in memory once.
    let whole: Buffer | undefined
    const chunks: Buffer[] = []
    let bytes = 0
    const patience = gw.config['timeouts.request_body']
    const timer = setTimeout(() => done(new Failure('BODY_TIMEOUT', [formatDuration(patience)])), patience)
    const done = (result: Buffer | Failure) => {
      clearTimeout(timer)
      down.watcher = undefined
      req.off('data', onData).off('end', onEnd).off('error', onError)
      if (result instanceof Failure) reject(result)
      else resolve(result)
    }
    const onData = (chunk: Buffer) => {
      if (bytes === 0 && announced === chunk.length) whole = chunk
      else if (announced !== undefined) {
        whole ??= Buffer.allocUnsafeSlow(announced)
        chunk.copy(whole, bytes)
      } else chunks.push(chunk)
      bytes += chunk.length
      if (bytes > limit) done(tooLarge())
    }
    const onEnd = () => done(whole ?? Buffer.concat(chunks, bytes))
    const onError = (error: Error) => done(new Failure('BODY_UNREADABLE', [error.message], { cause: error }))
    req.on('data', onData).on('end', onEnd).on('error', onError)
    down.watcher = { interrupted: done }
    if (down.interrupted) done(down.interrupted)
  })
}

const inflaters: Record<string, (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>> = {
  gzip: promisify(zlib.gunzip),
  'x-gzip': promisify(zlib.gunzip),
  deflate: promisify(zlib.inflate),
  br: promisify(zlib.brotliDecompress),
  zstd: promisify(zlib.zstdDecompress),
}

async function decode(gw: Gateway, body: Buffer, encoding: string | undefined): Promise<Buffer> {
  const name = encoding?.trim().toLowerCase()
  if (!name || name === 'identity') return body
  const inflate = Object.hasOwn(inflaters, name) ? inflaters[name] : undefined
  if (!inflate) throw new Failure('ENCODING_UNSUPPORTED', [name])
  const limit = gw.config['limits.decoded_body']
  try {
    return await inflate(body, { maxOutputLength: limit })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
      throw new Failure('BODY_TOO_LARGE', [formatSize(limit)], { cause: error })
    throw new Failure('BODY_UNREADABLE', [`not valid ${name}`], { cause: error })
  }
}

// The query goes on as it came (`?beta=true`), but keys stay here, whatever they are called.
function queryOf(url: string): string {
  const mark = url.indexOf('?')
  if (mark === -1) return ''
  const kept = url
    .slice(mark + 1)
    .split('&')
    .filter(pair => !carriesCredential(pair))
  return kept.length === 0 || kept[0] === '' ? '' : `?${kept.join('&')}`
}
