// Instants as people write them: a length of time from now, or a date.
import { parseDuration } from './units.ts'

/** What is taken, in words: the tail of "must be …". */
export const instantRule = 'a duration such as 12h or 30d, or a date such as 2026-12-31 or 2026-12-31T18:00Z'

// A date without a zone is UTC, like every time gw prints; Date.parse takes some for local time.
const iso = /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})?)?$/
// Postgres and Date agree on these years.
const farthest = Date.UTC(9999, 11, 31)

/** The instant that a length of time before (-1) or after (1) `now`, or a date of RFC 3339, says; undefined where it says none. */
export function parseInstant(text: string, direction: 1 | -1, now: number): Date | undefined {
  const length = parseDuration(text)
  const zoned = /(Z|[+-]\d{2}:\d{2})$/.test(text) || text.length === 10
  const at =
    length !== undefined
      ? now + direction * length
      : iso.test(text)
        ? Date.parse(text.replace(' ', 'T') + (zoned ? '' : 'Z'))
        : Number.NaN
  return at >= 0 && at <= farthest ? new Date(at) : undefined
}
