// Lists of records that may be long: put in order, counted, cut and paged by Postgres.
import { type RawBuilder, type SelectQueryBuilder, sql } from 'kysely'
import type { Database, Db } from '../../db/connect.ts'

/** A column of a list, and which way round. */
export interface Sort<C extends string = string> {
  column: C
  descending: boolean
}

/** A query that gives such records. */
// biome-ignore lint/suspicious/noExplicitAny: of any tables
export type Query<T> = SelectQueryBuilder<any, any, T>

/** Rows by these columns, what is null at the end; those that are alike by their ids. */
export function inOrder<Q extends Query<unknown>, C extends string>(
  query: Q,
  columns: Readonly<Record<C, RawBuilder<unknown>>>,
  sort: readonly Sort<C>[],
  id: string,
): Q {
  const terms = sort.map(({ column, descending }) => {
    return sql`${columns[column]} ${sql.raw(descending ? 'desc' : 'asc')} nulls last`
  })
  return query.orderBy(sql`${sql.join([...terms, sql.ref(id)], sql`, `)}`) as Q
}

/** The first rows, and how many there are in all. */
export async function firstOf<T>(query: Query<T>, limit: number): Promise<{ rows: T[]; total: number }> {
  const rows = await query.limit(limit + 1).execute()
  if (rows.length <= limit) return { rows, total: rows.length }
  const count = query.clearSelect().clearOrderBy().select(sql<number>`count(*)::integer`.as('n'))
  const { n } = (await count.executeTakeFirstOrThrow()) as { n: number }
  return { rows: rows.slice(0, limit), total: Math.max(n, rows.length) }
}

/** All rows as they are in one moment, `size` at a time, of which no more are held; `make` makes the query. */
export async function* pagesOf<T>(
  db: Database['db'],
  size: number,
  make: (db: Db) => Query<T> | Promise<Query<T>>,
): AsyncGenerator<T[]> {
  const tx = await db.startTransaction().setIsolationLevel('repeatable read').setAccessMode('read only').execute()
  try {
    await sql`declare listed no scroll cursor for ${await make(tx)}`.execute(tx)
    for (;;) {
      const { rows } = await sql<T>`fetch ${sql.lit(size)} from listed`.execute(tx)
      if (rows.length > 0) yield rows
      if (rows.length < size) return
    }
  } finally {
    await tx.rollback().execute()
  }
}
