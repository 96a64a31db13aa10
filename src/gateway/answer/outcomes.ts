// Begins and ends the record of each request, and hands finished ones to whoever folds over them.
import type { IncomingMessage } from 'node:http'
import { type Fold, Outcome } from '../../core/outcome.ts'
import { maskPath } from '../../lib/credentials.ts'
import { requestId } from '../../lib/id.ts'

export interface Outcomes {
  /** Of a request, or of what was meant to be one; `ip` is the client's address. */
  begin(req: Pick<IncomingMessage, 'method' | 'url'>, ip: string): Outcome
  end(outcome: Outcome): void
}

export function createOutcomes(now: () => number, folds: readonly Fold[]): Outcomes {
  return {
    begin(req, ip) {
      const at = now()
      const url = req.url ?? '/'
      const mark = url.indexOf('?')
      const outcome = new Outcome({
        id: requestId(at),
        at,
        method: req.method ?? '',
        path: maskPath(mark === -1 ? url : url.slice(0, mark)),
        ip,
      })
      for (const fold of folds) fold.began?.(outcome)
      return outcome
    },
    end(outcome) {
      outcome.phase = 'done'
      outcome.meter = undefined
      outcome.durationMs = now() - outcome.at
      for (const fold of folds) fold.ended(outcome)
    },
  }
}
