// The far side of the control socket, scripted: tells the view it was given by GET /live and by the live stream, or nothing at all.
import fs from 'node:fs'
import http from 'node:http'
import os from 'node:os'
import path from 'node:path'
import type { Duplex } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import type { Test } from 'tap'
import { type WebSocket, WebSocketServer } from 'ws'
import { type AccountView, isOut, type LiveFrame, type LiveView, type UserView } from '../../src/control/view.ts'

export interface ScriptedDaemon {
  readonly socket: string
  /** questions for the view and connections to the stream so far */
  asked(): number
  /** Told to all who watch, too. `hang`: takes the question and never answers */
  say(next: LiveView | 'hang'): void
  start(): Promise<void>
  /** `code`: says goodbye first */
  stop(code?: number): Promise<void>
}

export function scriptedDaemon(t: Test, first: LiveView): ScriptedDaemon {
  // Not t.testdir: a socket's path may have 107 characters, and the names of tests are long.
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'gw-top-'))
  const socket = path.join(directory, 's')
  let says: LiveView | 'hang' = first
  let asked = 0
  let server: http.Server | undefined
  const stream = new WebSocketServer({ noServer: true, handleProtocols: () => 'gw.live' })
  const held = new Set<Duplex>()
  const tell = (socket: WebSocket) => {
    if (says === 'hang') return
    for (const message of messagesOf(says)) socket.send(JSON.stringify(message))
  }
  const daemon: ScriptedDaemon = {
    socket,
    asked: () => asked,
    say: next => {
      says = next
      for (const socket of stream.clients) tell(socket)
    },
    start: () =>
      new Promise(resolve => {
        server = http.createServer((req, res) => {
          if (req.url !== '/live') return void res.writeHead(404).end(JSON.stringify({ error: `no ${req.url}` }))
          asked++
          if (says !== 'hang') res.end(JSON.stringify(says))
        })
        server.on('upgrade', (req, socket, head) => {
          asked++
          held.add(socket)
          socket.on('close', () => held.delete(socket))
          if (says !== 'hang') stream.handleUpgrade(req, socket, head, tell)
        })
        server.listen(socket, resolve)
      }),
    stop: code =>
      new Promise(resolve => {
        if (!server) return resolve()
        for (const socket of stream.clients) {
          if (code === undefined) socket.terminate()
          else socket.close(code, 'gw stops here; come back in 2 s')
        }
        server.close(() => resolve())
        server.closeAllConnections()
        // What was upgraded is not among them.
        if (code === undefined) for (const socket of held) socket.destroy()
        server = undefined
      }),
  }
  t.teardown(async () => {
    await daemon.stop()
    fs.rmSync(directory, { recursive: true })
  })
  return daemon
}

/** As the daemon tells it: a frame, then all rows. */
export function messagesOf(view: LiveView): object[] {
  const frame: LiveFrame = {
    type: 'frame',
    at: view.at,
    phase: 'ready',
    requests: view.requests_per_s,
    tokens: view.tokens_per_s,
    qps: view.requests_per_s,
    tps: view.tokens_per_s,
    in_flight: view.in_flight,
    waiting: view.waiting,
    error_rate: view.error_rate * 100,
    ttft_ms: view.ttft_ms,
    platforms: {},
    accounts: {
      total: view.accounts.length,
      out: view.accounts.filter(account => isOut(account.state)).length,
      states: {},
    },
    nodes: view.nodes,
  }
  const rows = (of: 'accounts' | 'users' | 'groups') => ({ type: 'rows', of, reset: true, rows: view[of], gone: [] })
  return [frame, rows('accounts'), rows('users'), rows('groups')]
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
