// The till against a disk that refuses: no line is lost, none is booked twice, and whoever asks is told.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t, { type Test } from 'tap'
import { usageLine } from '../../src/core/books/line.ts'
import { openSpool } from '../../src/core/books/spool.ts'
import { openTill } from '../../src/core/books/till.ts'
import { Outcome } from '../../src/core/outcome.ts'
import { requestId } from '../../src/lib/id.ts'
import { moverHere } from '../helpers/booking.ts'
import { until } from '../helpers/gateway.ts'
import { matchAll } from '../helpers/match.ts'

const NEVER = 1e9
const at = Date.UTC(2026, 10, 15, 12)
const line = (n: number) => {
  const o = new Outcome({ id: requestId(at + n), at: at + n, method: 'POST', path: '/v1/messages', ip: '::1' })
  return usageLine(
    Object.assign(o, {
      userId: 1,
      keyId: 1,
      model: `m${n}`,
      id: `00000000-0000-7000-8000-0000000000${String(n).padStart(2, '0')}`,
    }),
  )
}

/** A till whose disk can be taken away; `booked` is what reached Postgres, in words of the test. */
function tillFor(t: Test, whenFull: 'refuse' | 'serve' = 'refuse') {
  const parent = mkdtempSync(path.join(tmpdir(), 'gw-till-'))
  t.teardown(() => rmSync(parent, { recursive: true, force: true }))
  const folder = path.join(parent, 'spool')
  const booked: string[] = []
  let postgres = true
  let bad = ''
  const book = async (lines: readonly string[]) => {
    if (!postgres) throw new Error('no Postgres')
    if (lines.includes(bad)) throw Object.assign(new Error('out of range'), { code: '22003' })
    booked.push(...lines)
    return { taken: new Map(), facts: new Map() }
  }
  const log: string[] = []
  const say = (level: string, line: string) => void log.push(`${level} ${line}`)
  const mover = moverHere({
    folder,
    batch: 10,
    book: rows => book(rows.map(row => line(Number(row.model.slice(1))))),
  })
  const spool = openSpool({ folder, intervalMs: NEVER, mover, log: say })
  t.teardown(() => spool.close().catch(() => {}))
  const till = openTill({
    spool,
    folder,
    refusedFile: path.join(folder, 'refused.jsonl'),
    policy: () => ({ whenFull, minFreeBytes: 0 }),
    book,
    log: say,
  })
  t.teardown(() => till.close())
  return {
    till,
    spool,
    log,
    booked,
    refuse: (text: string) => (bad = text),
    database: (up: boolean) => (postgres = up),
    // A file where the folder was: nothing can be written below it.
    disk(there: boolean) {
      rmSync(folder, { recursive: true, force: true })
      if (there) mkdirSync(folder)
      else writeFileSync(folder, '')
    },
  }
}

t.test('a line that Postgres will never take is set aside, and holds up nobody', async t => {
  const { till, disk, booked, log, refuse } = tillFor(t)
  disk(false)
  refuse(line(3))
  for (let n = 0; n < 8; n++) till.take(line(n))
  await until(t, 'the others are booked', () => booked.length === 7)
  t.same(booked.toSorted(), [0, 1, 2, 4, 5, 6, 7].map(line))
  matchAll(t, log, [/cannot write/, /was refused .*: .*"m3"/])
})

t.test('what the disk refuses goes past it', async t => {
  const { till, disk, booked, log } = tillFor(t)
  t.equal(till.closed(), undefined)
  disk(false)
  till.take(line(1))
  t.match(till.closed(), /cannot write/)
  t.match(till.trouble(), /cannot write/)
  till.take(line(2))
  await until(t, 'Postgres has them', () => booked.length === 2)
  t.same(booked.toSorted(), [line(1), line(2)])
  matchAll(t, log, [/^error usage spool: cannot write/])
  disk(true)
  await until(t, 'it is open again', () => till.closed() === undefined)
  t.match(log.at(-1), /^info usage spool: the disk takes usage again/)
})

t.test('with neither, lines are kept, and written when the disk is back', async t => {
  const { till, spool, disk, database, booked } = tillFor(t, 'serve')
  disk(false)
  database(false)
  for (let n = 0; n < 25; n++) till.take(line(n))
  t.equal(till.closed(), undefined, 'who serves on is not told')
  t.ok(till.trouble())
  disk(true)
  await until(t, 'the disk has them', () => till.trouble() === undefined && spool.state().waiting === 25)
  database(true)
  await spool.drain(5_000)
  t.same(
    booked,
    Array.from({ length: 25 }, (_, n) => line(n)),
  )
})

t.test('what nobody takes until the end is in the log, in lines that a log can take', async t => {
  const { till, disk, database, log } = tillFor(t)
  disk(false)
  database(false)
  const all = Array.from({ length: 120 }, (_, n) => line(n))
  for (const each of all) till.take(each)
  await till.close(50)
  const said = log.filter(each => each.includes('could be written nowhere: '))
  matchAll(t, said, [/^error 1 to 50 of 120 lines/, /^error 51 to 100 of 120 lines/, /^error 101 to 120 of 120 lines/])
  t.strictSame(
    said.flatMap(each => each.slice(each.indexOf('{')).split('\n')),
    all,
  )
  till.take(line(120))
  t.equal(log.at(-1), `error a line of usage could be written nowhere: ${line(120)}`, 'one that comes late, too')
})
