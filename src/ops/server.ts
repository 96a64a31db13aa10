// The ops listener: liveness, readiness and metrics, apart from client traffic.
import { timingSafeEqual } from 'node:crypto'
import http from 'node:http'
import type { Metrics } from './metrics.ts'

export interface Readiness {
  phase: string
  /** why every new request is refused; undefined when it is not */
  refusing: string | undefined
  /** what works less well than it should, in words */
  degraded: string[]
}

export function createOpsServer(options: {
  metrics: Metrics
  readiness: () => Readiness
  token: string | undefined
}): http.Server {
  return http.createServer((req, res) => {
    const send = (status: number, body: string, type = 'application/json') =>
      res.writeHead(status, { 'content-type': type }).end(body)
    const path = req.url?.split('?')[0]
    if (req.method !== 'GET' && req.method !== 'HEAD') return send(405, '{"error":"only GET"}')
    // Never asks a dependency: a lost database must not make a supervisor kill us.
    if (path === '/livez') return send(200, '{"status":"ok"}')
    if (path === '/readyz') {
      const { phase, refusing, degraded } = options.readiness()
      const status =
        phase !== 'ready' ? 'draining' : refusing !== undefined ? 'refusing' : degraded.length > 0 ? 'degraded' : 'ok'
      return send(status === 'ok' || status === 'degraded' ? 200 : 503, JSON.stringify({ status, degraded }))
    }
    if (path === '/metrics') {
      if (!allowed(req.headers.authorization, options.token))
        return send(401, '{"error":"send the ops.token as a bearer token"}')
      return send(200, options.metrics.text(), options.metrics.contentType)
    }
    send(404, '{"error":"here are /livez, /readyz and /metrics"}')
  })
}

function allowed(header: string | undefined, token: string | undefined): boolean {
  if (token === undefined) return true
  const given = Buffer.from(header ?? '')
  const wanted = Buffer.from(`Bearer ${token}`)
  return given.length === wanted.length && timingSafeEqual(given, wanted)
}
