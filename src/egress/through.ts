// Through: an egress proxy, read from its URL, and a connection that it makes for us. It looks names up; TLS is end to end inside.
import net from 'node:net'
import tls from 'node:tls'
import { ownTrouble } from '../lib/own-trouble.ts'

export const schemes = ['http', 'https', 'socks5', 'socks5h'] as const
export type Scheme = (typeof schemes)[number]

/** An egress proxy. */
export interface Through {
  /** of its record; 0: it has none */
  readonly id: number
  /** for operators; in errors and logs it stands for all of it */
  readonly name: string
  readonly scheme: Scheme
  /** without brackets */
  readonly host: string
  readonly port: number
  /** `user:password` as a URL writes it; it has no printable form */
  readonly login: { reveal(): string } | null
}

/** What its URL says. `login` is as in the URL, '' when there is none. */
export interface ProxyUrl {
  scheme: Scheme
  host: string
  port: number
  login: string
}

const ports: Record<Scheme, number> = { http: 80, https: 443, socks5: 1080, socks5h: 1080 }

// SOCKS5 tells the length of a name and of either half of a login in one byte (RFC 1928, RFC 1929).
const SOCKS_LONGEST = 255

/** Reads a proxy's URL, or says in words why it is none; never quotes what it read, since that may be a password. */
export function parseProxyUrl(text: string): ProxyUrl | string {
  const url = URL.parse(text.trim())
  if (!url) return 'is not a URL; write SCHEME://[USER:PASSWORD@]HOST:PORT'
  const scheme = schemes.find(known => `${known}:` === url.protocol)
  if (!scheme) return `has a scheme other than ${schemes.join(', ')}`
  // Of a scheme that it does not know, URL keeps the host as it was typed.
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  if (host === '' || /[^\w.:-]/.test(host)) return 'has no host, or one with characters that no host has'
  if (/^\/?$/.test(url.pathname) === false || url.search || url.hash) return 'has a path, a query or a fragment'
  const port = url.port === '' ? ports[scheme] : Number(url.port)
  if (port === 0) return 'has port 0'
  const login = url.username || url.password ? `${url.username}:${url.password}` : ''
  const read = loginOf(login)
  if (!read) return 'has a user or password with a % that is no escape; write a literal % as %25'
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\x00-\x1f\x7f]/.test(read.user + read.password)) return 'has control characters in its user or password'
  if (scheme.startsWith('http') && read.user.includes(':'))
    return 'has a colon in its user, which HTTP proxies cannot be told'
  if (scheme.startsWith('socks') && [read.user, read.password].some(half => Buffer.byteLength(half) > SOCKS_LONGEST))
    return `has a user or password of more than ${SOCKS_LONGEST} bytes, which SOCKS cannot carry`
  if (scheme.startsWith('socks') && login !== '' && (read.user === '' || read.password === ''))
    return 'has a user without a password, or a password without a user'
  return { scheme, host, port, login }
}

/** The URL with this login, `user:password` as people write it: only the first colon divides them. */
export function withLogin(url: string, login: string): string {
  const at = login.indexOf(':')
  const halves = at < 0 ? [login] : [login.slice(0, at), login.slice(at + 1)]
  return url.replace(/^([a-z0-9+.-]+:\/\/)(?:[^/@]*@)?/i, `$1${halves.map(encodeURIComponent).join(':')}@`)
}

/** As it may be shown: without its login. */
export function shownUrl({ scheme, host, port }: Pick<ProxyUrl, 'scheme' | 'host' | 'port'>): string {
  return `${scheme}://${bracketed(host)}:${port}`
}

/** The code of whatever is wrong with a proxy; the message names the proxy and says what it is. */
export const PROXY_CODE = 'EPROXY'

const bracketed = (host: string): string => (net.isIPv6(host) ? `[${host}]` : host)

function loginOf(login: string): { user: string; password: string } | undefined {
  const at = login.indexOf(':')
  try {
    return { user: decodeURIComponent(login.slice(0, at)), password: decodeURIComponent(login.slice(at + 1)) }
  } catch {
    return undefined
  }
}

const words: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EPIPE: 'connection reset',
  ENOTFOUND: 'host not found',
  ETIMEDOUT: 'no connection in time',
  EHOSTUNREACH: 'host unreachable',
}

/** Whatever went wrong on the way to or at a proxy, as an error that tells its name and nothing of its login. */
export function proxyFault(proxy: Pick<Through, 'name'>, why: unknown): NodeJS.ErrnoException {
  const { code = '', message = '' } = (why ?? {}) as NodeJS.ErrnoException
  // A full machine is not the proxy's fault.
  if (ownTrouble(code) === 'alone') return why as NodeJS.ErrnoException
  const what = typeof why === 'string' ? why : (words[code] ?? (code || message || 'connection failed'))
  return Object.assign(new Error(`proxy ${proxy.name}: ${what}`), { code: PROXY_CODE })
}

export interface DialOptions {
  /** PEM certificates trusted instead of the usual ones, for a proxy that is itself reached by TLS */
  ca?: string | Buffer | undefined
  /** gives up at any stage */
  signal?: AbortSignal | undefined
}

/**
 * A connection to the host, made by the proxy; whoever gets it must listen to it at once. It knows no time: `signal` ends it.
 * @throws Error with code EPROXY, in words that name the proxy; of our own machine's trouble as it came
 */
export async function dial(
  proxy: Through,
  to: { host: string; port: number },
  { ca, signal }: DialOptions = {},
): Promise<net.Socket> {
  const { host, port, scheme } = proxy
  const options = { host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 1000 }
  signal?.throwIfAborted()
  const socket =
    scheme === 'https'
      ? tls.connect({
          ...options,
          ...(net.isIP(host) ? {} : { servername: host }),
          ...(ca === undefined ? {} : { ca }),
          ALPNProtocols: ['http/1.1'],
        })
      : net.connect(options)
  const leave = () => void socket.destroy(signal?.reason as Error)
  signal?.addEventListener('abort', leave, { once: true })
  try {
    await connected(socket, scheme === 'https' ? 'secureConnect' : 'connect')
    await (scheme.startsWith('socks') ? socks(socket, proxy, to) : connect(socket, proxy, to))
    return socket
  } catch (error) {
    socket.on('error', () => {})
    socket.destroy()
    signal?.throwIfAborted()
    throw proxyFault(proxy, error)
  } finally {
    signal?.removeEventListener('abort', leave)
  }
}

function connected(socket: net.Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const close = () => reject(Object.assign(new Error('closed'), { code: 'ECONNRESET' }))
  socket.once(event, resolve)
  socket.once('error', reject)
  socket.once('close', close)
  return promise.finally(() => {
    socket.off('error', reject)
    socket.off('close', close)
  })
}

// No proxy has more to say than that it is connected.
const LONGEST_HEAD = 16 * 1024

/** RFC 9110 §9.3.6. What refuses is told by its status alone: its page is the proxy's, and never the origin's answer. */
function connect(
  socket: net.Socket,
  { login }: Through,
  { host, port }: { host: string; port: number },
): Promise<void> {
  const target = `${bracketed(host)}:${port}`
  const { user, password } = loginOf(login?.reveal() ?? ':')!
  const authorization = login
    ? `Proxy-Authorization: Basic ${Buffer.from(`${user}:${password}`).toString('base64')}\r\n`
    : ''
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let head = ''
  const data = (bytes: Buffer) => {
    head += bytes.toString('latin1')
    const end = head.indexOf('\r\n\r\n')
    if (end < 0) {
      if (head.length > LONGEST_HEAD) reject('answered with more than a head')
      return
    }
    const status = /^HTTP\/1\.[01] (\d{3})(?: ([\x20-\x7e]{0,60}))?/.exec(head)
    if (!status) reject('did not answer as an HTTP proxy does')
    else if (status[1] === '407') reject('407, it asks for a login, or for another one')
    else if (!status[1]!.startsWith('2')) reject(`${status[1]} ${status[2] ?? ''}`.trim())
    else if (head.length > end + 4) reject('said something before it was asked')
    else resolve()
  }
  const close = () => reject('closed the connection before it answered')
  socket.on('data', data)
  socket.once('error', reject)
  socket.once('close', close)
  socket.once('end', close)
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${authorization}\r\n`)
  return promise.finally(() => {
    // What comes from now on is for who gets the socket.
    socket.pause()
    socket.off('data', data)
    socket.off('error', reject)
    socket.off('close', close)
    socket.off('end', close)
  })
}

async function socks(socket: net.Socket, { login }: Through, to: { host: string; port: number }): Promise<void> {
  if (Buffer.byteLength(to.host) > SOCKS_LONGEST) throw 'the host name is too long for SOCKS'
  const { SocksClient } = await import('socks')
  const { user, password } = loginOf(login?.reveal() ?? ':')!
  try {
    await SocksClient.createConnection({
      command: 'connect',
      // Its address is of no interest: it is connected already.
      proxy: { host: '127.0.0.1', port: 1080, type: 5, ...(login ? { userId: user, password } : {}) },
      destination: to,
      existing_socket: socket,
      timeout: LONGEST_SOCKS_MS,
    })
  } catch (error) {
    // Its errors carry the options, and so the password: only the words are taken.
    throw `SOCKS: ${sentence((error as Error).message)}`
  }
}

// The library wants a limit, and holds on to its timer until then; ours is the signal.
const LONGEST_SOCKS_MS = 60_000

const sentence = (text: string): string => text.replace(/^Socks5? ?/i, '').slice(0, 120)
