// Made: the rendition that fits both sides of an answer.
import type { Meter, Reframing } from '../../../dialect/dialect.ts'
import type { Fault } from '../../../dialect/middle/form.ts'
import type { ProofReader } from '../../../dialect/proofs.ts'
import type { Envelope } from '../../../platform/platform.ts'
import { passing } from './passing.ts'
import type { Rendered, Rendition } from './rendition.ts'
import { translating } from './translating.ts'

/** Bytes that pass, with the model's name put back, or a translation; and a stream or whole answer made of the other. */
export function rendition(options: Rendered): Rendition {
  const { client, to, translation } = options
  const made = translation ? translating(options, translation) : passing(options)
  return to && client.reframed ? new Reframed(made, client.reframed()) : made
}

/** The same of an answer that comes in an envelope. */
export function opened(of: Rendition, envelope: ReturnType<Envelope['answer']>): Rendition {
  return new Opened(of, envelope)
}

/** The same of an answer whose proofs of reasoning are learned; `learned` is told once, of an answer that came to its end. */
export function learning(of: Rendition, reader: ProofReader, learned: (found: readonly string[]) => void): Rendition {
  return new Learning(of, reader, learned)
}

/** What stands around another one. */
abstract class Around implements Rendition {
  protected readonly of: Rendition

  constructor(of: Rendition) {
    this.of = of
  }

  get meter(): Meter {
    return this.of.meter
  }
  get ready(): boolean {
    return this.of.ready
  }
  get between(): boolean {
    return this.of.between
  }
  abstract push(chunk: Buffer): Buffer
  abstract end(): Buffer

  pass(chunk: Buffer): void {
    this.of.pass(chunk)
  }
  passEnd(): void {
    this.of.passEnd()
  }
  close(): Buffer {
    return this.of.close()
  }
  get fail(): ((fault: Fault) => Buffer) | undefined {
    return this.of.fail && (fault => this.of.fail!(fault))
  }
}

/** In the framing that the client asked for. */
class Reframed extends Around {
  readonly #frames: Reframing

  constructor(of: Rendition, frames: Reframing) {
    super(of)
    this.#frames = frames
  }

  push(chunk: Buffer): Buffer {
    return this.#frames.push(this.of.push(chunk))
  }

  end(): Buffer {
    const rest = this.#frames.push(this.of.end())
    return Buffer.concat([rest, this.#frames.end()])
  }

  override close(): Buffer {
    return this.#frames.end()
  }

  // Its dialect's own frame closes what was begun.
  override get fail(): undefined {
    return undefined
  }
}

class Learning extends Around {
  readonly #reader: ProofReader
  readonly #learned: (found: readonly string[]) => void

  constructor(of: Rendition, reader: ProofReader, learned: (found: readonly string[]) => void) {
    super(of)
    this.#reader = reader
    this.#learned = learned
  }

  push(chunk: Buffer): Buffer {
    this.#reader.push(chunk)
    return this.of.push(chunk)
  }

  end(): Buffer {
    this.#learn()
    return this.of.end()
  }

  override close(): Buffer {
    this.#learn()
    return this.of.close()
  }

  #learn(): void {
    if (this.#reader.found.length > 0) this.#learned(this.#reader.found)
  }
}

/** Out of its envelope, before anybody reads it. */
class Opened extends Around {
  readonly #envelope: ReturnType<Envelope['answer']>

  constructor(of: Rendition, envelope: ReturnType<Envelope['answer']>) {
    super(of)
    this.#envelope = envelope
  }

  push(chunk: Buffer): Buffer {
    return this.of.push(this.#envelope.push(chunk))
  }

  end(): Buffer {
    const before = this.of.push(this.#envelope.end())
    return Buffer.concat([before, this.of.end()])
  }

  override pass(chunk: Buffer): void {
    this.of.pass(this.#envelope.push(chunk))
  }

  override passEnd(): void {
    this.of.pass(this.#envelope.end())
    this.of.passEnd()
  }
}
