// Users: who pays, and how many requests at once they may have.
import { atomic } from '../../db/atomic.ts'
import type { Db } from '../../db/connect.ts'
import type { Nano } from '../../lib/money.ts'
import { Refusal } from '../../lib/refusal.ts'
import { move } from '../books/ledger.ts'
import { among, checkName, found, hold, isNamed, unique } from './named.ts'

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
  /** who adds it, for the ledger */
  actor?: string | undefined
}

/** @throws Refusal `missing` */
export async function findUser(db: Db, ref: string): Promise<User> {
  return found(db, 'user', ref, await selectUsers(db).where(isNamed('users', ref)).executeTakeFirst())
}

/** A user that is there, or one that was taken away: its books are kept. @throws Refusal `missing` */
export async function findOwner(db: Db, ref: string): Promise<{ id: number; name: string }> {
  try {
    return await findUser(db, ref)
  } catch (error) {
    if (!(error instanceof Refusal && error.kind === 'missing')) throw error
    const gone = db.selectFrom('users').select(['id', 'name']).where(isNamed('users', ref)).orderBy('id', 'desc')
    return gone.executeTakeFirstOrThrow(() => error)
  }
}

/** A balance to start with stands in the ledger. @throws Refusal `conflict` when the name or e-mail is taken */
export function addUser(db: Db, user: NewUser): Promise<User> {
  const row = { name: checkName('user', user.name), email: user.email ?? null, concurrency: user.concurrency }
  return atomic(db, async tx => {
    const { id } = await unique(
      'user',
      user.name,
      tx.insertInto('users').values(row).returning('id').executeTakeFirstOrThrow(),
    )
    await tx.insertInto('balances').values({ user_id: id, balance: 0n }).execute()
    const { balance = 0n, actor } = user
    if (balance !== 0n) await move(tx, { user: id, amount: balance, kind: 'opening', actor })
    return selectUsers(tx).where('users.id', '=', id).executeTakeFirstOrThrow()
  })
}

export interface UserChange {
  name?: string
  email?: string | null
  concurrency?: number
  status?: User['status']
}

export async function setUser(db: Db, ref: string, change: UserChange): Promise<User> {
  return (await setUsers(db, [(await findUser(db, ref)).id], change))[0]!
}

/** The same change of all of them, in the order of their numbers. A name and an e-mail are one user's. */
export async function setUsers(db: Db, ids: readonly number[], change: UserChange): Promise<User[]> {
  if (change.name !== undefined) checkName('user', change.name)
  await hold(db, 'user', ids)
  await unique(
    'user',
    change.name ?? '',
    db
      .updateTable('users')
      .set({ ...change, updated_at: new Date() })
      .where(among('id', ids))
      .execute(),
  )
  return selectUsers(db).where(among('users.id', ids)).orderBy('users.id').execute()
}

/** Takes the user away and revokes its keys and subscriptions; usage, balance and ledger stay for the books. */
export async function removeUser(db: Db, ref: string): Promise<User> {
  const user = await findUser(db, ref)
  const now = new Date()
  await atomic(db, async tx => {
    await tx.updateTable('users').set({ deleted_at: now, updated_at: now }).where('id', '=', user.id).execute()
    for (const table of ['api_keys', 'subscriptions'] as const)
      await tx
        .updateTable(table)
        .set({ status: 'revoked', revoked_at: now, updated_at: now })
        .where('user_id', '=', user.id)
        .where('status', '=', 'active')
        .execute()
  })
  return user
}

/** Those that are there. */
export function selectUsers(db: Db) {
  return db
    .selectFrom('users')
    .innerJoin('balances', 'balances.user_id', 'users.id')
    .select(['users.id', 'name', 'email', 'balance', 'concurrency', 'status', 'users.created_at'])
    .where('deleted_at', 'is', null)
}
