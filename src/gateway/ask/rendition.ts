// Rendition: an upstream's answer as the client gets it. Passing through and translating look alike to whoever holds one.
import type { Dialect, Gatherer, Meter } from '../../dialect/dialect.ts'
import { noUsage } from '../../dialect/usage.ts'
import { WholeEvents } from '../../dialect/whole-events.ts'
import { Backlog } from './backlog.ts'

export interface Rendition {
  /** Takes the upstream's next bytes and gives what the client may have of them; empty while nothing is whole. */
  push(chunk: Buffer): Buffer
  /** No more will come; gives the rest. Empty where nothing was given before: that was no answer. */
  end(): Buffer
  /** of the upstream's dialect, on the upstream's own bytes: a wrong rendition is then never a wrong bill */
  readonly meter: Meter
  /** Something that counts has been said, or it is more than can be kept back: the head may go out. */
  readonly ready: boolean
  /** What was given ends between two events: a ping may follow it. */
  readonly between: boolean
}

// A whole answer is held back until it is known to be good; one larger than this is relayed as it comes.
const HOLD_BYTES = 32 * 1024 * 1024
// A stream that opens with more than this, and has still said nothing, is not held back any longer.
const OPENING_BYTES = 256 * 1024
const none = Buffer.alloc(0)
const cutLineEnd = Buffer.from('\n\r')
const lineFeed = Buffer.from('\n')

/** What a rendition is made for. */
export interface Rendered {
  dialect: Dialect
  /** whether the upstream streams, and whether the client is given a stream */
  from: boolean
  to: boolean
  /** false for an answer that has no usage: whatever it says is whole and good, unless it is an error */
  metered: boolean
  /** the client's name for the model, where the upstream was asked for another */
  restore: string | undefined
}

/** The same dialect on both sides: bytes pass, only the model's name is put back, and a stream or whole answer made of the other. */
export function rendition(options: Rendered): Rendition {
  if (!options.from) return options.to ? new AsStream(options) : new PassingWhole(options)
  return options.to ? new PassingStream(options) : new Gathered(options)
}

/** Goes on in whole events, so that an error frame can follow at any moment and be read. */
class PassingStream implements Rendition {
  readonly meter: Meter
  #opening = 0
  readonly #events = new WholeEvents()
  readonly #restored: ((events: Buffer) => Buffer) | undefined

  constructor({ dialect, metered, restore }: Rendered) {
    this.meter = metered ? dialect.meter(true) : new Unmetered(dialect.meter(true))
    this.#restored = restore === undefined ? undefined : dialect.restored(true, restore)
  }

  get ready(): boolean {
    return this.meter.begun || this.#opening > OPENING_BYTES
  }

  get between(): boolean {
    return this.#events.between
  }

  push(chunk: Buffer): Buffer {
    this.meter.push(chunk)
    if (!this.meter.begun) this.#opening += chunk.length
    let whole = this.#events.push(chunk)
    // The line feed of its last line end may be in the next piece, which nobody waits for.
    if (this.meter.ended && whole.subarray(-2).equals(cutLineEnd)) whole = Buffer.concat([whole, lineFeed])
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
  readonly between = false
  ready = false
  readonly #backlog = new Backlog()
  readonly #restored: ((body: Buffer) => Buffer) | undefined

  constructor({ dialect, metered, restore }: Rendered) {
    this.meter = metered ? dialect.meter(false) : new Unmetered(dialect.meter(false))
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

/** A whole answer for a client that wants a stream. */
class AsStream implements Rendition {
  readonly meter: Meter
  readonly between = true
  readonly ready = false
  readonly #dialect: Dialect
  readonly #backlog = new Backlog()
  readonly #restored: ((body: Buffer) => Buffer) | undefined

  constructor({ dialect, restore }: Rendered) {
    this.meter = dialect.meter(false)
    this.#dialect = dialect
    this.#restored = restore === undefined ? undefined : dialect.restored(false, restore)
  }

  push(chunk: Buffer): Buffer {
    this.meter.push(chunk)
    if (this.#backlog.bytes <= HOLD_BYTES) this.#backlog.keep(chunk)
    return none
  }

  end(): Buffer {
    this.meter.end()
    if (this.#backlog.bytes > HOLD_BYTES) return none
    const body = this.#backlog.take()
    return this.#dialect.asStream(this.#restored ? this.#restored(body) : body) ?? none
  }
}

/** A stream for a client that wants a whole answer. */
class Gathered implements Rendition {
  readonly meter: Meter
  readonly between = false
  readonly ready = false
  readonly #gatherer: Gatherer
  readonly #restored: ((body: Buffer) => Buffer) | undefined

  constructor({ dialect, restore }: Rendered) {
    this.meter = dialect.meter(true)
    this.#gatherer = dialect.gatherer()
    this.#restored = restore === undefined ? undefined : dialect.restored(false, restore)
  }

  push(chunk: Buffer): Buffer {
    this.meter.push(chunk)
    this.#gatherer.push(chunk)
    return none
  }

  end(): Buffer {
    this.meter.end()
    const body = this.#gatherer.end()
    return body && this.#restored ? this.#restored(body) : (body ?? none)
  }
}

/** Of an answer without usage, which still may be an error. */
class Unmetered implements Meter {
  readonly usage = noUsage()
  readonly told = true
  readonly promptTold = true
  readonly outputTold = true
  readonly modeTold = true
  readonly geoTold = true
  readonly complete = true
  readonly begun = true
  readonly ended = false
  readonly emitted = 0
  readonly #meter: Meter

  constructor(meter: Meter) {
    this.#meter = meter
  }

  get error(): Meter['error'] {
    return this.#meter.error
  }
  push(chunk: Buffer): void {
    this.#meter.push(chunk)
  }
  end(): void {
    this.#meter.end()
  }
}
