// Opens the database that the configuration names: the operator's Postgres, or the embedded one.

import { Kysely, PostgresDialect, type Transaction } from 'kysely'
import pg from 'pg'
import type { Config } from '../config/schema.ts'
import { Refusal } from '../lib/refusal.ts'
import { whyDatabase, whyUnreached } from '../lib/why.ts'
import { within } from '../lib/within.ts'
import { type Embedded, enterEmbedded } from './enter.ts'
import { look, migrate } from './migrate.ts'
import type { Tables } from './schema.ts'
import { revived, saysNoTls, serverOf } from './server.ts'

/** A pool or a transaction: queries take either. */
export type Db = Kysely<Tables> | Transaction<Tables>

export interface Database {
  db: Kysely<Tables>
  /** for what needs a connection of its own: LISTEN, advisory locks */
  connection: pg.ClientConfig
  embedded: boolean
  /** one word or sentence for the log: how it came up */
  origin: string
  migrated: string[]
  /** connections by what they do, and how many queries wait for one */
  pool(): { active: number; idle: number; waiting: number }
  /** Within so many ms; default: as long as an embedded server takes to stop, a minute at most. */
  close(withinMs?: number): Promise<void>
}

export interface OpenOptions {
  /** false: the schema is left as it is */
  migrate?: boolean
  log?: (line: string) => void
  /** the embedded Postgres where the caller has begun to enter it already */
  embedded?: Promise<Embedded> | undefined
}

const OLDEST = 15
const LEAVE_MS = 2_000
/** The longest wait for a connection, and for the first answer. */
const PATIENCE_MS = 10_000

/**
 * Connects, and brings the schema up to date.
 * @throws Refusal `unreachable` when there is no server to talk to, with the reason and what to do
 */
export async function openDatabase(config: Config, options: OpenOptions = {}): Promise<Database> {
  const url = config['database.url']
  const tenancy = url === undefined ? await (options.embedded ?? enterEmbedded(config, options.log)) : undefined
  const server = url === undefined ? undefined : serverOf(url)
  const open = (connection: pg.ClientConfig) => openPool(config, connection, tenancy, options)
  const given = server?.connection ?? revived(tenancy!.connection)
  try {
    return await open(given)
  } catch (error) {
    if (!server?.plain || !saysNoTls((error as Error).cause)) throw error
    return open(server.plain)
  }
}

async function openPool(
  config: Config,
  given: pg.ClientConfig,
  tenancy: Embedded | undefined,
  options: OpenOptions,
): Promise<Database> {
  const connection: pg.ClientConfig = { ...given, application_name: 'gw', connectionTimeoutMillis: PATIENCE_MS }
  const pool = new pg.Pool({
    ...connection,
    max: config['database.pool_size'],
    allowExitOnIdle: true,
    // A server that is gone without a word must not leave a query waiting for ever.
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  })
  let closing = false
  pool.on('error', error => closing || options.log?.(`database connection lost: ${error.message}`))
  // pg.Pool listens to errors of idle connections only. A connection in use may report its server's end after its last
  // answer, when no query is left to reject: an 'error' event without a listener would end the process. The next query
  // on that connection fails, and the pool drops it.
  pool.on('connect', client => client.on('error', () => {}))
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
  const end = async () => {
    await db.destroy()
    // kysely ends only a pool it has used.
    if (!pool.ended) await pool.end()
  }
  const close = async (withinMs?: number) => {
    closing = true
    const begun = performance.now()
    // A server that stands still takes no leave: whoever is closing does not wait for it.
    await within(Math.min(LEAVE_MS, (withinMs ?? Infinity) / 5), end()).catch(() => {})
    await tenancy?.release(withinMs === undefined ? {} : { withinMs: withinMs - (performance.now() - begun) })
  }
  const counts = () => ({
    active: pool.totalCount - pool.idleCount,
    idle: pool.idleCount,
    waiting: pool.waitingCount,
  })
  try {
    const { version, current } = await look(pool, PATIENCE_MS)
    const major = Math.floor(version / 10_000)
    if (major < OLDEST)
      throw new Refusal('unreachable', `database.url: Postgres ${major} is too old, gw needs ${OLDEST} or newer`)
    const migrated = options.migrate === false || current() ? [] : await migrate(connection)
    const origin = tenancy?.origin ?? 'external'
    return { db, connection, embedded: tenancy !== undefined, origin, migrated, pool: counts, close }
  } catch (error) {
    await close()
    if (error instanceof Refusal) throw error
    throw new Refusal(
      'unreachable',
      `database.url: ${reason(error)}; check that Postgres runs there and that user, password and database exist`,
      { cause: error },
    )
  }
}

// What pg itself says, without a code.
const said: readonly (readonly [text: RegExp, words: string])[] = [
  [/does not support SSL/, 'the server has no TLS, and sslmode asks for it'],
  [/timeout/i, `it does not answer within ${PATIENCE_MS / 1000} s`],
  [/terminated|not queryable|closed/i, 'it ended the connection'],
  [/SASL|password must be a string/, 'it asks for a password, and database.url has none'],
]

function reason(error: unknown): string {
  if (error instanceof pg.DatabaseError) return whyDatabase(error)
  const { code, message = '' } = Object(error) as NodeJS.ErrnoException
  const own = code === undefined ? said.find(([text]) => text.test(message))?.[1] : undefined
  return own ?? whyUnreached(error)
}

/** Whether the server answers on a connection that is made for it; a refusal is an answer. @throws when none comes within `ms` */
export async function ping(connection: pg.ClientConfig, ms: number): Promise<void> {
  const client = new pg.Client({ ...connection, application_name: 'gw ping', connectionTimeoutMillis: ms })
  client.on('error', () => {})
  try {
    await within(
      ms,
      client.connect().then(() => client.query('select 1')),
    )
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error
  } finally {
    // Not waited for: it may be what does not answer.
    void client.end().catch(() => {})
  }
}
