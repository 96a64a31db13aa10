// Between gw and a real Postgres: a socket that can be closed, opened again, or fall silent.
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Test } from 'tap'

export interface Outage {
  /** the database as it is reached through the socket */
  url: string
  /** Breaks every connection; new ones are refused. */
  down(): Promise<void>
  up(): Promise<void>
  /** Nothing passes any more, in neither direction, and nobody is told. Also on connections still to come. */
  silence(): void
  /** What was held back passes now. */
  speak(): void
}

/** Stands in front of the database of a url that freshDatabase gave; open until the test ends. */
export async function outageOf(t: Test, url: string): Promise<Outage> {
  const host = /host=(.+)$/.exec(url)![1]!
  const folder = mkdtempSync(path.join(tmpdir(), 'gw-pg-'))
  const sockets = new Set<net.Socket>()
  let silent = false
  const held: (() => void)[] = []
  const pass = (work: () => void) => (silent ? held.push(work) : work())

  const server = net.createServer(client => {
    const postgres = net.connect(path.join(host, '.s.PGSQL.5432'))
    for (const [from, to] of [
      [client, postgres],
      [postgres, client],
    ] as const) {
      sockets.add(from)
      from.on('data', bytes => pass(() => to.write(bytes)))
      from.on('end', () => pass(() => to.end()))
      from.on('error', () => to.destroy())
      from.on('close', () => sockets.delete(from))
    }
  })
  const down = async () => {
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    for (const socket of sockets) socket.destroy()
    await closed
  }
  const up = async () => {
    server.listen(path.join(folder, '.s.PGSQL.5432'))
    await once(server, 'listening')
  }
  await up()
  t.teardown(async () => {
    await down()
    rmSync(folder, { recursive: true, force: true })
  })
  return {
    url: url.replace(host, folder),
    down,
    up,
    silence: () => {
      silent = true
    },
    speak: () => {
      silent = false
      for (const work of held.splice(0)) work()
    },
  }
}
