// Listening and ceasing to: an HTTP server at an address, on a socket of systemd's, and closed with every connection.

import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Address, formatAddress } from '../config/address.ts'
import { Refusal } from '../lib/refusal.ts'
import { why } from '../lib/why.ts'

/**
 * Listens. `setting` names what the address was set by; `failed` hears of connections that could not be taken in.
 * @returns `http://host:port`, or the path of a unix socket
 * @throws Refusal `unreachable`
 */
export async function listenOn(
  server: Server,
  address: Address,
  setting: string,
  failed: (error: NodeJS.ErrnoException) => void = () => {},
): Promise<string> {
  let heard = failed
  // Once it listens an error is of a connection that could not be taken in, and no reason to end.
  server.on('error', (error: NodeJS.ErrnoException) => heard(error))
  await new Promise<void>((resolve, reject) => {
    heard = error => {
      const reason =
        error.code === 'EADDRINUSE'
          ? 'another program listens there'
          : error.code === 'EACCES'
            ? 'this user may not listen there'
            : why(error)
      reject(
        new Refusal(
          'unreachable',
          `${setting} ${formatAddress(address)}: ${reason}; choose another with ${setting === 'listen' ? '--listen' : setting}`,
          { cause: error },
        ),
      )
    }
    server.listen(address, resolve)
  })
  heard = failed
  const bound = server.address() as AddressInfo | string
  return typeof bound === 'string' ? bound : `http://${formatAddress({ host: bound.address, port: bound.port })}`
}

/** Ends every connection at once. */
export function closeNow(server: Server): Promise<void> {
  return new Promise(resolve => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

/** The listening socket that systemd passed to us, if any (sd_listen_fds(3)). */
export function activatedFd(env: NodeJS.ProcessEnv = process.env): number | undefined {
  return env['LISTEN_PID'] === String(process.pid) && Number(env['LISTEN_FDS']) >= 1 ? 3 : undefined
}
