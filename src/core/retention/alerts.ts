// Alerts that are over, and what was sent of them, are few and not in order of time: they go row by row, in batches.
import { type Kysely, sql } from 'kysely'
import type { Tables } from '../../db/schema.ts'

const BATCH = 5_000

/** Deletes those that ended before the instant; one that still fires stays, with all that was sent of it. Gives how many went. */
export async function deleteOldAlerts(
  db: Kysely<Tables>,
  before: Date,
  signal?: AbortSignal,
): Promise<{ events: number; deliveries: number }> {
  const deliveries = await inBatches(signal, () =>
    sql<{ id: bigint }>`delete from alert_deliveries where id in (
      select d.id from alert_deliveries d left join alert_events e on e.id = d.event_id
      where d.created_at < ${before} and d.state not in ('pending', 'held')
        and (e.id is null or (e.status <> 'firing' and coalesce(e.resolved_at, e.fired_at) < ${before}))
      order by d.created_at limit ${BATCH}) returning id`.execute(db),
  )
  const events = await inBatches(signal, () =>
    sql<{ id: number }>`delete from alert_events where id in (
      select id from alert_events where status <> 'firing' and coalesce(resolved_at, fired_at) < ${before}
      order by fired_at limit ${BATCH}) returning id`.execute(db),
  )
  return { events, deliveries }
}

async function inBatches(signal: AbortSignal | undefined, once: () => Promise<{ rows: unknown[] }>): Promise<number> {
  let all = 0
  while (!signal?.aborted) {
    const { rows } = await once()
    all += rows.length
    if (rows.length < BATCH) break
  }
  return all
}
