// The database for commands that only ask: never started for them.
import { existsSync } from 'node:fs'
import type { Database } from '../db/connect.ts'
import type { Invocation } from './command.ts'

/** The database, if it runs: asking must not start one, for whoever answers the request holds it open. */
export async function running(gw: Invocation): Promise<Database['db'] | undefined> {
  const config = await gw.config()
  const { embeddedPaths } = await import('../db/embedded.ts')
  if (config['database.url'] === undefined && !existsSync(embeddedPaths(config['data_dir']).pid)) return undefined
  return (await gw.database({ migrate: false })).db
}
