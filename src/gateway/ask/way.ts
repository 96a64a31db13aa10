// Way: how a call goes to one account, and how its answer comes back: bytes that pass, or a translation between two dialects.
import { hash } from 'node:crypto'
import type { AccountFacts } from '../../core/snapshot.ts'
import { credentialOf } from '../../core/snapshot.ts'
import type { Body } from '../../dialect/dialect.ts'
import type { Kept, Target } from '../../dialect/middle/codec.ts'
import { factsOf, type Vendor } from '../../dialect/middle/models.ts'
import { Translation } from '../../dialect/middle/translation.ts'
import { dialectNamed } from '../../dialect/table.ts'
import { version } from '../../lib/version.ts'
import type { Platform, UpstreamRequest } from '../../platform/platform.ts'
import { platformTable } from '../../platform/table.ts'
import type { Candidate } from '../choose/select.ts'
import type { Call } from '../enter/receive.ts'
import { pathFor } from '../enter/routes.ts'
import type { Gateway } from '../gateway.ts'
import { askOf, type Proofs } from './asked.ts'
import { endToEnd } from './hop.ts'
import { type Rendition, rendition } from './rendition.ts'

export interface Way {
  readonly platform: Platform
  readonly request: UpstreamRequest
  readonly body: Body
  /** undefined: bytes pass */
  readonly translation: Translation | undefined
  /** what the client may have of the answer; `from`: the upstream streams */
  rendition(from: boolean): Rendition
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
  return platformTable[account.platform]!.speaks(account, route) !== dialect.name
}

/** @throws Failure UNTRANSLATABLE, BODY_INVALID */
export function wayTo({ gw, call, candidate, proofs, unsealed }: Going): Way {
  const { account, upstreamModel } = candidate
  const { route, peek, dialect } = call
  const platform = platformTable[account.platform]!
  const name = platform.speaks(account, route)
  const passes = name === dialect.name
  const upstream = passes ? dialect : dialectNamed(name)
  const credential = credentialOf(account)
  const metered = route.kind === 'generate' || route.kind === 'embed'
  const rendered = { client: dialect, upstream, to: call.stream, metered }
  if (passes) {
    const headers = endToEnd(call.req)
    const path = pathFor(route, upstreamModel)
    return {
      platform,
      request: platform.prepare({ method: route.method, path, query: call.query, headers }, account, credential),
      body: peek.mapped(upstreamModel),
      translation: undefined,
      rendition: from =>
        rendition({ ...rendered, from, restore: upstreamModel === peek.model ? undefined : peek.model }),
    }
  }
  const translation = new Translation({
    client: dialect.codec!,
    upstream: upstream.codec!,
    ask: askOf(call),
    target: targetOf(gw, account, upstreamModel, proofs, !unsealed),
    model: peek.model,
    promptTokens: Math.ceil(peek.promptBytes / BYTES_OF_TOKEN),
    now: gw.now(),
    keep: proofs.keep,
  })
  const { path, query, headers, body } = translation.asking
  const said = Buffer.from(body)
  const call_ = { method: 'POST', path, query, headers: { ...plainHeaders(call.stream), ...headers } }
  return {
    platform,
    request: platform.prepare(call_, account, credential),
    body: { pieces: [said], bytes: said.length },
    translation,
    rendition: from => rendition({ ...rendered, from, restore: undefined, translation }),
  }
}

const BYTES_OF_TOKEN = 4

// Of a request that is ours: nothing of the client's own is true of it any more.
const plainHeaders = (stream: boolean) => ({
  'content-type': 'application/json',
  accept: stream ? 'text/event-stream' : 'application/json',
  'user-agent': `gw/${version}`,
})

const vendors: Record<string, Vendor> = { antigravity: 'gemini' }

function targetOf(gw: Gateway, account: AccountFacts, model: string, proofs: Proofs, seals: boolean): Target {
  const { platform } = account
  return {
    model,
    facts: factsOf(vendors[platform] ?? (platform as Vendor), model),
    own: isOwn(account),
    internal: false,
    issuer: { platform, scope: scopeOf(account), model },
    kept: key => proofs.kept.get(key) as Kept | undefined,
    seals,
    settings: { autoCache: gw.config['translate.auto_cache'] },
  }
}

/** Whether it is the vendor's own server, and not one that only speaks its dialect. */
function isOwn({ platform, baseUrl }: AccountFacts): boolean {
  return baseUrl === null || new URL(baseUrl).origin === platformTable[platform]!.home
}

// A proof is good where it was issued; that two accounts are of one organisation nobody tells us.
function scopeOf({ id }: AccountFacts): string {
  return hash('sha256', `account ${id}`).slice(0, 8)
}
