// The error log as it is read: filtered, page by page, and what is most frequent in it.
import { type RawBuilder, sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { ErrorOwner, ErrorPhase, LoggedAttempt, Severity } from '../../db/schema-watch.ts'
import { Refusal } from '../../lib/refusal.ts'
import { resolve } from '../usage/filter.ts'
import { cursorOf, readCursor } from '../usage/rows.ts'

/** Records by name or number; the others are words of the log, exactly. */
export interface ErrorFilter {
  account?: string | undefined
  user?: string | undefined
  key?: string | undefined
  group?: string | undefined
  platform?: string | undefined
  model?: string | undefined
  phase?: ErrorPhase | undefined
  owner?: ErrorOwner | undefined
  severity?: Severity | undefined
  code?: string | undefined
  cause?: string | undefined
  status?: number | undefined
  /** of one request */
  request?: string | undefined
  /** false: what clients saw. true: what only another account saved. undefined: both */
  recovered?: boolean | undefined
  /** somewhere in the request's id, its model, or what was said of it; upper and lower case are alike */
  q?: string | undefined
}

/** Unix ms: from `since` on, and before `until`. */
export interface ErrorSpan {
  since: number
  until: number
}

const DAY = 86_400_000

/**
 * What is asked about: a day back from now where nothing says otherwise, and all there is of one request.
 * @throws Refusal `usage` when it ends before it begins
 */
export function errorSpan(
  asked: { since?: Date | undefined; until?: Date | undefined; request?: string | undefined },
  now: number,
): ErrorSpan {
  const until = asked.until?.getTime() ?? now + 1
  const since = asked.since?.getTime() ?? (asked.request === undefined ? until - DAY : 0)
  if (since <= until) return { since, until }
  const words = [since, until].map(at => new Date(at).toISOString())
  throw new Refusal('usage', `since (${words[0]}) lies after until (${words[1]})`)
}

export const levels = { P0: 'CRITICAL', P1: 'CRITICAL', P2: 'ERROR', P3: 'WARN' } as const satisfies Record<
  Severity,
  string
>

export interface ErrorRecord {
  at: Date
  request_id: string
  level: 'CRITICAL' | 'ERROR' | 'WARN'
  severity: Severity
  phase: ErrorPhase
  owner: ErrorOwner
  source: string
  type: string
  code: string
  cause: string
  status: number
  message: string
  limited: boolean
  recovered: boolean
  retryable: boolean
  user_actionable: boolean
  /** names; the number of one that is gone for good */
  user: string | null
  key: string | null
  group: string | null
  account: string | null
  platform: string
  model: string
  dialect: string
  method: string
  path: string
  stream: boolean
  ip: string | null
  upstream_status: number | null
  upstream_type: string | null
  upstream_code: string | null
  upstream_excerpt: string | null
  upstream_request_id: string | null
  retries: number
  completion: 'none' | 'partial' | 'complete'
  duration_ms: number
  first_token_ms: number | null
  process: string
  attempts: LoggedAttempt[]
}

export interface ErrorPage {
  since: Date
  until: Date
  /** the newest first */
  rows: ErrorRecord[]
  /** the cursor of the next page; null: there is no more */
  next: string | null
}

/**
 * The newest first; those behind a place with `before`, which is what `next` of another page says.
 * @throws Refusal `missing` for a name that nobody has, `usage` for what is no cursor
 */
export async function listErrors(
  db: Db,
  span: ErrorSpan,
  filter: ErrorFilter & { before?: string | undefined; limit: number },
): Promise<ErrorPage> {
  const { before, limit } = filter
  const where = await terms(db, span, filter)
  if (before !== undefined) {
    const place = readCursor(before, 'gw ops errors')
    where.push(sql`(e.at, e.request_id) < (${place.at}, ${place.request_id})`)
  }
  const { rows } = await sql<Omit<ErrorRecord, 'level'>>`
    select e.at, e.request_id, e.severity, e.phase, e.owner, e.source, e.type, e.code, e.cause, e.status, e.message, e.limited, e.recovered,
      e.retryable, e.user_actionable, coalesce(u.name, e.user_id::text) as user, coalesce(k.name, e.key_id::text) as key,
      coalesce(g.name, e.group_id::text) as group, coalesce(a.name, e.account_id::text) as account, e.platform, e.model, e.dialect,
      e.method, e.path, e.stream, host(e.ip) as ip, e.upstream_status, e.upstream_type, e.upstream_code, e.upstream_excerpt,
      e.upstream_request_id, e.retries, e.completion, e.duration_ms, e.first_token_ms, e.process, e.attempts
    from (select e.* from error_log e where ${sql.join(where, sql` and `)} order by at desc, request_id desc limit ${limit + 1}) e
      left join users u on u.id = e.user_id
      left join api_keys k on k.id = e.key_id
      left join groups g on g.id = e.group_id
      left join accounts a on a.id = e.account_id
    order by e.at desc, e.request_id desc`.execute(db)
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  return {
    ...dates(span),
    rows: shown.map(({ at, request_id, ...row }) => ({ at, request_id, level: levels[row.severity], ...row })),
    next: rows.length > limit && last ? cursorOf(last) : null,
  }
}

// What errors may be counted by. `message` is by status, code and message: what is most worth mending.
const keys = {
  message: sql`e.message`,
  code: sql`e.code`,
  status: sql`e.status::text`,
  phase: sql`e.phase`,
  owner: sql`e.owner`,
  severity: sql`e.severity`,
  cause: sql`e.cause`,
  platform: sql`e.platform`,
  model: sql`e.model`,
  path: sql`e.path`,
  upstream: sql`concat_ws(' ', e.upstream_status, e.upstream_type, e.upstream_code)`,
  user: sql`coalesce(u.name, e.user_id::text)`,
  key: sql`coalesce(k.name, e.key_id::text)`,
  group: sql`coalesce(g.name, e.group_id::text)`,
  account: sql`coalesce(a.name, e.account_id::text)`,
}
export type ErrorKey = keyof typeof keys
export const errorKeys = Object.keys(keys) as ErrorKey[]

const joins: Partial<Record<ErrorKey, RawBuilder<unknown>>> = {
  user: sql`left join users u on u.id = e.user_id`,
  key: sql`left join api_keys k on k.id = e.key_id`,
  group: sql`left join groups g on g.id = e.group_id`,
  account: sql`left join accounts a on a.id = e.account_id`,
}

export interface ErrorShare {
  /** '' where there is none */
  value: string
  /** of `message` only */
  status: number | null
  code: string | null
  count: number
  /** of all, with 2 decimals */
  percentage: number
  /** how many of them only another account saved */
  recovered: number
  last_at: Date
  /** the newest of them */
  request_id: string
}

export interface ErrorShares {
  since: Date
  until: Date
  by: ErrorKey
  total: number
  /** the most frequent first, at most 20 */
  rows: ErrorShare[]
}

const TOP = 20

/** What is most frequent. @throws Refusal `missing` for a name that nobody has */
export async function countErrors(
  db: Db,
  span: ErrorSpan,
  filter: ErrorFilter & { by: ErrorKey; limit?: number | undefined },
): Promise<ErrorShares> {
  const { by, limit = TOP } = filter
  const where = await terms(db, span, filter)
  const told = by === 'message'
  const more = told ? sql`, e.status, e.code` : sql``
  const { rows } = await sql<ErrorShare & { total: number }>`
    select coalesce(${keys[by]}, '') as value, ${told ? sql`e.status, e.code` : sql`null as status, null as code`},
      count(*)::integer as count, round(100.0 * count(*) / sum(count(*)) over (), 2)::float8 as percentage,
      count(*) filter (where e.recovered)::integer as recovered, max(e.at) as last_at,
      (array_agg(e.request_id order by e.at desc))[1] as request_id, (sum(count(*)) over ())::float8 as total
    from error_log e ${joins[by] ?? sql``} where ${sql.join(where, sql` and `)}
    group by 1${more} order by count(*) desc, 1 limit ${limit}`.execute(db)
  return {
    ...dates(span),
    by,
    total: rows[0]?.total ?? 0,
    rows: rows.map(({ total, ...row }) => row),
  }
}

const dates = ({ since, until }: ErrorSpan) => ({ since: new Date(since), until: new Date(until) })

async function terms(db: Db, { since, until }: ErrorSpan, filter: ErrorFilter): Promise<RawBuilder<unknown>[]> {
  const where = [sql`e.at >= ${new Date(since)}`, sql`e.at < ${new Date(until)}`]
  const { ids } = await resolve(db, filter)
  for (const { column, ids: of } of ids) where.push(sql`e.${sql.ref(column)} = any(${of})`)
  for (const name of ['platform', 'model', 'phase', 'owner', 'severity', 'code', 'status', 'recovered'] as const) {
    const wanted = filter[name]
    if (wanted !== undefined) where.push(sql`e.${sql.ref(name)} = ${wanted}`)
  }
  // One of several: `UF` is in `UF,URX`, too.
  if (filter.cause !== undefined) where.push(sql`${filter.cause} = any(string_to_array(e.cause, ','))`)
  if (filter.request !== undefined) where.push(...ofRequest(filter.request))
  if (filter.q !== undefined) {
    const pattern = `%${filter.q.replaceAll(/[\\%_]/g, '\\$&')}%`
    const texts = [
      sql`e.request_id::text`,
      sql`e.model`,
      sql`e.message`,
      sql`e.type`,
      sql`e.code`,
      sql`e.upstream_request_id`,
      sql`e.upstream_excerpt`,
    ]
    where.push(
      sql`(${sql.join(
        texts.map(text => sql`${text} ilike ${pattern}`),
        sql` or `,
      )})`,
    )
  }
  return where
}

const LONGEST = 86_400_000

/** An id of gw's says when its request began, and the index begins with when it ended. */
function ofRequest(id: string): RawBuilder<unknown>[] {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id))
    throw new Refusal(
      'usage',
      `request must be an id as x-request-id has it, got ${JSON.stringify(id.slice(0, 100))}; part of one goes with q`,
    )
  const began = Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16)
  const times = id[14] === '7' ? [sql`e.at >= ${new Date(began)}`, sql`e.at < ${new Date(began + LONGEST)}`] : []
  return [...times, sql`e.request_id = ${id}`]
}
