// The engine on node:http: http-proxy-3 behind the face of engine.ts.
//
// The library gets a facade per request instead of the client's real request and response, so nothing is ever attached
// to those, and finished headers, so credentials cannot leak around an egress agent (docs/dependencies.md, proxy core).
import { EventEmitter } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import type { Socket } from 'node:net'
import type { Stream } from 'node:stream'
import httpProxy from 'http-proxy-3'
import { PlainGuarded, SecureGuarded } from '../../../egress/guarded.ts'
import type { Through } from '../../../egress/through.ts'
import { PlainTunnel, SecureTunnel } from '../../../egress/tunnel.ts'
import {
  type Body,
  type Controller,
  type Engine,
  type EngineOptions,
  failure,
  type Handler,
  HEAD_BYTES,
  INTERIM_HEADS,
} from './engine.ts'

export function createProxyEngine({ idleConnections, ca, guard }: EngineOptions): Engine {
  // To node 0 is not a number of free sockets but the word for its default.
  const pool = { keepAlive: idleConnections > 0, maxFreeSockets: idleConnections, scheduling: 'lifo' as const }
  const directly = (of: http.AgentOptions) =>
    guard
      ? { 'http:': new PlainGuarded(guard, of), 'https:': new SecureGuarded(guard, of) }
      : { 'http:': new http.Agent(of), 'https:': new https.Agent(of) }
  const direct = directly(pool)
  const through = (proxy: Through, of: http.AgentOptions) => ({
    'http:': new PlainTunnel(proxy, of, { ca }),
    'https:': new SecureTunnel(proxy, of, { ca }),
  })
  /** by id of the egress proxy */
  const tunnels = new Map<number, { of: Through; agents: ReturnType<typeof through> }>()
  const tunnelsOf = (egress: Through) => {
    const known = tunnels.get(egress.id)
    if (known?.of === egress) return known.agents
    // It was changed: what still waits was made by what it was. What is under way goes on.
    if (known) for (const agent of Object.values(known.agents)) forget(agent)
    const agents = through(egress, pool)
    tunnels.set(egress.id, { of: egress, agents })
    return agents
  }
  const proxy = httpProxy.createProxyServer({})
  proxy.on('proxyReq', (request, _view, trip) => (trip as unknown as RoundTrip).onRequest(request))
  proxy.on('proxyRes', (response, _view, trip) => (trip as unknown as RoundTrip).onResponse(response))
  // Without an agent that keeps them the connection is made for this request and closed after it.
  const agentFor = (via: Through | undefined, protocol: keyof typeof direct, fresh: boolean) => {
    if (via) return { agent: (fresh ? through(via, { keepAlive: false }) : tunnelsOf(via))[protocol] }
    return fresh && !guard ? {} : { agent: (fresh ? directly({ keepAlive: false }) : direct)[protocol] }
  }
  return {
    send(request, body, handler, fresh = false) {
      const protocol = request.origin.protocol as keyof typeof direct
      const trip = new RoundTrip(handler)
      const problem = guard?.problem(request.origin)
      if (problem) {
        queueMicrotask(() => trip.onError(problem))
        return trip
      }
      if (body.bytes > 0 || request.method !== 'GET') request.headers['content-length'] = body.bytes
      const view = {
        method: request.method,
        url: request.path,
        headers: request.headers,
        httpVersionMajor: 1,
        socket: alive,
        connection: alive,
        on: noop,
      }
      // Fresh each time: the library writes into it. Without the protocol TLS sockets are filed under a key they are never found by.
      const ssl = { protocol, maxHeaderSize: HEAD_BYTES, ALPNProtocols: ['http/1.1'] }
      try {
        proxy.web(
          view as unknown as http.IncomingMessage,
          trip as unknown as http.ServerResponse,
          {
            target: request.origin,
            ...(ca === undefined ? {} : { ca: ca.toString() }),
            ...agentFor(request.via, protocol, fresh),
            // The path is finished: without these two it would be parsed and joined again for every request.
            toProxy: true,
            prependPath: false,
            ssl: ssl as https.ServerOptions,
            selfHandleResponse: true,
            buffer: { pipe: (to: http.ClientRequest) => writeBody(to, body) } as unknown as Stream,
          },
          error => trip.onError(error as NodeJS.ErrnoException),
        )
      } catch (error) {
        // node:http throws at once for what it will not send, a credential with a line break, say.
        queueMicrotask(() => trip.onError(error as Error))
      }
      return trip
    },
    close() {
      for (const agents of [direct, ...[...tunnels.values()].map(tunnel => tunnel.agents)]) {
        agents['http:'].destroy()
        agents['https:'].destroy()
      }
    },
  }
}

function forget(agent: http.Agent): void {
  for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy()
}

const alive = { destroyed: false }
function noop() {}

function writeBody(to: http.ClientRequest, body: Body): http.ClientRequest {
  const last = body.pieces.length - 1
  for (let i = 0; i < last; i++) to.write(body.pieces[i])
  to.end(body.pieces[last])
  return to
}

/** A request under way: what the library takes for the client's response. */
class RoundTrip extends EventEmitter implements Controller {
  // Read by the library.
  readonly headersSent = false
  readonly finished = false
  readonly writableFinished = false

  reused = false
  sent = false
  #response: http.IncomingMessage | undefined
  #over = false
  readonly #handler: Handler

  constructor(handler: Handler) {
    super()
    this.#handler = handler
  }

  abort(): void {
    if (this.#over) return
    this.#over = true
    this.emit('close')
    this.#response?.destroy()
  }

  pause(): void {
    this.#response?.pause()
  }
  resume(): void {
    this.#response?.resume()
  }

  onRequest(request: http.ClientRequest): void {
    const socket = request.socket as (Socket & { encrypted?: boolean }) | null
    this.reused = request.reusedSocket
    // Nobody else would say that it is over.
    request.once('upgrade', (_response, upgraded) => {
      upgraded.destroy()
      this.onError(failure('EBADANSWER', 'the upstream switched protocols'))
    })
    let interim = 0
    request.on('information', () => {
      if (++interim > INTERIM_HEADS) this.onError(failure('EBADANSWER', 'interim answers and no end of them'))
    })
    if (!socket?.connecting) this.sent = true
    // A TLS handshake that hangs is a connection that hangs.
    else
      socket.once(socket.encrypted ? 'secureConnect' : 'connect', () => {
        // Or the guard did not let it stand.
        this.sent = !socket.destroyed
      })
  }

  onResponse(response: http.IncomingMessage): void {
    if (this.#over) {
      response.destroy()
      return
    }
    this.#response = response
    response.on('data', (bytes: Buffer) => this.#over || this.#handler.data(bytes))
    response.on('end', () => {
      if (this.#over) return
      this.#over = true
      this.#handler.end()
    })
    response.on('error', error => this.onError(error))
    response.on(
      'close',
      () => response.complete || this.onError(failure('ECONNRESET', 'the upstream closed the connection')),
    )
    this.#handler.head({ status: response.statusCode ?? 502, headers: response.headers })
  }

  onError(error: NodeJS.ErrnoException): void {
    if (this.#over) return
    // What failed may be our reading of it only: then the connection still stands.
    this.abort()
    this.#handler.fail(error)
  }
}
