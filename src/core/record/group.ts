// Groups: a named pool of accounts of one platform, with its price multiplier and billing.
import { sql } from 'kysely'
import { atomic } from '../../db/atomic.ts'
import type { Db } from '../../db/connect.ts'
import type { Platform } from '../../db/schema.ts'
import type { Nano } from '../../lib/money.ts'
import { Refusal } from '../../lib/refusal.ts'
import { checkName, findEach, found, isNamed, unique } from './named.ts'
import { findUser, type User } from './user.ts'

export interface Group {
  id: number
  name: string
  platform: Platform
  /** decimal string, four places; 0 means free */
  multiplier: string
  billing: 'balance' | 'subscription'
  daily_limit: Nano | null
  weekly_limit: Nano | null
  monthly_limit: Nano | null
  exclusive: boolean
  /** who was let into an exclusive one, by name, in the order of names */
  allowed: string[]
  /** what becomes of a request for a model without a price; `fallback`: it costs what `fallback_model` costs */
  unknown_model: 'reject' | 'fallback' | 'free'
  fallback_model: string | null
  /** when the client has left, the upstream is read on until the input's cost is known, not at all, or for `drain_ms` */
  on_disconnect: 'stop' | 'abort' | 'drain'
  /** ms; null unless it is `drain` */
  drain_ms: number | null
  created_at: Date
}

export type GroupChange = Partial<Omit<Group, 'id' | 'platform' | 'allowed' | 'created_at'>>
export type NewGroup = GroupChange & { name: string; platform: Platform }

/** @throws Refusal `missing` */
export async function findGroup(db: Db, ref: string): Promise<Group> {
  return found(db, 'group', ref, await selectGroups(db).where(isNamed('groups', ref)).executeTakeFirst())
}

/** @throws Refusal `conflict` when the name is taken */
export async function addGroup(db: Db, group: NewGroup): Promise<Group> {
  checkName('group', group.name)
  const row = { daily_limit: null, weekly_limit: null, monthly_limit: null, fallback_model: null, ...group }
  const { id } = await unique(
    'group',
    group.name,
    db.insertInto('groups').values(row).returning('id').executeTakeFirstOrThrow(),
  )
  return selectGroups(db).where('id', '=', id).executeTakeFirstOrThrow()
}

export async function setGroup(db: Db, ref: string, change: GroupChange): Promise<Group> {
  const { id } = await findGroup(db, ref)
  if (change.name !== undefined) checkName('group', change.name)
  await unique(
    'group',
    change.name ?? ref,
    db
      .updateTable('groups')
      .set({ ...change, updated_at: new Date() })
      .where('id', '=', id)
      .execute(),
  )
  return selectGroups(db).where('id', '=', id).executeTakeFirstOrThrow()
}

/**
 * Lets users into an exclusive group, or out of it again. Who is in already, or not in it, stays so.
 * @throws Refusal `missing`, and `conflict` where nobody needs to be let in
 */
export async function allowInto(db: Db, ref: string, users: readonly string[], into: boolean): Promise<Group> {
  const group = await findGroup(db, ref)
  if (group.billing === 'subscription')
    throw new Refusal(
      'conflict',
      `group "${group.name}" is for who has a subscription to it: gw sub assign --user USER --group ${group.name}`,
    )
  if (!group.exclusive && into)
    throw new Refusal(
      'conflict',
      `group "${group.name}" is for every user; gw group set ${group.name} --exclusive first`,
    )
  const ids = (await findEach(users, user => findUser(db, user))).map(user => user.id)
  await db
    .updateTable('groups')
    .set(({ ref: column }) => ({
      // A set, in one statement: two commands at once lose nothing of each other.
      allowed: into
        ? sql`array(select distinct id from unnest(${column('allowed')} || ${ids}::integer[]) id order by 1)`
        : sql`array(select id from unnest(${column('allowed')}) id where id <> all(${ids}::integer[]))`,
      updated_at: new Date(),
    }))
    .where('id', '=', group.id)
    .execute()
  return selectGroups(db).where('id', '=', group.id).executeTakeFirstOrThrow()
}

/** @throws Refusal `refused` when the user may not have a key of this group */
export function requireAllowed(user: Pick<User, 'name'>, group: Group): void {
  if (!group.exclusive || group.billing === 'subscription' || group.allowed.includes(user.name)) return
  throw new Refusal(
    'refused',
    `group "${group.name}" is exclusive and user "${user.name}" was not let in: gw group allow ${group.name} ${user.name}`,
  )
}

/**
 * Takes the group away: its keys keep working without a group, its accounts are unbound, its subscriptions end
 * (spec/domain.md §1.4).
 */
export async function removeGroup(db: Db, ref: string): Promise<Group> {
  const group = await findGroup(db, ref)
  const now = new Date()
  await atomic(db, async tx => {
    await tx.updateTable('groups').set({ deleted_at: now, updated_at: now }).where('id', '=', group.id).execute()
    await tx.deleteFrom('account_groups').where('group_id', '=', group.id).execute()
    await tx.updateTable('api_keys').set({ group_id: null, updated_at: now }).where('group_id', '=', group.id).execute()
    await tx
      .updateTable('subscriptions')
      .set({ status: 'revoked', revoked_at: now, updated_at: now })
      .where('group_id', '=', group.id)
      .where('status', '=', 'active')
      .execute()
  })
  return group
}

/** How many keys and subscriptions that still work belong to the group with this id. */
export async function groupTies(db: Db, id: number): Promise<{ keys: number; subscriptions: number }> {
  const count = async (table: 'api_keys' | 'subscriptions') => {
    const { n } = await db
      .selectFrom(table)
      .select(db.fn.countAll<bigint>().as('n'))
      .where('group_id', '=', id)
      .where('status', '=', 'active')
      .where(sql<boolean>`coalesce(expires_at > now(), true)`)
      .executeTakeFirstOrThrow()
    return Number(n)
  }
  return { keys: await count('api_keys'), subscriptions: await count('subscriptions') }
}

/** Those that are there. */
export function selectGroups(db: Db) {
  return db
    .selectFrom('groups')
    .select([
      'id',
      'name',
      'platform',
      'multiplier',
      'billing',
      'daily_limit',
      'weekly_limit',
      'monthly_limit',
      'exclusive',
      'unknown_model',
      'fallback_model',
      'on_disconnect',
      'drain_ms',
      'created_at',
    ])
    .select(
      sql<
        string[]
      >`array(select u.name from users u where u.id = any(groups.allowed) and u.deleted_at is null order by 1)`.as(
        'allowed',
      ),
    )
    .where('deleted_at', 'is', null)
}
