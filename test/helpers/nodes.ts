// Two real nodes of one installation: one Postgres, one Redis, one key file, and the scripted provider in this process.
import path from 'node:path'
import type { Test } from 'tap'
import { openSecret } from '../../src/lib/secret.ts'
import { startMock } from '../../src/mock/server.ts'
import { dataDir, type Served, serve } from './daemon.ts'
import { freshDatabase } from './database.ts'
import { redisServer } from './redis.ts'

/** `env` and `dir` are those of node `one`, for whoever starts it again. */
export async function startTwo(
  t: Test,
  options: { record?: boolean; leaseTtlMs?: number; env?: Record<string, string> } = {},
) {
  const mock = await startMock(options)
  t.teardown(() => mock.close())
  const redis = await redisServer(t)
  const url = await freshDatabase(t)
  const [dir, other] = [dataDir(t), dataDir(t)]
  const env = {
    GW_DATABASE_URL: url,
    GW_REDIS_URL: redis.url,
    GW_SECRET_KEY_FILE: path.join(dir, 'secret.key'),
    ...options.env,
  }
  openSecret(env.GW_SECRET_KEY_FILE)
  const [one, two] = (await Promise.all([dir, other].map(dir => serve(t, dir, env, options)))) as [Served, Served]
  return { mock, redis, url, dir, env, one, two }
}
