// Programs of Debian's for tests, unpacked beside the dependencies: nothing is installed, and nobody must be root.
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Where a program's packages are unpacked. */
export const cacheOf = (program: string): string => path.join(import.meta.dirname, '../../node_modules/.cache', program)

/**
 * Fetches packages and unpacks them in `cacheOf(program)`; `finish` may do something in the folder before it is moved there.
 * Where another test file was faster, which `works` tells, its folder stays.
 */
export async function unpack(
  program: string,
  packages: readonly string[],
  finish: (folder: string) => void,
  works: () => Promise<unknown>,
): Promise<void> {
  const cache = cacheOf(program)
  mkdirSync(path.dirname(cache), { recursive: true })
  const making = mkdtempSync(`${cache}-`)
  try {
    await run('apt-get', ['download', ...packages], { cwd: making }).catch(async () => {
      // The machine has no package lists: fetch some of our own, so that its are left alone and nobody must be root.
      for (const name of ['lists/partial', 'archives/partial'])
        mkdirSync(path.join(making, 'apt', name), { recursive: true })
      const own = ['-o', `Dir::State::Lists=${making}/apt/lists`, '-o', `Dir::Cache=${making}/apt`]
      await run('apt-get', [...own, 'update'])
      await run('apt-get', [...own, 'download', ...packages], { cwd: making })
    })
    const debs = readdirSync(making).filter(name => name.endsWith('.deb'))
    for (const deb of debs) await run('dpkg', ['-x', deb, '.'], { cwd: making })
    finish(making)
    for (const rest of [...debs, 'apt']) rmSync(path.join(making, rest), { recursive: true, force: true })
    // Another test file may have been faster, and be using it by now.
    if (await works()) return
    rmSync(cache, { recursive: true, force: true })
    renameSync(making, cache)
  } finally {
    rmSync(making, { recursive: true, force: true })
  }
}

/** Why a program cannot be had, in one line. */
export function missing(program: string, error: unknown): string {
  const [line] = (error as Error).message.trim().split('\n').slice(-1)
  return `no ${program} on PATH, and no Debian package to be had: ${line}`
}
