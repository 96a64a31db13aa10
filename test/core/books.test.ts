// Books with their thread, against a real Postgres: what was settled is booked once and told once, whatever dies in between.

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Worker } from 'node:worker_threads'
import { sql } from 'kysely'
import pg from 'pg'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { book as bookOn } from '../../src/core/books/book.ts'
import { type Books, type BooksOptions, openBooks } from '../../src/core/books/books.ts'
import { type UsageLine, usageLine } from '../../src/core/books/line.ts'
import { openMover } from '../../src/core/books/mover.ts'
import { takenBy } from '../../src/core/books/purse.ts'
import { readRefused } from '../../src/core/books/refused.ts'
import { Outcome } from '../../src/core/outcome.ts'
import { rowColumns } from '../../src/core/usage/columns.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { sessionOn } from '../../src/db/session.ts'
import { requestId } from '../../src/lib/id.ts'
import { book } from '../helpers/booking.ts'
import { freshDatabase } from '../helpers/database.ts'
import { until } from '../helpers/gateway.ts'
import { matchAll } from '../helpers/match.ts'
import { outageOf } from '../helpers/outage.ts'
import { dice, everything, line, noon, populate } from './usage-books.ts'

const OPENING = 10n ** 15n
const random = dice(17)
const some = (n: number, more: Partial<UsageLine> = {}) =>
  Array.from({ length: n }, () => line(noon + Math.floor(random() * 3_600_000), random, more))
const chargedOf = (lines: UsageLine[]) => lines.reduce((sum, one) => sum + BigInt(one.charged), 0n)

/** Books over a database of their own, and a payer's side that adds up what it is told. */
async function place(t: Test) {
  const postgres = await outageOf(t, await freshDatabase(t))
  const parent = mkdtempSync(path.join(tmpdir(), 'gw-books-'))
  t.teardown(() => rmSync(parent, { recursive: true, force: true }))
  const { config } = loadConfig({ env: { GW_DATABASE_URL: postgres.url }, flags: {} })
  const database = await openDatabase(config, { migrate: false })
  t.teardown(() => database.close())
  const { db } = database
  await populate(db)
  await sql`update balances set balance = ${OPENING}`.execute(db)
  const folder = path.join(parent, 'spool')
  const log: string[] = []
  const workers: Worker[] = []
  const watch = (worker: Worker) => void workers.push(worker)
  process.on('worker', watch)
  t.teardown(() => process.off('worker', watch))
  // What is settled and not heard of, by bucket: nothing of it may be left.
  const owed = new Map<string, bigint>()
  const add = (user: number, amounts: { bucket: string; amount: bigint }[], sign: bigint) => {
    for (const { bucket, amount } of amounts)
      owed.set(`${user} ${bucket}`, (owed.get(`${user} ${bucket}`) ?? 0n) + sign * amount)
  }
  const inherited: UsageLine[] = []
  const balances = new Map<number, bigint>()
  const hears = { batches: 0, told: () => {} }
  const open = (more: Partial<BooksOptions> = {}) => {
    const books = openBooks({
      folder,
      refusedFile: path.join(folder, 'refused.jsonl'),
      connection: database.connection,
      timezone: 'UTC',
      batch: 500,
      intervalMs: 1,
      policy: () => ({ whenFull: 'refuse', minFreeBytes: 0 }),
      payers: {
        inherit(line) {
          inherited.push(line)
          add(line.user_id, takenBy(line), 1n)
        },
        forget: line => add(line.user_id, takenBy(line), -1n),
        heard({ taken, facts }) {
          for (const [user, amounts] of taken) add(user, amounts, -1n)
          for (const [user, news] of facts)
            for (const { bucket, spent } of news) if (bucket === 'balance') balances.set(user, -spent)
          hears.batches++
          hears.told()
        },
      },
      log: (level, line) => log.push(`${level} ${line}`),
      ...more,
    })
    t.teardown(() => books.close().catch(() => {}))
    return books
  }
  return {
    open,
    db,
    database,
    postgres,
    folder,
    log,
    workers,
    hears,
    inherited,
    forget: () => owed.clear(),
    settle(books: Books, lines: UsageLine[]) {
      for (const one of lines) {
        add(one.user_id, takenBy(one), 1n)
        books.settle(JSON.stringify(one))
      }
    },
    /** All of it stands in the tables once, and has been told once. */
    async agrees(t: Test, lines: UsageLine[]) {
      const rows = await db.selectFrom('usage').select('request_id').orderBy('request_id').execute()
      t.strictSame(
        rows.map(row => row.request_id),
        lines.map(one => one.request_id).sort(),
      )
      const all = await db.selectFrom('balances').selectAll().execute()
      t.equal(
        all.reduce((sum, { balance }) => sum + OPENING - balance, 0n),
        chargedOf(lines),
      )
      t.strictSame(
        [...owed].filter(([, amount]) => amount !== 0n),
        [],
        'nothing is left to be heard of',
      )
      for (const { user_id, balance } of all)
        if (balances.has(user_id)) t.equal(balances.get(user_id), balance, 'the last that was told is what is so')
    },
  }
}

t.test('what is settled is booked in a thread, and told', async t => {
  const { open, settle, agrees, workers, folder, log } = await place(t)
  const books = open({ batch: 30 })
  t.strictSame(workers, [], 'which is not begun before it is needed')
  const lines = some(100)
  settle(books, lines)
  t.equal(books.state().waiting, 100)
  await books.drain(20_000)
  t.strictSame(books.state(), { waiting: 0, oldest: undefined, error: undefined, trouble: undefined, refused: 0 })
  t.equal(workers.length, 1)
  await agrees(t, lines)
  await books.close()
  t.strictSame(readdirSync(folder), [], 'nothing is left on disk')
  t.strictSame(log, [])
})

t.test('a thread that is killed in mid-batch, again and again, loses and doubles nothing', async t => {
  const { open, settle, agrees, workers, hears, log } = await place(t)
  const books = open({ batch: 7 })
  const lines = some(400)
  // When it says that a batch is booked it is in the middle of the next one: booked or not, that was not told.
  hears.told = () => {
    if (hears.batches % 4 === 0) void workers.at(-1)!.terminate()
  }
  for (let i = 0; i < lines.length; i += 100) {
    settle(books, lines.slice(i, i + 100))
    await books.drain(60_000)
  }
  await agrees(t, lines)
  t.ok(workers.length > 5, `${workers.length} threads`)
  t.match(log[0], /^error usage waits in the spool: the thread that books has ended/)
  t.match(log.at(-1), /^info usage is being written to Postgres again/)
  const said = log.filter(line => /waits/.test(line)).length
  t.equal(log.length, 2 * said, 'it is said when it begins and when it ends')
})

t.test('a batch that waits for a lock dies with its thread', async t => {
  const { open, settle, agrees, workers, db } = await place(t)
  const books = open()
  const lines = some(20)
  await db.transaction().execute(async tx => {
    await sql`select from balances for update`.execute(tx)
    settle(books, lines)
    await until(t, 'it waits', async () => {
      const { rows } = await sql`select from pg_locks where not granted`.execute(tx)
      return rows.length > 0
    })
    await workers[0]!.terminate()
    t.equal(books.state().waiting, 20)
  })
  await books.drain(20_000)
  await agrees(t, lines)
  t.equal(workers.length, 2)
})

t.test('Postgres that does not answer is given up, and asked again', async t => {
  const { database, db, folder, postgres, workers } = await place(t)
  const mover = openMover({ connection: database.connection, timezone: 'UTC', refusedFile: folder, batch: 500 }, 3_000)
  t.teardown(() => mover.close())
  const lines = some(5)
  const texts = lines.map(one => JSON.stringify(one))
  postgres.silence()
  await t.rejects(mover.book(texts), { message: /^no answer within 3000 ms/ })
  postgres.speak()
  await mover.book(texts)
  await mover.book(texts)
  t.equal(workers.length, 2)
  t.equal((await db.selectFrom('usage').select('request_id').execute()).length, 5)
})

t.test('lines that no disk takes go the same way', async t => {
  const { open, settle, agrees, folder, log } = await place(t)
  const books = open()
  // A file where the folder was: nothing can be written below it.
  rmSync(folder, { recursive: true })
  writeFileSync(folder, '')
  const [good, bad] = [some(10), some(1, { status: 99_999 })]
  settle(books, [...good.slice(0, 5), ...bad, ...good.slice(5)])
  t.match(books.closed(), /cannot write/)
  t.match(books.state().trouble, /cannot write/)
  await books.close()
  await agrees(t, good)
  t.equal(log.length, 2)
  matchAll(t, log, [
    /^error usage spool: cannot write/,
    /^error a usage line was refused .* while the disk takes nothing: /,
  ])
})

t.test('lines that Postgres will never take are set aside, and forgotten by who pays', async t => {
  const { open, settle, agrees, folder } = await place(t)
  const books = open()
  const [good, bad] = [some(10), some(2, { status: 99_999 })]
  settle(books, [...good.slice(0, 5), ...bad, ...good.slice(5)])
  await books.drain(20_000)
  await agrees(t, good)
  t.strictSame(
    readRefused(path.join(folder, 'refused.jsonl')).map(one => one.line),
    bad.map(one => JSON.stringify(one)),
  )
  t.equal(books.state().refused, 2)
})

t.test('what an earlier run left is told before it is booked', async t => {
  const { open, settle, agrees, forget, inherited, postgres, log } = await place(t)
  const first = open()
  const lines = some(25)
  await postgres.down()
  settle(first, lines)
  await first.close()
  // The process that had put it aside is no more.
  forget()
  await postgres.up()
  const books = open()
  t.equal(inherited.length, 25)
  t.match(log.at(-1), /^info replaying \d+ bytes/)
  await books.drain(20_000)
  await agrees(t, lines)
})

t.test('a partition that was dropped behind its back is made again', async t => {
  const { open, settle, agrees, db, log } = await place(t)
  const books = open()
  const at = Date.UTC(2024, 1, 3)
  settle(books, [line(at, random)])
  await books.drain(20_000)
  for (const name of ['usage_202402', 'usage_minute_20240203', 'usage_hour_202402'])
    await sql`drop table ${sql.table(name)}`.execute(db)
  await sql`update balances set balance = ${OPENING}`.execute(db)
  const later = [line(at, random), line(at, random)]
  settle(books, later)
  await books.drain(20_000)
  await agrees(t, later)
  t.strictSame(log, [])
})

t.test('copied or inserted, rows are the same', async t => {
  const [copied, inserted] = [await place(t), await place(t)]
  const odd = ['tab\tnew\nline\r', '\\N', '\\.', 'null', 'NULL', '', '{"a",b}', "it's", '🙂 \\t', ' '].map(model =>
    line(noon, random, { model, upstream_model: `${model}!`, upstream_request_id: model, price: `x:${model}` }),
  )
  const lines = [...some(50), ...odd, line(noon, random, { charged: '9223372036854', cost: '9007199254740993' })]
  const books = copied.open()
  copied.settle(books, lines)
  await books.drain(20_000)
  await book(inserted.db, lines, 'UTC')
  const rows = async ({ db }: typeof copied) => {
    const usage = await db.selectFrom('usage').selectAll().orderBy('request_id').execute()
    const ledger = await db
      .selectFrom('ledger')
      .select(['entry_id', 'at', 'user_id', 'kind', 'amount', 'balance', 'key_id'])
      .orderBy('seq')
      .execute()
    return { usage, ledger, sums: await everything(db) }
  }
  const seen = await rows(copied)
  t.equal(seen.usage.length, lines.length)
  t.strictSame(seen, await rows(inserted))

  // One that was booked already, or comes twice, does not hold up those beside it.
  const more = some(3)
  copied.settle(books, [lines[0]!, ...more, more[0]!])
  await books.drain(20_000)
  await copied.agrees(t, [...lines, ...more])
})

t.test('a line has every column', async t => {
  const at = Date.UTC(2026, 1, 2)
  const outcome = new Outcome({ id: requestId(at), at, method: 'POST', path: '/v1/messages', ip: '::1' })
  const words = 'a "quoted" \\ name\n🙂'
  Object.assign(outcome, { model: words, upstreamModel: 'b', price: `shipped:${words}`, platform: 'anthropic' })
  const read = JSON.parse(usageLine(outcome)) as UsageLine
  t.strictSame(Object.keys(read), Object.keys(rowColumns))
  t.match(read, { at: '2026-02-02T00:00:00.000Z', model: words, upstream_model: 'b', price: 'shipped:', mode: null })
})

t.test('behind a pooler of transactions, where the next connection has not what was prepared on this one', async t => {
  const { config } = loadConfig({ env: { GW_DATABASE_URL: await freshDatabase(t) }, flags: {} })
  const { db, connection, close } = await openDatabase(config, { migrate: false })
  t.teardown(close)
  await populate(db)
  const client = new pg.Client(connection)
  await client.connect()
  t.teardown(() => client.end())
  const prepared = async () =>
    (await client.query<{ name: string }>(`select name from pg_prepared_statements where name like 'gw%'`)).rows
  const booked = async () => (await client.query<{ n: number }>('select count(*)::int as n from usage')).rows[0]!.n
  const session = sessionOn(client)
  await bookOn(session, some(3), 'UTC')
  const names = await prepared()
  t.ok(names.length > 0, 'by itself statements are kept')
  t.equal(
    (await client.query('show plan_cache_mode')).rows[0].plan_cache_mode,
    'auto',
    'nothing is left on the connection',
  )

  // As if the pooler had given the transaction another connection: 26000.
  await client.query('deallocate all')
  await bookOn(session, some(3), 'UTC')
  t.equal(await booked(), 6)
  await bookOn(session, some(3), 'UTC')
  t.equal(await booked(), 9)
  t.strictSame(await prepared(), [], 'from then on none is kept')
})
