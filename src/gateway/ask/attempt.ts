// Attempt: occupy, exchange, the only loop. Another account is tried only while the client has seen nothing of an answer.

import type { Outcome } from '../../core/outcome.ts'
import { Failure } from '../../lib/failure.ts'
import { codeOf } from '../../lib/own-trouble.ts'
import { type Declined, networkVerdict } from '../../platform/verdict.ts'
import type { Bill } from '../admit/bill.ts'
import type { Downstream } from '../answer/downstream.ts'
import { healthFor, isBeside } from '../choose/beside.ts'
import type { Health } from '../choose/health.ts'
import { type Glance, glance, occupy, poolOf } from '../choose/occupy.ts'
import type { Out } from '../choose/out.ts'
import { bind, findSession, type Session } from '../choose/sticky.ts'
import { accountsOf, type Caller } from '../enter/authenticate.ts'
import { answerWarmup, isWarmup } from '../enter/canned.ts'
import type { Call } from '../enter/receive.ts'
import type { Gateway } from '../gateway.ts'
import { type Proofs, proofsFor, proofsOf } from './asked.ts'
import { answerEstimate } from './estimate.ts'
import { type ExchangeOptions, exchange, type Refused } from './exchange.ts'
import { type FetchedMedia, fetchMedia } from './fetch.ts'
import { exhaustedBy, nodeTrouble, type Refusal } from './refusals.ts'
import { counts, isAlike, isTranslated, wantedBy } from './way.ts'

/** What is asked of the store before an account can be chosen. */
export interface LookedUp {
  session: Session
  /** undefined: places are of no interest */
  seen: Glance | undefined
}

const nobody: ReadonlySet<number> = new Set()

/** The call's session, and what is held at the accounts. Never rejects, so it may be under way while money is put aside. */
export async function lookUp(gw: Gateway, call: Call, caller: Caller): Promise<LookedUp> {
  if (isBeside(call)) return { session: await findSession(gw, call, caller), seen: undefined }
  // One trip to the store for both.
  const [session, seen] = await Promise.all([findSession(gw, call, caller), glance(gw, call, caller, nobody)])
  return { session, seen }
}

/**
 * Gets the call answered by some account.
 * @throws Failure of `occupy`, or of `exhaustedBy` when every account tried refused
 */
export async function attempt(
  gw: Gateway,
  call: Call,
  caller: Caller,
  down: Downstream,
  outcome: Outcome,
  lookedUp: LookedUp,
  bill?: Bill,
): Promise<void> {
  const excluded = new Set<number>()
  const { session, seen } = lookedUp
  const sticky = session.account
  const { model } = call.peek
  const health = healthFor(gw, call)
  const beside = isBeside(call)
  let refusals: Refusal[] | undefined
  let translated: Promise<Proofs> | undefined
  let fetched: FetchedMedia | undefined
  let passed: Proofs | Promise<Proofs> | undefined
  for (let switches = 0; ; ) {
    down.check()
    outcome.phase = 'selecting'
    const exhausted = (out: Out | undefined) => refusals && exhaustedBy(refusals, out, model, gw.now())
    const { candidate, lease, selection, since } = await occupy({
      gw,
      call,
      caller,
      down,
      outcome,
      excluded,
      sticky,
      exhausted,
      seen: refusals ? undefined : seen,
    })
    const { account } = candidate
    outcome.upstreamModel = candidate.upstreamModel
    const standing = {
      answered() {
        health.answered(account.id, model, since)
        // An account that refused the request itself proves nothing against the others.
        if (refusals && outcome.attempts.at(-1)!.status < 400) prove(gw, health, model, refusals)
        // Counting moves no session: its prompt is in the cache where it was generated from.
        if (!beside) bind(gw, caller, session, account.id, selection)
      },
    }
    try {
      if (call.route.kind === 'count' && !counts(candidate, call)) return answerEstimate(call, down)
      if (account.interceptWarmup && isWarmup(gw, call)) {
        health.unclear(account.id, model, since)
        bind(gw, caller, session, account.id, selection)
        outcome.accountId = account.id
        outcome.account = account.name
        outcome.intercepted = true
        return await answerWarmup(call, down)
      }
      const translates = isTranslated(call, candidate)
      const wanted = translates ? (translated ??= proofsFor(gw, call, caller)) : (passed ??= proofsOf(gw, call))
      const proofs = wanted instanceof Promise ? await wanted : wanted
      const media = translates && !fetched ? wantedBy(call, candidate) : []
      // Once for all who are asked.
      if (media.length > 0) fetched = await fetchMedia(gw, media, call, down)
      const refused = await ask({ gw, call, caller, candidate, down, outcome, bill, standing, proofs, fetched })
      if (!refused) return
      // Before the place is given back: a waiter woken by that must already see the account as out.
      const { proxy } = account
      if (proxy && refused.verdict.class === 'proxy') {
        // Not its fault, nor that of the others that are reached through it.
        gw.egress.failed(proxy, refused.verdict.reason, gw.now())
        health.unclear(account.id, model, since)
        for (const other of accountsOf(gw, caller)) if (other.proxy?.id === proxy.id) excluded.add(other.id)
      } else health.refused(account.id, model, refused.verdict, gw.now())
      excluded.add(account.id)
      const until = (health.veto(account.id, model, gw.now()) ?? gw.egress.veto(proxy, gw.now()))?.until ?? 0
      outcome.attempts.at(-1)!.until = until
      ;(refusals ??= []).push({ ...refused, account: account.id, until })
      const { own } = refused.verdict
      if (own === 'alone') throw nodeTrouble(refused)
      // Whoever is at the same address cannot be reached either.
      if (own) for (const other of accountsOf(gw, caller)) if (other.baseUrl === account.baseUrl) excluded.add(other.id)
    } catch (error) {
      // It was not asked. Somebody may be who can be told all of it.
      if (error instanceof Failure && error.code === 'UNTRANSLATABLE') {
        const others = accountsOf(gw, caller).filter(other => !excluded.has(other.id))
        for (const other of others) if (isAlike(call, account, other)) excluded.add(other.id)
        if (others.some(o => o.status === 'active' && o.models(model) !== undefined && !excluded.has(o.id))) {
          health.unclear(account.id, model, since)
          continue
        }
      }
      // A stream that broke half-way is a strike against the account; a client that left says nothing of it, but nobody
      // else must wait for this request's word.
      if (error instanceof Failure && error.fault === 'upstream')
        health.refused(account.id, model, broken(error), gw.now())
      else health.unclear(account.id, model, since)
      throw error
    } finally {
      if (!beside) gw.places.observe(poolOf(caller), gw.now() - since)
      lease.release()
    }
    if (++switches > gw.config['failover.max_switches']) throw exhaustedBy(refusals, undefined, model, gw.now())
  }
}

/** One account asked, and asked again for what is nothing of its own: once for each. */
async function ask(asked: ExchangeOptions): Promise<Refused | undefined> {
  const { gw, down, candidate, outcome } = asked
  const again = (how: 'fresh' | 'unsealed' | 'renewed') => {
    outcome.attempts.at(-1)!.again = how
  }
  let options = asked
  let renewable = candidate.account.type === 'oauth'
  for (;;) {
    const refused = await exchange(options)
    if (!refused) return undefined
    // A kept-alive connection that the upstream closed meanwhile: the account is fine, the connection was not.
    // The others that are kept may be no better, so the second try makes its own.
    if (refused.stale && !options.fresh) {
      again('fresh')
      options = { ...options, fresh: true }
    }
    // What nobody could know to be another's: it is asked once more without.
    else if (refused.seals && !options.unsealed) {
      again('unsealed')
      options = { ...options, unsealed: true }
    } else if (refused.status === 401 && refused.verdict.class === 'auth' && renewable) {
      renewable = false
      const renewed = await whileHeard(down, gw.tokens.refreshNow(candidate.account))
      const account = gw.snapshot.accounts.get(candidate.account.id)
      // What is said of a token that could not be made new is no word about the account.
      if (renewed === 'failed') return { ...refused, verdict: { ...refused.verdict, definite: false } }
      if (renewed !== 'refreshed' || !account) return refused
      again('renewed')
      options = { ...options, candidate: { ...candidate, account } }
    } else return refused
  }
}

/** Waits for work that goes on by itself, but no longer than the request does. @throws the Failure that interrupted it */
async function whileHeard<T>(down: Downstream, work: Promise<T>): Promise<T> {
  down.check()
  const { promise, reject } = Promise.withResolvers<never>()
  down.watcher = { interrupted: reject }
  try {
    return await Promise.race([work, promise])
  } finally {
    down.watcher = undefined
  }
}

/** An answer that broke off, by our own trouble or by the upstream's; one that only ended too early was closed under us. */
function broken({ cause }: Failure): Declined {
  const code = cause instanceof Error ? codeOf(cause) : ''
  // What had begun was connected: a socket's own time-out is a connection that was lost.
  return networkVerdict(code === '' || code === 'ETIMEDOUT' ? 'ECONNRESET' : code)
}

/** Another account has answered the same request: what might have been the request's fault was the account's. */
function prove(gw: Gateway, health: Health, model: string, refusals: readonly Refusal[]): void {
  for (const { account, verdict } of refusals)
    if (verdict.doubtful) health.refused(account, model, { ...verdict, doubtful: false }, gw.now())
}
