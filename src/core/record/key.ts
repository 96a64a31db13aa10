// Client keys: what a client presents. Only a keyed digest and a visible prefix are kept.
import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { atomic } from '../../db/atomic.ts'
import type { Db } from '../../db/connect.ts'
import type { Platform } from '../../db/schema.ts'
import type { Nano } from '../../lib/money.ts'
import { Refusal } from '../../lib/refusal.ts'
import type { Secret } from '../../lib/secret.ts'
import { findGroup, requireAllowed } from './group.ts'
import { among, checkName, found, hold, isNamed, unique } from './named.ts'
import { requireSubscription } from './subscription.ts'
import { findUser } from './user.ts'

export interface Key {
  id: number
  name: string
  /** the visible beginning of the value */
  prefix: string
  user: string
  group: string | null
  status: 'active' | 'revoked'
  /** what it may cost in all */
  quota: Nano | null
  /** what it has cost, with what the keys had cost that it was rotated from */
  used: Nano
  expires_at: Date | null
  concurrency: number | null
  rpm: number | null
  tpm: number | null
  allow_ip: string[]
  models: string[]
  created_at: Date
}

export interface KeyLimits {
  quota?: Nano | null
  expires_at?: Date | null
  concurrency?: number | null
  rpm?: number | null
  tpm?: number | null
  allow_ip?: string[]
  models?: string[]
}

type NewKey = {
  user: string
  group?: string | undefined
  name?: string | undefined
  valuePrefix: string
} & KeyLimits

/**
 * Creates a key. `key` is its value: the only time it is seen.
 * @throws Refusal `refused` when the group is exclusive and the user was not let in, or takes subscriptions and it has none that runs
 */
export async function createKey(db: Db, secret: Secret, key: NewKey): Promise<Key & { key: string }> {
  if (key.group !== undefined) {
    const [user, group] = [await findUser(db, key.user), await findGroup(db, key.group)]
    requireAllowed(user, group)
    await requireSubscription(db, user, group)
  }
  return insertKey(db, secret, key)
}

async function insertKey(db: Db, secret: Secret, key: NewKey): Promise<Key & { key: string }> {
  const { user: userRef, group: groupRef, name: wanted, valuePrefix, ...limits } = key
  const user = await findUser(db, userRef)
  const group = groupRef === undefined ? undefined : await findGroup(db, groupRef)
  const name = wanted === undefined ? await freeName(db, user.name) : checkName('key', wanted)
  const value = valuePrefix + randomBytes(32).toString('hex')
  const row = {
    quota: null,
    expires_at: null,
    concurrency: null,
    rpm: null,
    tpm: null,
    revoked_at: null,
    ...limits,
    user_id: user.id,
    group_id: group?.id ?? null,
    name,
    prefix: value.slice(0, valuePrefix.length + 8),
    digest: secret.digest(value),
  }
  const { id } = await unique(
    'key',
    name,
    db.insertInto('api_keys').values(row).returning('id').executeTakeFirstOrThrow(),
  )
  return { ...(await byId(db, id)), key: value }
}

/** By id, name or visible prefix. @throws Refusal `missing`, or `usage` when a prefix fits several */
export async function findKey(db: Db, ref: string): Promise<Key> {
  const named = isNamed('k', ref)
  const one = /^\d+$/.test(ref) ? named : sql<boolean>`k.status = 'active' and ${named}`
  const exact = await selectKeys(db).where(one).executeTakeFirst()
  if (exact) return exact
  // A whole key value works too: whoever has only that can still revoke it.
  const begins = sql<boolean>`k.status = 'active' and starts_with(${ref}, k.prefix)`
  const fits = await selectKeys(db).where(begins).orderBy('k.id').execute()
  if (fits.length > 1)
    throw new Refusal(
      'usage',
      `"${ref.slice(0, 16)}" fits ${fits.length} keys (${fits.map(key => key.name).join(', ')}); use a name or a number`,
    )
  return found(db, 'key', ref.slice(0, 16), fits[0])
}

/** The platform of its group, `anthropic` without one; undefined for a value that is no key of ours. */
export async function platformOfKey(db: Db, secret: Secret, value: string): Promise<Platform | undefined> {
  const found = await db
    .selectFrom('api_keys as k')
    .leftJoin('groups as g', 'g.id', 'k.group_id')
    .where('k.digest', '=', secret.digest(value))
    .select('g.platform')
    .executeTakeFirst()
  return found && (found.platform ?? 'anthropic')
}

export type KeyChange = { name?: string; group?: string | null } & KeyLimits

export async function setKey(db: Db, ref: string, change: KeyChange): Promise<Key> {
  return (await setKeys(db, [await findKey(db, ref)], change))[0]!
}

/** The same change of all of them, in the order of their numbers. A name is one key's. @throws Refusal `conflict` for one that is revoked */
export async function setKeys(db: Db, keys: readonly Key[], change: KeyChange): Promise<Key[]> {
  const { group, ...plain } = change
  const revoked = keys.find(key => key.status === 'revoked')
  if (revoked)
    throw new Refusal('conflict', `key "${revoked.name}" is revoked for good; create a new one with gw key create`)
  if (plain.name !== undefined) checkName('key', plain.name)
  const group_id = group === undefined ? {} : { group_id: group === null ? null : await admittedTo(db, keys, group) }
  const ids = keys.map(key => key.id)
  await hold(db, 'key', ids)
  await unique(
    'key',
    plain.name ?? '',
    db
      .updateTable('api_keys')
      .set({ ...plain, ...group_id, updated_at: new Date() })
      .where(among('id', ids))
      .execute(),
  )
  return selectKeys(db).where(among('k.id', ids)).orderBy('k.id').execute()
}

async function admittedTo(db: Db, keys: readonly Key[], ref: string): Promise<number> {
  const group = await findGroup(db, ref)
  for (const name of new Set(keys.map(key => key.user))) {
    const user = await findUser(db, name)
    requireAllowed(user, group)
    await requireSubscription(db, user, group)
  }
  return group.id
}

/** For good; doing it twice is fine. */
export async function revokeKey(db: Db, ref: string): Promise<Key> {
  const key = await findKey(db, ref)
  await db
    .updateTable('api_keys')
    .set({ status: 'revoked', revoked_at: new Date(), updated_at: new Date() })
    .where('id', '=', key.id)
    .where('status', '=', 'active')
    .execute()
  return { ...key, status: 'revoked' }
}

/**
 * Creates a key with the settings of an old one, its name and what it has used of its quota. The old one ends after
 * `graceMs`, at once when that is 0; until then it is called `NAME-old`.
 * @throws Refusal `conflict` when the old one has ended already
 */
export async function rotateKey(
  db: Db,
  secret: Secret,
  ref: string,
  options: { graceMs: number; valuePrefix: string; now: number },
): Promise<Key & { key: string }> {
  const { graceMs, valuePrefix, now } = options
  const { id, name, user, group, status, prefix: _, created_at: __, used: ___, ...limits } = await findKey(db, ref)
  if (status === 'revoked')
    throw new Refusal('conflict', `key "${name}" is revoked for good; create a new one with gw key create`)
  const ends = limits.expires_at?.getTime() ?? Number.POSITIVE_INFINITY
  if (ends <= now)
    throw new Refusal(
      'conflict',
      `key "${name}" has expired; let it live longer with gw key set ${name} --expires, then rotate it`,
    )
  return atomic(db, async tx => {
    if (graceMs === 0) await revokeKey(tx, String(id))
    else
      await setKey(tx, String(id), {
        name: await freeName(tx, `${name.slice(0, 90)}-old`),
        expires_at: new Date(Math.min(ends, now + graceMs)),
      })
    // A key that leaked is rotated whether or not its user may have a new one.
    const key = await insertKey(tx, secret, { user, group: group ?? undefined, name, valuePrefix, ...limits })
    return { ...key, used: await carryUsed(tx, id, key.id) }
  })
}

/** Lets key `to` begin with what `from` has used, or rotating a key would refill its quota. */
async function carryUsed(db: Db, from: number, to: number): Promise<Nano> {
  const usage = db.selectFrom('key_usage').select('used').where('key_id', '=', from).forUpdate()
  const { used = 0n } = (await usage.executeTakeFirst()) ?? {}
  if (used !== 0n) await db.insertInto('key_usage').values({ key_id: to, used, carried: used }).execute()
  return used
}

async function freeName(db: Db, base: string): Promise<string> {
  const { rows } = await sql<{ name: string }>`
    select name from api_keys where status = 'active' and starts_with(name, ${base})`.execute(db)
  const taken = new Set(rows.map(key => key.name))
  for (let n = 1; ; n++) {
    const name = n === 1 ? base : `${base}-${n}`
    if (!taken.has(name)) return name
  }
}

function byId(db: Db, id: number): Promise<Key> {
  return selectKeys(db).where('k.id', '=', id).executeTakeFirstOrThrow()
}

/** Revoked ones too. */
export function selectKeys(db: Db) {
  return db
    .selectFrom('api_keys as k')
    .innerJoin('users as u', 'u.id', 'k.user_id')
    .leftJoin('groups as g', 'g.id', 'k.group_id')
    .leftJoin('key_usage as s', 's.key_id', 'k.id')
    .select(eb => eb.fn.coalesce('s.used', sql<Nano>`0::bigint`).as('used'))
    .select([
      'k.id',
      'k.name',
      'k.prefix',
      'u.name as user',
      'g.name as group',
      'k.status',
      'k.quota',
      'k.expires_at',
      'k.concurrency',
      'k.rpm',
      'k.tpm',
      'k.allow_ip',
      'k.models',
      'k.created_at',
    ])
}
