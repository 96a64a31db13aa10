// A client that says exactly the bytes it is told, and shows exactly the bytes it hears.
import net from 'node:net'
import type { Test } from 'tap'
import { until } from './gateway.ts'

export interface Wire {
  /** Resolves when the kernel took the bytes. */
  write(bytes: string | Buffer): Promise<void>
  /** What has come so far. */
  readonly text: string
  readonly bytes: Buffer
  /** How the other side ended it, undefined while it has not. */
  readonly ended: 'FIN' | 'RST' | undefined
  /** Waits until the text matches. */
  saw(pattern: RegExp): Promise<string>
  /** Waits until the other side ends it. */
  end(): Promise<'FIN' | 'RST'>
  /** Stops reading: the kernel's buffers fill, then the other side's. */
  pause(): void
  resume(): void
  /** Leaves, as a client does whose user pressed Ctrl-C. */
  leave(): void
  /** Leaves with a RST. */
  reset(): void
}

/** Connects; whatever is left open is closed with the test. */
export async function connect(t: Test, url: string): Promise<Wire> {
  const { hostname, port } = new URL(url)
  const socket = net.connect(Number(port), hostname)
  t.teardown(() => socket.destroy())
  const chunks: Buffer[] = []
  let ended: Wire['ended']
  socket.on('data', chunk => chunks.push(chunk))
  socket.on('end', () => (ended ??= 'FIN'))
  socket.on('error', () => (ended ??= 'RST'))
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  const wire: Wire = {
    write: bytes => new Promise(resolve => socket.write(bytes, () => resolve())),
    get text() {
      return Buffer.concat(chunks).toString('latin1')
    },
    get bytes() {
      return Buffer.concat(chunks)
    },
    get ended() {
      return ended
    },
    async saw(pattern) {
      await until(t, `${pattern} is read from the socket`, () => pattern.test(wire.text))
      return wire.text
    },
    async end() {
      await until(t, 'the other side ends the connection', () => ended !== undefined)
      return ended!
    },
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    leave: () => void socket.destroy(),
    reset: () => void socket.resetAndDestroy(),
  }
  return wire
}

/** A request head; a body's length or coding is for the caller to say. */
export function head(line: string, headers: Record<string, string | number> = {}): string {
  const fields = Object.entries({ host: 'gw', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${line} HTTP/1.1\r\n${fields.join('')}\r\n`
}

/** POST /v1/messages with a body, as text. */
export function post(key: string, body: object, headers: Record<string, string | number> = {}): string {
  const text = JSON.stringify(body)
  const all = { 'x-api-key': key, 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
  return head('POST /v1/messages', { ...all, ...headers }) + text
}

/** TCP sockets of this process that are open, both ends counted when both are here. */
export function sockets(): number {
  return process.getActiveResourcesInfo().filter(name => name === 'TCPSocketWrap').length
}
