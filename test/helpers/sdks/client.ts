// An official client, with one face for all: what a program asks through it, and what its SDK hands back.

/** A call as a client's SDK hands it to a program, its arguments read. */
export interface Called {
  id: string
  name: string
  input: unknown
}

/** What came of a call, as a program gives it back. */
export interface Result {
  call: Called
  text: string
  error?: boolean
  /** base64 of a PNG, beside the text */
  image?: string
}

/** One turn: of the user, an answer as the SDK gave it, the results of its calls. */
export type Turn = { user: string; image?: string } | { answer: Told } | { results: Result[] }

export interface Ask {
  model: string
  stream: boolean
  turns: Turn[]
  /** with the tool `look` */
  tools?: boolean
  /** reasoning is asked for, and its summary */
  thinking?: boolean
  signal?: AbortSignal
  /** hears each piece of text of a stream */
  onText?(piece: string): void
}

/** Tokens as the SDK reports them, all of the prompt in one. */
export interface Counted {
  input: number
  output: number
  cached: number
}

export interface Told {
  text: string
  calls: Called[]
  /** reasoning that a program can read */
  thought?: string
  /** as the answer names it */
  model: string
  /** the client's own word for the end */
  stop: string
  /** it was said to be a refusal, beside the word for the end */
  refused?: boolean
  usage: Counted
  /** what goes into the history, as the client keeps it */
  kept: unknown
}

/** Where a client finds its gateway. */
export interface Door {
  url: string
  key: string
  /** of the client's own; 0 in most cases, so that every request that is made is seen */
  retries: number
  /** counts its requests */
  fetch: typeof fetch
}

/** An error, as a program catches it. */
export interface Caught {
  /** its class */
  kind: string
  status: number | undefined
  /** the header, where the class lets a program read it */
  retryAfter?: string | undefined
}

export interface Client {
  /** the model that such clients name by themselves */
  model: string
  ask(door: Door, ask: Ask): Promise<Told>
  /** An answer of the shape {city, degrees}, by the SDK's own way to get one. */
  parse(door: Door, model: string, stream: boolean): Promise<unknown>
  /** Tokens of a prompt, where it can ask. */
  count?(door: Door, model: string): Promise<number | undefined>
  /** Ids of the models, where it can ask. */
  list?(door: Door): Promise<string[]>
  caught(error: unknown): Caught
  /** its words for the end of an answer */
  stops: { end: string; calls: string; length: string; refused: string; blocked: string }
  /** class of an error by what went wrong; `broken` is in mid-stream, `aborted` the program's own wish */
  errors: Record<'invalid' | 'key' | 'missing' | 'limited' | 'overloaded' | 'broken' | 'aborted', string>
  /** the status of an error in mid-stream: of HTTP none was left to say */
  brokenStatus?: number
  /** it writes an error as a JSON object in the text, which Gemini reads as one */
  errorIsObject?: true
  /** what the SDK cannot say or do, and why */
  lacks?: {
    /** a result of a tool with an image */
    image?: string
    /** reasoning, to its program */
    thought?: string
    /** that a result is an error, in a field of its own */
    error?: string
    /** `retry-after` in its errors */
    retryAfter?: string
    /** a pause before it retries that the server chooses */
    patience?: string
  }
}
