// The epoch of a database: whether it is still the one that was seen before, and no older state of it.
import type pg from 'pg'

/** Where a database stands; of two that are seen one after the other the second is never behind the first, unless it went back. */
export interface Standing {
  /** its epoch */
  number: number
  /** the next transaction's number */
  at: bigint
  /** the last entry of the ledger, by its number; a database from a dump has transactions of its own, but no entries */
  entry: bigint
  /** this database, its table of balances and that one's triggers, however often they were made anew */
  body: string
  /** how often a standby took over; undefined where we may not know */
  timeline: string | undefined
  /** of the cluster of files; undefined where we may not know */
  system: string | undefined
}

/** An epoch is the upper part of a version: whatever is counted in a later one is larger. */
const BITS = 48n
/** As SQL: what is added to a row's own version. Read in a statement of its own table it locks nobody out but who begins an epoch. */
export const epochPart = `(select number::bigint << ${BITS} from database_epoch)`
const NAMES = `'{${[
  'account_groups_account_id_fkey',
  'account_groups_group_id_fkey',
  'accounts_proxy_id_fkey',
  'api_keys_user_id_fkey',
  'api_keys_group_id_fkey',
  'balances_user_id_fkey',
  'key_usage_key_id_fkey',
  'subscriptions_user_id_fkey',
  'subscriptions_group_id_fkey',
  'subscription_usage_subscription_id_fkey',
  'prices_pkey',
  'ledger_pkey',
  'usage_pkey',
].join()}}'`
/**
 * As SQL: what a database lacks that pg_restore makes last, of the tables by which clients are let in and usage is booked; null
 * where it has all. Before, some of their rows are not there, and a line may be booked beside the same one of the backup. It is asked
 * with each batch of usage, and written so that Postgres looks up these names and nothing else.
 */
export const lacking = `(select min(name) || case count(*) when 1 then '' else format(' and %s more', count(*) - 1) end from unnest(${NAMES}::text[]) name
  where name <> all (array(select conname::text from pg_constraint
    where conname = any(${NAMES}::name[]) and connamespace = (select current_schema()::regnamespace)
      and (select indisvalid from pg_index where indexrelid = conindid))))`

/** A backup is being put back: nothing may be read from what is there, and nothing written to it. */
export class HalfRestored extends Error {
  constructor(what: string) {
    super(`the database is not whole, ${what}: is a backup being put back?`)
    this.name = 'HalfRestored'
  }
}

/** @throws HalfRestored where there is something in `lacking` */
export function assertWhole(lacking: string | null): void {
  if (lacking !== null) throw new HalfRestored(`it lacks ${lacking}`)
}

/** What a row itself says its version is. */
export const withoutEpoch = (version: bigint): bigint => version & ((1n << BITS) - 1n)

const ALL = `select (select number from database_epoch) as number, ${lacking} as lacking, pg_snapshot_xmax(pg_current_snapshot())::text as at,
    (select last_value::text from ledger_seq) as entry,
    concat_ws('/', (select oid from pg_database where datname = current_database()), 'balances'::regclass::oid,
      pg_relation_filenode('balances'::regclass),
      (select string_agg(oid || tgenabled, '.' order by oid) from pg_trigger where tgrelid = 'balances'::regclass and not tgisinternal)) as body`
const MORE = `, case when not pg_is_in_recovery() then left(pg_walfile_name(pg_current_wal_lsn()), 8) end as timeline,
    (pg_control_system()).system_identifier::text as system`
const NO_TABLE = '42P01'
/** The server does not know it, or this role may not: managed servers differ. */
const REFUSED = new Set(['42501', '42883', '0A000', '55000'])

interface Row {
  number: number | null
  lacking: string | null
  at: string
  entry: string
  body: string
  timeline?: string | null
  system?: string
}

// Who was refused once asks on that connection for less: each refusal is a line in the server's log.
const refused = new WeakSet<pg.Client>()

/** @throws HalfRestored also where there are no tables */
export async function standingOf(client: pg.Client): Promise<Standing> {
  const { rows } = await client.query<Row>(refused.has(client) ? ALL : ALL + MORE).catch(error => {
    const code = (error as { code?: string }).code ?? ''
    if (code === NO_TABLE) throw new HalfRestored((error as Error).message)
    if (!REFUSED.has(code)) throw error
    refused.add(client)
    return client.query<Row>(ALL)
  })
  const { number, lacking, at, entry, body, timeline, system } = rows[0]!
  assertWhole(lacking)
  if (number === null) throw new HalfRestored('database_epoch has no row')
  return { number, at: BigInt(at), entry: BigInt(entry), body, timeline: timeline ?? undefined, system }
}

/** Why `now` does not follow on `before`, in words, and whether it is behind it for sure; undefined when it does follow. */
export function brokenBetween(before: Standing, now: Standing): { why: string; back: boolean } | undefined {
  const differs = (what: 'system' | 'timeline' | 'body') =>
    before[what] !== undefined && now[what] !== undefined && before[what] !== now[what]
  if (now.number < before.number) return { why: `its epoch was ${before.number} and is ${now.number}`, back: true }
  if (now.entry < before.entry)
    return { why: `its ledger was at entry ${before.entry} and is at ${now.entry}`, back: true }
  // Of another server transactions are numbered anew.
  if (differs('system')) return { why: 'it is another server', back: false }
  if (now.at < before.at) return { why: `its transactions were at ${before.at} and are at ${now.at}`, back: true }
  if (differs('timeline')) return { why: 'a standby has taken over', back: false }
  if (differs('body')) return { why: 'its tables were made anew', back: false }
  return undefined
}

/** Begins the next epoch after `known`, unless another process has done so. @returns the epoch in force */
export async function beginEpoch(client: pg.Client, known: number): Promise<number> {
  await client.query('begin')
  try {
    // Who wrote versions in the old one has ended by then, and who comes writes them in the new one.
    await client.query(`set local lock_timeout = '2s'`)
    await client.query('lock table database_epoch in access exclusive mode')
    await client.query(
      'update database_epoch set number = $1::integer + 1, began_at = clock_timestamp() where number <= $1::integer',
      [known],
    )
    const { rows } = await client.query<{ number: number }>('select number from database_epoch')
    if (!rows[0]) throw new HalfRestored('database_epoch has no row')
    await client.query('commit')
    return rows[0].number
  } catch (error) {
    await client.query('rollback').catch(() => {})
    throw error
  }
}
