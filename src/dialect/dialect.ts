// A wire language, whichever side speaks it. One implementation a dialect, in a folder each.
import type { Failure } from '../lib/failure.ts'
import type { Codec } from './middle/codec.ts'
import type { DialectName } from './middle/form.ts'
import type { ProofReader } from './proofs.ts'
import type { Lifetime, Usage } from './usage.ts'

export type { DialectName }

/** Half-open byte range of a value in a body. */
export interface Span {
  start: number
  end: number
}

/** What the corridor must know of a request; found without building the whole object. */
export interface Peek {
  readonly model: string
  readonly stream: boolean
  /** the most output tokens it asks for; undefined when it sets no limit, or none that can be read */
  readonly maxTokens: number | undefined
  /** the service mode it asks for, '' for the standard one */
  readonly mode: string
  /** where it asks to be computed, '' for wherever that costs nothing more */
  readonly geo: string
  /** bytes of it that may become input tokens, so not the base64 of images; never fewer than the model can read */
  readonly promptBytes: number
  /** the longest lifetime with which its prompt may be written into a cache */
  readonly cacheWrites: 'none' | Lifetime
  /** whether it brings a tool that searches the web, each search being billed */
  readonly searchesWeb: boolean
  /** The session that it belongs to, in the client's own words; '' for none. */
  session(headers: NodeJS.Dict<string | string[]>): string
  /**
   * The body for an upstream of the same dialect that calls the model so: edited in place, every other byte stays.
   * @param proofs those of `proofs` that must not go out as they came: what stands there instead, or undefined where the reasoning is
   *   left out with its proof. None, or an empty map: the conversation is not touched.
   */
  mapped(model: string, proofs?: ReadonlyMap<string, string | undefined>): Body
  /**
   * The proofs of reasoning that its conversation brings, each once; what looks like one and is none may be among them. A search of
   * the bytes, which costs next to nothing where there are none. Undefined: its conversations have no place for them.
   */
  proofs?(): readonly string[]
  /**
   * Takes out of an answer's stream what `mapped` asked for and the client did not: of whole events, in order, each answer its own.
   * Undefined: there is nothing of the kind.
   */
  readonly stripped?: (() => (events: Buffer) => Buffer) | undefined
  /** The dialect to answer in, where the request asks for another framing than its route's; undefined: that. */
  readonly answersIn?: Dialect
  /** Whether it is a throw-away request that an account may have answered here. */
  isWarmup(phrases: WarmupPhrases): boolean
}

/** A request body that never becomes one buffer again once the model is edited into it. */
export interface Body {
  readonly pieces: readonly Buffer[]
  readonly bytes: number
}

/** Reads a response as it passes; never changes or delays a byte. */
export interface Meter {
  /** Takes the next bytes of the response body. */
  push(chunk: Buffer): void
  /** No more bytes will come. */
  end(): void
  readonly usage: Usage
  /** The answer is whole: the end was seen that its protocol has, whatever was said of its usage. */
  readonly complete: boolean
  /** All of the final usage was told and can be believed. */
  readonly told: boolean
  /** Of that: the tokens of the prompt. What is absent, no number, or 0 beside a text is not told. */
  readonly promptTold: boolean
  /** Of that: the tokens of the answer, to its end. */
  readonly outputTold: boolean
  /** A service mode was told, also the standard one. */
  readonly modeTold: boolean
  /** It was told where it was computed, also that it is of no concern. */
  readonly geoTold: boolean
  /** It was told how long is kept what was written into a cache. */
  readonly lifetimesTold: boolean
  /**
   * Something of the answer itself has passed: text that is not empty, or a part that says something by being there (a tool
   * that is called, a search). Not its frame: whoever has seen no more than that can still be given another answer.
   */
  readonly begun: boolean
  /** The stream's last event has passed: by its dialect nothing follows, whatever the connection does. */
  readonly ended: boolean
  /** The upstream's own error inside a 200, once it was seen. */
  readonly error: { type: string; message: string } | undefined
  /**
   * About how many bytes of answer have passed (text, thinking, tool arguments): what is left to go by where no usage came.
   * Of a whole body all its bytes, until it was read.
   */
  readonly emitted: number
}

/** Whole events in another framing. */
export interface Reframing {
  push(events: Buffer): Buffer
  end(): Buffer
}

/** Puts the events of a stream together. */
export interface Gatherer {
  push(chunk: Buffer): void
  /** No more will come; undefined when that was no answer, or one that is too large to be kept. */
  end(): Buffer | undefined
}

/** How throw-away requests of clients are told from work: settings `warmup.*`. */
export interface WarmupPhrases {
  /** a user's text that contains one of these */
  texts: readonly string[]
  /** or is one of these */
  exact: readonly string[]
  /** or a system text that contains one of these */
  system: readonly string[]
}

export interface Dialect {
  readonly name: DialectName
  /** `path` is the route's, in which some dialects say model and action. @throws Failure BODY_INVALID, MODEL_REQUIRED */
  peek(body: Buffer, path: string): Peek
  /** How it is translated; undefined: bytes only pass. */
  readonly codec?: Codec
  /** the content type of its streams */
  readonly streamType: string
  /**
   * The events of a stream in another framing than that of server-sent events, which upstreams have; kept state is of one answer.
   * Undefined: as they are.
   */
  readonly reframed?: () => Reframing
  /** Keeps an idle stream open while the caller waits. */
  readonly ping: Buffer
  /** The body of an error answer. */
  error(failure: Failure, requestId: string): Buffer
  /**
   * The frame that ends a stream which had begun.
   * @param begun more of it than pings has been written: what a frame looks like may depend on what is before it
   */
  errorFrame(failure: Failure, requestId: string, begun?: boolean): Buffer
  /** A whole error body of an upstream as the frame that ends a stream. */
  asErrorFrame(body: Buffer, begun?: boolean): Buffer
  meter(streaming: boolean): Meter
  /** Learns the proofs of reasoning in an answer that passes, stream or whole; undefined: it has none. */
  readonly proofReader?: () => ProofReader
  /**
   * Puts the model's name that the client asked for back into an answer. Of a stream it takes whole events, in order; of a whole
   * answer all of it at once.
   */
  restored(streaming: boolean, model: string): (bytes: Buffer) => Buffer
  /** A whole answer as the stream that it would have been; undefined for what is no answer. */
  asStream(body: Buffer): Buffer | undefined
  /** For a stream that was meant to be a whole answer. */
  gatherer(): Gatherer
  /** The list of models, or one of them, as this dialect writes it. */
  models(names: readonly string[]): object
  model(name: string): object
  /** The answer to a throw-away request (spec/domain.md §11.1): a body, or the frames of a stream. */
  warmupAnswer(model: string): object
  warmupFrames(model: string): Buffer[]
}
