// What a provider's dialect gives to the engine: a reply in pieces, without regard to how it is sent.
import type { Call, Head } from './call.ts'
import type { Tokens } from './oauth/tokens.ts'
import type { Counted } from './stats.ts'
import type { Step, Usage } from './step.ts'

/** One server-sent event. */
export interface Event {
  /** The `event:` line; none when absent. */
  name?: string
  /** The `data:` line. */
  data: string
}

/** What is to be said to one request. */
export interface Reply {
  status: number
  /** Lower-case names; without the request id, which is different every time. */
  headers: Record<string, string | string[]>
  /** One buffer per event; of a reply that is no stream, its halves. */
  pieces: Buffer[]
  stream: boolean
  /** The tokens it reports, or null when it reports none, or not all. */
  usage: Usage | null
  /** The usage is fully told once this many pieces are out. */
  billedAfter: number
  /** Every request with this path, model, stream flag and size gets the same bytes, so they need to be made only once. */
  keep: boolean
  /** the sum that it is counted in, besides those of all */
  counts?: Counted
}

export interface Dialect {
  /** The response header that carries the request id, or null when this provider gives none. */
  idHeader: string | null
  /** A request id as this provider would give it. */
  newId(n: number): string
  /** Whether a request is in this dialect. */
  owns(head: Head): boolean
  /** What is said elsewhere than in the body. */
  read?(head: Head): { model?: string; stream?: boolean }
  /** For all its requests, which bring none of their own. */
  credential?: string
  /** What the step makes of the request. */
  answer(call: Call, step: Step, tokens: Tokens): Reply
}
