// The rows of which snapshots are made: which columns are read, and the facts that they become.

import { type Selectable, sql } from 'kysely'
import type { Db } from '../db/connect.ts'
import type { Tables } from '../db/schema.ts'
import type { Through } from '../egress/through.ts'
import type { Secret } from '../lib/secret.ts'
import { Credential } from './credential.ts'
import { mappingFor } from './default-models.ts'
import { openProxy } from './record/proxy.ts'
import type { Draft } from './shards.ts'
import {
  type AccountFacts,
  credentialOf,
  digestKey,
  type GroupFacts,
  type KeyRow,
  type ModelMap,
  modelMap,
  type Snapshot,
  StoredKey,
  type SubscriptionFacts,
  type UserFacts,
  withCredential,
} from './snapshot.ts'

export const userRows = (db: Db) => db.selectFrom('users').select(['id', 'name', 'concurrency', 'status', 'deleted_at'])
type UserRow = Selectable<Pick<Tables['users'], 'id' | 'name' | 'concurrency' | 'status' | 'deleted_at'>>

export function userFacts(row: UserRow): UserFacts {
  return { id: row.id, name: row.name, concurrency: row.concurrency, active: row.status === 'active' }
}

export const groupRows = (db: Db) => db.selectFrom('groups').selectAll()

export function groupFacts(row: Selectable<Tables['groups']>): GroupFacts {
  return {
    id: row.id,
    name: row.name,
    platform: row.platform,
    multiplier: BigInt(row.multiplier.replace('.', '')),
    billing: row.billing,
    limits: { day: row.daily_limit, week: row.weekly_limit, month: row.monthly_limit },
    exclusive: row.exclusive,
    allowed: row.allowed,
    unknownModel:
      row.fallback_model === null ? (row.unknown_model as 'reject' | 'free') : { fallback: row.fallback_model },
    onDisconnect: row.drain_ms === null ? (row.on_disconnect as 'stop' | 'abort') : { drainMs: row.drain_ms },
  }
}

export const accountRows = (db: Db) =>
  db
    .selectFrom('accounts')
    .select(['id', 'name', 'platform', 'type', 'credential', 'base_url', 'concurrency', 'priority', 'status', 'reason'])
    .select(['dialect', 'model_map', 'catalogue', 'intercept_warmup', 'expires_at', 'deleted_at', 'mixed', 'proxy_id'])
    .select(sql<string | null>`(select p.name from proxies p where p.id = accounts.proxy_id)`.as('proxy_name'))
    .select(
      sql<Buffer | null>`(select p.url from proxies p where p.id = accounts.proxy_id and p.deleted_at is null)`.as(
        'proxy_url',
      ),
    )
type AccountRow = Awaited<ReturnType<ReturnType<typeof accountRows>['executeTakeFirstOrThrow']>>

/** `proxy` is what its row names, opened. */
export function accountFacts(row: AccountRow, proxy: Through | null): AccountFacts {
  return {
    id: row.id,
    name: row.name,
    platform: row.platform,
    type: row.type,
    baseUrl: row.base_url,
    dialect: row.dialect,
    concurrency: row.concurrency,
    priority: row.priority,
    status: row.status,
    reason: row.reason,
    models: sharedModelMap(mappingFor(row.platform, row.model_map, row.catalogue)),
    expiresAt: row.expires_at?.getTime() ?? 0,
    interceptWarmup: row.intercept_warmup,
    mixed: row.mixed,
    proxy,
  }
}

// Sealed bytes of the credentials that facts hold: what is the same need not be decrypted again.
const sealed = new WeakMap<Credential, Buffer>()

/**
 * The proxy of a row, null when it has none. One that is not there any more is never taken for none, or its account would
 * show itself to its upstream from another address. @throws Error
 */
export function proxyOf(row: AccountRow, secret: Secret): Through | null {
  const { proxy_id: id, proxy_name: name, proxy_url: url } = row
  if (id === null) return null
  if (name === null || url === null) throw new Error(`its proxy ${name ?? id} is gone`)
  // Its name and its sealed bytes are all of it, and no two sealed ones are alike.
  const key = `${id} ${name} ${url.toString('latin1')}`
  const known = ways.get(key)
  if (known) return known
  try {
    const way = openProxy(secret, { id, name, url })
    if (ways.size >= WAYS) ways.clear()
    ways.set(key, way)
    return way
  } catch (error) {
    throw new Error(`its proxy ${name} cannot be used: ${(error as Error).message}`, { cause: error })
  }
}

// Accounts share one object of a proxy for as long as it is the same: connections through it are found by it.
const ways = new Map<string, Through>()
const WAYS = 10_000

/** Makes facts of rows, and notes what cannot be decrypted: those accounts are in error. */
export function accountReader(secret: Secret, before: Snapshot | undefined) {
  const problems = new Map<number, string>()
  const open = (row: AccountRow): Credential => {
    const known = before?.accounts.get(row.id)
    const credential = known && credentialOf(known)
    if (credential && sealed.get(credential)?.equals(row.credential)) return credential
    const fresh = new Credential(secret.decrypt(row.credential))
    sealed.set(fresh, row.credential)
    return fresh
  }
  const facts = (row: AccountRow): AccountFacts => {
    let proxy: Through | null = null
    try {
      proxy = proxyOf(row, secret)
      return withCredential(accountFacts(row, proxy), open(row))
    } catch (error) {
      problems.set(row.id, `account ${row.name} is not used: ${(error as Error).message}`)
      const reason = row.proxy_id !== null && !proxy ? (error as Error).message : 'credential cannot be decrypted'
      return accountFacts({ ...row, status: 'error', reason }, proxy)
    }
  }
  return { problems, facts }
}

// Most accounts have one of a few mappings. Forgotten now and then, so that old ones do not stay for ever.
const modelMaps = new Map<string, ModelMap>()
const MODEL_MAPS = 10_000

function sharedModelMap(map: Record<string, string>): ModelMap {
  const text = JSON.stringify(map)
  let known = modelMaps.get(text)
  if (!known) {
    if (modelMaps.size >= MODEL_MAPS) modelMaps.clear()
    modelMaps.set(text, (known = modelMap(map)))
  }
  return known
}

export const bindingRows = (db: Db) =>
  db
    .selectFrom('account_groups')
    .select('account_id as id')
    .select(sql<number[]>`array_agg(group_id order by group_id)`.as('groups'))
    .groupBy('account_id')

export const keyRows = (db: Db) =>
  db
    .selectFrom('api_keys')
    .select(['id', 'name', 'digest', 'user_id', 'group_id', 'status', 'expires_at', 'concurrency', 'quota', 'rpm'])
    .select(['tpm', 'allow_ip', 'models'])
type ApiKeyRow = Awaited<ReturnType<ReturnType<typeof keyRows>['executeTakeFirstOrThrow']>>

export function storedKey(row: ApiKeyRow): StoredKey {
  return new StoredKey(digestKey(row.digest), keyRow(row))
}

// Empty, as they mostly are, one serves all.
const nothing: readonly string[] = []

function keyRow(row: ApiKeyRow): KeyRow {
  return {
    id: row.id,
    name: row.name,
    userId: row.user_id,
    groupId: row.group_id,
    revoked: row.status === 'revoked',
    expiresAt: row.expires_at?.getTime() ?? 0,
    concurrency: row.concurrency,
    quota: row.quota,
    rpm: row.rpm,
    tpm: row.tpm,
    allowIp: row.allow_ip.length === 0 ? nothing : row.allow_ip,
    models: row.models.length === 0 ? nothing : row.models,
  }
}

export function sameRow(a: KeyRow, b: KeyRow): boolean {
  for (const name in a) {
    const [was, is] = [a[name as keyof KeyRow], b[name as keyof KeyRow]]
    if (was !== is && !(Array.isArray(was) && Array.isArray(is) && was.join() === is.join())) return false
  }
  return true
}

export const subscriptionRows = (db: Db) =>
  db.selectFrom('subscriptions').select(['id', 'user_id', 'group_id', 'status', 'expires_at'])
type SubscriptionRow = Awaited<ReturnType<ReturnType<typeof subscriptionRows>['executeTakeFirstOrThrow']>>

export function putSubscription(of: Draft<number, readonly SubscriptionFacts[]>, row: SubscriptionRow): void {
  const others = (of.get(row.user_id) ?? []).filter(known => known.id !== row.id)
  if (row.status === 'active') others.push({ id: row.id, group: row.group_id, expiresAt: row.expires_at.getTime() })
  if (others.length > 0)
    of.set(
      row.user_id,
      others.sort((a, b) => a.id - b.id),
    )
  else of.delete(row.user_id)
}
