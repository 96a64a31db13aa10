// The life of an alert, one evaluation after the other: pure, so that whoever evaluates goes on where another left it.
import { compare, type Operator } from './metrics.ts'

/**
 * quiet ──breached `sustained` times in a row, and not within the cooldown──▶ firing
 * firing ──not breached──▶ quiet (recovered)
 * firing ──no value for IDLE_MS──▶ quiet (idle)
 *
 * An evaluation that was missed breaks the row, and so does one without a value; neither ends what fires.
 */
export interface Memory {
  /** in a row, up to now */
  breaches: number
  /** Unix ms of the first evaluation in a row without a value; null: there is one */
  idleSince: number | null
  /** Unix ms when it last fired; null: never, as far as it matters */
  firedAt: number | null
}

export interface Terms {
  op: Operator
  threshold: number
  /** evaluations in a row, at least 1 */
  sustained: number
  cooldownMs: number
}

/** What an evaluation found. */
export interface Seen {
  /** Unix ms: the boundary */
  at: number
  /** undefined: there was nothing to be measured */
  value: number | undefined
  /** an event of it is open */
  firing: boolean
  /** evaluations before this one were missed */
  gap: boolean
}

export interface Step {
  memory: Memory
  act: 'fire' | 'recover' | 'idle' | undefined
}

/** What has had nothing to be measured for so long does not fire any more: nobody is there whom it could concern. */
export const IDLE_MS = 10 * 60_000

export const nothingKnown: Memory = { breaches: 0, idleSince: null, firedAt: null }

export function step(terms: Terms, before: Memory, { at, value, firing, gap }: Seen): Step {
  if (value === undefined) {
    const idleSince = before.idleSince ?? at
    const memory = { breaches: 0, idleSince, firedAt: before.firedAt }
    return { memory, act: firing && at - idleSince >= IDLE_MS ? 'idle' : undefined }
  }
  const breached = compare(value, terms.op, terms.threshold)
  const breaches = breached ? (gap ? 1 : before.breaches + 1) : 0
  const memory = { breaches, idleSince: null, firedAt: before.firedAt }
  if (firing) return { memory, act: breached ? undefined : 'recover' }
  const cooled = before.firedAt === null || at - before.firedAt >= terms.cooldownMs
  if (breaches < terms.sustained || !cooled) return { memory, act: undefined }
  return { memory: { ...memory, firedAt: at }, act: 'fire' }
}

/** Whether anything of it is still worth knowing at `at`: what cannot change what happens next is forgotten. */
export function worthKeeping(
  { breaches, firedAt }: Memory,
  { cooldownMs }: Terms,
  firing: boolean,
  at: number,
): boolean {
  return firing || breaches > 0 || (firedAt !== null && at - firedAt < cooldownMs)
}
