// The data dir: made for nobody else's eyes, and, as root, only where nobody else can change what lies on the way.

import { constants } from 'node:fs'
import { lstat, mkdir, open, realpath, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { Refusal } from '../lib/refusal.ts'
import { why } from '../lib/why.ts'
import { chooseUser, closedPart, type RunAs } from './postgres-binaries.ts'

const isRoot = () => process.getuid?.() === 0

/**
 * Makes the folder (0700), unless it is there. As root the user that the embedded Postgres runs as gets to pass through it, by its
 * group (0710); folders above keep their mode, but those that are made here.
 * @throws Refusal `unreachable` where it cannot be made, or, as root, where another user could put something else in its place
 */
export async function makeDataDir(dataDir: string): Promise<void> {
  const folder = resolve(dataDir)
  if (isRoot()) await refuseForeign(folder)
  const firstMade = await mkdir(folder, { recursive: true, mode: 0o700 }).catch((cause: NodeJS.ErrnoException) => {
    throw new Refusal(
      'unreachable',
      `data_dir ${folder} cannot be made: ${why(cause)}; give a folder this user may write with --data-dir`,
      { cause },
    )
  })
  if (!isRoot()) return
  // Without such a user there is no embedded Postgres either, which will say so.
  const runAs: RunAs = await chooseUser(join(folder, 'postgres/data')).catch(() => ({}))
  if (!('uid' in runAs)) return
  for (let made = dirname(folder); firstMade && made.startsWith(firstMade); made = dirname(made))
    await hand(made, { uid: 0, gid: 0 }, 0o711)
  if (firstMade || (await closedPart(folder, runAs)) === folder) await hand(folder, { uid: 0, gid: runAs.gid }, 0o710)
}

/** Gives a folder to an owner, with a mode, and never what a link leads to. */
export async function hand(folder: string, owner: RunAs, mode: number): Promise<void> {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants
  await using handle = await open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  if ('uid' in owner) await handle.chown(owner.uid, owner.gid)
  await handle.chmod(mode)
}

/**
 * What root makes, reads and gives away below a folder of another user, that user could have led elsewhere meanwhile.
 * @throws Refusal `unreachable` when another user owns the folder or one above it, or may write to it
 */
export async function refuseForeign(folder: string): Promise<void> {
  let there = folder
  while ((await lstat(there).catch(() => undefined)) === undefined && there !== dirname(there)) there = dirname(there)
  for (let part = await realpath(there); part !== dirname(part); part = dirname(part)) {
    const { uid, gid, mode } = await stat(part)
    const sticky = (mode & 0o1000) !== 0
    const open = (mode & 0o002) !== 0 || ((mode & 0o020) !== 0 && gid !== 0)
    if (uid === 0 && (sticky || !open)) continue
    throw new Refusal(
      'unreachable',
      uid === 0
        ? `data_dir: others than root may write to ${part}, so gw does not use it as root; chmod go-w ${part}, or set another data_dir`
        : `data_dir: ${part} belongs to uid ${uid}, so gw does not use it as root; run gw as that user, chown it to root, or set another data_dir`,
    )
  }
}
