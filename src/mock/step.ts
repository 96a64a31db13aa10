// A step of a script: what the scripted provider does with one request, as plain JSON.

/**
 * A place in a reply. `'start'` is before the response head; 0 is after the head and before the first event;
 * n is after n events. A reply that is not a stream counts as two events, the halves of its body.
 * A number beyond the last event means after the last event, before the end of the response.
 */
export type Point = 'start' | number

/** A tool the model calls. */
export interface ToolCall {
  name: string
  /** The arguments, sent in pieces when streaming. Default {}. */
  input?: Record<string, unknown>
  /** Default: made from the reply, the same for the same request. */
  id?: string
}

/**
 * Tokens as a reply reports them, with the field names of Anthropic Messages whatever the dialect: `input_tokens` without the
 * cached ones. What a dialect cannot say is 0 in it: Messages keeps cache writes 5 minutes or an hour, OpenAI 30 minutes or 12 hours,
 * Gemini knows none.
 */
export interface Counts {
  input_tokens: number
  output_tokens: number
  cache_creation_input_tokens: number
  cache_read_input_tokens: number
  /** The part of `cache_creation_input_tokens` that is kept for 5 minutes. */
  ephemeral_5m_input_tokens: number
  /** The part of `cache_creation_input_tokens` that is kept for an hour. */
  ephemeral_1h_input_tokens: number
  /** The part of `cache_creation_input_tokens` that is kept for 30 minutes. */
  ttl_30m_tokens: number
  /** The part of `cache_creation_input_tokens` that is kept for 12 hours. */
  ttl_12h_tokens: number
  /** Searches that the provider made itself; said by Messages and Responses. */
  web_search_requests: number
}

/** One of the calls that an answer took on the provider's side; Messages lists them. */
export interface Iteration {
  type: string
  model?: string | null
  input_tokens?: number
  output_tokens?: number
  cache_creation_input_tokens?: number
  cache_read_input_tokens?: number
  cache_creation?: { ephemeral_5m_input_tokens?: number; ephemeral_1h_input_tokens?: number } | null
}

export interface Usage extends Counts {
  /** The vendor's word, `''` for the standard one; said by all but Gemini. `fast` is a speed in Messages. */
  service_tier: string
  /** Where it was computed; said by Messages. Default: nothing of it. */
  inference_geo?: string
  /** Said by Messages at the end. Default: none. */
  iterations?: Iteration[]
}

/**
 * What to do with one request. `{}` is a plain good answer; every field changes one thing, and fields combine:
 * `{ chunks: ['a', 'b'], hold: 2, reset: 3 }` waits after two events and breaks the connection after three.
 */
export interface Step {
  /** Only for requests to this path, like `/v1/messages`; others pass it by. Default: for every path. */
  on?: string
  /** No request should come here any more: it is answered 500 and counted in `Stats.unexpected`. */
  expect?: 'nothing more'

  // What is said

  /** The answer, streamed in at most four deltas. Default: a sentence naming the model and the size of the request. */
  text?: string
  /** The answer as the exact list of deltas; goes before `text`. */
  chunks?: string[]
  /** One more delta of this many bytes of text, in one event. */
  hugeBytes?: number
  /** A thinking block before the answer, signed by the credential (proofs.ts); a list is the exact list of deltas. */
  thinking?: string | string[]
  /** Tool calls after the text. Left out (and answered with text) when the request carries no `tools`. */
  tools?: ToolCall[]
  /** Fragments of the tool calls in turn, one of each, as some servers of Chat send them; else one call after the other. */
  interleaved?: boolean
  /** The model declines, in these words and its dialect's way: in a field, a part or a reason of its own. */
  refusal?: string
  /** In the vendor's words; the default is those for a tool call or a plain end. Of Responses it is why it is `incomplete`. */
  stopReason?: string
  /** The model the reply says it comes from. Default: the one that was asked for. */
  model?: string
  /**
   * Default: `input_tokens` a quarter of the bytes of the request, `output_tokens` a quarter of the bytes of the answer, both
   * rounded up; no cache. Given only one of the cache write total and its split, the other follows on the bill, but a
   * missing split stays off the wire.
   */
  usage?: Partial<Usage>
  /** A ping after every this many deltas, where the dialect has pings: Messages. Default 0: none. */
  pings?: number
  /** More response headers; they replace the usual ones, so a wrong `content-type` is said here. */
  headers?: Record<string, string | string[]>

  // What is refused

  /** The HTTP status. Default 200, or the one that belongs to `error.type`. Outside 200–299 the reply is an error. */
  status?: number
  /** Default: type and text that belong to `status`. */
  error?: { type?: string; message?: string; details?: Record<string, unknown> }
  /**
   * Says `error` inside a 200: as an event after this many events (0: as the first one); the stream ends with it.
   * A request that does not stream is refused with it.
   */
  errorAt?: number
  /**
   * Requests are refused whose history has proofs of thinking (`signature`, `encrypted_content`, `thoughtSignature`) that this credential
   * did not issue, or not for the thinking beside it, or (`own of the model`) not for this model: in the vendor's words, 400.
   */
  proofs?: 'own' | 'own of the model'
  /** What the token endpoint gives (credential `token`): `expiresIn` seconds, default 3600; `rotates`, default true. */
  token?: { expiresIn?: number; rotates?: boolean }
  /** The response body as it is, HTML or a recorded stream. It reports no usage unless `usage` is given too. */
  body?: string

  // When

  /** Before the response head. */
  delayMs?: number
  /** Between two events. */
  gapMs?: number
  /** Writes the body in pieces of so many bytes, each so long after the one before. */
  drip?: { bytes: number; everyMs: number }
  /** Waits here until `release()` or until the client goes away; `true` is `'start'`. Each release passes one point. */
  hold?: Point | true | Point[]

  // Where it breaks off. The first one reached counts.

  /** The connection is reset (RST). */
  reset?: Point
  /** The connection is closed (FIN) without the end that HTTP asks for. */
  close?: Point
  /** The response ends in good order for HTTP, but too early for the dialect. */
  end?: number

  // How the bytes look

  /** Line ends of the stream. Default `lf`, of Gemini `crlf`. */
  eol?: 'lf' | 'crlf' | 'cr'
  /** Leaves the `event:` lines out of the stream. */
  unnamed?: boolean
  /** After so many good events comes one whose JSON is cut in the middle; a body that is no stream is cut at once. */
  brokenAt?: number
  /** Every character of more than one byte is cut between two writes. Not with `encoding`. */
  splitUtf8?: boolean
  /** Compresses the body, flushing after each event. */
  encoding?: 'gzip' | 'deflate' | 'br' | 'zstd'
}
