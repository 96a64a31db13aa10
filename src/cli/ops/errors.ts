// gw ops errors: the error log, page by page, or what is most frequent in it.
import {
  countErrors,
  type ErrorFilter,
  type ErrorKey,
  type ErrorRecord,
  type ErrorShare,
  errorSpan,
  listErrors,
} from '../../core/errors/read.ts'
import { reading } from '../../core/watch/reading.ts'
import { Refusal } from '../../lib/refusal.ts'
import type { Invocation } from '../command.ts'
import type { ListOptions } from '../format.ts'

export interface ErrorsOptions extends ListOptions, ErrorFilter {
  since?: Date
  until?: Date
  by?: ErrorKey
  limit?: number
  before?: string
}

const row = (e: ErrorRecord) => ({
  at: e.at,
  request: e.request_id,
  level: e.level,
  status: e.status,
  code: e.code,
  cause: e.cause,
  owner: e.owner,
  user: e.user,
  account: e.account,
  model: e.model,
  recovered: e.recovered,
  retries: e.retries,
  ms: e.duration_ms,
  message: e.message,
})
const less = ['retries', 'ms', 'cause', 'model', 'user', 'level', 'owner', 'account', 'recovered', 'code', 'status']

const share = (by: ErrorKey) => (s: ErrorShare) => ({
  count: s.count,
  '%': s.percentage,
  recovered: s.recovered,
  ...(by === 'message' ? { status: s.status, code: s.code } : {}),
  [by]: s.value,
  last: s.last_at,
  request: s.request_id,
})

export async function errors(gw: Invocation, options: ErrorsOptions): Promise<void> {
  const { since, until, by, limit, before, output, columns, headers, ...filter } = options
  const { db } = await gw.database()
  const span = errorSpan({ since, until, request: filter.request }, Date.now())
  const none = `no such error since ${new Date(span.since).toISOString()}`
  if (by !== undefined) {
    if (before !== undefined)
      throw new Refusal('usage', '--before goes with a list, and --by makes none; leave one out')
    const found = await reading(db, tx => countErrors(tx, span, { ...filter, by, limit }))
    gw.out.list(found.rows, share(by), none, ['request', 'last', 'recovered'])
    const shown = found.rows.reduce((sum, { count }) => sum + count, 0)
    if (shown < found.total) gw.out.note(`${found.total - shown} of ${found.total} are others`)
    return
  }
  const found = await reading(db, tx => listErrors(tx, span, { ...filter, before, limit: limit ?? 50 }))
  gw.out.list(found.rows, row, none, less)
  if (found.next !== null) gw.out.note(`next page: the same with --before ${found.next}`)
}
