// What every request needs to know, in memory: read whole from Postgres, replaced whole, never changed.
import type { Selectable } from 'kysely'
import type { Db } from '../db/connect.ts'
import type { Platform, Tables } from '../db/schema.ts'
import { allowList } from '../lib/address.ts'
import type { Nano } from '../lib/money.ts'
import type { Secret } from '../lib/secret.ts'
import type { WindowName } from './books/window.ts'
import { Credential } from './credential.ts'
import { operatorPrices, type PriceTable, priceTable, shippedPrices } from './price/price.ts'
import type { Account } from './record/account.ts'

export interface UserFacts {
  readonly id: number
  readonly name: string
  /** 0 or less: no limit */
  readonly concurrency: number
  readonly active: boolean
}

export interface GroupFacts {
  readonly id: number
  readonly name: string
  readonly platform: Platform
  /** ten-thousandths: 15000n is 1.5 */
  readonly multiplier: bigint
  readonly billing: 'balance' | 'subscription'
  /** what a subscription may use in each window; null: as much as it likes */
  readonly limits: Readonly<Record<WindowName, Nano | null>>
  /** what a model without a price costs: a refusal, nothing, or what the model of this name costs */
  readonly unknownModel: 'reject' | 'free' | { readonly fallback: string }
  /** how long an upstream is read on when its client has left, ms; 0: not at all */
  readonly drainMs: number
  readonly accounts: readonly AccountFacts[]
}

export interface SubscriptionFacts {
  readonly id: number
  /** Unix ms */
  readonly expiresAt: number
}

/** No secret is in it, since outcomes, views and logs hold it: see `credentialOf`. */
export interface AccountFacts {
  readonly id: number
  readonly name: string
  readonly platform: Platform
  readonly type: 'apikey' | 'oauth'
  readonly baseUrl: string | null
  /** 0 or less: no limit */
  readonly concurrency: number
  readonly priority: number
  readonly status: 'active' | 'paused' | 'error'
  readonly reason: string | null
  readonly models: ModelMap
  readonly groups: readonly string[]
  /** Unix ms, 0 never */
  readonly expiresAt: number
  readonly interceptWarmup: boolean
}

/** An account's model mapping, compiled. */
export interface ModelMap {
  /** the upstream's name for a requested model, or undefined when the account does not serve it */
  (model: string): string | undefined
  /** names without a star, in no order */
  readonly listed: readonly string[]
  /** there is no mapping: every model is served under its own name */
  readonly all: boolean
}

export interface KeyFacts {
  readonly id: number
  readonly name: string
  readonly user: UserFacts
  readonly group: GroupFacts | null
  readonly revoked: boolean
  /** Unix ms, 0 never */
  readonly expiresAt: number
  /** requests at once by this key; null: only the user's limit */
  readonly concurrency: number | null
  /** what it may spend in its life; null: what its user has */
  readonly quota: Nano | null
  /** requests and tokens a minute; null: any number */
  readonly rpm: number | null
  readonly tpm: number | null
  allows(ip: string): boolean
  /** empty: every model */
  readonly models: readonly string[]
}

export interface Snapshot {
  readonly keys: ReadonlyMap<string, KeyFacts>
  readonly users: ReadonlyMap<number, UserFacts>
  readonly groups: ReadonlyMap<number, GroupFacts>
  readonly accounts: ReadonlyMap<number, AccountFacts>
  /** the accounts of a platform that are in no exclusive group: what a key without a group may use */
  ungrouped(platform: Platform): readonly AccountFacts[]
  /** what a user has of a group, whether it runs or not */
  subscription(user: number, group: number): SubscriptionFacts | undefined
  readonly prices: PriceTable
  /** what could not be used, for the log */
  readonly problems: readonly string[]
}

/** Map key of a digest: one byte a character, cheaper than hex. */
export const digestKey = (digest: Buffer): string => digest.toString('latin1')

const shipped = shippedPrices()

/** Reads everything in one transaction, so that it never mixes two states. */
export async function loadSnapshot(db: Db, secret: Secret): Promise<Snapshot> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async tx => {
      const problems: string[] = []
      const userRows = await tx
        .selectFrom('users')
        .select(['id', 'name', 'concurrency', 'status', 'deleted_at'])
        .where('deleted_at', 'is', null)
        .execute()
      const users = new Map<number, UserFacts>()
      for (const u of userRows)
        users.set(u.id, { id: u.id, name: u.name, concurrency: u.concurrency, active: u.status === 'active' })

      const bindings = await tx
        .selectFrom('account_groups as ag')
        .innerJoin('groups as g', 'g.id', 'ag.group_id')
        .select(['ag.account_id', 'ag.group_id', 'g.name', 'g.exclusive'])
        .execute()
      const accounts = new Map<number, AccountFacts>()
      for (const a of await tx
        .selectFrom('accounts')
        .selectAll()
        .where('deleted_at', 'is', null)
        .orderBy('id')
        .execute()) {
        let credential = ''
        let { status, reason } = a
        try {
          credential = secret.decrypt(a.credential)
        } catch (error) {
          problems.push(`account ${a.name} is not used: ${(error as Error).message}`)
          status = 'error'
          reason = 'credential cannot be decrypted'
        }
        const names = bindings.filter(b => b.account_id === a.id).map(b => b.name)
        accounts.set(a.id, accountFacts({ ...a, status, reason }, new Credential(credential), names))
      }

      const groups = new Map<number, GroupFacts>()
      for (const g of await tx.selectFrom('groups').selectAll().where('deleted_at', 'is', null).execute())
        groups.set(g.id, {
          id: g.id,
          name: g.name,
          platform: g.platform,
          multiplier: BigInt(g.multiplier.replace('.', '')),
          billing: g.billing,
          limits: { day: g.daily_limit, week: g.weekly_limit, month: g.monthly_limit },
          unknownModel:
            g.fallback_model === null ? (g.unknown_model as 'reject' | 'free') : { fallback: g.fallback_model },
          drainMs: g.drain_ms,
          accounts: bindings.filter(b => b.group_id === g.id).flatMap(b => accounts.get(b.account_id) ?? []),
        })

      // Revoked keys are kept so that their owner is told "revoked" and not "unknown".
      const keys = new Map<string, KeyFacts>()
      for (const k of await tx.selectFrom('api_keys').selectAll().execute()) {
        const user = users.get(k.user_id)
        keys.set(digestKey(k.digest), {
          id: k.id,
          name: k.name,
          user: user ?? { id: k.user_id, name: '', concurrency: 1, active: false },
          group: k.group_id === null ? null : (groups.get(k.group_id) ?? null),
          revoked: k.status === 'revoked',
          expiresAt: k.expires_at?.getTime() ?? 0,
          concurrency: k.concurrency,
          quota: k.quota,
          rpm: k.rpm,
          tpm: k.tpm,
          allows: allowList(k.allow_ip),
          models: k.models,
        })
      }
      const subscriptions = new Map<string, SubscriptionFacts>()
      for (const s of await tx.selectFrom('subscriptions').selectAll().where('status', '=', 'active').execute())
        subscriptions.set(`${s.user_id} ${s.group_id}`, {
          id: s.id,
          expiresAt: s.expires_at.getTime(),
        })
      const exclusive = new Set(bindings.filter(b => b.exclusive).map(b => b.account_id))
      const open = [...accounts.values()].filter(account => !exclusive.has(account.id))
      const byPlatform = Map.groupBy(open, a => a.platform)
      return {
        keys,
        users,
        groups,
        accounts,
        subscription: (user, group) => subscriptions.get(`${user} ${group}`),
        ungrouped: platform => byPlatform.get(platform) ?? [],
        prices: priceTable([...shipped, ...(await operatorPrices(tx))]),
        problems,
      }
    })
}

/** One account, for whoever sends a request through it alone. @throws when its credential cannot be decrypted */
export async function loadAccount(db: Db, secret: Secret, account: Account): Promise<AccountFacts> {
  const row = await db.selectFrom('accounts').selectAll().where('id', '=', account.id).executeTakeFirstOrThrow()
  return accountFacts(row, new Credential(secret.decrypt(row.credential)), account.groups)
}

// By the facts and not by the account's id: a request that chose an account goes to the upstream it chose with the
// credential of that moment, though a newer snapshot may have replaced both, or have no such account.
const credentials = new WeakMap<AccountFacts, Credential>()

/** What the account shows its upstream: for `Platform.prepare`. Empty when it could not be decrypted; it is in error then. */
export function credentialOf(account: AccountFacts): Credential {
  return credentials.get(account) ?? noCredential
}
const noCredential = new Credential('')

function accountFacts(
  row: Selectable<Tables['accounts']>,
  credential: Credential,
  groups: readonly string[],
): AccountFacts {
  const facts: AccountFacts = {
    id: row.id,
    name: row.name,
    platform: row.platform,
    type: row.type,
    baseUrl: row.base_url,
    concurrency: row.concurrency,
    priority: row.priority,
    status: row.status,
    reason: row.reason,
    models: modelMap(row.model_map),
    groups,
    expiresAt: row.expires_at?.getTime() ?? 0,
    interceptWarmup: row.intercept_warmup,
  }
  credentials.set(facts, credential)
  return facts
}

/** Exact name first, then the longest `prefix*`; an empty map serves every model under its own name. */
export function modelMap(map: Record<string, string>): ModelMap {
  const names = Object.keys(map)
  const prefixes = names
    .filter(n => n.endsWith('*'))
    .map(n => n.slice(0, -1))
    .sort((a, b) => b.length - a.length)
  const upstream = (model: string): string | undefined => {
    if (names.length === 0) return model
    const exact = Object.hasOwn(map, model) ? map[model] : undefined
    if (exact !== undefined) return exact
    const prefix = prefixes.find(p => model.startsWith(p))
    if (prefix === undefined) return undefined
    // `claude-*=anthropic/claude-*` keeps the rest of the name; a target without a star replaces it.
    const target = map[prefix + '*']!
    return target.endsWith('*') ? target.slice(0, -1) + model.slice(prefix.length) : target
  }
  return Object.assign(upstream, { listed: names.filter(n => !n.endsWith('*')), all: names.length === 0 })
}
