// The pool when Postgres goes away under it.
import { sql } from 'kysely'
import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { freshDatabase } from '../helpers/database.ts'

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
