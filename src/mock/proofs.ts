// Proofs of thinking, as vendors hand them out with it and want them back: each credential signs with its own name.
import { hash } from 'node:crypto'
import type { Call } from './call.ts'
import type { Step } from './step.ts'

/** What stands in a proof. */
interface Proof {
  /** the credential's digest: a proof passes through many hands */
  by: string
  model: string
  /** the digest of the thinking it proves */
  of: string
  seed: string
}

const digest = (text: string): string => hash('sha256', text).slice(0, 16)

/** Standard base64, as Gemini's must be; the same for the same request and credential. */
export function proofOf({ credential }: Call, model: string, thinking: readonly string[], seed: string): string {
  const proof: Proof = { by: digest(credential), model, of: digest(thinking.join('')), seed: seed.slice(0, 16) }
  return Buffer.from(`mock${JSON.stringify(proof)}`).toString('base64')
}

/** A proof that a history holds. */
export interface Brought {
  value: string
  /** the thinking beside it, where it is bound to that and was not left out */
  thinking?: string | undefined
  /** where it stands, as the vendor names it */
  at: string
}

/** The first proof that the step's credential would refuse; undefined when all are its own, or it does not look. */
export function foreign(call: Call, { proofs }: Step, brought: Iterable<Brought>): Brought | undefined {
  if (!proofs) return undefined
  for (const one of brought) {
    const proof = read(one.value)
    const own = proof?.by === digest(call.credential)
    const whole = one.thinking === undefined || one.thinking === '' || proof?.of === digest(one.thinking)
    if (!own || !whole || (proofs === 'own of the model' && proof.model !== call.model)) return one
  }
  return undefined
}

function read(value: string): Proof | undefined {
  const text = Buffer.from(value, 'base64').toString()
  if (!text.startsWith('mock{')) return undefined
  try {
    return JSON.parse(text.slice('mock'.length)) as Proof
  } catch {
    return undefined
  }
}

type Fields = Record<string, unknown>

/** The objects of a list; none of what is no list. */
export function objectsOf(value: unknown): Fields[] {
  return Array.isArray(value) ? value.filter(one => typeof one === 'object' && one !== null) : []
}

/** The body as an object; an empty one when it is none. */
export function fieldsOf({ body }: Call): Fields {
  try {
    const json: unknown = JSON.parse(body.toString())
    return typeof json === 'object' && json !== null ? (json as Fields) : {}
  } catch {
    return {}
  }
}
