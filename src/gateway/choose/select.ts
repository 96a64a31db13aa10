// Select: which accounts could serve a request, best first, and why the others could not. Pure.
import type { SelectionRecord, VetoRecord } from '../../core/outcome.ts'
import type { AccountFacts } from '../../core/snapshot.ts'
import { type Asked, full, loadOf, unhealthy } from './available.ts'
import { better, type Out } from './out.ts'

export interface SelectFacts extends Asked {
  accounts: readonly AccountFacts[]
  /** accounts this request has tried already */
  excluded: ReadonlySet<number>
  /** requests under way, by position in `accounts` */
  held: readonly number[]
  /** a growing number by account id; 0 means never */
  chosen: (account: number) => number
  /** the account the session is bound to */
  sticky: number | undefined
}

export interface Candidate {
  account: AccountFacts
  /** what the upstream calls the model */
  upstreamModel: string
  /** share of its concurrency that is taken, 0..1; 0 without a limit */
  load: number
  /** requests under way at it */
  held: number
  /** when it was last chosen, as a growing number; 0: never */
  chosen: number
}

export interface Selection extends SelectionRecord {
  ranked: Candidate[]
  /** healthy and serving the model, but full; ids */
  full: number[]
  vetoes: VetoRecord[] | undefined
  /** one of the left out may become free at any moment: waiting makes sense */
  waitable: boolean
  /** what its client should hear of those that are out by their upstreams' word; undefined when none is */
  out: Out | undefined
}

/** The sticky one first, then by priority, load, and least recently chosen (spec/domain.md §5.5). */
export function select(facts: SelectFacts): Selection {
  const { accounts, model, now, chosen, sticky, excluded, held } = facts
  const selection: Selection = {
    at: now,
    sticky,
    accounts,
    held,
    ranked: [],
    full: [],
    vetoes: undefined,
    others: 0,
    how: 'look',
    looks: 1,
    taken: 0,
    waitable: false,
    out: undefined,
  }
  for (let i = 0; i < accounts.length; i++) {
    const account = accounts[i]!
    const veto = unhealthy(account, facts)
    if (veto) {
      ;(selection.vetoes ??= []).push({ account, why: veto })
      // What this request has tried is out for it, come what may.
      if (veto.waitable && !excluded.has(account.id)) selection.waitable = true
      if (veto.class !== undefined && veto.until > now)
        selection.out = better(selection.out, { class: veto.class, until: veto.until })
    } else if (!excluded.has(account.id)) {
      const under = held[i]!
      const load = loadOf(account, under)
      if (!full(load))
        selection.ranked.push({
          account,
          upstreamModel: account.models(model)!,
          load,
          held: under,
          chosen: chosen(account.id),
        })
      else {
        selection.full.push(account.id)
        selection.waitable = true
      }
    }
  }
  const bound = (c: Candidate) => (c.account.id === sticky ? 0 : 1)
  if (selection.ranked.length > 1)
    selection.ranked.sort(
      (a, b) =>
        bound(a) - bound(b) || a.account.priority - b.account.priority || a.load - b.load || a.chosen - b.chosen,
    )
  return selection
}

/** `2 paused, 1 model not served`, for whoever must mend it; without names, since clients read it. */
export function reasons(facts: SelectFacts): string {
  if (facts.accounts.length === 0) return 'the group has no accounts'
  const counts = new Map<string, number>()
  facts.accounts.forEach((account, i) => {
    const why =
      unhealthy(account, facts)?.reason.replace(/:.*/s, '') ??
      (facts.excluded.has(account.id) ? 'tried' : full(loadOf(account, facts.held[i]!)) ? 'full' : undefined)
    if (why !== undefined) counts.set(why, (counts.get(why) ?? 0) + 1)
  })
  return [...counts].map(([why, n]) => `${n} ${why}`).join(', ')
}
