// The pool when Postgres goes away under it.
import { sql } from 'kysely'
import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { openDatabase, ping } from '../../src/db/connect.ts'
import { freshDatabase } from '../helpers/database.ts'
import { outageOf } from '../helpers/outage.ts'

t.test('a connection lost between two queries fails the next one, and nothing else', async t => {
  const { config } = loadConfig({ env: { GW_DATABASE_URL: await freshDatabase(t) }, flags: { data_dir: '/nowhere' } })
  const database = await openDatabase(config, { migrate: false })
  t.teardown(() => database.close())
  const { db } = database
  const pidOf = async (query: typeof db) =>
    (await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(query)).rows[0]!.pid
  await t.rejects(
    db.transaction().execute(async tx => {
      const pid = await pidOf(tx as typeof db)
      // Returns when that backend is gone, and has said so to its client.
      await sql`select pg_terminate_backend(${pid}, 5000)`.execute(db)
      await pidOf(tx as typeof db)
    }),
  )
  t.type(await pidOf(db), 'number', 'the pool goes on with another')
})

t.test('whoever closes does not wait for a server that stands still, and who asks is told of it', async t => {
  const postgres = await outageOf(t, await freshDatabase(t))
  const { config } = loadConfig({ env: { GW_DATABASE_URL: postgres.url }, flags: { data_dir: '/nowhere' } })
  const database = await openDatabase(config, { migrate: false })
  await sql`select 1`.execute(database.db)
  await ping(database.connection, 60_000)
  postgres.silence()
  await t.rejects(ping(database.connection, 50), /no answer within 50 ms|timeout expired/)
  // Without a deadline of its own this would hang for as long as the server does.
  await database.close()
  postgres.speak()
})
