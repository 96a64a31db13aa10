// Egress proxies for tests: HTTP CONNECT and SOCKS5 on loopback, which write down who asked for what, and do as they are told.
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import tls from 'node:tls'
import type { Test } from 'tap'
import type { Scheme, Through } from '../../src/egress/through.ts'
import { localhost } from './peer.ts'

/** What a proxy does when it is asked for a connection. */
export type Conduct = 'connect' | 'refuse' | 'silent' | 'hang up' | 'babble'

export interface Egress {
  through: Through
  url: string
  /** the targets it was asked for, `host:port` as they came, oldest first */
  asked: string[]
  /** logins it was shown, `user:password` */
  logins: string[]
  /** connections to it now */
  open(): number
  /** from now on */
  conduct: Conduct
  close(): void
}

export interface EgressSetup {
  scheme?: Scheme
  id?: number
  name?: string
  /** `user:password` that it wants, as a URL writes it */
  login?: string
  /** what is sent in place of it */
  sends?: string
  conduct?: Conduct
}

/** Listens until the test ends. Names are looked up here: every one of them is this machine. */
export async function egress(t: Test, setup: EgressSetup = {}): Promise<Egress> {
  const { scheme = 'http', id = 1, name = 'way', login, sends = login } = setup
  const sockets = new Set<net.Socket>()
  const wanted = login?.split(':').map(decodeURIComponent).join(':')
  const accept = (socket: net.Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
    if (scheme.startsWith('http')) void connects(socket)
    else void speaksSocks(socket)
  }
  const server = scheme === 'https' ? tls.createServer(localhost, accept) : net.createServer(accept)
  if (scheme === 'https') server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const host = scheme === 'https' ? 'localhost' : '127.0.0.1'
  const self: Egress = {
    through: { id, name, scheme, host, port, login: sends ? { reveal: () => sends } : null },
    url: `${scheme}://${sends ? `${sends}@` : ''}${host}:${port}`,
    asked: [],
    logins: [],
    open: () => sockets.size,
    conduct: setup.conduct ?? 'connect',
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
  t.teardown(() => self.close())

  /** @returns whether it goes on */
  function behaves(socket: net.Socket, refusal: string | Buffer): boolean {
    if (self.conduct === 'hang up') socket.destroy()
    else if (self.conduct === 'babble') socket.end('220 mail.example ESMTP ready and glad to hear from you\r\n\r\n')
    else if (self.conduct === 'refuse') socket.end(refusal)
    return self.conduct === 'connect'
  }
  function join(socket: net.Socket, target: string, connected: string | Buffer): void {
    const far = net.connect(Number(target.slice(target.lastIndexOf(':') + 1)), '127.0.0.1', () => {
      socket.write(connected)
      socket.pipe(far).pipe(socket)
    })
    socket.on('close', () => far.destroy())
    far.on('close', () => socket.destroy()).on('error', () => socket.destroy())
  }
  async function connects(socket: net.Socket): Promise<void> {
    const head = await read(socket, bytes => {
      const end = bytes.indexOf('\r\n\r\n')
      return end < 0 ? undefined : end + 4
    }).catch(() => undefined)
    if (!head) return
    const text = head.toString('latin1')
    const target = /^CONNECT (\S+) HTTP\/1\.1\r\nHost: \1\r\n/.exec(text)?.[1]
    const shown = /^proxy-authorization: Basic (\S+)/im.exec(text)?.[1]
    if (shown) self.logins.push(Buffer.from(shown, 'base64').toString())
    self.asked.push(target ?? text)
    if (!behaves(socket, 'HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\n\r\n<h1>evil page</h1>')) return
    if (wanted && self.logins.at(-1) !== wanted)
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\n\r\n')
    else join(socket, target!, 'HTTP/1.1 200 Connection established\r\n\r\n')
  }
  async function speaksSocks(socket: net.Socket): Promise<void> {
    const exactly = (n: number) => read(socket, bytes => (bytes.length >= n ? n : undefined))
    try {
      const methods = await exactly((await exactly(2))[1]!)
      const method = wanted && methods.includes(2) ? 2 : wanted ? 0xff : 0
      if (self.conduct !== 'refuse' && !behaves(socket, '')) return void self.asked.push('')
      socket.write(Buffer.of(5, method))
      if (method === 2) {
        const user = await exactly((await exactly(2))[1]!)
        const password = await exactly((await exactly(1))[0]!)
        self.logins.push(`${user}:${password}`)
        socket.write(Buffer.of(1, self.logins.at(-1) === wanted ? 0 : 1))
        if (self.logins.at(-1) !== wanted) return void socket.end()
      }
      const kind = (await exactly(4))[3]!
      const host =
        kind === 3 ? String(await exactly((await exactly(1))[0]!)) : [...(await exactly(kind === 1 ? 4 : 16))].join('.')
      const target = `${host}:${(await exactly(2)).readUInt16BE()}`
      self.asked.push(target)
      const reply = (code: number) => Buffer.of(5, code, 0, 1, 0, 0, 0, 0, 0, 0)
      if (behaves(socket, reply(5))) join(socket, target, reply(0))
    } catch {
      socket.destroy()
    }
  }
  return self
}

/** Reads so many bytes as `enough` finds complete, and no more. */
async function read(socket: net.Socket, enough: (bytes: Buffer) => number | undefined): Promise<Buffer> {
  let bytes = Buffer.alloc(0)
  for (;;) {
    const end = enough(bytes)
    if (end !== undefined) {
      if (end < bytes.length) socket.unshift(bytes.subarray(end))
      return bytes.subarray(0, end)
    }
    const more = socket.read() as Buffer | null
    if (more) bytes = Buffer.concat([bytes, more])
    else {
      if (socket.destroyed || socket.readableEnded) throw new Error('gone')
      const { promise, resolve } = Promise.withResolvers<void>()
      const events = ['readable', 'close', 'end'] as const
      for (const event of events) socket.on(event, resolve)
      await promise
      for (const event of events) socket.off(event, resolve)
    }
  }
}
