// thoughtSignature: a proof of Gemini's own, one of ours around another vendor's, or words that only say that there is none.
import type { Issuer, Seal } from '../middle/form.ts'
import { disclose, inBytes, isGoodFor, isOurs, REDACTED } from '../middle/seal.ts'

/** What Google takes in place of a proof for a call that it did not make (ai.google.dev, thought signatures). */
export const SKIP = 'skip_thought_signature_validator'
const skips = new Set([SKIP, 'context_engineering_is_the_way_to_go'])

export interface Proof {
  seal: Seal | undefined
  /** the reasoning that it proves, where the client has no place for that */
  text: string
  /** it is all there is of the reasoning */
  redacted: boolean
  /** of another vendor: it proves reasoning, and not the part that it stands at */
  foreign: boolean
}

/** Where a proof comes from that a client of this dialect brings and that is not one of ours: from Google, nobody knows whose account. */
const google: Issuer = { platform: 'gemini', scope: '', model: '' }

/** Undefined: there is none, or one of ours that is broken. */
export function proofOf(signature: unknown): Proof | undefined {
  if (typeof signature !== 'string' || signature === '' || skips.has(signature)) return undefined
  const enclosed = disclose(signature)
  if (enclosed) {
    const { issuer, value, text, callId } = enclosed
    const foreign = issuer.platform !== 'gemini' && issuer.platform !== 'antigravity'
    return { seal: { value: value ?? '', issuer }, text, foreign, redacted: callId === REDACTED }
  }
  if (isOurs(signature)) return undefined
  return { seal: { value: signature, issuer: google }, text: '', foreign: false, redacted: false }
}

/** Whether a proof may be sent: to whom issued it, or, of a client of Google's own, as it is. */
export function isGood(seal: Seal | undefined, target: Issuer): seal is Seal {
  if (!seal || seal.value === '') return false
  if (seal.issuer?.scope === '') return seal.issuer.platform === 'gemini'
  return isGoodFor(seal, target)
}

/** A proof as a field of bytes has it. */
export const written = (proof: string) => (proof.startsWith('gw1.') ? inBytes(proof) : proof)
