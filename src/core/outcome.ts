// Everything that became of one request. Rooms write to it, no room reads it; usage, metrics, log and views are folds over it.

import type { Usage } from '../dialect/usage.ts'
import type { Nano } from '../lib/money.ts'
import type { AccountFacts, GroupFacts, KeyFacts } from './snapshot.ts'

/** One try at one account. */
export interface AttemptRecord {
  account: AccountFacts
  /** ms after the request began */
  startedMs: number
  endedMs: number
  /** HTTP status of the upstream, 0 when none came */
  status: number
  /** why it was not used: `connect ECONNREFUSED`, `overloaded_error` … ; empty when it answered */
  error: string
}

/** What the last selection saw: every account with its score or why it was left out. */
export interface SelectionRecord {
  /** Unix ms */
  at: number
  /** the account the session was bound to */
  sticky: number | undefined
  candidates: {
    account: number
    name: string
    priority: number
    /** share of its concurrency that was taken */
    load: number
    /** a growing number; 0 was never chosen */
    chosen: number
    veto: string | null
  }[]
}

/** How far a request is; the order is the order of its life. */
export type Phase =
  | 'receiving'
  | 'admitting'
  | 'selecting'
  | 'queueing'
  | 'connecting'
  | 'waiting'
  | 'streaming'
  | 'draining'
  | 'done'

export interface Outcome {
  readonly id: string
  /** Unix ms when it began */
  readonly at: number
  phase: Phase
  /** Unix ms since when it waits for a place, 0 while it does not */
  waitingSince: number
  /** ms it waited in all */
  waitedMs: number
  method: string
  /** path without the query: a query may carry a key */
  path: string
  ip: string
  key: KeyFacts | null
  group: GroupFacts | null
  /** the subscription that pays, null where the balance does */
  subscription: number | null
  platform: string
  model: string
  upstreamModel: string
  upstreamRequestId: string
  stream: boolean
  /** whether it is a metered call: usage and models requests are not */
  metered: boolean
  attempts: AttemptRecord[]
  selection: SelectionRecord | null
  /** answered here, as a warmup request */
  intercepted: boolean
  account: AccountFacts | null
  /** status the client saw; 499 when it left */
  status: number
  /** code of the failure that ended it, empty when it went well */
  code: string
  error: string
  usage: Usage
  /** the upstream answered, but its final usage never came */
  partial: boolean
  cost: Nano
  charged: Nano
  price: string
  /** ms after the request began, 0 when no token came */
  firstTokenMs: number
  durationMs: number
}
