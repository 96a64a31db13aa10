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
  /** Notifications are lost from now on, or pass again: as behind a pooler that gives a session away between transactions. */
  deafen(deaf: boolean): void
}

/** Stands in front of the database of a url that freshDatabase gave; open until the test ends. */
export async function outageOf(t: Test, url: string): Promise<Outage> {
  const host = /host=(.+)$/.exec(url)![1]!
  const folder = mkdtempSync(path.join(tmpdir(), 'gw-pg-'))
  const sockets = new Set<net.Socket>()
  let silent = false
  let deaf = false
  const held: (() => void)[] = []
  const pass = (work: () => void) => (silent ? held.push(work) : work())

  const server = net.createServer(client => {
    const postgres = net.connect(path.join(host, '.s.PGSQL.5432'))
    for (const [from, to] of [
      [client, postgres],
      [postgres, client],
    ] as const) {
      sockets.add(from)
      const cut = from === postgres ? withoutNotifications(() => deaf) : (bytes: Buffer) => bytes
      from.on('data', bytes => pass(() => to.write(cut(bytes))))
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
    deafen: now => {
      deaf = now
    },
  }
}

/** A server's messages, each a letter and its length, but for those of LISTEN ('A') while nobody is to hear them. */
function withoutNotifications(deaf: () => boolean): (bytes: Buffer) => Buffer {
  let rest = Buffer.alloc(0)
  return bytes => {
    rest = Buffer.concat([rest, bytes])
    const kept: Buffer[] = []
    while (rest.length >= 5 && rest.length > rest.readInt32BE(1)) {
      const end = 1 + rest.readInt32BE(1)
      if (!(deaf() && rest[0] === 0x41)) kept.push(rest.subarray(0, end))
      rest = rest.subarray(end)
    }
    return Buffer.concat(kept)
  }
}
