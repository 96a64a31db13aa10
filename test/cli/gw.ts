// Runs commands as a person or a script would, in this process or as the real bin/gw, with a data dir and environment of its own.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { EventEmitter } from 'node:events'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import path from 'node:path'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { main } from '../../src/cli/main.ts'
import type { Shell } from '../../src/cli/shell.ts'
import { loadConfig } from '../../src/config/load.ts'
import { type Database, openDatabase } from '../../src/db/connect.ts'

// A test may close stdout early, as `head` does.
const gone = () => ''

export const bin = fileURLToPath(new URL('../../bin/gw', import.meta.url))

/** The words after `gw`; as one text where none of them holds a space. */
export type Line = string | readonly string[]
const words = (line: Line) => (typeof line === 'string' ? line.split(' ').filter(Boolean) : line)

export interface Ran {
  /** exit code, null when a signal ended it */
  code: number | null
  stdout: string
  stderr: string
}

export interface Options {
  env?: Record<string, string>
  stdin?: string
  /** a terminal so wide, for the command in this process */
  columns?: number
}

export interface Home {
  folder: string
  dataDir: string
  env: Record<string, string>
  /** Writes a file into the folder and returns its path. */
  file(name: string, content: string): Promise<string>
  /** Runs a command in this process: what a new one would only repeat is its own start. */
  gw(line: Line, options?: Options): Promise<Ran>
  /** The real bin/gw: where the process itself is what matters. `started` is told as soon as it runs. */
  spawned(line: Line, options?: Options & { started?: (child: ChildProcess) => void }): Promise<Ran>
  /** A real one on a terminal of its own (stderr is in stdout then), where somebody types `typed` when asked. */
  onTerminal(line: Line, options?: { env?: Record<string, string>; typed?: string }): Promise<Ran>
  /** Asserts success and parses stdout, which must be exactly one JSON document. */
  json<T = Record<string, unknown>>(line: Line, options?: Options): Promise<T>
  /** Opens the database of this home until the test ends; an embedded Postgres keeps running so long. */
  open(): Promise<Database>
}

interface Test {
  teardown(work: () => unknown): void
}

/** A folder below the temporary one, removed when the test ends, and an environment with `more` in it. */
export async function home(t: Test, more: Record<string, string> = {}): Promise<Home> {
  const folder = await mkdtemp(path.join(tmpdir(), 'gw-cli-'))
  // As root, Postgres runs as another user and lives below.
  await chmod(folder, 0o755)
  const dataDir = path.join(folder, 'data')
  // An empty gw.yaml of ours, so that none of this machine is found.
  const config = path.join(folder, 'config')
  await mkdir(config)
  await writeFile(path.join(config, 'gw.yaml'), '')
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: folder,
    XDG_CACHE_HOME: process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'),
    CONFIGURATION_DIRECTORY: config,
    GW_DATA_DIR: dataDir,
    ...more,
  }
  const opened: Database[] = []
  t.teardown(async () => {
    for (const database of opened) await database.close()
    await rm(folder, { recursive: true, force: true })
  })

  const self: Home = {
    folder,
    dataDir,
    env,
    async file(name, content) {
      const file = path.join(folder, name)
      await writeFile(file, content)
      return file
    },
    gw: (line, { env: more = {}, stdin, columns } = {}) =>
      inProcess(words(line), { ...env, ...more }, folder, stdin, columns),
    async spawned(line, { env: more = {}, stdin, started } = {}) {
      const child = spawn(bin, words(line), { env: { ...env, ...more }, cwd: folder, stdio: 'pipe' })
      started?.(child)
      if (stdin !== undefined) child.stdin.end(stdin)
      const code = new Promise<number | null>(resolve => child.once('close', resolve))
      const [stdout, stderr] = await Promise.all([text(child.stdout).catch(gone), text(child.stderr)])
      return { code: await code, stdout, stderr }
    },
    async onTerminal(line, { env: more = {}, typed = '' } = {}) {
      const child = spawn('script', ['-qec', [bin, ...words(line)].join(' '), '/dev/null'], {
        env: { ...env, TERM: 'xterm', ...more },
        stdio: 'pipe',
      })
      // Not ahead: until readline has taken the terminal over, Ctrl-C and Ctrl-D mean something else.
      let shown = ''
      let answered = false
      child.stdout.on('data', chunk => {
        shown += chunk
        if (answered || !/\[y\/N\] \S*$/.test(shown)) return
        answered = true
        child.stdin.write(typed)
      })
      const code = new Promise<number | null>(resolve => child.once('close', resolve))
      const ended = await code
      child.stdin.destroy()
      return { code: ended, stdout: shown, stderr: '' }
    },
    async json<T>(line: Line, options?: Options) {
      const { code, stdout, stderr } = await self.gw([...words(line), '--json'], options)
      if (code !== 0) throw new Error(`gw ${words(line).join(' ')} ended with ${code}: ${stderr}`)
      return JSON.parse(stdout) as T
    },
    async open() {
      const database = await openDatabase(loadConfig({ env, flags: {} }).config)
      opened.push(database)
      return database
    },
  }
  return self
}

/** A command with pipes for streams, as a process would have them; in the end nothing of it may be left. */
async function inProcess(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  folder: string,
  input?: string,
  columns?: number,
): Promise<Ran> {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()]
  // Left open when there is no input: a command that reads all the same hangs, as it would on an idle pipe.
  if (input !== undefined) stdin.end(input)
  const said = Promise.all([text(stdout), text(stderr)])
  if (columns !== undefined) Object.assign(stdout, { isTTY: true, columns })
  const ways: Omit<Shell, keyof EventEmitter> = {
    stdin,
    stdout,
    stderr,
    env,
    cwd: () => folder,
    exit: code => {
      throw new Error(`a command in this process ended it with ${code}; run it with spawned()`)
    },
  }
  const shell = Object.assign(new EventEmitter(), ways)
  const code = await main(argv, shell)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
    if (shell.listenerCount(signal) > 0) throw new Error(`gw ${argv.join(' ')} still listens to ${signal}`)
  shell.emit('exit')
  stdout.end()
  stderr.end()
  const [out, err] = await said
  return { code, stdout: out, stderr: err }
}

/** Why a test that needs a terminal is skipped; false where `script` can make one. */
export const noTerminal = spawnSync('script', ['--version']).status === 0 ? false : 'needs script(1) of util-linux'

/** Runs `work` on every item, four at a time. */
export async function each<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const queue = items.values()
  const worker = async () => {
    for (const item of queue) await work(item)
  }
  await Promise.all([worker(), worker(), worker(), worker()])
}
