// The embedded Postgres that all test files share: test/before.ts starts it, test/after.ts stops it.
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import path from 'node:path'
import pg from 'pg'
import { openEmbedded } from '../../src/db/embedded.ts'
import '../loading/tmp.mjs'

const here = createHash('sha256')
  .update(import.meta.dirname)
  .digest('hex')
  .slice(0, 8)
const folder = path.join(tmpdir(), `gw-test-${process.getuid?.() ?? 0}-${here}`)

/** Joins it; it comes up if it is not up already. */
export const openServer = () => openEmbedded(folder, { maxConnections: 300 })

/** Brings the server up, for as many files as there will be. */
export async function startForAll(): Promise<void> {
  const embedded = await openServer()
  const admin = new pg.Client({ ...embedded.connection, user: 'postgres' })
  await admin.connect()
  // Nothing in it outlives the run, so nothing need outlive a power cut.
  for (const setting of ['fsync', 'full_page_writes', 'synchronous_commit'])
    await admin.query(`alter system set ${setting} = off`)
  // Databases come and go by the hundred: cleaning up in each, and compiling its queries, is work for nothing.
  for (const setting of ['autovacuum', 'jit']) await admin.query(`alter system set ${setting} = off`)
  await admin.query('select pg_reload_conf()')
  await forgetTheDead(admin)
  await admin.end()
  await embedded.release({ keep: true })
}

/** Drops what files left behind that were killed: they are in memory. */
async function forgetTheDead(admin: pg.Client): Promise<void> {
  const { rows } = await admin.query<{ datname: string }>(
    "select datname from pg_database where datname ~ '^t_[0-9]+_'",
  )
  for (const { datname } of rows) {
    if (!lives(Number(datname.split('_')[1]))) await admin.query(`drop database if exists ${datname} with (force)`)
  }
}

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Stops it, unless another run is under way. */
export async function stopForAll(): Promise<void> {
  await (await openServer()).release()
}
