// How an upstream is spoken to. One implementation a platform, in a folder each.
import type { IncomingHttpHeaders } from 'node:http'
import type { Credential } from '../core/credential.ts'
import type { AccountFacts } from '../core/snapshot.ts'
import type { Platform as PlatformName } from '../db/schema.ts'
import type { Body, DialectName, Peek } from '../dialect/dialect.ts'
import type { Vendor } from '../dialect/middle/models.ts'
import type { Through } from '../egress/through.ts'
import type { Verdict } from './verdict.ts'

/** What the client asked, as far as a platform needs it. */
export interface UpstreamCall {
  method: string
  /** the route's path, such as `/v1/messages` */
  path: string
  /** the client's query as it came, with `?`, without keys; or '' */
  query: string
  headers: IncomingHttpHeaders
  /** upper-case header values are not joined here: what `Connection` named is dropped by the caller */
}

/** A small request of our own: one that shows whether an account serves a model, or asks which. */
export interface Probe {
  call: UpstreamCall
  body: string
}

/** A finished upstream request: nothing is added to it later. */
export interface UpstreamRequest {
  method: string
  origin: URL
  path: string
  headers: Record<string, string | string[] | number>
  /** the egress proxy that it goes through; set by who sends it, and never by a platform */
  via?: Through
}

/** What is put around requests to an account, and taken off its answers again. Its requests have the fields of v1internal (`Target.internal`). */
export interface Envelope {
  request(body: Body, said: Enveloped): Body
  /**
   * Takes the envelope off an answer, every other byte as it was: of a stream event by event, of a whole answer at its end. What has
   * none passes untouched, as errors do. Made anew for each answer.
   */
  answer(streaming: boolean): { push(chunk: Buffer): Buffer; end(): Buffer }
}

export interface Enveloped {
  /** as the request would be asked without an envelope: `/v1beta/models/x:generateContent` */
  path: string
  /** the session that it belongs to; '': none is known. Only its digest is sent */
  session: string
}

export interface Platform {
  readonly name: PlatformName
  /** the vendor's own origin, where an account names no other */
  readonly home: string
  /** whose its models are: in config/models.json, and in price tables */
  readonly vendor: { readonly facts: Vendor; readonly prices: string }
  /** what it writes into a cache of whom it serves, though the client's dialect may have no word for that */
  readonly unaskedWrites: Peek['cacheWrites']
  /** those in which its accounts may be spoken to: what its clients call its modes and regions is told in them */
  readonly dialects: readonly DialectName[]
  /** The dialect in which an account answers a route. */
  speaks(account: AccountFacts, route: { dialect: DialectName; kind: string }): DialectName
  /** Whether an account counts tokens, where its dialect has that; absent: it does. */
  counts?(account: AccountFacts): boolean
  prepare(call: UpstreamCall, account: AccountFacts, credential: Credential): UpstreamRequest
  /** Undefined, or none by this name: requests of this account go as they are. */
  envelope?(account: AccountFacts, credential: Credential): Envelope | undefined
  /** What an error status means; `body` is its beginning. `now` is Unix ms. */
  judge(status: number, headers: IncomingHttpHeaders, body: string, now: number): Verdict
  /** The same for an error inside a 200. */
  judgeEvent(type: string, message: string, now: number): Verdict
  /** the model of a probe when nobody names one: cheap, and open to every account */
  readonly probeModel: string
  /** The cheapest real request there is, in the dialect of the account. */
  probe(model: string, account: AccountFacts): Probe
  /** The provider's own list of the models that an account serves; absent: there is none, or none that is of use. */
  readonly catalogue?: Catalogue
}

export interface Catalogue {
  /** What to ask, for `prepare`. */
  ask(account: AccountFacts, credential: Credential): Probe
  /** The mapping that an answer makes of `before`, the one that gw knows by itself; undefined for what is no list. */
  mapping(body: string, before: Record<string, string>): Record<string, string> | undefined
}
