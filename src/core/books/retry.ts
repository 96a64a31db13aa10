// Retry: refused lines are booked once more, as an operator asked, and what is booked is refused no more.
import pg from 'pg'
import type { Database } from '../../db/connect.ts'
import { type Session, sessionOn } from '../../db/session.ts'
import { book } from './book.ts'
import type { UsageLine } from './line.ts'
import { isBadRow } from './move.ts'
import { readLine } from './read-line.ts'
import { type RefusedLine, settleRefused } from './refused.ts'

/** What became of a line. */
export interface Retried {
  number: number
  request_id: string | null
  booked: boolean
  /** why not */
  why: string | null
}

interface Readable {
  number: number
  line: UsageLine
}

const BATCH = 500

/**
 * Books what can be booked of refused lines, each once however often it is tried, and tells every process whose money it moved.
 * @throws what keeps all of them, a lost database say; what was booked by then stays so
 */
export async function retryRefused(
  { connection }: Pick<Database, 'connection'>,
  refused: readonly RefusedLine[],
  { file, timezone, actor, dryRun }: { file: string; timezone: string; actor: string; dryRun: boolean },
): Promise<Retried[]> {
  const told: Retried[] = []
  const readable: Readable[] = []
  for (const { number, line, why } of refused) {
    try {
      if (line === null) throw new Error(why)
      readable.push({ number, line: readLine(line) })
    } catch (error) {
      told.push({ number, request_id: null, booked: false, why: (error as Error).message })
    }
  }
  const client = new pg.Client(connection)
  await client.connect()
  try {
    const session = dryRun ? withoutTrace(sessionOn(client)) : sessionOn(client)
    const attempt = async (batch: readonly Readable[]): Promise<void> => {
      try {
        await book(
          session,
          batch.map(one => one.line),
          timezone,
        )
      } catch (error) {
        if (!isBadRow(error)) throw error
        if (batch.length > 1) {
          const half = batch.length >> 1
          await attempt(batch.slice(0, half))
          return attempt(batch.slice(half))
        }
        const { number, line } = batch[0]!
        told.push({ number, request_id: line.request_id, booked: false, why: (error as Error).message })
        return
      }
      for (const { number, line } of batch) told.push({ number, request_id: line.request_id, booked: true, why: null })
      if (dryRun) return
      const numbers = batch.map(one => one.number)
      settleRefused(file, numbers, 'booked', actor)
      // Booking moves money without a word, since whoever books knows; here the others have to be told.
      const users = [...new Set(batch.map(one => one.line.user_id))]
      await client.query(`select pg_notify('gw_money', u::text) from unnest($1::integer[]) as u`, [users])
    }
    for (let i = 0; i < readable.length; i += BATCH) await attempt(readable.slice(i, i + BATCH))
  } finally {
    await client.end()
  }
  return told.sort((a, b) => a.number - b.number)
}

/** Does all but keep it. */
function withoutTrace(session: Session): Session {
  return { ...session, run: (text, values) => session.run(text === 'commit' ? 'rollback' : text, values) }
}
