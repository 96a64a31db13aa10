// What every request needs to know, in memory: read from Postgres, never changed; the next one shares with it what is the same.
import type { AccountDialect, Platform } from '../db/schema.ts'
import type { Through } from '../egress/through.ts'
import { allowList } from '../lib/address.ts'
import type { Nano } from '../lib/money.ts'
import type { WindowName } from './books/window.ts'
import { Credential } from './credential.ts'
import type { PriceTable } from './price/price.ts'
import type { Shards } from './shards.ts'

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
  /** its accounts serve no key without a group */
  readonly exclusive: boolean
  /** who was let in, by number; of interest where it is exclusive and not of subscriptions */
  readonly allowed: readonly number[]
  /** what a model without a price costs: a refusal, nothing, or what the model of this name costs */
  readonly unknownModel: 'reject' | 'free' | { readonly fallback: string }
  /** when a client has left, its upstream is read on until the input's cost is known, not at all, or for so long */
  readonly onDisconnect: 'stop' | 'abort' | { readonly drainMs: number }
}

export interface SubscriptionFacts {
  readonly id: number
  readonly group: number
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
  /** of platform openai: which of its dialects the server speaks */
  readonly dialect: AccountDialect
  /** 0 or less: no limit */
  readonly concurrency: number
  readonly priority: number
  /** `expired`: its token is over and could not be refreshed */
  readonly status: 'active' | 'paused' | 'error' | 'expired'
  readonly reason: string | null
  readonly models: ModelMap
  /** Unix ms, 0 never */
  readonly expiresAt: number
  readonly interceptWarmup: boolean
  /** it serves in groups of other platforms, too */
  readonly mixed: boolean
  /** the egress proxy that it is reached through; null: none */
  readonly proxy: Through | null
}

/** An account's model mapping, compiled. Accounts with the same mapping share one. */
export interface ModelMap {
  /** the upstream's name for a requested model, or undefined when the account does not serve it */
  (model: string): string | undefined
  /** names without a star, in no order */
  readonly listed: readonly string[]
  /** there is no mapping: every model is served under its own name */
  readonly all: boolean
}

/** What a key's row says; whose it is and where it leads are ids. */
export interface KeyRow {
  readonly id: number
  readonly name: string
  readonly userId: number
  readonly groupId: number | null
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
  /** addresses and CIDRs that may use it; empty: all */
  readonly allowIp: readonly string[]
  /** empty: every model */
  readonly models: readonly string[]
}

/** A key with its user and its group, as they are in one snapshot. */
export class KeyFacts {
  readonly id: number
  readonly name: string
  readonly user: UserFacts
  readonly group: GroupFacts | null
  readonly revoked: boolean
  readonly expiresAt: number
  readonly concurrency: number | null
  readonly quota: Nano | null
  readonly rpm: number | null
  readonly tpm: number | null
  readonly models: readonly string[]
  readonly #stored: StoredKey

  constructor(stored: StoredKey, user: UserFacts, group: GroupFacts | null) {
    const { row } = stored
    this.#stored = stored
    this.id = row.id
    this.name = row.name
    this.user = user
    this.group = group
    this.revoked = row.revoked
    this.expiresAt = row.expiresAt
    this.concurrency = row.concurrency
    this.quota = row.quota
    this.rpm = row.rpm
    this.tpm = row.tpm
    this.models = row.models
  }

  allows(ip: string): boolean {
    return this.#stored.allows(ip)
  }
}

/** A key's row and what was made of it the last time it was used. Many snapshots share it: a change of a group does not touch its keys. */
export class StoredKey {
  /** as `digestKey` writes it */
  readonly digest: string
  readonly row: KeyRow
  #facts: KeyFacts | undefined
  #allows: ((ip: string) => boolean) | undefined

  constructor(digest: string, row: KeyRow) {
    this.digest = digest
    this.row = row
  }

  facts(user: UserFacts | undefined, group: GroupFacts | null): KeyFacts {
    const known = this.#facts
    if (known && known.user === user && known.group === group) return known
    const owner = user ?? { id: this.row.userId, name: '', concurrency: 1, active: false }
    return (this.#facts = new KeyFacts(this, owner, group))
  }

  allows(ip: string): boolean {
    return this.row.allowIp.length === 0 || (this.#allows ??= allowList(this.row.allowIp))(ip)
  }
}

/** What a snapshot is made of. Pools are in the order of ids. */
export interface Parts {
  /** Postgres's own name of the state that was read */
  at: string
  users: Shards<number, UserFacts>
  groups: Shards<number, GroupFacts>
  accounts: Shards<number, AccountFacts>
  /** by digest, as `digestKey` writes it; revoked ones too, so that their owner is told "revoked" and not "unknown" */
  keys: Shards<string, StoredKey>
  /** groups by account */
  bindings: Shards<number, readonly number[]>
  /** accounts by group */
  pools: Shards<number, readonly AccountFacts[]>
  /** accounts that are in no exclusive group, by platform */
  open: ReadonlyMap<Platform, readonly AccountFacts[]>
  /** by user */
  subscriptions: Shards<number, readonly SubscriptionFacts[]>
  prices: PriceTable
  /** what could not be used, for the log: by account */
  problems: ReadonlyMap<number, string>
}

export class Snapshot {
  readonly parts: Readonly<Parts>

  constructor(parts: Parts) {
    this.parts = parts
  }

  get users(): Shards<number, UserFacts> {
    return this.parts.users
  }

  get groups(): Shards<number, GroupFacts> {
    return this.parts.groups
  }

  get accounts(): Shards<number, AccountFacts> {
    return this.parts.accounts
  }

  get prices(): PriceTable {
    return this.parts.prices
  }

  get at(): string {
    return this.parts.at
  }

  get problems(): ReadonlyMap<number, string> {
    return this.parts.problems
  }

  /** how many keys there are, revoked ones too */
  get keyCount(): number {
    return this.parts.keys.size
  }

  /** every key, revoked ones too, in no order */
  *keys(): Generator<KeyRow> {
    for (const key of this.parts.keys.values()) yield key.row
  }

  /** The key with this digest (`digestKey`). */
  key(digest: string): KeyFacts | undefined {
    const { keys, users, groups } = this.parts
    const stored = keys.get(digest)
    if (!stored) return undefined
    const { userId, groupId } = stored.row
    return stored.facts(users.get(userId), groupId === null ? null : (groups.get(groupId) ?? null))
  }

  /** The accounts of a group, in the order of ids. The same array as long as nothing about them changes. */
  pool(group: number): readonly AccountFacts[] {
    return this.parts.pools.get(group) ?? none
  }

  /** Those of a group's accounts that are of this platform, for a route that asks for it by name. As `pool`. */
  poolOf(group: number, platform: Platform): readonly AccountFacts[] {
    const all = this.pool(group)
    let of = ofPlatform.get(all)
    if (!of) ofPlatform.set(all, (of = new Map()))
    let some = of.get(platform)
    if (!some) {
      some = all.filter(account => account.platform === platform)
      // Mostly a group has accounts of one platform only.
      if (some.length === all.length) some = all
      of.set(platform, some)
    }
    return some
  }

  /** The accounts of a platform that are in no exclusive group: what a key without a group may use. As `pool`. */
  ungrouped(platform: Platform): readonly AccountFacts[] {
    return this.parts.open.get(platform) ?? none
  }

  /** The groups of an account, by name. */
  groupsOf(account: number): string[] {
    return (this.parts.bindings.get(account) ?? []).flatMap(id => this.groups.get(id)?.name ?? [])
  }

  /** What a user has of a group, whether it runs or not. */
  subscription(user: number, group: number): SubscriptionFacts | undefined {
    return this.parts.subscriptions.get(user)?.find(s => s.group === group)
  }
}
const none: readonly AccountFacts[] = []
const ofPlatform = new WeakMap<readonly AccountFacts[], Map<Platform, readonly AccountFacts[]>>()

/** Map key of a digest: one byte a character, cheaper than hex. */
export const digestKey = (digest: Buffer): string => digest.toString('latin1')

// By the facts and not by the account's id: a request that chose an account goes to the upstream it chose with the
// credential of that moment, though a newer snapshot may have replaced both, or have no such account.
const credentials = new WeakMap<AccountFacts, Credential>()
const noCredential = new Credential('')

/** What the account shows its upstream: for `Platform.prepare`. Empty when it could not be decrypted; it is in error then. */
export function credentialOf(account: AccountFacts): Credential {
  return credentials.get(account) ?? noCredential
}

/** Gives facts their credential, once, when they are made. */
export function withCredential(account: AccountFacts, credential: Credential): AccountFacts {
  credentials.set(account, credential)
  return account
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
