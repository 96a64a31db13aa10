// Which proofs of a conversation may go out as they came, where its dialect passes through to an account.
import { createHash } from 'node:crypto'
import type { Issuer } from './form.ts'
import { disclose, isGoodFor, isOurs } from './seal.ts'

/** By what it is kept who issued a proof of a vendor. */
export function digestOf(proof: string): string {
  return createHash('sha256').update(proof).digest('base64url').slice(0, 22)
}

/**
 * What to do with the proofs that must not go out as they came, for `Peek.mapped`; empty: nothing, and the conversation is not touched.
 * Ours are opened where they were issued by whoever is asked now; those of others are left out.
 * @param issuerOf who issued a vendor's own, as far as that is known, by `digestOf`
 */
export function editsFor(
  proofs: readonly string[],
  target: Issuer,
  issuerOf: (digest: string) => Issuer | undefined,
): ReadonlyMap<string, string | undefined> {
  const edits = new Map<string, string | undefined>()
  for (const proof of proofs) {
    const ours = disclose(proof)
    if (ours)
      edits.set(proof, isGoodFor({ value: '', issuer: ours.issuer }, target) && ours.value ? ours.value : undefined)
    else if (isOurs(proof)) edits.set(proof, undefined)
    else {
      // One of a vendor that nobody knows may be good.
      const issuer = issuerOf(digestOf(proof))
      if (issuer && !isGoodFor({ value: proof, issuer }, target)) edits.set(proof, undefined)
    }
  }
  return edits
}
