// The scripted provider: an HTTP server that plays the far side of a socket, one script per credential.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { createBook } from './book.ts'
import { control } from './control.ts'
import { createGate } from './gate.ts'
import type { Mock, MockOptions } from './mock.ts'
import { Tokens } from './oauth/tokens.ts'
import { createServe } from './request.ts'
import { createScripts } from './script.ts'

export type { Mock, MockOptions } from './mock.ts'
export type { Outcome, Seen, Stats } from './stats.ts'
export type { Counts, Point, Step, ToolCall, Usage } from './step.ts'

/** Starts listening. */
export async function startMock(options: MockOptions = {}): Promise<Mock> {
  const { host = '127.0.0.1', port = 0, now = Date.now, record = true, keep = 100 } = options
  const scripts = createScripts()
  const gate = createGate()
  const book = createBook({ now, record, keep })
  const connections = new WeakMap<Socket, number>()
  let connected = 0

  const tokens = new Tokens(now)
  const serve = createServe(scripts, book, gate, tokens, req => connections.get(req.socket) ?? 0)
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
      tokens.clear()
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
