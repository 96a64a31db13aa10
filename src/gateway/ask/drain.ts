// Drain: an exchange whose client has gone is read on for its usage, which is paid for anyway; nobody is told.
import type { IncomingMessage } from 'node:http'
import type { Dialect, Meter } from '../../dialect/dialect.ts'
import type { Attempt, Listener } from './engine/proxy.ts'

export interface DrainOptions {
  attempt: Attempt
  dialect: Dialect
  /** what has read the answer so far, and whether that is a whole one and no stream; undefined before its head */
  meter: Meter | undefined
  whole: boolean
  withinMs: number
  /** told of the head, if that is still to come */
  head(response: IncomingMessage): void
  /**
   * Told once: the answer ended, broke, or took too long. Nothing is owed for an answer that was a refusal, or broke off before
   * it began, as nothing is when the client is still there.
   */
  over(meter: Meter | undefined, owed: boolean): void
}

export class Drain implements Listener {
  #meter: Meter | undefined
  #whole = false
  #over = false
  readonly #options: DrainOptions
  readonly #timer: NodeJS.Timeout

  constructor(options: DrainOptions) {
    this.#options = options
    this.#meter = options.meter
    this.#whole = options.whole
    this.#timer = setTimeout(() => this.stop(), options.withinMs)
    options.attempt.tell(this)
    // From here on only silence ends it, and the group's patience.
    if (options.meter) options.attempt.begun()
    options.attempt.resume()
  }

  head(response: IncomingMessage): void {
    this.#options.head(response)
    this.#options.attempt.begun()
    if ((response.statusCode ?? 502) >= 400) this.stop(false)
    else {
      this.#whole = (response.headers['content-type'] ?? '').includes('json')
      this.#meter = this.#options.dialect.meter(!this.#whole)
    }
  }

  data(chunk: Buffer): void {
    this.#meter?.push(chunk)
  }

  end(): void {
    this.#meter?.end()
    this.stop(this.#owed)
  }

  fail(): void {
    this.stop(this.#owed)
  }

  // Of a whole answer there is nothing before its usage: what is none, or broke off, would have gone to another account.
  get #owed(): boolean {
    return this.#whole ? this.#meter?.told === true : this.#meter?.begun === true
  }

  stop(owed = true): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#timer)
    this.#options.over(this.#meter, owed)
  }
}
