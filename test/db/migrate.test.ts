// Migrations against a real Postgres: each once, in order, or not at all.
import { createHash } from 'node:crypto'
import pg from 'pg'
import t, { type Test } from 'tap'
import { type Migration, migrate, migrationStatus, migrations } from '../../src/db/migrate.ts'
import { freshDatabase } from '../helpers/database.ts'

const whole = t
let connectionString: string | undefined

const migration = (name: string, sql: string): Migration => ({
  name,
  sql,
  sha256: createHash('sha256').update(sql).digest('hex'),
})
const one = migration('001_one.sql', 'create table one (n integer); insert into one values (1)')
const two = migration('002_two.sql', 'create table two (n integer); insert into one values (2)')
const three = migration('003_three.sql', 'create table three (n integer); insert into one values (3)')

t.test('an empty database gets all of them, in order, and a current one nothing', async t => {
  const db = await emptySchema(t)
  t.same(await migrate(db.connection, [one]), ['001_one.sql'])
  t.same(await migrate(db.connection, [one, two, three]), ['002_two.sql', '003_three.sql'])
  t.same(await migrate(db.connection, [one, two, three]), [])
  t.same(await db.rows('select n from one'), [{ n: 1 }, { n: 2 }, { n: 3 }])
  t.same(
    await db.rows('select name, sha256 from schema_migrations order by name'),
    [one, two, three].map(({ name, sha256 }) => ({ name, sha256 })),
  )
})

t.test('several that start at once: one works, the others wait and find it done', async t => {
  const db = await emptySchema(t)
  const all = migrations()
  // Somebody else is at it, so that all three stand and wait.
  await db.rows('select pg_advisory_lock($1)', [LOCK])
  const running = [1, 2, 3].map(() => migrate(db.connection))
  while ((await db.rows(WAITING)).length < 3) await new Promise(resolve => setImmediate(resolve))
  t.same(await db.rows(`select to_regclass('users') as users`), [{ users: null }], 'none has begun')
  await db.rows('select pg_advisory_unlock($1)', [LOCK])

  const done = await Promise.all(running)
  t.same(
    done.flat().sort(),
    all.map(m => m.name),
    'each applied by one of them',
  )
  t.same(
    await db.rows('select name from schema_migrations order by name'),
    all.map(({ name }) => ({ name })),
  )
  t.same(await db.rows(WAITING), [], 'nobody holds the lock')
})

t.test('an applied migration that was changed since is refused, and nothing else is applied', async t => {
  const db = await emptySchema(t)
  await migrate(db.connection, [one])
  const changed = { ...one, sha256: two.sha256 }
  const refusal = {
    name: 'Refusal',
    message: /^migration 001_one\.sql differs from the one applied at \d{4}-.*Z; .*reinstall gw/,
  }
  await t.rejects(migrate(db.connection, [changed, two]), refusal)
  await t.rejects(migrate(db.connection, [changed]), refusal, 'also when none is missing')
  t.same(await db.rows(`select to_regclass('two') as two`), [{ two: null }])
})

t.test('the database of a newer gw is refused, and left as it is', async t => {
  const db = await emptySchema(t)
  await migrate(db.connection, [one, three])
  const refusal = { name: 'Refusal', message: /003_three\.sql, which this gw does not know.*upgrade this one/ }
  await t.rejects(migrate(db.connection, [one]), refusal)
  await t.rejects(migrate(db.connection, [one, two]), refusal)
  t.same(await db.rows(`select to_regclass('two') as two`), [{ two: null }])
})

t.test('one that fails is rolled back whole; what came before it stays, and it can be tried again', async t => {
  const db = await emptySchema(t)
  const bad = migration('002_two.sql', 'create table two (n integer); insert into one values (2); select 1 / 0')
  await t.rejects(migrate(db.connection, [one, bad, three]), {
    name: 'Refusal',
    message: /^migration 002_two\.sql failed: division by zero; the database is as it was before it/,
  })
  t.same(await db.rows(`select to_regclass('two') as two, to_regclass('three') as three`), [{ two: null, three: null }])
  t.same(await db.rows('select n from one'), [{ n: 1 }])
  t.same(await db.rows('select name from schema_migrations'), [{ name: '001_one.sql' }])
  const unrecorded = migration(
    '002_two.sql',
    `create table two (n integer); alter table schema_migrations add check (name < '002')`,
  )
  await t.rejects(migrate(db.connection, [one, unrecorded]), { name: 'Refusal', message: /violates check constraint/ })
  t.same(await db.rows(`select to_regclass('two') as two`), [{ two: null }], 'also when only its record fails')
  t.same(await migrate(db.connection, [one, two, three]), ['002_two.sql', '003_three.sql'])
})

t.test('a connection that is lost under a migration is a refusal like any other, and frees the lock', async t => {
  const db = await emptySchema(t)
  const lost = migration('002_two.sql', 'create table two (n integer); select pg_terminate_backend(pg_backend_pid())')
  await t.rejects(migrate(db.connection, [one, lost]), {
    name: 'Refusal',
    message: /^migration 002_two\.sql failed: .*the database is as it was before it/,
  })
  t.same(await migrate(db.connection, [one, two]), ['002_two.sql'])
})

t.test('the status tells what is applied and what is pending, and changes nothing', async t => {
  const db = await emptySchema(t)
  const names = migrations().map(m => m.name)
  t.same(
    await migrationStatus(db.connection),
    names.map(name => ({ name, applied_at: null })),
  )
  t.same(await db.rows(`select to_regclass('schema_migrations') as it`), [{ it: null }])
  await migrate(db.connection)
  await db.rows(`insert into schema_migrations (name, sha256) values ('999_newer.sql', '')`)
  const status = await migrationStatus(db.connection)
  t.same(
    status.map(m => m.name),
    [...names, '999_newer.sql'],
  )
  for (const { applied_at } of status) t.match(applied_at, /^\d{4}-\d\d-\d\dT.*Z$/)
})

const LOCK = 0x6777_0001
const WAITING = `select pid from pg_locks where locktype = 'advisory' and objid = ${LOCK} and not granted
  and database = (select oid from pg_database where datname = current_database())`

/** A database with nothing in it; the same one for each test in turn. */
async function emptySchema(t: Test) {
  connectionString ??= await freshDatabase(whole)
  const client = new pg.Client({ connectionString })
  await client.connect()
  t.teardown(() => client.end())
  await client.query('drop schema public cascade')
  await client.query('create schema public')
  return {
    connection: { connectionString },
    rows: async (sql: string, values: unknown[] = []) =>
      (await client.query<Record<string, unknown>>(sql, values)).rows,
  }
}
