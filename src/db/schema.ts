// The tables as TypeScript sees them; the truth is in migrations/.
import type { ColumnType, Generated } from 'kysely'
import type { WatchTables } from './schema-watch.ts'

export type Platform = 'anthropic' | 'openai' | 'gemini' | 'antigravity'
export const platforms: readonly Platform[] = ['anthropic', 'openai', 'gemini', 'antigravity']

type Stamp = ColumnType<Date, Date | undefined, Date>

export interface UsersTable {
  id: Generated<number>
  name: string
  email: string | null
  concurrency: number
  status: Generated<'active' | 'disabled'>
  created_at: Stamp
  updated_at: Stamp
  deleted_at: Date | null
}

export interface BalancesTable {
  user_id: number
  balance: bigint
  /** grows with every change */
  version: Generated<bigint>
  updated_at: Stamp
}

export interface GroupsTable {
  id: Generated<number>
  name: string
  platform: Platform
  /** numeric(10,4): a decimal string such as `1.5000` */
  multiplier: ColumnType<string, string | undefined, string>
  billing: Generated<'balance' | 'subscription'>
  daily_limit: bigint | null
  weekly_limit: bigint | null
  monthly_limit: bigint | null
  exclusive: Generated<boolean>
  allowed: ColumnType<number[], number[] | undefined, number[]>
  unknown_model: Generated<'reject' | 'fallback' | 'free'>
  fallback_model: string | null
  on_disconnect: Generated<'stop' | 'abort' | 'drain'>
  /** of `drain` only */
  drain_ms: number | null
  created_at: Stamp
  updated_at: Stamp
  deleted_at: Date | null
}

export interface ProxiesTable {
  id: Generated<number>
  name: string
  url: Buffer
  created_at: Stamp
  updated_at: Stamp
  deleted_at: Date | null
}

/** Which of OpenAI's dialects an account's server speaks; auto: Responses at api.openai.com, Chat Completions elsewhere. */
export type AccountDialect = 'auto' | 'responses' | 'chat'

export interface AccountsTable {
  id: Generated<number>
  name: string
  platform: Platform
  type: 'apikey' | 'oauth'
  credential: Buffer
  base_url: string | null
  dialect: Generated<AccountDialect>
  concurrency: number
  priority: number
  status: Generated<'active' | 'paused' | 'error' | 'expired'>
  reason: string | null
  model_map: ColumnType<Record<string, string>, string | undefined, string>
  intercept_warmup: Generated<boolean>
  proxy_id: number | null
  mixed: Generated<boolean>
  catalogue: ColumnType<Record<string, string> | null, undefined, never>
  catalogue_at: ColumnType<Date | null, undefined, never>
  catalogue_due: ColumnType<Date | null, undefined, null>
  catalogue_problem: ColumnType<string | null, undefined, never>
  expires_at: Date | null
  created_at: Stamp
  updated_at: Stamp
  deleted_at: Date | null
}

export interface AccountTokensTable {
  account_id: number
  expires_at: Date | null
  refreshable: Generated<boolean>
  plan: string | null
  refreshed_at: Date | null
  failures: Generated<number>
  reason: string | null
  retry_at: Date | null
  lease_holder: string | null
  lease_until: Date | null
}

export interface AccountGroupsTable {
  account_id: number
  group_id: number
}

export interface ApiKeysTable {
  id: Generated<number>
  user_id: number
  group_id: number | null
  name: string
  prefix: string
  digest: Buffer
  status: Generated<'active' | 'revoked'>
  quota: bigint | null
  expires_at: Date | null
  concurrency: number | null
  rpm: number | null
  tpm: number | null
  allow_ip: ColumnType<string[], string[] | undefined, string[]>
  models: ColumnType<string[], string[] | undefined, string[]>
  created_at: Stamp
  updated_at: Stamp
  revoked_at: Date | null
}

export interface PricesTable {
  model: string
  effective_from: Stamp
  input: bigint
  output: bigint
  cache_write_5m: bigint | null
  cache_write_30m: bigint | null
  cache_write_1h: bigint | null
  cache_write_12h: bigint | null
  cache_read: bigint | null
  tier: ColumnType<Record<string, string | number> | null, string | null, string | null>
  extra: ColumnType<Record<string, unknown>, string | undefined, string>
}

export interface SettingsTable {
  key: string
  value: ColumnType<unknown, string, string>
}

export interface UsageTable {
  request_id: string
  at: Date
  user_id: number
  key_id: number
  group_id: number | null
  account_id: number | null
  platform: string
  model: string
  upstream_model: string | null
  upstream_request_id: string | null
  stream: boolean
  status: number
  input_tokens: number
  output_tokens: number
  cache_write_5m_tokens: number
  cache_write_30m_tokens: number
  cache_write_1h_tokens: number
  cache_write_12h_tokens: number
  cache_read_tokens: number
  web_searches: number
  mode: string | null
  geo: string | null
  cost: bigint
  charged: bigint
  billing: string
  subscription_id: number | null
  price: string | null
  partial: boolean
  duration_ms: number
  first_token_ms: number | null
  attempts: number
}

export interface KeyUsageTable {
  key_id: number
  used: bigint
  /** the part of `used` that a key rotated into this one had used */
  carried: Generated<bigint>
  version: Generated<bigint>
  updated_at: Stamp
}

export interface SubscriptionsTable {
  id: Generated<number>
  user_id: number
  group_id: number
  status: Generated<'active' | 'revoked'>
  starts_at: Stamp
  expires_at: Date
  note: string | null
  created_at: Stamp
  updated_at: Stamp
  revoked_at: Date | null
}

export interface SubscriptionUsageTable {
  subscription_id: number
  day_start: Date | null
  day_used: Generated<bigint>
  week_start: Date | null
  week_used: Generated<bigint>
  month_start: Date | null
  month_used: Generated<bigint>
  version: Generated<bigint>
  updated_at: Stamp
}

export interface LedgerTable {
  entry_id: string
  at: Date
  seq: Generated<bigint>
  booked_at: Stamp
  user_id: number
  kind: 'opening' | 'topup' | 'adjustment' | 'charge' | 'subscription'
  amount: bigint
  balance: bigint
  key_id: number | null
  subscription_id: number | null
  actor: string | null
  note: string | null
}

export interface AccountHealthTable {
  account_id: number
  model: string
  class: string
  reason: string
  until: Date
  evidence: boolean
  strikes: number
  since: ColumnType<Date, Date | undefined, Date>
  updated_at: Stamp
}

export interface NodesTable {
  process: string
  place: string
  host: string
  pid: number
  version: string
  shares: 'nothing' | 'redis' | 'silent'
  sees: number | null
  started_at: Stamp
  beat_at: Stamp
}

export interface DatabaseEpochTable {
  one: Generated<boolean>
  number: Generated<number>
  began_at: Stamp
}

interface UsageSums {
  /** its beginning, UTC */
  at: Date
  account_id: number
  group_id: number
  model: string
  requests: number
  errors: number
  partials: number
  web_searches: number
  first_tokens: number
  input_tokens: bigint
  output_tokens: bigint
  cache_write_tokens: bigint
  cache_read_tokens: bigint
  cost: bigint
  charged: bigint
  duration_ms: bigint
  first_token_ms: bigint
}

export interface UsageRollupTable extends UsageSums {
  key_id: number
  user_id: number
}

export interface UsageKeptTable {
  /** as `gw ops retention` lists it (core/retention/kept.ts) */
  name: string
  since: Date
}

export interface Tables extends WatchTables {
  account_health: AccountHealthTable
  users: UsersTable
  balances: BalancesTable
  groups: GroupsTable
  proxies: ProxiesTable
  accounts: AccountsTable
  account_groups: AccountGroupsTable
  account_tokens: AccountTokensTable
  api_keys: ApiKeysTable
  prices: PricesTable
  settings: SettingsTable
  nodes: NodesTable
  database_epoch: DatabaseEpochTable
  usage: UsageTable
  key_usage: KeyUsageTable
  subscriptions: SubscriptionsTable
  subscription_usage: SubscriptionUsageTable
  ledger: LedgerTable
  usage_minute: UsageRollupTable
  usage_hour: UsageRollupTable
  usage_day: UsageRollupTable
  usage_pool_hour: UsageSums
  usage_pool_day: UsageSums
  usage_kept: UsageKeptTable
}
