// Asked: a request in the middle form, and the proofs of reasoning that are kept for clients whose dialect has no place for them.
import type { Kept } from '../../dialect/middle/codec.ts'
import type { Ask } from '../../dialect/middle/form.ts'
import { disclose, keyOfText } from '../../dialect/middle/seal.ts'
import type { Caller } from '../enter/authenticate.ts'
import type { Call } from '../enter/receive.ts'
import type { Gateway } from '../gateway.ts'

/** The request in the middle form, decoded once. @throws Failure BODY_INVALID */
export function askOf(call: Call): Ask {
  const codec = call.dialect.codec!
  return (call.ask ??= (call.route.kind === 'count' ? codec.counting! : codec).decodeAsk(call.body, call.path))
}

export interface Proofs {
  /** by a call's id, or the digest of a text */
  kept: ReadonlyMap<string, Kept>
  keep(key: string, envelope: string): void
}

export const noProofs: Proofs = { kept: new Map(), keep() {} }

// The newest of a conversation: a model asks only for those of the turn under way.
const MOST_KEYS = 64

/** What was kept for this conversation: one trip to the store, and none where there is nothing to ask for. Never rejects. */
export async function proofsFor(gw: Gateway, call: Call, caller: Caller): Promise<Proofs> {
  const scope = `proof:${caller.key.id}:`
  const kept = new Map<string, Kept>()
  const keys = keysOf(askOf(call)).slice(-MOST_KEYS)
  if (keys.length > 0) {
    const values = await gw.store.get(keys.map(key => scope + key))
    for (const [i, value] of values.entries()) {
      const enclosed = value === undefined ? undefined : disclose(value)
      if (!enclosed) continue
      kept.set(keys[i]!, { seal: { value: enclosed.value ?? '', issuer: enclosed.issuer }, text: enclosed.text })
    }
  }
  return { kept, keep: (key, envelope) => void gw.store.set(scope + key, envelope, gw.config['sticky.ttl']) }
}

function keysOf({ turns }: Ask): string[] {
  const keys: string[] = []
  for (const { role, parts } of turns) {
    if (role !== 'assistant') continue
    for (const part of parts)
      if (part.type === 'call' && part.id !== '') keys.push(part.id)
      else if (part.type === 'text' && part.text !== '') keys.push(keyOfText(part.text))
  }
  return keys
}
