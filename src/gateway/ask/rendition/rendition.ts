// Rendition: an upstream's answer as the client gets it. Passing through and translating look alike to whoever holds one.
import type { Dialect, Meter } from '../../../dialect/dialect.ts'
import type { Fault } from '../../../dialect/middle/form.ts'
import type { Translation } from '../../../dialect/middle/translation.ts'

export interface Rendition {
  /** Takes the upstream's next bytes and gives what the client may have of them; empty while nothing is whole. */
  push(chunk: Buffer): Buffer
  /** No more will come; gives the rest. Empty where nothing was given before: that was no answer. */
  end(): Buffer
  /** The same for an answer that nobody hears any more: only its meter reads on. */
  pass(chunk: Buffer): void
  passEnd(): void
  /** of the upstream's dialect, on the upstream's own bytes: a wrong rendition is then never a wrong bill */
  readonly meter: Meter
  /** Something that counts has been said, or it is more than can be kept back: the head may go out. */
  readonly ready: boolean
  /** What was given ends between two events: a ping may follow it. */
  readonly between: boolean
  /** What follows the last event, where `end` is not called; nothing of server-sent events. */
  close(): Buffer
  /** The end of an answer that broke off; undefined: the dialect's frame says all. */
  readonly fail?: ((fault: Fault) => Buffer) | undefined
}

/** A whole answer is held back until it is known to be good; one larger than this is relayed as it comes. */
export const HOLD_BYTES = 32 * 1024 * 1024
/** A stream that opens with more than this, and has still said nothing, is not held back any longer. */
export const OPENING_BYTES = 256 * 1024
export const none = Buffer.alloc(0)

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

/** What all have. */
export abstract class Rendering implements Rendition {
  abstract readonly meter: Meter
  abstract readonly ready: boolean
  abstract readonly between: boolean
  abstract push(chunk: Buffer): Buffer
  abstract end(): Buffer

  pass(chunk: Buffer): void {
    this.meter.push(chunk)
  }
  passEnd(): void {
    this.meter.end()
  }
  close(): Buffer {
    return none
  }
}
