// How an upstream is spoken to. One implementation a platform, in a folder each.
import type { IncomingHttpHeaders } from 'node:http'
import type { AccountFacts } from '../core/snapshot.ts'
import type { Platform as PlatformName } from '../db/schema.ts'

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

/** A finished upstream request: nothing is added to it later. */
export interface UpstreamRequest {
  method: string
  origin: URL
  path: string
  headers: Record<string, string | string[] | number>
}

/** What an upstream's status means for the request. */
export type Verdict =
  /** the client's own: relay it as it came */
  | { relay: true }
  /** this account cannot serve it now: try another */
  | { relay: false; reason: string }

export interface Platform {
  readonly name: PlatformName
  prepare(call: UpstreamCall, account: AccountFacts): UpstreamRequest
  judge(status: number, headers: IncomingHttpHeaders): Verdict
}
