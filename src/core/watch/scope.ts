// What a question is narrowed to: one dimension's record or word, by name; roll-ups know no two at once.
import type { Db } from '../../db/connect.ts'
import type { WatchDimension } from '../../db/schema-watch.ts'
import { Refusal } from '../../lib/refusal.ts'
import { resolve } from '../usage/filter.ts'
import type { Scope } from './sums.ts'

/** Records by name or number, the others by their word. */
export type WatchFilter = { [D in Exclude<WatchDimension, 'total'>]?: string | undefined }

export const dimensionNames = [
  'account',
  'model',
  'user',
  'key',
  'platform',
  'group',
  'path',
] as const satisfies Exclude<WatchDimension, 'total'>[]

/** @throws Refusal `missing` for a name that nobody has, `usage` for two filters at once */
export async function scopeOf(db: Db, filter: WatchFilter): Promise<Scope> {
  const given = dimensionNames.filter(name => filter[name] !== undefined)
  const [dimension, other] = given
  if (dimension === undefined) return { dimension: 'total' }
  if (other !== undefined)
    throw new Refusal(
      'usage',
      `${dimension} and ${other} exclude each other here; give one of them (gw usage stats takes both)`,
    )
  const ref = filter[dimension]!
  if (dimension === 'model' || dimension === 'platform' || dimension === 'path') return { dimension, values: [ref] }
  const { ids } = await resolve(db, { [dimension]: ref })
  return { dimension, values: ids.flatMap(({ ids }) => ids.map(String)) }
}
