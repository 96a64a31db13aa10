// What a request cost in time beyond the client that sent it, the places it waited for and the upstreams it was asked of.
import type { Outcome } from '../core/outcome.ts'

/**
 * ms from when its body was whole to its end, without waiting and without attempts; what gw does while an upstream is asked or
 * answers hides in the attempt. Times are whole ms, so one request is exact to 1 ms and the average over many to far less.
 */
export function overheadMs({ receivedMs, durationMs, waitedMs, attempts }: Outcome): number {
  let rest = durationMs - receivedMs - waitedMs
  for (const { startedMs, endedMs } of attempts) rest -= endedMs - startedMs
  return Math.max(0, rest)
}
