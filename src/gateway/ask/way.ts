// Way: how a call goes to one account, and how its answer comes back: bytes that pass, or a translation between two dialects.
import { hash } from 'node:crypto'
import { type AccountFacts, credentialOf } from '../../core/snapshot.ts'
import type { Body, Dialect, DialectName } from '../../dialect/dialect.ts'
import type { Asking, Target } from '../../dialect/middle/codec.ts'
import { factsOf, type Vendor } from '../../dialect/middle/models.ts'
import { Notes } from '../../dialect/middle/notes.ts'
import { Translation } from '../../dialect/middle/translation.ts'
import { dialectNamed } from '../../dialect/table.ts'
import { version } from '../../lib/version.ts'
import type { Platform, UpstreamCall, UpstreamRequest } from '../../platform/platform.ts'
import { platformTable } from '../../platform/table.ts'
import type { Candidate } from '../choose/select.ts'
import type { Call } from '../enter/receive.ts'
import { isMetered, pathFor, type Route } from '../enter/routes.ts'
import type { Gateway } from '../gateway.ts'
import { askOf, type Proofs } from './asked.ts'
import { endToEnd } from './hop.ts'
import { counted, type Rendition, rendition } from './rendition.ts'

export interface Way {
  readonly platform: Platform
  /** the one that the upstream is asked in */
  readonly dialect: DialectName
  readonly request: UpstreamRequest
  readonly body: Body
  /** undefined: bytes pass */
  readonly translated: Translated | undefined
  /** what the client may have of the answer; `from`: the upstream streams */
  rendition(from: boolean): Rendition
}

export interface Translated {
  /** what was left out or changed of the request */
  readonly notes: Notes
  /** An upstream's error body, as the client's. */
  error(status: number, body: Buffer, requestId: string): string
}

export interface Going {
  gw: Gateway
  call: Call
  candidate: Candidate
  /** what was kept for the call's client */
  proofs: Proofs
  /** no proofs of reasoning are sent: they were refused */
  unsealed: boolean
}

/** Whether the call and the account speak different dialects. */
export function isTranslated({ dialect, route }: Call, { account }: Candidate): boolean {
  return platformOf(account).speaks(account, route) !== dialect.name
}

/** Whether the account's upstream counts tokens itself. */
export function counts({ account }: Candidate, route: Route): boolean {
  const platform = platformOf(account)
  return (
    dialectNamed(platform.speaks(account, route)).codec?.counting !== undefined && platform.counts?.(account) !== false
  )
}

/** @throws Failure UNTRANSLATABLE, BODY_INVALID */
export function wayTo(going: Going): Way {
  const { call, candidate } = going
  const { account } = candidate
  const platform = platformOf(account)
  const name = platform.speaks(account, call.route)
  if (name === call.dialect.name) return passing(going, platform)
  const upstream = dialectNamed(name)
  return call.route.kind === 'count' ? counting(going, platform, upstream) : translating(going, platform, upstream)
}

function passing({ call, candidate }: Going, platform: Platform): Way {
  const { account, upstreamModel } = candidate
  const { route, peek, dialect, query } = call
  const restore = upstreamModel === peek.model ? undefined : peek.model
  const { stripped } = peek
  const shown = { client: dialect, upstream: dialect, to: call.stream, metered: isMetered(route), restore, stripped }
  const asked = { method: route.method, path: pathFor(route, upstreamModel), query, headers: endToEnd(call.req) }
  return {
    platform,
    dialect: dialect.name,
    request: platform.prepare(asked, account, credentialOf(account)),
    body: peek.mapped(upstreamModel),
    translated: undefined,
    rendition: from => rendition({ ...shown, from }),
  }
}

function translating(going: Going, platform: Platform, upstream: Dialect): Way {
  const { gw, call, candidate, proofs } = going
  const { peek, dialect } = call
  const translation = new Translation({
    client: dialect.codec!,
    upstream: upstream.codec!,
    ask: askOf(call),
    target: targetOf(going),
    model: peek.model,
    promptTokens: Math.ceil(peek.promptBytes / BYTES_OF_TOKEN),
    now: gw.now(),
    keep: proofs.keep,
  })
  const shown = { client: dialect, upstream, to: call.stream, metered: true, restore: undefined, translation }
  return {
    ...ours(platform, upstream, candidate.account, translation.asking, call.stream),
    translated: translation,
    rendition: from => rendition({ ...shown, from }),
  }
}

function counting(going: Going, platform: Platform, upstream: Dialect): Way {
  const { call, candidate } = going
  const notes = new Notes()
  const from = upstream.codec!
  const to = call.dialect.codec!
  const asking = from.counting!.encodeAsk(askOf(call), targetOf(going), notes)
  const error = (status: number, body: Buffer, id: string) => to.writeFault(from.readFault(status, body), status, id)
  const written = (body: Buffer) => {
    const tokens = from.counting!.read(body)
    return tokens === undefined ? undefined : to.counting!.write(tokens)
  }
  return {
    ...ours(platform, upstream, candidate.account, asking, false),
    translated: { notes, error },
    rendition: () => counted(upstream, written),
  }
}

const BYTES_OF_TOKEN = 4

// Nothing of the client's own headers is true of a request that is ours.
function ours(platform: Platform, upstream: Dialect, account: AccountFacts, asking: Asking, stream: boolean) {
  const { path, query } = asking
  const call: UpstreamCall = {
    method: 'POST',
    path,
    query,
    headers: {
      'content-type': 'application/json',
      accept: stream ? 'text/event-stream' : 'application/json',
      'user-agent': `gw/${version}`,
      ...asking.headers,
    },
  }
  const body = Buffer.from(asking.body)
  return {
    platform,
    dialect: upstream.name,
    request: platform.prepare(call, account, credentialOf(account)),
    body: { pieces: [body], bytes: body.length },
  }
}

const platformOf = ({ platform }: AccountFacts): Platform => platformTable[platform]!

const vendors: Partial<Record<string, Vendor>> = { antigravity: 'gemini' }

function targetOf({ gw, candidate, proofs, unsealed }: Going): Target {
  const { account, upstreamModel: model } = candidate
  const { platform } = account
  return {
    model,
    facts: factsOf(vendors[platform] ?? (platform as Vendor), model),
    own: isOwn(account),
    internal: false,
    issuer: { platform, scope: scopeOf(account), model },
    kept: key => proofs.kept.get(key),
    seals: !unsealed,
    settings: { autoCache: gw.config['translate.auto_cache'] },
  }
}

/** Whether it is the vendor's own server, and not one that only speaks its dialect. */
function isOwn(account: AccountFacts): boolean {
  return account.baseUrl === null || new URL(account.baseUrl).origin === platformOf(account).home
}

// A proof is good where it was issued; that two accounts are of one organisation nobody tells us.
function scopeOf({ id }: AccountFacts): string {
  return hash('sha256', `account ${id}`).slice(0, 8)
}
