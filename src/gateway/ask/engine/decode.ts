// An upstream that compresses although it was asked not to: its answer is made plain, or the meter could not read it.
import type { Transform } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib'
import type { Controller, Handler, Head } from './engine.ts'

/** Who gets a body made plain. */
export type Plain = Omit<Handler, 'head'>

const decoders = new Map<string, () => Transform>([
  ['gzip', createGunzip],
  ['x-gzip', createGunzip],
  ['deflate', createInflate],
  ['br', createBrotliDecompress],
  ['zstd', createZstdDecompress],
])

/**
 * For a head that says that the body is compressed: changes it to that of a plain one, and gives who must get the body
 * from now on instead of `handler`, and be told of pauses. Undefined for any other.
 */
export function decoderFor(head: Head, handler: Plain, connection: Controller): Decoder | undefined {
  const encoding = head.headers['content-encoding']
  const make = encoding === undefined ? undefined : decoders.get(encoding.toLowerCase())
  if (!make) return undefined
  delete head.headers['content-encoding']
  delete head.headers['content-length']
  return new Decoder(make(), handler, connection)
}

export class Decoder implements Plain {
  #over = false
  readonly #transform: Transform
  readonly #handler: Plain
  readonly #connection: Controller

  constructor(transform: Transform, handler: Plain, connection: Controller) {
    this.#transform = transform
    this.#handler = handler
    this.#connection = connection
    transform.on('data', (bytes: Buffer) => this.#over || handler.data(bytes))
    transform.on('drain', () => this.#over || connection.resume())
    transform.on('end', () => {
      if (this.#over) return
      this.#over = true
      handler.end()
    })
    transform.on('error', error => this.fail(error))
  }

  data(bytes: Buffer): void {
    if (!this.#transform.write(bytes)) this.#connection.pause()
  }

  end(): void {
    this.#transform.end()
  }

  fail(error: NodeJS.ErrnoException): void {
    if (this.#over) return
    this.stop()
    this.#handler.fail(error)
  }

  pause(): void {
    this.#transform.pause()
  }
  resume(): void {
    this.#transform.resume()
  }

  /** The handler hears nothing more. */
  stop(): void {
    this.#over = true
    this.#transform.destroy()
  }
}
