// Reads snapshots from Postgres: the first one whole, a page at a time; each later one by the rows that changed.
import { setImmediate } from 'node:timers/promises'
import { sql } from 'kysely'
import type { Db } from '../db/connect.ts'
import { assertWhole, lacking } from '../db/epoch.ts'
import type { Platform } from '../db/schema.ts'
import type { Secret } from '../lib/secret.ts'
import { Credential } from './credential.ts'
import { operatorPrices, type PriceTable, priceTable, shippedPrices } from './price/price.ts'
import { mixedInto } from './record/account.ts'
import { among } from './record/named.ts'
import { byFirstCharacter, byId, Shards } from './shards.ts'
import {
  type AccountFacts,
  type GroupFacts,
  type Parts,
  Snapshot,
  type StoredKey,
  type SubscriptionFacts,
  type UserFacts,
  withCredential,
} from './snapshot.ts'
import {
  accountFacts,
  accountReader,
  accountRows,
  bindingRows,
  groupFacts,
  groupRows,
  keyRows,
  proxyOf,
  putSubscription,
  sameRow,
  storedKey,
  subscriptionRows,
  userFacts,
  userRows,
} from './snapshot-rows.ts'

/** So many rows are made facts in one go: at most a few ms in which nothing else happens. Credentials take longer. */
const PAGE = 500
const PAGE_OF_ACCOUNTS = 100
/** Of so many changed rows on, everything is read anew. */
const MANY = 10_000

const shipped = shippedPrices()

/**
 * Reads everything in one transaction, so that it never mixes two states, and lets other work happen between pages.
 * What `before` holds of the same credentials need not be decrypted again, and of the same keys it is kept: a load that finds
 * nothing new leaves little to be collected. @throws HalfRestored: what is not there yet must not be taken for gone
 */
export function loadSnapshot(db: Db, secret: Secret, before?: Snapshot): Promise<Snapshot> {
  return oneState(db, async tx => {
    const { rows } = await sql<{ at: string; lacking: string | null }>`
      select pg_current_snapshot()::text as at, ${sql.raw(lacking)} as lacking`.execute(tx)
    assertWhole(rows[0]!.lacking)
    const users = new Shards<number, UserFacts>(byId).draft()
    await eachPage(
      after => userRows(tx).where('deleted_at', 'is', null).where('id', '>', after).orderBy('id').limit(PAGE).execute(),
      row => users.set(row.id, userFacts(row)),
    )
    const groups = new Shards<number, GroupFacts>(byId).draft()
    await eachPage(
      after =>
        groupRows(tx).where('deleted_at', 'is', null).where('id', '>', after).orderBy('id').limit(PAGE).execute(),
      row => groups.set(row.id, groupFacts(row)),
    )
    const reading = accountReader(secret, before)
    const accounts = new Shards<number, AccountFacts>(byId).draft()
    await eachPage(
      after =>
        accountRows(tx)
          .where('deleted_at', 'is', null)
          .where('id', '>', after)
          .orderBy('id')
          .limit(PAGE_OF_ACCOUNTS)
          .execute(),
      row => accounts.set(row.id, reading.facts(row)),
      PAGE_OF_ACCOUNTS,
    )
    const bindings = new Shards<number, readonly number[]>(byId).draft()
    await eachPage(
      after => bindingRows(tx).where('account_id', '>', after).orderBy('account_id').limit(PAGE).execute(),
      row => bindings.set(row.id, row.groups),
    )
    const subscriptions = new Shards<number, readonly SubscriptionFacts[]>(byId).draft()
    await eachPage(
      after =>
        subscriptionRows(tx).where('status', '=', 'active').where('id', '>', after).orderBy('id').limit(PAGE).execute(),
      row => putSubscription(subscriptions, row),
    )
    const parts = {
      at: rows[0]!.at,
      users: users.done(),
      groups: groups.done(),
      accounts: accounts.done(),
      keys: await readKeys(tx, before?.parts.keys),
      bindings: bindings.done(),
      subscriptions: subscriptions.done(),
      prices: await readPrices(tx),
      problems: reading.problems,
    }
    return new Snapshot({ ...parts, ...(await pooled(parts, [...parts.accounts.keys()], undefined)) })
  })
}

/**
 * What `before` has become: only rows that changed since are read, all of them as they stand in one transaction, and all
 * that was committed by then is in. Gives `before` itself when nothing changed, and undefined when it takes more than a
 * few rows to tell: then everything has to be read.
 */
export function advanceSnapshot(db: Db, secret: Secret, snapshot: Snapshot): Promise<Snapshot | undefined> {
  const before = snapshot.parts
  return oneState(db, async tx => {
    const { at, rows: changed, prices, all } = await readChanges(tx, before.at)
    if (all) return undefined
    if (changed.size === 0 && !prices) return snapshot
    const ids = (table: string) => [...(changed.get(table) ?? [])]

    const users = before.users.draft()
    await eachOf(
      ids('users'),
      ids => userRows(tx).where(among('id', ids)).execute(),
      row => (row.deleted_at === null ? users.set(row.id, userFacts(row)) : users.delete(row.id)),
    )
    const reread = new Set(ids('accounts'))
    const touched = new Set([...reread, ...ids('account_groups')])
    const groups = before.groups.draft()
    const opened = new Set<number>()
    await eachOf(
      ids('groups'),
      ids => groupRows(tx).where(among('id', ids)).execute(),
      row => {
        const known = before.groups.get(row.id)
        if (row.deleted_at === null) groups.set(row.id, groupFacts(row))
        else groups.delete(row.id)
        if (groups.get(row.id)?.exclusive !== known?.exclusive) opened.add(row.id)
      },
    )
    const reading = accountReader(secret, snapshot)
    const accounts = before.accounts.draft()
    await eachOf(
      ids('accounts'),
      ids => accountRows(tx).where(among('id', ids)).execute(),
      row => (row.deleted_at === null ? accounts.set(row.id, reading.facts(row)) : accounts.delete(row.id)),
      PAGE_OF_ACCOUNTS,
    )
    const bindings = before.bindings.draft()
    for (const id of touched) bindings.delete(id)
    await eachOf(
      [...touched],
      ids => bindingRows(tx).where(among('account_id', ids)).execute(),
      row => bindings.set(row.id, row.groups),
    )
    const keys = before.keys.draft()
    await eachOf(
      ids('api_keys'),
      ids => keyRows(tx).where(among('id', ids)).execute(),
      row => {
        const key = storedKey(row)
        keys.set(key.digest, key)
      },
    )
    const subscriptions = before.subscriptions.draft()
    await eachOf(
      ids('subscriptions'),
      ids => subscriptionRows(tx).where(among('id', ids)).execute(),
      row => putSubscription(subscriptions, row),
    )
    const parts = {
      at,
      users: users.done(),
      groups: groups.done(),
      accounts: accounts.done(),
      keys: keys.done(),
      bindings: bindings.done(),
      subscriptions: subscriptions.done(),
      prices: prices ? await readPrices(tx) : before.prices,
      problems: new Map([...before.problems].filter(([id]) => !reread.has(id)).concat([...reading.problems])),
    }
    // Whether a group is exclusive decides where all its accounts may serve.
    if (opened.size > 0) for (const [id, of] of parts.bindings) if (of.some(group => opened.has(group))) touched.add(id)
    return new Snapshot({ ...parts, ...(await pooled(parts, touched, before)) })
  })
}

/** A moment's state of the database, for several queries. */
function oneState<T>(db: Db, work: (tx: Db) => Promise<T>): Promise<T> {
  return db.transaction().setIsolationLevel('repeatable read').execute(work)
}

/**
 * Table `changes`: what was committed since the state `since`. `all`: it takes more than rows to tell, because there are too
 * many, or it is not known which; because some were forgotten unread; or because the database was put back to where it had
 * been before.
 */
async function readChanges(tx: Db, since: string) {
  // What a restored database says of states of another server is no horizon and no change.
  const { rows: found } = await sql<{ at: string; lost: boolean; name: string | null; ids: number[] | null }>`
    select pg_current_snapshot()::text as at, c.name, c.ids,
        gw_behind(pg_current_snapshot(), ${since}::pg_snapshot) or exists (select from changes_forgotten f
          where gw_behind(${since}::pg_snapshot, f.at) and not gw_behind(pg_current_snapshot(), f.at)) as lost
      from (select 1) one
      left join changes c on c.xid >= pg_snapshot_xmin(${since}::pg_snapshot) and not pg_visible_in_snapshot(c.xid, ${since}::pg_snapshot)
        and pg_visible_in_snapshot(c.xid, pg_current_snapshot())
  `.execute(tx)
  const rows = new Map<string, Set<number>>()
  let [count, prices, all] = [0, false, found[0]!.lost]
  for (const { name, ids } of found) {
    if (name === null) continue
    if (name === 'prices') prices = true
    else if (ids === null) all = true
    else {
      let known = rows.get(name)
      if (!known) rows.set(name, (known = new Set()))
      for (const id of ids) known.add(id)
    }
  }
  for (const ids of rows.values()) count += ids.size
  return { at: found[0]!.at, rows, prices, all: all || count > MANY }
}

/**
 * Forgets changes that every process has read: those that were there in the state `since`, which must be old. Whoever has not
 * read them all the same learns it from the state that is written down with it.
 */
export async function forgetChanges(db: Db, since: string): Promise<void> {
  await sql`
    with gone as (delete from changes
      where pg_visible_in_snapshot(xid, ${since}::pg_snapshot) or not pg_visible_in_snapshot(xid, pg_current_snapshot()))
    insert into changes_forgotten as f (at) values (${since}::pg_snapshot) on conflict (one) do update set at = excluded.at
      where gw_behind(f.at, excluded.at) or gw_behind(pg_current_snapshot(), f.at)`.execute(db)
}

/** The rows with these ids; between two pages of them the event loop turns. */
async function eachOf<R>(
  ids: readonly number[],
  read: (ids: number[]) => Promise<R[]>,
  take: (row: R) => void,
  page = PAGE,
): Promise<void> {
  for (let from = 0; from < ids.length; from += page)
    for (const row of await read(ids.slice(from, from + page))) take(row)
}

/** Goes through a table in the order of ids; between two pages the event loop turns. */
async function eachPage<R extends { id: number }>(
  read: (after: number) => Promise<R[]>,
  take: (row: R) => void,
  page = PAGE,
): Promise<void> {
  for (let after = -(2 ** 31); ; ) {
    const rows = await read(after)
    for (const row of rows) take(row)
    if (rows.length < page) return
    after = rows.at(-1)!.id
  }
}

/** One account, for whoever sends a request through it alone. @throws when its credential cannot be decrypted */
export async function loadAccount(db: Db, secret: Secret, account: { id: number }): Promise<AccountFacts> {
  const row = await accountRows(db).where('id', '=', account.id).executeTakeFirstOrThrow()
  return withCredential(accountFacts(row, proxyOf(row, secret)), new Credential(secret.decrypt(row.credential)))
}

/** Every key. Those that are as they were stay what they were, so that a load that finds nothing new makes nothing that lasts. */
async function readKeys(tx: Db, before: Shards<string, StoredKey> | undefined): Promise<Shards<string, StoredKey>> {
  const keys = (before ?? new Shards<string, StoredKey>(byFirstCharacter)).draft()
  let rows = 0
  await eachPage(
    after => keyRows(tx).where('id', '>', after).orderBy('id').limit(PAGE).execute(),
    row => {
      rows++
      const key = storedKey(row)
      const known = keys.get(key.digest)
      if (!known || !sameRow(known.row, key.row)) keys.set(key.digest, key)
    },
  )
  // One that is gone for good would stay; gw deletes none, so this is hardly ever read twice.
  return before && keys.size !== rows ? readKeys(tx, undefined) : keys.done()
}

async function readPrices(tx: Db): Promise<PriceTable> {
  return priceTable([...shipped, ...(await operatorPrices(tx))])
}

/** Pools as they are now, by what they were before and the accounts that may have come, gone or changed. */
async function pooled(
  now: Pick<Parts, 'groups' | 'accounts' | 'bindings'>,
  touched: Iterable<number>,
  before: Parts | undefined,
): Promise<Pick<Parts, 'pools' | 'open'>> {
  const pools = (before?.pools ?? new Shards<number, readonly AccountFacts[]>(byId)).draft()
  const open = new Map(before?.open)
  const changes = new Map<number | Platform, { gone: Set<number>; come: AccountFacts[] }>()
  const change = (pool: number | Platform) => {
    let known = changes.get(pool)
    if (!known) changes.set(pool, (known = { gone: new Set(), come: [] }))
    return known
  }
  let looked = 0
  for (const id of touched) {
    if (++looked % PAGE === 0) await setImmediate()
    if (before) for (const pool of poolsOf(before, id)) change(pool).gone.add(id)
    for (const pool of poolsOf(now, id)) change(pool).come.push(now.accounts.get(id)!)
  }
  for (const [pool, { gone, come }] of changes) {
    const was = (typeof pool === 'number' ? pools.get(pool) : open.get(pool)) ?? []
    const accounts = was
      .filter(account => !gone.has(account.id))
      .concat(come)
      .sort((a, b) => a.id - b.id)
    if (typeof pool === 'string') open.set(pool, accounts)
    else if (accounts.length > 0) pools.set(pool, accounts)
    else pools.delete(pool)
  }
  return { pools: pools.done(), open }
}

/** The groups in which an account serves, and its platform where it serves keys without a group. */
function poolsOf(parts: Pick<Parts, 'groups' | 'accounts' | 'bindings'>, id: number): (number | Platform)[] {
  const account = parts.accounts.get(id)
  if (!account) return []
  const { platform, mixed } = account
  const groups = (parts.bindings.get(id) ?? []).filter(group => {
    const known = parts.groups.get(group)
    return known && (known.platform === platform || (mixed && mixedInto.includes(known.platform)))
  })
  if (groups.some(group => parts.groups.get(group)!.exclusive)) return groups
  return mixed ? [...groups, platform, ...mixedInto] : [...groups, platform]
}
