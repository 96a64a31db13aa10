// Ask: one small HTTP request of our own, through an egress proxy or not, its answer read whole. It follows no redirect.
import http from 'node:http'
import https from 'node:https'
import { proxyFault, type Through } from './through.ts'
import { PlainTunnel, SecureTunnel } from './tunnel.ts'

export interface Question {
  url: URL
  method: string
  headers: Record<string, string | string[] | number>
  body?: string | undefined
}

export interface Answer {
  status: number
  headers: http.IncomingHttpHeaders
  /** at most `mostBytes` of it */
  body: string
  /** ms until there was a connection, TLS and all */
  connectedMs: number
}

export interface AskOptions {
  through: Through | null
  /** of all of it */
  timeoutMs: number
  /** default 64 KB; what comes after is not read */
  mostBytes?: number
  /** ends it */
  leaving?: AbortSignal | undefined
}

/** @throws Error with node's code, EPROXY for what an egress proxy did, ETIMEDOUT when it took too long */
export function ask(
  question: Question,
  { through, timeoutMs, mostBytes = 64 * 1024, leaving }: AskOptions,
): Promise<Answer> {
  const { url, method, headers, body = '' } = question
  const secure = url.protocol === 'https:'
  const pool = { keepAlive: false }
  const agent = through
    ? secure
      ? new SecureTunnel(through, pool)
      : new PlainTunnel(through, pool)
    : secure
      ? new https.Agent(pool)
      : new http.Agent(pool)
  const begun = performance.now()
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
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
    const answer = () =>
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers,
        body: Buffer.concat(chunks).toString('utf8', 0, mostBytes),
        connectedMs,
      })
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      if ((bytes += chunk.length) >= mostBytes) answer()
    })
    response.on('end', answer)
    response.on('error', reject)
  })
  request.on('error', reject)
  const timer = setTimeout(() => {
    const seconds = `no answer in ${timeoutMs / 1000} s`
    reject(
      through && connectedMs === 0
        ? proxyFault(through, `no connection in ${timeoutMs / 1000} s`)
        : Object.assign(new Error(seconds), { code: 'ETIMEDOUT' }),
    )
  }, timeoutMs)
  request.end(body)
  return promise.finally(() => {
    clearTimeout(timer)
    request.on('error', () => {})
    request.destroy()
    agent.destroy()
  })
}
