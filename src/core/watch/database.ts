// What a process asks its database at the end of an interval: how long an answer takes, and what only it knows.
import { sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { WatchGauges } from '../../db/schema-watch.ts'
import { within } from '../../lib/within.ts'

/** No answer is waited for longer. */
const PATIENCE_MS = 5_000

type OfDatabase = Pick<WatchGauges, 'db_ms' | 'active_alerts' | 'active_subscriptions'>

/** All null when no answer comes. */
export async function askDatabase(db: Db): Promise<OfDatabase> {
  try {
    const began = performance.now()
    await within(PATIENCE_MS, sql`select 1`.execute(db))
    const dbMs = performance.now() - began
    const counts = sql<{ alerts: number; subscriptions: number }>`select
      (select count(*)::integer from alert_events where status = 'firing') as alerts,
      (select count(*)::integer from subscriptions where status = 'active' and starts_at <= now() and expires_at > now()) as subscriptions`
    const { rows } = await within(PATIENCE_MS, counts.execute(db))
    return { db_ms: dbMs, active_alerts: rows[0]!.alerts, active_subscriptions: rows[0]!.subscriptions }
  } catch {
    return { db_ms: null, active_alerts: null, active_subscriptions: null }
  }
}
