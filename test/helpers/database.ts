// A real Postgres for tests: one embedded server for all test files, a fresh copy of a migrated template for each.
import { createHash, randomBytes } from 'node:crypto'
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import root, { type Test } from 'tap'
import { makeAhead } from '../../src/core/retention/partitions.ts'
import type { Embedded } from '../../src/db/embedded.ts'
import { migrate, migrations } from '../../src/db/migrate.ts'
import type { Tables } from '../../src/db/schema.ts'
import { openServer } from './postgres.ts'

const hash = createHash('sha256')
for (const { sha256 } of migrations()) hash.update(sha256)
const day = (at: number) => new Date(at).toISOString().slice(0, 10).replaceAll('-', '')
const DAY_MS = 86_400_000
// Of a day, since it has the day's partitions: each daemon would make them, two dozen tables, in each database.
const template = `template_${hash.digest('hex').slice(0, 12)}_${day(Date.now())}`
const LOCK = 0x6777_0100

interface Tenancy {
  host: string
  /** as the superuser: gw's own role may not drop a database in which an autovacuum is at work */
  admin: pg.Client
}

// A tenant for as long as the file runs: or each test would find the server stopped by the one before.
let tenancy: Promise<Tenancy> | undefined
async function enter(): Promise<Tenancy> {
  const postgres = await openServer()
  const admin = new pg.Client({ ...postgres.connection, user: 'postgres' })
  await admin.connect()
  root.teardown(async () => {
    await admin.end()
    // Under tap the next file wants it too; alone, nobody else would stop it.
    await postgres.release({ keep: process.env['TAP'] === '1' })
  })
  await admin.query('select pg_advisory_lock($1)', [LOCK])
  const { rowCount } = await admin.query('select 1 from pg_database where datname = $1', [template])
  if (rowCount === 0) await makeTemplate(postgres, admin)
  await admin.query('select pg_advisory_unlock($1)', [LOCK])
  return { host: postgres.connection.host, admin }
}

async function makeTemplate({ connection }: Embedded, admin: pg.Client): Promise<void> {
  const old = await admin.query<{ datname: string }>(
    "select datname from pg_database where starts_with(datname, 'template_') and right(datname, 8) < $1",
    [day(Date.now() - DAY_MS)],
  )
  for (const { datname } of old.rows) await admin.query(`drop database if exists ${datname} with (force)`)
  const making = `making_${template}`
  await admin.query(`drop database if exists ${making} with (force)`)
  await admin.query(`create database ${making} owner gw`)
  await migrate({ ...connection, database: making })
  const db = new Kysely<Tables>({
    dialect: new PostgresDialect({ pool: new pg.Pool({ ...connection, database: making }) }),
  })
  await makeAhead(db, Date.now())
  await db.destroy()
  // The first to connect writes down what the catalogue says; copies have that, and their connections are up at once.
  const last = new pg.Client({ ...connection, database: making })
  await last.connect()
  await last.end()
  await admin.query(`alter database ${making} rename to ${template}`)
}

/** A migrated, empty database that is gone when the test ends; as a URL for `database.url`. */
export async function freshDatabase(t: Test): Promise<string> {
  const { host, admin } = await (tenancy ??= enter())
  const name = `t_${process.pid}_${randomBytes(4).toString('hex')}`
  // Its files are copied: through the log it would be written twice.
  await admin.query(`create database ${name} template ${template} strategy file_copy owner gw`)
  t.teardown(() => admin.query(`drop database ${name} with (force)`))
  return `postgresql://gw@/${name}?host=${host}`
}

/** A copy of a database that freshDatabase gave, as it is now. */
export interface Backup {
  /** Puts it in the place of the database, under whoever is connected. */
  restore(): Promise<void>
}

/** Takes a backup, for which all connections are cut: whoever has one connects again. */
export async function backupOf(t: Test, url: string): Promise<Backup> {
  const { admin } = await (tenancy ??= enter())
  const name = /\/(t_\w+)\?/.exec(url)![1]!
  const alone = async (work: () => Promise<unknown>) => {
    await admin.query(`alter database ${name} allow_connections false`)
    await admin.query('select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = $1', [name])
    await work()
  }
  await alone(() => admin.query(`create database ${name}_backup template ${name} strategy file_copy owner gw`))
  await admin.query(`alter database ${name} allow_connections true`)
  t.teardown(() => admin.query(`drop database if exists ${name}_backup with (force)`))
  return {
    async restore() {
      await alone(() => admin.query(`drop database ${name}`))
      await admin.query(`alter database ${name}_backup rename to ${name}`)
    },
  }
}
