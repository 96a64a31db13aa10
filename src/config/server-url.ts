// URLs of Postgres and Redis: what may stand in them, so that a word that is mistyped is told and never ignored.
import { didYouMean } from '../lib/suggest.ts'
import { type Kind, quote, refuse, url } from './kinds.ts'

/** libpq's modes (https://www.postgresql.org/docs/current/libpq-ssl.html, table 32.1). */
export const sslModes = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const
export type SslMode = (typeof sslModes)[number]

// Those of libpq's that gw's client understands, with its names.
const parameters = [
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'host',
  'port',
  'user',
  'password',
  'application_name',
  'options',
  'client_encoding',
]

/** `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=/etc/gw/ca.pem` */
export function postgresUrl(): Kind<string> {
  const kind = url(['postgres', 'postgresql'], 'postgres://gw:password@127.0.0.1:5432/gw')
  return {
    ...kind,
    parse(text, folder) {
      const given = kind.parse(text, folder)
      const query = queryOf(given)
      known(query, parameters)
      const mode = query.get('sslmode')
      if (mode !== null && !(sslModes as readonly string[]).includes(mode))
        refuse(`sslmode must be one of ${sslModes.join(' ')}, got ${quote(mode)}${didYouMean(mode, sslModes)}`)
      if (mode === 'verify-ca' && !query.get('sslrootcert'))
        refuse(
          'sslmode=verify-ca needs sslrootcert=FILE, the certificate of the authority to trust; for one that everybody trusts write sslmode=verify-full',
        )
      if (query.has('sslcert') !== query.has('sslkey')) refuse('sslcert and sslkey go together; give both or neither')
      return given
    },
  }
}

/** `redis://user:password@host:port/db`, `rediss://…`, `unix:///path?db=n`, or a cluster's servers with commas. */
export function redisUrl(): Kind<string> {
  const kind = url(['redis', 'rediss', 'unix'], 'redis://127.0.0.1:6379/0')
  return {
    ...kind,
    parse(text, folder) {
      const given = kind.parse(text, folder)
      for (const one of given.split(',')) {
        const query = queryOf(one)
        // On other schemes the number of the database is the path.
        if (given.startsWith('unix:')) known(query, ['db'])
        else if (query.has('db'))
          refuse('db is not a parameter here; write the number as the path: redis://host:6379/2')
        else known(query, [], 'TLS is the scheme rediss, a private authority the setting redis.ca_file')
      }
      return given
    },
  }
}

const queryOf = (text: string): URLSearchParams => new URLSearchParams(/\?([^#]*)/.exec(text)?.[1] ?? '')

function known(query: URLSearchParams, names: readonly string[], more = ''): void {
  for (const name of query.keys()) {
    if (names.includes(name)) continue
    const allowed = names.length === 0 ? 'it takes none' : `it takes ${names.join(' ')}`
    refuse(`unknown parameter ${quote(name)}: ${allowed}${didYouMean(name, names)}${more && `; ${more}`}`)
  }
}
