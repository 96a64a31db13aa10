// A tally of requests: numbers that are added on the hot path, and distributions that merge.
import { createSketch, mergeSketch, type Sketch } from './sketch.ts'

/** The columns that are plain sums, in the order of the tables. */
export const sums = [
  'requests',
  'success',
  'errors',
  'client_errors',
  'errors_4xx',
  'errors_5xx',
  'errors_timeout',
  'network_errors',
  'attempts',
  'attempt_errors',
  'input_tokens',
  'output_tokens',
  'cost',
] as const

/**
 * Named as the columns of `WatchCounts`. Numbers are exact up to 2^53: of nano-USD that is nine million USD in one minute, which
 * a bigint for each request would cost more than the rest of it.
 */
export class Tally implements Record<(typeof sums)[number], number> {
  requests = 0
  success = 0
  errors = 0
  client_errors = 0
  errors_4xx = 0
  errors_5xx = 0
  errors_timeout = 0
  network_errors = 0
  attempts = 0
  attempt_errors = 0
  input_tokens = 0
  output_tokens = 0
  cost = 0
  /** made with the first value: of most cells one of them is all that is needed, or none */
  duration: Sketch | undefined = undefined
  first_token: Sketch | undefined = undefined

  /** Takes in all of another, which stays as it is. */
  add(from: Tally): void {
    for (const name of sums) this[name] += from[name]
    if (from.duration) mergeSketch((this.duration ??= createSketch()), from.duration)
    if (from.first_token) mergeSketch((this.first_token ??= createSketch()), from.first_token)
  }
}
