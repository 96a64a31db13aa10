// Books for the tests of usage: a few users, keys and accounts, random lines, and their sums without any roll-up.
import { type Kysely, sql } from 'kysely'
import type { Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import type { UsageLine } from '../../src/core/books/line.ts'
import type { UsageFilter } from '../../src/core/usage/filter.ts'
import type { UsageStats, usageDimensions } from '../../src/core/usage/stats.ts'
import { openDatabase } from '../../src/db/connect.ts'
import type { Tables } from '../../src/db/schema.ts'
import { requestId } from '../../src/lib/id.ts'
import { book } from '../helpers/booking.ts'
import { freshDatabase } from '../helpers/database.ts'

type Db = Kysely<Tables>

export const MINUTE = 60_000
export const HOUR = 3_600_000
export const DAY = 86_400_000
export const noon = Date.UTC(2026, 9, 31, 12)

export const rollups = ['usage_minute', 'usage_hour', 'usage_day', 'usage_pool_hour', 'usage_pool_day']
const users = ['ann', 'bob', 'cas']
const accounts = ['first', 'second']
const models = ['small', 'large', 'large-2']

/** Three users, with keys `ann-1`, `bob-1`, … twice over, a group and two accounts. */
export async function books(t: Test): Promise<Db> {
  const { config } = loadConfig({ env: { GW_DATABASE_URL: await freshDatabase(t) }, flags: {} })
  const database = await openDatabase(config)
  t.teardown(() => database.close())
  await populate(database.db)
  return database.db
}

export async function populate(db: Db): Promise<void> {
  await sql`insert into users (name, concurrency) select name, 5 from unnest(${users}::text[]) as u(name)`.execute(db)
  await sql`insert into balances (user_id) select id from users`.execute(db)
  await sql`insert into groups (name, platform) values ('pool', 'anthropic')`.execute(db)
  await sql`insert into accounts (name, platform, type, credential, concurrency, priority)
    select name, 'anthropic', 'apikey', '', 5, 50 from unnest(${accounts}::text[]) as a(name)`.execute(db)
  await sql`insert into api_keys (user_id, name, prefix, digest)
    select id, name || '-' || n, 'sk-' || id || n, decode(md5(name || n), 'hex') from users, generate_series(1, 2) n order by id, n`.execute(
    db,
  )
}

export function bookAll(db: Db, lines: readonly UsageLine[]) {
  return book(db, lines, 'UTC')
}

/** A number from 0 to 1 at each call, the same ones for the same seed (mulberry32). */
export function dice(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let n = Math.imul(state ^ (state >>> 15), 1 | state)
    n = (n + Math.imul(n ^ (n >>> 7), 61 | n)) ^ n
    return ((n ^ (n >>> 14)) >>> 0) / 2 ** 32
  }
}

export function line(at: number, random: () => number, more: Partial<UsageLine> = {}): UsageLine {
  const below = (n: number) => Math.floor(random() * n)
  const user_id = 1 + below(3)
  const model = models[below(3)]!
  return {
    request_id: requestId(at),
    at: new Date(at).toISOString(),
    user_id,
    key_id: 2 * user_id - 1 + below(2),
    group_id: below(3) === 0 ? null : 1,
    account_id: below(5) === 0 ? null : 1 + below(2),
    platform: 'anthropic',
    model,
    upstream_model: model,
    upstream_request_id: null,
    stream: true,
    status: below(4) === 0 ? 529 : 200,
    input_tokens: below(10_000),
    output_tokens: below(1_000),
    cache_write_5m_tokens: below(500),
    cache_write_30m_tokens: below(500),
    cache_write_1h_tokens: below(500),
    cache_write_12h_tokens: below(500),
    cache_read_tokens: below(100_000),
    web_searches: below(3),
    mode: null,
    geo: null,
    cost: String(BigInt(below(1e9)) * 1_000_003n),
    charged: String(below(1e9)),
    billing: 'balance',
    subscription_id: null,
    price: 'shipped:small',
    partial: below(10) === 0,
    duration_ms: below(60_000),
    first_token_ms: below(4) === 0 ? null : 1 + below(2_000),
    attempts: 1,
    ...more,
  }
}

const named = (names: readonly string[], id: number | null) => (id === null ? '-' : names[id - 1]!)
const keyName = (id: number) => `${users[Math.floor((id - 1) / 2)]}-${1 + ((id - 1) % 2)}`

export function fits(one: UsageLine, filter: UsageFilter): boolean {
  const at = Date.parse(one.at)
  return (
    (!filter.since || at >= filter.since.getTime()) &&
    (!filter.until || at < filter.until.getTime()) &&
    (!filter.user || named(users, one.user_id) === filter.user) &&
    (!filter.key || keyName(one.key_id) === filter.key) &&
    (!filter.account || named(accounts, one.account_id) === filter.account) &&
    (!filter.group || one.group_id === 1) &&
    (!filter.model || one.model === filter.model)
  )
}

/** What usageStats must say, from the lines themselves. */
export function bruteForce(
  lines: readonly UsageLine[],
  { by, ...filter }: UsageFilter & { by: (typeof usageDimensions)[number] },
): UsageStats[] {
  const nameOf = (one: UsageLine): [name: string, id?: number | null] => {
    switch (by) {
      case 'user':
        return [named(users, one.user_id), one.user_id]
      case 'key':
        return [keyName(one.key_id), one.key_id]
      case 'account':
        return [named(accounts, one.account_id), one.account_id]
      case 'group':
        return [named(['pool'], one.group_id), one.group_id]
      case 'model':
        return [one.model]
      case 'day':
        return [one.at.slice(0, 10)]
      case 'hour':
        return [`${one.at.slice(0, 13)}:00Z`]
      case 'minute':
        return [`${one.at.slice(0, 16)}Z`]
    }
  }
  const groups = new Map<string, UsageLine[]>()
  for (const one of lines.filter(one => fits(one, filter))) {
    const [name] = nameOf(one)
    groups.set(name, [...(groups.get(name) ?? []), one])
  }
  return [...groups].map(([name, of]) => {
    const sum = (value: (one: UsageLine) => number) => of.reduce((total, one) => total + value(one), 0)
    const money = (column: 'cost' | 'charged') => of.reduce((total, one) => total + BigInt(one[column]), 0n)
    const firsts = of.filter(one => one.first_token_ms !== null)
    const [, id] = nameOf(of[0]!)
    return {
      name,
      ...(id === undefined ? {} : { id: id as number }),
      requests: of.length,
      errors: sum(one => (one.status >= 400 ? 1 : 0)),
      partials: sum(one => (one.partial ? 1 : 0)),
      input_tokens: sum(one => one.input_tokens),
      output_tokens: sum(one => one.output_tokens),
      cache_write_tokens: sum(
        one =>
          one.cache_write_5m_tokens +
          one.cache_write_30m_tokens +
          one.cache_write_1h_tokens +
          one.cache_write_12h_tokens,
      ),
      cache_read_tokens: sum(one => one.cache_read_tokens),
      web_searches: sum(one => one.web_searches),
      cost: money('cost'),
      charged: money('charged'),
      duration_ms: Math.round(sum(one => one.duration_ms) / of.length),
      first_token_ms: firsts.length === 0 ? null : Math.round(sum(one => one.first_token_ms ?? 0) / firsts.length),
    }
  })
}

/** Every sum there is, as text. */
export async function everything(db: Db): Promise<string[]> {
  const all: string[] = []
  for (const table of rollups) {
    const { rows } = await sql<{ row: string }>`select (to_jsonb(t))::text as row from ${sql.table(table)} t`.execute(
      db,
    )
    all.push(...rows.map(({ row }) => `${table} ${row}`))
  }
  return all.sort()
}

export async function count(db: Db, table: string): Promise<number> {
  const { rows } = await sql<{ n: number }>`select count(*)::integer as n from ${sql.table(table)}`.execute(db)
  return rows[0]!.n
}
