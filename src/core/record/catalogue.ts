// The models that accounts' providers list, as they were last read, and whose turn it is to ask again.
import { sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { Platform } from '../../db/schema.ts'

/** What is kept of a provider's list. */
export interface Catalogue {
  /** in the words of an account's mapping; null: never read */
  mapping: Record<string, string> | null
  at: Date | null
  /** why the last reading gave nothing */
  problem: string | null
}

export async function readCatalogue(db: Db, accountId: number): Promise<Catalogue> {
  const row = await db
    .selectFrom('accounts')
    .select(['catalogue', 'catalogue_at', 'catalogue_problem'])
    .where('id', '=', accountId)
    .executeTakeFirstOrThrow()
  return { mapping: row.catalogue, at: row.catalogue_at, problem: row.catalogue_problem }
}

/**
 * The accounts of these platforms whose list should be read now: active ones without a mapping of their own. One whose token is about
 * to be refreshed waits for that.
 */
export async function dueCatalogues(db: Db, platforms: readonly Platform[]): Promise<number[]> {
  const { rows } = await sql<{ id: number }>`
    select a.id from accounts a
    where a.platform = any(${platforms}) and a.status = 'active' and a.deleted_at is null and a.model_map = '{}'
      and (a.expires_at is null or a.expires_at > now()) and (a.catalogue_due is null or a.catalogue_due <= now() or a.catalogue_at > now())
      and not exists (select from account_tokens t where t.account_id = a.id and t.refreshable and t.expires_at <= now())
    order by a.catalogue_due nulls first, a.id`.execute(db)
  return rows.map(row => row.id)
}

/**
 * Lists are to be read every `everyMs` from now on: none waits longer than that after it was read last, though another interval was
 * in force then. What is due within `retryMs` is left, since it may be somebody's claim.
 */
export async function hastenCatalogues(db: Db, { everyMs, retryMs }: { everyMs: number; retryMs: number }) {
  await sql`
    update accounts set catalogue_due = catalogue_at + ${everyMs} * interval '1 ms'
    where catalogue_problem is null and catalogue_due > now() + ${retryMs} * interval '1 ms'
      and catalogue_due > catalogue_at + ${everyMs} * interval '1 ms'`.execute(db)
}

/** Stands for the right to ask: whoever stores what came of it shows it. */
export type Claim = string & { readonly __claim: true }

/**
 * Takes it upon itself to ask for an account's list, so that of all nodes one does; should it come to nothing, it is due again in
 * `retryMs`. `force`: though it is not due yet.
 * @returns undefined when somebody else was faster
 */
export async function claimCatalogue(
  db: Db,
  accountId: number,
  { retryMs, force = false }: { retryMs: number; force?: boolean },
): Promise<Claim | undefined> {
  const { rows } = await sql<{ claim: Claim }>`
    update accounts set catalogue_due = clock_timestamp() + ${retryMs} * interval '1 ms'
    where id = ${accountId} and deleted_at is null
      and (${force} or catalogue_due is null or catalogue_due <= now())
    returning catalogue_due::text as claim`.execute(db)
  return rows[0]?.claim
}

/**
 * Stores a list that was asked for under a claim, and nothing else of the row. A list that was asked for with another credential, or of
 * another server, than the account has by now is left: setting one makes the list due, which voids claims.
 * @returns `stale` for that; else whether other models are listed than before
 */
export async function storeCatalogue(
  db: Db,
  accountId: number,
  { claim, mapping, everyMs }: { claim: Claim; mapping: Record<string, string>; everyMs: number },
): Promise<'stale' | 'same' | 'changed'> {
  const text = JSON.stringify(mapping)
  const { rows } = await sql<{ changed: boolean }>`
    with was as (select id, catalogue from accounts where id = ${accountId} and catalogue_due = ${claim}::timestamptz for update)
    update accounts a set catalogue = ${text}, catalogue_at = now(), catalogue_problem = null,
      catalogue_due = now() + ${everyMs} * interval '1 ms'
    from was where a.id = was.id and a.deleted_at is null
    returning was.catalogue is distinct from ${text}::jsonb as changed`.execute(db)
  return rows[0] === undefined ? 'stale' : rows[0].changed ? 'changed' : 'same'
}

/**
 * Notes that what was asked under a claim gave no list; the one from before stays.
 * @returns whether it is the first such reading since one gave a list
 */
export async function noteCatalogueProblem(db: Db, accountId: number, claim: Claim, problem: string): Promise<boolean> {
  const { rows } = await sql<{ first: boolean }>`
    with was as (select id, catalogue_problem from accounts where id = ${accountId} and catalogue_due = ${claim}::timestamptz for update)
    update accounts a set catalogue_problem = ${problem} from was where a.id = was.id and a.deleted_at is null
    returning was.catalogue_problem is null as first`.execute(db)
  return rows[0]?.first ?? false
}
