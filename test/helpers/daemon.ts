// gw as a process of its own: started like an operator starts it, watched through its control socket, killed at will.
import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { controlClient } from '../../src/control/client.ts'
import type { LiveView, SlotView, StatusView } from '../../src/control/view.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { openSecret } from '../../src/lib/secret.ts'
import type { Mock } from '../../src/mock/server.ts'
import { populate, type Setup, until } from './gateway.ts'
import { freePort } from './port.ts'

const gw = path.join(import.meta.dirname, '../../bin/gw')
const node = path.join(import.meta.dirname, '../fixtures/node.ts')

/** A data dir that is gone when the test ends. Its name is short: sockets live below it. */
export function dataDir(t: Test): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'gwd-'))
  chmodSync(folder, 0o755) // as root, Postgres runs as another user and lives below
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export interface Process {
  readonly pid: number
  readonly stdout: string
  readonly stderr: string
  /** How it ended: its exit code or the signal that killed it, undefined while it runs. */
  readonly ended: number | NodeJS.Signals | undefined
  kill(signal: NodeJS.Signals): void
  /** Waits for its end. */
  end(): Promise<number | NodeJS.Signals>
}

export interface Served extends Process {
  /** where clients connect */
  url: string
  opsUrl: string
  status(): Promise<StatusView>
  live(): Promise<LiveView>
  slots(): Promise<SlotView[]>
}

const freeAddress = async () => `127.0.0.1:${await freePort()}`

export interface RunOptions {
  /** default: a free one */
  listen?: string
  /** ms; then not `gw serve` itself is run, but test/fixtures/node.ts, which is the same daemon */
  leaseTtlMs?: number | undefined
  /** how many files it may have open, as `ulimit -n` says; default: as many as this process */
  openFiles?: number
  /** nobody reads what it writes to stdout */
  unread?: boolean
}

/** Runs `gw serve` on this data dir; what still runs when the test ends is killed. */
export async function run(
  t: Test,
  dir: string,
  env: Record<string, string> = {},
  options: RunOptions = {},
): Promise<Process> {
  const { listen = await freeAddress(), leaseTtlMs } = options
  const [command, ...args] =
    leaseTtlMs === undefined
      ? [gw, 'serve', '--data-dir', dir, '--listen', listen]
      : [process.execPath, node, dir, listen, `${leaseTtlMs}`]
  const limited = options.openFiles ? ['sh', '-c', `ulimit -n ${options.openFiles}; exec "$0" "$@"`] : []
  const [first, ...rest] = [...limited, command!, ...args]
  const child = spawn(first!, rest, {
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], GW_OPS_LISTEN: await freeAddress(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [stdout, stderr, ended] = ['', '', undefined as Process['ended']]
  if (!options.unread) child.stdout.on('data', chunk => (stdout += chunk))
  child.stderr.on('data', chunk => (stderr += chunk))
  child.on(options.unread ? 'exit' : 'close', (code, signal) => (ended = code ?? signal!))
  const process_: Process = {
    pid: child.pid!,
    get stdout() {
      return stdout
    },
    get stderr() {
      return stderr
    },
    get ended() {
      return ended
    },
    kill: signal => void child.kill(signal),
    async end() {
      await until(t, 'gw serve ends', () => ended !== undefined, 60_000)
      return ended!
    },
  }
  t.teardown(async () => {
    if (ended !== undefined) return
    child.kill('SIGKILL')
    await process_.end()
  })
  return process_
}

/** The same, once it is ready. */
export async function serve(
  t: Test,
  dir: string,
  env: Record<string, string> = {},
  options: RunOptions = {},
): Promise<Served> {
  const process_ = await run(t, dir, env, options)
  const control = controlClient(path.join(dir, 'gw.sock'))
  const status = () => control.get<StatusView>('/status')
  let view: StatusView | undefined
  await until(
    t,
    'gw serve is ready',
    async () => {
      if (process_.ended !== undefined) throw new Error(`gw serve ended with ${process_.ended}: ${process_.stderr}`)
      view = await status().catch(() => undefined)
      return view?.phase === 'ready' && view.pid === process_.pid
    },
    60_000,
  )
  return Object.assign(process_, {
    url: view!.listen,
    opsUrl: view!.ops_listen,
    status,
    live: () => control.get<LiveView>('/live'),
    slots: () => control.get<SlotView[]>('/slots'),
  })
}

/** Does to a running daemon's database what commands do: the same setup as in-process gateways have. */
export async function setUp(t: Test, served: Served, dir: string, url: string, mock: Mock, setup: Setup = {}) {
  const { config } = loadConfig({ env: url ? { GW_DATABASE_URL: url } : {}, flags: { data_dir: dir } })
  const database = await openDatabase(config, { migrate: false })
  try {
    const key = await populate(database.db, openSecret(config['secret.key_file']), mock, setup)
    await until(t, 'the daemon hears of the key', async () => (await served.status()).keys === 1)
    return key
  } finally {
    await database.close()
  }
}

/** All usage lines on disk, of every worker, moved to Postgres or not. */
export function spool(dir: string): string {
  return readdirSync(path.join(dir, 'spool'), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => readFileSync(path.join(entry.parentPath, entry.name), 'utf8'))
    .join('')
}
