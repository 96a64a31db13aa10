// Records are named by name or number, everywhere (spec/cli.md §1.8).
import { type RawBuilder, sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import { Refusal } from '../../lib/refusal.ts'
import { didYouMean, reach } from '../../lib/suggest.ts'

/** A record's name: letters, digits and `. _ @ + : -`, at most 100; not a number, since numbers are ids. */
export function checkName(noun: string, name: string): string {
  if (!/^[\p{L}\p{N}][\p{L}\p{N}._@+:-]{0,99}$/u.test(name))
    throw new Refusal(
      'usage',
      `${noun} name "${name}" is not allowed: use 1–100 letters, digits and . _ @ + : - and begin with a letter or digit`,
    )
  if (/^\d+$/.test(name))
    throw new Refusal('usage', `${noun} name "${name}" is a number, and numbers name records by id; add a letter`)
  return name
}

/** Where the records of a noun are, and which of them are there now. */
const tables = {
  user: { table: 'users', there: sql`deleted_at is null` },
  group: { table: 'groups', there: sql`deleted_at is null` },
  account: { table: 'accounts', there: sql`deleted_at is null` },
  proxy: { table: 'proxies', there: sql`deleted_at is null` },
  key: { table: 'api_keys', there: sql`status = 'active'` },
} as const
export type Noun = keyof typeof tables

const LARGEST_ID = 2_147_483_647

/** Of rows of the table `alias`: the one that `ref` names, an id when it is all digits, else a name. An index knows it. */
export function isNamed(alias: string, ref: string): RawBuilder<boolean> {
  if (!/^\d+$/.test(ref)) return sql<boolean>`${sql.ref(`${alias}.name`)} = ${ref}`
  const id = Number(ref)
  return id > LARGEST_ID ? sql<boolean>`false` : sql<boolean>`${sql.ref(`${alias}.id`)} = ${id}`
}

/** Rows with one of these ids, as one parameter however many there are. */
export function among(column: string, ids: readonly number[]): RawBuilder<boolean> {
  return sql<boolean>`${sql.ref(column)} = any(${ids}::integer[])`
}

/** Holds these rows until the transaction ends, in one order, so that two changes of many do not wait for each other. */
export async function hold(db: Db, noun: Noun, ids: readonly number[]): Promise<void> {
  await sql`select from ${sql.table(tables[noun].table)} where ${among('id', ids)} order by id for update`.execute(db)
}

/** `row`, which was looked for by `ref`. @throws Refusal `missing`, with the nearest name there is, when there is none */
export async function found<T>(db: Db, noun: Noun, ref: string, row: T | undefined): Promise<T> {
  if (row !== undefined) return row
  const { table, there } = tables[noun]
  // Names that are much longer or shorter are nothing like it, and there may be many.
  const { rows } = await sql<{ name: string }>`select name from ${sql.table(table)}
    where ${there} and abs(length(name) - ${ref.length}::integer) <= ${reach(ref)}::integer order by id`.execute(db)
  throw missing(noun, ref, rows)
}

/**
 * Each record that is named, once, in the order of the references.
 * @throws Refusal `missing` that tells of all that nobody bears
 */
export async function findEach<T extends { id: number }>(
  refs: readonly string[],
  find: (ref: string) => Promise<T>,
): Promise<T[]> {
  const records = new Map<number, T>()
  const unknown: Refusal[] = []
  for (const ref of new Set(refs)) {
    try {
      const record = await find(ref)
      records.set(record.id, record)
    } catch (error) {
      if (!(error instanceof Refusal && error.kind === 'missing')) throw error
      unknown.push(error)
    }
  }
  if (unknown.length === 0) return [...records.values()]
  const some = unknown.slice(0, 5).map(refusal => refusal.message)
  const more = unknown.length > 5 ? `; and ${unknown.length - 5} more` : ''
  throw new Refusal('missing', some.join('; ') + more)
}

/**
 * Of a list that is at hand, the record that `ref` names: an id when it is all digits, else a name.
 * @throws Refusal `missing`, with the nearest name there is
 */
export function pick<T extends { id: number; name: string }>(noun: string, records: readonly T[], ref: string): T {
  const record = /^\d+$/.test(ref) ? records.find(r => r.id === Number(ref)) : records.find(r => r.name === ref)
  if (record) return record
  throw missing(noun, ref, records)
}

function missing(noun: string, ref: string, near: readonly { name: string }[]): Refusal {
  const guess = didYouMean(
    ref,
    near.map(r => r.name),
  )
  return new Refusal('missing', `no ${noun} "${ref}"${guess} (gw ${noun} list shows them)`)
}

/** Turns Postgres' unique violation into the refusal an operator understands. */
export async function unique<T>(noun: string, name: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    const { code, constraint } = error as { code?: string; constraint?: string }
    if (code !== '23505') throw error
    const what = constraint?.endsWith('_email')
      ? `a ${noun} with this e-mail`
      : constraint?.endsWith('_digest')
        ? 'this key value'
        : `${noun} "${name}"`
    throw new Refusal('conflict', `${what} exists already; choose another, or change it with gw ${noun} set`, {
      cause: error,
    })
  }
}
