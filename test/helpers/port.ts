// Somewhere to listen, below the ports that the kernel gives to connections.
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'

export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_000)
    const server = net.createServer().listen(port, '127.0.0.1')
    const free = await once(server, 'listening').then(
      () => true,
      () => false,
    )
    server.close()
    if (free) return port
  }
}
