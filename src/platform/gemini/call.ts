// How a Google upstream is called: what of the client's request goes on, and the credential in its place.
import type { IncomingHttpHeaders } from 'node:http'
import type { AccountFacts } from '../../core/snapshot.ts'
import { version } from '../../lib/version.ts'
import type { UpstreamCall, UpstreamRequest } from '../platform.ts'

// What a client may say to the upstream; all else stays here. Whom it bills (x-goog-user-project) is the account's.
const passed = new Set([
  'accept',
  'content-type',
  'user-agent',
  'accept-language',
  'x-goog-api-client',
  'x-server-timeout',
])

/** The product that asks: our own name, nobody else's. */
export const userAgent = `gw/${version}`

export function headersOf(call: UpstreamCall, host: string): UpstreamRequest['headers'] {
  const headers: UpstreamRequest['headers'] = { host }
  for (const name in call.headers) {
    const value = (call.headers as IncomingHttpHeaders)[name]
    if (value !== undefined && passed.has(name)) headers[name] = value
  }
  // Usage cannot be read from a compressed stream, and every SDK asks for one.
  headers['accept-encoding'] = 'identity'
  return headers
}

/** Where an account is: `base` unless its record says another place. */
export function baseOf(account: AccountFacts, base: string): { origin: URL; prefix: string } {
  const url = new URL(account.baseUrl ?? base)
  return { origin: new URL(url.origin), prefix: url.pathname.replace(/\/+$/, '') }
}

/** The query for a path: streams are always asked for as server-sent events, and keys stay here. */
export function queryFor({ path, query }: UpstreamCall): string {
  const kept = query
    .replace(/^\?/, '')
    .split('&')
    .filter(pair => pair !== '' && !/^(?:alt|\$alt|%24alt|key|api_key|access_token)(?:=|$)/i.test(pair))
  if (path.endsWith(':streamGenerateContent')) kept.push('alt=sse')
  return kept.length === 0 ? '' : `?${kept.join('&')}`
}
