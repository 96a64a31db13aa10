// Estimate: tokens of a request for an account whose upstream does not count them. No upstream is asked.
import { estimateTokens } from '../../dialect/middle/estimate.ts'
import type { Downstream } from '../answer/downstream.ts'
import type { Call } from '../enter/receive.ts'
import { askOf } from './asked.ts'

/** Told in the client's dialect, with `x-gw-estimated: true` beside it. @throws Failure BODY_INVALID */
export function answerEstimate(call: Call, down: Downstream): void {
  const tokens = estimateTokens(askOf(call))
  const body = Buffer.from(call.dialect.codec!.counting!.write(tokens))
  down.whole(200, ['content-type', 'application/json', 'x-gw-estimated', 'true'], body)
}
