// Sticky sessions: a conversation goes back to the account that has its prompt in cache.
import type { Caller } from '../enter/authenticate.ts'
import type { Call } from '../enter/receive.ts'
import type { Gateway } from '../gateway.ts'
import type { Selection } from './select.ts'

export interface Session {
  name: string
  model: string
  /** '' when the call has no session */
  key: string
  /** the account it is bound to */
  account: number | undefined
  generation: string
}

// Of the newest bindings this process knows the words; the store knows only keys.
const SHOWN = 10_000
// Longer than anybody waits between two clearings; when it ends, bindings of that generation end with it.
const GENERATION_TTL_MS = 20 * 24 * 3_600_000
const generationKey = (group: number) => `sticky-generation:${group}`

/** The call's session and its binding: one trip to the store. Scoped by group and key, so that tenants cannot steer each other. */
export async function findSession(gw: Gateway, call: Call, caller: Caller): Promise<Session> {
  const name = call.peek.session(call.req.headers)
  const { model } = call.peek
  if (name === '') return { name, model, key: '', account: undefined, generation: '' }
  const group = caller.group?.id ?? 0
  // By model: a vendor caches a prompt for one model, so a session's big and small model are two bindings.
  const key = `sticky:${group}:${caller.key.id}:${model}:${name}`
  const [value, generation = '0'] = await gw.store.get([key, generationKey(group)])
  const [account, of] = value?.split('@') ?? []
  return {
    name,
    model,
    key,
    account: account !== undefined && of === generation ? Number(account) : undefined,
    generation,
  }
}

/**
 * Remembers who served the session. A spill-over (the bound account was only full) keeps the binding: the next turn
 * finds its cache there; only an account that could not serve loses it.
 */
export function bind(gw: Gateway, caller: Caller, session: Session, served: number, selection: Selection): void {
  if (session.key === '') return
  const spilled =
    session.account !== undefined && session.account !== served && selection.full.includes(session.account)
  const account = spilled ? session.account! : served
  void gw.store.set(session.key, `${account}@${session.generation}`, gw.config['sticky.ttl'])
  const known = gw.bindings.get(session.key)
  if (known) {
    known.account = account
    known.at = gw.now()
    return
  }
  gw.bindings.set(session.key, {
    session: session.name,
    model: session.model,
    key: caller.key.name,
    group: caller.group?.name ?? null,
    account,
    at: gw.now(),
  })
  if (gw.bindings.size > SHOWN) gw.bindings.delete(gw.bindings.keys().next().value!)
}

/** Forgets every binding of a group, in all processes: bindings of an older generation are not believed. */
export async function forgetBindings(gw: Gateway, group: number): Promise<void> {
  await gw.store.set(generationKey(group), `${gw.now()}`, GENERATION_TTL_MS)
  for (const key of gw.bindings.keys()) if (key.startsWith(`sticky:${group}:`)) gw.bindings.delete(key)
}
