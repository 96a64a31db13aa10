// What the verbs of gw ops share: the times and the one filter that they are asked with, and figures in words.
import type { Range } from '../../core/watch/range.ts'
import { dimensionNames, type WatchFilter } from '../../core/watch/scope.ts'
import { type Milliseconds, round } from '../../core/watch/sums.ts'

export interface Span {
  range?: Range
  since?: Date
  until?: Date
}

export type Filters = { [K in keyof WatchFilter]: string | undefined }

export const filterOf = (options: Filters): WatchFilter =>
  Object.fromEntries(dimensionNames.map(name => [name, options[name]]))

/** To two digits: a metric of the machine comes with as many as it was measured with. */
export const percent = (value: number | null): string => (value === null ? '-' : `${round(value, 2)} %`)

export const quantiles = (ms: Milliseconds): string =>
  ms.p50 === null ? 'none seen' : `p50 ${ms.p50} ms, p95 ${ms.p95} ms, p99 ${ms.p99} ms`
