// What the scripted provider saw and said: the record of a request, and the sums tests compare with.
import type { IncomingHttpHeaders } from 'node:http'
import type { Counts, Usage } from './step.ts'

/**
 * How a request ended.
 * - `open`: it has not ended.
 * - `completed`: the whole reply was handed to the socket.
 * - `aborted`: the client went away first.
 * - `cut`: the script broke it off (`reset`, `close`, `end`).
 */
export type Outcome = 'open' | 'completed' | 'aborted' | 'cut'

/** One request and what became of it. Times are those of `MockOptions.now`. */
export interface Seen {
  /** As the response header `x-mock-request-id` said, and the vendor's own if it has one. */
  id: string
  credential: string
  method: string
  path: string
  query: string
  /** Lower-case names. */
  headers: IncomingHttpHeaders
  /** The TCP connection it came on, counted from 1: the same number means the connection was reused. */
  connection: number
  at: number
  /** What the body names; empty until the body is there, and when it names none. */
  model: string
  stream: boolean
  /** Size of the body as it came over the wire. */
  bytes: number
  /** Of those bytes, hex. */
  sha256: string
  /** Those bytes as text; null above 64 KiB. */
  body: string | null
  /** Null when no response head was sent. */
  status: number | null
  /** Events (or halves of a body) sent in full. */
  events: number
  outcome: Outcome
  closedAt: number | null
  /** Size of the response body that was sent, as compressed, without the framing of HTTP. */
  responseBytes: number
  /** Of those bytes, hex. */
  responseSha256: string
  /** What the reply reported; null unless it was told in full. */
  usage: Usage | null
}

/** What a reply may be counted as, besides what all are. */
export type Counted = 'refreshes' | 'refusedTokens' | 'refusedProofs'

/** Counted since the start or the last `reset()`. */
export interface Stats {
  requests: number
  /** Requests whose reply has not ended. The last bytes of a reply leave after it was taken off. */
  inFlight: number
  /** The largest `inFlight` seen. */
  maxConcurrency: number
  /** Requests that wait at a `hold` point right now. */
  holding: number
  completed: number
  aborted: number
  cut: number
  /** Requests that met `expect: 'nothing more'`. */
  unexpected: number
  /** Tokens that the token endpoint gave for a refresh token. */
  refreshes: number
  /** Refusals of the token endpoint: a refresh token that was used before. */
  refusedTokens: number
  /** Refusals of proofs of thinking that are not the credential's own (`Step.proofs`). */
  refusedProofs: number
  /** When a client last went away early; null when none did. */
  lastAbortAt: number | null
  /** When a request last ended, however it did; null when none has. */
  closedAt: number | null
  /** Response heads sent, by status. */
  statuses: Record<string, number>
  /** The sums of what replies reported in full: the truth that a ledger must come to. */
  billed: Counts & { requests: number }
  /** The last requests, oldest first; empty while recording is off. */
  bodies: Seen[]
}

export const noCounts: Readonly<Counts> = Object.freeze({
  input_tokens: 0,
  output_tokens: 0,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
  ephemeral_5m_input_tokens: 0,
  ephemeral_1h_input_tokens: 0,
  ttl_30m_tokens: 0,
  ttl_12h_tokens: 0,
  web_search_requests: 0,
})

/** Sums as they are kept; the records beside them carry the raw body, which is turned into text only when read. */
export type Sums = Omit<Stats, 'bodies'> & { rows: Row[] }

export interface Row {
  seen: Omit<Seen, 'body'>
  /** Null when it is too large to be kept. */
  raw: Buffer | null
}

export function emptySums(): Sums {
  return {
    requests: 0,
    inFlight: 0,
    maxConcurrency: 0,
    holding: 0,
    completed: 0,
    aborted: 0,
    cut: 0,
    unexpected: 0,
    refreshes: 0,
    refusedTokens: 0,
    refusedProofs: 0,
    lastAbortAt: null,
    closedAt: null,
    statuses: {},
    billed: { requests: 0, ...noCounts },
    rows: [],
  }
}

/** A copy that later requests do not change. */
export function statsOf(sums: Sums): Stats {
  return { ...sumsIn(sums), bodies: seenIn(sums) }
}

/** The same for who looks at once: thousands of records are copied only when they are looked at. */
export function viewOf(sums: Sums): Stats {
  return {
    ...sumsIn(sums),
    get bodies() {
      return seenIn(sums)
    },
  }
}

const sumsIn = ({ rows: _, ...sums }: Sums): Omit<Stats, 'bodies'> => ({
  ...sums,
  statuses: { ...sums.statuses },
  billed: { ...sums.billed },
})

const seenIn = ({ rows }: Sums): Seen[] =>
  rows.map(({ seen, raw }) => ({
    ...seen,
    get body() {
      return raw?.toString() ?? null
    },
  }))
