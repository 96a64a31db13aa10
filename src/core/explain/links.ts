// What Postgres has of a request: its usage row, its ledger entry, its row in the error log, and alerts that were firing meanwhile.
import { sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { LoggedAttempt } from '../../db/schema-watch.ts'
import { formatUsd } from '../../lib/money.ts'
import { listUsage, type UsageRecord } from '../usage/rows.ts'
import type { Links } from './explanation.ts'

export interface ErrorRow {
  at: Date
  ip: string | null
  user_id: number | null
  user: string | null
  key_id: number | null
  key: string | null
  group_id: number | null
  group: string | null
  account: string | null
  phase: string
  type: string
  code: string
  severity: string
  owner: string
  recovered: boolean
  status: number
  platform: string
  model: string
  dialect: string
  method: string
  path: string
  stream: boolean
  message: string
  completion: 'none' | 'partial' | 'complete'
  cause: string
  duration_ms: number
  first_token_ms: number | null
  attempts: LoggedAttempt[]
}

export interface Found {
  usage: UsageRecord | undefined
  error: ErrorRow | undefined
  ledger: Links['ledger']
}

// A row of the error log has the time at which its request ended. Of one whose length is not known so much is looked through.
const LONGEST_MS = 2 * 3_600_000
// What clocks and queues may differ by.
const SLACK_MS = 60_000

/** The rows of one request. `at`: when it began, `durationMs`: how long it took, where that is known. */
export async function findRows(db: Db, id: string, at: number, durationMs: number | null): Promise<Found> {
  const [[usage], error, ledger] = await Promise.all([
    listUsage(db, { request: id, limit: 1 }),
    errorOf(db, id, at, durationMs),
    entryOf(db, id, at),
  ])
  return { usage, error, ledger }
}

async function errorOf(db: Db, id: string, at: number, durationMs: number | null): Promise<ErrorRow | undefined> {
  const from = new Date(at + (durationMs ?? 0) - SLACK_MS)
  const to = new Date(at + (durationMs ?? LONGEST_MS) + SLACK_MS)
  const { rows } = await sql<ErrorRow>`
    select e.at, host(e.ip) as ip, e.user_id, u.name as user, e.key_id, k.name as key, e.group_id, g.name as group, a.name as account,
      e.phase, e.type, e.code, e.severity, e.owner, e.recovered, e.status, e.platform, e.model, e.dialect, e.method, e.path, e.stream,
      e.message, e.completion, e.cause, e.duration_ms, e.first_token_ms, e.attempts
    from (select * from error_log where at >= ${from} and at <= ${to} and request_id = ${id} order by at limit 1) e
      left join users u on u.id = e.user_id
      left join api_keys k on k.id = e.key_id
      left join groups g on g.id = e.group_id
      left join accounts a on a.id = e.account_id`.execute(db)
  return rows[0]
}

async function entryOf(db: Db, id: string, at: number): Promise<Links['ledger']> {
  const row = await db
    .selectFrom('ledger')
    .select(['entry_id', 'kind', 'amount', 'balance'])
    .where('entry_id', '=', id)
    .where('at', '=', new Date(at))
    .executeTakeFirst()
  return row ? { ...row, amount: formatUsd(row.amount), balance: formatUsd(row.balance) } : null
}

/** Alerts that were firing at some time between the two. */
export async function alertsDuring(db: Db, from: Date, to: Date): Promise<Links['alerts']> {
  const rows = await db
    .selectFrom('alert_events')
    .select(['id', 'rule', 'dimension', 'severity', 'fired_at', 'resolved_at'])
    .where('fired_at', '<=', to)
    .where(eb => eb.or([eb('resolved_at', 'is', null), eb('resolved_at', '>=', from)]))
    .orderBy('fired_at', 'desc')
    .limit(20)
    .execute()
  return rows.map(row => ({
    ...row,
    fired_at: row.fired_at.toISOString(),
    resolved_at: row.resolved_at?.toISOString() ?? null,
  }))
}

export function linksOf({ usage, error, ledger }: Found, alerts: Links['alerts']): Links {
  return {
    usage: usage
      ? {
          at: usage.at.toISOString(),
          cost: formatUsd(usage.cost),
          charged: formatUsd(usage.charged),
          partial: usage.partial,
        }
      : null,
    ledger,
    error: error
      ? {
          ...{ severity: error.severity, phase: error.phase, owner: error.owner, type: error.type },
          ...{ recovered: error.recovered, cause: error.cause, message: error.message },
        }
      : null,
    alerts,
  }
}
