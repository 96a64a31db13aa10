// gw alert list, show, ack and resolve: alerts as they are listed, and what a person does about one.
import {
  type AlertEvent,
  ackEvent,
  type Delivery,
  type EventFilter,
  findEvent,
  listEvents,
  resolveByHand,
} from '../../core/alert/event.ts'
import { missedEvaluations } from '../../core/alert/states.ts'
import type { Invocation } from '../command.ts'

const told = ({ channel, kind, state, error }: Delivery): string =>
  `${channel} ${kind === 'firing' ? '' : `${kind} `}${state}${error === null || state === 'sent' ? '' : ` (${error})`}`

/** In words: how telling it went. */
function telling({ deliveries, silenced }: AlertEvent): string {
  if (silenced) return 'silenced'
  return deliveries.length === 0 ? 'nobody' : deliveries.map(told).join(', ')
}

const row = (event: AlertEvent) => {
  const { id, severity, status, rule, dimension, last_value, value, fired_at, resolved_at, acked_by } = event
  return {
    id,
    severity,
    status,
    rule,
    of: dimension,
    value: twoDigits(last_value ?? value),
    fired: fired_at,
    resolved: resolved_at,
    acked: acked_by,
    told: telling(event),
  }
}

const twoDigits = (value: number) => Number(value.toFixed(2))

const view = ({ deliveries, value, last_value, ...event }: AlertEvent) => ({
  ...event,
  value: twoDigits(value),
  last_value: last_value === null ? null : twoDigits(last_value),
  told: deliveries.map(told),
})

export async function list(gw: Invocation, filter: EventFilter): Promise<void> {
  const { limit = 50 } = filter
  const db = await gw.db()
  // One more tells whether there is a next page.
  const events = await listEvents(db, { ...filter, limit: limit + 1 })
  const page = events.slice(0, limit)
  gw.out.list(page, row, filter.firing ? 'nothing fires' : 'no alerts', ['acked', 'resolved', 'told', 'of'])
  if (events.length > limit) gw.out.note(`there are more; the next page: --before ${page.at(-1)!.id}`)
  const missed = await missedEvaluations(db)
  if (missed.rules > 0)
    gw.out.note(
      `${missed.evaluations} evaluations of ${missed.rules} rules were missed, the last before ${missed.at!.toISOString()}; gw alert rule list shows which`,
    )
}

export async function show(gw: Invocation, id: number): Promise<void> {
  const event = await findEvent(await gw.db(), id)
  gw.out.record(event, view(event))
}

export async function ack(gw: Invocation, id: number, who: { by: string; note: string | undefined }): Promise<void> {
  const event = await gw.write(db => ackEvent(db, id, who))
  gw.out.record(event, view(event))
}

export async function resolve(
  gw: Invocation,
  id: number,
  who: { by: string; note: string | undefined },
): Promise<void> {
  const event = await gw.write(db => resolveByHand(db, id, who))
  gw.out.record(event, view(event))
}
