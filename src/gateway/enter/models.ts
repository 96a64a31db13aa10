// The models a key can ask for (spec/domain.md §11.2).
import { Failure } from '../../lib/failure.ts'
import type { Gateway } from '../gateway.ts'
import { accountsOf, type Caller } from './authenticate.ts'

interface ModelObject {
  id: string
  type: 'model'
  object: 'model'
  display_name: string
  created_at: string
}

/** The list, or one of it. @throws Failure NOT_FOUND */
export function models(gw: Gateway, caller: Caller, path: string): object {
  const all = list(gw, caller)
  if (path === '/v1/models')
    return { object: 'list', data: all, has_more: false, first_id: all[0]?.id ?? null, last_id: all.at(-1)?.id ?? null }
  const id = decoded(path.slice('/v1/models/'.length))
  const one = all.find(model => model.id === id)
  if (!one) throw new Failure('NOT_FOUND', [`${path}: this key has no model ${id}`])
  return one
}

// What is no valid escape is no model's name either.
function decoded(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}

function list(gw: Gateway, caller: Caller): ModelObject[] {
  const serving = accountsOf(gw, caller).filter(account => account.status === 'active')
  const names = new Set(serving.flatMap(account => account.models.listed))
  // An account without a mapping serves whatever its vendor does; the priced models of the vendor are the best list we have.
  const vendor = { anthropic: 'anthropic', openai: 'openai', gemini: 'google', antigravity: 'google' }[caller.platform]
  if (serving.some(account => account.models.all))
    for (const price of gw.snapshot.prices.all()) if (price.vendor === vendor) names.add(price.model)
  const allowed = caller.key.models
  return [...names]
    .filter(name => allowed.length === 0 || allowed.includes(name))
    .sort()
    .map(id => ({ id, type: 'model', object: 'model', display_name: id, created_at: '2024-01-01T00:00:00Z' }))
}
