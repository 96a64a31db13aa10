// The other end of the control socket, for commands.

import http from 'node:http'
import { Refusal, type RefusalKind } from '../lib/refusal.ts'
import { why } from '../lib/why.ts'

export interface ControlClient {
  /** @throws Refusal `unreachable` when no daemon answers, and the daemon's own refusals as it made them */
  get<T>(path: string): Promise<T>
  post<T>(path: string, body?: object): Promise<T>
}

const TIMEOUT_MS = 5_000

/** `signal` gives up whatever is being asked. */
export function controlClient(socket: string, signal?: AbortSignal): ControlClient {
  function request<T>(method: string, path: string, body?: object): Promise<T> {
    return new Promise((resolve, reject) => {
      const fail = (why: string, cause?: Error) => {
        const { code } = Object(cause) as NodeJS.ErrnoException
        const next =
          code === 'EACCES'
            ? 'run this as the user that gw runs as, or as root'
            : 'start it with gw serve, or name its --data-dir'
        reject(new Refusal('unreachable', `no gw daemon answers on ${socket}: ${why}; ${next}`, { cause }))
      }
      const req = http.request(
        { socketPath: socket, method, path, timeout: TIMEOUT_MS, ...(signal ? { signal } : {}) },
        res => {
          let text = ''
          res.setEncoding('utf8')
          res.on('data', chunk => (text += chunk))
          res.on('end', () => {
            const answer = parse(text)
            if (answer === undefined) fail('what answers there is no gw')
            else if (res.statusCode === 200) resolve(answer as T)
            else {
              const { error, kind } = answer as { error?: string; kind?: RefusalKind }
              reject(new Refusal(kind ?? 'failure', error ?? text))
            }
          })
          res.on('error', error => fail(why(error), error))
        },
      )
      req.on('timeout', () => req.destroy(new Error(`silent for ${TIMEOUT_MS / 1000} s`)))
      req.on('error', (error: NodeJS.ErrnoException) => fail(reasons[error.code ?? ''] ?? why(error), error))
      req.end(body && JSON.stringify(body))
    })
  }
  return { get: path => request('GET', path), post: (path, body) => request('POST', path, body) }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const reasons: Record<string, string> = {
  ENOENT: 'there is no socket',
  ECONNREFUSED: 'nobody listens',
  EACCES: 'this user may not use the socket',
}
