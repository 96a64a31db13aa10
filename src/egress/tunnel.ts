// Tunnel: node:http's agents for origins that are reached through an egress proxy.
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import tls from 'node:tls'
import { type DialOptions, dial, proxyFault, type Through } from './through.ts'

type Made = (error: Error | null, socket: Duplex) => void

// node:http does not tell an agent that a request was given up before it had a connection: what is being made then ends here.
const LONGEST_MS = 60_000

/** What is being made, to be ended with its agent. */
class Dialing {
  readonly #under = new Set<AbortController>()
  readonly #ca: DialOptions['ca']

  constructor({ ca }: Pick<DialOptions, 'ca'>) {
    this.#ca = ca
  }

  make<S extends Duplex>(work: (options: DialOptions) => Promise<S>, made: Made, after: (socket: S) => void): void {
    const leaving = new AbortController()
    this.#under.add(leaving)
    const timer = setTimeout(() => leaving.abort(new Error('given up')), LONGEST_MS).unref()
    work({ ca: this.#ca, signal: leaving.signal })
      .finally(() => {
        clearTimeout(timer)
        this.#under.delete(leaving)
      })
      .then(
        socket => {
          made(null, socket)
          after(socket)
        },
        error => made(error, undefined as never),
      )
  }

  end(): void {
    for (const leaving of this.#under) leaving.abort(Object.assign(new Error('closed'), { code: 'ECONNRESET' }))
  }
}

export class PlainTunnel extends http.Agent {
  readonly #proxy: Through
  readonly #dialing: Dialing

  constructor(proxy: Through, options: http.AgentOptions, dialing: Pick<DialOptions, 'ca'> = {}) {
    super(options)
    this.#proxy = proxy
    this.#dialing = new Dialing(dialing)
  }

  override createConnection(to: http.ClientRequestArgs, made?: Made): undefined {
    this.#dialing.make(
      options => open(this.#proxy, to, options),
      made!,
      socket => socket.resume(),
    )
  }

  override destroy(): void {
    super.destroy()
    this.#dialing.end()
  }
}

/** TLS is with the origin, inside. */
export class SecureTunnel extends https.Agent {
  readonly #proxy: Through
  readonly #dialing: Dialing

  constructor(proxy: Through, options: https.AgentOptions, dialing: Pick<DialOptions, 'ca'> = {}) {
    super(options)
    this.#proxy = proxy
    this.#dialing = new Dialing(dialing)
  }

  override createConnection(to: https.RequestOptions, made?: Made): undefined {
    this.#dialing.make(
      options => secured(this.#proxy, to, options),
      made!,
      () => {},
    )
  }

  override destroy(): void {
    super.destroy()
    this.#dialing.end()
  }
}

function open(proxy: Through, to: http.ClientRequestArgs, dialing: DialOptions): Promise<net.Socket> {
  return dial(proxy, { host: bare(to.host ?? to.hostname ?? ''), port: Number(to.port) }, dialing)
}

// Only when its handshake is over is there a connection: until then nobody has the request.
async function secured(proxy: Through, to: https.RequestOptions, dialing: DialOptions): Promise<tls.TLSSocket> {
  const host = bare(to.host ?? to.hostname ?? '')
  const { path: _, agent: __, ...options } = to
  const socket = tls.connect({
    ...(options as tls.ConnectionOptions),
    ...(dialing.ca === undefined ? {} : { ca: dialing.ca }),
    socket: await open(proxy, to, dialing),
    host,
    servername: net.isIP(host) ? '' : host,
  })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const closed = () => reject(proxyFault(proxy, 'the connection closed before its TLS handshake was over'))
  socket.once('secureConnect', resolve)
  socket.once('error', reject)
  socket.once('close', closed)
  try {
    await promise
    return socket
  } finally {
    socket.off('error', reject)
    socket.off('close', closed)
  }
}

const bare = (host: string): string => (host.startsWith('[') ? host.slice(1, -1) : host)
