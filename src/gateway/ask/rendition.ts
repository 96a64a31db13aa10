// Rendition: an upstream's answer as the client gets it. Passing through and translating look alike to whoever holds one.
import type { Dialect, Gatherer, Meter, Reframing } from '../../dialect/dialect.ts'
import type { Fault } from '../../dialect/middle/form.ts'
import type { Relay, Translation } from '../../dialect/middle/translation.ts'
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
  /** What follows the last event; nothing of server-sent events. Only where `end` is not called. */
  close(): Buffer
  /** The end of an answer that broke off; undefined: the dialect's frame says all. */
  fail?(fault: Fault): Buffer
}

// A whole answer is held back until it is known to be good; one larger than this is relayed as it comes.
const HOLD_BYTES = 32 * 1024 * 1024
// A stream that opens with more than this, and has still said nothing, is not held back any longer.
const OPENING_BYTES = 256 * 1024
const none = Buffer.alloc(0)
const cutLineEnd = Buffer.from('\n\r')
const lineFeed = Buffer.from('\n')
const nothing = () => none

/** What a rendition is made for. */
export interface Rendered {
  client: Dialect
  /** the same where bytes pass */
  upstream: Dialect
  /** whether the upstream streams, and whether the client is given a stream */
  from: boolean
  to: boolean
  /** false for an answer that has no usage: whatever it says is whole and good, unless it is an error */
  metered: boolean
  /** the client's name for the model, where the upstream was asked for another */
  restore: string | undefined
  /** takes out of a stream what the client did not ask for; see `Peek` */
  stripped?: (() => (events: Buffer) => Buffer) | undefined
  /** undefined where both speak the same */
  translation?: Translation
}

/** Bytes that pass, with the model's name put back, or a translation; and a stream or whole answer made of the other. */
export function rendition(options: Rendered): Rendition {
  const { client, to, translation } = options
  const made = translation ? translating(options, translation) : passing(options)
  return to && client.reframed ? new Reframed(made, client.reframed()) : made
}

function passing(options: Rendered): Rendition {
  if (!options.from) return options.to ? new AsStream(options) : new PassingWhole(options)
  return options.to ? new PassingStream(options) : new Gathered(options)
}

function translating({ upstream, from, to }: Rendered, translation: Translation): Rendition {
  if (from && to) return new TranslatedStream(upstream.meter(true), translation.streaming())
  if (from) {
    const gathering = translation.gathering()
    return new Held(
      upstream.meter(true),
      chunk => gathering.push(chunk),
      () => gathering.end(),
    )
  }
  const backlog = new Backlog()
  const keep = (chunk: Buffer) => {
    if (backlog.bytes <= HOLD_BYTES) backlog.keep(chunk)
  }
  const written = () => {
    if (backlog.bytes > HOLD_BYTES) return undefined
    const body = backlog.take()
    return to ? translation.wholeAsStream(body) : translation.whole(body)
  }
  return new Held(upstream.meter(false), keep, written)
}

/** What an upstream counted, as the client is told it; undefined for what is no count. */
export function counted(upstream: Dialect, written: (body: Buffer) => string | undefined): Rendition {
  const backlog = new Backlog()
  const keep = (chunk: Buffer) => {
    if (backlog.bytes <= HOLD_BYTES) backlog.keep(chunk)
  }
  return new Held(new Unmetered(upstream.meter(false)), keep, () => written(backlog.take()))
}

/** Goes on in whole events, so that an error frame can follow at any moment and be read. */
class PassingStream implements Rendition {
  readonly close = nothing
  readonly meter: Meter
  #opening = 0
  readonly #events = new WholeEvents()
  readonly #restored: ((events: Buffer) => Buffer) | undefined

  constructor({ client: dialect, metered, restore, stripped }: Rendered) {
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
class PassingWhole implements Rendition {
  readonly close = nothing
  readonly meter: Meter
  readonly between = false
  ready = false
  readonly #backlog = new Backlog()
  readonly #restored: ((body: Buffer) => Buffer) | undefined

  constructor({ client: dialect, metered, restore }: Rendered) {
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
  readonly close = nothing
  readonly meter: Meter
  readonly between = true
  readonly ready = false
  readonly #dialect: Dialect
  readonly #backlog = new Backlog()
  readonly #restored: ((body: Buffer) => Buffer) | undefined
  readonly #less: ((events: Buffer) => Buffer) | undefined

  constructor({ client: dialect, restore, stripped }: Rendered) {
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
class Gathered implements Rendition {
  readonly close = nothing
  readonly meter: Meter
  readonly between = false
  readonly ready = false
  readonly #gatherer: Gatherer
  readonly #restored: ((body: Buffer) => Buffer) | undefined

  constructor({ client: dialect, restore }: Rendered) {
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

/** A stream told in another dialect. */
class TranslatedStream implements Rendition {
  readonly close = nothing
  readonly meter: Meter
  readonly between = true
  #opening = 0
  readonly #relay: Relay

  constructor(meter: Meter, relay: Relay) {
    this.meter = meter
    this.#relay = relay
  }

  get ready(): boolean {
    return this.meter.begun || this.#opening > OPENING_BYTES
  }

  push(chunk: Buffer): Buffer {
    this.meter.push(chunk)
    if (!this.meter.begun) this.#opening += chunk.length
    return bytesOf(this.#relay.push(chunk))
  }

  end(): Buffer {
    this.meter.end()
    // That it broke off is told by whoever holds this.
    return this.meter.complete ? bytesOf(this.#relay.end()) : none
  }

  fail(fault: Fault): Buffer {
    return Buffer.from(this.#relay.fail(fault))
  }
}

const bytesOf = (text: string) => (text === '' ? none : Buffer.from(text))

/** Nothing goes on before its end, which says what it comes to. */
class Held implements Rendition {
  readonly close = nothing
  readonly meter: Meter
  readonly between = true
  readonly ready = false
  readonly #take: (chunk: Buffer) => void
  readonly #written: () => string | undefined

  constructor(meter: Meter, take: (chunk: Buffer) => void, written: () => string | undefined) {
    this.meter = meter
    this.#take = take
    this.#written = written
  }

  push(chunk: Buffer): Buffer {
    this.meter.push(chunk)
    this.#take(chunk)
    return none
  }

  end(): Buffer {
    this.meter.end()
    return bytesOf(this.#written() ?? '')
  }
}

/** The same in the framing that the client asked for. */
class Reframed implements Rendition {
  readonly #of: Rendition
  readonly #frames: Reframing

  constructor(of: Rendition, frames: Reframing) {
    this.#of = of
    this.#frames = frames
  }

  get meter(): Meter {
    return this.#of.meter
  }
  get ready(): boolean {
    return this.#of.ready
  }
  get between(): boolean {
    return this.#of.between
  }

  push(chunk: Buffer): Buffer {
    return this.#frames.push(this.#of.push(chunk))
  }

  end(): Buffer {
    const rest = this.#frames.push(this.#of.end())
    return Buffer.concat([rest, this.#frames.end()])
  }

  close(): Buffer {
    return this.#frames.end()
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
  readonly lifetimesTold = true
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
