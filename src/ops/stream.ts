// The live stream's connections: a WebSocket server on listeners of others, with limits; what is said on it is its source's (docs/live.md).
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { allowList, clientAddress, networkOf, plain } from '../lib/address.ts'
import { type OriginPolicy, originAllowed } from './origin.ts'

/**
 * Speaks to one watcher until it is gone. `send` resolves when the message has left this process, so that nothing is buffered
 * for who reads slowly, and rejects when the watcher is gone. `query` is that of the address that was asked.
 */
export type StreamSource = (
  query: URLSearchParams,
  send: (text: string) => Promise<void>,
  gone: AbortSignal,
) => Promise<void>

/** Asked at each new connection. */
export interface StreamLimits {
  connections: number
  perAddress: number
  origin: OriginPolicy
  trustedProxies: readonly string[]
  token: string | undefined
}

export interface StreamTimes {
  pingMs: number
  /** without a pong for so long a watcher is dead */
  deadMs: number
  /** and one that does not take a message for so long reads too slowly */
  sendMs: number
}

/** Where it is attached: who may connect there is known already, or must show a token and stay within limits. */
export interface StreamDoor {
  path: string
  /** the socket's mode has decided: no token, no origin, and none of the limits */
  trusted: boolean
  /** why the host that was asked is not ours, in words; undefined when it is */
  foreign?: (host: string | undefined) => string | undefined
}

export interface Stream {
  attach(server: Server, door: StreamDoor): void
  /** how many watch */
  size(): number
  /** Tells all that it is over and lets them go; who comes now is refused. */
  close(): Promise<void>
}

/** Frames that watchers send us, bytes: they have nothing to say. */
const MOST_INBOUND = 1024
/** of the control socket, which has no other limit */
const MOST_TRUSTED = 1000
const PROTOCOL = 'gw.live'
const TOKEN_PROTOCOL = 'gw.token.'
/** How soon it is worth coming back, s; and how long a goodbye may take, ms. */
const BACK_S = 2
const GOODBYE_MS = 1_000

const TIMES: StreamTimes = { pingMs: 30_000, deadMs: 60_000, sendMs: 10_000 }

/** 1001, and why: a close frame has room for 123 bytes. */
const leaving = { code: 1001, reason: `gw stops here; come back in ${BACK_S} s` }

interface Watcher {
  socket: WebSocket
  network: string
  trusted: boolean
  /** ms, when it last gave a sign of life */
  heardAt: number
}

export function createStream(options: {
  source: StreamSource
  limits: () => StreamLimits
  log: (line: string) => void
  times?: Partial<StreamTimes>
}): Stream {
  const { source, limits, log } = options
  const { pingMs, deadMs, sendMs } = { ...TIMES, ...options.times }
  const watchers = new Set<Watcher>()
  let closing = false
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: MOST_INBOUND,
    perMessageDeflate: false,
    // A flood of pings to one who does not read would be a buffer of pongs.
    autoPong: false,
    handleProtocols: offered => {
      if (offered.has(PROTOCOL)) return PROTOCOL
      return [...offered].find(one => one.startsWith(TOKEN_PROTOCOL)) ?? false
    },
  })
  const pulse = setInterval(() => {
    const now = performance.now()
    for (const { socket, heardAt } of watchers) {
      if (now - heardAt >= deadMs) socket.terminate()
      else socket.ping()
    }
  }, pingMs).unref()

  /** Why it may not connect; undefined when it may. */
  function refusal(req: IncomingMessage, url: URL, door: StreamDoor): Refused | undefined {
    if (url.pathname !== door.path) return [404, `the live stream is at ${door.path}`]
    if (closing) return [503, 'gw stops here', BACK_S]
    if (door.trusted) return count(one => one.trusted) < MOST_TRUSTED ? undefined : [503, 'too many watch', 5]
    const foreign = door.foreign?.(req.headers.host)
    if (foreign !== undefined) return [421, foreign]
    const { connections, perAddress, origin, trustedProxies, token } = limits()
    const peer = plain(req.socket.remoteAddress ?? '')
    const trusts = trustedProxies.length === 0 ? () => false : allowList(trustedProxies)
    const { headers } = req
    const forwardedHost = one(headers['x-forwarded-host'])
    if (!originAllowed({ origin: headers.origin, host: headers.host, forwardedHost, peer }, origin, trusts))
      return [
        403,
        headers.origin === undefined
          ? 'no Origin, and ops.ws.origin is strict'
          : 'only pages of the host that is asked may connect',
      ]
    if (token !== undefined && !presented(req, url).some(given => same(given, token)))
      return [401, `send the ops.token as a bearer token, as protocol ${TOKEN_PROTOCOL}TOKEN, or as ?token=`]
    if (connections === 0) return [503, 'the live stream is off: ops.ws.connections is 0']
    if (count(one => !one.trusted) >= connections)
      return [503, `all ${connections} connections of ops.ws.connections are taken`, 5]
    const network = networkOf(addressOf(req, trustedProxies))
    if (count(one => one.network === network) >= perAddress)
      return [429, `all ${perAddress} connections of ops.ws.connections_per_address are taken by this address`, 5]
    return undefined
  }
  const count = (is: (watcher: Watcher) => boolean) => {
    let sum = 0
    for (const watcher of watchers) if (is(watcher)) sum++
    return sum
  }

  function watch(socket: WebSocket, req: IncomingMessage, url: URL, door: StreamDoor): void {
    const address = addressOf(req, limits().trustedProxies)
    const watcher = {
      socket,
      network: door.trusted ? '' : networkOf(address),
      trusted: door.trusted,
      heardAt: performance.now(),
    }
    const gone = new AbortController()
    watchers.add(watcher)
    socket.on('pong', () => {
      watcher.heardAt = performance.now()
    })
    socket.on('ping', data => {
      if (socket.bufferedAmount < MOST_INBOUND) socket.pong(data)
    })
    // Said before it closes, by ws itself: a frame too large (1009), or none at all (1002, 1007).
    socket.on('error', () => {})
    socket.on('close', () => {
      watchers.delete(watcher)
      gone.abort()
    })
    const send = (text: string) =>
      new Promise<void>((resolve, reject) => {
        // A close frame would wait behind what it does not read.
        const slow = setTimeout(() => {
          log(`live stream: ${address || 'a watcher'} reads too slowly and was let go`)
          socket.terminate()
        }, sendMs).unref()
        socket.send(text, error => {
          clearTimeout(slow)
          if (error) reject(error)
          else resolve()
        })
      })
    source(url.searchParams, send, gone.signal).catch(error => {
      if (gone.signal.aborted || socket.readyState !== socket.OPEN) return
      log(`live stream: ${(error as Error).message}`)
      socket.close(1011, 'gw failed at it; come back')
    })
  }

  return {
    attach(http, door) {
      // Who offers another protocol beside HTTP/1.1 (h2c, as `curl --http2` and Java do) is answered in this one.
      upgrading(http).shouldUpgradeCallback = ({ headers }) => headers.upgrade?.toLowerCase() === 'websocket'
      http.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
        // The client may leave at any moment, also before ws listens.
        socket.on('error', () => {})
        const url = URL.parse(`http://gw${req.url ?? '/'}`)
        const refused = url ? refusal(req, url, door) : ([400, 'no such address'] as const)
        if (refused) refuse(socket, refused)
        else server.handleUpgrade(req, socket, head, ws => watch(ws, req, url!, door))
      })
    },
    size: () => watchers.size,
    async close() {
      closing = true
      clearInterval(pulse)
      const all = [...watchers]
      const ended = all.map(({ socket }) => new Promise(resolve => socket.once('close', resolve)))
      for (const { socket } of all) socket.close(leaving.code, leaving.reason)
      const late = setTimeout(() => {
        for (const { socket } of all) socket.terminate()
      }, GOODBYE_MS)
      await Promise.all(ended)
      clearTimeout(late)
    },
  }
}

/** Of Node since 24.9; its types do not know it as a property. */
const upgrading = (http: Server) => http as Server & { shouldUpgradeCallback: (req: IncomingMessage) => boolean }

/** status, why, and after how many seconds it is worth trying again */
type Refused = readonly [status: number, why: string, retryS?: number]

const phrases: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  421: 'Misdirected Request',
  429: 'Too Many Requests',
  503: 'Service Unavailable',
}

function refuse(socket: Duplex, [status, why, retryS]: Refused): void {
  const body = JSON.stringify({ error: why })
  socket.end(
    [
      `HTTP/1.1 ${status} ${phrases[status]}`,
      'content-type: application/json',
      `content-length: ${Buffer.byteLength(body)}`,
      ...(retryS === undefined ? [] : [`retry-after: ${retryS}`]),
      ...(status === 401 ? ['www-authenticate: Bearer'] : []),
      'connection: close',
      '',
      body,
    ].join('\r\n'),
  )
  socket.once('finish', () => socket.destroy())
}

/** Every token that was shown. */
function presented(req: IncomingMessage, url: URL): string[] {
  const [, bearer] = /^bearer +(.+)$/i.exec(req.headers.authorization ?? '') ?? []
  const protocols = (one(req.headers['sec-websocket-protocol']) ?? '').split(',').map(name => name.trim())
  const named = protocols.filter(name => name.startsWith(TOKEN_PROTOCOL)).map(name => name.slice(TOKEN_PROTOCOL.length))
  // A protocol's name has no room for every sign: a browser sends the others as %xx.
  return [bearer, ...named.flatMap(name => [name, decoded(name)]), url.searchParams.get('token')].filter(
    given => typeof given === 'string',
  )
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

// Digests, so that not even its length shows in the time it takes.
const same = (given: string, wanted: string) => timingSafeEqual(digest(given), digest(wanted))
const digest = (text: string) => createHash('sha256').update(text).digest()

const one = (header: string | string[] | undefined) => (Array.isArray(header) ? header.join(',') : header)

function addressOf(req: IncomingMessage, proxies: readonly string[]): string {
  const peer = req.socket.remoteAddress ?? ''
  if (proxies.length === 0) return plain(peer)
  return clientAddress(peer, one(req.headers['x-forwarded-for']) ?? '', allowList(proxies))
}
