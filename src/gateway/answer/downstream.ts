// The client's side of a request: the only writer to its response.
import { type IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Ticket } from '../../core/outcome.ts'
import type { Dialect } from '../../dialect/dialect.ts'
import type { Crowd, Member } from '../../lib/crowd.ts'
import { Failure } from '../../lib/failure.ts'

const FIRST_PING_MS = 8_000

/** Of every stream: nothing between us and the client may hold it back. */
const streamFields = ['cache-control', 'no-cache', 'x-accel-buffering', 'no']

/** Names and values in turn, as node writes them without looking twice. */
export type Fields = string[]

/** The room that waits: told when the request must end early, and when a full socket took its bytes. */
export interface Watcher {
  interrupted(why: Failure): void
  drained?(): void
}

/** Node's response, which knows whose it is: its listeners are the same for all requests. */
export class Response extends ServerResponse {
  down: Downstream | undefined
}

/**
 * States: open → committed (the head is out) → over. `interrupt` may come in any of them: the client left, or a drain
 * ran out of time; then whoever waits for the upstream is told at once.
 */
export class Downstream implements Member {
  readonly ticket: Ticket
  /** how errors are worded; at first by the path alone */
  dialect: Dialect
  /** how a stream that has begun is ended by a failure, where its state matters; undefined: by the dialect's frame */
  failing: ((failure: Failure) => Buffer) | undefined
  /** set by the room that waits */
  watcher: Watcher | undefined
  /** the places its user's request takes; given back as soon as it leaves, whatever is still read for the books */
  seat: Disposable | undefined
  interrupted: Failure | undefined
  place = -1
  /** more than pings has been written of a stream */
  spoken = false
  #stream = false
  #pingEveryMs = 0
  #pingAt = 0
  #wrote = false
  #between = true
  #over = false
  #left = false
  readonly #req: IncomingMessage
  readonly #res: Response
  readonly #stallMs: number
  readonly #crowd: Crowd<Downstream>

  /** `stallMs` is how long a client may take no byte of what is left when all has been said. */
  constructor(options: {
    req: IncomingMessage
    res: Response
    ticket: Ticket
    dialect: Dialect
    stallMs: number
    crowd: Crowd<Downstream>
  }) {
    const { req, res } = options
    this.ticket = options.ticket
    this.dialect = options.dialect
    this.#req = req
    this.#res = res
    this.#stallMs = options.stallMs
    this.#crowd = options.crowd
    this.#crowd.add(this)
    res.down = this
    res.on('close', onClose)
    res.on('drain', onDrain)
    res.on('error', noop) // the close that follows says it all
  }

  get socket(): Socket {
    return this.#req.socket
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
    this.interrupted ??= why
    this.quiet()
    this.watcher?.interrupted(why)
    if (why.code === 'CLIENT_GONE') this.seat?.[Symbol.dispose]()
  }

  /** @throws the Failure that interrupted the request, so that no room begins work for nobody */
  check(): void {
    if (this.interrupted) throw this.interrupted
  }

  /**
   * Pings from now on whenever so much time passes without a byte, so that nothing in between takes the connection for dead.
   * The first one commits status 200; it comes no earlier than 8 s, since until then a failure can still be told as a status.
   */
  keepAlive(everyMs: number): void {
    this.#pingEveryMs = everyMs
    this.#pingAt = this.ticket.at + Math.max(FIRST_PING_MS, everyMs)
  }

  /** Pings if it is time to; asked of everybody, a few times a second. */
  beat(now: number): void {
    if (this.#pingEveryMs === 0) return
    if (this.#wrote) {
      this.#wrote = false
      this.#pingAt = now + this.#pingEveryMs
    }
    // A clock that was set back must not silence it for as long.
    const longest = Math.max(FIRST_PING_MS, this.#pingEveryMs)
    if (this.#pingAt - now > longest) this.#pingAt = now + longest
    if (now < this.#pingAt || !this.#between) return
    this.#pingAt = now + this.#pingEveryMs
    if (!this.committed) this.stream(200)
    // A client that does not read needs no more of them.
    if (this.#res.writableLength === 0) this.#res.write(this.dialect.ping)
  }

  /** No more pings: it is over, or somebody else keeps it going. */
  quiet(): void {
    this.#pingEveryMs = 0
  }

  /** Sends the head, unless pings have. */
  head(status: number, fields: Fields): void {
    if (this.committed) return
    const { id } = this.ticket
    fields.push('x-request-id', id, 'request-id', id)
    this.#res.writeHead(status, fields)
  }

  /** The head of a stream: later errors are frames. */
  stream(status: number, more: Fields = []): void {
    if (this.committed) return
    this.#stream = true
    this.head(status, ['content-type', `${this.dialect.streamType}; charset=utf-8`, ...streamFields, ...more])
  }

  /**
   * False when the client reads slower than we write; `drained` follows.
   * @param between nothing more of an event follows: a ping may
   */
  write(chunk: Buffer, between = true): boolean {
    this.#wrote = true
    this.spoken = true
    this.#between = between
    return this.#res.write(chunk)
  }

  end(chunk?: Buffer): void {
    this.quiet()
    this.#over = true
    this.#res.end(chunk)
    // With the next request on this connection node sets its own timeout again.
    if (this.#res.writableLength > 0) this.#res.setTimeout(this.#stallMs, () => this.#res.destroy())
  }

  /** The corridor is done with it; it is gone when the kernel has the last byte, or nobody will take it any more. */
  leave(): void {
    this.#left = true
    if (this.#res.closed) this.#crowd.remove(this)
  }

  /** The response is closed, for whatever reason. */
  closed(): void {
    if (!this.#res.writableFinished) this.interrupt(new Failure('CLIENT_GONE'))
    if (this.#left) this.#crowd.remove(this)
  }

  /** A whole answer of our own. */
  json(status: number, body: object): void {
    this.whole(status, ['content-type', 'application/json'], Buffer.from(JSON.stringify(body)))
  }

  whole(status: number, fields: Fields, body: Buffer): void {
    fields.push('content-length', String(body.length))
    this.head(status, fields)
    this.end(body)
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
      const body = this.dialect.error(failure, this.ticket.id)
      this.whole(failure.status, ['content-type', 'application/json', ...retryFields(failure), ...failure.fields], body)
      this.#linger()
    } else if (this.#stream)
      this.end(this.#lastWords(failure) ?? this.dialect.errorFrame(failure, this.ticket.id, this.spoken))
    else {
      this.#over = true
      this.#res.destroy()
    }
  }

  // Where a mistake of ours is the reason it may be made here again.
  #lastWords(failure: Failure): Buffer | undefined {
    try {
      return this.failing?.(failure)
    } catch {
      return undefined
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

function onClose(this: Response): void {
  this.down!.closed()
}
function onDrain(this: Response): void {
  this.down!.watcher?.drained?.()
}
function noop(): void {}

function retryFields(failure: Failure): Fields {
  if (failure.retryAfterMs === undefined) return []
  const seconds = Math.max(1, Math.ceil(failure.retryAfterMs / 1000))
  // The Anthropic SDK obeys any wait, and would sleep for hours in its caller's back (spec/wire.md §1.8).
  return ['retry-after', String(seconds), ...(seconds > 60 ? ['x-should-retry', 'false'] : [])]
}
