// Users: who pays, and how many requests at once they may have.
import type { Db } from '../db/connect.ts'
import type { Nano } from './money.ts'
import { checkName, pick, unique } from './named.ts'

export interface User {
  id: number
  name: string
  email: string | null
  balance: Nano
  /** requests at once; 0 or less means no limit */
  concurrency: number
  status: 'active' | 'disabled'
  created_at: Date
}

export interface NewUser {
  name: string
  email?: string | undefined
  balance?: Nano | undefined
  concurrency: number
}

export function listUsers(db: Db): Promise<User[]> {
  return selectUsers(db).orderBy('users.id').execute()
}

/** @throws Refusal `missing` */
export async function findUser(db: Db, ref: string): Promise<User> {
  return pick('user', await listUsers(db), ref)
}

/** @throws Refusal `conflict` when the name or e-mail is taken */
export async function addUser(db: Db, user: NewUser): Promise<User> {
  const row = { name: checkName('user', user.name), email: user.email ?? null, concurrency: user.concurrency }
  const { id } = await unique(
    'user',
    user.name,
    db.insertInto('users').values(row).returning('id').executeTakeFirstOrThrow(),
  )
  await db
    .insertInto('balances')
    .values({ user_id: id, balance: user.balance ?? 0n })
    .execute()
  return selectUsers(db).where('users.id', '=', id).executeTakeFirstOrThrow()
}

export async function setUser(
  db: Db,
  ref: string,
  change: { name?: string; email?: string | null; concurrency?: number; status?: User['status'] },
): Promise<User> {
  const { id } = await findUser(db, ref)
  if (change.name !== undefined) checkName('user', change.name)
  await unique(
    'user',
    change.name ?? ref,
    db
      .updateTable('users')
      .set({ ...change, updated_at: new Date() })
      .where('id', '=', id)
      .execute(),
  )
  return selectUsers(db).where('users.id', '=', id).executeTakeFirstOrThrow()
}

/** Takes the user away and revokes its keys; usage and balance stay for the books. */
export async function removeUser(db: Db, ref: string): Promise<User> {
  const user = await findUser(db, ref)
  const now = new Date()
  await db.updateTable('users').set({ deleted_at: now, updated_at: now }).where('id', '=', user.id).execute()
  await db
    .updateTable('api_keys')
    .set({ status: 'revoked', revoked_at: now })
    .where('user_id', '=', user.id)
    .where('status', '=', 'active')
    .execute()
  return user
}

function selectUsers(db: Db) {
  return db
    .selectFrom('users')
    .innerJoin('balances', 'balances.user_id', 'users.id')
    .select(['users.id', 'name', 'email', 'balance', 'concurrency', 'status', 'users.created_at'])
    .where('deleted_at', 'is', null)
}
