// What crosses the hop between client and upstream of headers, and how long either may be silent.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Config } from '../../config/schema.ts'
import type { Outcome } from '../../core/outcome.ts'
import type { Fields } from '../answer/downstream.ts'
import type { Gateway } from '../gateway.ts'
import type { Patience } from './engine/silence.ts'

const relayed = ['content-type', 'retry-after', 'x-should-retry', 'cache-control']

/** What goes back of the upstream's headers; everything else in them is about its account, not about the answer. */
export function relayedFields(headers: IncomingHttpHeaders, outcome: Outcome): Fields {
  const fields = idField(outcome)
  for (const name of relayed) {
    const value = headers[name]
    if (typeof value === 'string') fields.push(name, value)
  }
  return fields
}

/** The upstream's own id of the request, for whoever must ask its vendor. */
export function idField({ upstreamRequestId }: Outcome): Fields {
  return upstreamRequestId ? ['x-upstream-request-id', upstreamRequestId] : []
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

// A configuration is replaced, never changed.
const patiences = new WeakMap<Config, { stream: Patience; whole: Patience }>()

/** The limits of silence in force. A whole answer has no head before it is nearly done, and is not asked for twice. */
export function patience({ config }: Gateway, stream: boolean): Patience {
  let found = patiences.get(config)
  if (!found) {
    const of = (responseHeader: number): Patience => ({
      connect: config['timeouts.connect'],
      responseHeader,
      firstToken: config['timeouts.first_token'],
      idle: config['timeouts.idle'],
    })
    found = { stream: of(config['timeouts.response_header']), whole: of(config['timeouts.whole_answer']) }
    patiences.set(config, found)
  }
  return stream ? found.stream : found.whole
}
