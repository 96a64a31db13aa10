// A real Postgres for tests: one embedded server for all test files, a fresh copy of a migrated template for each.
import { createHash, randomBytes } from 'node:crypto'
import pg from 'pg'
import root, { type Test } from 'tap'
import type { Embedded } from '../../src/db/embedded.ts'
import { migrate, migrations } from '../../src/db/migrate.ts'
import { openServer } from './postgres.ts'

const template = `template_${createHash('sha256')
  .update(
    migrations()
      .map(m => m.sha256)
      .join(),
  )
  .digest('hex')
  .slice(0, 12)}`
const LOCK = 0x6777_0100

// A tenant for as long as the file runs: or each test would find the server stopped by the one before.
let server: Promise<Embedded> | undefined
function tenancy(): Promise<Embedded> {
  server ??= openServer().then(embedded => {
    // Under tap the next file wants it too; alone, nobody else would stop it.
    root.teardown(() => embedded.release({ keep: process.env['TAP'] === '1' }))
    return embedded
  })
  return server
}

/** A migrated, empty database that is gone when the test ends; as a URL for `database.url`. */
export async function freshDatabase(t: Test): Promise<string> {
  const postgres = await tenancy()
  const name = `t_${process.pid}_${randomBytes(4).toString('hex')}`
  // As the superuser: gw's own role may not drop a database in which an autovacuum is at work.
  const admin = new pg.Client({ ...postgres.connection, user: 'postgres' })
  await admin.connect()
  await admin.query('select pg_advisory_lock($1)', [LOCK])
  const there = await admin.query('select 1 from pg_database where datname = $1', [template])
  if (there.rowCount === 0) {
    await admin.query(`create database making_${template} owner gw`)
    await migrate({ ...postgres.connection, database: `making_${template}` })
    await admin.query(`alter database making_${template} rename to ${template}`)
  }
  // Its files are copied: through the log it would be written twice.
  await admin.query(`create database ${name} template ${template} strategy file_copy owner gw`)
  await admin.query('select pg_advisory_unlock($1)', [LOCK])
  t.teardown(async () => {
    await admin.query(`drop database ${name} with (force)`)
    await admin.end()
  })
  return `postgresql://gw@/${name}?host=${postgres.connection.host}`
}
