// One daemon per data dir: a lock that the kernel gives back however its holder dies.
import { chmodSync, mkdirSync } from 'node:fs'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Refusal } from '../lib/refusal.ts'

/**
 * Takes `<data_dir>/lock`. Node has no flock(2); an exclusive SQLite transaction is the same kernel lock (fcntl),
 * so there is no stale pid file to guess about.
 * @returns gives it back
 * @throws Refusal `conflict` when another daemon holds it, `unreachable` when the folder cannot be used
 */
export function lockDataDir(dataDir: string): () => void {
  const file = path.join(dataDir, 'lock')
  try {
    // Traversable: as root the embedded Postgres runs as another user and lives below.
    if (mkdirSync(dataDir, { recursive: true, mode: 0o755 })) chmodSync(dataDir, 0o755)
    const lock = new DatabaseSync(file)
    lock.exec('pragma locking_mode = exclusive; pragma busy_timeout = 0')
    lock.exec('begin exclusive')
    return () => lock.close()
  } catch (error) {
    const { message } = error as Error
    if (/locked|busy/.test(message))
      throw new Refusal(
        'conflict',
        `data_dir ${dataDir} is in use by another gw serve; stop that one (gw status --data-dir ${dataDir}), or give this one its own --data-dir`,
        { cause: error },
      )
    throw new Refusal(
      'unreachable',
      `data_dir ${dataDir} cannot be used: ${message}; give a folder this user may write with --data-dir`,
      { cause: error },
    )
  }
}
