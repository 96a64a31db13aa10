// Protocol: what HTTP asks of a request that node's parser lets through all the same (RFC 9112 §2.3, §3.2, §6.1).
import type { IncomingMessage } from 'node:http'
import { isIPv6 } from 'node:net'
import { Failure } from '../../lib/failure.ts'

/** Why a request is none of HTTP/1.1, or one that we do not speak; the connection is not to be used again then. */
export function oddity(req: IncomingMessage): Failure | undefined {
  if (req.httpVersionMajor !== 1) return new Failure('VERSION_UNSUPPORTED')
  const { url = '', headers } = req
  if (url[0] !== '/' && url !== '*')
    return new Failure('REQUEST_MALFORMED', ['its target is neither a path nor an http URL'])
  const hosts = count(req.rawHeaders, 'host')
  if (hosts > 1 || (hosts === 0 && req.httpVersionMinor > 0) || (hosts === 1 && !isAuthority(headers.host!)))
    return new Failure('HOST_INVALID')
  const coding = headers['transfer-encoding']
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') return new Failure('CODING_UNSUPPORTED')
  // Codex tries a WebSocket first and falls back at once and silently on 426 (spec/wire.md §0.5). Other upgrades are offers that
  // HTTP lets a server pass over: Java's client sends `h2c` with every first request.
  if (headers.upgrade?.toLowerCase() === 'websocket')
    return new Failure('UPGRADE_REFUSED', [], { fields: ['upgrade', 'HTTP/1.1'] })
  return undefined
}

/** A target as a path with its query, also where it is a whole URL, as proxies are sent; what is neither stays as it is. */
export function originForm(target: string): string {
  if (target[0] === '/') return target
  const [, authority, rest = ''] = /^https?:\/\/([^/?#]*)([/?].*)?$/i.exec(target) ?? []
  if (authority === undefined || !isAuthority(authority)) return target
  return rest[0] === '/' ? rest : `/${rest}`
}

// As nearly all are, and quickly seen.
const usual = /^[\w.-]+(?::\d{1,5})?$/

// What a connection says once it says with every request.
let lastUsual: string | undefined

/** `gw.example`, `192.0.2.7:8080`, `[::1]:80` */
export function isAuthority(text: string): boolean {
  if (text === lastUsual) return true
  if (usual.test(text)) {
    lastUsual = text
    return true
  }
  const [, v6, name] = /^(?:\[([0-9a-f:.]+)\]|([\w.~!$&'()*+;=%-]+))(?::\d{0,5})?$/i.exec(text) ?? []
  return name !== undefined || (v6 !== undefined && isIPv6(v6))
}

function count(raw: readonly string[], wanted: string): number {
  let found = 0
  for (let i = 0; i < raw.length; i += 2)
    if (raw[i]!.length === wanted.length && (raw[i] === wanted || raw[i]!.toLowerCase() === wanted)) found++
  return found
}
