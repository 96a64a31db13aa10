// The scripted provider: an HTTP server that plays the far side of a socket, one script per credential.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { createBook } from './book.ts'
import { control } from './control.ts'
import { createGate } from './gate.ts'
import { createServe } from './request.ts'
import { createScripts } from './script.ts'
import type { Stats } from './stats.ts'
import type { Step } from './step.ts'

export type { Outcome, Seen, Stats } from './stats.ts'
export type { Counts, Point, Step, ToolCall, Usage } from './step.ts'

export interface MockOptions {
  /** Default 127.0.0.1. */
  host?: string
  /** Default 0: any free one. */
  port?: number
  /** Path of a unix socket to listen on, instead of host and port. */
  socket?: string
  /** Milliseconds; gives the times in the stats. Default `Date.now`. Delays always run on the real clock. */
  now?: () => number
  /** Whether requests are recorded one by one, with digests. Default true; sums are kept either way. */
  record?: boolean
  /** How many records stay, per credential and in total. Default 100. */
  keep?: number
}

export interface Mock {
  /** Like http://127.0.0.1:PORT; `unix:PATH` on a unix socket. */
  url: string
  /** 0 on a unix socket. */
  port: number
  /**
   * Sets what the credential does: steps are used one after the other, the last repeats for ever. `'*'` is every
   * credential without a script of its own; they share its steps.
   * @throws TypeError when a step is not right, naming the field.
   */
  script(credential: string, steps: Step | Step[]): void
  /** Totals, or those of one credential. */
  stats(credential?: string): Stats
  /**
   * Resolves when the predicate holds, which is asked at every change.
   * @throws Error after `timeoutMs` (5000) or when the mock closes, telling the sums it saw last.
   */
  until(predicate: (stats: Stats) => boolean, credential?: string, timeoutMs?: number): Promise<Stats>
  /** Lets go of the requests that wait at a `hold` point now. */
  release(credential?: string): void
  /** Switches recording on or off. */
  record(on: boolean): void
  /** Forgets scripts and stats; lets go of the requests that wait. */
  reset(): void
  /** Stops listening and breaks the connections that are open. */
  close(): Promise<void>
}

/** Starts listening. */
export async function startMock(options: MockOptions = {}): Promise<Mock> {
  const { host = '127.0.0.1', port = 0, now = Date.now, record = true, keep = 100 } = options
  const scripts = createScripts()
  const gate = createGate()
  const book = createBook({ now, record, keep })
  const connections = new WeakMap<Socket, number>()
  let connected = 0

  const serve = createServe(scripts, book, gate, req => connections.get(req.socket) ?? 0)
  // No timeouts: a test that finds its connection closed should have to blame itself or the gateway.
  const server = createServer({ keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 }, (req, res) => {
    if (req.url?.startsWith('/_mock/')) control(mock, req, res)
    else serve(req, res)
  })
  server.on('connection', socket => connections.set(socket, ++connected))
  server.listen(options.socket ? { path: options.socket } : { host, port })
  await once(server, 'listening')
  const address = server.address() as AddressInfo | string
  const listening = typeof address === 'string' ? 0 : address.port

  const mock: Mock = {
    url:
      typeof address === 'string'
        ? `unix:${address}`
        : `http://${host.includes(':') ? `[${host}]` : host}:${listening}`,
    port: listening,
    script: scripts.set,
    stats: book.stats,
    until: book.until,
    release: gate.release,
    record(on) {
      book.record = on
    },
    reset() {
      scripts.clear()
      book.reset()
      gate.release()
    },
    async close() {
      if (!server.listening) return
      const closed = once(server, 'close')
      book.close()
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
  return mock
}
