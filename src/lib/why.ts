// Why something failed, in one sentence of ours: no code of the system's, no path that was just said, no library's voice.
import { getSystemErrorMap } from 'node:util'

// Where the system's own words help nobody.
const words: Readonly<Record<string, string>> = {
  ENOTDIR: 'what should be a folder on its path is a file',
  EROFS: 'its disk is read-only',
  ENOSPC: 'its disk is full',
  EDQUOT: 'the disk quota is used up',
  EMFILE: 'too many files are open',
  ECONNREFUSED: 'nobody listens there',
  ECONNRESET: 'the connection was cut',
  EPIPE: 'the connection was cut',
  ETIMEDOUT: 'no answer in time',
  EHOSTUNREACH: 'there is no way to that host',
  ENETUNREACH: 'there is no way to that network',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the name server does not answer',
  EADDRINUSE: 'another program listens there',
  EADDRNOTAVAIL: 'this machine has no such address',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'it shows a self-signed certificate, which nothing here trusts',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate was signed by an authority that is not known here',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate was signed by an authority that is not known here',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate was signed by an authority that is not known here',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
}

let system: Map<string, string> | undefined

/**
 * The reason in words, to stand after what was being done and to what: `… cannot be read: it is not there`.
 * Of several (one for each address that was tried) each once. What is no error of the system's keeps its message, on one line.
 */
export function why(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) {
    const all = error.errors as NodeJS.ErrnoException[]
    const by = Map.groupBy(all, why)
    return [...by].map(([text, of]) => text + tried(of)).join(', ')
  }
  const { code, message } = Object(error) as NodeJS.ErrnoException
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return misnamed(error as Error & { host?: string })
  const known = code === undefined ? undefined : (words[code] ?? systemWords(code))
  if (known !== undefined) return known
  return oneLine(message ?? String(error)) || (code ?? 'it says nothing more')
}

/** The same of something connected to, with the addresses that were tried where they say more than its name. */
export function whyUnreached(error: unknown): string {
  return error instanceof AggregateError ? why(error) : why(error) + tried([error as NodeJS.ErrnoException])
}

// https://www.postgresql.org/docs/current/errcodes-appendix.html: what an operator can do something about.
const ofDatabase: readonly (readonly [codes: RegExp, text: string])[] = [
  [/^28P01$/, 'the password is wrong'],
  [/^28000$/, 'this user may not connect from here (pg_hba.conf)'],
  [/^3D000$/, 'there is no such database'],
  [/^53300$/, 'it has no connection left (max_connections)'],
  [/^53100$/, 'its disk is full'],
  [/^53/, 'it is out of memory or disk'],
  [/^57P03$/, 'it is starting or stopping'],
  [/^57P0[12]$/, 'it was stopped meanwhile'],
  [/^57014$/, 'the query took longer than it allows'],
  [/^55P03$/, 'somebody else holds a lock on what is to be changed'],
  [/^25006$/, 'it is read-only: a standby, or default_transaction_read_only is on'],
  [/^42501$/, 'the user that database.url names may not do that here; it must own the database'],
  [/^40(001|P01)$/, 'somebody else changed the same at the same time; try again'],
  [/^42(P01|703|883)$/, 'its schema is not what this gw expects (gw db status)'],
]

/** Why Postgres refused, without its voice where an operator can do something about it. */
export function whyDatabase(error: unknown): string {
  const { code = '', message } = Object(error) as NodeJS.ErrnoException
  if (code === '28000' && /no encryption|SSL off/.test(message))
    return 'this user may not connect from here without TLS (pg_hba.conf); write ?sslmode=require or more'
  const known = ofDatabase.find(([codes]) => codes.test(code))?.[1]
  return known ?? `${oneLine(message)} (${code})`
}

/** That a text is no JSON, and where where that is known; never quotes the text, which may be a secret. */
export function notJson(what: string, text: string, error: unknown): string {
  if (text.trim() === '') return `${what} is empty`
  const { message } = error as Error
  const [, line, column] = /line (\d+) column (\d+)/.exec(message) ?? []
  return `${what} is not JSON${line === undefined ? '' : ` (line ${line}, column ${column})`}`
}

function tried(errors: readonly NodeJS.ErrnoException[]): string {
  const places = errors.flatMap(one => {
    const { address, port } = Object(one) as { address?: string; port?: number }
    return address === undefined ? [] : [port === undefined ? address : `${address} port ${port}`]
  })
  return places.length === 0 ? '' : ` (${places.join(', ')})`
}

function misnamed({ host }: { host?: string }): string {
  return host === undefined ? 'its certificate is for another host' : `its certificate is not for ${host}`
}

function systemWords(code: string): string | undefined {
  system ??= new Map([...getSystemErrorMap().values()].map(([name, text]) => [name, text]))
  return system.get(code)
}

const oneLine = (text: string): string => text.trim().replaceAll(/\s*\n\s*/g, ' ')
