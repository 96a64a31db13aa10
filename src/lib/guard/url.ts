// Reads a URL that a person typed, or says what is wrong with it as far as that can be told without asking anybody.
import { isIP } from 'node:net'
import { refusedAddress } from './ranges.ts'

export interface UrlRules {
  /** private and loopback addresses, names of the own network, and plain http */
  allowPrivate: boolean
}

/**
 * The URL in its normal form (so `0x7f.1` is 127.0.0.1), its host without a dot at its end; or why it is refused, in words
 * that follow "the URL" and never quote it, since it may be a secret.
 */
export function readUrl(text: string, { allowPrivate }: UrlRules): URL | string {
  const typed = text.trim()
  if (typed === '') return 'is empty'
  // Of a backslash every parser thinks something else.
  if (/[\p{Cc}\s\\]/u.test(typed)) return 'has blanks, backslashes or control characters in it'
  const url = URL.parse(typed)
  if (!url) return 'is not a URL, or has a host or port that none can have'
  // An empty user is as good a trick as any.
  if (url.username || url.password || /^[^:/?#]+:\/*[^/?#]*@/.test(typed)) return 'carries a user or password'
  const problem = urlProblem(url, { allowPrivate })
  if (problem !== undefined) return problem
  url.hash = ''
  if (url.hostname.endsWith('.')) url.hostname = bare(url.hostname)
  return url
}

/** The same of a URL that is parsed already: scheme, port and host. */
export function urlProblem(url: URL, { allowPrivate }: UrlRules): string | undefined {
  if (url.protocol !== 'https:' && !(allowPrivate && url.protocol === 'http:'))
    return allowPrivate ? 'must begin with https:// or http://' : 'must begin with https://'
  if (url.port === '0') return 'has port 0'
  return hostProblem(url.hostname, { allowPrivate })
}

// Names that are never those of a server on the internet (RFC 6761, RFC 6762, RFC 8375, ICANN's .internal).
const ownNames = /(^|\.)(localhost|local|internal|home\.arpa)$/

function hostProblem(hostname: string, { allowPrivate }: UrlRules): string | undefined {
  const host = bare(hostname)
  if (host === '') return 'has no host'
  if (isIP(host) !== 0) {
    const word = refusedAddress(host, allowPrivate)
    return word === undefined ? undefined : `has the address ${host}, which is ${word}`
  }
  if (allowPrivate) return undefined
  if (ownNames.test(host)) return `has the host ${host}, a name of this machine or its own network`
  return host.includes('.') ? undefined : `has the host ${host}, a name without a dot, which only its own network knows`
}

/** In lower case, without brackets and without dots at its end. */
export function bare(hostname: string): string {
  return hostname
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.+$/, '')
}
