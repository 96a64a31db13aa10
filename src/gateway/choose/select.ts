// Select: which accounts could serve a request, best first, and why the others could not. Pure.
import type { SelectionRecord } from '../../core/outcome.ts'
import type { AccountFacts } from '../../core/snapshot.ts'
import type { Veto } from './health.ts'

export interface SelectFacts {
  accounts: readonly AccountFacts[]
  model: string
  now: number
  /** accounts this request has tried already */
  excluded: ReadonlySet<number>
  /** requests under way, by position in `accounts` */
  held: readonly number[]
  /** a growing number by account id; absent means never */
  chosen: ReadonlyMap<number, number>
  /** the account the session is bound to */
  sticky: number | undefined
  /** what upstreams said of an account */
  veto: (account: number, model: string, now: number) => Veto | undefined
}

export interface Candidate {
  account: AccountFacts
  /** what the upstream calls the model */
  upstreamModel: string
  /** share of its concurrency that is taken, 0..1; 0 without a limit */
  load: number
}

export interface Selection {
  ranked: Candidate[]
  /** healthy and serving the model, but full */
  full: ReadonlySet<number>
  /** one of the left out may become free at any moment: waiting makes sense */
  waitable: boolean
  /** when the first of those that were asked too much comes back, Unix ms; undefined when none is out for that */
  soonest: number | undefined
  /** every account with its score or its veto, for `gw explain` */
  record: SelectionRecord
}

/** The sticky one first, then by priority, load, and least recently chosen (spec/domain.md §5.5). */
export function select(facts: SelectFacts): Selection {
  const { accounts, model, now, chosen, sticky } = facts
  const ranked: Candidate[] = []
  const full = new Set<number>()
  const record: SelectionRecord = { at: now, sticky, candidates: [] }
  let waitable = false
  let soonest: number | undefined
  accounts.forEach((account, i) => {
    const { id, priority } = account
    const upstreamModel = account.models(model)
    const load = account.concurrency > 0 ? facts.held[i]! / account.concurrency : 0
    let why = unfit(account, now) ?? (upstreamModel === undefined ? 'model not served' : undefined)
    if (why === undefined) {
      const veto = facts.veto(id, model, now)
      if (veto) {
        why = veto.reason
        // What this request has tried is out for it, come what may.
        if (veto.waitable && !facts.excluded.has(id)) waitable = true
        if (veto.limited && veto.until > now) soonest = Math.min(soonest ?? Number.POSITIVE_INFINITY, veto.until)
      } else if (facts.excluded.has(id)) why = 'tried'
      else if (load >= 1) {
        why = 'full'
        full.add(id)
        waitable = true
      } else ranked.push({ account, upstreamModel: upstreamModel!, load })
    }
    record.candidates.push({
      account: id,
      name: account.name,
      priority,
      load,
      chosen: chosen.get(id) ?? 0,
      veto: why ?? null,
    })
  })
  const at = (c: Candidate) => chosen.get(c.account.id) ?? 0
  const bound = (c: Candidate) => (c.account.id === sticky ? 0 : 1)
  ranked.sort(
    (a, b) => bound(a) - bound(b) || a.account.priority - b.account.priority || a.load - b.load || at(a) - at(b),
  )
  return { ranked, full, waitable, soonest, record }
}

// Asked at the moment of choice, never cached: an account comes back by itself when its time has come.
function unfit(account: AccountFacts, now: number): string | undefined {
  if (account.status === 'paused') return 'paused'
  if (account.status === 'error') return 'in error'
  if (account.expiresAt !== 0 && account.expiresAt <= now) return 'expired'
  return undefined
}

/** `2 paused, 1 model not served`, for whoever must mend it; without names, since clients read it. */
export function reasons({ candidates }: SelectionRecord): string {
  if (candidates.length === 0) return 'the group has no accounts'
  const counts = new Map<string, number>()
  for (const { veto } of candidates) {
    if (veto === null) continue
    const why = veto.replace(/:.*/s, '')
    counts.set(why, (counts.get(why) ?? 0) + 1)
  }
  return [...counts].map(([why, n]) => `${n} ${why}`).join(', ')
}
