// What upstreams said of their accounts, as it decides who may be chosen: absolute times, asked at the moment of choice.
import type { HealthRow } from '../../core/record/health.ts'
import { backoffMs, type Declined, type VerdictClass } from '../../platform/verdict.ts'

/** Refused for a reason, until a time. */
export interface Ailment {
  account: number
  /** '' when the whole account is out, else only this model */
  model: string
  class: VerdictClass
  reason: string
  until: number
  /** the upstream said until when; otherwise one request alone tries first when the time has come */
  evidence: boolean
  strikes: number
  since: number
  /** a request is trying whether it is well again */
  trying: boolean
  /** the table has it, so that its absence there means it was cleared */
  stored: boolean
  /** when it was refused or, of what others learnt, written; Unix ms of whoever did it */
  at: number
}

/** Why an account may not be chosen now. `waitable`: it may be at any moment, so waiting makes sense. */
export interface Veto {
  reason: string
  until: number
  waitable: boolean
  /** what its upstream said last; undefined: it is nothing of the upstream's */
  class: VerdictClass | undefined
}

// So many refusals of a credential in a row, over at least so long, and it is taken for dead.
const DEAD_STRIKES = 5
const DEAD_AFTER_MS = 30 * 60_000
// A strike that long ago says nothing about now.
const FORGET_MS = 60 * 60_000

export interface Health {
  veto(account: number, model: string, now: number): Veto | undefined
  /** The account was chosen; when it was its turn to prove itself, nobody else is let in until `answered`, `refused` or `unclear`. */
  chosen(account: number, model: string, now: number): void
  /**
   * It served a request: what we held against it is over. `since` is when it was chosen for that: a request that was let in
   * before a refusal says nothing about it.
   */
  answered(account: number, model: string, since: number): void
  /** What is doubtful is held against nobody. */
  refused(account: number, model: string, declined: Declined, now: number): void
  /** The request ended without saying anything about the account (its client left). */
  unclear(account: number, model: string, since: number): void
  /** What there is against an account, the gravest first. */
  ailments(account: number): Ailment[]
  /** The wall clock was set back by so much: nobody is out for longer than was decided. */
  setBack(byMs: number): void
  /** Replaces what is known by what the table says. */
  load(rows: readonly HealthRow[]): void
}

// As clients may read it in the reasons of a 503: no details of the account.
const stateWords: Record<VerdictClass, string> = {
  burst: 'rate limited',
  window: 'rate limited',
  quota: 'rate limited',
  overload: 'overloaded',
  auth: 'ejected',
  payment: 'ejected',
  server: 'ejected',
  network: 'ejected',
  proxy: 'proxy out',
  foreign: 'ejected',
  absent: 'model not served',
}

/** `changed` is told each ailment to store, `cured` each to forget, `dead` each account to put in error. */
export function createHealth(options: {
  random: () => number
  /** resolves when it is stored */
  changed: (ailment: Ailment) => Promise<void>
  cured: (account: number, model: string) => void
  dead: (account: number, reason: string) => void
}): Health {
  // By account, then by model: asked for each candidate of each request, and nearly always nothing is known.
  const known = new Map<number, Map<string, Ailment>>()
  const of = (account: number, model: string) => known.get(account)?.get(model)
  const put = (ailment: Ailment) => {
    const { account, model } = ailment
    const others = known.get(account)
    if (others) others.set(model, ailment)
    else known.set(account, new Map([[model, ailment]]))
  }
  const forget = (account: number, model: string) => {
    const others = known.get(account)
    if (others?.delete(model) && others.size === 0) known.delete(account)
  }
  const both = (account: number, model: string) => {
    const all = known.get(account)
    return all ? [all.get(''), all.get(model)].filter(a => a !== undefined) : none
  }

  return {
    veto(account, model, now) {
      const all = known.size === 0 ? undefined : known.get(account)
      return all && (vetoOf(all.get(''), now) ?? vetoOf(all.get(model), now))
    },
    chosen(account, model, now) {
      if (known.size === 0) return
      for (const a of both(account, model)) if (a.until <= now && a.until > 0) a.trying = true
    },
    answered(account, model, since) {
      if (known.size === 0) return
      for (const a of both(account, model)) {
        if (since < a.until) continue
        forget(a.account, a.model)
        options.cured(a.account, a.model)
      }
    },
    refused(account, model, declined, now) {
      if (declined.doubtful) {
        this.unclear(account, model, now)
        return
      }
      const scope = declined.scope === 'model' ? model : ''
      const before = of(account, scope)
      const strikes = before && now - Math.max(before.until, before.since) < FORGET_MS ? before.strikes + 1 : 1
      const since = strikes === 1 ? now : before!.since
      // A model that is refused for ever takes no other with it.
      const dead = declined.class === 'auth' && strikes >= DEAD_STRIKES && now - since >= DEAD_AFTER_MS
      if (scope === '' && (declined.definite || dead)) {
        forget(account, scope)
        options.dead(account, declined.reason)
        return
      }
      const evidence = declined.until !== undefined
      const wait = evidence ? 0 : backoffMs(declined.class, strikes, options.random)
      const until = evidence ? declined.until! : wait === 0 ? 0 : now + wait
      // Two requests refused at once must not shorten what is known, nor count as two strikes of one trouble.
      const same = before !== undefined && before.until > now
      const ailment: Ailment = {
        account,
        model: scope,
        class: declined.class,
        reason: declined.reason,
        until: same ? Math.max(before.until, evidence ? until : 0) : until,
        evidence: same ? before.evidence || evidence : evidence,
        strikes: same ? before.strikes : strikes,
        since,
        trying: false,
        stored: false,
        at: now,
      }
      put(ailment)
      // What this process cannot reach others may: that stays here.
      if (ailment.until > 0 && declined.own === undefined)
        void options.changed(ailment).then(() => {
          ailment.stored = true
        })
    },
    unclear(account, model, since) {
      for (const a of both(account, model)) if (since >= a.until) a.trying = false
    },
    ailments(account) {
      const all = known.get(account)
      if (!all) return []
      return [...all.values()].sort(
        (a, b) => (a.model === '' ? -1 : 1) - (b.model === '' ? -1 : 1) || b.until - a.until,
      )
    },
    setBack(byMs) {
      for (const all of known.values())
        for (const a of all.values()) {
          if (a.until > 0) a.until -= byMs
          a.since -= byMs
        }
    },
    load(rows) {
      const fresh = Map.groupBy(rows, row => row.account_id)
      // What is not stored yet, or never will be (a first strike that ejected nobody), stays.
      for (const [account, all] of known)
        for (const [model, a] of all)
          if (a.stored && !fresh.get(account)?.some(row => row.model === model)) forget(account, model)
      for (const row of rows) {
        const before = of(row.account_id, row.model)
        if (before && !before.stored) continue // ours is newer
        const at = row.updated_at.getTime()
        // One that is known may be nearer its end than the table says, when the clock was set back since.
        if (before && before.at === at && before.until <= row.until.getTime()) continue
        put({
          account: row.account_id,
          model: row.model,
          class: row.class as VerdictClass,
          reason: row.reason,
          until: row.until.getTime(),
          evidence: row.evidence,
          strikes: row.strikes,
          since: row.since.getTime(),
          trying: before?.trying ?? false,
          stored: true,
          at,
        })
      }
    },
  }
}

const none: readonly Ailment[] = []

function vetoOf(a: Ailment | undefined, now: number): Veto | undefined {
  if (a === undefined) return undefined
  const { class: cls } = a
  if (a.until > now) return { reason: `${stateWords[cls]}: ${a.reason}`, until: a.until, waitable: false, class: cls }
  if (!a.evidence && a.trying)
    return { reason: 'recovering: one request is trying it', until: 0, waitable: true, class: cls }
  return undefined
}
