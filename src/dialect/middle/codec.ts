// Codec: the two halves of a dialect, to the middle form and from it. Four of them make every translation.
import type { AtUrl, Fetched } from './at-url.ts'
import type { ModelFacts } from './facts.ts'
import type { Ask, Event, Fault, Head, Issuer, Part, Seal, Tokens, Why } from './form.ts'
import type { Wires } from './names.ts'
import type { Notes } from './notes.ts'

export interface Codec {
  /** Kinds of part in which a client of this dialect is given proofs, and brings them back; the others are kept here. */
  readonly carries: ReadonlySet<Head['type']>
  /**
   * A client's request. Pure: it keeps what it does not know in `ext` or as opaque parts.
   * @param path the request's path and query: of some dialects the action and the model are there
   * @throws Failure BODY_INVALID, with the dotted name of the field that is wrong
   */
  decodeAsk(body: Buffer, path: string): Ask
  /**
   * The request for an upstream of this dialect. What it cannot say goes into `notes`, or is refused by them.
   * Every repair that this dialect needs (pairs of calls and results, roles in turn, legal ids and names) is made here.
   */
  encodeAsk(ask: Ask, target: Target, notes: Notes): Asking
  /** Of a request: the media whose bytes upstreams of this dialect must be given; undefined: they fetch all themselves. */
  wanted?(ask: Ask): readonly AtUrl[]
  /** Reads the stream of an upstream. */
  decoder(from: Issuer): Decoder
  /** The events of a whole answer, or one `fail`. Never throws. */
  decodeWhole(body: Buffer, from: Issuer): Event[]
  /** Writes the stream for a client. */
  encoder(asked: Asked): Encoder
  /** Writes a whole answer for a client. */
  encodeWhole(answer: Answer, asked: Asked): string
  /** Characters of a call's id that its servers take; undefined: any number. */
  readonly longestId?: number
  /** How tokens of a request are counted; undefined: its upstreams do not, and they are reckoned here. */
  readonly counting?: Counting
  /** An upstream's error body (status 400 and above) as a fault; never throws, whatever came. */
  readFault(status: number, body: Buffer): Fault
  /** The whole body of an error for a client; see also `Dialect.error` for our own. */
  writeFault(fault: Fault, status: number, requestId: string): string
}

export interface Counting {
  /** A client's request to count. @throws Failure BODY_INVALID */
  decodeAsk(body: Buffer, path: string): Ask
  /** The request to count, for an upstream. */
  encodeAsk(ask: Ask, target: Target, notes: Notes): Asking
  /** The count in an upstream's answer; undefined: it is none. */
  read(body: Buffer): number | undefined
  /** A count as a client is told it. */
  write(tokens: number): string
}

/** Whom a request is encoded for. */
export interface Target {
  /** the upstream's name for the model */
  model: string
  /** what the model can do */
  facts: ModelFacts
  /** the vendor's own server, and not one that only speaks its dialect */
  own: boolean
  /** the fields of v1internal, an older subset of Gemini's (schemas, safetySettings) */
  internal: boolean
  issuer: Issuer
  /** The proof that was kept for a client's dialect without a place for it: by a call's id, or `keyOfText`. */
  kept(key: string): Kept | undefined
  /** whether seals may be sent at all: after a refusal of one, a request is sent once without */
  seals: boolean
  /** what became of the media that are `wanted`, by `keyOfUrl`; undefined: nothing is fetched */
  fetched?: ReadonlyMap<string, Fetched> | undefined
  /** settings that translators ask for */
  settings: Settings
}

export interface Settings {
  /** a request without breakpoints asks for automatic ones where a vendor has them */
  autoCache: boolean
  /** by which a vendor that wants one finds the caches of a session whose client gave no key; undefined: none is known */
  cacheKey?: string | undefined
}

/** A thought that was kept here for its client. */
export interface Kept {
  seal: Seal
  /** the reasoning it proves; '' when there was none to be seen */
  text: string
}

/** A request, encoded. */
export interface Asking {
  /** of the upstream: `/v1/messages`, `/v1beta/models/x:generateContent` */
  path: string
  /** with `?`, or '' */
  query: string
  /** beside content type, accept and credential */
  headers: Record<string, string>
  body: string
  /** what the tools are called on the wire, to be turned back in the answer */
  wires: Wires
}

/** What an encoder of answers must know of the request. */
export interface Asked {
  ask: Ask
  /** the client's name for the model; '': the one that the answer names */
  model: string
  /** a new id for things of the answer: `msg_`, `chatcmpl-`, `resp_` … and 24 random hex digits behind it */
  id(prefix: string): string
  /** Unix seconds */
  created: number
  /** tokens of the prompt, reckoned: where the upstream tells them only at its end */
  promptTokens: number
  /**
   * The text of a proof in a client's dialect: the vendor's own where both sides speak it, else ours around it (also when the vendor
   * gave none). `text` is the reasoning it proves.
   */
  seal(seal: Seal | undefined, text: string, callId?: string): string
}

/** Never throws: what cannot be read is passed over, and a stream without its dialect's end gives `fail` truncated. */
export interface Decoder {
  push(chunk: Buffer): Event[]
  /** No more will come. */
  end(): Event[]
}

/** Writes events, which follow the grammar, in the framing of its dialect; '' when there is nothing to say yet. */
export interface Encoder {
  write(event: Event): string
}

/** A whole answer. */
export interface Answer {
  id: string
  /** as the upstream calls it */
  model: string
  /** by choice; one unless the client asked for several */
  choices: Choice[]
  usage: Tokens | undefined
}

export interface Choice {
  parts: Part[]
  phase?: 'commentary' | 'final'
  why: Why
  stopSequence?: string
  detail?: string
}
