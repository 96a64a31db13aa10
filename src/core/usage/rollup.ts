// Roll-ups: sums of usage by minute, hour and day, which stay fast however many rows there are.
import { sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { UsageLine } from '../books/line.ts'

/** Longest model name of a roll-up, in characters: longer ones are one with all that begin alike, or no index could hold them. */
export const MODEL_CHARACTERS = 128

const dimensions = ['at', 'key_id', 'account_id', 'model', 'group_id', 'user_id'] as const
// What pools of accounts did, whoever asked them.
const ofPools = ['at', 'account_id', 'model', 'group_id'] as const

/** The tables: how long a bucket is, and how long a partition. */
const rollups = [
  { table: 'usage_minute', ms: 60_000, partition: 'day', by: dimensions },
  { table: 'usage_hour', ms: 3_600_000, partition: 'month', by: dimensions },
  { table: 'usage_day', ms: 86_400_000, partition: 'month', by: dimensions },
  { table: 'usage_pool_hour', ms: 3_600_000, partition: 'month', by: ofPools },
  { table: 'usage_pool_day', ms: 86_400_000, partition: 'month', by: ofPools },
] as const
type Rollup = (typeof rollups)[number]

const counts = ['requests', 'errors', 'partials', 'web_searches', 'first_tokens'] as const
const sums = [
  'input_tokens',
  'output_tokens',
  'cache_write_tokens',
  'cache_read_tokens',
  'cost',
  'charged',
  'duration_ms',
  'first_token_ms',
] as const

type Bucket = { at: number; model: string } & Record<'key_id' | 'account_id' | 'group_id' | 'user_id', number> &
  Record<(typeof counts)[number], number> &
  Record<(typeof sums)[number], bigint>

/**
 * Adds the lines to the sums of their minutes, hours and days. In the transaction that made their rows and only for rows
 * that were new: so each counts once. Rows are written in the order of their keys, so that two processes cannot wait for each other.
 */
export async function rollUp(tx: Db, lines: readonly UsageLine[]): Promise<void> {
  if (lines.length === 0) return
  let minutes: Bucket[] | undefined
  const merged = rollups.map(rollup => {
    const buckets = merge(minutes ?? lines.map(bucketOf), rollup)
    minutes ??= buckets
    return { rollup, buckets }
  })
  await makePartitions(tx, merged)
  for (const { rollup, buckets } of merged) await add(tx, rollup, buckets)
}

function bucketOf(line: UsageLine): Bucket {
  return {
    at: Date.parse(line.at),
    key_id: line.key_id,
    user_id: line.user_id,
    account_id: line.account_id ?? 0,
    group_id: line.group_id ?? 0,
    model: line.model.length <= MODEL_CHARACTERS ? line.model : [...line.model].slice(0, MODEL_CHARACTERS).join(''),
    requests: 1,
    errors: line.status >= 400 ? 1 : 0,
    partials: line.partial ? 1 : 0,
    web_searches: line.web_searches,
    first_tokens: line.first_token_ms === null ? 0 : 1,
    input_tokens: BigInt(line.input_tokens),
    output_tokens: BigInt(line.output_tokens),
    cache_write_tokens: BigInt(line.cache_write_5m_tokens + line.cache_write_1h_tokens),
    cache_read_tokens: BigInt(line.cache_read_tokens),
    cost: BigInt(line.cost),
    charged: BigInt(line.charged),
    duration_ms: BigInt(line.duration_ms),
    first_token_ms: BigInt(line.first_token_ms ?? 0),
  }
}

/** One bucket for each combination of the roll-up's dimensions, ordered by it. */
function merge(buckets: readonly Bucket[], { ms, by }: Rollup): Bucket[] {
  const merged = new Map<string, Bucket>()
  for (const one of buckets) {
    const at = Math.floor(one.at / ms) * ms
    const key = by.map(dimension => (dimension === 'at' ? at : one[dimension])).join(' ')
    const into = merged.get(key)
    if (into === undefined) {
      merged.set(key, { ...one, at })
      continue
    }
    for (const count of counts) into[count] += one[count]
    for (const sum of sums) into[sum] += one[sum]
  }
  // Any order will do that is the same everywhere; text is compared as JavaScript does, not as a locale does.
  return [...merged.values()].sort((a, b) => {
    for (const dimension of by) if (a[dimension] !== b[dimension]) return a[dimension] < b[dimension] ? -1 : 1
    return 0
  })
}

async function makePartitions(tx: Db, all: readonly { rollup: Rollup; buckets: readonly Bucket[] }[]): Promise<void> {
  const wanted = new Map<string, [parent: string, at: string, width: string]>()
  for (const { rollup, buckets } of all)
    for (const { at } of buckets) {
      const iso = new Date(at).toISOString()
      const { table, partition } = rollup
      wanted.set(table + iso.slice(0, partition === 'day' ? -14 : -17), [table, iso, partition])
    }
  const [parents, instants, widths] = [0, 1, 2].map(i => [...wanted.values()].map(one => one[i]))
  await sql`select time_partition(parent, at, width)
    from unnest(${parents}::text[], ${instants}::timestamptz[], ${widths}::text[]) as p(parent, at, width)`.execute(tx)
}

const typeOf = (column: string) =>
  column === 'at'
    ? 'timestamptz'
    : column === 'model'
      ? 'text'
      : (sums as readonly string[]).includes(column)
        ? 'bigint'
        : 'integer'
const additions = sql.raw([...counts, ...sums].map(name => `${name} = u.${name} + excluded.${name}`).join(', '))

async function add(tx: Db, { table, by }: Rollup, buckets: readonly Bucket[]): Promise<void> {
  const columns = [...by, ...counts, ...sums]
  // Arrays, a column each: Postgres reads them in a fraction of the time that it takes for the same as JSON.
  const arrays = columns.map(name => {
    const values = buckets.map(bucket => (name === 'at' ? new Date(bucket.at).toISOString() : String(bucket[name])))
    return sql`${values}::${sql.raw(typeOf(name))}[]`
  })
  await sql`insert into ${sql.table(table)} as u (${sql.raw(columns.join(', '))})
    select * from unnest(${sql.join(arrays)})
    on conflict (${sql.raw(by.join(', '))}) do update set ${additions}`.execute(tx)
}
