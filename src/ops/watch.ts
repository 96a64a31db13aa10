// The paths of /ops/* that tell what gw saw of itself; their parameters are those of `gw ops`.
import type { Config } from '../config/schema.ts'
import { dimensions, sorts } from '../core/watch/dimensions.ts'
import { DAY, spanOf } from '../core/watch/range.ts'
import { reading } from '../core/watch/reading.ts'
import { dimensionNames } from '../core/watch/scope.ts'
import type { Database } from '../db/connect.ts'
import { instant, oneOf, parameters, whole } from './query.ts'
import type { OpsRoutes } from './routes.ts'

export interface WatchOptions {
  db: Database['db']
  config: () => Config
  now: () => number
}

const span = { since: instant, until: instant }

export function watchRoutes({ db, now }: WatchOptions): OpsRoutes {
  return {
    async '/ops/dimensions'(query) {
      const {
        by = 'account',
        sort = 'requests',
        limit = 50,
        offset = 0,
        ...asked
      } = parameters(query, {
        ...span,
        by: oneOf(...dimensionNames),
        sort: oneOf(...sorts),
        limit: whole(1, 1000),
        offset: whole(0, 1_000_000),
      })
      return reading(db, tx => dimensions(tx, { ...spanOf(asked, DAY, now()), by, sort, limit, offset }))
    },
  }
}
