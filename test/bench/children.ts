// The processes of a run: each on a core of its own choice, and none of them left when the run ends, however it ends.
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { chmodSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { processes } from './proc.ts'

/** What is measured runs on the gateway's core, all else on the other. */
export type Core = 'gateway' | 'load'

export const pinned = os.availableParallelism() > 1 && spawnSync('taskset', ['-V']).error === undefined
const onCore = (core: Core, command: string[]) =>
  pinned ? ['taskset', '-c', core === 'gateway' ? '0' : '1', ...command] : command

const running = new Set<ChildProcess>()

/** Everything a run writes. Its name is short: sockets live below it. As root, Postgres runs as another user and must pass. */
export const folder = mkdtempSync(path.join(os.tmpdir(), 'gwb-'))
chmodSync(folder, 0o755)

/** Keeps this process off the gateway's core and ahead of the commands it runs. */
export function takeCore() {
  if (pinned) spawnSync('taskset', ['-acp', '1', String(process.pid)])
  try {
    os.setPriority(-5)
  } catch {
    // Only root may.
  }
}

export interface Started {
  process: ChildProcess
  pid: number
  /** all it has written, both streams */
  log: string
}

/** Starts a process that writes into a file. */
export function start(name: string, core: Core, command: string[], env: Record<string, string> = {}): Started {
  const log = path.join(folder, `${name}.log`)
  const fd = openSync(log, 'a')
  const [program, ...args] = onCore(core, command)
  const child = spawn(program!, args, { stdio: ['ignore', fd, fd], env: { ...plain(), ...env } })
  closeSync(fd)
  running.add(child)
  child.on('exit', () => running.delete(child))
  return { process: child, pid: child.pid!, log }
}

/** The environment without anything that would configure gw. */
function plain() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(GW_|DATABASE_URL|REDIS_URL)/.test(name)))
}

/** The first line a process wrote that matches. @throws Error with what it wrote when it ends or takes 30 s */
export async function said(child: Started, pattern: RegExp): Promise<RegExpExecArray> {
  for (let waited = 0; waited < 30_000; waited += 20) {
    const match = pattern.exec(readFileSync(child.log, 'utf8'))
    if (match) return match
    if (ended(child)) break
    await sleep(20)
  }
  throw new Error(`${child.process.spawnargs.join(' ')}: ${readFileSync(child.log, 'utf8').slice(-2_000)}`)
}

export const ended = ({ process }: Started) => process.exitCode !== null || process.signalCode !== null

/** Asks a process to end and waits until it has. */
export async function stop(child: Started): Promise<void> {
  if (ended(child)) return
  child.process.kill('SIGTERM')
  for (let waited = 0; !ended(child); waited += 20) {
    if (waited === 20_000) child.process.kill('SIGKILL')
    await sleep(20)
  }
}

export interface Ran {
  stdout: string
  ms: number
}

/** Runs a command to its end, off the gateway's core. @throws Error with what it wrote unless it ends with 0 */
export function command(words: string[], options: { input?: string; env?: Record<string, string> } = {}): Promise<Ran> {
  const [program, ...args] = words
  const since = performance.now()
  return new Promise((resolve, reject) => {
    const env = { ...plain(), ...options.env }
    const child = execFile(program!, args, { env, maxBuffer: 1 << 28, timeout: 120_000 }, (error, stdout, stderr) => {
      running.delete(child)
      if (error) reject(new Error(`${words.join(' ')}: ${stderr || error.message}`))
      else resolve({ stdout, ms: performance.now() - since })
    })
    running.add(child)
    yieldTo(child)
    child.stdin!.end(options.input ?? '')
  })
}

/** Ends every process of the run and removes its folder. */
export async function leave(): Promise<void> {
  // A daemon stops its Postgres, so it goes first and is waited for.
  const all = [...running]
  for (const child of all) child.kill('SIGTERM')
  for (let waited = 0; running.size > 0 && waited < 10_000; waited += 50) await sleep(50)
  for (const child of running) child.kill('SIGKILL')
  for (const { pid } of strays()) process.kill(pid, 'SIGKILL')
  for (let waited = 0; strays().length > 0 && waited < 2_000; waited += 50) await sleep(50)
  rmSync(folder, { recursive: true, force: true })
}

/** A Postgres whose daemon was killed: its command line names our folder. */
const strays = () => processes().filter(({ command }) => command.includes(folder))

/** Commands run behind the load and the provider, which share their core. */
function yieldTo({ pid }: ChildProcess) {
  try {
    os.setPriority(pid!, 5)
  } catch {
    // It has ended already.
  }
}
