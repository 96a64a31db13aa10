// The control socket: live state as HTTP over a unix socket, for `gw top`, `gw status` and curl.

import { chmodSync, existsSync, unlinkSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { Refusal } from '../lib/refusal.ts'
import { why } from '../lib/why.ts'

/** By method and path: what answers with a JSON document. `body` is the parsed request body, `{}` without one. */
export type ControlRoutes = Record<string, (body: unknown) => unknown | Promise<unknown>>

export interface ControlServer {
  /** for what else may be asked here */
  server: http.Server
  close(): Promise<void>
}

/** Listens: whom the mode lets reach the socket may see and steer the daemon. @throws Refusal when another daemon answers there */
export async function controlServer(socket: string, mode: number, routes: ControlRoutes): Promise<ControlServer> {
  if (existsSync(socket)) {
    if (await answers(socket))
      throw new Refusal(
        'conflict',
        `control.socket ${socket}: another gw answers there; stop it or set another control.socket`,
      )
    unlinkSync(socket) // left by a process that was killed
  }
  const server = http.createServer(async (req, res) => {
    const work = routes[`${req.method} ${req.url}`]
    const [status, body] = work
      ? await Promise.resolve()
          .then(async () => work(await readBody(req)))
          .then(
            value => [200, value] as const,
            error => refused(error),
          )
      : ([404, { error: `no ${req.method} ${req.url} here` }] as const)
    res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', error =>
      reject(new Refusal('failure', `control.socket ${socket}: ${why(error)}`, { cause: error })),
    )
    server.listen(socket, resolve)
  })
  chmodSync(socket, mode)
  return {
    server,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

// A refusal is told with its kind, so that a command ends as it would if it had refused by itself.
function refused(error: unknown) {
  if (error instanceof Refusal) return [400, { error: error.message, kind: error.kind }] as const
  return [500, { error: (error as Error).message }] as const
}

async function readBody(req: http.IncomingMessage): Promise<unknown> {
  let text = ''
  for await (const chunk of req) text += chunk
  return text === '' ? {} : JSON.parse(text)
}

function answers(socket: string): Promise<boolean> {
  return new Promise(resolve => {
    const probe = net.connect(socket)
    probe.on('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.on('error', () => resolve(false))
  })
}
