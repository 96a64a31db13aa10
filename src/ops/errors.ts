// /ops/errors: the error log, page by page, or what is most frequent in it; its parameters are those of `gw ops errors`.
import { countErrors, errorKeys, errorSpan, listErrors } from '../core/errors/read.ts'
import { reading } from '../core/watch/reading.ts'
import type { Database } from '../db/connect.ts'
import { owners, phases, severities } from '../db/schema-watch.ts'
import { Refusal } from '../lib/refusal.ts'
import { instant, oneOf, parameters, text, whole, yesOrNo } from './query.ts'
import type { OpsRoutes } from './routes.ts'

const known = {
  since: instant,
  until: instant,
  account: text,
  user: text,
  key: text,
  group: text,
  platform: text,
  model: text,
  phase: oneOf(...phases),
  owner: oneOf(...owners),
  severity: oneOf(...severities),
  code: text,
  cause: text,
  status: whole(100, 599),
  request: text,
  recovered: yesOrNo,
  q: text,
  by: oneOf(...errorKeys),
  limit: whole(1, 1000),
  before: text,
}

export function errorRoutes({ db, now }: { db: Database['db']; now: () => number }): OpsRoutes {
  return {
    async '/ops/errors'(query) {
      const { since, until, by, before, limit, ...filter } = parameters(query, known)
      const span = errorSpan({ since, until, request: filter.request }, now())
      if (by === undefined) return reading(db, tx => listErrors(tx, span, { ...filter, before, limit: limit ?? 50 }))
      if (before !== undefined) throw new Refusal('usage', 'before goes with a list, and by makes none; leave one out')
      return reading(db, tx => countErrors(tx, span, { ...filter, by, limit }))
    },
  }
}
