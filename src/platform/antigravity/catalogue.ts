// The provider's own list of models (`fetchAvailableModels`, spec/wire-additions.md §3.5) as the mapping of an account.

import type { Credential } from '../../core/credential.ts'
import type { AccountFacts } from '../../core/snapshot.ts'
import { oauthOf } from '../gemini/credential.ts'
import type { Probe } from '../platform.ts'

/** What to ask. Its path is of v1internal already: `prepare` leaves it. */
export function catalogueAsk(account: AccountFacts, credential: Credential): Probe {
  const project = account.type === 'oauth' ? oauthOf(credential).project : ''
  return {
    call: {
      method: 'POST',
      path: '/v1internal:fetchAvailableModels',
      query: '',
      headers: { accept: 'application/json', 'content-type': 'application/json' },
    },
    body: JSON.stringify(project === '' ? {} : { project }),
  }
}

/**
 * The mapping that the list makes of `before` (config/antigravity-models.json): each listed model under its own name, and of the names
 * with a star those that lead to one. Undefined for what is no list.
 */
export function mappingIn(body: string, before: Record<string, string>): Record<string, string> | undefined {
  let models: unknown
  try {
    models = (JSON.parse(body) as { models?: unknown } | null)?.models
  } catch {
    return undefined
  }
  if (typeof models !== 'object' || models === null) return undefined
  const said = Array.isArray(models)
    ? models.map(
        one => (one as { name?: unknown; id?: unknown } | null)?.id ?? (one as { name?: unknown } | null)?.name,
      )
    : Object.keys(models)
  const names = said.filter(name => typeof name === 'string' && /^[\w.:@-]{1,128}$/.test(name)) as string[]
  if (names.length === 0) return undefined
  const listed = new Set(names)
  const starred = Object.entries(before).filter(
    ([name, to]) => name.endsWith('*') && (to.endsWith('*') || listed.has(to)),
  )
  return { ...Object.fromEntries([...listed].sort().map(name => [name, name])), ...Object.fromEntries(starred) }
}
