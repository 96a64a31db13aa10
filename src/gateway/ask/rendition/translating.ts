// Translating: an answer told in another dialect than the upstream's.
import type { Dialect, Meter } from '../../../dialect/dialect.ts'
import type { Fault } from '../../../dialect/middle/form.ts'
import type { Relay, Translation } from '../../../dialect/middle/translation.ts'
import { Backlog } from '../backlog.ts'
import { HOLD_BYTES, none, OPENING_BYTES, type Rendered, Rendering, type Rendition } from './rendition.ts'
import { Unmetered } from './unmetered.ts'

export function translating({ upstream, from, to }: Rendered, translation: Translation): Rendition {
  if (from && to) return new TranslatedStream(upstream.meter(true), translation.streaming())
  if (from) {
    const gathering = translation.gathering()
    return new Held(
      upstream.meter(true),
      chunk => gathering.push(chunk),
      () => gathering.end(),
    )
  }
  return whole(upstream.meter(false), body => (to ? translation.wholeAsStream(body) : translation.whole(body)))
}

/** What an upstream counted, as the client is told it; `written` gives undefined for what is no count. */
export function counted(upstream: Dialect, written: (body: Buffer) => string | undefined): Rendition {
  return whole(new Unmetered(upstream.meter(false)), written)
}

function whole(meter: Meter, written: (body: Buffer) => string | undefined): Rendition {
  const backlog = new Backlog()
  return new Held(
    meter,
    chunk => backlog.keep(chunk),
    () => written(backlog.take()),
  )
}

/** A stream told in another dialect. */
class TranslatedStream extends Rendering {
  readonly meter: Meter
  readonly between = true
  #opening = 0
  readonly #relay: Relay

  constructor(meter: Meter, relay: Relay) {
    super()
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

/** Nothing goes on before its end, which says what it comes to. What is larger than can be held is no answer. */
class Held extends Rendering {
  readonly meter: Meter
  readonly between = true
  readonly ready = false
  #bytes = 0
  readonly #take: (chunk: Buffer) => void
  readonly #written: () => string | undefined

  constructor(meter: Meter, take: (chunk: Buffer) => void, written: () => string | undefined) {
    super()
    this.meter = meter
    this.#take = take
    this.#written = written
  }

  push(chunk: Buffer): Buffer {
    this.meter.push(chunk)
    this.#bytes += chunk.length
    if (this.#bytes <= HOLD_BYTES) this.#take(chunk)
    return none
  }

  end(): Buffer {
    this.meter.end()
    return this.#bytes > HOLD_BYTES ? none : bytesOf(this.#written() ?? '')
  }
}
