// The outbox: what is to be told, written in the transaction of the event itself, so that neither is there without the other.
import type { Db } from '../../db/connect.ts'
import { type AlertMessage, type Severity, severities } from '../../db/schema-watch.ts'

/** Where a rule is told. */
export interface Addressed {
  /** channels by name; empty: every channel */
  notify: readonly string[]
  /** the channel that is asked when one of the others does not take it */
  fallback: string | null
}

interface Listed {
  id: number
  name: string
  enabled: boolean
  min_severity: Severity
}

/**
 * Puts `message` into the outbox, once for each channel that the rule names (else all that are enabled) and that wants
 * to hear of this severity. A channel that is named and is not there, or is disabled, is as one that failed: the
 * fallback is told at once. That it is over those are told who were told that it fires, whatever the rule says by now.
 * Told again of the same event and kind, it writes nothing.
 * @param event id of the alert event; null for a test
 * @returns the names of the channels that are told
 */
export async function enqueue(
  tx: Db,
  { event, message, rule }: { event: number | null; message: AlertMessage; rule: Addressed },
): Promise<string[]> {
  const channels = await tx
    .selectFrom('alert_channels')
    .select(['id', 'name', 'enabled', 'min_severity'])
    .orderBy('id')
    .execute()
  const notify = message.kind === 'resolved' && event !== null ? await toldOf(tx, event) : []
  const told = addressed(channels, notify.length > 0 ? { ...rule, notify } : rule, message.severity)
  if (told.length === 0) return []
  await tx
    .insertInto('alert_deliveries')
    .values(
      told.map(({ id, name }) => ({
        event_id: event,
        channel_id: id,
        kind: message.kind,
        fallback: rule.fallback === name ? null : rule.fallback,
        message: JSON.stringify(message),
      })),
    )
    .onConflict(conflict => conflict.columns(['event_id', 'kind', 'channel_id']).doNothing())
    .execute()
  return told.map(({ name }) => name)
}

async function toldOf(tx: Db, event: number): Promise<string[]> {
  const rows = await tx
    .selectFrom('alert_deliveries as d')
    .innerJoin('alert_channels as c', 'c.id', 'd.channel_id')
    .select('c.name')
    .where('d.event_id', '=', event)
    .where('d.kind', '=', 'firing')
    .execute()
  return rows.map(({ name }) => name)
}

/** The channels that hear of it, in the order of their ids. */
export function addressed<T extends Listed>(channels: readonly T[], rule: Addressed, severity: Severity): T[] {
  const open = channels.filter(channel => channel.enabled)
  const names = new Set(rule.notify.length > 0 ? rule.notify : open.map(channel => channel.name))
  const absent = [...names].some(name => open.every(channel => channel.name !== name))
  if (absent && rule.fallback !== null) names.add(rule.fallback)
  return open.filter(channel => names.has(channel.name) && atLeast(severity, channel.min_severity))
}

/** Whether `severity` is `least` or worse; P0 is the worst. */
export const atLeast = (severity: Severity, least: Severity): boolean =>
  severities.indexOf(severity) <= severities.indexOf(least)
