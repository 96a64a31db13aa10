// The latest lines of the log, a stretch at a time.
import type { LogsAsked, LogsView } from '../../control/view.ts'
import type { Recent } from '../../lib/recent.ts'
import { Refusal } from '../../lib/refusal.ts'

// An answer is made in one go, beside requests.
const LINES = 1000

export function logsView(recent: Recent | undefined, { from = 0, since = 0 }: Partial<LogsAsked>): LogsView {
  if (!recent) throw new Refusal('missing', 'this daemon keeps no lines of its log')
  const lines = recent.from(from, since, LINES)
  const last = lines.at(-1)
  const next = last === undefined ? recent.next : last.number + 1
  return { lines: lines.map(({ at, text }) => ({ at, text })), next, more: next < recent.next }
}
