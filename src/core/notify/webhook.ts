// The webhook format (docs/notifications.md): JSON, signed with the channel's secret, with a key that says which message it is.
import { createHmac } from 'node:crypto'
import type { AlertMessage } from '../../db/schema-watch.ts'
import type { Posted } from './post.ts'

/** What a delivery is, beside its message. */
export interface Delivery {
  /** the same at every attempt, in every process */
  key: string
  /** of the alert; null of tests and digests */
  event: number | null
}

/** spec/domain.md §12.8, and what it lacks: which event, which dimension, when it was over, words. */
export function webhookBody(message: AlertMessage, { key, event }: Delivery): string {
  return JSON.stringify({
    id: key,
    event_id: event,
    rule_id: message.rule_id,
    rule_name: message.rule,
    severity: message.severity,
    status: message.kind,
    dimension: message.dimension,
    metric_type: message.metric,
    operator: message.op,
    metric_value: message.value,
    threshold_value: message.threshold,
    window_minutes: message.window_minutes,
    fired_at: message.fired_at,
    resolved_at: message.resolved_at,
    title: message.title,
    description: message.description,
    ...(message.lines && { held_back: message.lines }),
    ...(message.instead !== undefined && { instead: message.instead }),
  })
}

/** `v1=` and the HMAC-SHA256 of `timestamp.body` in hexadecimal. */
export function signature(secret: string, timestamp: string, body: string): string {
  return `v1=${createHmac('sha256', secret).update(`${timestamp}.${body}`).digest('hex')}`
}

export function webhook(
  { url, secret }: { url: string; secret: string | undefined },
  message: AlertMessage,
  delivery: Delivery,
  now: number,
): Posted {
  const body = webhookBody(message, delivery)
  const timestamp = String(Math.floor(now / 1000))
  const signed = secret === undefined ? {} : { 'x-gw-signature': signature(secret, timestamp, body) }
  return {
    url,
    headers: { 'x-gw-timestamp': timestamp, ...signed, 'idempotency-key': delivery.key },
    body,
    accepted: () => undefined,
  }
}
