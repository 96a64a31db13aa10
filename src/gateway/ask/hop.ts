// What crosses the hop between client and upstream: headers by allow list, the body byte for byte.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Outcome } from '../../core/outcome.ts'
import type { Call } from '../enter/receive.ts'
import type { Gateway } from '../gateway.ts'
import type { Body, Patience } from './engine/proxy.ts'

/** Of every stream: nothing between us and the client may hold it back. */
export const streamHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache',
  'x-accel-buffering': 'no',
}

/** What goes back of the upstream's headers; everything else in them is about its account, not about the answer. */
export function relayedHeaders(headers: IncomingHttpHeaders, outcome: Outcome): Record<string, string> {
  const relayed: Record<string, string> = idHeader(outcome)
  for (const name of ['content-type', 'retry-after', 'x-should-retry', 'cache-control']) {
    const value = headers[name]
    if (typeof value === 'string') relayed[name] = value
  }
  return relayed
}

/** The upstream's own id of the request, for whoever must ask its vendor. */
export function idHeader(outcome: Outcome): Record<string, string> {
  return outcome.upstreamRequestId ? { 'x-upstream-request-id': outcome.upstreamRequestId } : {}
}

/** The client's headers without those for one hop only (RFC 9110 §7.6.1); which of the rest go on is the platform's to say. */
export function endToEnd(req: IncomingMessage): IncomingHttpHeaders {
  const { connection } = req.headers
  if (connection === undefined || /^(keep-alive|close)$/i.test(connection)) return req.headers
  const named = new Set(
    connection
      .toLowerCase()
      .split(',')
      .map(name => name.trim()),
  )
  return Object.fromEntries(Object.entries(req.headers).filter(([name]) => !named.has(name)))
}

// Beyond this a copy costs more than two more writes.
const COPY_BYTES = 64 * 1024

/** The client's body as the upstream gets it: byte for byte, but for the mapped model's name. */
export function bodyFor(call: Call, upstreamModel: string): Body {
  const { body, peek } = call
  if (upstreamModel === peek.model) return { pieces: [body], bytes: body.length }
  const before = body.subarray(0, peek.modelSpan.start)
  const name = Buffer.from(JSON.stringify(upstreamModel))
  const after = body.subarray(peek.modelSpan.end)
  const bytes = before.length + name.length + after.length
  return bytes <= COPY_BYTES
    ? { pieces: [Buffer.concat([before, name, after], bytes)], bytes }
    : { pieces: [before, name, after], bytes }
}

/** The limits of silence in force. */
export function patience({ config }: Gateway): Patience {
  return {
    connect: config['timeouts.connect'],
    responseHeader: config['timeouts.response_header'],
    firstToken: config['timeouts.first_token'],
    idle: config['timeouts.idle'],
  }
}
