// How the tests of the mock talk to it: a request on a real socket, and everything that came back.
import http from 'node:http'
import net from 'node:net'
import type { Test } from 'tap'
import { type Mock, type MockOptions, type Step, startMock } from '../../src/mock/server.ts'

export interface Answer {
  status: number
  headers: http.IncomingHttpHeaders
  /** As they were read from the socket, one per HTTP chunk. */
  chunks: Buffer[]
  body: Buffer
  text: string
  /** The code of the error that ended it early; null when it ended well. */
  failure: string | null
}

export interface Question {
  credential?: string
  method?: string
  path?: string
  body?: unknown
  signal?: AbortSignal
  headers?: Record<string, string>
  /** Told how many bytes of the answer are here, whenever there are more. */
  seen?: (bytes: number) => void
}

/** A mock that ends with the test. The steps are the script of the credential `k`. */
export async function mockFor(t: Test, steps?: Step | Step[], options?: MockOptions): Promise<Mock> {
  const mock = await startMock(options)
  t.teardown(() => mock.close())
  if (steps) mock.script('k', steps)
  return mock
}

export const streaming = {
  model: 'claude-sonnet-5-5',
  max_tokens: 64,
  stream: true,
  messages: [{ role: 'user', content: 'hi' }],
}
export const whole = { ...streaming, stream: false }

/** Asks with the credential `k` for a streamed message, unless told otherwise. Never rejects. */
export function ask(mock: Mock, question: Question = {}): Promise<Answer> {
  const { credential = 'k', path = '/v1/messages', body = streaming, headers = {}, signal, seen } = question
  const method = question.method ?? 'POST'
  const payload = method === 'GET' ? undefined : Buffer.isBuffer(body) ? body : JSON.stringify(body)
  return new Promise(resolve => {
    const options = {
      method,
      agent: false,
      headers: { 'x-api-key': credential, ...headers },
      ...(signal && { signal }),
    }
    const chunks: Buffer[] = []
    let bytes = 0
    const settle = (failure: string | null, status = 0, got: http.IncomingHttpHeaders = {}) => {
      const all = Buffer.concat(chunks)
      resolve({ status, headers: got, chunks, body: all, text: all.toString(), failure })
    }
    const req = http.request(`${mock.url}${path}`, options, res => {
      res.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        seen?.((bytes += chunk.length))
      })
      res.on('error', (error: NodeJS.ErrnoException) =>
        settle(error.code ?? error.message, res.statusCode, res.headers),
      )
      res.on('end', () => settle(null, res.statusCode, res.headers))
    })
    req.on('error', (error: NodeJS.ErrnoException) => settle(error.code ?? error.message))
    req.end(payload)
  })
}

/** The raw bytes of the answer to a streamed message, and whether a FIN or a RST came after them. */
export function rawly(mock: Mock, body: unknown = streaming): Promise<{ text: string; end: 'FIN' | 'RST' }> {
  const payload = JSON.stringify(body)
  return new Promise(resolve => {
    let text = ''
    const socket = net.connect(mock.port, '127.0.0.1', () => {
      socket.write(`POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: k\r\nconnection: close\r\n`)
      socket.write(`content-length: ${Buffer.byteLength(payload)}\r\n\r\n${payload}`)
    })
    socket.on('data', chunk => {
      text += chunk
    })
    socket.on('end', () => resolve({ text, end: 'FIN' }))
    socket.on('error', () => resolve({ text, end: 'RST' }))
  })
}

/** Names and data of the events of a stream with LF line ends. */
export function eventsOf(text: string): { name: string; data: Record<string, unknown> }[] {
  return text
    .split('\n\n')
    .filter(Boolean)
    .map(block => {
      const [, name = '', data = '{}'] = /^event: (.*)\ndata: (.*)$/.exec(block) ?? []
      return { name, data: JSON.parse(data) }
    })
}

export function namesOf(text: string): string[] {
  return eventsOf(text).map(event => event.name)
}
