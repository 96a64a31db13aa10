// The client's side of a request: the only writer to its response.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Dialect } from '../../dialect/dialect.ts'
import { messages } from '../../dialect/messages/messages.ts'
import { Failure } from '../../lib/failure.ts'
import { streamHeaders } from '../ask/hop.ts'

const FIRST_PING_MS = 8_000

/**
 * States: open → committed (the head is out) → over. `interrupt` may come in any of them: the client left, or a drain
 * ran out of time; then whoever waits for the upstream is told at once.
 */
export class Downstream {
  readonly requestId: string
  /** how errors are worded; known once the route is */
  dialect: Dialect = messages
  /** told once when the request must end early; set by the room that waits */
  watcher: ((why: Failure) => void) | undefined
  /** told when a full socket took its bytes */
  onDrain: (() => void) | undefined
  interrupted: Failure | undefined
  #stream = false
  #pings: NodeJS.Timeout | undefined
  #over = false
  readonly #req: IncomingMessage
  readonly #res: ServerResponse
  readonly #stallMs: number

  /** `stallMs` is how long a client may take no byte of what is left when all has been said. */
  constructor(req: IncomingMessage, res: ServerResponse, requestId: string, stallMs: number) {
    this.#req = req
    this.#res = res
    this.requestId = requestId
    this.#stallMs = stallMs
    res.on('close', () => {
      if (!res.writableFinished) this.interrupt(new Failure('CLIENT_GONE'))
    })
    res.on('drain', () => this.onDrain?.())
    res.on('error', () => {}) // the close that follows says it all
  }

  get committed(): boolean {
    return this.#res.headersSent
  }
  get over(): boolean {
    return this.#over
  }
  get status(): number {
    return this.#res.statusCode
  }

  /** Ends the request early. The first reason stands; whoever goes on in spite of it hears of a second. */
  interrupt(why: Failure): void {
    if (this.interrupted) return void this.watcher?.(why)
    this.interrupted = why
    this.quiet()
    this.watcher?.(why)
  }

  /** @throws the Failure that interrupted the request, so that no room begins work for nobody */
  check(): void {
    if (this.interrupted) throw this.interrupted
  }

  /**
   * Pings from now on, so that nothing in between takes the connection for dead. The first one commits status 200; it
   * comes no earlier than 8 s, since until then a failure can still be told as a status.
   */
  keepAlive(everyMs: number): void {
    const ping = () => {
      this.#pings = setTimeout(ping, everyMs)
      if (!this.committed) this.head(200, streamHeaders, true)
      // A client that does not read needs no more of them.
      if (this.#res.writableLength === 0) this.#res.write(this.dialect.ping)
    }
    this.#pings = setTimeout(ping, Math.max(FIRST_PING_MS, everyMs))
  }

  /** No more pings: the answer has begun, or it is over. */
  quiet(): void {
    clearTimeout(this.#pings)
  }

  /** Sends the head, unless pings have. `stream` says that later errors are frames. */
  head(status: number, headers: Record<string, string | number>, stream = false): void {
    if (this.committed) return
    this.#stream = stream
    this.#res.writeHead(status, { ...headers, 'x-request-id': this.requestId, 'request-id': this.requestId })
  }

  /** False when the client reads slower than we write; `onDrain` follows. */
  write(chunk: Buffer): boolean {
    return this.#res.write(chunk)
  }

  end(chunk?: Buffer): void {
    this.quiet()
    this.#over = true
    this.#res.end(chunk)
    // With the next request on this connection node sets its own timeout again.
    if (this.#res.writableLength > 0) this.#res.setTimeout(this.#stallMs, () => this.#res.destroy())
  }

  /** Calls back when the kernel has the last byte, or nobody will take it any more. */
  whenSent(then: () => void): void {
    if (this.#res.closed) then()
    else this.#res.once('close', then)
  }

  /** A whole answer of our own. */
  json(status: number, body: object): void {
    const bytes = Buffer.from(JSON.stringify(body))
    this.head(status, { 'content-type': 'application/json', 'content-length': bytes.length })
    this.end(bytes)
  }

  /** Ends a stream with a finished error frame. */
  failWith(frame: Buffer): void {
    this.end(frame)
  }

  /** Ends with a failure: a body while that is possible, else a frame, else a broken connection, never a clean half answer. */
  fail(failure: Failure): void {
    this.quiet()
    if (this.#over || this.#res.destroyed) return
    // It may only have stopped reading: what we say to it would wait here for ever.
    if (failure.code === 'CLIENT_GONE') {
      this.#over = true
      this.#res.destroy()
    } else if (!this.committed) {
      const body = this.dialect.error(failure, this.requestId)
      this.head(failure.status, {
        'content-type': 'application/json',
        'content-length': body.length,
        ...retryHeaders(failure),
      })
      this.end(body)
      this.#linger()
    } else if (this.#stream) this.end(this.dialect.errorFrame(failure, this.requestId))
    else {
      this.#over = true
      this.#res.destroy()
    }
  }

  // A client that is still sending would meet a reset instead of our answer if we closed now; one that never stops must not be fed.
  #linger(): void {
    if (this.#req.complete) return
    const { socket } = this.#req
    const timer = setTimeout(() => socket.destroy(), 5_000).unref()
    this.#req
      .on('end', () => clearTimeout(timer))
      .on('close', () => clearTimeout(timer))
      .resume()
  }
}

function retryHeaders(failure: Failure): Record<string, string> {
  if (failure.retryAfterMs === undefined) return {}
  const seconds = Math.max(1, Math.ceil(failure.retryAfterMs / 1000))
  // The Anthropic SDK obeys any wait, and would sleep for hours in its caller's back (spec/wire.md §1.8).
  return { 'retry-after': String(seconds), ...(seconds > 60 ? { 'x-should-retry': 'false' } : {}) }
}
