// The Postgres that gw brings along: one server per data dir, shared by every gw process that needs it.

import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { Late, within } from '../lib/within.ts'
import {
  embeddedPaths,
  excuse,
  type Paths,
  port,
  type Server,
  startServer,
  stopServer,
  wakeServer,
} from './postgres-server.ts'

export { embeddedPaths } from './postgres-server.ts'

// Tenancy: an advisory lock in the database `postgres`, which gw itself never uses.
//
//   a tenant    holds it shared, on a session of its own, for as long as it lives
//   a leaver    gives it back and tries to take it alone: only the last one can, and stops the server
//   a newcomer  tries to share it: when it cannot, the server is being stopped, so it waits and starts over
//
// The server frees the lock of whoever dies, so a kill -9 leaves nothing to clean up.
const tenancy = '26487, 1' // 26487 is 'gw' in ASCII
const creation = '26487, 2'

const patienceMs = 60_000
const socketBytes = 100 // the kernel's limit is 107 on Linux, 103 on macOS

// Connections beyond those of pools: one for each tenant's lock. The last are reserved to the superuser, as whom a new
// tenant connects, so that full pools cannot keep it out.
const tenantConnections = 20
const reservedConnections = 10

export interface Embedded {
  /** Settings for pg: a folder as host means the unix socket in it. */
  connection: { host: string; port: number; user: string; database: string }
  /** How it came up, for logs: found running, started on what was there, or made from nothing. */
  origin: 'adopted' | 'started' | 'created'
  /** How long that took. */
  ms: number
  /**
   * Gives the tenancy back; the last tenant stops Postgres and waits until it is down. Close your pools first.
   * Idempotent, never throws. `keep: true` leaves Postgres running even if nobody else is there. Within `withinMs` (default 60 s)
   * it is over: one that stands still is woken, and one that does not go is told to drop everything and go.
   */
  release(options?: { keep?: boolean; withinMs?: number }): Promise<void>
}

export interface EmbeddedOptions {
  /** Told, a line at a time, when Postgres was lost and when it is back. Default: nobody. */
  log?: (line: string) => void
  /** Sessions that gw can have, all its processes together; who starts the server decides. Default 100. */
  maxConnections?: number
  /** Told when the server was started by us and is on its way up: from here on it needs nothing but time. */
  started?: () => void
  /** A server that we are starting is stopped again, and the opening fails. */
  giveUp?: AbortSignal | undefined
}

/**
 * Joins the Postgres of this data dir; creates and starts it if need be. Should Postgres die later, the tenant brings
 * it back by itself: sessions of the caller are lost, new ones work again after a moment.
 * @throws Error with one line that says what is wrong and what to do about it.
 */
export async function openEmbedded(dataDir: string, options: EmbeddedOptions = {}): Promise<Embedded> {
  const { log = () => {}, maxConnections = 100, started, giveUp } = options
  const begun = performance.now()
  const paths = embeddedPaths(dataDir)
  refuseLongPath(paths)

  const leaving = new AbortController()
  giveUp?.addEventListener('abort', () => leaving.abort(), { once: true })
  const enter = (create: boolean) => becomeTenant(paths, { maxConnections, create, started }, leaving.signal)
  let tenant: Tenant | undefined = await enter(true)
  let healing: Promise<void> | undefined
  let released: Promise<void> | undefined
  const { origin } = tenant

  const watch = ({ session }: Tenant) => {
    session.once('end', () => {
      if (!leaving.signal.aborted) healing = heal()
    })
  }
  const heal = async () => {
    tenant = undefined
    log('embedded Postgres went away; bringing it back')
    for (let pauseMs = 100; !leaving.signal.aborted; pauseMs = Math.min(pauseMs * 2, 5000)) {
      try {
        // Never from nothing: a daemon must not go on with an empty database where its data was.
        tenant = await enter(false)
        log(`embedded Postgres is back (${tenant.origin})`)
        return watch(tenant)
      } catch (error) {
        if (leaving.signal.aborted) return
        log(`embedded Postgres is still away: ${(error as Error).message}`)
        await sleep(pauseMs, undefined, { signal: leaving.signal }).catch(() => {})
      }
    }
  }
  watch(tenant)

  const release = async (keep: boolean, withinMs: number) => {
    leaving.abort()
    const begun = performance.now()
    // It may have just started a server, and then we are its tenant.
    await within(withinMs / 3, Promise.resolve(healing)).catch(() => {})
    if (tenant) await leave(tenant, paths, keep, withinMs - (performance.now() - begun))
  }
  return {
    connection: { host: paths.run, port, user: 'gw', database: 'gw' },
    origin,
    ms: Math.round(performance.now() - begun),
    release: ({ keep = false, withinMs = patienceMs } = {}) => (released ??= release(keep, withinMs)),
  }
}

function refuseLongPath({ socket }: Paths) {
  const bytes = Buffer.byteLength(socket)
  if (bytes <= socketBytes) return
  throw new Error(
    `${socket} is too long for a unix socket (${bytes} bytes, at most ${socketBytes}); ` +
      'choose a shorter data_dir, or set database.url',
  )
}

interface Tenant {
  session: pg.Client
  /** The server's main process. */
  pid: number
  origin: Embedded['origin']
}

async function becomeTenant(
  paths: Paths,
  options: { maxConnections: number; create: boolean; started: (() => void) | undefined },
  givenUp: AbortSignal,
): Promise<Tenant> {
  const maxConnections = options.maxConnections + tenantConnections
  const deadline = performance.now() + patienceMs
  let server: Server | undefined
  let created = false
  // Without a tenant it would never be stopped; who has become one meanwhile brings it back.
  const stop = () => {
    for (const signal of ['SIGINT', 'SIGCONT'] as const) server?.process.kill(signal)
  }
  givenUp.addEventListener('abort', stop)
  try {
    for (let pauseMs = 10; ; pauseMs = Math.min(pauseMs * 1.5, 250)) {
      const answer = await knock(paths)
      if ('session' in answer) {
        const origin = created ? 'created' : answer.pid === server?.process.pid ? 'started' : 'adopted'
        return { ...answer, origin }
      }
      const mine = server && server.process.exitCode === null && server.process.signalCode === null
      // A server of ours is seen off.
      if (givenUp.aborted && !mine) throw new Error('given up')
      if (performance.now() > deadline) {
        throw new Error(`Postgres was not ready after ${patienceMs / 1000} s: ${answer.refusal} (see ${paths.log})`)
      }
      if (answer.down && !mine) {
        if (server) await excuse(server, paths)
        server = await startServer(paths, { ...options, maxConnections, reservedConnections })
        created ||= server.created
        options.started?.()
      }
      await sleep(pauseMs)
    }
  } finally {
    // From here on it is left as every tenant leaves it.
    givenUp.removeEventListener('abort', stop)
  }
}

type Answer = { session: pg.Client; pid: number } | { refusal: string; down: boolean }

/** Tries once to become a tenant of a running server; `down` when nobody listens. */
async function knock({ run, folder }: Paths): Promise<Answer> {
  const session = new pg.Client({
    host: run,
    port,
    user: 'postgres',
    database: 'postgres',
    ssl: false, // else PGSSLMODE from the environment would ask for it
    application_name: 'gw tenant',
    connectionTimeoutMillis: 10_000,
    query_timeout: 30_000,
  })
  session.on('error', () => {}) // 'end' follows and says enough
  try {
    await session.connect()
    const { rows } = await session.query<{ tenant: boolean; pid: number | null; ready: boolean }>(
      `select pg_try_advisory_lock_shared(${tenancy}) as tenant,
              split_part(pg_read_file('postmaster.pid', true), e'\\n', 1)::int as pid,
              exists (select from pg_database where datname = 'gw') as ready`,
    )
    const { tenant, pid, ready } = rows[0]!
    if (tenant && pid !== null) {
      if (!ready) await createDatabase(session)
      return { session, pid }
    }
    await session.end()
    return { refusal: 'another gw is stopping it', down: false }
  } catch (error) {
    session.end().catch(() => {})
    const { code = '', message } = error as NodeJS.ErrnoException
    if (code === 'EACCES' || code === 'EPERM') {
      const cause = { cause: error }
      throw new Error(`${folder} belongs to another user; run gw as that user or as root, or set data_dir`, cause)
    }
    // 57: starting, stopping, terminated. 53: no slot free. 08, and whatever Postgres did not say: the line broke.
    if (error instanceof pg.DatabaseError && !/^(57|53|08)/.test(code)) {
      throw new Error(`Postgres in ${folder} does not let gw in: ${message}`, { cause: error })
    }
    return { refusal: message, down: code === 'ENOENT' || code === 'ECONNREFUSED' }
  }
}

/** gw's role is not a superuser: those reach beyond the database, to files and programs. */
async function createDatabase(session: pg.Client) {
  await session.query(`select pg_advisory_lock(${creation})`)
  const { rows } = await session.query<{ role: boolean; database: boolean }>(
    `select exists (select from pg_roles where rolname = 'gw') as role,
            exists (select from pg_database where datname = 'gw') as database`,
  )
  if (!rows[0]!.role) await session.query('create role gw login createdb')
  if (!rows[0]!.database) await session.query('create database gw owner gw')
  await session.query(`select pg_advisory_unlock(${creation})`)
}

async function leave({ session, pid }: Tenant, paths: Paths, keep: boolean, withinMs: number) {
  const deadline = performance.now() + withinMs
  try {
    if (!keep) {
      const asked = isLast(session)
      let last = await within(withinMs / 4, asked).catch(unanswered)
      if (last === undefined) {
        await wakeServer(pid, paths)
        last = await within(withinMs / 4, asked).catch(unanswered)
      }
      // One that answers nobody is of no use to other tenants either: they bring it back.
      if (last !== false) await stopServer(pid, paths, deadline - performance.now())
    }
  } catch {
    // The server went away under us: there is nothing left to stop.
  }
  await within(Math.max(100, deadline - performance.now()), session.end()).catch(() => {})
}

async function isLast(session: pg.Client): Promise<boolean> {
  // Unlock before trying to lock alone: when two tenants leave at once, the second finds the lock free or the server stopping.
  await session.query(`select pg_advisory_unlock_shared(${tenancy})`)
  const { rows } = await session.query<{ last: boolean }>(`select pg_try_advisory_lock(${tenancy}) as last`)
  return rows[0]!.last
}

function unanswered(error: unknown): undefined {
  if (!(error instanceof Late)) throw error
}
