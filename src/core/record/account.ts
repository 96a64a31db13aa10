// Accounts: one upstream credential each, with its own concurrency and priority.
import { sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { AccountDialect, Platform } from '../../db/schema.ts'
import { Refusal } from '../../lib/refusal.ts'
import type { Secret } from '../../lib/secret.ts'
import { readOauth } from '../oauth/credential.ts'
import { findGroup, type Group } from './group.ts'
import { clearHealth } from './health.ts'
import { among, checkName, findEach, found, hold, isNamed, unique } from './named.ts'
import { proxyId } from './proxy.ts'
import { forgetTrouble, noteToken } from './token.ts'

export interface Account {
  id: number
  name: string
  platform: Platform
  type: 'apikey' | 'oauth'
  groups: string[]
  base_url: string | null
  /** which of OpenAI's dialects its server speaks; null where the platform has one */
  dialect: AccountDialect | null
  concurrency: number
  /** 1..100, lower is chosen first */
  priority: number
  /** `expired`: its token is over and could not be refreshed */
  status: 'active' | 'paused' | 'error' | 'expired'
  reason: string | null
  /** requested model, or `prefix*`, to the upstream's name; empty serves every model as it is named */
  model_map: Record<string, string>
  intercept_warmup: boolean
  /** the egress proxy that it is reached through, by name */
  proxy: string | null
  /** of platform antigravity: it may serve in groups of anthropic and gemini, too */
  mixed: boolean
  expires_at: Date | null
  /** of an OAuth account: when its access token ends; null: nobody said */
  token_expires_at: Date | null
  token_refreshed_at: Date | null
  /** why the last refresh failed */
  token_problem: string | null
  /** of an OAuth account: what its credential says of its plan, in words */
  plan: string | null
  created_at: Date
}

export interface AccountChange {
  name?: string
  base_url?: string | null
  /** of platform openai only */
  dialect?: AccountDialect
  concurrency?: number
  priority?: number
  status?: Account['status']
  reason?: string | null
  model_map?: Record<string, string>
  intercept_warmup?: boolean
  /** name or number of a proxy; null: none */
  proxy?: string | null
  /** of platform antigravity only */
  mixed?: boolean
  expires_at?: Date | null
  /** replaces all bindings */
  groups?: string[]
  /** plain text; stored encrypted */
  credential?: string
}

export interface NewAccount extends AccountChange {
  name: string
  platform: Platform
  type: Account['type']
  credential: string
  concurrency: number
  priority: number
}

/** @throws Refusal `missing` */
export async function findAccount(db: Db, ref: string): Promise<Account> {
  return found(db, 'account', ref, await selectAccounts(db).where(isNamed('accounts', ref)).executeTakeFirst())
}

/** @throws Refusal `conflict` when the name is taken, `missing` for an unknown group, `usage` for one of another platform or a dialect that it has not */
export async function addAccount(db: Db, secret: Secret, account: NewAccount): Promise<Account> {
  checkName('account', account.name)
  checkDialect(account, account.dialect)
  checkMixed(account, account.mixed)
  const { groups, credential, model_map, base_url, proxy, ...plain } = account
  const row = {
    ...plain,
    base_url: base_url === undefined || base_url === null ? null : origin(base_url),
    credential: secret.encrypt(credential),
    model_map: JSON.stringify(model_map ?? {}),
    reason: null,
    proxy_id: proxy === undefined || proxy === null ? null : await proxyId(db, proxy),
  }
  const { id } = await unique(
    'account',
    account.name,
    db.insertInto('accounts').values(row).returning('id').executeTakeFirstOrThrow(),
  )
  await noteCredential(db, id, account.type, credential)
  const made = { id, name: account.name, platform: account.platform, mixed: account.mixed ?? false }
  await bind(db, [made], groups ?? (await defaultGroup(db, account.platform)))
  return selectAccounts(db).where('id', '=', id).executeTakeFirstOrThrow()
}

export async function setAccount(db: Db, secret: Secret, ref: string, change: AccountChange): Promise<Account> {
  return (await setAccounts(db, secret, [await findAccount(db, ref)], change))[0]!
}

/** The same change of all of them, in the order of their numbers. A name is one account's, and so is a credential. */
export async function setAccounts(
  db: Db,
  secret: Secret,
  accounts: readonly Account[],
  change: AccountChange,
): Promise<Account[]> {
  if (change.name !== undefined) checkName('account', change.name)
  for (const account of accounts) {
    checkDialect(account, change.dialect)
    checkMixed(account, change.mixed)
  }
  const { groups, credential, model_map, base_url, proxy, ...plain } = change
  const ids = accounts.map(account => account.id)
  await hold(db, 'account', ids)
  const row = {
    ...plain,
    ...(base_url === undefined ? {} : { base_url: base_url === null ? null : origin(base_url) }),
    ...(credential === undefined ? {} : { credential: secret.encrypt(credential) }),
    // What was over was the old one.
    ...(credential !== undefined && accounts.every(account => account.status === 'expired')
      ? { status: 'active' as const, reason: null }
      : {}),
    ...(model_map === undefined ? {} : { model_map: JSON.stringify(model_map) }),
    ...(proxy === undefined ? {} : { proxy_id: proxy === null ? null : await proxyId(db, proxy) }),
    // Another account of the provider, or another way to it, may be told another list.
    ...(credential === undefined && base_url === undefined && proxy === undefined ? {} : { catalogue_due: null }),
    updated_at: new Date(),
  }
  await unique('account', change.name ?? '', db.updateTable('accounts').set(row).where(among('id', ids)).execute())
  if (credential !== undefined) for (const { id, type } of accounts) await noteCredential(db, id, type, credential)
  if (change.status === 'active') await forgetTrouble(db, ids)
  if (groups) await bind(db, withMixed(accounts, change.mixed), groups)
  else if (change.mixed === false)
    for (const account of accounts) if (account.mixed) await bind(db, withMixed([account], false), account.groups)
  return selectAccounts(db).where(among('id', ids)).orderBy('id').execute()
}

const withMixed = (accounts: readonly Account[], mixed: boolean | undefined) =>
  accounts.map(account => ({ ...account, mixed: mixed ?? account.mixed }))

/** What the daemon says of an account: in error, with the reason. Leaves a paused account alone. */
export async function setAccountStatus(
  db: Db,
  id: number,
  status: Account['status'],
  reason: string | null,
): Promise<void> {
  await db
    .updateTable('accounts')
    .set({ status, reason, updated_at: new Date() })
    .where('id', '=', id)
    // Why a token is over says more than that its upstream refuses it.
    .where('status', 'not in', status === 'error' ? ['paused', 'expired'] : ['paused'])
    .execute()
}

/**
 * Forgets what upstreams said of accounts, and brings them back from `error` and `expired`; paused ones stay paused.
 * @returns the accounts in the order of their numbers, and how many things were held against them
 */
export async function clearAccounts(
  db: Db,
  accounts: readonly Account[],
): Promise<{ accounts: Account[]; cleared: number }> {
  const ids = accounts.map(account => account.id)
  await hold(db, 'account', ids)
  const ailments = await clearHealth(db, ids)
  const out = accounts.filter(({ status }) => status === 'error' || status === 'expired').map(account => account.id)
  if (out.length > 0) {
    await db
      .updateTable('accounts')
      .set({ status: 'active', reason: null, updated_at: new Date() })
      .where(among('id', out))
      .where('status', '<>', 'paused')
      .execute()
    await forgetTrouble(db, out)
  }
  const now = await selectAccounts(db).where(among('id', ids)).orderBy('id').execute()
  return { accounts: now, cleared: ailments + out.length }
}

/** Takes the account away and forgets its credential; its usage stays. */
export async function removeAccount(db: Db, ref: string): Promise<Account> {
  const account = await findAccount(db, ref)
  const now = new Date()
  await db.deleteFrom('account_groups').where('account_id', '=', account.id).execute()
  await db
    .updateTable('accounts')
    .set({ deleted_at: now, updated_at: now, credential: Buffer.alloc(0) })
    .where('id', '=', account.id)
    .execute()
  return account
}

/**
 * A base URL as gw keeps it: origin and prefix, without the API version that gw appends itself.
 * @throws Refusal `usage`
 */
export function origin(text: string): string {
  const refuse = (why: string) =>
    new Refusal(
      'usage',
      `--base-url "${text}" ${why}; write an origin with an optional prefix, for example https://api.anthropic.com`,
    )
  const url = URL.parse(text)
  if (!url) throw refuse('is not a URL')
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw refuse(`has scheme ${url.protocol} where http: or https: is needed`)
  if (url.username || url.password) throw refuse('carries a user or password')
  if (url.search || url.hash) throw refuse('has a query or fragment')
  return url.origin + url.pathname.replace(/\/+$/, '').replace(/\/(v1|v1beta|v1internal)$/, '')
}

type Named = Pick<Account, 'name' | 'platform'>

function checkDialect({ name, platform }: Named, dialect: AccountDialect | undefined): void {
  if (dialect !== undefined && platform !== 'openai')
    throw new Refusal(
      'usage',
      `--dialect ${dialect} is for accounts of platform openai, which has two; account "${name}" of ${platform} speaks its own`,
    )
}

/** What accounts of antigravity may serve beside their own groups, when their operator says so (spec/domain.md §5.2). */
export const mixedInto: readonly Platform[] = ['anthropic', 'gemini']

function checkMixed({ name, platform }: Named, mixed: boolean | undefined): void {
  if (mixed && platform !== 'antigravity')
    throw new Refusal(
      'usage',
      `--mixed is for accounts of antigravity, account "${name}" is of ${platform}; bind it to groups of its own platform`,
    )
}

// What cannot be read says so when it is used; commands check it before.
async function noteCredential(db: Db, id: number, type: Account['type'], text: string): Promise<void> {
  const credential = type === 'oauth' ? readOauth(text) : ''
  if (typeof credential !== 'string') await noteToken(db, id, credential)
}

type Bound = Pick<Account, 'id' | 'name' | 'platform' | 'mixed'>

/** Binds all of them to these groups, and to no others. */
async function bind(db: Db, accounts: readonly Bound[], refs: readonly string[]): Promise<void> {
  const groups = await findEach(refs, ref => findGroup(db, ref))
  for (const account of accounts) for (const group of groups) checkBinding(account, group)
  const ids = accounts.map(account => account.id)
  await db.deleteFrom('account_groups').where(among('account_id', ids)).execute()
  const bound = groups.map(group => group.id)
  await sql`insert into account_groups (account_id, group_id)
    select a, g from unnest(${ids}::integer[]) a, unnest(${bound}::integer[]) g`.execute(db)
}

function checkBinding(account: Bound, group: Group): void {
  const mixes = account.platform === 'antigravity' && mixedInto.includes(group.platform)
  if (group.platform === account.platform || (mixes && account.mixed)) return
  throw new Refusal(
    'usage',
    `group "${group.name}" is of platform ${group.platform}, account "${account.name}" of ${account.platform}; bind it to a group of its own platform${mixes ? ', or give it --mixed' : ''}`,
  )
}

// spec/domain.md §1.3
async function defaultGroup(db: Db, platform: Platform): Promise<string[]> {
  const name = `${platform}-default`
  const there = db.selectFrom('groups').select('id').where('name', '=', name).where('deleted_at', 'is', null)
  return (await there.executeTakeFirst()) ? [name] : []
}

/** Those that are there. */
export function selectAccounts(db: Db) {
  return db
    .selectFrom('accounts')
    .select([
      'id',
      'name',
      'platform',
      'type',
      'base_url',
      'concurrency',
      'priority',
      'status',
      'reason',
      'model_map',
      'intercept_warmup',
      'mixed',
      'expires_at',
      'created_at',
    ])
    .select(
      sql<Date | null>`(select t.expires_at from account_tokens t where t.account_id = accounts.id)`.as(
        'token_expires_at',
      ),
    )
    .select(
      sql<Date | null>`(select t.refreshed_at from account_tokens t where t.account_id = accounts.id)`.as(
        'token_refreshed_at',
      ),
    )
    .select(sql<string | null>`(select t.plan from account_tokens t where t.account_id = accounts.id)`.as('plan'))
    .select(
      sql<string | null>`(select t.reason from account_tokens t where t.account_id = accounts.id)`.as('token_problem'),
    )
    .select(sql<string | null>`(select p.name from proxies p where p.id = accounts.proxy_id)`.as('proxy'))
    .select(sql<AccountDialect | null>`case when platform = 'openai' then dialect end`.as('dialect'))
    .select(
      sql<
        string[]
      >`array(select g.name from account_groups ag join groups g on g.id = ag.group_id where ag.account_id = accounts.id order by g.name)`.as(
        'groups',
      ),
    )
    .where('deleted_at', 'is', null)
}
