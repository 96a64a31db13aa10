// Roll-ups: sums of usage by minute, hour and day, which stay fast however many rows there are.
import { arrayOf } from '../../db/session.ts'
import type { UsageLine } from '../books/line.ts'
import { moneySums, sums } from './columns.ts'

/** Longest model name of a roll-up, in characters: longer ones are one with all that begin alike, or no index could hold them. */
export const MODEL_CHARACTERS = 128

const dimensions = {
  at: 'timestamptz',
  key_id: 'integer',
  account_id: 'integer',
  model: 'text',
  group_id: 'integer',
  user_id: 'integer',
} as const
type Dimension = keyof typeof dimensions
const ofKeys = Object.keys(dimensions) as Dimension[]
// What pools of accounts did, whoever asked them.
const ofPools: Dimension[] = ['at', 'account_id', 'model', 'group_id']

/** The tables: how long a bucket is, and how long a partition. Each is summed from the one named, whose buckets are finer. */
const rollups = [
  { table: 'usage_minute', ms: 60_000, partition: 'day', by: ofKeys, from: -1 },
  { table: 'usage_hour', ms: 3_600_000, partition: 'month', by: ofKeys, from: 0 },
  { table: 'usage_day', ms: 86_400_000, partition: 'month', by: ofKeys, from: 1 },
  { table: 'usage_pool_hour', ms: 3_600_000, partition: 'month', by: ofPools, from: 1 },
  { table: 'usage_pool_day', ms: 86_400_000, partition: 'month', by: ofPools, from: 3 },
] as const

const names = Object.keys(sums) as (keyof typeof sums)[]
const adders = names.map(name => sums[name].of)

/** Numbers hold any sum of a batch exactly, but for money. */
interface Bucket extends Record<Exclude<Dimension, 'model'>, number> {
  model: string
  /** in the order of `names` */
  sums: number[]
  cost: bigint
  charged: bigint
}

/** Where a partition must be: a table, an instant of it (ISO 8601) and how long its partitions are. */
export interface Whereabouts {
  table: string
  at: string
  width: 'day' | 'month'
}

/** What rows add to the sums of their minutes, hours and days. */
export interface Additions {
  partitions: Whereabouts[]
  /** the values of `addSums` */
  values: string[]
}

/** Rows are in the order of their keys, so that two processes cannot wait for each other. */
export function additionsOf(lines: readonly UsageLine[]): Additions {
  const merged: Bucket[][] = []
  const partitions: Whereabouts[] = []
  const values: string[] = []
  for (const { table, ms, partition: width, by, from } of rollups) {
    const buckets = from < 0 ? ofLines(lines, ms) : merge(merged[from]!, ms, by)
    buckets.sort(order(by))
    merged.push(buckets)
    for (const at of new Set(buckets.map(bucket => bucket.at)))
      partitions.push({ table, at: new Date(at).toISOString(), width })
    const models = [...new Set(buckets.map(({ model }) => model))]
    const nth = new Map(models.map((model, i) => [model, i + 1]))
    values.push(String(buckets.length), arrayOf(models, true))
    const of = (name: Dimension) => (bucket: Bucket) =>
      name === 'at' ? new Date(bucket.at).toISOString() : name === 'model' ? nth.get(bucket.model) : bucket[name]
    for (const name of by) values.push(arrayOf(buckets.map(of(name))))
    for (let i = 0; i < names.length; i++) values.push(arrayOf(buckets.map(bucket => bucket.sums[i])))
    for (const name of moneySums) values.push(arrayOf(buckets.map(bucket => bucket[name])))
  }
  return { partitions, values }
}

/**
 * Adds to all sums at once. In the transaction that made their rows and only for rows that were new: so each counts once.
 */
export const addSums = statement()

function statement(): string {
  let nth = 0
  const inserts = rollups.map(({ table, by }) => {
    const columns = [...by, ...names, ...moneySums]
    const types = [
      ...by.map(name => dimensions[name]),
      ...names.map(name => sums[name].type),
      ...moneySums.map(() => 'bigint'),
    ]
    const of = (type: string) => `($${++nth}::${type}[])[i]`
    const added = [...names, ...moneySums].map(name => `${name} = u.${name} + excluded.${name}`)
    const [count, models] = [++nth, ++nth]
    // unnest would write a temporary store for each column: of these there are more than rows, mostly.
    const values = types.map(type => (type === 'text' ? `($${models}::text[])[${of('integer')}]` : of(type)))
    return `insert into ${table} as u (${columns.join(', ')}) select ${values.join(', ')} from generate_series(1, $${count}::integer) as i
      on conflict (${by.join(', ')}) do update set ${added.join(', ')}`
  })
  const last = inserts.pop()!
  return `with ${inserts.map((insert, i) => `r${i} as (${insert})`).join(',\n')}\n${last}`
}

function ofLines(lines: readonly UsageLine[], ms: number): Bucket[] {
  const buckets = new Map<string, Bucket>()
  for (const line of lines) {
    const at = Math.floor(Date.parse(line.at) / ms) * ms
    // Words that Postgres takes for a time and JavaScript does not.
    if (Number.isNaN(at)) throw Object.assign(new Error(`${line.at} is no time`), { code: '22007' })
    const key = `${at} ${line.key_id} ${line.account_id} ${line.group_id} ${line.user_id} ${line.model}`
    let bucket = buckets.get(key)
    if (bucket === undefined) {
      const { key_id, user_id, model } = line
      bucket = {
        at,
        key_id,
        account_id: line.account_id ?? 0,
        model: model.length <= MODEL_CHARACTERS ? model : [...model].slice(0, MODEL_CHARACTERS).join(''),
        group_id: line.group_id ?? 0,
        user_id,
        sums: names.map(() => 0),
        cost: 0n,
        charged: 0n,
      }
      buckets.set(key, bucket)
    }
    for (let i = 0; i < adders.length; i++) bucket.sums[i]! += adders[i]!(line)
    bucket.cost += BigInt(line.cost)
    bucket.charged += BigInt(line.charged)
  }
  // Names that begin alike have become one.
  return merge([...buckets.values()], ms, ofKeys)
}

/** One bucket for each combination of the dimensions. */
function merge(buckets: readonly Bucket[], ms: number, by: readonly Dimension[]): Bucket[] {
  const merged = new Map<string, Bucket>()
  for (const one of buckets) {
    const at = Math.floor(one.at / ms) * ms
    const key = by.map(dimension => (dimension === 'at' ? at : one[dimension])).join(' ')
    const into = merged.get(key)
    if (into === undefined) {
      merged.set(key, { ...one, at, sums: [...one.sums] })
      continue
    }
    for (let i = 0; i < into.sums.length; i++) into.sums[i]! += one.sums[i]!
    for (const name of moneySums) into[name] += one[name]
  }
  return [...merged.values()]
}

// Any order will do that is the same everywhere; text is compared as JavaScript does, not as a locale does.
const order = (by: readonly Dimension[]) => (a: Bucket, b: Bucket) => {
  for (const dimension of by) if (a[dimension] !== b[dimension]) return a[dimension] < b[dimension] ? -1 : 1
  return 0
}
