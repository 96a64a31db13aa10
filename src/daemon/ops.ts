// What the ops listener answers under /ops/: the paths of every room, put together.
import { alertRoutes } from '../ops/alerts.ts'
import { errorRoutes } from '../ops/errors.ts'
import type { OpsRoutes } from '../ops/routes.ts'
import { type WatchOptions, watchRoutes } from '../ops/watch.ts'

/** Paths of others are added here. */
export const opsRoutes = (options: WatchOptions): OpsRoutes => ({
  ...watchRoutes(options),
  ...alertRoutes(options),
  ...errorRoutes(options),
})
