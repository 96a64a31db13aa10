// Who is told of alerts: an HTTP receiver and an SMTP server, real sockets both, that write down what they get.
import { once } from 'node:events'
import http from 'node:http'
import type net from 'node:net'
import { SMTPServer } from 'smtp-server'
import type { Test } from 'tap'

export interface Got {
  path: string
  headers: http.IncomingHttpHeaders
  body: string
  json: Record<string, unknown>
}

export interface Reply {
  status?: number
  headers?: Record<string, string>
  body?: string
  /** never answers */
  silent?: boolean
}

/** Listens until the test ends. `reply` says what to answer to the nth request, from 0. */
export async function receiver(t: Test, reply: (n: number, got: Got) => Reply | undefined = () => undefined) {
  const got: Got[] = []
  const server = http.createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString()
      const one = { path: request.url!, headers: request.headers, body, json: JSON.parse(body) }
      const { status = 200, headers = {}, body: said = 'ok', silent } = reply(got.push(one) - 1, one) ?? {}
      if (!silent) response.writeHead(status, headers).end(said)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { got, url: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}` }
}

export interface Mail {
  from: string
  to: string[]
  /** as it came, headers and all */
  raw: string
}

/** An SMTP server for `user` with `password`; recipients that begin with `nobody` are refused. */
export async function mailServer(t: Test, login: { user: string; password: string }) {
  const mails: Mail[] = []
  const server = new SMTPServer({
    disabledCommands: ['STARTTLS'],
    allowInsecureAuth: true,
    logger: false,
    onAuth({ username, password }, _session, done) {
      if (username === login.user && password === login.password) done(null, { user: username })
      else {
        const sent = Buffer.from(`\0${username}\0${password}`).toString('base64')
        done(new Error(`wrong password ${password}, AUTH PLAIN ${sent}`))
      }
    },
    onRcptTo({ address }, _session, done) {
      done(address.startsWith('nobody') ? new Error('no such mailbox') : null)
    },
    onData(stream, { envelope }, done) {
      const chunks: Buffer[] = []
      stream.on('data', chunk => chunks.push(chunk))
      stream.on('end', () => {
        const from = envelope.mailFrom === false ? '' : envelope.mailFrom.address
        mails.push({ from, to: envelope.rcptTo.map(({ address }) => address), raw: Buffer.concat(chunks).toString() })
        done()
      })
    },
  })
  server.on('error', () => {})
  server.listen(0, '127.0.0.1')
  await once(server.server, 'listening')
  const close = () => new Promise<void>(resolve => server.close(() => resolve()))
  t.teardown(close)
  const { port } = server.server.address() as net.AddressInfo
  return { mails, url: `smtp://${encodeURIComponent(login.user)}@127.0.0.1:${port}` }
}
