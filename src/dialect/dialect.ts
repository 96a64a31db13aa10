// How a downstream client speaks. One implementation a dialect, in a folder each.
import type { Failure } from '../lib/failure.ts'
import type { Span } from './json/scan.ts'
import type { Usage } from './usage.ts'

export type DialectName = 'messages'

/** What the corridor must know of a body; found without building the whole object. */
export interface Peek {
  model: string
  /** where the model stands in the body, quotes included, so that it can be edited in place */
  modelSpan: Span
  stream: boolean
  /** the most output tokens it asks for; undefined when it sets no limit, or none that can be read */
  maxTokens: number | undefined
  /** the service mode it asks for, '' for the standard one */
  mode: string
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
  /** The upstream's final usage was seen; what comes after it, if anything, is the end. */
  readonly told: boolean
  /** The answer is whole: its final usage and its end were seen. */
  readonly complete: boolean
  /** At least one frame that means something (not a ping or comment) has passed whole. */
  readonly begun: boolean
  /** The upstream's own error inside a 200, once it was seen. */
  readonly error: { type: string; message: string } | undefined
  /**
   * About how many bytes of answer have passed (text, thinking, tool arguments): what is left to go by when a stream broke
   * off before its usage. Of a whole body all its bytes: it breaks off as a whole.
   */
  readonly emitted: number
}

export interface Dialect {
  readonly name: DialectName
  /** @throws Failure BODY_INVALID, MODEL_REQUIRED */
  peek(body: Buffer): Peek
  /** Bytes of a body that may become input tokens, so not the base64 of images; never fewer than the model can read. */
  promptBytes(body: Buffer, peek: Peek): number
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
