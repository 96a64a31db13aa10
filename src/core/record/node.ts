// The nodes of an installation as Postgres knows them: who beats, and how many there were when they could last be counted.
import { sql } from 'kysely'
import type { Db } from '../../db/connect.ts'

/** What a node shares limits through: nothing at all, a Redis that answers, or one that does not. */
export type Shares = 'nothing' | 'redis' | 'silent'

/** What a node says of itself. */
export interface NodeRow {
  process: string
  /** names its data_dir */
  place: string
  host: string
  pid: number
  version: string
  shares: Shares
  /** how many processes it counts in its Redis; null while it cannot */
  sees: number | null
}

/** What is known of another one. */
export interface OtherNode extends NodeRow {
  /** changes with each of its beats */
  beat: string
  /** since its last beat, by Postgres's clock */
  ageMs: number
}

const KNOWN = 'nodes.known'
// No node that lives stands still for so long, unless its whole host did.
const FORGOTTEN = sql`interval '1 hour'`

/** Takes the place of whoever died in the same data_dir, and forgets who died long ago. */
export async function enter(db: Db, { place, process }: NodeRow): Promise<void> {
  await sql`
    delete from nodes where (place = ${place} and process <> ${process}) or beat_at < clock_timestamp() - ${FORGOTTEN}`.execute(
    db,
  )
}

/** One beat, in one trip: this node's row, all the others', and the number that was last remembered. */
export async function beat(db: Db, row: NodeRow): Promise<{ others: OtherNode[]; known: number | undefined }> {
  const { process, place, host, pid, version, shares, sees } = row
  const { rows } = await sql<{ others: OtherNode[] | null; known: number | null }>`
    with mine as (
      insert into nodes (process, place, host, pid, version, shares, sees)
        values (${process}, ${place}, ${host}, ${pid}, ${version}, ${shares}, ${sees})
        on conflict (process) do update set beat_at = clock_timestamp(), shares = excluded.shares, sees = excluded.sees)
    select (select json_agg(json_build_object('process', process, 'place', place, 'host', host, 'pid', pid, 'version', version,
        'shares', shares, 'sees', sees, 'beat', beat_at::text, 'ageMs', extract(epoch from clock_timestamp() - beat_at) * 1000) order by started_at)
        from nodes where process <> ${process}) as others,
      (select value from settings where key = ${KNOWN}) as known`.execute(db)
  const { others, known } = rows[0]!
  return { others: others ?? [], known: known ?? undefined }
}

/** Remembers how many nodes there are, for whoever starts while nobody can count them. */
export async function remember(db: Db, count: number): Promise<void> {
  const value = JSON.stringify(count)
  await db
    .insertInto('settings')
    .values({ key: KNOWN, value })
    .onConflict(oc => oc.column('key').doUpdateSet({ value }))
    .execute()
}

export async function leave(db: Db, process: string): Promise<void> {
  await sql`delete from nodes where process = ${process}`.execute(db)
}
