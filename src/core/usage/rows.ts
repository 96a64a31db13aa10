// Usage rows: what each request left, listed page by page.
import { type RawBuilder, sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { Nano } from '../../lib/money.ts'
import { Refusal } from '../../lib/refusal.ts'
import { type Known, resolve, rollupFor, terms, type UsageFilter } from './filter.ts'
import { MODEL_CHARACTERS } from './rollup.ts'

export interface UsageRecord {
  request_id: string
  at: Date
  user: string
  key: string
  group: string | null
  account: string | null
  platform: string
  model: string
  upstream_model: string | null
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
  /** the upstream's service mode where it has rates of its own */
  mode: string | null
  /** where it was computed, when that has a price of its own */
  geo: string | null
  cost: Nano
  charged: Nano
  billing: string
  duration_ms: number
  first_token_ms: number | null
  partial: boolean
}

/** A place between two rows. */
export interface Place {
  at: Date
  request_id: string
}

/** The word for the place behind a row, as `--before` takes it. */
export function cursorOf(row: Place): string {
  return `${row.at.toISOString()},${row.request_id}`
}

/** @throws Refusal `usage`; `from` is the command that gives them */
export function readCursor(text: string, from = 'gw usage list'): Place {
  const [, at, request_id] =
    /^(\d{4}-\d\d-\d\dT[\d:.]+Z),([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/.exec(text) ?? []
  if (at !== undefined && request_id !== undefined && !Number.isNaN(Date.parse(at)))
    return { at: new Date(at), request_id }
  throw new Refusal('usage', `--before must be a cursor as ${from} gives it, got ${JSON.stringify(text)}`)
}

/**
 * The newest rows first; those before a place with `before`. Pages made with the place of their last row hold every row
 * once, even when many began in the same millisecond and new ones come.
 * @throws Refusal `missing` for a name that nobody has
 */
export async function listUsage(
  db: Db,
  filter: UsageFilter & { request?: string | undefined; before?: Place | undefined; limit: number },
): Promise<UsageRecord[]> {
  const { request, before, limit } = filter
  const known = await resolve(db, filter)
  const where = [...times(known), terms(known, 'u', 'rows')]
  if (request !== undefined) where.push(...ofRequest(request))
  if (before) where.push(sql`(u.at, u.request_id) < (${before.at}, ${before.request_id})`)
  const rows = sql`select u.* from usage u where ${sql.join(where, sql` and `)} order by at desc, request_id desc limit ${limit}`
  if (request !== undefined || (known.ids.length === 0 && known.model === undefined)) return named(db, rows, 'desc')
  const hours = await busyHours(db, known, before?.at ?? known.until, limit)
  if (hours === undefined) return named(db, rows, 'desc')
  // By itself for each hour, or Postgres might go through all there is in search of a user's few rows.
  const ofHour = sql`select u.* from usage u where u.at >= hour and u.at < hour + interval '1 hour' and ${sql.join(where, sql` and `)}
    order by at desc, request_id desc limit ${limit}`
  return named(
    db,
    sql`select r.* from unnest(${hours}::timestamptz[]) as hours(hour) cross join lateral (${ofHour}) r order by at desc, request_id desc limit ${limit}`,
    'desc',
  )
}

/**
 * All rows, the oldest first, in pages of `size`. Run it in one repeatable-read transaction to see the books of one moment.
 */
export async function* usagePages(db: Db, known: Known, size: number): AsyncGenerator<UsageRecord[]> {
  for (let after: Place | undefined; ; ) {
    const where = [...times(known), terms(known, 'u', 'rows')]
    if (after) where.push(sql`(u.at, u.request_id) > (${after.at}, ${after.request_id})`)
    const page = await named(
      db,
      sql`select u.* from usage u where ${sql.join(where, sql` and `)} order by at, request_id limit ${size}`,
      'asc',
    )
    if (page.length > 0) yield page
    if (page.length < size) return
    after = page.at(-1)
  }
}

// Deleted records keep their names here: usage is history.
async function named(db: Db, rows: RawBuilder<unknown>, order: 'asc' | 'desc'): Promise<UsageRecord[]> {
  const way = sql.raw(order)
  const result = await sql<UsageRecord>`
    select u.request_id, u.at, coalesce(users.name, u.user_id::text) as user, coalesce(k.name, u.key_id::text) as key, g.name as group,
      a.name as account, u.platform, u.model, nullif(coalesce(u.upstream_model, u.model), '') as upstream_model, u.stream, u.status,
      u.input_tokens, u.output_tokens, u.cache_write_5m_tokens, u.cache_write_30m_tokens, u.cache_write_1h_tokens,
      u.cache_write_12h_tokens, u.cache_read_tokens, u.web_searches, u.mode, u.geo,
      u.cost, u.charged, u.billing, u.duration_ms, u.first_token_ms, u.partial
    from (${rows}) u
      left join users on users.id = u.user_id
      left join api_keys k on k.id = u.key_id
      left join groups g on g.id = u.group_id
      left join accounts a on a.id = u.account_id
    order by u.at ${way}, u.request_id ${way}`.execute(db)
  return result.rows
}

function times({ since, until }: Known): RawBuilder<unknown>[] {
  return [...(since ? [sql`u.at >= ${since}`] : []), ...(until ? [sql`u.at < ${until}`] : [])]
}

/** An id of gw's says when its request began, and the index begins with that. */
function ofRequest(id: string): RawBuilder<unknown>[] {
  const digits = id.replaceAll('-', '')
  const began = digits[12] === '7' ? [sql`u.at = ${new Date(Number.parseInt(digits.slice(0, 12), 16))}`] : []
  return [...began, sql`u.request_id = ${id}`]
}

const sizes = { hour: 3_600_000, day: 86_400_000 }
const floor = (at: number, ms: number) => Math.floor(at / ms) * ms

// How far back to look for days with rows, at first and then: most filters find enough in the last few.
const reaches = [4, 32, 256, 65_536]

/**
 * The newest hours before `before` that have rows of the filter, enough of them for `limit` rows: roll-ups take the place
 * of an index for each column one may filter by. Undefined where there may be rows that they do not tell of.
 */
async function busyHours(db: Db, known: Known, before: Date | undefined, limit: number): Promise<Date[] | undefined> {
  if ((known.model ?? '').length > MODEL_CHARACTERS) return undefined
  const kept = await db.selectFrom('usage_kept').selectAll().execute()
  const keptSince = (name: string) => kept.find(row => row.name === name)?.since.getTime() ?? -Infinity
  const oldest = floor(Math.max(known.since?.getTime() ?? -Infinity, keptSince('usage')), sizes.day)
  if (Math.max(keptSince('usage_hour'), keptSince('usage_day')) > oldest) return undefined
  const end = Math.min(before?.getTime() ?? Infinity, known.until?.getTime() ?? Infinity)

  const busy = async (grain: 'hour' | 'day', where: RawBuilder<unknown>) => {
    const { rows } = await sql<{ at: Date; requests: number }>`
      select at, sum(requests)::float8 as requests from ${sql.table(rollupFor(known, grain))} t
      where ${where} and ${terms(known, 't', 'roll-up')} group by at order by at desc`.execute(db)
    // The bucket that holds `end` counts as empty: its rows may lie behind it.
    return enough(rows, limit, at => at.getTime() + sizes[grain] <= end)
  }
  let days: Date[] = []
  for (const reach of reaches) {
    const begin = Math.max(oldest, floor(Math.min(end, Date.now()), sizes.day) - reach * sizes.day)
    const upTo = end === Infinity ? sql`true` : sql`at <= ${new Date(end)}`
    const { times, full } = await busy('day', sql`at >= ${new Date(begin)} and ${upTo}`)
    days = times
    if (full || begin === oldest) break
  }
  if (days.length === 0) return []
  const hours = days.flatMap(day => Array.from({ length: 24 }, (_, n) => new Date(day.getTime() + n * sizes.hour)))
  const upTo = hours.filter(hour => hour.getTime() <= end)
  return (await busy('hour', sql`at = any(${upTo})`)).times
}

/** The first times that have `limit` requests, of those that count. */
function enough(rows: { at: Date; requests: number }[], limit: number, counts: (at: Date) => boolean) {
  let sum = 0
  let taken = 0
  while (taken < rows.length && sum < limit) {
    const { at, requests } = rows[taken++]!
    if (counts(at)) sum += requests
  }
  return { times: rows.slice(0, taken).map(row => row.at), full: sum >= limit }
}
