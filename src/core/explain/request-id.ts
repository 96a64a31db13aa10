// Request ids as operators give them: a UUID of version 7, whose first half is the time at which the request began.
import { Refusal } from '../../lib/refusal.ts'

const shape = /^([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** @throws Refusal `usage` when no request of gw's has such an id */
export function readRequestId(text: string): { id: string; at: number } {
  const id = text.trim().toLowerCase()
  const [, high, low] = shape.exec(id) ?? []
  if (high !== undefined) return { id, at: Number.parseInt(`${high}${low}`, 16) }
  const shown = JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)
  const hint = /^(req_|chatcmpl-|resp_|msg_)/.test(id)
    ? ' (this one is the provider’s own, which gw tells as x-upstream-request-id)'
    : ''
  throw new Refusal(
    'usage',
    `${shown} is no request id of gw's${hint}; one looks like 01935b1e-7d1f-7abc-8def-0123456789ab and is in the x-request-id header of every response, and in gw usage list`,
  )
}
