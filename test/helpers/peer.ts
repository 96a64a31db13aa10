// An upstream that says exactly the bytes it is told, and a request to it that writes down all that it hears.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import net, { type AddressInfo } from 'node:net'
import path from 'node:path'
import tls from 'node:tls'
import type { Test } from 'tap'
import type { Through } from '../../src/egress/through.ts'
import type { Body, Controller, Engine, Handler, Head } from '../../src/gateway/ask/engine/engine.ts'
import { until } from './gateway.ts'

const fixture = (name: string) => readFileSync(path.join(import.meta.dirname, '../fixtures', name), 'utf8')

/** A certificate for `localhost` that nobody has signed but itself, valid till 2126, and its key. */
export const localhost = { cert: fixture('localhost.cert.pem'), key: fixture('localhost.key.pem') }

/** One connection, as the upstream sees it. */
export class Line {
  /** how many there were before it */
  readonly index: number
  readonly socket: net.Socket
  closed = false
  ended = false
  #heard = Buffer.alloc(0)
  #woken = () => {}

  constructor(socket: net.Socket, index: number) {
    this.index = index
    this.socket = socket
    socket.setNoDelay(true)
    socket.on('data', bytes => {
      this.#heard = this.#heard.length === 0 ? bytes : Buffer.concat([this.#heard, bytes])
      this.#woken()
    })
    socket.on('end', () => {
      this.ended = true
      this.#woken()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      this.closed = true
      this.#woken()
    })
  }

  /** The next request's head, lines and all; undefined when there is none any more. */
  async head(): Promise<string | undefined> {
    for (;;) {
      const end = this.#heard.indexOf('\r\n\r\n')
      if (end >= 0) {
        const head = this.#heard.toString('latin1', 0, end + 4)
        this.#heard = this.#heard.subarray(end + 4)
        return head
      }
      if (this.closed || this.ended) return undefined
      await this.#more()
    }
  }

  /** The next request: its head and, by its length, its body. */
  async request(): Promise<{ head: string; body: Buffer } | undefined> {
    const head = await this.head()
    if (head === undefined) return undefined
    const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0)
    while (this.#heard.length < length && !this.closed && !this.ended) await this.#more()
    const body = this.#heard.subarray(0, length)
    this.#heard = this.#heard.subarray(length)
    return { head, body }
  }

  say(bytes: string | Buffer): void {
    this.socket.write(bytes)
  }

  /** Says it one byte at a time. */
  async dribble(text: string): Promise<void> {
    for (const byte of text) {
      this.say(byte)
      await turn()
    }
  }

  #more(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#woken = resolve
    return promise
  }
}

export interface Peer {
  origin: URL
  /** every connection there ever was, oldest first */
  lines: Line[]
}

/** Listens until the test ends; `serve` plays the upstream on each connection. */
export async function peer(t: Test, serve: (line: Line) => unknown, secure?: tls.TlsOptions): Promise<Peer> {
  const lines: Line[] = []
  const accept = (socket: net.Socket) => {
    const line = new Line(socket, lines.length)
    lines.push(line)
    void serve(line)
  }
  const server = secure
    ? tls.createServer({ ...secure, allowHalfOpen: true }, accept)
    : net.createServer({ allowHalfOpen: true }, accept)
  if (secure) server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  t.teardown(() => {
    for (const { socket } of lines) socket.destroy()
    server.close()
  })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return { origin: new URL(`${secure ? 'https://localhost' : 'http://127.0.0.1'}:${port}`), lines }
}

/** Serves every request on every connection with what `answer` says, and keeps the connection. */
export const answering =
  (answer: (request: { head: string; body: Buffer }, line: Line, n: number) => unknown) => async (line: Line) => {
    for (let n = 0; ; n++) {
      const request = await line.request()
      if (!request) return
      await answer(request, line, n)
    }
  }

/** What a request asks for, and what is done when something is heard. */
export interface Question {
  method?: string
  path?: string
  headers?: Record<string, string | string[] | number>
  body?: readonly Buffer[]
  fresh?: boolean
  via?: Through
  onHead?: (asked: Asked) => void
  onData?: (asked: Asked, bytes: Buffer) => void
  onEnd?: (asked: Asked) => void
}

/** A request and all that its handler was told. */
export class Asked implements Handler {
  controller!: Controller
  answer: Head | undefined
  error: NodeJS.ErrnoException | undefined
  ended = false
  /** set by who aborts it */
  aborted = false
  bytes = 0
  readonly #chunks: Buffer[] = []
  readonly #t: Test
  readonly #question: Question
  readonly #over = Promise.withResolvers<void>()

  constructor(t: Test, question: Question) {
    this.#t = t
    this.#question = question
  }

  get text(): string {
    return this.whole.toString('latin1')
  }
  get whole(): Buffer {
    return Buffer.concat(this.#chunks)
  }
  /** Resolves when it has ended or failed, and its connection has had time to rest. */
  async over(): Promise<this> {
    await this.#over.promise
    for (let i = 0; i < 5; i++) await turn()
    return this
  }

  abort(): void {
    this.aborted = true
    this.controller.abort()
  }

  head(head: Head): void {
    this.#may('head', this.answer !== undefined)
    this.answer = head
    this.#question.onHead?.(this)
  }
  data(bytes: Buffer): void {
    this.#may('data', this.answer === undefined)
    this.#chunks.push(bytes)
    this.bytes += bytes.length
    this.#question.onData?.(this, bytes)
  }
  end(): void {
    this.#may('end', this.answer === undefined)
    this.ended = true
    this.#question.onEnd?.(this)
    this.#over.resolve()
  }
  fail(error: NodeJS.ErrnoException): void {
    this.#may('fail', this.controller === undefined)
    this.error = error
    this.#over.resolve()
  }

  #may(call: string, not: boolean): void {
    if (not || this.ended || this.error || this.aborted) this.#t.fail(`the handler was told out of turn: ${call}`)
  }
}

/** Sends a request; the test fails if its handler is told anything out of turn. */
export function ask(t: Test, engine: Engine, origin: URL, question: Question = {}): Asked {
  const asked = new Asked(t, question)
  const pieces = question.body ?? [Buffer.from('{}')]
  const body: Body = { pieces, bytes: pieces.reduce((sum, piece) => sum + piece.length, 0) }
  const { method = 'POST', path: asks = '/v1', headers = {}, fresh, via } = question
  const request = { method, origin, path: asks, headers: { host: origin.host, ...headers }, ...(via && { via }) }
  asked.controller = engine.send(request, body, asked, fresh)
  return asked
}

/** One turn of the loop. */
export const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

export const closes = (t: Test, line: () => Line | undefined): Promise<void> =>
  until(t, 'the upstream sees the connection close', () => line() !== undefined && (line()!.closed || line()!.ended))
