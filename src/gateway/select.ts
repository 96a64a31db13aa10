// Select: which accounts could serve a request, best first, and why the others could not. Pure.
import type { AccountFacts } from '../core/snapshot.ts'

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
}

export interface Candidate {
  account: AccountFacts
  /** what the upstream calls the model */
  upstreamModel: string
  /** share of its concurrency that is taken, 0..1; 0 without a limit */
  load: number
}

export interface Ranking {
  ranked: Candidate[]
  /** how many accounts were left out, by reason */
  vetoes: Map<string, number>
  /** healthy, and serving the model, but full */
  full: number
}

/** Available first by priority, then load, then least recently chosen (spec/domain.md §5.5, layer 2). */
export function select(facts: SelectFacts): Ranking {
  const ranked: Candidate[] = []
  const vetoes = new Map<string, number>()
  let full = 0
  facts.accounts.forEach((account, i) => {
    const upstreamModel = account.models(facts.model)
    const veto = unfit(account, facts) ?? (upstreamModel === undefined ? 'model not served' : undefined)
    if (veto !== undefined) vetoes.set(veto, (vetoes.get(veto) ?? 0) + 1)
    else {
      const load = account.concurrency > 0 ? facts.held[i]! / account.concurrency : 0
      if (load >= 1) full++
      else ranked.push({ account, upstreamModel: upstreamModel!, load })
    }
  })
  const at = (c: Candidate) => facts.chosen.get(c.account.id) ?? 0
  ranked.sort((a, b) => a.account.priority - b.account.priority || a.load - b.load || at(a) - at(b))
  return { ranked, vetoes, full }
}

// Asked at the moment of choice, never cached: an account comes back by itself when its time has come.
function unfit(account: AccountFacts, facts: SelectFacts): string | undefined {
  if (facts.excluded.has(account.id)) return 'tried'
  if (account.status === 'paused') return 'paused'
  if (account.status === 'error') return 'in error'
  if (account.expiresAt !== 0 && account.expiresAt <= facts.now) return 'expired'
  return undefined
}

/** `2 paused, 1 model not served`, for whoever must mend it. */
export function reasons(vetoes: ReadonlyMap<string, number>): string {
  return vetoes.size === 0 ? 'the group has no accounts' : [...vetoes].map(([why, n]) => `${n} ${why}`).join(', ')
}
