// Runs the real bin/gw as a person or a script would, with a data dir and an environment of its own.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
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
  /** told the process as soon as it runs */
  started?: (child: ChildProcess) => void
}

export interface Home {
  folder: string
  dataDir: string
  env: Record<string, string>
  /** Writes a file into the folder and returns its path. */
  file(name: string, content: string): Promise<string>
  gw(line: Line, options?: Options): Promise<Ran>
  /** The same on a terminal of its own (stderr is in stdout then), where somebody types `typed` when asked. */
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
    async gw(line, { env: more = {}, stdin, started } = {}) {
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

/** Why a test that needs a terminal is skipped; false where `script` can make one. */
export const noTerminal = spawnSync('script', ['--version']).status === 0 ? false : 'needs script(1) of util-linux'

/** Runs `work` on every item, four at a time: most of a command's time is a process starting. */
export async function each<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const queue = items.values()
  const worker = async () => {
    for (const item of queue) await work(item)
  }
  await Promise.all([worker(), worker(), worker(), worker()])
}
