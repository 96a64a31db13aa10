// The paths of /ops/* that tell what gw saw of itself; their parameters are those of `gw ops`.
import type { Config } from '../config/schema.ts'
import { dimensions, sorts } from '../core/watch/dimensions.ts'
import { health, healthBack } from '../core/watch/health.ts'
import { defaultLimit, history, shortWindows, windowNames } from '../core/watch/history.ts'
import { latency } from '../core/watch/latency.ts'
import { overview } from '../core/watch/overview.ts'
import { providers } from '../core/watch/providers.ts'
import { DAY, HOUR, rangeNames, spanOf } from '../core/watch/range.ts'
import { reading } from '../core/watch/reading.ts'
import { dimensionNames, scopeOf, type WatchFilter } from '../core/watch/scope.ts'
import type { Database } from '../db/connect.ts'
import { instant, oneOf, parameters, text, whole } from './query.ts'
import { type OpsRoutes, remembered } from './routes.ts'

export interface WatchOptions {
  db: Database['db']
  config: () => Config
  now: () => number
}

const span = { since: instant, until: instant }
const ranged = { range: oneOf(...rangeNames), ...span }
const filters = {
  account: text,
  model: text,
  user: text,
  key: text,
  platform: text,
  group: text,
  path: text,
} satisfies Record<keyof WatchFilter, unknown>

// A board is looked at by many, and changes no faster than rows are written.
const OVERVIEW_MS = 10_000
const OTHERS_MS = 2_000

export function watchRoutes({ db, config, now }: WatchOptions): OpsRoutes {
  const redis = () => config()['redis.url'] !== undefined
  return {
    '/ops/overview': remembered(OVERVIEW_MS, query => {
      const { range, since, until, ...filter } = parameters(query, { ...ranged, ...filters })
      const asked = spanOf({ range, since, until }, HOUR, now())
      const options = { redis: redis(), poolSize: config()['database.pool_size'], intervalMs: config()['ops.interval'] }
      return reading(db, async tx => overview(tx, asked, await scopeOf(tx, filter), options))
    }),
    '/ops/history': remembered(OTHERS_MS, query => {
      const { window, limit, since, until, ...filter } = parameters(query, {
        window: oneOf(...windowNames, ...shortWindows),
        limit: whole(1, 5000),
        ...span,
        ...filters,
      })
      const asked = { ...spanOf({ since, until }, DAY, now()), window, limit: limit ?? defaultLimit(since) }
      return reading(db, async tx => history(tx, asked, await scopeOf(tx, filter)))
    }),
    '/ops/providers': remembered(OTHERS_MS, query => {
      const asked = spanOf(parameters(query, ranged), HOUR, now())
      return reading(db, tx => providers(tx, asked))
    }),
    '/ops/latency': remembered(OTHERS_MS, query => {
      const { range, since, until, ...filter } = parameters(query, { ...ranged, ...filters })
      const asked = spanOf({ range, since, until }, HOUR, now())
      return reading(db, async tx => latency(tx, asked, await scopeOf(tx, filter)))
    }),
    '/ops/dimensions': remembered(OTHERS_MS, query => {
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
      const page = { ...spanOf(asked, DAY, now()), by, sort, limit, offset }
      return reading(db, tx => dimensions(tx, page))
    }),
    '/ops/health': remembered(1_000, query => {
      const { since } = parameters(query, { since: instant })
      const until = now()
      const asked = { since: since?.getTime() ?? until - healthBack(config()['ops.interval']), until }
      return reading(db, tx => health(tx, asked, { redis: redis() }))
    }),
  }
}
