// One daemon per data dir: a lock that the kernel gives back however its holder dies.
import { chmodSync } from 'node:fs'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Refusal } from '../lib/refusal.ts'

/**
 * Takes `<data_dir>/lock`; the folder is there. Node has no flock(2); an exclusive SQLite transaction is the same kernel lock (fcntl),
 * so there is no stale pid file to guess about.
 * @returns gives it back
 * @throws Refusal `conflict` when another daemon holds it, `unreachable` when the folder cannot be used
 */
export function lockDataDir(dataDir: string): () => void {
  const file = path.join(dataDir, 'lock')
  try {
    const lock = open(file)
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

/** SQLite makes its file readable for all. Not opened by us to change that: closing it would give back a lock that we have. */
function open(file: string): DatabaseSync {
  const before = process.umask(0o077)
  try {
    const lock = new DatabaseSync(file)
    chmodSync(file, 0o600)
    return lock
  } finally {
    process.umask(before)
  }
}
