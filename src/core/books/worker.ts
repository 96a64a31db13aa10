// The books' worker thread: reads the spool and writes Postgres on connections of its own, and says what was booked.
import { parentPort, workerData } from 'node:worker_threads'
import pg from 'pg'
import { revived } from '../../db/server.ts'
import { type Session, sessionOn } from '../../db/session.ts'
import { type Booked, book } from './book.ts'
import type { UsageLine } from './line.ts'
import { isBadRow, type Moved, move } from './move.ts'
import { readLine } from './read-line.ts'
import type { Stretch } from './segment.ts'

/** What a worker is started with. */
export interface WorkerSettings {
  connection: pg.ClientConfig
  timezone: string
  refusedFile: string
  batch: number
}

export type Order =
  | { id: number; move: Stretch[] }
  /** lines that no disk has */
  | { id: number; book: string[] }
  /** nothing more is begun; the worker ends when what is under way has */
  | { close: true }

/** Of an order, by its id. An error keeps no more than this between threads. */
export type Report =
  | { id: number; moved: Moved }
  | { id: number; done: true; booked?: Booked }
  | { id: number; failed: string; code: string | undefined; constraint: string | undefined }

const { connection, timezone, refusedFile, batch } = workerData as WorkerSettings
const port = parentPort!
const closing = new AbortController()
/** partitions that are known to be there */
const made = new Set<string>()

/** Books on a connection of its own, which is opened when it is needed and again after whatever goes wrong with it. */
function bookkeeper() {
  let client: pg.Client | undefined
  const drop = async () => {
    const broken = client
    client = undefined
    await broken?.end().catch(() => {})
  }
  async function connected(): Promise<Session> {
    if (client === undefined) {
      // A server that is gone without a word must not leave a query waiting for ever.
      const keepAlive = { keepAlive: true, keepAliveInitialDelayMillis: 10_000 }
      const fresh = new pg.Client({ ...revived(connection), application_name: 'gw books', ...keepAlive })
      // Whatever it is, the next statement fails of it.
      fresh.on('error', () => {})
      fresh.once('end', () => {
        if (client === fresh) client = undefined
      })
      try {
        await fresh.connect()
      } catch (error) {
        await fresh.end().catch(() => {})
        throw error
      }
      client = fresh
    }
    return sessionOn(client)
  }
  return {
    async book(lines: readonly UsageLine[]): Promise<Booked> {
      try {
        return await book(await connected(), lines, timezone, made)
      } catch (error) {
        // Also where only a plan is stale: a new connection has none.
        if (!(error instanceof pg.DatabaseError) || !isBadRow(error)) await drop()
        throw error
      }
    },
    drop,
  }
}

const [ofSpool, ofTill] = [bookkeeper(), bookkeeper()]

async function obey(order: Exclude<Order, { close: true }>): Promise<Booked | undefined> {
  if ('book' in order) return ofTill.book(order.book.map(readLine))
  const told = (moved: Moved) => port.postMessage({ id: order.id, moved } satisfies Report)
  await move(order.move, { refusedFile, batch, book: ofSpool.book }, told, closing.signal)
  return undefined
}

const under = new Set<Promise<unknown>>()
port.on('message', async (order: Order) => {
  if ('close' in order) {
    closing.abort()
    await Promise.all(under)
    await Promise.all([ofSpool.drop(), ofTill.drop()])
    port.close()
    return
  }
  const { id } = order
  const work = obey(order).then(
    booked => port.postMessage({ id, done: true, ...(booked && { booked }) } satisfies Report),
    (error: Error & { code?: string; constraint?: string }) => {
      const { message, code, constraint } = error
      port.postMessage({ id, failed: message, code, constraint } satisfies Report)
    },
  )
  under.add(work)
  await work
  under.delete(work)
})
