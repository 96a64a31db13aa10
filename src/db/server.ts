// From `database.url` to how Postgres is connected to, with TLS as libpq means it.

import type pg from 'pg'
import type { SslMode } from '../config/server-url.ts'
import { authorityIn, pemIn } from '../lib/certificate.ts'
import { types } from './session.ts'

export interface Server {
  connection: pg.ClientConfig
  /** connects without TLS, to be tried where a server has none; undefined: TLS is meant, or it is none anyway */
  plain: pg.ClientConfig | undefined
}

/**
 * pg reads `require` as `verify-full` and ignores words it does not know (node-postgres#2375). Here: `require` encrypts and
 * believes any certificate, unless `sslrootcert` says whom to trust; `verify-ca` asks whether that authority signed it,
 * `verify-full` whether it did so for this host (without sslrootcert: any authority that Node trusts); `prefer` and `allow`
 * encrypt where the server can. Without a mode it is `prefer`, and `disable` on loopback.
 * @throws Refusal `config` when a file cannot be read or holds something else
 */
export function serverOf(text: string): Server {
  const [before = '', query = ''] = text.split(/\?(.*)/s)
  const parameters = new URLSearchParams(query)
  const mode = (parameters.get('sslmode') ?? (isLoopback(before, parameters) ? 'disable' : 'prefer')) as SslMode
  const fileOf = (name: string, read: typeof pemIn) => {
    const file = parameters.get(name)
    return file ? read(`database.url: ${name}`, file) : undefined
  }
  const ca = fileOf('sslrootcert', authorityIn)
  const cert = fileOf('sslcert', pemIn)
  const key = fileOf('sslkey', pemIn)
  for (const name of ['sslmode', 'sslrootcert', 'sslcert', 'sslkey']) parameters.delete(name)
  const rest = parameters.toString()
  const connectionString = rest === '' ? before : `${before}?${rest}`
  const plain = { connectionString, ssl: false, types }
  if (mode === 'disable' || isSocket(before, parameters)) return { connection: plain, plain: undefined }
  const verified = mode === 'verify-full' || mode === 'verify-ca' || (mode === 'require' && ca !== undefined)
  const ssl = {
    ...(ca && { ca }),
    ...(cert && key && { cert, key }),
    rejectUnauthorized: verified,
    anyHost: mode !== 'verify-full',
  }
  const optional = mode === 'prefer' || mode === 'allow'
  return { connection: revived({ connectionString, ssl }), plain: optional ? plain : undefined }
}

/** A connection's words without its functions, as they may be told to a thread. */
export function portable({ types: _, ssl, ...words }: pg.ClientConfig): pg.ClientConfig {
  if (typeof ssl !== 'object') return { ...words, ...(ssl !== undefined && { ssl }) }
  const { checkServerIdentity: __, ...rest } = ssl
  return { ...words, ssl: rest }
}

/** The same with its functions again. */
export function revived({ ssl, ...words }: pg.ClientConfig): pg.ClientConfig {
  if (typeof ssl !== 'object') return { ...words, ...(ssl !== undefined && { ssl }), types }
  const anyHost = 'anyHost' in ssl && ssl.anyHost === true
  return { ...words, types, ssl: anyHost ? { ...ssl, checkServerIdentity: () => undefined } : ssl }
}

// Nobody listens in on a machine's own loopback who could not read its memory, and the books write a lot.
function isLoopback(before: string, parameters: URLSearchParams): boolean {
  const host = parameters.get('host') ?? /^[^/]*\/\/(?:[^@/]*@)?(\[[^\]]*\]|[^:/]*)/.exec(before)?.[1] ?? ''
  return host === '' || host === 'localhost' || host === '[::1]' || host === '::1' || /^127\./.test(host)
}

// On a socket there is no TLS, as in libpq.
function isSocket(before: string, parameters: URLSearchParams): boolean {
  const host = parameters.get('host')
  return host?.startsWith('/') ?? /^[^/]*\/\/([^@/]*@)?(\/|%2f)/i.test(before)
}

/** What pg says when it asked for TLS and was told that there is none. */
export const saysNoTls = (error: unknown): boolean =>
  error instanceof Error && error.message.includes('does not support SSL')
