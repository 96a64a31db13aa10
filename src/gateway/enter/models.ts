// The models a key can ask for (spec/domain.md §11.2).
import { Failure } from '../../lib/failure.ts'
import type { Gateway } from '../gateway.ts'
import { accountsOf, type Caller } from './authenticate.ts'
import type { Found } from './routes.ts'

/** The list, or one of it, in the words of the route's dialect. @throws Failure NOT_FOUND */
export function models(gw: Gateway, caller: Caller, { route, dialect, model }: Found): object {
  const names = namesFor(gw, caller)
  if (route.kind === 'models') return dialect.models(names)
  if (!names.includes(model))
    throw new Failure('NOT_FOUND', [`${route.path.replace('{model}', model)}: this key has no model ${model}`])
  return dialect.model(model)
}

function namesFor(gw: Gateway, caller: Caller): string[] {
  const serving = accountsOf(gw, caller).filter(account => account.status === 'active')
  const names = new Set(serving.flatMap(account => account.models.listed))
  // An account without a mapping serves whatever its vendor does; the priced models of the vendor are the best list we have.
  const vendor = { anthropic: 'anthropic', openai: 'openai', gemini: 'google', antigravity: 'google' }[caller.platform]
  if (serving.some(account => account.models.all))
    for (const price of gw.snapshot.prices.all()) if (price.vendor === vendor) names.add(price.model)
  const allowed = caller.key.models
  return [...names].filter(name => allowed.length === 0 || allowed.includes(name)).sort()
}
