// Passing: the same dialect on both sides. Bytes pass, only the model's name is put back; and a stream or whole answer is made of the other.
import type { Dialect, Gatherer, Meter } from '../../../dialect/dialect.ts'
import { WholeEvents } from '../../../dialect/whole-events.ts'
import { Backlog } from '../backlog.ts'
import { HOLD_BYTES, none, OPENING_BYTES, type Rendered, Rendering, type Rendition } from './rendition.ts'
import { Unmetered } from './unmetered.ts'

export function passing(options: Rendered): Rendition {
  if (!options.from) return options.to ? new AsStream(options) : new PassingWhole(options)
  return options.to ? new PassingStream(options) : new Gathered(options)
}

const cutLineEnd = Buffer.from('\n\r')
const lineFeed = Buffer.from('\n')

/** Goes on in whole events, so that an error frame can follow at any moment and be read. */
class PassingStream extends Rendering {
  readonly meter: Meter
  #opening = 0
  readonly #events = new WholeEvents()
  readonly #restored: ((events: Buffer) => Buffer) | undefined

  constructor({ client: dialect, metered, restore, stripped }: Rendered) {
    super()
    this.meter = metered ? dialect.meter(true) : new Unmetered(dialect.meter(true))
    const named = restore === undefined ? undefined : dialect.restored(true, restore)
    const less = stripped?.()
    this.#restored = named && less ? events => named(less(events)) : (named ?? less)
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
class PassingWhole extends Rendering {
  readonly meter: Meter
  readonly between = false
  ready = false
  readonly #backlog = new Backlog()
  readonly #restored: ((body: Buffer) => Buffer) | undefined

  constructor({ client: dialect, metered, restore }: Rendered) {
    super()
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
class AsStream extends Rendering {
  readonly meter: Meter
  readonly between = true
  readonly ready = false
  readonly #dialect: Dialect
  readonly #backlog = new Backlog()
  readonly #restored: ((body: Buffer) => Buffer) | undefined
  readonly #less: ((events: Buffer) => Buffer) | undefined

  constructor({ client: dialect, restore, stripped }: Rendered) {
    super()
    this.meter = dialect.meter(false)
    this.#dialect = dialect
    this.#restored = restore === undefined ? undefined : dialect.restored(false, restore)
    this.#less = stripped?.()
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
    const stream = this.#dialect.asStream(this.#restored ? this.#restored(body) : body)
    return (stream && this.#less ? this.#less(stream) : stream) ?? none
  }
}

/** A stream for a client that wants a whole answer. */
class Gathered extends Rendering {
  readonly meter: Meter
  readonly between = false
  readonly ready = false
  readonly #gatherer: Gatherer
  readonly #restored: ((body: Buffer) => Buffer) | undefined

  constructor({ client: dialect, restore }: Rendered) {
    super()
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
