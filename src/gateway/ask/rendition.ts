// Rendition: an upstream's answer as the client gets it. Passing through and translating look alike to whoever holds one.
import type { Dialect, Meter } from '../../dialect/dialect.ts'
import { noUsage } from '../../dialect/usage.ts'
import { WholeEvents } from '../../dialect/whole-events.ts'
import { Backlog } from './backlog.ts'

export interface Rendition {
  /** Takes the upstream's next bytes and gives what the client may have of them; empty while nothing is whole. */
  push(chunk: Buffer): Buffer
  /** No more will come; gives the rest. */
  end(): Buffer
  /** of the upstream's dialect, on the upstream's own bytes: a wrong rendition is then never a wrong bill */
  readonly meter: Meter
  /** Something that counts has been said, or it is more than can be kept back: the head may go out. */
  readonly ready: boolean
}

// A whole answer is held back until it is known to be good; one larger than this is relayed as it comes.
const HOLD_BYTES = 32 * 1024 * 1024
const none = Buffer.alloc(0)

/** What a rendition is made for. */
export interface Passing {
  dialect: Dialect
  streaming: boolean
  /** false for an answer that has no usage: whatever it says is whole and good */
  metered: boolean
  /** the client's name for the model, where the upstream was asked for another */
  restore: string | undefined
}

/** The same dialect on both sides: bytes pass, and only the model's name is put back. */
export function passing(options: Passing): Rendition {
  return options.streaming ? new PassingStream(options) : new PassingWhole(options)
}

/** Goes on in whole events, so that an error frame can follow at any moment and be read. */
class PassingStream implements Rendition {
  readonly meter: Meter
  readonly #events = new WholeEvents()
  readonly #restored: ((events: Buffer) => Buffer) | undefined

  constructor({ dialect, metered, restore }: Passing) {
    this.meter = metered ? dialect.meter(true) : new Unmetered()
    this.#restored = restore === undefined ? undefined : dialect.restored(true, restore)
  }

  get ready(): boolean {
    return this.meter.begun
  }

  push(chunk: Buffer): Buffer {
    this.meter.push(chunk)
    const whole = this.#events.push(chunk)
    return this.#restored ? this.#restored(whole) : whole
  }

  end(): Buffer {
    this.meter.end()
    const rest = this.#events.rest()
    return this.#restored ? this.#restored(rest) : rest
  }
}

/** Nothing goes on before its last byte proved it good. */
class PassingWhole implements Rendition {
  readonly meter: Meter
  ready = false
  readonly #backlog = new Backlog()
  readonly #restored: ((body: Buffer) => Buffer) | undefined

  constructor({ dialect, metered, restore }: Passing) {
    this.meter = metered ? dialect.meter(false) : new Unmetered()
    this.#restored = restore === undefined ? undefined : dialect.restored(false, restore)
  }

  push(chunk: Buffer): Buffer {
    this.meter.push(chunk)
    if (this.ready) return chunk
    this.#backlog.keep(chunk)
    if (this.#backlog.bytes <= HOLD_BYTES) return none
    this.ready = true
    return this.#backlog.take()
  }

  end(): Buffer {
    this.meter.end()
    const rest = this.#backlog.take()
    return this.#restored && !this.ready ? this.#restored(rest) : rest
  }
}

/** Of an answer without usage. */
class Unmetered implements Meter {
  readonly usage = noUsage()
  readonly told = true
  readonly promptTold = true
  readonly outputTold = true
  readonly complete = true
  readonly begun = true
  readonly error = undefined
  readonly emitted = 0
  push(): void {}
  end(): void {}
}
