// Booking in the test's own thread: a batch at a time, or as a spool has it done.
import path from 'node:path'
import { CompiledQuery, type Kysely } from 'kysely'
import { type Booked, book as bookOn } from '../../src/core/books/book.ts'
import type { UsageLine } from '../../src/core/books/line.ts'
import { move } from '../../src/core/books/move.ts'
import type { Mover } from '../../src/core/books/mover.ts'
import { readLine } from '../../src/core/books/read-line.ts'
import type { Tables } from '../../src/db/schema.ts'

/** Books lines as they stand in the spool. */
export function book(db: Kysely<Tables>, lines: readonly (string | UsageLine)[], timezone: string): Promise<Booked> {
  const rows = lines.map(line => (typeof line === 'string' ? readLine(line) : line))
  return db.connection().execute(own => {
    const run = <Row>(text: string, values: readonly (string | null)[] = []) =>
      own.executeQuery<Row>(CompiledQuery.raw(text, [...values]))
    return bookOn({ run }, rows, timezone)
  })
}

/** A mover without a thread; it sets lines aside in the folder. */
export function moverHere({
  folder,
  ...rest
}: {
  folder: string
  batch: number
  book: (lines: readonly UsageLine[]) => Promise<Booked>
}): Mover {
  const closing = new AbortController()
  const options = { ...rest, refusedFile: path.join(folder, 'refused.jsonl') }
  return {
    start() {},
    move: (stretches, told) => move(stretches, options, told, closing.signal),
    book: lines => options.book(lines.map(readLine)),
    async close() {
      closing.abort()
    },
  }
}
