// The far side of the control socket, scripted: answers GET /live with the view it was given, or not at all.
import fs from 'node:fs'
import http from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { Test } from 'tap'
import type { AccountView, LiveView, UserView } from '../../src/control/view.ts'

export interface ScriptedDaemon {
  readonly socket: string
  /** requests for the view so far */
  asked(): number
  /** `hang`: takes the question and never answers */
  say(next: LiveView | 'hang'): void
  start(): Promise<void>
  stop(): Promise<void>
}

export function scriptedDaemon(t: Test, first: LiveView): ScriptedDaemon {
  // Not t.testdir: a socket's path may have 107 characters, and the names of tests are long.
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'gw-top-'))
  const socket = path.join(directory, 's')
  let says: LiveView | 'hang' = first
  let asked = 0
  let server: http.Server | undefined
  const daemon: ScriptedDaemon = {
    socket,
    asked: () => asked,
    say: next => {
      says = next
    },
    start: () =>
      new Promise(resolve => {
        server = http.createServer((req, res) => {
          if (req.url !== '/live') return void res.writeHead(404).end(JSON.stringify({ error: `no ${req.url}` }))
          asked++
          if (says !== 'hang') res.end(JSON.stringify(says))
        })
        server.listen(socket, resolve)
      }),
    stop: () =>
      new Promise(resolve => {
        if (!server) return resolve()
        server.close(() => resolve())
        server.closeAllConnections()
        server = undefined
      }),
  }
  t.teardown(async () => {
    await daemon.stop()
    fs.rmSync(directory, { recursive: true })
  })
  return daemon
}

export const account = (name: string, changes: Partial<AccountView> = {}): AccountView => ({
  name,
  platform: 'anthropic',
  groups: ['default'],
  slots: { used: 0, limit: 10 },
  waiting: 0,
  state: 'available',
  until: null,
  reason: null,
  ...changes,
})

export const user = (name: string, used: number, limit: number, waiting = 0): UserView => ({
  name,
  slots: { used, limit },
  waiting,
})

/** A quiet morning with a little of everything. */
export const morning: LiveView = {
  at: '2026-11-23T08:30:00.000Z',
  requests_per_s: 12.4,
  tokens_per_s: 8123,
  in_flight: 14,
  waiting: 3,
  error_rate: 0.004,
  ttft_ms: { p50: 420, p95: 1920, p99: 3000 },
  users: [user('alice', 1, 0), user('bob', 8, 8, 2), user('小林さん', 3, 8)],
  accounts: [
    account('claude-a', { slots: { used: 2, limit: 10 } }),
    account('claude-b', {
      state: 'rate_limited',
      until: '2026-11-23T08:34:12.000Z',
      reason: '429 from upstream: the number of requests has exceeded your rate limit',
    }),
    account('gpt', { platform: 'openai', state: 'full', slots: { used: 10, limit: 10 }, waiting: 3 }),
    account('gemini', { platform: 'gemini', state: 'error', slots: { used: 1, limit: 0 }, reason: '401 key revoked' }),
  ],
  groups: [
    { name: 'default', platform: 'anthropic', slots: { used: 2, limit: 20 }, waiting: 0, available: 1, accounts: 2 },
    { name: 'spare', platform: 'openai', slots: { used: 10, limit: 10 }, waiting: 3, available: 0, accounts: 1 },
  ],
  nodes: [{ name: 'gw-1', pid: 312, uptime_s: 273_600, in_flight: 14, rss_bytes: 92_274_688 }],
}

/** Waits until `fact` is true; what `seen` gives is told when it does not come. */
export async function until(fact: () => boolean, seen: () => unknown): Promise<void> {
  const deadline = performance.now() + 20_000
  while (!fact()) {
    if (performance.now() > deadline) throw new Error(`waited in vain; seen: ${seen()}`)
    await setImmediate()
  }
}
