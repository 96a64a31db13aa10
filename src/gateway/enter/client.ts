// Client: the address a request comes from, which behind `trusted_proxies` is not that of its connection.
import type { IncomingMessage } from 'node:http'
import type { Config } from '../../config/schema.ts'
import { allowList, clientAddress, plain } from '../../lib/address.ts'

// A configuration is replaced, never changed.
const compiled = new WeakMap<Config, (ip: string) => boolean>()

/** '' where the connection has none, as on a unix socket. */
export function addressOf(config: Config, req: IncomingMessage): string {
  const peer = req.socket.remoteAddress ?? ''
  const proxies = config['trusted_proxies']
  if (proxies.length === 0) return plain(peer)
  let trusts = compiled.get(config)
  if (!trusts) compiled.set(config, (trusts = allowList(proxies)))
  return clientAddress(peer, String(req.headers['x-forwarded-for'] ?? ''), trusts)
}
