// Alert events: written with their notices in one transaction, resolved, acknowledged and listed with how their notices fared.
import { type ExpressionBuilder, type Selectable, sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { Tables } from '../../db/schema.ts'
import type { AlertDeliveriesTable, AlertEventsTable, AlertMessage, Severity } from '../../db/schema-watch.ts'
import { Refusal } from '../../lib/refusal.ts'
import { enqueue } from '../notify/outbox.ts'
import { descriptionOf, firingMessage, plain, resolvedMessage, titleOf } from './message.ts'
import type { Rule } from './rule.ts'

/** A row of `alert_events`. */
export type EventRow = Selectable<AlertEventsTable>

/** One notice of an event at one channel. */
export interface Delivery {
  channel: string
  kind: AlertMessage['kind']
  state: Selectable<AlertDeliveriesTable>['state']
  attempts: number
  error: string | null
  sent_at: Date | null
}

/** An event as it is listed. */
export interface AlertEvent extends EventRow {
  deliveries: Delivery[]
}

/** Who is told: what an event's rule says, or all where the rule is gone. */
type Addressed = Pick<Rule, 'notify' | 'fallback'>
const everybody: Addressed = { notify: [], fallback: null }

/** Writes the event, and its notices unless it is silenced. `at` is the boundary. */
export async function fire(
  tx: Db,
  rule: Rule,
  { dimension, value, at, silenced }: { dimension: string; value: number; at: Date; silenced: boolean },
): Promise<EventRow> {
  const event = await tx
    .insertInto('alert_events')
    .values({
      rule_id: rule.id,
      rule: rule.name,
      dimension,
      severity: rule.severity,
      title: titleOf(rule, dimension),
      description: descriptionOf(rule, dimension, value),
      metric: rule.metric,
      op: rule.op,
      value,
      last_value: value,
      threshold: rule.threshold,
      window_minutes: rule.window_minutes,
      silenced,
      fired_at: at,
    })
    .returningAll()
    .executeTakeFirstOrThrow()
  await tx.updateTable('alert_rules').set({ last_triggered_at: at }).where('id', '=', rule.id).execute()
  if (!silenced) await tell(tx, event, rule)
  return event
}

/** The notices of an event that fires. */
export async function tell(tx: Db, event: EventRow, rule: Addressed): Promise<void> {
  await enqueue(tx, { event: event.id, message: firingMessage(event), rule })
}

export interface Ending {
  at: Date
  /** in words, for its notices */
  why: string
  status?: 'resolved' | 'manual_resolved'
  /** what its metric is now, where there is something to be measured */
  value?: number | undefined
}

/** Ends an event, and tells those who may have been told that it fired. */
export async function resolve(tx: Db, event: EventRow, rule: Addressed, ending: Ending): Promise<EventRow> {
  const { at, why, status = 'resolved', value } = ending
  const over = await tx
    .updateTable('alert_events')
    .set({
      status,
      // A clock may have been set back, and no event ends before it began.
      resolved_at: new Date(Math.max(at.getTime(), event.fired_at.getTime())),
      ...(value === undefined ? {} : { last_value: value }),
      note: event.note ?? (status === 'resolved' ? null : why),
    })
    .where('id', '=', event.id)
    .returningAll()
    .executeTakeFirstOrThrow()
  // What nobody was told of is over without a word, too.
  if (!event.silenced) await enqueue(tx, { event: event.id, message: resolvedMessage(over, why, value ?? null), rule })
  return over
}

/** Why a metric that is well again ends its event. */
export const recovered = ({ metric, op, threshold }: EventRow, value: number): string =>
  `${metric} is ${plain(value)}, and no more ${op} ${plain(threshold)}`

/** Ends what fires of a rule that is changed, disabled or removed. Lock the rule's row before. */
export async function endEventsOf(tx: Db, rule: Rule, why: string): Promise<number> {
  const open = await tx
    .selectFrom('alert_events')
    .selectAll()
    .where('rule_id', '=', rule.id)
    .where('status', '=', 'firing')
    .execute()
  for (const event of open) await resolve(tx, event, rule, { at: new Date(), why })
  return open.length
}

export interface EventFilter {
  /** only these */
  id?: number | undefined
  firing?: boolean | undefined
  /** fired or ended since */
  since?: Date | undefined
  rule?: string | undefined
  severity?: Severity | undefined
  /** at most so many; default 50 */
  limit?: number | undefined
  /** only with a smaller id: the next page */
  before?: number | undefined
}

/** Newest first. */
export async function listEvents(db: Db, filter: EventFilter = {}): Promise<AlertEvent[]> {
  const { id, firing, since, rule, severity, limit = 50, before } = filter
  return db
    .selectFrom('alert_events as e')
    .selectAll('e')
    .select(deliveries)
    .$if(id !== undefined, q => q.where('e.id', '=', id!))
    .$if(firing === true, q => q.where('e.status', '=', 'firing'))
    .$if(since !== undefined, q =>
      q.where(eb =>
        eb.or([eb('e.fired_at', '>=', since!), eb('e.resolved_at', '>=', since!), eb('e.status', '=', 'firing')]),
      ),
    )
    .$if(rule !== undefined, q => q.where('e.rule', '=', rule!))
    .$if(severity !== undefined, q => q.where('e.severity', '=', severity!))
    .$if(before !== undefined, q => q.where('e.id', '<', before!))
    .orderBy('e.id', 'desc')
    .limit(limit)
    .execute()
}

function deliveries(_: ExpressionBuilder<Tables & { e: AlertEventsTable }, 'e'>) {
  return sql<Delivery[]>`coalesce((
    select json_agg(json_build_object('channel', c.name, 'kind', d.kind, 'state', d.state, 'attempts', d.attempts,
      'error', d.error, 'sent_at', d.sent_at) order by d.id)
    from alert_deliveries d join alert_channels c on c.id = d.channel_id where d.event_id = e.id), '[]')`.as(
    'deliveries',
  )
}

/** @throws Refusal `missing` */
export async function findEvent(db: Db, id: number): Promise<AlertEvent> {
  const [event] = await listEvents(db, { id })
  if (event) return event
  throw new Refusal('missing', `no alert ${id} (gw alert list shows them)`)
}

/** Somebody looks after it; it fires on. @throws Refusal `missing`, `conflict` when it is over */
export async function ackEvent(
  tx: Db,
  id: number,
  { by, note }: { by: string; note?: string | undefined },
): Promise<AlertEvent> {
  const event = await locked(tx, id)
  if (event.status !== 'firing')
    throw new Refusal(
      'conflict',
      `alert ${id} is over since ${event.resolved_at?.toISOString()}; there is nothing to look after`,
    )
  await tx
    .updateTable('alert_events')
    .set({ acked_at: new Date(), acked_by: by, ...(note === undefined ? {} : { note }) })
    .where('id', '=', id)
    .execute()
  return findEvent(tx, id)
}

/** Ends an event by hand; while its condition holds it fires again after the rule's cooldown. @throws Refusal `missing`, `conflict` */
export async function resolveByHand(
  tx: Db,
  id: number,
  { by, note }: { by: string; note?: string | undefined },
): Promise<AlertEvent> {
  const event = await locked(tx, id)
  if (event.status !== 'firing')
    throw new Refusal('conflict', `alert ${id} is over already, since ${event.resolved_at?.toISOString()}`)
  const rule = await tx
    .selectFrom('alert_rules')
    .select(['notify', 'fallback'])
    .where('id', '=', event.rule_id)
    .executeTakeFirst()
  const why = `resolved by ${by}${note === undefined ? '' : `: ${note}`}`
  await resolve(tx, event, rule ?? everybody, { at: new Date(), why, status: 'manual_resolved' })
  return findEvent(tx, id)
}

/** The rule's row first, as evaluation locks them. */
async function locked(tx: Db, id: number): Promise<EventRow> {
  await tx
    .selectFrom('alert_rules')
    .select('id')
    .where('id', '=', eb => eb.selectFrom('alert_events').select('rule_id').where('id', '=', id))
    .forNoKeyUpdate()
    .execute()
  const event = await tx.selectFrom('alert_events').selectAll().where('id', '=', id).forUpdate().executeTakeFirst()
  if (event) return event
  throw new Refusal('missing', `no alert ${id} (gw alert list shows them)`)
}
