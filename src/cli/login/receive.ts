// Receives a browser that comes back from a vendor's page, on a port of this machine that listens for nothing else.
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Receiver {
  redirectUri: string
  /** the query of whoever comes to the path; others are told that there is nothing */
  returned: Promise<string>
  close(): void
}

/**
 * Listens on loopback alone. `answer` is told to the person, by what came; undefined: it was somebody else, who is told nothing.
 * @param at where the browser is sent, when the vendor knows one address only
 * @throws when the port is taken
 */
export async function receive(
  port: number,
  answer: (query: string) => string | undefined,
  at?: URL,
): Promise<Receiver> {
  const { promise, resolve } = Promise.withResolvers<string>()
  const awaited = at?.pathname ?? '/callback'
  const server = http.createServer((req, res) => {
    const [path, query = ''] = (req.url ?? '').split('?')
    const text = req.method === 'GET' && path === awaited ? answer(`?${query}`) : undefined
    res.writeHead(text === undefined ? 404 : 200, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' })
    res.end(`${text ?? 'There is nothing here.'}\n`, () => text !== undefined && resolve(`?${query}`))
  })
  server.listen(at ? Number(at.port) : port, '127.0.0.1')
  await once(server, 'listening')
  return {
    redirectUri: at?.href ?? `http://127.0.0.1:${(server.address() as AddressInfo).port}${awaited}`,
    returned: promise,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}
