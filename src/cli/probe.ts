// One small real request through one account, straight to its upstream: what `gw account test` does.

import type { Credential } from '../core/credential.ts'
import type { Account } from '../core/record/account.ts'
import type { AccountFacts } from '../core/snapshot.ts'
import type { Answer } from '../egress/ask.ts'
import { type Guard, isGuards } from '../lib/guard/guard.ts'
import { codeOf } from '../lib/own-trouble.ts'
import { Refusal } from '../lib/refusal.ts'
import type { Envelope, Platform } from '../platform/platform.ts'
import type { Declined, Verdict } from '../platform/verdict.ts'
import type { Invocation } from './command.ts'

const TIMEOUT_MS = 30_000
// As much as the gateway reads of an error to know whose it is, and more than any answer of one token.
const LARGEST = 64 * 1024

interface Tested {
  account: string
  model: string
  upstream_model: string
  ok: boolean
  /** null when no answer came */
  status: number | null
  duration_ms: number
  upstream_request_id: string | null
  /** null when it is well; `class` is null when the request was refused and not the account */
  verdict: {
    class: Declined['class'] | null
    scope: Declined['scope'] | null
    until: string | null
    reason: string
  } | null
  /** how many things that were held against the account are forgotten */
  cleared: number
}

/** Sends it and prints what came of it. @throws Refusal `missing`, `usage`, and `failure` when the account did not answer */
export async function testAccount(gw: Invocation, ref: string, wanted: string | undefined): Promise<void> {
  const { findAccount, clearAccounts } = await import('../core/record/account.ts')
  const [db, secret] = [await gw.db(), await gw.secret()]
  const found = await findAccount(db, ref)
  const { loadAccount } = await import('../core/read-snapshot.ts')
  const { credentialOf } = await import('../core/snapshot.ts')
  const { platformTable } = await import('../platform/table.ts')
  const platform = platformTable[found.platform]
  const account = await loadAccount(db, secret, found)
  // What an operator names is meant to work; a provider's list has models that answer nothing like a chat.
  const named = Object.keys(found.model_map).length > 0 ? account.models.listed[0] : undefined
  const model = wanted ?? named ?? platform.probeModel
  const upstream = account.models(model)
  if (upstream === undefined)
    throw new Refusal(
      'usage',
      `account "${found.name}" does not serve ${model}; give a --model that it does (gw account models ${found.name})`,
    )

  const { upstreamGuard } = await import('../lib/guard/upstream.ts')
  const guard = upstreamGuard(await gw.config())
  let sent = await send(platform, account, credentialOf(account), upstream, guard)
  if (found.type === 'oauth' && sent.status === 401 && (await renewed(gw, found.id))) {
    const fresh = await loadAccount(db, secret, found)
    sent = await send(platform, fresh, credentialOf(fresh), upstream, guard)
  }
  const cleared = sent.ok ? (await gw.write(tx => clearAccounts(tx, [found]))).cleared : 0
  const tested: Tested = { account: found.name, model, upstream_model: upstream, ...sent, cleared }
  gw.out.record(tested, view(tested))
  if (cleared > 0 && !gw.dryRun) gw.out.note(`account "${found.name}" is cleared: ${told(found, cleared)}`)
  if (!tested.ok)
    throw new Refusal('failure', `account "${found.name}" did not serve ${model}: ${tested.verdict!.reason}`)
}

/** As the gateway does: a token that is over is made new once, where it can be. */
export async function renewed(gw: Invocation, account: number): Promise<boolean> {
  const { createRefresh } = await import('../core/oauth/refresh.ts')
  const { upstreamGuard } = await import('../lib/guard/upstream.ts')
  const guard = upstreamGuard(await gw.config())
  const world = { db: await gw.db(), secret: await gw.secret(), now: Date.now, guard }
  const done = await createRefresh({ ...world, log: (_level, line) => gw.out.note(line) })(account)
  if (done.result === 'failed') gw.out.note(`note: ${done.reason}`)
  return done.result === 'refreshed'
}

function told({ status }: Account, cleared: number): string {
  if (status === 'error') return 'it is out of error'
  if (status === 'expired') return 'it is not expired any more'
  const paused = status === 'paused' ? '; it is still paused' : ''
  return `${cleared} refusal${cleared === 1 ? '' : 's'} forgotten${paused}`
}

function view({ duration_ms, upstream_request_id, verdict, cleared: _, ...fields }: Tested): object {
  const { class: cls, scope, until, reason } = verdict ?? {}
  const what = verdict === null ? 'well' : cls === null ? 'nothing is held against the account' : `${cls}: out`
  const of = cls ? (scope === 'model' ? ' for this model' : ' as a whole') : ''
  return {
    ...fields,
    ms: duration_ms,
    upstream_request: upstream_request_id,
    verdict: what + of,
    ...(until ? { until: new Date(until) } : {}),
    ...(reason ? { reason } : {}),
  }
}

type Sent = Pick<Tested, 'ok' | 'status' | 'duration_ms' | 'upstream_request_id' | 'verdict'>

async function send(
  platform: Platform,
  account: AccountFacts,
  credential: Credential,
  model: string,
  guard: Guard | undefined,
): Promise<Sent> {
  const { networkVerdict } = await import('../platform/verdict.ts')
  const { call, body: plain } = platform.probe(model, account)
  const envelope = platform.envelope?.(account, credential)
  const body = envelope ? enclosed(envelope, call.path, plain) : plain
  const request = platform.prepare(call, account, credential)
  const begun = performance.now()
  const answer = (status: number | null, id: string | null, verdict: Sent['verdict']): Sent => ({
    ok: verdict === null,
    status,
    duration_ms: Math.round(performance.now() - begun),
    upstream_request_id: id,
    verdict,
  })
  let status: number | null = null
  let id: string | null = null
  try {
    const { ask } = await import('../egress/ask.ts')
    const { method, headers } = request
    const reply = await ask(
      { url: new URL(request.path, request.origin), method, headers, body },
      { through: account.proxy, guard, timeoutMs: TIMEOUT_MS, mostBytes: LARGEST },
    )
    status = reply.status
    id = [reply.headers['request-id'], reply.headers['x-request-id']].flat()[0] ?? null
    const { concealerOf } = await import('../core/conceal.ts')
    // Before anything is made of it, should an upstream quote the credential.
    const open = envelope && status < 400 ? envelope.answer(false) : undefined
    const said = open ? String(Buffer.concat([open.push(Buffer.from(reply.body)), open.end()])) : reply.body
    return answer(status, id, await judged(platform, reply, concealerOf(credential).text(said)))
  } catch (error) {
    // Nothing that is thrown is shown but what a proxy did or the guard says: a message may quote a header, and so the credential.
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ETIMEDOUT' && message.startsWith('no answer'))
      return answer(status, id, shown({ ...networkVerdict(''), reason: message }))
    const failed = networkVerdict(codeOf(error as NodeJS.ErrnoException))
    if (failed.class === 'proxy' || isGuards(error)) return answer(status, id, shown({ ...failed, reason: message }))
    // Trouble of this machine says nothing of the account.
    return answer(status, id, shown(failed.own ? { relay: true } : failed, failed.reason))
  }
}

function enclosed(envelope: Envelope, path: string, plain: string): string {
  const bytes = Buffer.from(plain)
  return String(Buffer.concat(envelope.request({ pieces: [bytes], bytes: bytes.length }, { path, session: '' }).pieces))
}

/** null when it is a good answer. */
async function judged(platform: Platform, reply: Answer, text: string) {
  const { brief, readError } = await import('../platform/verdict.ts')
  const { headers } = reply
  const { type, message, page } = readError(text)
  const refusedRequest = (reason: string) => shown({ relay: true }, reason)
  if (reply.status >= 400)
    return shown(platform.judge(reply.status, headers, text, Date.now()), brief(message) || `status ${reply.status}`)
  if (reply.status >= 300) return refusedRequest(`status ${reply.status}, a redirect; is --base-url right?`)
  const body = page ? undefined : parse(text)
  if (body === undefined) return refusedRequest('the answer is not of the API; is --base-url right?')
  // An error inside a 200.
  if (type !== '' || body.type === 'error') {
    const verdict = platform.judgeEvent(type, message, Date.now())
    return shown(verdict, brief(message) || type)
  }
  return null
}

function parse(text: string): { type?: string } | undefined {
  try {
    return Object(JSON.parse(text)) as { type?: string }
  } catch {
    return undefined
  }
}

/** A verdict as it is printed: `reason` where it has none. */
function shown(verdict: Verdict, reason = ''): Tested['verdict'] {
  if (verdict.relay) return { class: null, scope: null, until: null, reason }
  const { class: cls, scope, until } = verdict
  return {
    class: cls,
    scope,
    until: until === undefined ? null : new Date(until).toISOString(),
    reason: verdict.reason,
  }
}
