// How many alerts fire, and what became of what was told of alerts: for who counts them.
import type { Db } from '../../db/connect.ts'

export interface AlertTally {
  /** firing events by severity */
  firing: [string, number][]
  /** rows of the outbox by state, as long as they are kept */
  deliveries: [string, number][]
}

/** All that fires now. */
export async function countFiring(db: Db): Promise<number> {
  const { count } = await db
    .selectFrom('alert_events')
    .where('status', '=', 'firing')
    .select(db.fn.countAll<string>().as('count'))
    .executeTakeFirstOrThrow()
  return Number(count)
}

export async function alertTally(db: Db): Promise<AlertTally> {
  const count = db.fn.countAll<string>().as('count')
  const [firing, deliveries] = await Promise.all([
    db
      .selectFrom('alert_events')
      .where('status', '=', 'firing')
      .select(['severity', count])
      .groupBy('severity')
      .execute(),
    db.selectFrom('alert_deliveries').select(['state', count]).groupBy('state').execute(),
  ])
  return {
    firing: firing.map(row => [row.severity, Number(row.count)]),
    deliveries: deliveries.map(row => [row.state, Number(row.count)]),
  }
}
