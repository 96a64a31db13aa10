// The lists of users, keys, accounts and groups as queries: which of them, and in which order.
import { type RawBuilder, sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { Platform } from '../../db/schema.ts'
import { selectAccounts } from './account.ts'
import { findGroup, selectGroups } from './group.ts'
import { healthUntil } from './health.ts'
import { selectKeys } from './key.ts'
import { inOrder, type Sort } from './listing.ts'
import { among, findEach } from './named.ts'
import { findUser, selectUsers, type User } from './user.ts'

/** Names or numbers of groups; `none` stands for no group at all. Of several one is enough. */
type Groups = readonly string[]

const userColumns = {
  id: sql`users.id`,
  name: sql`users.name`,
  email: sql`users.email`,
  balance: sql`balances.balance`,
  concurrency: sql`users.concurrency`,
  status: sql`users.status`,
  created: sql`users.created_at`,
}
export type UserColumn = keyof typeof userColumns

export interface UserFilter {
  state?: readonly User['status'][] | undefined
  /** who may use one of them: by a working key, a running subscription, or having been let in */
  group?: readonly string[] | undefined
}

/** @throws Refusal `missing` for a group that there is not */
export async function userList(db: Db, filter: UserFilter = {}, sort: readonly Sort<UserColumn>[] = []) {
  const { state, group } = filter
  let query = selectUsers(db)
  if (state) query = query.where('users.status', 'in', state)
  if (group)
    query = query.where(using(sql`users.id`, sql`any(${await idsOf(group, ref => findGroup(db, ref))}::integer[])`))
  return inOrder(query, userColumns, sort, 'users.id')
}

const groupColumns = {
  id: sql`groups.id`,
  name: sql`groups.name`,
  platform: sql`groups.platform`,
  multiplier: sql`groups.multiplier`,
  billing: sql`groups.billing`,
  daily_limit: sql`groups.daily_limit`,
  weekly_limit: sql`groups.weekly_limit`,
  monthly_limit: sql`groups.monthly_limit`,
  created: sql`groups.created_at`,
}
export type GroupColumn = keyof typeof groupColumns

export interface GroupFilter {
  platform?: readonly Platform[] | undefined
  /** that one of them may use: by a working key, a running subscription, or having been let in */
  user?: readonly string[] | undefined
}

/** @throws Refusal `missing` for a user that there is not */
export async function groupList(db: Db, filter: GroupFilter = {}, sort: readonly Sort<GroupColumn>[] = []) {
  const { platform, user } = filter
  let query = selectGroups(db)
  if (platform) query = query.where('platform', 'in', platform)
  if (user)
    query = query.where(using(sql`any(${await idsOf(user, ref => findUser(db, ref))}::integer[])`, sql`groups.id`))
  return inOrder(query, groupColumns, sort, 'groups.id')
}

/** Whether a user may use a group, each a column or any of a list. */
function using(user: RawBuilder<unknown>, group: RawBuilder<unknown>): RawBuilder<boolean> {
  return sql<boolean>`(exists (select from api_keys k where k.user_id = ${user} and k.group_id = ${group} and k.status = 'active'
      and coalesce(k.expires_at > now(), true))
    or exists (select from subscriptions s where s.user_id = ${user} and s.group_id = ${group} and s.status = 'active' and s.expires_at > now())
    or exists (select from groups g join users u on u.id = any(g.allowed)
      where u.id = ${user} and g.id = ${group} and g.exclusive and g.billing = 'balance'))`
}

export const keyStates = ['active', 'expired', 'revoked'] as const
type KeyState = (typeof keyStates)[number]

const stateOfKey = sql`case when k.status = 'active' and k.expires_at <= now() then 'expired' else k.status end`
const keyColumns = {
  id: sql`k.id`,
  name: sql`k.name`,
  user: sql`u.name`,
  group: sql`g.name`,
  status: stateOfKey,
  used: sql`coalesce(s.used, 0)`,
  quota: sql`k.quota`,
  concurrency: sql`k.concurrency`,
  rpm: sql`k.rpm`,
  tpm: sql`k.tpm`,
  expires: sql`k.expires_at`,
  created: sql`k.created_at`,
}
export type KeyColumn = keyof typeof keyColumns

export interface KeyFilter {
  /** default: all but revoked ones */
  state?: readonly KeyState[] | undefined
  user?: readonly string[] | undefined
  group?: Groups | undefined
  /** of their groups */
  platform?: readonly Platform[] | undefined
}

/** @throws Refusal `missing` for a user or group that there is not */
export async function keyList(db: Db, filter: KeyFilter = {}, sort: readonly Sort<KeyColumn>[] = []) {
  const { state, user, group, platform } = filter
  let query = selectKeys(db)
  if (state) query = query.where(sql<boolean>`${stateOfKey} = any(${state}::text[])`)
  else query = query.where('k.status', '=', 'active')
  if (user) query = query.where(among('k.user_id', await idsOf(user, ref => findUser(db, ref))))
  if (group) {
    const { ids, none } = await groupsOf(db, group)
    query = query.where(
      none ? sql<boolean>`(k.group_id is null or ${among('k.group_id', ids)})` : among('k.group_id', ids),
    )
  }
  if (platform) query = query.where('g.platform', 'in', platform)
  return inOrder(query, keyColumns, sort, 'k.id')
}

export interface AccountFilter {
  platform?: readonly Platform[] | undefined
  group?: Groups | undefined
  state?: readonly string[] | undefined
}

/** The states of accounts, for a query: what the words of the database mean, and what a daemon knows better. */
export interface StatesOf {
  /** the state that each class of ailments means */
  byClass: Readonly<Record<string, string>>
  /** by name, of those that the operator has in service; undefined: no daemon was asked */
  live?: ReadonlyMap<string, string> | undefined
  now: Date
}

export type AccountColumn =
  | 'id'
  | 'name'
  | 'state'
  | 'platform'
  | 'type'
  | 'priority'
  | 'concurrency'
  | 'proxy'
  | 'token'
  | 'expires'
  | 'created'

/** @throws Refusal `missing` for a group that there is not */
export async function accountList(
  db: Db,
  states: StatesOf,
  filter: AccountFilter = {},
  sort: readonly Sort<AccountColumn>[] = [],
) {
  const { state, group, platform } = filter
  const columns = {
    id: sql`accounts.id`,
    name: sql`accounts.name`,
    state: stateOfAccount(states),
    platform: sql`accounts.platform`,
    type: sql`accounts.type`,
    priority: sql`accounts.priority`,
    concurrency: sql`accounts.concurrency`,
    proxy: sql`(select p.name from proxies p where p.id = accounts.proxy_id)`,
    token: sql`(select t.expires_at from account_tokens t where t.account_id = accounts.id)`,
    expires: sql`accounts.expires_at`,
    created: sql`accounts.created_at`,
  }
  let query = selectAccounts(db)
  if (state) query = query.where(sql<boolean>`${columns.state} = any(${state}::text[])`)
  if (platform) query = query.where('platform', 'in', platform)
  if (group) {
    const { ids, none } = await groupsOf(db, group)
    const bound = sql<boolean>`exists (select from account_groups b where b.account_id = accounts.id and ${among('b.group_id', ids)})`
    const unbound = sql<boolean>`not exists (select from account_groups b where b.account_id = accounts.id)`
    query = query.where(none ? sql<boolean>`(${bound} or ${unbound})` : bound)
  }
  return inOrder(query, columns, sort, 'accounts.id')
}

/** The word of `accountState`, said by Postgres. */
function stateOfAccount({ byClass, live, now }: StatesOf): RawBuilder<string> {
  // As objects of JSON, in which Postgres finds a name without going through them all.
  const known = sql`(select ${JSON.stringify(byClass)}::jsonb ->> h.class from account_health h
    where h.account_id = accounts.id and h.model = '' and ${healthUntil(now)} > ${now})`
  const told = live ? sql`${JSON.stringify(Object.fromEntries(live))}::jsonb ->> accounts.name` : sql`null`
  return sql<string>`case when accounts.status <> 'active' then accounts.status when accounts.expires_at <= ${now} then 'expired'
    else coalesce(${told}, ${known}, 'available') end`
}

async function groupsOf(db: Db, refs: Groups): Promise<{ ids: number[]; none: boolean }> {
  const named = refs.filter(ref => ref !== 'none')
  return { ids: await idsOf(named, ref => findGroup(db, ref)), none: named.length < refs.length }
}

async function idsOf(refs: readonly string[], find: (ref: string) => Promise<{ id: number }>): Promise<number[]> {
  return (await findEach(refs, find)).map(({ id }) => id)
}
