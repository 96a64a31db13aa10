// What is kept of OAuth tokens beside their accounts: when they end, who refreshes them, how that went. And the one way to store new ones.
import { type RawBuilder, sql } from 'kysely'
import { atomic } from '../../db/atomic.ts'
import type { Db } from '../../db/connect.ts'
import type { Secret } from '../../lib/secret.ts'
import { type OauthCredential, type Patch, patched, planOf, readOauth, refreshable } from '../oauth/credential.ts'
import { among } from './named.ts'

/** Notes what a credential says of itself, and forgets how refreshing the one before it went. */
export async function noteToken(db: Db, accountId: number, credential: OauthCredential): Promise<void> {
  const row = {
    expires_at: endOf(credential),
    refreshable: refreshable(credential),
    plan: planOf(credential),
    ...untroubled,
  }
  await db
    .insertInto('account_tokens')
    .values({ account_id: accountId, ...row, refreshed_at: null, lease_holder: null, lease_until: null })
    .onConflict(conflict => conflict.column('account_id').doUpdateSet(row))
    .execute()
}

const untroubled = { failures: 0, reason: null, retry_at: null }

/** Nothing that failed before keeps it from being tried now. */
export async function forgetTrouble(db: Db, accounts: readonly number[]): Promise<void> {
  await db.updateTable('account_tokens').set(untroubled).where(among('account_id', accounts)).execute()
}

// Without a token it is over since the beginning of time.
function endOf({ access, expiresAt }: OauthCredential): Date | null {
  return access === '' ? new Date(0) : expiresAt === 0 ? null : new Date(expiresAt)
}

// No pause and no lease is longer; what is further ahead was written before Postgres' clock was set back.
const LONGEST = sql`interval '61 minutes'`
const ahead = (at: RawBuilder<unknown>): RawBuilder<boolean> =>
  sql`coalesce(${at} > now() and ${at} < now() + ${LONGEST}, false)`

/**
 * Takes the lease on an account's token: who has it is the only one that shows its refresh token to anybody. In Postgres and not in
 * the store, because a Redis that is away leaves each process to itself, and a rotating refresh token that is used twice is dead.
 * One that ends later than any can was taken before Postgres' clock was set back, and holds nobody up.
 * @returns false when somebody else has it
 */
export async function takeTokenLease(db: Db, accountId: number, holder: string, ttlMs: number): Promise<boolean> {
  const { rows } = await sql`
    insert into account_tokens (account_id, lease_holder, lease_until)
    values (${accountId}, ${holder}, now() + ${ttlMs} * interval '1 ms')
    on conflict (account_id) do update set lease_holder = excluded.lease_holder, lease_until = excluded.lease_until
      where account_tokens.lease_until is null or account_tokens.lease_until < now()
        or account_tokens.lease_until > now() + ${LONGEST}
    returning 1`.execute(db)
  return rows.length > 0
}

export async function releaseTokenLease(db: Db, accountId: number, holder: string): Promise<void> {
  await db
    .updateTable('account_tokens')
    .set({ lease_holder: null, lease_until: null })
    .where('account_id', '=', accountId)
    .where('lease_holder', '=', holder)
    .execute()
}

/** A credential as it is stored now, and how refreshing it went. */
export interface StoredToken {
  sealed: Buffer
  credential: OauthCredential
  status: 'active' | 'paused' | 'error' | 'expired'
  failures: number
  reason: string | null
  /** it is too early to try again */
  pausing: boolean
  leased: boolean
}

/** @returns undefined when there is no such OAuth account. @throws when its credential cannot be decrypted or read */
export async function readToken(db: Db, secret: Secret, accountId: number): Promise<StoredToken | undefined> {
  const row = await db
    .selectFrom('accounts as a')
    .leftJoin('account_tokens as t', 't.account_id', 'a.id')
    .select(['a.credential', 'a.status', 't.failures', 't.reason'])
    .select([ahead(sql`t.retry_at`).as('pausing'), ahead(sql`t.lease_until`).as('leased')])
    .where('a.id', '=', accountId)
    .where('a.type', '=', 'oauth')
    .where('a.deleted_at', 'is', null)
    .executeTakeFirst()
  if (!row) return undefined
  const credential = readOauth(secret.decrypt(row.credential))
  if (typeof credential === 'string') throw new Error(`its credential ${credential}`)
  const { credential: sealed, status, failures, reason, pausing, leased } = row
  return { sealed, credential, status, failures: failures ?? 0, reason, pausing, leased }
}

/**
 * Stores new tokens over the ones they were made of, and nothing else of the row: what an operator wrote meanwhile stays. An
 * account that had expired serves again, and what its upstream held against the old token is forgotten.
 * @param used the refresh token that was shown
 * @returns false when another credential is there by now, which then stands
 */
export async function storeTokens(
  db: Db,
  secret: Secret,
  accountId: number,
  { used, patch }: { used: string; patch: Patch },
): Promise<boolean> {
  for (;;) {
    const before = await readToken(db, secret, accountId)
    // Other fields may be new, or all of it sealed anew; the tokens are ours to replace as long as this one is there.
    if (!before || before.credential.refresh !== used) return false
    const text = patched(before.credential.fields, patch)
    const credential = readOauth(text)
    if (typeof credential === 'string') throw new Error(`the new credential ${credential}`)
    const stored = await atomic(db, async tx => {
      const { numUpdatedRows } = await tx
        .updateTable('accounts')
        .set({
          credential: secret.encrypt(text),
          updated_at: new Date(),
          status: sql`case when status = 'expired' then 'active' else status end`,
          reason: sql`case when status = 'expired' then null else reason end`,
        })
        .where('id', '=', accountId)
        .where('credential', '=', before.sealed)
        .where('deleted_at', 'is', null)
        .executeTakeFirst()
      if (numUpdatedRows === 0n) return false
      await noteToken(tx, accountId, credential)
      await tx
        .updateTable('account_tokens')
        .set({ refreshed_at: sql`now()` })
        .where('account_id', '=', accountId)
        .execute()
      await tx.deleteFrom('account_health').where('account_id', '=', accountId).where('class', '=', 'auth').execute()
      return true
    })
    if (stored) return true
  }
}

/** Notes that a refresh failed, and when it may be tried again; `expired` also takes the account out of service. */
export async function noteFailure(
  db: Db,
  accountId: number,
  failure: { reason: string; retryMs: number; expired: boolean },
): Promise<void> {
  const { reason, retryMs, expired } = failure
  await atomic(db, async tx => {
    await tx
      .updateTable('account_tokens')
      .set({
        failures: sql`failures + 1`,
        reason,
        retry_at: sql`now() + ${retryMs} * interval '1 ms'`,
      })
      .where('account_id', '=', accountId)
      .execute()
    if (expired)
      await tx
        .updateTable('accounts')
        .set({ status: 'expired', reason, updated_at: new Date() })
        .where('id', '=', accountId)
        .where('status', 'in', ['active', 'expired', 'error'])
        .execute()
  })
}

/**
 * The accounts whose tokens should be refreshed now: `beforeMs` ahead of their end or, of short-lived ones, at half of their life.
 * `noted` is false of those that an older gw made: when theirs end has to be read first (`noteUnknown`).
 */
export async function dueTokens(db: Db, beforeMs: number): Promise<{ id: number; noted: boolean }[]> {
  const { rows } = await sql<{ id: number; noted: boolean }>`
    select a.id, t.account_id is not null as noted from accounts a left join account_tokens t on t.account_id = a.id
    where a.type = 'oauth' and a.deleted_at is null and a.status in ('active', 'expired')
      and (t.account_id is null or t.refreshable
        and not ${ahead(sql`t.retry_at`)} and not ${ahead(sql`t.lease_until`)}
        and (a.status = 'expired' or t.expires_at <= now() + least(${beforeMs} * interval '1 ms',
          coalesce((t.expires_at - t.refreshed_at) / 2, ${beforeMs} * interval '1 ms'))))
    order by t.expires_at nulls first, a.id`.execute(db)
  return rows
}

/** Finds out when the token of an account ends, of which nothing is noted. */
export async function noteUnknown(db: Db, secret: Secret, accountId: number): Promise<void> {
  const stored = await readToken(db, secret, accountId).catch(() => undefined)
  if (stored) await noteToken(db, accountId, stored.credential)
  else await sql`insert into account_tokens (account_id) values (${accountId}) on conflict do nothing`.execute(db)
}
