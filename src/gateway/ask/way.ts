// Way: how a call goes to one account, and how its answer comes back: bytes that pass, or a translation between two dialects.
import { hash } from 'node:crypto'
import { type AccountFacts, credentialOf } from '../../core/snapshot.ts'
import type { Body, Dialect, DialectName } from '../../dialect/dialect.ts'
import type { AtUrl } from '../../dialect/middle/at-url.ts'
import type { Asking, Settings, Target } from '../../dialect/middle/codec.ts'
import { fieldsOf } from '../../dialect/middle/fields.ts'
import type { Issuer } from '../../dialect/middle/form.ts'
import { factsOf } from '../../dialect/middle/models.ts'
import { Notes } from '../../dialect/middle/notes.ts'
import { editsFor } from '../../dialect/middle/proofs.ts'
import { Translation } from '../../dialect/middle/translation.ts'
import { dialectNamed } from '../../dialect/table.ts'
import { Failure } from '../../lib/failure.ts'
import { version } from '../../lib/version.ts'
import type { Envelope, Platform, UpstreamCall, UpstreamRequest } from '../../platform/platform.ts'
import { platformTable } from '../../platform/table.ts'
import type { Candidate } from '../choose/select.ts'
import type { Caller } from '../enter/authenticate.ts'
import type { Call } from '../enter/receive.ts'
import { isMetered, pathFor } from '../enter/routes.ts'
import type { Gateway } from '../gateway.ts'
import { askOf, learnProofs, type Proofs } from './asked.ts'
import type { FetchedMedia } from './fetch.ts'
import { endToEnd } from './hop.ts'
import { learning, opened, rendition } from './rendition/made.ts'
import type { Rendition } from './rendition/rendition.ts'
import { counted } from './rendition/translating.ts'

export interface Way {
  readonly platform: Platform
  /** the one that the upstream is asked in */
  readonly dialect: DialectName
  readonly request: UpstreamRequest
  readonly body: Body
  /** undefined: bytes pass */
  readonly translated: Translated | undefined
  /** what was left out or changed of the request; undefined: nothing could be */
  readonly notes: Notes | undefined
  /** what the client may have of the answer; `from`: the upstream streams */
  rendition(from: boolean): Rendition
}

export interface Translated {
  /** An upstream's error body, as the client's. */
  error(status: number, body: Buffer, requestId: string): string
}

export interface Going {
  gw: Gateway
  call: Call
  caller: Caller
  candidate: Candidate
  /** what was kept for the call's client */
  proofs: Proofs
  /** what was fetched for this call of what its upstream wants; undefined: nothing */
  fetched: FetchedMedia | undefined
  /** no proofs of reasoning are sent: they were refused */
  unsealed: boolean
}

/** Whether the call and the account speak different dialects. */
export function isTranslated(call: Call, { account }: Candidate): boolean {
  return !passes(call, platformOf(account).speaks(account, call.route))
}

/** Whether what the one could not be told the other cannot either. */
export function isAlike({ route }: Call, one: AccountFacts, other: AccountFacts): boolean {
  const platform = platformOf(one)
  const enveloped = (account: AccountFacts) => platform.envelope?.(account, credentialOf(account)) !== undefined
  return (
    one.platform === other.platform &&
    platform.speaks(one, route) === platform.speaks(other, route) &&
    enveloped(one) === enveloped(other)
  )
}

/** The media of a translated call whose bytes the account's upstream must be given. @throws Failure BODY_INVALID */
export function wantedBy(call: Call, { account }: Candidate): readonly AtUrl[] {
  return dialectNamed(platformOf(account).speaks(account, call.route)).codec?.wanted?.(askOf(call)) ?? none
}
const none: readonly AtUrl[] = []

// What nobody can translate passes, and embeddings are asked only where they are understood.
const passes = ({ dialect, route }: Call, name: DialectName): boolean =>
  name === dialect.name || dialect.codec === undefined || route.kind === 'embed'

/** Whether the account's upstream counts tokens itself. */
export function counts({ account }: Candidate, { dialect, route }: Call): boolean {
  const platform = platformOf(account)
  if (platform.counts?.(account) === false) return false
  const name = platform.speaks(account, route)
  return name === dialect.name || dialectNamed(name).codec?.counting !== undefined
}

/** @throws Failure UNTRANSLATABLE, BODY_INVALID */
export function wayTo(going: Going): Way {
  const { call, candidate } = going
  const { account } = candidate
  const platform = platformOf(account)
  const name = platform.speaks(account, call.route)
  if (passes(call, name)) return passing(going, platform)
  const upstream = dialectNamed(name)
  return call.route.kind === 'count' ? counting(going, platform, upstream) : translating(going, platform, upstream)
}

function passing(going: Going, platform: Platform): Way {
  const { account, upstreamModel } = going.candidate
  const { route, peek, dialect, query, req, stream } = going.call
  const restore = upstreamModel === peek.model ? undefined : peek.model
  const { stripped } = peek
  const shown = { client: dialect, upstream: dialect, to: stream, metered: isMetered(route), restore, stripped }
  const asked = { method: route.method, path: pathFor(route, upstreamModel), query, headers: endToEnd(req) }
  const envelope = platform.envelope?.(account, credentialOf(account))
  if (envelope && route.kind === 'embed')
    throw new Failure('UNTRANSLATABLE', ['model', 'accounts behind Code Assist make no embeddings'])
  const issuer = issuerOf(going)
  const { gw, proofs, unsealed } = going
  const edits = proofs.brought.length === 0 ? undefined : editsOf(proofs, issuer, unsealed)
  const body = peek.mapped(upstreamModel, edits)
  return sent(going, platform, dialect, envelope, asked, body, undefined, leftOut(edits, dialect.name), from => {
    const reader = dialect.proofReader?.()
    const made = rendition({ ...shown, from })
    return reader ? learning(made, reader, found => learnProofs(gw, found, issuer)) : made
  })
}

// Reasoning that was another's is left out with its proof.
function leftOut(edits: ReturnType<typeof editsOf> | undefined, dialect: DialectName): Notes | undefined {
  if (!edits || ![...edits.values()].includes(undefined)) return undefined
  const notes = new Notes()
  notes.drop(fieldsOf({ dialect }).thought)
  return notes
}

// After one was refused none is sent.
function editsOf(
  { brought, issuers }: Proofs,
  target: Issuer,
  unsealed: boolean,
): ReadonlyMap<string, string | undefined> {
  return unsealed
    ? new Map(brought.map(proof => [proof, undefined]))
    : editsFor(brought, target, digest => issuers.get(digest))
}

function translating(going: Going, platform: Platform, upstream: Dialect): Way {
  const { gw, call, candidate, proofs } = going
  const { peek, dialect, stream } = call
  const envelope = platform.envelope?.(candidate.account, credentialOf(candidate.account))
  const translation = new Translation({
    client: dialect.codec!,
    upstream: upstream.codec!,
    ask: askOf(call),
    target: targetOf(going, envelope),
    model: peek.model,
    promptTokens: Math.ceil(peek.promptBytes / BYTES_OF_TOKEN),
    now: gw.now(),
    keep: proofs.keep,
  })
  const shown = { client: dialect, upstream, to: stream, metered: true, restore: undefined, translation }
  const { asking } = translation
  return sent(
    going,
    platform,
    upstream,
    envelope,
    ours(asking, stream),
    bodyOf(asking),
    translation,
    translation.notes,
    from => rendition({ ...shown, from }),
  )
}

function counting(going: Going, platform: Platform, upstream: Dialect): Way {
  const { call, candidate } = going
  const envelope = platform.envelope?.(candidate.account, credentialOf(candidate.account))
  const notes = new Notes()
  const from = upstream.codec!
  const to = call.dialect.codec!
  const asking = from.counting!.encodeAsk(askOf(call), targetOf(going, envelope), notes)
  const error = (status: number, body: Buffer, id: string) => to.writeFault(from.readFault(status, body), status, id)
  const written = (body: Buffer) => {
    const tokens = from.counting!.read(body)
    return tokens === undefined ? undefined : to.counting!.write(tokens)
  }
  return sent(going, platform, upstream, envelope, ours(asking, false), bodyOf(asking), { error }, notes, () =>
    counted(upstream, written),
  )
}

const BYTES_OF_TOKEN = 4

/** Finishes a way: the request as the platform prepares it, and both directions in the envelope that the account may have. */
function sent(
  { call, caller, candidate }: Going,
  platform: Platform,
  dialect: Dialect,
  envelope: Envelope | undefined,
  asked: UpstreamCall,
  plain: Body,
  translated: Translated | undefined,
  notes: Notes | undefined,
  shown: (from: boolean) => Rendition,
): Way {
  const { account } = candidate
  const request = platform.prepare(asked, account, credentialOf(account))
  if (!envelope) return { platform, dialect: dialect.name, request, body: plain, translated, notes, rendition: shown }
  const name = call.peek.session(call.req.headers)
  // Scoped, as all that is kept of sessions: tenants share none.
  const body = envelope.request(plain, { path: asked.path, session: name === '' ? '' : `${caller.key.id} ${name}` })
  const out = (from: boolean) => opened(shown(from), envelope.answer(from))
  return { platform, dialect: dialect.name, request, body, translated, notes, rendition: out }
}

// Nothing of the client's own headers is true of a request that is ours.
function ours({ path, query, headers }: Asking, stream: boolean): UpstreamCall {
  const plain = {
    'content-type': 'application/json',
    accept: stream ? 'text/event-stream' : 'application/json',
    'user-agent': `gw/${version}`,
  }
  return { method: 'POST', path, query, headers: { ...plain, ...headers } }
}

function bodyOf({ body }: Asking): Body {
  const bytes = Buffer.from(body)
  return { pieces: [bytes], bytes: bytes.length }
}

// A key per session and client key, as a digest: the vendor learns that prompts begin alike, and of whom nothing.
function settingsOf({ gw, call, caller }: Going): Settings {
  const autoCache = gw.config['translate.auto_cache']
  return {
    autoCache,
    // Worked out where it is asked for.
    get cacheKey() {
      const session = autoCache ? call.peek.session(call.req.headers) : ''
      return session === '' ? undefined : hash('sha256', `${caller.key.id} ${session}`).slice(0, 32)
    },
  }
}

const platformOf = ({ platform }: AccountFacts): Platform => platformTable[platform]

function targetOf(going: Going, envelope: Envelope | undefined): Target {
  const { candidate, proofs, fetched, unsealed } = going
  const { account, upstreamModel: model } = candidate
  return {
    model,
    facts: factsOf(platformOf(account).vendor.facts, model),
    own: knownOf(account).own,
    internal: envelope !== undefined,
    issuer: issuerOf(going),
    kept: key => proofs.kept.get(key),
    seals: !unsealed,
    fetched,
    settings: settingsOf(going),
  }
}

interface Known {
  /** it is the vendor's own server, and not one that only speaks its dialect */
  own: boolean
  /** of the proofs that it issues */
  scope: string
}
// Facts are replaced, never changed, so what is worked out of one lives as long as it.
const known = new WeakMap<AccountFacts, Known>()

function knownOf(account: AccountFacts): Known {
  let found = known.get(account)
  if (!found) {
    const { id, baseUrl } = account
    const own = baseUrl === null || new URL(baseUrl).origin === platformOf(account).home
    // A proof is good where it was issued; that two accounts are of one organisation nobody tells us.
    found = { own, scope: hash('sha256', `account ${id}`).slice(0, 8) }
    known.set(account, found)
  }
  return found
}

function issuerOf({ candidate: { account, upstreamModel: model } }: Going): Issuer {
  return { platform: account.platform, scope: knownOf(account).scope, model }
}
