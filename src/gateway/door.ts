// The door: the HTTP server for clients. A request goes to the corridor; what is none, or asks only whether we are here, is answered at once.
import http, { type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Config } from '../config/schema.ts'
import { plain } from '../lib/address.ts'
import { Failure } from '../lib/failure.ts'
import { requestId } from '../lib/id.ts'
import { formatDuration, formatSize } from '../lib/units.ts'
import { Response } from './answer/downstream.ts'
import { LOOK_EVERY_MS, Vanished } from './answer/vanished.ts'
import { answerOrigin } from './enter/cors.ts'
import { oddity, originForm } from './enter/protocol.ts'
import { probes, tongueOf } from './enter/routes.ts'
import type { Gateway } from './gateway.ts'
import { because, serve } from './serve.ts'

/** A client's connection, and what we know of its end. */
interface Connection extends Socket {
  /** the response to its last request: others of a pipeline come before it */
  latest?: Response
  /** no more requests are read from it */
  ending?: true
}

/** The HTTP server for clients; `listen` is the caller's. */
export function createGatewayServer(gw: Gateway): Server {
  const server = http.createServer({
    ServerResponse: Response,
    ...headLimits(gw.config),
    // Bodies have their own timer, which knows how to answer.
    requestTimeout: 0,
    connectionsCheckingInterval: 1000,
    noDelay: true,
    keepAlive: true,
    // And then a probe a second: a client that vanished while nothing was in flight is gone after 25 s (see answer/vanished.ts).
    keepAliveInitialDelay: 15_000,
    // Node would answer without our id; see `oddity`.
    requireHostHeader: false,
    // Node hands the socket over at once, also while an answer to an earlier request is still being written to it.
    shouldUpgradeCallback: () => false,
  })
  const enter = (req: IncomingMessage, res: Response): void => {
    const socket = req.socket as Connection
    socket.latest = res
    req.url = originForm(req.url!)
    if (answerOrigin(gw.config, req, res, () => requestId(gw.now()))) return
    if (isProbe(req) && !oddity(req)) answerProbe(gw, res)
    else void serve(gw, req, res)
  }
  server.on('request', enter)
  // An expectation that we do not know may be passed over (RFC 9110 §10.1.1).
  server.on('checkExpectation', enter)
  server.on('connect', (req, socket: Connection) => {
    // The server has let go of this socket: an error on it is ours to hear.
    socket.on('error', () => {})
    if (socket.latest?.closed === false) socket.destroy()
    else refuse(gw, socket, new Failure('METHOD_NOT_ALLOWED', ['CONNECT', 'this server', 'POST'], allow('POST')), req)
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Connection) => endOf(gw, error, socket))
  const pulse = setInterval(() => {
    const now = gw.now()
    for (const down of gw.live) down.beat(now)
  }, PULSE_MS).unref()
  const vanished = new Vanished({ live: gw.live, port: () => portOf(server), now: gw.now })
  const looks = setInterval(() => void vanished.look(), LOOK_EVERY_MS).unref()
  server.on('close', () => {
    clearInterval(pulse)
    clearInterval(looks)
  })
  // Its responses are of a kind of their own, which is nobody's business but ours.
  return server as unknown as Server
}

/** What Node's server holds heads and idle connections to. */
export const headLimits = (config: Config) => ({
  maxHeaderSize: config['limits.headers'],
  headersTimeout: config['timeouts.request_header'],
  keepAliveTimeout: config['timeouts.keep_alive'],
})

/** Puts other limits in force: a head's size for connections that come, times for all. */
export function limitHeads(server: Server, config: Config): void {
  // The server reads all three from itself; the types do not know the first.
  Object.assign(server, headLimits(config))
}

function portOf(server: { address(): AddressInfo | string | null }): number | undefined {
  const bound = server.address()
  return bound !== null && typeof bound === 'object' ? bound.port : undefined
}

// How exactly a ping is on time.
const PULSE_MS = 250

const allow = (methods: string) => ({ fields: ['allow', methods] })

// ---- whether we are here ----

function isProbe({ method, url = '' }: IncomingMessage): boolean {
  if (method !== 'GET' && method !== 'HEAD') return false
  const mark = url.indexOf('?')
  return probes.has(mark === -1 ? url : url.slice(0, mark))
}

// Not logged: a load balancer asks every few seconds.
function answerProbe(gw: Gateway, res: Response): void {
  const leaving = gw.draining || gw.drained
  const body = leaving ? '{"status":"draining"}' : '{"status":"ok"}'
  const id = requestId(gw.now())
  res
    .writeHead(leaving ? 503 : 200, {
      'content-type': 'application/json',
      'content-length': body.length,
      'x-request-id': id,
      'request-id': id,
    })
    .end(body)
}

// ---- what is no request ----

/**
 * Ends a connection on which something came that is no request. Nothing of ours may be written while an answer to an earlier
 * request is under way, or it would stand in the middle of it: that one is written to its end, then the connection ends.
 */
function endOf(gw: Gateway, error: NodeJS.ErrnoException, socket: Connection): void {
  // Who has ended its side has left.
  if (error.code === 'ECONNRESET' || !socket.writable || (socket.readableEnded && socket.latest?.closed === false))
    socket.destroy()
  if (socket.destroyed || socket.ending) return
  socket.ending = true
  const { latest } = socket
  const failure = failureOf(error, gw.config)
  // The rest of a request that has its answer already deserves no second one.
  if (latest?.closed && !latest.req.complete) socket.destroySoon()
  else if (!latest || latest.closed) refuse(gw, socket, failure)
  else if (!latest.req.complete && latest.down?.committed === false) {
    // Its own body is what went wrong.
    latest.shouldKeepAlive = false
    latest.down.interrupt(failure)
  } else if (!latest.headersSent) latest.shouldKeepAlive = false
  else latest.once('finish', () => socket.destroySoon())
}

// One code of the parser's stands for several mistakes; its reason tells them apart.
function failureOf({ code = '', message }: NodeJS.ErrnoException, config: Config): Failure {
  const reason = message.replace(/^Parse Error: /, '')
  if (code === 'HPE_HEADER_OVERFLOW') return new Failure('HEAD_TOO_LARGE', [formatSize(config['limits.headers'])])
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new Failure('HEAD_TIMEOUT', [formatDuration(config['timeouts.request_header'])])
  if (code === 'HPE_PAUSED_H2_UPGRADE' || reason === 'Invalid HTTP version') return new Failure('VERSION_UNSUPPORTED')
  if (code === 'HPE_INVALID_TRANSFER_ENCODING' && !reason.includes('Content-Length'))
    return new Failure('CODING_UNSUPPORTED')
  return new Failure('REQUEST_MALFORMED', [reason])
}

// Who is still sending would meet a reset instead of our answer if we closed at once.
const LINGER_MS = 5_000

/** Answers what never became a request, on a socket that carries no other answer. */
function refuse(gw: Gateway, socket: Connection, failure: Failure, req?: IncomingMessage): void {
  const outcome = gw.outcomes.begin(req ?? {}, plain(socket.remoteAddress ?? ''))
  const { id } = outcome
  const body = tongueOf({ headers: req?.headers ?? {}, url: req?.url ?? '' }, outcome.path).error(failure, id)
  const fields = ['content-type', 'application/json', 'content-length', String(body.length), 'connection', 'close']
  fields.push('x-request-id', id, 'request-id', id, ...failure.fields)
  let head = `HTTP/1.1 ${failure.status} ${http.STATUS_CODES[failure.status]}\r\n`
  for (let i = 0; i < fields.length; i += 2) head += `${fields[i]}: ${fields[i + 1]}\r\n`
  socket.end(Buffer.concat([Buffer.from(`${head}\r\n`), body]))
  const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref()
  socket.once('close', () => clearTimeout(timer))
  outcome.status = failure.status
  outcome.failure = failure
  outcome.error = because(failure)
  gw.outcomes.end(outcome)
}
