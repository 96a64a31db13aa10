// The Postgres server of a data dir as files and a process: made, started, and stopped.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:fs'
import { lstat, mkdir, open, readdir, readFile, realpath, rename } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { why } from '../lib/why.ts'
import { hand, makeDataDir, refuseForeign } from './data-dir.ts'
import {
  chooseUser,
  closedPart,
  exists,
  findPrograms,
  lastLines,
  type Programs,
  type RunAs,
  removeTree,
  run,
  spawnOptions,
  temporaryName,
} from './postgres-binaries.ts'

export const port = 5432
const logBytes = 10 * 1024 * 1024
const abandonedMs = 10 * 60_000

/** Where things lie below the data dir. */
export function embeddedPaths(dataDir: string) {
  const folder = join(resolve(dataDir), 'postgres')
  const data = join(folder, 'data')
  const socketFolder = join(folder, 'run')
  return {
    folder,
    data,
    run: socketFolder,
    socket: join(socketFolder, `.s.PGSQL.${port}`),
    pid: join(data, 'postmaster.pid'),
    log: join(folder, 'postgres.log'),
  }
}
export type Paths = ReturnType<typeof embeddedPaths>

/** A server that this process started; it may not be up yet, or no longer. */
export interface Server {
  process: ChildProcess
  /** Whether this start also made the cluster. */
  created: boolean
  /** What it has written to the log so far. */
  said(): Promise<string>
}

export interface ServerOptions {
  maxConnections: number
  /** Slots out of `maxConnections` that only the superuser gets. */
  reservedConnections: number
  /** Whether to make a cluster when there is none. */
  create: boolean
}

// Postgres does not start while the process named in its lock file exists, whatever that process is: after a kill -9
// a zombie that nobody reaps or, numbers in a container starting again at 1, somebody else. And of two starters who find
// a stale file, one can remove the fresh one of the other. So a lock of the kernel comes first: the server and all its
// children inherit it, and it is free exactly when the last of them is gone, killed or not. Whoever has it knows that
// Postgres' own files are stale. Where there is no flock (macOS), Postgres' own judgement stands.
const lockTaken = 75
const startUnderLock = `
  lock=$1 stale1=$2 stale2=$3; shift 3
  exec 9>>"$lock"
  if command -v flock >/dev/null; then flock -n 9 || exit ${lockTaken}; rm -f "$stale1" "$stale2"; fi
  exec "$@"`

/**
 * Starts a server, without waiting until it is up. When several processes do this at once, one server lives and the
 * others exit at once.
 * @throws Error when something is missing that trying again cannot cure.
 */
export async function startServer(paths: Paths, options: ServerOptions): Promise<Server> {
  const runAs = await chooseUser(paths.data)
  await makeFolders(paths, runAs)
  const programs = await findPrograms(paths.folder, runAs)
  await sweep(paths, programs)
  let created = false
  if (!(await exists(paths.data))) {
    if (!options.create) throw new Error(`${paths.data} is gone; put it back, or restart gw to begin with nothing`)
    created = await createCluster(paths, runAs, programs)
  }
  await using log = await openLog(paths)
  const { size } = await log.stat()
  const locks = [join(paths.run, 'server.lock'), paths.pid, `${paths.socket}.lock`]
  const server = [programs('postgres'), '-D', await realpath(paths.data), ...settings(paths, options)]
  const child = spawn('/bin/sh', ['-c', startUnderLock, 'sh', ...locks, ...server], {
    ...spawnOptions(runAs),
    detached: true, // a session of its own: Ctrl-C is for gw, which still has things to write
    stdio: ['ignore', log.fd, log.fd],
  })
  await once(child, 'spawn')
  child.unref()
  return { process: child, created, said: async () => (await readFile(paths.log)).subarray(size).toString() }
}

/**
 * Looks at why a server of ours is no longer there.
 * @throws Error with the end of its log, unless it is something that passes.
 */
export async function excuse({ process, said }: Server, paths: Paths): Promise<void> {
  // Stopped by another tenant, refused by another server's lock, or killed: starting again is right.
  if (process.exitCode === 0 || process.exitCode === lockTaken || process.signalCode === 'SIGKILL') return
  const words = await said().catch(() => '')
  if (/lock file .* already exists|shared memory block .* still in use/.test(words)) return // where there is no flock
  throw new Error(`Postgres did not start: ${lastLines(words) || process.signalCode} (see ${paths.log})`)
}

/**
 * What `pg_ctl stop -m fast` does: sessions are ended, everything is written, then it goes. Where that takes most of `patienceMs`
 * it is told to go at once, as `-m immediate` does: what was committed is in its WAL, and read again at its next start.
 * Waits no longer; what it was told stands, and it goes as soon as it can.
 */
export async function stopServer(pid: number, paths: Paths, patienceMs: number): Promise<void> {
  if (await isStranger(pid, paths)) return // numbered in another container than ours: whom we would hit, nobody knows
  // Removing this file is the last thing it does.
  const locked = async () => (await pidIn(paths.pid)) === pid
  const begun = performance.now()
  const isGoneWithin = async (ms: number) => {
    while ((await locked().catch(() => false)) && isAlive(pid) && !(await isStranger(pid, paths))) {
      if (performance.now() > begun + ms) return false
      await sleep(10)
    }
    return true
  }
  process.kill(pid, 'SIGINT')
  if (await isGoneWithin(0.7 * patienceMs)) return
  process.kill(pid, 'SIGQUIT')
  await isGoneWithin(patienceMs)
}

/** Lets a server go on that somebody has stopped (SIGSTOP), with all its processes: until then it could not end either. */
export async function wakeServer(pid: number, paths: Paths): Promise<void> {
  if (await isStranger(pid, paths)) return
  for (const each of [...(await childrenOf(pid)), pid]) {
    try {
      process.kill(each, 'SIGCONT')
    } catch {
      // Gone by now.
    }
  }
}

/** None where there is no /proc. */
async function childrenOf(pid: number): Promise<number[]> {
  const all = (await readdir('/proc').catch(() => [])).map(Number).filter(Number.isInteger)
  const parents = await Promise.all(
    all.map(async each => {
      const stat = await readFile(`/proc/${each}/stat`, 'utf8').catch(() => '')
      // Behind the name, which may hold anything: its state, then its parent.
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
    }),
  )
  return all.filter((_, i) => parents[i] === pid)
}

const settings = (paths: Paths, { maxConnections, reservedConnections }: ServerOptions) =>
  Object.entries({
    cluster_name: 'gw',
    listen_addresses: '', // the unix socket only: the folder's mode is the password
    unix_socket_directories: `"${paths.run.replaceAll('"', '""')}"`,
    unix_socket_permissions: '0700',
    port,
    max_connections: maxConnections,
    superuser_reserved_connections: reservedConnections,
    shared_buffers: '64MB',
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_min_messages: 'warning',
    log_checkpoints: 'off',
  }).flatMap(([name, value]) => ['-c', `${name}=${value}`])

async function makeFolders({ folder, run }: Paths, runAs: RunAs) {
  await makeDataDir(dirname(folder))
  const make = (path: string) =>
    mkdir(path, { mode: 0o700 }).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === 'EEXIST') return
      throw new Error(`cannot make ${path}: ${why(cause)}; choose another data_dir, or set database.url`, { cause })
    })
  await make(folder)
  if (!('uid' in runAs)) return await make(run)

  // The folder is root's, so that nothing in it can be exchanged under our hands; the user passes through it to the two that
  // are its own. An older gw had given it away: it is taken back, and whatever lies there as another name is looked at anew.
  const ours = await realpath(folder)
  await refuseForeign(dirname(ours))
  await hand(ours, { uid: 0, gid: runAs.gid }, 0o710)
  const closed = await closedPart(folder, runAs)
  if (closed) {
    throw new Error(
      `${closed} is closed to the user that Postgres runs as (uid ${runAs.uid}, as gw runs as root); ` +
        `chmod o+x ${closed}, choose another data_dir, or set database.url`,
    )
  }
  await make(run)
  await hand(run, runAs, 0o700)
}

/** Removes what crashed processes and former versions left. */
async function sweep({ folder }: Paths, programs: Programs) {
  for (const name of await readdir(folder)) {
    const path = join(folder, name)
    const pid = /\.(\d+)-\w+\.tmp$/.exec(name)?.[1]
    const age = Date.now() - (await lstat(path).catch(() => ({ mtimeMs: Date.now() }))).mtimeMs
    // Also by age: in containers every gw may be process 1, so its process number always looks alive.
    const abandoned = pid ? !isAlive(Number(pid)) || age > abandonedMs : name.startsWith('bin-')
    if (abandoned && !programs('postgres').startsWith(path + '/')) {
      await removeTree(path).catch(() => {}) // an orphaned initdb may still write there
    }
  }
}

/** Makes a cluster beside its place and moves it there when it is complete. False when another process was faster. */
async function createCluster({ folder, data }: Paths, runAs: RunAs, programs: Programs): Promise<boolean> {
  const fresh = temporaryName(data)
  await mkdir(fresh, { mode: 0o700 })
  try {
    if ('uid' in runAs) await hand(fresh, runAs, 0o700)
    const locale = ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--encoding=UTF8']
    await run(programs('initdb'), ['-D', fresh, '-U', 'postgres', '-A', 'trust', '--no-instructions', ...locale], runAs)
    await rename(fresh, data)
  } catch (error) {
    await removeTree(fresh)
    if (await exists(data)) return false
    throw new Error(`initdb failed: ${(error as Error).message}`, { cause: error })
  }
  // Its files are on disk, its name is not yet: a power cut would leave a folder that the next start sweeps away.
  for (const path of [folder, dirname(folder)]) {
    await using handle = await open(path)
    await handle.sync()
  }
  return true
}

/** The log is ours: the server is given it open, and need not find it. */
async function openLog({ log }: Paths) {
  const found = await lstat(log).catch(() => undefined)
  // While an older gw left the folder to the user of Postgres, that user may have put another file there.
  const isOurs = found?.isFile() && found.nlink === 1 && found.uid === process.getuid?.()
  if (found && (found.size > logBytes || !isOurs)) await rename(log, `${log}.1`)
  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW } = constants
  const file = await open(log, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600)
  await file.chmod(0o600)
  return file
}

/** The process number in a file that the user of Postgres may have exchanged: neither a link nor a pipe is followed. */
async function pidIn(file: string): Promise<number> {
  await using handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(32), 0, 32, 0)
  return Number.parseInt(buffer.toString('latin1', 0, bytesRead), 10)
}

/** Whether that process is surely not the server of this cluster. In doubt, and always without /proc: false. */
async function isStranger(pid: number, { data }: Paths): Promise<boolean> {
  try {
    // The command line, because anybody may read it: the working folder is closed to a container's root. Empty: a zombie.
    const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0')
    return words[1] !== '-D' || words[2] !== (await realpath(data))
  } catch {
    return false
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
