// One daemon per data dir: a lock that the kernel gives back however its holder dies.
import { chmodSync } from 'node:fs'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Refusal } from '../lib/refusal.ts'
import { why } from '../lib/why.ts'

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
    if (primary(error) === SQLITE_BUSY)
      throw new Refusal(
        'conflict',
        `data_dir ${dataDir} is in use by another gw serve; stop that one (gw status --data-dir ${dataDir}), or give this one its own --data-dir`,
        { cause: error },
      )
    throw new Refusal(
      'unreachable',
      `data_dir ${dataDir} cannot be used: ${reason(error, file)}; give a folder this user may write with --data-dir`,
      { cause: error },
    )
  }
}

// https://sqlite.org/rescode.html; the low byte of what node:sqlite gives as errcode.
const SQLITE_BUSY = 5
const reasons: Readonly<Record<number, string>> = {
  3: 'this user may not use the file',
  8: 'this user may not write the file',
  10: 'the disk does not read or write it',
  11: 'it is damaged; remove it',
  13: 'its disk is full',
  14: 'the file cannot be opened',
  26: 'it is no lock of gw; remove it',
}

const primary = (error: unknown): number => ((error as { errcode?: number }).errcode ?? 0) & 0xff

function reason(error: unknown, file: string): string {
  const said = reasons[primary(error)] ?? why(error)
  return `its lock ${file}: ${said}`
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
