// Everything that became of one request. Rooms write to it, no room reads it; usage, metrics, log and views are folds over it.

import type { Meter } from '../dialect/dialect.ts'
import { noUsage, type Usage } from '../dialect/usage.ts'
import type { Failure } from '../lib/failure.ts'
import type { Nano } from '../lib/money.ts'
import type { Trace } from './trace.ts'

/** What is known of a request when it arrives; handed down the corridor and read there. */
export interface Ticket {
  readonly id: string
  /** Unix ms when it began */
  readonly at: number
  readonly method: string
  /** path without the query, since a query may carry a key, and with `***` for what looks like one in it */
  readonly path: string
  readonly ip: string
}

/** One try at one account. */
export interface AttemptRecord {
  accountId: number
  account: string
  platform: string
  /** ms after the request began */
  startedMs: number
  endedMs: number
  /** HTTP status of the upstream, 0 when none came */
  status: number
  /** why it was not used: `connect ECONNREFUSED`, `overloaded` … ; empty when it answered */
  error: string
  /**
   * what that means: a class of platform/verdict.ts, `stale` for a kept-alive connection that was closed under us and `proofs` for
   * proofs of reasoning that were refused (it was asked again), or `client` where the request itself was at fault;
   * '' when it answered, or was ended by somebody else
   */
  kind: string
  /** how its answer broke off, in Envoy's words: UF UC UT UPE UR; '' when it came whole, whatever it said */
  cause: string
  /** the error type in the upstream's own words (`overloaded_error`), '' when it gave none */
  errorType: string
  /** its finer word (`insufficient_quota`), or its number; '' likewise */
  errorCode: string
  /** what it said, redacted, at most 2 KB; '' unless it was an error */
  excerpt: string
  /** its own id of the request, '' when it gave none */
  requestId: string
  /** its span, told to the upstream; '' when the request is not traced */
  spanId: string
  /** what the choice of this account saw */
  selection: SelectionRecord | null
  /** name of the egress proxy that it went through, '' for none */
  via: string
  /** Unix ms until which the account is left alone for it, 0 when it is not */
  until: number
  /** the same account is asked once more, and how: on another connection, without proofs of reasoning, with a new token */
  again: '' | 'fresh' | 'unsealed' | 'renewed'
}

/** Why an account could not be chosen, at that moment. */
export interface VetoRecord {
  readonly account: {
    readonly id: number
    readonly name: string
    readonly priority: number
    readonly reason: string | null
  }
  readonly why: { readonly reason: string; readonly until: number }
}

/**
 * What a selection saw, by reference: whoever asks why can work it out from this, nobody else pays for it. Only what is true of
 * a moment is written down then: loads, and why somebody was out.
 */
export interface SelectionRecord {
  /** Unix ms */
  readonly at: number
  /** the account the session was bound to */
  readonly sticky: number | undefined
  /** those that were looked at */
  readonly accounts: readonly CandidateFacts[]
  /** requests under way at each of them */
  readonly held: readonly number[]
  /** those that could have served it, best first */
  readonly ranked: readonly RankedRecord[]
  /** healthy and serving the model, but full; ids. Of those that are ranked, too, somebody else took the last place */
  readonly full: readonly number[]
  /** those that were out; undefined: none. Who is neither ranked, full nor here was left out for what this request had met */
  readonly vetoes: readonly VetoRecord[] | undefined
  /** what the caller may use beside these, and nobody looked at */
  others: number
  /**
   * `look`: the accounts were looked at. `waiting`: the same by one who waits in the queue, where the latest stands for all.
   * `freed`: a place came free and was taken, no other was looked at. `beside`: a road that takes no places, loads do not count.
   */
  how: 'look' | 'waiting' | 'freed' | 'beside'
  /** how many looks it stands for */
  looks: number
  /** id of the account that was taken; 0: none */
  taken: number
}

export interface CandidateFacts {
  readonly id: number
  readonly name: string
  readonly priority: number
  /** 0 or less: no limit */
  readonly concurrency: number
}

export interface RankedRecord {
  readonly account: CandidateFacts
  /** share of its concurrency that was taken */
  readonly load: number
  /** requests under way at it */
  readonly held: number
  /** when it was last chosen, as a growing number; 0: never */
  readonly chosen: number
}

/** A wait for a place, that is over. */
export interface WaitRecord {
  readonly what: 'user' | 'key' | 'account'
  /** ms after the request began */
  readonly startedMs: number
  readonly ms: number
}

/** An amount that was put aside. */
export interface ReserveRecord {
  readonly bucket: string
  readonly amount: Nano
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

const nothing: readonly never[] = []

/** Ids and names only: what is kept or logged of a request must not keep alive, or tell, what it was served with. */
export class Outcome implements Ticket {
  readonly id: string
  readonly at: number
  readonly method: string
  readonly path: string
  readonly ip: string
  /** the path in the table of routes (`/v1beta/models/{model}:generateContent`), '' where there is none */
  route = ''
  /** the trace it belongs to; undefined: OpenTelemetry is off */
  trace: Trace | undefined = undefined
  /** where it stands among those under way */
  place = -1
  phase: Phase = 'receiving'
  /** Unix ms since when it waits for a place, 0 while it does not */
  waitingSince = 0
  /** ms it waited in all */
  waitedMs = 0
  /** ms after it began when its body was whole and understood, 0 when it never was */
  receivedMs = 0
  /** 0 and '' until its key is known */
  userId = 0
  user = ''
  keyId = 0
  key = ''
  groupId: number | null = null
  group: string | null = null
  billing: 'balance' | 'subscription' = 'balance'
  /** the subscription that pays, null where the balance does */
  subscription: number | null = null
  platform = ''
  model = ''
  upstreamModel = ''
  upstreamRequestId = ''
  stream = false
  /** whether it is a metered call: usage and models requests are not */
  metered = false
  attempts: AttemptRecord[] = []
  /** what each choice of an account saw, also those that found none */
  readonly choices: SelectionRecord[] = []
  /** its waits for places; most have none */
  waits: readonly WaitRecord[] = nothing
  /** answered here, as a warmup request */
  intercepted = false
  /** the account that was asked last */
  accountId: number | null = null
  account: string | null = null
  /** status the client saw; 499 when it left */
  status = 0
  /** what ended it, undefined when it went well */
  failure: Failure | undefined = undefined
  /** why, in words for operators; an upstream's error inside an answer is told here, too */
  error = ''
  usage: Usage = noUsage()
  /** the upstream answered, but its final usage never came */
  partial = false
  /** how much the client got of an answer that is none of our own: an error is none of one */
  completion: 'none' | 'partial' | 'complete' = 'none'
  /** the dialects in which it was asked, and in which its last account was; '' until they are known */
  dialect = ''
  upstreamDialect = ''
  /** what a translation left out or changed of the request, by the client's own names; `~` marks what was changed */
  dropped: readonly string[] = []
  cost: Nano = 0n
  charged: Nano = 0n
  /** where the price is from: layer and model, `fallback:` before them, or `free`; '' when none was asked for */
  price = ''
  /** reads the answer while it passes, so that what has come so far can be told; nobody's when the request is over */
  meter: Pick<Meter, 'usage' | 'emitted'> | undefined = undefined
  /** tokens of it that live rates have counted already, and the platform by whose name they did; '' while that is not known */
  counted = 0
  countedAs = ''
  /** since when that price is in force, Unix ms */
  priceFrom = 0
  /** the group's, in ten-thousandths */
  multiplier: bigint = 10_000n
  /** what was put aside before it was sent */
  reserve: readonly ReserveRecord[] = nothing
  /** what became of that; `none`: nothing was put aside, and nothing used */
  settlement: 'none' | 'reserved' | 'released' | 'booked' = 'none'
  /** ms after the request began, 0 when no token came */
  firstTokenMs = 0
  durationMs = 0

  constructor({ id, at, method, path, ip }: Ticket) {
    this.id = id
    this.at = at
    this.method = method
    this.path = path
    this.ip = ip
  }

  /** Begins an attempt at an account. `now` is Unix ms. */
  attempt(
    account: { id: number; name: string; platform?: string; proxy?: { name: string } | null },
    now: number,
  ): AttemptRecord {
    this.accountId = account.id
    this.account = account.name
    this.upstreamRequestId = ''
    const record: AttemptRecord = {
      accountId: account.id,
      account: account.name,
      platform: account.platform ?? '',
      startedMs: now - this.at,
      endedMs: 0,
      status: 0,
      error: '',
      kind: '',
      cause: '',
      errorType: '',
      errorCode: '',
      excerpt: '',
      requestId: '',
      spanId: '',
      selection: this.choices.at(-1) ?? null,
      via: account.proxy?.name ?? '',
      until: 0,
      again: '',
    }
    this.attempts.push(record)
    return record
  }

  /** Takes in a choice. Who waits looks each second: of those looks in a row the last is kept. */
  chose(selection: SelectionRecord): void {
    const { choices } = this
    const last = choices.at(-1)
    if (last?.how !== 'waiting' || selection.how !== 'waiting' || last.taken !== 0) choices.push(selection)
    else {
      selection.looks += last.looks
      choices[choices.length - 1] = selection
    }
  }

  /** The wait that began at `waitingSince` is over. `now` is Unix ms. */
  waited(what: WaitRecord['what'], now: number): void {
    const ms = now - this.waitingSince
    this.waits = [...this.waits, { what, startedMs: this.waitingSince - this.at, ms }]
    this.waitedMs += ms
    this.waitingSince = 0
  }

  /** Code of the failure that ended it, '' when it went well. */
  get code(): string {
    return this.failure?.code ?? ''
  }
}

/** One fold over Outcomes. It must not throw and must not wait. */
export interface Fold {
  began?(outcome: Outcome): void
  ended(outcome: Outcome): void
}
