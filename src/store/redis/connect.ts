// From `redis.url` to a client that fails fast: one server, a unix socket or a cluster.
import { Cluster, Redis } from 'ioredis'

/** A script, as ioredis defines it. */
export interface ScriptDefinition {
  lua: string
}

export type Client = Redis | Cluster

/** The longest wait for a socket or, once connected, for any answer: a handshake, say. Callers have their own, shorter one. */
const STEP_MS = 1000

const again = (times: number) => Math.min(50 * 2 ** times, 500)

// No queue of any kind: what cannot be answered now is answered without Redis.
const profile = {
  lazyConnect: true,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  autoResubscribe: false,
  maxRetriesPerRequest: 0,
  connectTimeout: STEP_MS,
  commandTimeout: STEP_MS,
  keepAlive: 5_000,
  retryStrategy: again,
}

/**
 * A client for `url`, not yet connected. Forms:
 * - `redis://[user:password@]host[:port][/db]`, and `rediss://…` for TLS;
 * - `unix:///path/to/socket[?db=n]`, with a password `unix://:password@localhost/path/to/socket`;
 * - for a cluster several of the first form, separated by commas; the first one's user, password and TLS serve for all.
 * `ca`: whom to trust that a `rediss` server's certificate is its own, as PEM; undefined: whom everybody trusts.
 * @throws TypeError when the URL cannot be read
 */
export function createClient(url: string, scripts: Record<string, ScriptDefinition>, ca: string | undefined): Client {
  const servers = parseServers(url)
  for (const { login } of servers) if (login.tls && ca !== undefined) login.tls = { ca }
  const [first] = servers
  if (servers.length === 1) return new Redis({ ...profile, ...first!.at, ...first!.login, scripts })
  return new Cluster(
    servers.map(server => server.at),
    {
      lazyConnect: true,
      enableOfflineQueue: false,
      clusterRetryStrategy: again,
      // A node that is gone fails its callers at once; its successor is found by asking again, not by making them wait.
      retryDelayOnFailover: 0,
      retryDelayOnClusterDown: 0,
      slotsRefreshInterval: 2_000,
      redisOptions: { ...profile, ...first!.login },
      scripts,
    },
  )
}

interface Server {
  at: { host?: string; port?: number; path?: string; db: number }
  login: { username?: string; password?: string; tls?: object }
}

function parseServers(url: string): Server[] {
  const [first = '', ...more] = url.split(',')
  const scheme = first.slice(0, first.indexOf('://') + 3)
  return [first, ...more.map(rest => (rest.includes('://') ? rest : scheme + rest))].map(parseServer)
}

function parseServer(text: string): Server {
  const { protocol, username, password, hostname, port, pathname, searchParams } = new URL(text)
  const login = {
    ...(username && { username: decodeURIComponent(username) }),
    ...(password && { password: decodeURIComponent(password) }),
    ...(protocol === 'rediss:' && { tls: {} }),
  }
  if (protocol === 'unix:')
    return { at: { path: decodeURIComponent(pathname), db: Number(searchParams.get('db') ?? 0) }, login }
  const host = hostname.replace(/^\[|\]$/g, '') || '127.0.0.1'
  return { at: { host, port: Number(port || 6379), db: Number(pathname.slice(1) || 0) }, login }
}
