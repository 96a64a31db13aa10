// The models a key can ask for (spec/domain.md §11.2).
import type { AccountFacts } from '../../core/snapshot.ts'
import { holdsCredential } from '../../lib/credentials.ts'
import { Failure } from '../../lib/failure.ts'
import { platformTable } from '../../platform/table.ts'
import type { Gateway } from '../gateway.ts'
import { accountsOf, type Caller } from './authenticate.ts'
import type { Found } from './routes.ts'

/** The list, or one of it, in the words of the route's dialect. @throws Failure NOT_FOUND */
export function models(gw: Gateway, caller: Caller, { route, dialect, model }: Found): object {
  if (route.kind === 'models') return dialect.models(namesFor(gw, caller))
  if (!serves(gw, caller, model))
    throw new Failure('NOT_FOUND', [`${route.path.replace('{model}', () => model)}: this key has no model ${model}`])
  return dialect.model(model)
}

/** Whether a request for it would be sent to an account: also for names that are in no list, as by a mapping of `claude-*`. */
function serves(gw: Gateway, caller: Caller, model: string): boolean {
  const { models: allowed } = caller.key
  if (holdsCredential(model) || (allowed.length > 0 && !allowed.includes(model))) return false
  const { prices } = gw.snapshot
  const unknown = caller.group?.unknownModel ?? 'reject'
  const instead = typeof unknown === 'object' ? prices.find(unknown.fallback, gw.now()) : unknown === 'free'
  if (!instead && !prices.find(model, gw.now())) return false
  return serving(gw, caller).some(account => account.models(model) !== undefined)
}

function serving(gw: Gateway, caller: Caller): AccountFacts[] {
  return accountsOf(gw, caller).filter(
    ({ status, expiresAt }) => status === 'active' && (expiresAt === 0 || expiresAt > gw.now()),
  )
}

function namesFor(gw: Gateway, caller: Caller): string[] {
  const accounts = serving(gw, caller)
  const names = new Set(accounts.flatMap(account => account.models.listed))
  // An account without a mapping serves whatever its vendor does; the priced models of the vendor are the best list we have.
  const vendors = new Set(
    accounts.filter(({ models }) => models.all).map(({ platform }) => platformTable[platform].vendor.prices),
  )
  if (vendors.size > 0)
    for (const { vendor, model } of gw.snapshot.prices.all()) if (vendor && vendors.has(vendor)) names.add(model)
  const allowed = caller.key.models
  return [...names].filter(name => allowed.length === 0 || allowed.includes(name)).sort()
}
