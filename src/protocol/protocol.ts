// How a downstream client speaks. One implementation a dialect, in a folder each.
import type { Failure } from '../lib/failure.ts'
import type { Span } from './json.ts'
import type { Usage } from './usage.ts'

export type ProtocolName = 'messages'

/** What the corridor must know of a body; found without building the whole object. */
export interface Peek {
  model: string
  /** where the model stands in the body, quotes included, so that it can be edited in place */
  modelSpan: Span
  stream: boolean
  /** where other fields stand that somebody may want: what names the session */
  fields: ReadonlyMap<string, Span>
}

/** Reads a response as it passes; never changes or delays a byte. */
export interface Meter {
  /** Takes the next bytes of the response body. */
  push(chunk: Buffer): void
  /** No more bytes will come. */
  end(): void
  readonly usage: Usage
  /** The answer is whole: its final usage and its end were seen. */
  readonly complete: boolean
  /** At least one frame that means something (not a ping or comment) has passed whole. */
  readonly begun: boolean
  /** The upstream's own error inside a 200, once it was seen. */
  readonly error: { type: string; message: string } | undefined
}

export interface Protocol {
  readonly name: ProtocolName
  /** @throws Failure BODY_INVALID, MODEL_REQUIRED */
  peek(body: Buffer): Peek
  /** Keeps an idle stream open while the caller waits. */
  readonly ping: Buffer
  /** The body of an error answer. */
  error(failure: Failure, requestId: string): Buffer
  /** The frame that ends a stream which had begun. */
  errorFrame(failure: Failure, requestId: string): Buffer
  /** A whole error body of an upstream as the frame that ends a stream. */
  asErrorFrame(body: Buffer): Buffer
  meter(streaming: boolean): Meter
}
