// Vanished: clients that are gone without a word, found in the kernel's tables of connections.
//
// While nothing is in flight the kernel's own probes end such a connection after 25 s (door.ts asks for them). With bytes in flight
// it has no time for that: it sends them again, at growing intervals, for a quarter of an hour, and tells nobody. It does show how often.
import { readFile } from 'node:fs/promises'
import { SocketAddress } from 'node:net'
import { endianness } from 'node:os'
import { plain } from '../../lib/address.ts'
import type { Crowd } from '../../lib/crowd.ts'
import { Failure } from '../../lib/failure.ts'
import type { Downstream } from './downstream.ts'

/** How often to look. */
export const LOOK_EVERY_MS = 3_000

// With a ping every 10 s a client that vanished is so found within 30: 10 until bytes are in flight, 3 until we look, and these.
const SILENT_MS = 15_000
// A link that loses much is not gone. In 15 s the kernel tries six times where the way is short, and four where it is very long.
const IN_VAIN = 3

export interface VanishedOptions {
  live: Crowd<Downstream>
  /** where clients connect to; undefined on a unix socket */
  port: () => number | undefined
  /** ms */
  now: () => number
  /** the tables as the kernel writes them; default /proc/net/tcp and tcp6, nothing on other systems */
  read?: () => Promise<readonly string[]>
}

/** Ends the requests of clients that acknowledge nothing any more; whoever reads slowly does acknowledge that. */
export class Vanished {
  readonly #by: VanishedOptions
  /** by `address port` of the client: how often the kernel has tried in vain, and since when that number has not fallen */
  #suspects = new Map<string, { tries: number; since: number }>()
  #looking = false
  /** when it last looked */
  #lookedAt = Number.NEGATIVE_INFINITY

  constructor(by: VanishedOptions) {
    this.#by = by
  }

  /** Looks once; of no cost while there are only young requests. */
  async look(): Promise<void> {
    const { live, port, now, read = readTables } = this.#by
    const at = port()
    if (at === undefined || this.#looking || !this.#worthwhile()) return
    // Set back, the clock would give who is gone as much more time.
    const back = this.#lookedAt - now()
    if (back > 0) for (const suspect of this.#suspects.values()) suspect.since -= back
    this.#lookedAt = now()
    this.#looking = true
    try {
      const found = new Map<string, { tries: number; since: number }>()
      for (const table of await read())
        for (const [client, tries] of unanswered(table, at)) {
          const before = this.#suspects.get(client)
          found.set(client, { tries, since: before && tries >= before.tries ? before.since : now() })
        }
      this.#suspects = found
    } finally {
      this.#looking = false
    }
    const gone = new Set<string>()
    for (const [client, { tries, since }] of this.#suspects)
      if (tries >= IN_VAIN && now() - since >= SILENT_MS) gone.add(client)
    if (gone.size === 0) return
    for (const down of live) {
      const { socket } = down
      if (!gone.has(`${plain(socket.remoteAddress ?? '')} ${socket.remotePort}`)) continue
      const cause = new Error('it acknowledges nothing any more')
      down.interrupt(new Failure('CLIENT_GONE', [], { cause }))
      // Not closed in peace: the kernel would go on trying.
      socket.resetAndDestroy()
    }
  }

  #worthwhile(): boolean {
    if (this.#suspects.size > 0) return true
    const { live, now } = this.#by
    const at = now()
    // One that came so much later than now came before the clock was set back.
    for (const { ticket } of live) if (ticket.at <= at - LOOK_EVERY_MS || ticket.at > at + SILENT_MS) return true
    return false
  }
}

/**
 * Of the connections to a local port those whose last bytes or probes of a full window are not acknowledged, as `address port` of the client,
 * and how often in a row they were sent in vain. A full window that is acknowledged counts 0.
 */
export function* unanswered(table: string, port: number): Generator<[client: string, tries: number]> {
  const local = port.toString(16).toUpperCase().padStart(4, '0')
  for (let start = table.indexOf('\n') + 1; start > 0; start = table.indexOf('\n', start) + 1) {
    // Of ten thousand lines only a few are read: first the one column that says whether it is worth it.
    const address = table.indexOf(':', start) + 2
    if (address <= start) return
    const digits = table.indexOf(':', address) - address
    const timer = table.charAt(address + 2 * digits + 34)
    if ((timer !== '1' && timer !== '4') || !table.startsWith(local, address + digits + 1)) continue
    const [, client, peer, again, probes] =
      columns.exec(table.slice(address + digits + 6, address + digits + 140)) ?? []
    if (client === undefined) continue
    const tries = timer === '1' ? Number.parseInt(again!, 16) : Number(probes)
    if (tries > 0) yield [`${addressOf(client)} ${Number.parseInt(peer!, 16)}`, tries]
  }
}

// sl: local rem st tx:rx tr:when retrnsmt uid timeout. The timer is 01 for bytes that are sent again, which retrnsmt counts, and 04
// for probes of a full window, of which timeout counts those that nobody answered.
const columns = /^([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) .. .{8}:.{8} 0.:.{8} ([0-9A-F]{8}) +\d+ +(\d+)/

// Words of 32 bits, each as this machine keeps it.
function addressOf(hex: string): string {
  const bytes = Buffer.from(hex, 'hex')
  if (endianness() === 'LE') bytes.swap32()
  if (bytes.length === 4) return bytes.join('.')
  const groups = bytes.toString('hex').replaceAll(/....(?!$)/g, '$&:')
  return plain(new SocketAddress({ address: groups, family: 'ipv6' }).address)
}

async function readTables(): Promise<readonly string[]> {
  if (process.platform !== 'linux') return []
  // A kernel without IPv6 has one of them; one that hides both leaves us as we were.
  const tables = await Promise.allSettled(['tcp', 'tcp6'].map(name => readFile(`/proc/net/${name}`, 'latin1')))
  return tables.flatMap(table => (table.status === 'fulfilled' ? [table.value] : []))
}
