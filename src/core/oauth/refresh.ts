// Refreshing: an account's token made new by exactly one of all who want that, in this process and in any other.
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Db } from '../../db/connect.ts'
import type { Guard } from '../../lib/guard/guard.ts'
import type { Secret } from '../../lib/secret.ts'
import { loadAccount } from '../read-snapshot.ts'
import {
  noteFailure,
  noteToken,
  readToken,
  releaseTokenLease,
  type StoredToken,
  storeTokens,
  takeTokenLease,
} from '../record/token.ts'
import { missingForRefresh } from './credential.ts'
import { refreshTokens } from './endpoint.ts'

/** `refreshed`: the stored token is another than the one that was known, whoever made it. `not-needed`: nothing was asked. */
export type Refreshed =
  | { result: 'refreshed' | 'not-needed'; by: 'us' | 'others' }
  /** `definite`: no asking again mends it; `reason` is for operators */
  | { result: 'failed'; definite: boolean; reason: string; by: 'us' | 'others' }

export interface RefreshOptions {
  /** the access token that is to be replaced: if another is stored, nothing is asked. undefined: the one that is stored */
  stale?: string | undefined
  /** asks though a failure a moment ago says not to */
  force?: boolean
}

export interface RefreshWorld {
  db: Db
  secret: Secret
  now: () => number
  log: (level: 'info' | 'warn' | 'error', line: string) => void
  /** of token endpoints, where upstreams may not be anywhere */
  guard?: Guard | undefined
  /** told once of each refresh, however many asked for it */
  ended?: (account: number, how: Refreshed) => void
}

// Longer than an endpoint has to answer and Postgres to store what it said.
const LEASE_MS = 120_000
const PATIENCE_MS = 60_000
const LOOK_MS = 50

const SECOND = 1000
const MINUTE = 60 * SECOND

// What cannot even be read is looked at again this much later.
const BROKEN_MS = 60_000

/** Refreshes accounts; those who ask for the same account at once share one refresh. Never rejects. */
export function createRefresh(world: RefreshWorld): (account: number, options?: RefreshOptions) => Promise<Refreshed> {
  const under = new Map<string, Promise<Refreshed>>()
  return (account, options = {}) => {
    const key = `${account} ${options.stale ?? ''}`
    let one = under.get(key)
    if (!one) {
      one = once(world, account, options).finally(() => under.delete(key))
      under.set(key, one)
    }
    return one
  }
}

async function once(world: RefreshWorld, account: number, options: RefreshOptions): Promise<Refreshed> {
  let how: Refreshed
  try {
    how = await refresh(world, account, options)
  } catch (error) {
    const reason = `token refresh: ${(error as Error).message}`
    how = { result: 'failed', definite: false, reason, by: 'us' }
    await noteFailure(world.db, account, { reason, retryMs: BROKEN_MS, expired: false }).catch(() => {
      // It is Postgres that is away, then.
    })
  }
  world.ended?.(account, how)
  return how
}

async function refresh(world: RefreshWorld, account: number, options: RefreshOptions): Promise<Refreshed> {
  const { db, secret } = world
  const holder = randomBytes(8).toString('hex')
  const deadline = performance.now() + PATIENCE_MS
  const first = await readToken(db, secret, account)
  if (!first) return refused('it is no OAuth account')
  const stale = options.stale ?? first.credential.access
  let seen: StoredToken = first
  for (;;) {
    if (seen.credential.access !== stale && seen.credential.access !== '') return { result: 'refreshed', by: 'others' }
    const missing = missingForRefresh(seen.credential)
    if (missing !== undefined) {
      // Of an account that an older gw made nothing is noted yet.
      await noteToken(db, account, seen.credential)
      return refused(`its credential has no ${missing}`)
    }
    // Who had the lease meanwhile tried, and it did not work: the next one in line need not try it, too.
    if (seen.failures > first.failures) return { ...refused(seen.reason ?? 'it failed'), by: 'others' }
    if (!options.force && seen.pausing) return { ...refused(seen.reason ?? 'it failed'), by: 'others' }
    if (await takeTokenLease(db, account, holder, LEASE_MS)) break
    if (performance.now() > deadline) return refused('somebody else has been refreshing it for too long')
    await sleep(LOOK_MS)
    const next = await readToken(db, secret, account)
    if (!next) return refused('it is gone')
    seen = next
  }
  try {
    return await refreshLeased(world, account, stale)
  } finally {
    await releaseTokenLease(db, account, holder).catch(() => {
      // It ends by itself.
    })
  }
}

const refused = (reason: string): Refreshed & { result: 'failed' } => ({
  result: 'failed',
  definite: true,
  reason,
  by: 'us',
})

async function refreshLeased(world: RefreshWorld, account: number, stale: string): Promise<Refreshed> {
  const { db, secret, now, log } = world
  // Read anew: whoever had the lease before may have done it.
  let stored = await readToken(db, secret, account)
  if (!stored) return refused('it is gone')
  const adopted = () => stored !== undefined && stored.credential.access !== stale && stored.credential.access !== ''
  if (adopted()) return { result: 'refreshed', by: 'others' }
  const facts = await loadAccount(db, secret, { id: account })
  for (let again = false; ; again = true) {
    const used = stored.credential.refresh
    const given = await refreshTokens(stored.credential, facts.proxy, now, world.guard)
    if (given.ok) {
      const kept = await storeAtAllCosts(world, facts.name, () =>
        storeTokens(db, secret, account, { used, patch: given.patch }),
      )
      if (!kept)
        log(
          'warn',
          `account ${facts.name}: another credential was stored while its token was refreshed; that one stands`,
        )
      return { result: 'refreshed', by: 'us' }
    }
    // The token may have been replaced by somebody who knows nothing of leases: read once more before it is taken for dead.
    const last = stored
    stored = await readToken(db, secret, account)
    if (!stored) return refused('it is gone')
    if (stored.credential.refresh !== used && !again) {
      if (adopted()) return { result: 'refreshed', by: 'others' }
      continue
    }
    const failures = last.failures + 1
    const over = last.credential.access === '' || (last.credential.expiresAt > 0 && last.credential.expiresAt <= now())
    const reason = `token refresh: ${given.reason}`
    const retryMs = given.definite ? backoff(MINUTE, failures, 60 * MINUTE) : backoff(10 * SECOND, failures, 5 * MINUTE)
    await noteFailure(db, account, { reason, retryMs, expired: given.definite || over })
    return { result: 'failed', definite: given.definite, reason, by: 'us' }
  }
}

const backoff = (step: number, failures: number, cap: number): number =>
  Math.min(cap, step * 2 ** Math.min(20, failures - 1))

// A rotating refresh token is good once: what came for it must not be lost because Postgres restarts in this moment.
async function storeAtAllCosts<T>({ log }: RefreshWorld, name: string, store: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS
  for (let wait = 100; ; wait = Math.min(5_000, wait * 2)) {
    try {
      return await store()
    } catch (error) {
      const why = (error as Error).message
      if (performance.now() > deadline) {
        log('error', `account ${name}: its new tokens could not be stored, and the old ones may be void: ${why}`)
        throw error
      }
      log('warn', `account ${name}: its new tokens cannot be stored yet, trying again: ${why}`)
      await sleep(wait)
    }
  }
}
