// One request to one upstream: the streaming core (http-proxy-3) behind a small, abortable face.
//
// The library gets a facade per attempt instead of the client's real request and response, so nothing is ever attached
// to those, and finished headers, so credentials cannot leak around an egress agent (docs/dependencies.md, proxy core).
import { EventEmitter } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import type { Socket } from 'node:net'
import type { Readable, Stream, Transform } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib'
import httpProxy from 'http-proxy-3'
import type { Body } from '../../../dialect/dialect.ts'
import type { UpstreamRequest } from '../../../platform/platform.ts'

/** The beginning of an answer. */
export interface Head {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
}

/** What becomes of an attempt; each is called at most once, `fail` never after `end`. */
export interface Listener {
  head(head: Head): void
  data(chunk: Buffer): void
  end(): void
  fail(error: NodeJS.ErrnoException): void
}

/** Limits of silence, ms. */
export interface Patience {
  connect: number
  responseHeader: number
  firstToken: number
  idle: number
}

export interface Engine {
  /** `fresh` asks for a connection that nobody has used. */
  send(request: UpstreamRequest, body: Body, patience: Patience, listener: Listener, fresh?: boolean): Attempt
  close(): void
}

/** Makes the engine with its connection pools. */
export function createEngine(options: { idleConnections: number }): Engine {
  const { idleConnections } = options
  // To node 0 is not a number of free sockets but the word for its default.
  const pool = { keepAlive: idleConnections > 0, maxFreeSockets: idleConnections, scheduling: 'lifo' as const }
  const agents = { 'http:': new http.Agent(pool), 'https:': new https.Agent(pool) }
  const proxy = httpProxy.createProxyServer({})
  proxy.on('proxyReq', (request, _view, attempt) => (attempt as unknown as Attempt).onRequest(request))
  proxy.on('proxyRes', (response, _view, attempt) => (attempt as unknown as Attempt).onResponse(response))
  return {
    send(request, body, patience, listener, fresh = false) {
      const protocol = request.origin.protocol as keyof typeof agents
      const attempt = new Attempt(patience, listener)
      if (request.method !== 'GET') request.headers['content-length'] = body.bytes
      const view = {
        method: request.method,
        url: request.path,
        headers: request.headers,
        httpVersionMajor: 1,
        socket: alive,
        connection: alive,
        on: noop,
      }
      try {
        proxy.web(
          view as unknown as http.IncomingMessage,
          attempt as unknown as http.ServerResponse,
          {
            target: request.origin,
            // Without an agent the connection is made for this request and closed after it.
            ...(fresh ? {} : { agent: agents[protocol] }),
            // The path is finished: without these two it would be parsed and joined again for every request.
            toProxy: true,
            prependPath: false,
            // Fresh each time: the library writes into it. Without it TLS sockets are filed under a key they are never found by.
            ssl: { protocol } as https.ServerOptions,
            selfHandleResponse: true,
            buffer: { pipe: (to: http.ClientRequest) => writeBody(to, body) } as unknown as Stream,
          },
          error => attempt.onError(error as NodeJS.ErrnoException),
        )
      } catch (error) {
        // node:http throws at once for what it will not send, a credential with a line break, say.
        queueMicrotask(() => attempt.onError(error as Error))
      }
      return attempt
    },
    close() {
      agents['http:'].destroy()
      agents['https:'].destroy()
    },
  }
}

const alive = { destroyed: false }
function noop() {}

function writeBody(to: http.ClientRequest, body: Body): http.ClientRequest {
  const last = body.pieces.length - 1
  for (let i = 0; i < last; i++) to.write(body.pieces[i])
  to.end(body.pieces[last])
  return to
}

const decoders: Record<string, () => Transform> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
  zstd: createZstdDecompress,
}

// We asked for identity; an upstream that compresses all the same would hide its usage from the meter.
function decoded(response: http.IncomingMessage): Readable {
  const decoder = decoders[response.headers['content-encoding']?.toLowerCase() ?? '']
  if (!decoder) return response
  delete response.headers['content-encoding']
  delete response.headers['content-length']
  return response.pipe(decoder())
}

/** An attempt under way: what the library takes for the client's response. */
export class Attempt extends EventEmitter {
  // Read by the library.
  readonly headersSent = false
  readonly finished = false
  readonly writableFinished = false

  /** The connection had carried a request before: a reset on it before any answer says nothing about the account. */
  reused = false
  /** There is a connection, so the upstream may have the request and bill it. */
  sent = false
  #response: http.IncomingMessage | undefined
  #source: Readable | undefined
  #timer: NodeJS.Timeout | undefined
  #over = false
  #paused = false
  #begun = false
  readonly #patience: Patience
  readonly #listener: Listener

  constructor(patience: Patience, listener: Listener) {
    super()
    this.#patience = patience
    this.#listener = listener
    this.#arm(patience.connect, 'ETIMEDOUT', 'connect timeout')
  }

  /** Ends it at any stage; the upstream's connection is closed, the listener hears nothing more. */
  abort(): void {
    if (this.#over) return
    this.#finish()
    this.emit('close')
    this.#response?.destroy()
  }

  /** The client reads slower than the upstream writes. */
  pause(): void {
    this.#paused = true
    this.#source?.pause()
    // Silence is now the client's; it has as long to take the bytes as the upstream had to send them.
    this.#arm(this.#patience.idle, 'ECLIENTSTALLED', 'the client stopped reading')
  }
  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#source?.resume()
    this.#arm(this.#patience.idle, 'EIDLE', 'idle timeout')
  }

  /** The first frame that means something has come: from now on only silence is measured. */
  begun(): void {
    this.#begun = true
    this.#arm(this.#patience.idle, 'EIDLE', 'idle timeout')
  }

  onRequest(request: http.ClientRequest): void {
    const socket = request.socket as (Socket & { encrypted?: boolean }) | null
    this.reused = request.reusedSocket
    if (!socket?.connecting) this.#waitForHead()
    // A TLS handshake that hangs is a connection that hangs.
    else socket.once(socket.encrypted ? 'secureConnect' : 'connect', () => this.#waitForHead())
  }

  onResponse(response: http.IncomingMessage): void {
    if (this.#over) {
      response.destroy()
      return
    }
    this.#response = response
    this.#arm(this.#patience.firstToken, 'EFIRSTTOKEN', 'first token timeout')
    const source = decoded(response)
    this.#source = source
    source.on('data', (chunk: Buffer) => {
      if (this.#over) return
      if (this.#begun && !this.#paused) this.#timer?.refresh()
      this.#listener.data(chunk)
    })
    source.on('end', () => {
      if (this.#over) return
      this.#finish()
      this.#listener.end()
    })
    if (source !== response) source.on('error', error => this.onError(error))
    response.on('error', error => this.onError(error))
    response.on(
      'close',
      () =>
        response.complete ||
        this.onError(Object.assign(new Error('the upstream closed the connection'), { code: 'ECONNRESET' })),
    )
    this.#listener.head({ status: response.statusCode ?? 502, headers: response.headers })
  }

  onError(error: NodeJS.ErrnoException): void {
    if (this.#over) return
    // What failed may be our reading of it only: then the connection still stands.
    this.abort()
    this.#listener.fail(error)
  }

  get over(): boolean {
    return this.#over
  }

  #waitForHead(): void {
    this.sent = true
    if (!this.#response) this.#arm(this.#patience.responseHeader, 'EHEADERS', 'response header timeout')
  }

  #arm(ms: number, code: string, text: string): void {
    if (this.#over) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.onError(Object.assign(new Error(text), { code }))
    }, ms)
  }

  #finish(): void {
    this.#over = true
    clearTimeout(this.#timer)
  }
}
