// A gw checkout, set up and run as an operator would: its own bin/gw, its own data dir, its commands, full-feature defaults.
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../helpers/port.ts'
import { command, ended, folder, type Ran, type Started, start, stop } from './children.ts'
import { multiply } from './multiply.ts'
import type { Use } from './proc.ts'
import { use } from './proc.ts'

export interface Site {
  readonly name: string
  readonly dataDir: string
  readonly port: number
  /** the values of its client keys */
  readonly keys: readonly string[]
  readonly pid: number
  /** its access log, with a line for each garbage collection */
  readonly log: string
  used(): Use
  /** Runs a gw command on its data dir. */
  gw(words: string, input?: string): Promise<Ran>
  /** Starts it unless it is running; with an environment it is started anew. @returns ms from its start until it is ready */
  up(env?: Record<string, string>): Promise<number>
  down(): Promise<void>
}

export interface Size {
  accounts: number
  keys: number
}

/** made by commands, with the keys that requests present */
export const USERS = 2
const KEYS = 4

/** Makes a site of a checkout, in a folder called `place`. It is down when it is made. */
export async function site(name: string, place: string, dir: string, upstream: string, size: Size): Promise<Site> {
  const dataDir = path.join(folder, place)
  mkdirSync(dataDir)
  chmodSync(dataDir, 0o755)
  const node = traced(place, dir)
  const keys: string[] = []
  let daemon: Started | undefined
  let starts = 0
  const [port, opsPort] = [await freePort(), await freePort()]

  const self: Site = {
    name,
    dataDir,
    port,
    keys,
    get pid() {
      return daemon!.pid
    },
    get log() {
      return daemon!.log
    },
    used: () => use(daemon!.pid, dataDir),
    gw: (words, input = '') =>
      command([path.join(dir, 'bin/gw'), ...words.split(' '), '--data-dir', dataDir], { input }),
    async up(env) {
      if (daemon && !ended(daemon)) {
        if (!env) return 0
        await stop(daemon)
      }
      const since = performance.now()
      daemon = start(
        `${place}-${++starts}`,
        'gateway',
        [path.join(dir, 'bin/gw'), 'serve', '--data-dir', dataDir, '--listen', `127.0.0.1:${port}`],
        { GW_OPS_LISTEN: `127.0.0.1:${opsPort}`, GW_NODE: node, ...env },
      )
      while (!(await ready(opsPort))) {
        if (ended(daemon) || performance.now() - since > 60_000)
          throw new Error(`${name} did not start: ${readFileSync(daemon.log, 'utf8').slice(-2_000)}`)
        await sleep(5)
      }
      return performance.now() - since
    },
    async down() {
      if (daemon) await stop(daemon)
    },
  }

  await self.gw('group add main --platform anthropic --unknown-model free')
  await self.up()
  const account = `account add a --platform anthropic --group main --concurrency 400 --base-url ${upstream} --api-key-stdin`
  const users = Array.from({ length: USERS }, (_, i) => `user${i}`)
  const added = users.map(user => self.gw(`user add ${user} --balance 1000000 --concurrency 4000`))
  await Promise.all([self.gw(account, 'secret'), ...added])
  const made = Array.from({ length: KEYS }, (_, i) =>
    self.gw(`key create --user ${users[i % users.length]} --group main --name k${i} --json`),
  )
  for (const { stdout } of await Promise.all(made)) keys.push((JSON.parse(stdout) as { key: string }).key)
  await multiply(dataDir, size)
  await self.down()
  return self
}

async function ready(port: number): Promise<boolean> {
  const reply = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined)
  await reply?.arrayBuffer()
  return reply?.status === 200
}

/** The checkout's own node, which says when it collects garbage: a program for bin/gw to start. */
function traced(place: string, dir: string): string {
  const file = path.join(folder, `${place}-node`)
  // Line by line, else the C library keeps the lines until there are 4 KB of them.
  // For a profile (`--cpu-prof --cpu-prof-dir=…`) or to try what V8 can be told.
  const flags = process.env['GW_BENCH_NODE_FLAGS'] ?? ''
  writeFileSync(file, `#!/bin/sh\nexec stdbuf -oL "${nodeOf(dir)}" --trace-gc ${flags} "$@"\n`, { mode: 0o755 })
  return file
}

function nodeOf(dir: string): string {
  const file = path.join(dir, `node_modules/node-linux-${process.arch}/bin/node`)
  return existsSync(file) ? file : process.execPath
}
