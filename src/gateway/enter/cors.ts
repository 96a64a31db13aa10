// CORS: what lets a web page of another origin ask us (https://fetch.spec.whatwg.org/#http-cors-protocol), if `cors.origins` names it.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Config } from '../../config/schema.ts'

const exposed = 'x-request-id, request-id, x-upstream-request-id, retry-after, x-should-retry'
// The longest that browsers remember a preflight.
const MAX_AGE_S = 7200

/**
 * Writes the headers of every answer to a page. A key travels in a header of its own and never in a cookie, so no credentials are allowed.
 * @returns true when the request was a preflight, which is answered with them
 */
export function answerOrigin(config: Config, req: IncomingMessage, res: ServerResponse, id: () => string): boolean {
  const origins = config['cors.origins']
  if (origins.length === 0) return false
  // Also where there is no origin: a cache in between must not give one page what it kept for another.
  res.setHeader('vary', 'origin')
  const { origin } = req.headers
  if (origin === undefined) return false
  const any = origins.includes('*')
  if (!any && !origins.includes(origin.toLowerCase())) return false
  res.setHeader('access-control-allow-origin', any ? '*' : origin)
  res.setHeader('access-control-expose-headers', exposed)
  if (req.method !== 'OPTIONS' || req.headers['access-control-request-method'] === undefined) return false
  res.writeHead(204, {
    'access-control-allow-methods': 'GET, HEAD, POST',
    'access-control-allow-headers': req.headers['access-control-request-headers'] ?? '*',
    'access-control-max-age': String(MAX_AGE_S),
    'x-request-id': id(),
  })
  res.end()
  return true
}
