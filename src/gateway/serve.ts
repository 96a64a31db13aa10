// The corridor: a request's whole way through the gateway, one room after the other.
import http, { type IncomingMessage, type Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Outcome } from '../core/outcome.ts'
import { Failure, toFailure } from '../lib/failure.ts'
import { requestId } from '../lib/id.ts'
import { admit } from './admit/admit.ts'
import { Bill } from './admit/bill.ts'
import { Downstream, Response } from './answer/downstream.ts'
import { attempt, lookUp } from './ask/attempt.ts'
import { usageOf } from './enter/allowance.ts'
import { authenticate, type Caller } from './enter/authenticate.ts'
import { addressOf } from './enter/client.ts'
import { models } from './enter/models.ts'
import { receive } from './enter/receive.ts'
import { findRoute, tongueOf } from './enter/routes.ts'
import type { Gateway } from './gateway.ts'

/** Serves one request. Never throws; whatever happens the client gets an end and every slot is given back. */
export async function serve(gw: Gateway, req: IncomingMessage, res: Response): Promise<void> {
  const outcome = gw.outcomes.begin(req, addressOf(gw.config, req))
  const down = new Downstream({
    req,
    res,
    ticket: outcome,
    dialect: tongueOf(outcome.path),
    stallMs: gw.config['timeouts.idle'],
    crowd: gw.live,
  })
  if (gw.draining) res.shouldKeepAlive = false
  try {
    await walk(gw, req, down, outcome)
    outcome.status = down.status
  } catch (error) {
    const failure = down.interrupted ?? toFailure(error)
    outcome.status = failure.status
    outcome.failure = failure
    outcome.error = because(failure)
    if (failure.code === 'INTERNAL_ERROR')
      gw.log.error({ request_id: outcome.id, err: failure.cause }, 'internal error')
    down.fail(failure)
  } finally {
    // A drain waits for the bytes, not for us.
    down.leave()
    gw.outcomes.end(outcome)
  }
}

async function walk(gw: Gateway, req: IncomingMessage, down: Downstream, outcome: Outcome): Promise<void> {
  const found = findRoute(outcome.method, outcome.path)
  const { kind } = found.route
  down.dialect = found.dialect
  // Before a byte of the body is read: a stranger must not make us hold 100 MB.
  const caller = authenticate(gw, req, outcome.ip, found.route)
  note(outcome, caller)
  if (kind === 'models' || kind === 'model') return down.json(200, models(gw, caller, found))
  if (kind === 'usage') return down.json(200, await usageOf(gw, caller))
  const call = await receive(gw, req, found, down)
  const { model, stream } = call.peek
  outcome.model = model
  outcome.stream = stream
  outcome.metered = kind === 'generate'
  allowModel(caller, model)
  outcome.phase = 'admitting'
  if (stream) down.keepAlive(gw.config['queue.ping_interval'])
  // Counting tokens takes no place of the user's (spec/domain.md §11.4), and none at an account.
  if (kind === 'count') return attempt(gw, call, caller, down, outcome, await lookUp(gw, call, caller))
  using bill = new Bill(gw, call.peek, caller, outcome)
  using _slot = await admit(gw, caller, down, outcome)
  const lookingUp = lookUp(gw, call, caller)
  await bill.reserve()
  await attempt(gw, call, caller, down, outcome, await lookingUp, bill)
}

function note(outcome: Outcome, { key, user, group, platform }: Caller): void {
  outcome.userId = user.id
  outcome.user = user.name
  outcome.keyId = key.id
  outcome.key = key.name
  outcome.platform = platform
  if (!group) return
  outcome.groupId = group.id
  outcome.group = group.name
  outcome.billing = group.billing
}

function allowModel(caller: Caller, model: string): void {
  const { models: allowed } = caller.key
  if (allowed.length > 0 && !allowed.includes(model)) throw new Failure('MODEL_NOT_ALLOWED', [model])
}

function because(failure: Failure): string {
  const { cause } = failure
  return cause instanceof Error ? `${failure.message} (${cause.message})` : failure.message
}

/** The HTTP server for clients; `listen` is the caller's. */
export function createGatewayServer(gw: Gateway): Server {
  const { config } = gw
  const server = http.createServer(
    {
      ServerResponse: Response,
      maxHeaderSize: config['limits.headers'],
      headersTimeout: config['timeouts.request_header'],
      // Bodies have their own timer, which knows how to answer.
      requestTimeout: 0,
      keepAliveTimeout: config['timeouts.keep_alive'],
      connectionsCheckingInterval: 1000,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 15_000,
      // Other upgrades are offers that HTTP lets a server pass over: Java's client sends `h2c` with every first request.
      shouldUpgradeCallback: req => req.headers.upgrade?.toLowerCase() === 'websocket',
    },
    (req, res) => {
      if (req.url === '/health') health(gw, res)
      else void serve(gw, req, res)
    },
  )
  server.on('upgrade', (req, socket: Socket) => refuseUpgrade(socket, req.url ?? '/', requestId(gw.now())))
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    const status = clientErrors[error.code ?? ''] ?? '400 Bad Request'
    if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy()
    else socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)
  })
  const pulse = setInterval(() => {
    const now = gw.now()
    for (const down of gw.live) down.beat(now)
  }, PULSE_MS).unref()
  server.on('close', () => clearInterval(pulse))
  // Its responses are of a kind of their own, which is nobody's business but ours.
  return server as unknown as Server
}

// How exactly a ping is on time.
const PULSE_MS = 250

const clientErrors: Record<string, string> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
}

function health(gw: Gateway, res: Response): void {
  res
    .writeHead(gw.draining ? 503 : 200, { 'content-type': 'application/json' })
    .end(gw.draining ? '{"status":"draining"}' : '{"status":"ok"}')
}

// Codex tries a WebSocket first and falls back at once and silently on 426 (spec/wire.md §0.5).
function refuseUpgrade(socket: Socket, path: string, id: string): void {
  const body = tongueOf(path).error(new Failure('UPGRADE_REFUSED'), id)
  // The server has let go of this socket: an error on it is ours to hear, and closing it is ours to do.
  socket.on('error', () => {})
  socket.write(
    `HTTP/1.1 426 Upgrade Required\r\ncontent-type: application/json\r\nconnection: close\r\nupgrade: HTTP/1.1\r\n` +
      `x-request-id: ${id}\r\nrequest-id: ${id}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  )
  socket.destroySoon()
}
