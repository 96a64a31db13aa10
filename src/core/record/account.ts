// Accounts: one upstream credential each, with its own concurrency and priority.
import { sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { AccountDialect, Platform } from '../../db/schema.ts'
import { Refusal } from '../../lib/refusal.ts'
import type { Secret } from '../../lib/secret.ts'
import { readOauth } from '../oauth/credential.ts'
import { findGroup, listGroups } from './group.ts'
import { clearHealth } from './health.ts'
import { checkName, pick, unique } from './named.ts'
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

export function listAccounts(db: Db): Promise<Account[]> {
  return selectAccounts(db).orderBy('id').execute()
}

/** @throws Refusal `missing` */
export async function findAccount(db: Db, ref: string): Promise<Account> {
  return pick('account', await listAccounts(db), ref)
}

/** @throws Refusal `conflict` when the name is taken, `missing` for an unknown group, `usage` for one of another platform or a dialect that it has not */
export async function addAccount(db: Db, secret: Secret, account: NewAccount): Promise<Account> {
  checkName('account', account.name)
  checkDialect(account.platform, account.dialect)
  checkMixed(account.platform, account.mixed)
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
  await bind(
    db,
    { id, platform: account.platform, mixed: account.mixed ?? false },
    groups ?? (await defaultGroup(db, account.platform)),
  )
  return selectAccounts(db).where('id', '=', id).executeTakeFirstOrThrow()
}

export async function setAccount(db: Db, secret: Secret, ref: string, change: AccountChange): Promise<Account> {
  const found = await findAccount(db, ref)
  if (change.name !== undefined) checkName('account', change.name)
  checkDialect(found.platform, change.dialect)
  checkMixed(found.platform, change.mixed)
  const { groups, credential, model_map, base_url, proxy, ...plain } = change
  const row = {
    ...plain,
    ...(base_url === undefined ? {} : { base_url: base_url === null ? null : origin(base_url) }),
    ...(credential === undefined ? {} : { credential: secret.encrypt(credential) }),
    // What was over was the old one.
    ...(credential !== undefined && found.status === 'expired' ? { status: 'active' as const, reason: null } : {}),
    ...(model_map === undefined ? {} : { model_map: JSON.stringify(model_map) }),
    ...(proxy === undefined ? {} : { proxy_id: proxy === null ? null : await proxyId(db, proxy) }),
    // Another account of the provider, or another way to it, may be told another list.
    ...(credential === undefined && base_url === undefined && proxy === undefined ? {} : { catalogue_due: null }),
    updated_at: new Date(),
  }
  await unique('account', change.name ?? ref, db.updateTable('accounts').set(row).where('id', '=', found.id).execute())
  if (credential !== undefined) await noteCredential(db, found.id, found.type, credential)
  if (change.status === 'active') await forgetTrouble(db, found.id)
  const mixed = change.mixed ?? found.mixed
  if (groups || mixed !== found.mixed) await bind(db, { ...found, mixed }, groups ?? found.groups)
  return selectAccounts(db).where('id', '=', found.id).executeTakeFirstOrThrow()
}

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
 * Forgets what upstreams said of an account, and brings it back from `error` and `expired`; a paused one stays paused.
 * @returns the account, and how many things were held against it
 */
export async function clearAccount(db: Db, ref: string): Promise<{ account: Account; cleared: number }> {
  const { id, status } = await findAccount(db, ref)
  const ailments = await clearHealth(db, id)
  const out = status === 'error' || status === 'expired'
  if (out) await setAccountStatus(db, id, 'active', null)
  if (out) await forgetTrouble(db, id)
  const account = await selectAccounts(db).where('id', '=', id).executeTakeFirstOrThrow()
  return { account, cleared: ailments + (out ? 1 : 0) }
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

function checkDialect(platform: Platform, dialect: AccountDialect | undefined): void {
  if (dialect !== undefined && platform !== 'openai')
    throw new Refusal(
      'usage',
      `--dialect ${dialect} is for accounts of platform openai, which has two; an account of ${platform} speaks its own`,
    )
}

/** What accounts of antigravity may serve beside their own groups, when their operator says so (spec/domain.md §5.2). */
export const mixedInto: readonly Platform[] = ['anthropic', 'gemini']

function checkMixed(platform: Platform, mixed: boolean | undefined): void {
  if (mixed && platform !== 'antigravity')
    throw new Refusal(
      'usage',
      `--mixed is for accounts of antigravity, this one is of ${platform}; bind it to groups of its own platform`,
    )
}

// What cannot be read says so when it is used; commands check it before.
async function noteCredential(db: Db, id: number, type: Account['type'], text: string): Promise<void> {
  const credential = type === 'oauth' ? readOauth(text) : ''
  if (typeof credential !== 'string') await noteToken(db, id, credential)
}

async function bind(
  db: Db,
  account: { id: number; platform: Platform; mixed: boolean },
  groups: readonly string[],
): Promise<void> {
  const ids = []
  for (const ref of groups) {
    const group = await findGroup(db, ref)
    const mixes = account.platform === 'antigravity' && mixedInto.includes(group.platform)
    if (group.platform !== account.platform && !(mixes && account.mixed))
      throw new Refusal(
        'usage',
        `group "${group.name}" is of platform ${group.platform}, the account of ${account.platform}; bind it to a group of its own platform${mixes ? ', or give it --mixed' : ''}`,
      )
    ids.push(group.id)
  }
  await db.deleteFrom('account_groups').where('account_id', '=', account.id).execute()
  if (ids.length > 0)
    await db
      .insertInto('account_groups')
      .values([...new Set(ids)].map(group_id => ({ account_id: account.id, group_id })))
      .execute()
}

// spec/domain.md §1.3
async function defaultGroup(db: Db, platform: Platform): Promise<string[]> {
  const name = `${platform}-default`
  return (await listGroups(db)).some(group => group.name === name) ? [name] : []
}

function selectAccounts(db: Db) {
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
