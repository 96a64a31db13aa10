// What an operator narrows usage by: names become ids once, so that queries can use the indexes.
import { type RawBuilder, sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import { findKey } from '../record/key.ts'
import { found, isNamed } from '../record/named.ts'
import { MODEL_CHARACTERS } from './rollup.ts'

/** Records by name or number. A deleted one goes by its number, and by its name where nobody bears it now: usage is history. */
export interface UsageFilter {
  /** rows that began at this instant or later */
  since?: Date | undefined
  /** rows that began before this instant */
  until?: Date | undefined
  user?: string | undefined
  key?: string | undefined
  account?: string | undefined
  group?: string | undefined
  /** as it was requested */
  model?: string | undefined
}

/** A filter as queries take it: the ids that each name stands for. */
export interface Known {
  since: Date | undefined
  until: Date | undefined
  ids: { column: `${'user' | 'key' | 'account' | 'group'}_id`; ids: number[] }[]
  /** the keys of the user: in roll-ups they are what the index knows */
  keys: number[] | undefined
  model: string | undefined
}

const tables = { user: 'users', account: 'accounts', group: 'groups' } as const

/** @throws Refusal `missing`, with the nearest name there is */
export async function resolve(db: Db, filter: UsageFilter): Promise<Known> {
  const ids: Known['ids'] = []
  for (const noun of ['user', 'account', 'group'] as const) {
    const ref = filter[noun]
    if (ref !== undefined) ids.push({ column: `${noun}_id`, ids: await idsOf(db, noun, ref) })
  }
  if (filter.key !== undefined) ids.push({ column: 'key_id', ids: await keyIds(db, filter.key) })
  const users = ids.find(({ column }) => column === 'user_id')?.ids
  const keys = users && (await db.selectFrom('api_keys').select('id').where('user_id', 'in', users).execute())
  return { since: filter.since, until: filter.until, ids, keys: keys?.map(({ id }) => id), model: filter.model }
}

async function idsOf(db: Db, noun: keyof typeof tables, ref: string): Promise<number[]> {
  const table = tables[noun]
  const { rows } = await sql<{ id: number; deleted: boolean }>`
    select id, deleted_at is not null as deleted from ${sql.table(table)} where ${isNamed(table, ref)} order by id`.execute(
    db,
  )
  const bears = rows.find(row => !row.deleted)
  if (bears) return [bears.id]
  await found(db, noun, ref, rows[0])
  return rows.map(row => row.id)
}

/** A rotated key shares its name with the one before, and both are meant; else its number or its visible beginning. */
async function keyIds(db: Db, ref: string): Promise<number[]> {
  if (!/^\d+$/.test(ref)) {
    const named = await db.selectFrom('api_keys').select('id').where('name', '=', ref).execute()
    if (named.length > 0) return named.map(row => row.id)
  }
  return [(await findKey(db, ref)).id]
}

/**
 * The filter's terms without its times. Roll-ups know the beginning of a model's name only, so rows that are summed beside
 * them are asked for no more; and it is the keys that their index knows.
 */
export function terms(known: Known, as: string, of: 'rows' | 'rows to sum' | 'roll-up'): RawBuilder<unknown> {
  const column = (name: string) => sql.ref(`${as}.${name}`)
  const list = [sql`true`]
  for (const { column: name, ids } of known.ids) list.push(sql`${column(name)} = any(${ids})`)
  if (known.keys && of === 'roll-up') list.push(sql`${column('key_id')} = any(${known.keys})`)
  if (known.model !== undefined) {
    const begins = sql`left(${known.model}, ${sql.lit(MODEL_CHARACTERS)})`
    const model = column('model')
    if (of === 'rows') list.push(sql`${model} = ${known.model}`)
    else if (of === 'roll-up') list.push(sql`${model} = ${begins}`)
    else list.push(sql`left(${model}, ${sql.lit(MODEL_CHARACTERS)}) = ${begins}`)
  }
  return sql.join(list, sql` and `)
}

/** The table of hours or days to ask: where neither the filter nor the question is about users or keys, the far smaller one. */
export function rollupFor(known: Known, grain: string, about?: string): string {
  const columns = [about, ...known.ids.map(({ column }) => column)]
  const ofPools = grain !== 'minute' && !columns.includes('user_id') && !columns.includes('key_id')
  return ofPools ? `usage_pool_${grain}` : `usage_${grain}`
}
