// Brings a database's schema to what this gw needs: forward-only .sql files, each once, in order.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import pg from 'pg'
import { Refusal } from '../lib/refusal.ts'

export interface Migration {
  name: string
  sql: string
  sha256: string
}

/** What `gw db status` shows of one migration. */
export interface MigrationState {
  name: string
  applied_at: string | null
}

// kysely's Migrator was considered: it takes no checksums, and a changed file must stop the start (domain.md §13.2).
const LOCK = 0x6777_0001

const folder = new URL('./migrations/', import.meta.url)

/** The migrations that this build carries, in order. */
export function migrations(): Migration[] {
  return readdirSync(folder)
    .filter(file => file.endsWith('.sql'))
    .sort()
    .map(name => {
      const sql = readFileSync(new URL(name, folder), 'utf8')
      return { name, sql, sha256: createHash('sha256').update(sql).digest('hex') }
    })
}

/**
 * Applies what is missing, each file in a transaction of its own, which one process at a time has.
 * @returns the names applied, oldest first
 * @throws Refusal when an applied file was changed since, or when the database is of a newer gw
 */
export async function migrate(
  connection: pg.ClientConfig,
  known: readonly Migration[] = migrations(),
): Promise<string[]> {
  return withClient(connection, async client => {
    if (await isCurrent(client, known)) return []
    const done: string[] = []
    // The lock is the transaction's: one of the session would stay behind with a pooler's connection (authentik#23876).
    const alone = async (work: () => Promise<void>) => {
      await client.query('begin')
      try {
        await client.query('select pg_advisory_xact_lock($1)', [LOCK])
        await work()
        await client.query('commit')
      } catch (error) {
        // A connection that was lost has rolled back by itself.
        await client.query('rollback').catch(() => {})
        throw error
      }
    }
    await alone(async () => {
      await client.query(
        'create table if not exists schema_migrations (name text primary key, sha256 text not null, applied_at timestamptz not null default now())',
      )
    })
    for (const migration of known)
      await alone(async () => {
        if (check(await appliedRows(client), known).has(migration.name)) return
        try {
          await client.query(migration.sql)
          await client.query('insert into schema_migrations (name, sha256) values ($1, $2)', [
            migration.name,
            migration.sha256,
          ])
        } catch (error) {
          throw new Refusal(
            'failure',
            `migration ${migration.name} failed: ${(error as Error).message}; the database is as it was before it`,
            { cause: error },
          )
        }
        done.push(migration.name)
      })
    return done
  })
}

/** The version of a server (180004 is 18.4), and whether its database has all migrations, in one question: each start asks it. */
export async function look(pool: pg.Pool, withinMs: number): Promise<{ version: number; current(): boolean }> {
  const version = `current_setting('server_version_num')::int as version`
  try {
    const { rows } = await pool.query<{ version: number } & AppliedRow>({
      text: `select ${version}, name, sha256, applied_at from (values (1)) as one left join schema_migrations on true`,
      // pg's types do not know it.
      ...{ query_timeout: withinMs },
    })
    const applied = rows.filter(row => row.name !== null)
    const known = migrations()
    return { version: rows[0]!.version, current: () => check(applied, known).size === known.length }
  } catch (error) {
    if ((error as { code?: unknown }).code !== '42P01') throw error // no such table: nothing was migrated yet
    const { rows } = await pool.query<{ version: number }>(`select ${version}`)
    return { version: rows[0]!.version, current: () => false }
  }
}

/** Every migration, applied or pending; changes nothing. */
export async function migrationStatus(connection: pg.ClientConfig): Promise<MigrationState[]> {
  return withClient(connection, async client => {
    const rows = (await hasTable(client)) ? await appliedRows(client) : []
    const at = new Map(rows.map(row => [row.name, row.applied_at.toISOString()]))
    const names = new Set([...rows.map(row => row.name), ...migrations().map(m => m.name)])
    return [...names].sort().map(name => ({ name, applied_at: at.get(name) ?? null }))
  })
}

interface AppliedRow {
  name: string
  sha256: string
  applied_at: Date
}

async function isCurrent(client: pg.Client, known: readonly Migration[]): Promise<boolean> {
  if (!(await hasTable(client))) return false
  return check(await appliedRows(client), known).size === known.length
}

function check(rows: AppliedRow[], known: readonly Migration[]): Set<string> {
  for (const row of rows) {
    const migration = known.find(m => m.name === row.name)
    if (migration === undefined)
      throw new Refusal(
        'failure',
        `the database has migration ${row.name}, which this gw does not know: it was used by a newer gw; upgrade this one`,
      )
    if (migration.sha256 !== row.sha256)
      throw new Refusal(
        'failure',
        `migration ${row.name} differs from the one applied at ${row.applied_at.toISOString()}; applied migrations never change, reinstall gw`,
      )
  }
  return new Set(rows.map(row => row.name))
}

async function hasTable(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ there: boolean }>(
    `select to_regclass('schema_migrations') is not null as there`,
  )
  return rows[0]!.there
}

async function appliedRows(client: pg.Client): Promise<AppliedRow[]> {
  return (await client.query<AppliedRow>('select name, sha256, applied_at from schema_migrations order by name')).rows
}

async function withClient<T>(connection: pg.ClientConfig, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client(connection)
  // A connection lost between two queries fails the next one; without a listener it would end the process.
  client.on('error', () => {})
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
