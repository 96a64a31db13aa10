// Ask: one HTTP request of our own, through an egress proxy or not, its answer read whole. It follows no redirect.
import http from 'node:http'
import https from 'node:https'
import type { Guard } from '../lib/guard/guard.ts'
import { PlainGuarded, SecureGuarded } from './guarded.ts'
import { proxyFault, type Through } from './through.ts'
import { PlainTunnel, SecureTunnel } from './tunnel.ts'

export interface Question {
  url: URL
  method: string
  headers: Record<string, string | string[] | number>
  body?: string | undefined
}

export interface Answer extends Omit<Bytes, 'bytes'> {
  /** at most `mostBytes` of it */
  body: string
}

export interface Bytes {
  status: number
  headers: http.IncomingHttpHeaders
  bytes: Buffer
  /** ms until there was a connection, TLS and all */
  connectedMs: number
}

export interface AskOptions {
  through: Through | null
  /**
   * Of a URL that somebody typed: what it may lead to. Through a proxy, which looks names up itself, only what the URL says is
   * judged: addresses, names of the own network, the scheme.
   */
  guard?: Guard | undefined
  /** of all of it */
  timeoutMs: number
  /** until there is a connection, TLS and all; default: as long as all of it */
  connectMs?: number
  /** PEM certificates trusted instead of the usual ones */
  ca?: string | Buffer | undefined
  /** default 64 KB; what comes after is not read */
  mostBytes?: number
  /** ends it */
  leaving?: AbortSignal | undefined
  /** Sees the answer come: what it throws ends it, and is what is thrown. */
  watch?: { head(status: number, headers: http.IncomingHttpHeaders): void; more(bytes: number): void } | undefined
}

/** @throws Error with node's code, EPROXY for what an egress proxy did, EGUARD for what the guard refuses, ETIMEDOUT when it took too long */
export async function ask(question: Question, options: AskOptions): Promise<Answer> {
  const { mostBytes = 64 * 1024 } = options
  const { bytes, ...answer } = await askBytes(question, { ...options, mostBytes })
  return { ...answer, body: bytes.toString('utf8', 0, mostBytes) }
}

/** The same, and what is no text; without `mostBytes` it is for `watch` to say how much is too much. @throws as `ask` */
export function askBytes(question: Question, options: AskOptions): Promise<Bytes> {
  const { through, guard, timeoutMs, connectMs = timeoutMs, mostBytes = Infinity, leaving, watch } = options
  const { url, method, headers, body = '' } = question
  const secure = url.protocol === 'https:'
  const problem = guard?.problem(url)
  if (problem) return Promise.reject(problem)
  const agent = agentOf(secure, options)
  const begun = performance.now()
  const { promise, resolve, reject } = Promise.withResolvers<Bytes>()
  let connectedMs = 0
  const chunks: Buffer[] = []
  const framed =
    method === 'GET' || method === 'HEAD' ? headers : { ...headers, 'content-length': Buffer.byteLength(body) }
  let request: http.ClientRequest
  try {
    request = (secure ? https : http).request(url, {
      method,
      headers: framed,
      agent,
      ...(leaving && { signal: leaving }),
    })
  } catch (error) {
    return Promise.reject(error)
  }
  request.on('socket', socket => {
    const connected = () => (connectedMs = performance.now() - begun)
    if (!socket.connecting && through) connected()
    else socket.once(secure ? 'secureConnect' : 'connect', connected)
  })
  request.on('response', response => {
    let bytes = 0
    const seen = (see: () => void) => {
      try {
        see()
      } catch (error) {
        reject(error)
      }
    }
    if (watch) seen(() => watch.head(response.statusCode ?? 0, response.headers))
    const answer = () =>
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers,
        bytes: Buffer.concat(chunks),
        connectedMs,
      })
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      if (watch) seen(() => watch.more(chunk.length))
      if ((bytes += chunk.length) >= mostBytes) answer()
    })
    response.on('end', answer)
    response.on('error', reject)
  })
  request.on('error', reject)
  const late = (ms: number) => {
    const what = `no ${connectedMs === 0 && (through || ms < timeoutMs) ? 'connection' : 'answer'} in ${ms / 1000} s`
    reject(
      through && connectedMs === 0 ? proxyFault(through, what) : Object.assign(new Error(what), { code: 'ETIMEDOUT' }),
    )
  }
  const timers = [setTimeout(late, timeoutMs, timeoutMs)]
  if (connectMs < timeoutMs) timers.push(setTimeout(() => connectedMs === 0 && late(connectMs), connectMs))
  request.end(body)
  return promise.finally(() => {
    for (const timer of timers) clearTimeout(timer)
    request.on('error', () => {})
    request.destroy()
    agent.destroy()
  })
}

function agentOf(secure: boolean, { through, guard, ca }: AskOptions): http.Agent {
  const pool = { keepAlive: false, ...(ca === undefined ? {} : { ca }) }
  if (through) return secure ? new SecureTunnel(through, pool) : new PlainTunnel(through, pool)
  if (guard) return secure ? new SecureGuarded(guard, pool) : new PlainGuarded(guard, pool)
  return secure ? new https.Agent(pool) : new http.Agent(pool)
}
