// A verdict in a few words, for tables.
import { formatDuration } from '../../src/lib/units.ts'
import type { Verdict } from '../../src/platform/verdict.ts'

/** `window model 4d definite doubtful: reason`; `relay`, `relay without seals`. */
export function say(verdict: Verdict, now: number, withReason = false): string {
  if (verdict.relay) return verdict.seals ? 'relay without seals' : 'relay'
  const { class: cls, scope, until, definite, doubtful, reason } = verdict
  const time = until === undefined ? [] : [formatDuration(until - now)]
  const words = [cls, ...(scope === 'model' ? ['model'] : []), ...time, ...(definite ? ['definite'] : [])]
    .concat(doubtful ? ['doubtful'] : [])
    .join(' ')
  return withReason ? `${words}: ${reason}` : words
}
