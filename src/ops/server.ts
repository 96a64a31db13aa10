// The ops listener: liveness, readiness, metrics and what gw sees of itself, apart from client traffic.
import { timingSafeEqual } from 'node:crypto'
import http from 'node:http'
import { foreignHost } from './host.ts'
import type { Metrics } from './metrics.ts'
import { createPage } from './page.ts'
import { answerOps, nothingHere, type OpsRoutes } from './routes.ts'

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
  /** what is at /ops/… */
  routes: OpsRoutes
  /** asked every time */
  token: () => string | undefined
  /** how long an answer of /ops/… may take; default 5 s */
  patienceMs?: number
  /** the name it listens by, which may be asked for on loopback too; '' where it has none */
  name: string
}): http.Server {
  const page = createPage()
  const server = http.createServer(async (req, res) => {
    const send = (status: number, body: string, type = 'application/json') =>
      res.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body)
    const target = req.url ?? '/'
    const path = target.split('?')[0]!
    if (req.method !== 'GET' && req.method !== 'HEAD') {
      res.setHeader('allow', 'GET, HEAD')
      return send(405, '{"error":"only GET and HEAD"}')
    }
    // Never asks a dependency: a lost database must not make a supervisor kill us.
    if (path === '/livez') return send(200, '{"status":"ok"}')
    const foreign = foreignHost(server.address(), options.name, req.headers.host)
    if (foreign !== undefined) return send(421, JSON.stringify({ error: foreign }))
    if (path === '/readyz') {
      const { phase, refusing, degraded } = options.readiness()
      const status =
        phase !== 'ready' ? 'draining' : refusing !== undefined ? 'refusing' : degraded.length > 0 ? 'degraded' : 'ok'
      return send(status === 'ok' || status === 'degraded' ? 200 : 503, JSON.stringify({ status, degraded }))
    }
    // The page has no figures in it: it asks for them, and for the token where there is one.
    if (path === '/ops/') return res.writeHead(200, page.headers).end(page.html)
    if (path === '/ops') return res.writeHead(308, { location: 'ops/' }).end()
    if (path === '/metrics' || path.startsWith('/ops/')) {
      if (!allowed(req.headers.authorization, options.token())) {
        res.setHeader('www-authenticate', 'Bearer')
        return send(401, '{"error":"send the ops.token as a bearer token"}')
      }
      if (path === '/metrics') {
        try {
          const { body, contentType } = await options.metrics.scrape(req.headers.accept)
          return send(200, body, contentType)
        } catch (error) {
          return send(500, JSON.stringify({ error: (error as Error).message }))
        }
      }
      if (path === '/ops/ws') {
        res.setHeader('upgrade', 'websocket')
        return send(426, '{"error":"the live stream is a WebSocket: ask for ws://…/ops/ws, or look at /ops/"}')
      }
      const answer = await answerOps(options.routes, target, options.patienceMs)
      if (answer !== undefined) return send(answer.status, answer.body)
    }
    send(404, nothingHere(path, options.routes))
  })
  return server
}

function allowed(header: string | undefined, token: string | undefined): boolean {
  if (token === undefined) return true
  const given = Buffer.from(header ?? '')
  const wanted = Buffer.from(`Bearer ${token}`)
  return given.length === wanted.length && timingSafeEqual(given, wanted)
}
