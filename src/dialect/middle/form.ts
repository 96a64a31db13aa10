// The middle form: one request and one sequence of events that every dialect is decoded to and encoded from. The words are ours, no vendor's.
// Three rules. Text that a client parses again (a tool's input, schemas) stays text: 19-digit numbers and the order of keys survive.
// What the form has no word for stays in `ext`, under the dialect that it came from: an encoder of that dialect writes it back, every
// other names it as dropped. A decoder never judges and never repairs: that belongs to the encoder that needs it.

export type DialectName = 'messages' | 'responses' | 'chat' | 'gemini'

/** JSON text as it stood. */
export type Json = string & { readonly json: true }
/** What a dialect has and the form has no word for, by dialect and field. */
export type Ext = Partial<Record<DialectName, Record<string, Json>>>

// ---- request ----

export interface Ask {
  /** the client's; what things are called in it says `fieldsOf` */
  dialect: DialectName
  model: string
  stream: boolean
  system: Text[]
  turns: Turn[]
  tools: Tool[]
  /** one name: that tool; several: any of them */
  choice: 'auto' | 'none' | 'required' | { names: string[] }
  parallel?: boolean
  thinking?: Thinking
  sampling: { temperature?: number; topP?: number; topK?: number; seed?: number; presence?: number; frequency?: number }
  limits: { maxTokens?: number; stop: string[] }
  format?: { kind: 'json' } | { kind: 'schema'; name?: string; schema: Json; strict?: boolean }
  /** what holds for the whole request; breakpoints stand on the parts */
  cache: { key?: string; auto?: boolean; ttl?: Ttl; prewarm?: boolean }
  tier?: string
  endUser?: string
  /** state that lives upstream: honoured by its own dialect and account, refused by all others, never dropped */
  held: Held[]
  /** compaction: the answer is to be an item that stands for the whole conversation from then on */
  wants: { usage: boolean; reasoning: boolean; logprobs?: number; candidates?: number; compaction?: boolean }
  /** fields of the request without a word here */
  ext: Ext
}

export interface Held {
  what:
    | 'previous'
    | 'conversation'
    | 'prompt'
    | 'background'
    | 'item'
    | 'file'
    | 'container'
    | 'cachedContent'
    | 'thread'
    | 'continuation'
  /** the client's own name of the field, dotted, to be named in the refusal */
  param: string
  id: string
}

export type Effort = 'minimal' | 'low' | 'medium' | 'high' | 'xhigh' | 'max'

export interface Thinking {
  mode: 'off' | 'auto' | 'budget' | 'betweenTools'
  budget?: number
  effort?: Effort
  show?: 'none' | 'summary' | 'updates'
  /** the client's own names of the fields that said so, for the tokens of what is changed */
  params: { mode?: string; effort?: string }
}

export interface Turn {
  /** system here is in the middle of the conversation; developer is system */
  role: 'user' | 'assistant' | 'system'
  parts: Part[]
  phase?: 'commentary' | 'final'
  ext?: Ext
}

export type Part = Text | Media | Thought | Call | Result | Refusal | Opaque

interface Base {
  /** a cache breakpoint ends here */
  cache?: Ttl
  ext?: Ext
}

export type Ttl = '5m' | '30m' | '1h' | '12h' | 'default'

export interface Text extends Base {
  type: 'text'
  text: string
  citations?: Citation[]
  seal?: Seal
}

export interface Media extends Base {
  type: 'media'
  kind: 'image' | 'audio' | 'video' | 'document'
  mime?: string
  /** file: also listed in `held` */
  at: { base64: string } | { url: string } | { text: string } | { file: string }
  title?: string
  detail?: string
}

/** Reasoning. `text` is '' when the vendor shows none; redacted: the seal is all there is. */
export interface Thought extends Base {
  type: 'thought'
  text: string
  redacted?: boolean
  seal?: Seal
}

export interface Call extends Base {
  type: 'call'
  /** '': the dialect gave none, and calls and results pair by order */
  id: string
  name: string
  namespace?: string
  /** text: of a freeform tool */
  input: { json: Json } | { text: string }
  seal?: Seal
  /** the vendor ran it: a web search, say */
  by?: 'server'
}

export interface Result extends Base {
  type: 'result'
  callId: string
  name?: string
  /** one Opaque with kind `object` is a whole JSON object, as Gemini has it */
  parts: (Text | Media | Opaque)[]
  error: boolean
  by?: 'server'
}

export interface Refusal extends Base {
  type: 'refusal'
  text: string
}

/** A block or item that is not known: rides untouched to its own dialect, is named as dropped elsewhere. */
export interface Opaque extends Base {
  type: 'opaque'
  dialect: DialectName
  kind: string
  json: Json
}

export interface Citation {
  kind: 'url' | 'document'
  url?: string
  title?: string
  quote?: string
  start?: number
  end?: number
  ext?: Ext
}

/** A vendor's proof that reasoning is its own (signature, encrypted_content, thoughtSignature): valid only where it was issued. */
export interface Seal {
  value: string
  /** undefined: it looks native and was not made by us; it is sent as it is */
  issuer: Issuer | undefined
}

export interface Issuer {
  platform: 'anthropic' | 'openai' | 'gemini' | 'antigravity'
  /** 8 hex digits: digest of the organisation, project or account */
  scope: string
  model: string
}

export interface Tool extends Base {
  kind: 'function' | 'freeform' | 'server'
  name: string
  namespace?: string
  description?: string
  schema?: Json
  /** undefined: not promised */
  strict?: boolean
  deferred?: boolean
  /** of kind server: what it does, or the vendor's own type where there is no word */
  server?: string
  /** of kind freeform: the grammar as text for a description, '' for none */
  grammar?: string
}

// ---- answer: a sequence of events; a whole answer is the same sequence at once ----

/**
 * Grammar: start (open (delta | seal | cite)* close | usage | idle | opaque)* usage? (finish+ | fail). Indexes grow by one and are
 * never used again. Several parts MAY be open at once (Chat interleaves calls); see `inTurn` for dialects with one open part.
 */
export type Event =
  | { type: 'start'; id: string; model: string; usage?: Tokens }
  | { type: 'open'; index: number; part: Head; choice?: number }
  /** text, thought, refusal, or the next piece of the call's input; a media's base64 */
  | { type: 'delta'; index: number; text: string }
  | { type: 'seal'; index: number; seal: Seal }
  | { type: 'cite'; index: number; citation: Citation }
  /** part: what the upstream says the whole is, only where no delta came before it */
  | { type: 'close'; index: number; part?: Part }
  /** cumulative; the last one holds */
  | { type: 'usage'; usage: Tokens }
  | { type: 'idle' }
  | { type: 'opaque'; dialect: DialectName; kind: string; json: Json }
  | { type: 'finish'; why: Why; stopSequence?: string; detail?: string; ext?: Ext; choice?: number }
  | { type: 'fail'; fault: Fault }

export type Head =
  | { type: 'text' | 'refusal'; phase?: 'commentary' | 'final' }
  | { type: 'thought'; redacted?: boolean }
  | { type: 'call'; id: string; name: string; namespace?: string; freeform?: boolean; by?: 'server' }
  | { type: 'result'; callId: string; name?: string; by: 'server' }
  | { type: 'media'; kind: Media['kind']; mime?: string }
  | { type: 'opaque'; dialect: DialectName; kind: string }

export type Why =
  | 'end'
  | 'stopSequence'
  | 'length'
  | 'contextFull'
  | 'calls'
  | 'paused'
  | 'refused'
  | 'safety'
  | 'malformedCall'
  | 'other'

export type FaultKind =
  | 'invalid'
  | 'tooLong'
  | 'tooLarge'
  | 'auth'
  | 'forbidden'
  | 'notFound'
  | 'payment'
  | 'rateLimited'
  | 'quota'
  | 'overloaded'
  | 'timeout'
  | 'upstream'
  | 'sealRefused'
  | 'truncated'

/** What went wrong, as any dialect can tell it. */
export interface Fault {
  kind: FaultKind
  message: string
  retryAfterMs?: number
  code?: string
  param?: string
}

/** Disjoint, from the upstream only. */
export interface Tokens {
  input: number
  /** thinking is a part of it */
  output: number
  thinking?: number
  cacheRead: number
  cacheWrite: Partial<Record<Ttl, number>>
  webSearches?: number
  tier?: string
}
