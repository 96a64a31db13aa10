// The engine of the hot path: HTTP/1.1 spoken on plain sockets, one object a request. Long, because a connection, its origin and its turn are one story.
//
// What matters most: an answer never reaches another request. A connection carries the next one only when its answer has
// ended, the whole request had been written, no byte followed, and none came while it rested.
import type { IncomingHttpHeaders } from 'node:http'
import net from 'node:net'
import tls from 'node:tls'
import { dial, type Through } from '../../../egress/through.ts'
import type { Guard } from '../../../lib/guard/guard.ts'
import type { UpstreamRequest } from '../../../platform/platform.ts'
import { type Body, type Controller, type Engine, type EngineOptions, failure, type Handler } from './engine.ts'
import { requestHead } from './request.ts'
import { hangUp, ResponseReader, type Sink } from './response.ts'

// Up to here copying head and body together costs less than a second write.
const JOINED_BYTES = 64 * 1024
// As node:http does with a connection that it keeps.
const PROBE_MS = 1000
// A connection is not used in the last second of what the upstream says that it keeps it.
const HINT_MARGIN_MS = 1000

export function createWireEngine({ idleConnections, ca, guard }: EngineOptions): Engine {
  return new Wire(idleConnections, ca, guard)
}

class Wire implements Engine {
  readonly #origins: Origins = new Map()
  /** by id of the proxy: a connection through one is never used through another, nor through the same with another login */
  readonly #through = new Map<number, { proxy: Through; origins: Origins }>()
  readonly #idleConnections: number
  readonly #ca: string | Buffer | undefined
  readonly #guard: Guard | undefined
  #context: tls.SecureContext | undefined
  // Connections whose answer has just ended: they rest for one whole turn of the loop, so that bytes that came
  // behind the answer are seen before the next request could take them for its own.
  #resting: Connection[] = []
  #rested: Connection[] = []
  #turning = false

  constructor(idleConnections: number, ca: string | Buffer | undefined, guard: Guard | undefined) {
    this.#idleConnections = idleConnections
    this.#ca = ca
    this.#guard = guard
  }

  send(request: UpstreamRequest, body: Body, handler: Handler, fresh = false): Controller {
    const keep = this.#idleConnections > 0
    const turn = new Turn(handler, request.method === 'HEAD', body)
    const head = requestHead(request, body.bytes, keep)
    if (typeof head === 'string') {
      turn.head = head
      const origin = this.#origin(request)
      const connection = (fresh ? undefined : origin.idle()) ?? this.#connect(origin)
      turn.begin(connection)
    } else queueMicrotask(() => turn.fail(head))
    return turn
  }

  close(): void {
    for (const origin of this.#origins.values()) origin.close()
    for (const { origins } of this.#through.values()) for (const origin of origins.values()) origin.close()
  }

  /** The connection has done its work; it may do more. */
  rest(connection: Connection): void {
    if (this.#idleConnections === 0) {
      connection.drop()
      return
    }
    this.#resting.push(connection)
    if (this.#turning) return
    this.#turning = true
    setImmediate(this.#turn)
  }

  #turn = (): void => {
    const rested = this.#rested
    this.#rested = this.#resting
    for (const connection of rested) connection.origin.keep(connection, this.#idleConnections)
    rested.length = 0
    this.#resting = rested
    this.#turning = this.#rested.length > 0
    if (this.#turning) setImmediate(this.#turn)
  }

  #origin({ origin: url, via }: UpstreamRequest): Origin {
    const origins = via ? this.#originsThrough(via) : this.#origins
    const key = url.origin
    let origin = origins.get(key)
    if (!origin) {
      origin = new Origin(url, via)
      origins.set(key, origin)
    }
    return origin
  }

  #originsThrough(proxy: Through): Origins {
    const known = this.#through.get(proxy.id)
    if (known?.proxy === proxy) return known.origins
    // It was changed: what still waits was made by what it was.
    if (known) for (const origin of known.origins.values()) origin.forget()
    const origins: Origins = new Map()
    this.#through.set(proxy.id, { proxy, origins })
    return origins
  }

  #connect(origin: Origin): Connection {
    const { host, port, via } = origin
    const connection = new Connection(this, origin)
    const problem = this.#guard?.problem(origin.url)
    if (problem) {
      queueMicrotask(() => connection.fail(problem))
      return connection
    }
    if (!via) {
      const dial = (lookup?: net.LookupFunction) => {
        const options = { host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: PROBE_MS, lookup }
        return origin.secure ? this.#secure(origin, options) : net.connect(options)
      }
      connection.over(this.#guard ? this.#guard.connect(dial) : dial(), origin.secure ? 'secureConnect' : 'connect')
      return connection
    }
    const leaving = new AbortController()
    connection.leaving = leaving
    dial(via, { host, port }, { ca: this.#ca, signal: leaving.signal }).then(
      socket => {
        if (connection.dropped) socket.destroy()
        else if (origin.secure) connection.over(this.#secure(origin, { socket }), 'secureConnect')
        else connection.over(socket, undefined)
      },
      error => connection.fail(error),
    )
    return connection
  }

  #secure(origin: Origin, over: tls.ConnectionOptions): tls.TLSSocket {
    this.#context ??= tls.createSecureContext(this.#ca === undefined ? {} : { ca: this.#ca })
    const socket = tls.connect({
      ...over,
      secureContext: this.#context,
      // The certificate must be the origin's, whoever made the connection.
      host: origin.host,
      // A name is asked for, an address is not (RFC 6066 §3).
      ...(net.isIP(origin.host) ? {} : { servername: origin.host }),
      ...(origin.session && { session: origin.session }),
      ALPNProtocols: ['http/1.1'],
    })
    socket.on('session', session => {
      origin.session = session
    })
    return socket
  }
}

type Origins = Map<string, Origin>

/** An upstream's address, and the way to it, with the connections to it. */
class Origin {
  readonly url: URL
  readonly secure: boolean
  readonly host: string
  readonly port: number
  readonly via: Through | undefined
  /** of TLS, to be taken up again */
  session: Buffer | undefined
  // Newest last: what has rested longest is left to grow old.
  readonly #idle: Connection[] = []
  readonly #open: Connection[] = []

  constructor(url: URL, via: Through | undefined) {
    this.url = url
    this.via = via
    this.secure = url.protocol === 'https:'
    // An IPv6 address stands in brackets there.
    this.host = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname
    this.port = url.port === '' ? (this.secure ? 443 : 80) : Number(url.port)
  }

  /** A connection that waits for work. */
  idle(): Connection | undefined {
    for (;;) {
      const connection = this.#idle.pop()
      if (!connection || connection.usable()) return connection
      connection.drop()
    }
  }

  keep(connection: Connection, atMost: number): void {
    if (!connection.usable()) {
      connection.drop()
      return
    }
    if (this.#idle.length >= atMost) this.#idle[0]!.drop()
    this.#idle.push(connection)
    connection.sleep()
  }

  add(connection: Connection): void {
    connection.index = this.#open.push(connection) - 1
  }

  remove(connection: Connection): void {
    const last = this.#open.pop()!
    if (last !== connection) {
      this.#open[connection.index] = last
      last.index = connection.index
    }
    const at = this.#idle.lastIndexOf(connection)
    if (at >= 0) this.#idle.splice(at, 1)
  }

  /** Closes the connections that wait for work. */
  forget(): void {
    while (this.#idle.length > 0) this.#idle[0]!.drop()
  }

  close(): void {
    while (this.#open.length > 0) this.#open[0]!.fail(failure('ECONNRESET', 'the engine was closed'))
  }
}

/** connecting → (busy → resting → idle →)* dropped */
class Connection implements Sink {
  readonly origin: Origin
  /** its place in the origin's list */
  index = 0
  reused = false
  connected = false
  dropped = false
  /** ends what makes the connection, while a proxy is at it */
  leaving: AbortController | undefined
  #asleep = false
  #paused = false
  #turn: Turn | undefined
  /** how long the upstream says that it keeps it, and until when that is, on the clock of `performance` */
  #keptMs = Number.POSITIVE_INFINITY
  #until = Number.POSITIVE_INFINITY
  readonly #wire: Wire
  #socket: net.Socket | undefined
  readonly #reader = new ResponseReader(this)

  constructor(wire: Wire, origin: Origin) {
    this.#wire = wire
    this.origin = origin
    origin.add(this)
  }

  /** Once: over this socket, which is connected with the event, or is already. */
  over(socket: net.Socket, connected: 'connect' | 'secureConnect' | undefined): void {
    this.leaving = undefined
    this.#socket = socket
    if (connected) socket.on(connected, () => this.#onConnect())
    socket.on('data', (bytes: Buffer) => this.#onData(bytes))
    socket.on('end', () => this.#onEnd())
    socket.on('error', error => this.#onError(error))
    socket.on('close', () => this.fail(hangUp()))
    if (connected) return
    socket.resume()
    this.#onConnect()
  }

  usable(): boolean {
    if (this.dropped || this.#socket!.destroyed) return false
    return this.#until === Number.POSITIVE_INFINITY || performance.now() < this.#until
  }

  /** Nobody waits for it: it does not keep the process alive. */
  sleep(): void {
    this.#asleep = true
    this.#until = this.#keptMs === Number.POSITIVE_INFINITY ? this.#keptMs : performance.now() + this.#keptMs
    this.#socket!.unref()
  }

  take(turn: Turn): void {
    this.#turn = turn
    this.#reader.begin(turn.bodiless)
    if (this.#asleep) {
      this.#asleep = false
      this.#until = Number.POSITIVE_INFINITY
      this.#socket!.ref()
    }
    if (this.connected) this.#write(turn)
  }

  pause(): void {
    this.#paused = true
    this.#socket?.pause()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#socket?.resume()
  }

  /** Closes it; nobody is told. */
  drop(): void {
    if (this.dropped) return
    this.dropped = true
    this.#turn = undefined
    this.#reader.stop()
    this.origin.remove(this)
    this.leaving?.abort()
    this.#socket?.destroy()
  }

  /** Closes it, and tells whose request it carried. */
  fail(error: NodeJS.ErrnoException): void {
    const turn = this.#turn
    this.drop()
    turn?.fail(error)
  }

  head(status: number, headers: IncomingHttpHeaders): void {
    const hint = headers['keep-alive']
    this.#keptMs = typeof hint !== 'string' ? Number.POSITIVE_INFINITY : keptMs(hint)
    this.#turn!.handler.head({ status, headers })
  }

  data(bytes: Buffer): void {
    this.#turn!.handler.data(bytes)
  }

  end(reusable: boolean): void {
    const turn = this.#turn!
    this.#turn = undefined
    // An answer that came before its request had been written whole leaves a rest that the next would be read behind.
    if (reusable && this.#socket!.writableLength === 0) {
      this.reused = true
      this.resume()
      this.#wire.rest(this)
    } else this.drop()
    turn.end()
  }

  #write({ head, body }: Turn): void {
    const socket = this.#socket!
    if (head.length + body.bytes <= JOINED_BYTES) {
      const joined = Buffer.allocUnsafe(head.length + body.bytes)
      let at = joined.write(head, 'latin1')
      for (const piece of body.pieces) at += piece.copy(joined, at)
      socket.write(joined)
    } else {
      socket.cork()
      socket.write(head, 'latin1')
      for (const piece of body.pieces) socket.write(piece)
      socket.uncork()
    }
  }

  #onConnect(): void {
    // The guard did not let it stand; its error is on the way.
    if (this.#socket!.destroyed) return
    this.connected = true
    const turn = this.#turn
    if (!turn) return
    turn.sent = true
    this.#write(turn)
  }

  #onData(bytes: Buffer): void {
    // Nobody asked: whatever it is, it must not be taken for the next answer.
    if (!this.#turn) {
      this.drop()
      return
    }
    const error = this.#reader.read(bytes)
    if (error) this.fail(error)
  }

  #onEnd(): void {
    if (!this.#turn) this.drop()
    // A TLS socket that ends in its handshake has an error of its own to tell.
    else if (this.connected) {
      const error = this.#reader.close()
      if (error) this.fail(error)
    }
  }

  #onError(error: NodeJS.ErrnoException): void {
    if (!this.connected) this.origin.session = undefined
    this.fail(this.#reader.broken(error))
  }
}

/** One request, and the connection that carries it for as long as it does. */
class Turn implements Controller {
  reused = false
  sent = false
  head = ''
  readonly body: Body
  readonly bodiless: boolean
  readonly handler: Handler
  #connection: Connection | undefined
  #over = false

  constructor(handler: Handler, bodiless: boolean, body: Body) {
    this.handler = handler
    this.bodiless = bodiless
    this.body = body
  }

  begin(connection: Connection): void {
    this.#connection = connection
    this.reused = connection.reused
    this.sent = connection.connected
    connection.take(this)
  }

  pause(): void {
    this.#connection?.pause()
  }
  resume(): void {
    this.#connection?.resume()
  }

  abort(): void {
    this.#over = true
    this.#connection?.drop()
    this.#connection = undefined
  }

  end(): void {
    this.#over = true
    this.#connection = undefined
    this.handler.end()
  }

  fail(error: NodeJS.ErrnoException): void {
    if (this.#over) return
    this.#over = true
    this.#connection = undefined
    this.handler.fail(error)
  }
}

// `timeout=5`: without a margin the upstream closes while a request is on its way.
function keptMs(hint: string): number {
  const seconds = /timeout=(\d{1,9})/i.exec(hint)?.[1]
  return seconds === undefined ? Number.POSITIVE_INFINITY : Number(seconds) * 1000 - HINT_MARGIN_MS
}
