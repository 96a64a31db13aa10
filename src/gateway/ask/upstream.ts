// The provider's side of a request: an engine's answer, plain whatever its encoding, and never silent for too long.
import type { UpstreamRequest } from '../../platform/platform.ts'
import { type Decoder, decoderFor, type Plain } from './engine/decode.ts'
import type { Body, Controller, Engine, Handler, Head } from './engine/engine.ts'
import { type Patience, type Silence, Watched } from './engine/silence.ts'

// How long an answer's own end is waited for when its dialect has said that it is over.
const LINGER_MS = 1000

/** Who asked. */
export interface Listener extends Handler {
  /** A mistake of ours in what it did with an answer; it hears nothing more. */
  crashed(error: unknown): void
}

export class Upstream extends Watched implements Handler {
  #over = false
  #paused = false
  #begun = false
  readonly #listener: Listener
  #decoder: Decoder | undefined
  readonly #silence: Silence
  readonly #controller: Controller

  /** Sends the request; `listener` hears what becomes of it, a silence that was too long as a failure. */
  constructor(
    { engine, silence }: { engine: Engine; silence: Silence },
    request: UpstreamRequest,
    body: Body,
    patience: Patience,
    listener: Listener,
    fresh = false,
  ) {
    super(patience)
    this.#silence = silence
    this.#listener = listener
    silence.begin(this)
    this.#controller = engine.send(request, body, this, fresh)
  }

  /** Its connection had carried a request before: a reset on it before any answer says nothing about the account. */
  get reused(): boolean {
    return this.#controller.reused
  }
  /** There is a connection, so the upstream may have the request and bill it. */
  get sent(): boolean {
    return this.#controller.sent
  }
  /** It has ended, failed or been ended. */
  get over(): boolean {
    return this.#over
  }

  /** Ends it at any stage; the upstream's connection is closed, the listener hears nothing more. */
  abort(): void {
    if (this.#over) return
    this.#finish()
    this.#decoder?.stop()
    this.#controller.abort()
  }

  /** The client reads slower than the upstream writes. */
  pause(): void {
    if (this.#over) return
    this.#paused = true
    if (this.#decoder) this.#decoder.pause()
    else this.#controller.pause()
    // Silence is now the client's; it has as long to take the bytes as the upstream had to send them.
    this.#silence.enter(this, this.patience.idle, 'ECLIENTSTALLED')
  }
  resume(): void {
    if (!this.#paused || this.#over) return
    this.#paused = false
    if (this.#decoder) this.#decoder.resume()
    else this.#controller.resume()
    this.#silence.enter(this, this.patience.idle, 'EIDLE')
  }

  /** The first frame that means something has come: from now on only silence is measured. */
  begun(): void {
    this.#begun = true
    this.#silence.enter(this, this.patience.idle, 'EIDLE')
  }

  /**
   * All has been said, and the listener wants no more: the connection has a moment to end its answer properly, as it must to
   * be used again, and is closed then.
   */
  linger(): void {
    if (this.#over) return
    this.resume()
    this.#begun = false
    this.#silence.enter(this, LINGER_MS, 'EIDLE')
  }

  head(head: Head): void {
    this.#silence.enter(this, this.patience.firstToken, 'EFIRSTTOKEN')
    if (head.headers['content-encoding'] !== undefined)
      this.#decoder = decoderFor(head, this.#plain(), this.#controller)
    try {
      this.#listener.head(head)
    } catch (error) {
      this.#crash(error)
    }
  }

  data(bytes: Buffer): void {
    if (this.#begun && !this.#paused) this.#silence.heard(this)
    if (this.#decoder) this.#decoder.data(bytes)
    else this.#tell(bytes)
  }

  end(): void {
    if (this.#decoder) this.#decoder.end()
    else this.#end()
  }

  fail(error: NodeJS.ErrnoException): void {
    if (this.#over) return
    // What failed may be our reading of it only: then the connection still stands.
    this.abort()
    try {
      this.#listener.fail(error)
    } catch (thrown) {
      this.#crash(thrown)
    }
  }

  expired(error: NodeJS.ErrnoException): void {
    this.fail(error)
  }

  #plain(): Plain {
    return {
      data: bytes => this.#tell(bytes),
      end: () => this.#end(),
      fail: error => this.fail(error),
    }
  }

  #end(): void {
    this.#finish()
    try {
      this.#listener.end()
    } catch (error) {
      this.#crash(error)
    }
  }

  #tell(bytes: Buffer): void {
    try {
      this.#listener.data(bytes)
    } catch (error) {
      this.#crash(error)
    }
  }

  // We are called by a socket: what is thrown here would end the process, and with it every other request.
  #crash(error: unknown): void {
    this.abort()
    this.#listener.crashed(error)
  }

  #finish(): void {
    this.#over = true
    this.#silence.end(this)
  }
}
