// Subscriptions: a user may use a group until a day, within the group's limits of a day, a week and a month.
import { type RawBuilder, sql } from 'kysely'
import { atomic } from '../../db/atomic.ts'
import type { Db } from '../../db/connect.ts'
import type { Nano } from '../../lib/money.ts'
import { Refusal } from '../../lib/refusal.ts'
import { resetsAt, runs, type WindowName, windowsAt } from '../books/window.ts'
import { findGroup, type Group } from './group.ts'
import { findUser } from './user.ts'

/** Active until `expires_at`; what ran out is expired without anybody writing so. */
export type SubscriptionStatus = 'active' | 'expired' | 'revoked'

export interface Subscription {
  id: number
  user: string
  group: string
  status: SubscriptionStatus
  starts_at: Date
  expires_at: Date
  note: string | null
  created_at: Date
  day: Spent
  week: Spent
  month: Spent
}

/** A window as it was last written. */
export interface Spent {
  /** null: no limit */
  limit: Nano | null
  /** null: it has not begun */
  start: Date | null
  used: Nano
}

/** A window as it stands. */
export interface Progress {
  limit_usd: Nano
  used_usd: Nano
  remaining_usd: Nano
  /** two decimals; over 100 when parallel requests went over the limit */
  percentage: number
  /** null: nothing was used since the last one ended, and none runs */
  window_start: Date | null
  resets_at: Date | null
  resets_in_seconds: number | null
}

/** No subscription lasts longer. */
export const lastExpiry = new Date('2099-12-31T23:59:59Z')

export interface Assignment {
  user: string
  group: string
  days: number
  note?: string | undefined
}

/**
 * Gives a user a subscription from now on; one that has expired makes room for it.
 * @throws Refusal `refused` for a group that takes none, `conflict` when one runs already
 */
export async function assignSubscription(db: Db, { user: who, group: which, days, note }: Assignment) {
  const user = await findUser(db, who)
  const group = await findGroup(db, which)
  if (group.billing !== 'subscription')
    throw new Refusal(
      'refused',
      `group "${group.name}" is billed by balance and takes no subscriptions; gw group set ${group.name} --billing subscription changes that`,
    )
  return atomic(db, async tx => {
    await tx
      .updateTable('subscriptions')
      .set({ status: 'revoked', revoked_at: sql<Date>`now()`, updated_at: sql<Date>`now()` })
      .where('user_id', '=', user.id)
      .where('group_id', '=', group.id)
      .where('status', '=', 'active')
      .where(sql<boolean>`expires_at <= now()`)
      .execute()
    const row = { user_id: user.id, group_id: group.id, note: note ?? null, revoked_at: null }
    const made = await tx
      .insertInto('subscriptions')
      .values({ ...row, expires_at: laterBy(days, sql`now()`) })
      .onConflict(conflict => conflict.doNothing())
      .returning('id')
      .executeTakeFirst()
    if (made === undefined)
      throw new Refusal(
        'conflict',
        `user "${user.name}" has a subscription of group "${group.name}" already; make it last longer with gw sub extend ${user.name}/${group.name} --days ${days}`,
      )
    await tx.insertInto('subscription_usage').values({ subscription_id: made.id }).execute()
    return byId(tx, made.id)
  })
}

/** Adds days to its end, or to now when that has passed. @throws Refusal `conflict` when it was revoked */
export async function extendSubscription(db: Db, ref: string, days: number): Promise<Subscription> {
  const { id, user, group } = await findSubscription(db, ref)
  const { numUpdatedRows } = await db
    .updateTable('subscriptions')
    .set({ expires_at: laterBy(days, sql`greatest(expires_at, now())`), updated_at: sql<Date>`now()` })
    .where('id', '=', id)
    .where('status', '=', 'active')
    .executeTakeFirst()
  if (numUpdatedRows === 0n)
    throw new Refusal(
      'conflict',
      `subscription ${id} has ended for good; make a new one with gw sub assign --user ${user} --group ${group}`,
    )
  return byId(db, id)
}

/** For good; doing it twice is fine. */
export async function revokeSubscription(db: Db, ref: string): Promise<Subscription> {
  const { id } = await findSubscription(db, ref)
  await db
    .updateTable('subscriptions')
    .set({ status: 'revoked', revoked_at: sql<Date>`now()`, updated_at: sql<Date>`now()` })
    .where('id', '=', id)
    .where('status', '=', 'active')
    .execute()
  return byId(db, id)
}

export interface SubscriptionFilter {
  user?: string | undefined
  group?: string | undefined
  /** those that have ended too */
  all?: boolean | undefined
}

export async function listSubscriptions(db: Db, filter: SubscriptionFilter = {}): Promise<Subscription[]> {
  const terms = [sql`true`]
  if (filter.user !== undefined) terms.push(sql`s.user_id = ${(await findUser(db, filter.user)).id}`)
  if (filter.group !== undefined) terms.push(sql`s.group_id = ${(await findGroup(db, filter.group)).id}`)
  if (!filter.all) terms.push(sql`s.status = 'active' and s.expires_at > now()`)
  return select(db, sql.join(terms, sql` and `), sql`s.id`)
}

/** By number, or as `USER/GROUP`: the one that was not revoked, else the latest. @throws Refusal `missing` */
export async function findSubscription(db: Db, ref: string): Promise<Subscription> {
  const [userRef, groupRef, ...more] = ref.split('/')
  const none = `no subscription "${ref}" (gw sub list --all shows them)`
  if (/^\d{1,9}$/.test(ref)) {
    const [found] = await select(db, sql`s.id = ${Number(ref)}`, sql`s.id`)
    if (found) return found
  } else if (userRef && groupRef && more.length === 0) {
    const [user, group] = [await findUser(db, userRef), await findGroup(db, groupRef)]
    const pair = sql`s.user_id = ${user.id} and s.group_id = ${group.id}`
    const [found] = await select(db, pair, sql`s.status, s.id desc`)
    if (found) return found
  } else throw new Refusal('missing', `no subscription "${ref}"; name it by its number or as USER/GROUP`)
  throw new Refusal('missing', none)
}

/** @throws Refusal `refused` when the group takes subscriptions and the user has none that runs */
export async function requireSubscription(db: Db, user: { id: number; name: string }, group: Group): Promise<void> {
  if (group.billing !== 'subscription') return
  const pair = sql`s.user_id = ${user.id} and s.group_id = ${group.id}`
  const [running] = await select(db, sql`${pair} and s.status = 'active' and s.expires_at > now()`, sql`s.id`)
  if (running) return
  throw new Refusal(
    'refused',
    `user "${user.name}" has no active subscription of group "${group.name}"; gw sub assign --user ${user.name} --group ${group.name} makes one`,
  )
}

/** A window at `now` (Unix ms); null without a limit. One whose time is over is shown empty, and not written. */
export function progress(window: WindowName, spent: Spent, now: number, timezone: string): Progress | null {
  const { limit } = spent
  if (limit === null) return null
  const began = spent.start?.getTime()
  const running = runs(began, window, windowsAt(now, timezone))
  const used = running ? spent.used : 0n
  const resets = running ? resetsAt(began, window, timezone) : null
  return {
    limit_usd: limit,
    used_usd: used,
    remaining_usd: used < limit ? limit - used : 0n,
    percentage: Number((used * 10_000n) / limit) / 100,
    window_start: running ? spent.start : null,
    resets_at: resets === null ? null : new Date(resets),
    resets_in_seconds: resets === null ? null : Math.max(0, Math.ceil((resets - now) / 1000)),
  }
}

/** Days that are left, a day begun being a day; 0 when it has ended. */
export function expiresInDays({ status, expires_at }: Subscription, now: number): number {
  return status === 'active' ? Math.max(0, Math.ceil((expires_at.getTime() - now) / 86_400_000)) : 0
}

// Hours, since a day of Postgres' calendar has 23 or 25 of them where clocks are changed.
const laterBy = (days: number, from: RawBuilder<unknown>) =>
  sql<Date>`least(${from} + make_interval(hours => 24 * ${days}::integer), ${lastExpiry}::timestamptz)`

async function byId(db: Db, id: number): Promise<Subscription> {
  return (await select(db, sql`s.id = ${id}`, sql`s.id`))[0]!
}

// One that ran out before it was put away has expired all the same. Users and groups that are gone keep their names here.
async function select(db: Db, where: RawBuilder<unknown>, order: RawBuilder<unknown>): Promise<Subscription[]> {
  const { rows } = await sql<Row>`
    select s.id, users.name as user, g.name as group, s.starts_at, s.expires_at, s.note, s.created_at,
      case when coalesce(s.revoked_at, now()) >= s.expires_at then 'expired' else s.status end as status,
      g.daily_limit, g.weekly_limit, g.monthly_limit, u.day_start, u.week_start, u.month_start,
      coalesce(u.day_used, 0) as day_used, coalesce(u.week_used, 0) as week_used, coalesce(u.month_used, 0) as month_used
    from subscriptions s join users on users.id = s.user_id join groups g on g.id = s.group_id
      left join subscription_usage u on u.subscription_id = s.id
    where ${where} order by ${order}`.execute(db)
  return rows.map(
    ({
      daily_limit,
      weekly_limit,
      monthly_limit,
      day_start,
      week_start,
      month_start,
      day_used,
      week_used,
      month_used,
      ...row
    }) => ({
      ...row,
      day: { limit: daily_limit, start: day_start, used: day_used },
      week: { limit: weekly_limit, start: week_start, used: week_used },
      month: { limit: monthly_limit, start: month_start, used: month_used },
    }),
  )
}

interface Row extends Omit<Subscription, WindowName> {
  daily_limit: Nano | null
  weekly_limit: Nano | null
  monthly_limit: Nano | null
  day_start: Date | null
  week_start: Date | null
  month_start: Date | null
  day_used: Nano
  week_used: Nano
  month_used: Nano
}
