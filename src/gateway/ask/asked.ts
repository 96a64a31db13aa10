// Asked: a request in the middle form, and what is known of proofs of reasoning: those kept for clients whose dialect has no place for them, and who
// issued those that a conversation brings.
import type { Kept } from '../../dialect/middle/codec.ts'
import type { Ask, Issuer } from '../../dialect/middle/form.ts'
import { digestOf } from '../../dialect/middle/proofs.ts'
import { disclose, enclose, keyOfText } from '../../dialect/middle/seal.ts'
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
  /** those of a conversation that passes */
  brought: readonly string[]
  /** who issued a vendor's own, by digest */
  issuers: ReadonlyMap<string, Issuer>
}

const none: readonly string[] = []
const noProofs: Proofs = { kept: new Map(), keep() {}, brought: none, issuers: new Map() }

// The newest of a conversation: a model asks only for those of the turn under way.
const MOST_KEYS = 64

/** Of a call whose bytes pass: who issued what it brings. One trip to the store, and none, nor a wait, where it brings nothing. Never rejects. */
export function proofsOf(gw: Gateway, { peek }: Call): Proofs | Promise<Proofs> {
  const brought = peek.proofs?.() ?? none
  return brought.length === 0 ? noProofs : issuersOf(gw, brought).then(issuers => ({ ...noProofs, brought, issuers }))
}

const OF_ISSUER = 'issuer:'
// The newest: a vendor looks at those of the turns that it still remembers.
const MOST_PROOFS = 256

async function issuersOf(gw: Gateway, brought: readonly string[]): Promise<ReadonlyMap<string, Issuer>> {
  const digests = brought.slice(-MOST_PROOFS).map(digestOf)
  const values = await gw.store.get(digests.map(digest => OF_ISSUER + digest))
  const known = new Map<string, Issuer>()
  for (const [i, value] of values.entries()) {
    const enclosed = value === undefined ? undefined : disclose(value)
    if (enclosed) known.set(digests[i]!, enclosed.issuer)
  }
  return known
}

/** An answer that passed had these proofs, of this issuer. */
export function learnProofs(gw: Gateway, found: readonly string[], issuer: Issuer): void {
  const said = enclose({ issuer, value: undefined, text: '', callId: '' })
  for (const proof of found) void gw.store.set(OF_ISSUER + digestOf(proof), said, gw.config['sticky.ttl'])
}

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
  const keep = (key: string, envelope: string) => void gw.store.set(scope + key, envelope, gw.config['sticky.ttl'])
  return { ...noProofs, kept, keep }
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
