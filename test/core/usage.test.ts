// Usage in the books: roll-ups that equal their rows, and pages that hold every row once.

import { sql } from 'kysely'
import t from 'tap'
import type { UsageLine } from '../../src/core/books/line.ts'
import type { UsageFilter } from '../../src/core/usage/filter.ts'
import { resolve } from '../../src/core/usage/filter.ts'
import { cursorOf, listUsage, type UsageRecord, usagePages } from '../../src/core/usage/rows.ts'
import { plan, type UsageStats, usageDimensions, usageStats } from '../../src/core/usage/stats.ts'
import { matchAll } from '../helpers/match.ts'
import {
  bookAll,
  books,
  bruteForce,
  DAY,
  dice,
  everything,
  fits,
  HOUR,
  line,
  MINUTE,
  noon,
  rollups,
} from './usage-books.ts'

t.test('sums equal the sums of the rows, for every dimension, time and filter', async t => {
  const db = await books(t)
  const random = dice(7)
  const lines = Array.from({ length: 3_000 }, () => line(noon + Math.floor((random() - 0.5) * 5 * DAY), random))
  await bookAll(db, lines)
  const instant = () => new Date(noon + Math.floor((random() - 0.5) * 6 * DAY))
  const edges = [
    new Date(noon),
    new Date(noon - 12 * HOUR),
    new Date(noon + 59 * MINUTE + 59_999),
    new Date(noon + 1),
    new Date(noon + MINUTE),
  ]
  const filters: UsageFilter[] = [
    {},
    { user: 'ann' },
    { key: 'bob-2' },
    { account: 'second' },
    { group: '1' },
    { model: 'large' },
    { user: 'bob', model: 'small', account: 'first' },
  ]
  for (const by of usageDimensions)
    for (const filter of filters) {
      const times = [
        {},
        { since: edges[Math.floor(random() * edges.length)]! },
        { since: instant() },
        { since: instant(), until: instant() },
        { until: edges[Math.floor(random() * edges.length)]! },
      ]
      for (const time of times) {
        const { rows, note } = await usageStats(db, { ...filter, ...time, by })
        const order = (all: UsageStats[]) => all.toSorted((a, b) => (a.name < b.name ? -1 : 1))
        t.strictSame(
          order(rows),
          order(bruteForce(lines, { ...filter, ...time, by })),
          JSON.stringify({ by, filter, time }),
        )
        t.equal(note, undefined)
      }
    }
})

t.test('the dearest come first, times in their order', async t => {
  const db = await books(t)
  const of = (at: number, model: string, charged: string) => line(at, dice(1), { model, charged })
  await bookAll(db, [of(noon, 'cheap', '1'), of(noon - DAY, 'dear', '3'), of(noon - HOUR, 'middling', '2')])
  const names = async (by: 'model' | 'day' | 'hour') => (await usageStats(db, { by })).rows.map(row => row.name)
  t.same(await names('model'), ['dear', 'middling', 'cheap'])
  t.same(await names('day'), ['2026-10-30', '2026-10-31'])
  t.same(await names('hour'), ['2026-10-30T12:00Z', '2026-10-31T11:00Z', '2026-10-31T12:00Z'])
})

t.test('a line that is booked again changes nothing, nor does a part of its batch', async t => {
  const db = await books(t)
  const random = dice(3)
  const lines = Array.from({ length: 200 }, () => line(noon + Math.floor(random() * 3 * HOUR), random))
  await bookAll(db, lines)
  const before = await everything(db)
  await bookAll(db, lines)
  await bookAll(db, lines.slice(50, 70))
  t.strictSame(await everything(db), before)
  await bookAll(db, [...lines.slice(0, 5), line(noon, random)])
  const { rows } = await usageStats(db, { by: 'day' })
  t.equal(rows[0]!.requests, 201)
})

t.test('two processes that book the same buckets at once neither lose a sum nor wait for each other', async t => {
  const db = await books(t)
  const random = dice(5)
  const batches = Array.from({ length: 12 }, () =>
    Array.from({ length: 60 }, () => line(noon + Math.floor(random() * HOUR), random)),
  )
  await Promise.all(batches.map(batch => bookAll(db, batch)))
  const { rows } = await usageStats(db, { by: 'minute' })
  t.equal(
    rows.reduce((sum, row) => sum + row.requests, 0),
    720,
  )
})

t.test('a name of any length has its sums, with all that begin alike', async t => {
  const db = await books(t)
  const [long, other] = ['🙂'.repeat(128), '🙂'.repeat(127)]
  await bookAll(db, [
    line(noon, dice(1), { model: `${long}a` }),
    line(noon, dice(1), { model: `${long}b${'x'.repeat(9_000)}` }),
    line(noon, dice(1), { model: other }),
  ])
  const { rows } = await usageStats(db, { by: 'model' })
  matchAll(
    t,
    rows.toSorted((a, b) => b.requests - a.requests),
    [
      { name: long, requests: 2 },
      { name: other, requests: 1 },
    ],
  )
  for (const since of [undefined, new Date(noon - 1)]) {
    matchAll(t, (await usageStats(db, { by: 'day', model: `${long}a`, since })).rows, [{ requests: 2 }])
    matchAll(t, (await usageStats(db, { by: 'day', model: other, since })).rows, [{ requests: 1 }])
  }
  matchAll(t, await listUsage(db, { model: `${long}a`, limit: 5 }), [{ model: `${long}a` }], 'rows are told apart')
})

t.test('pages hold every row once, also of one millisecond, while new ones come', async t => {
  const db = await books(t)
  const random = dice(11)
  const lines = Array.from({ length: 500 }, (_, i) => line(noon - Math.floor(i / 60) * 37 * MINUTE, random))
  await bookAll(db, lines)
  const filters: UsageFilter[] = [
    {},
    { user: 'ann' },
    { key: 'bob-1' },
    { account: 'first' },
    { model: 'small', group: 'pool' },
  ]
  for (const filter of filters) {
    const seen: string[] = []
    for (let place: UsageRecord | undefined; ; ) {
      const page = await listUsage(db, { ...filter, before: place, limit: 17 })
      seen.push(...page.map(row => row.request_id))
      if (page.length < 17) break
      place = page.at(-1)!
      await bookAll(db, [line(noon + DAY, random)])
    }
    const newestFirst = (a: UsageLine, b: UsageLine) =>
      a.at === b.at ? (a.request_id < b.request_id ? 1 : -1) : a.at < b.at ? 1 : -1
    const expected = lines.filter(one => fits(one, filter)).sort(newestFirst)
    t.strictSame(
      seen.filter(id => expected.some(one => one.request_id === id)),
      expected.map(one => one.request_id),
      JSON.stringify(filter),
    )
    t.equal(new Set(seen).size, seen.length)
  }
})

t.test('a rare row is found wherever it is, and within its times only', async t => {
  const db = await books(t)
  const random = dice(2)
  const old = line(noon - 300 * DAY, random, { user_id: 3, key_id: 5 })
  const older = line(noon - 301 * DAY, random, { user_id: 3, key_id: 5 })
  await bookAll(db, [
    older,
    old,
    ...Array.from({ length: 100 }, (_, i) => line(noon - i * DAY, random, { user_id: 1, key_id: 1 })),
  ])
  const ids = async (filter: UsageFilter, limit = 10) =>
    (await listUsage(db, { ...filter, limit })).map(row => row.request_id)
  t.same(await ids({ user: 'cas' }), [old.request_id, older.request_id])
  t.same(await ids({ user: 'cas' }, 1), [old.request_id])
  t.same(await ids({ user: 'cas', since: new Date(old.at) }), [old.request_id])
  t.same(await ids({ user: 'cas', until: new Date(old.at) }), [older.request_id])
  t.same(await ids({ user: 'cas', since: new Date(noon - 200 * DAY) }), [])
  t.same((await listUsage(db, { request: old.request_id, limit: 1 })).map(cursorOf), [`${old.at},${old.request_id}`])
})

t.test('all rows come in pages, the oldest first, as one moment has them', async t => {
  const db = await books(t)
  const random = dice(13)
  const lines = Array.from({ length: 95 }, (_, i) => line(noon + Math.floor(i / 30) * MINUTE, random))
  await bookAll(db, lines)
  await db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async tx => {
      const seen: string[] = []
      for await (const page of usagePages(tx, await resolve(tx, {}), 10)) {
        seen.push(...page.map(row => row.request_id))
        await bookAll(db, [line(noon + DAY, random)])
      }
      const expected = lines.toSorted((a, b) => (`${a.at}${a.request_id}` < `${b.at}${b.request_id}` ? -1 : 1))
      t.same(
        seen,
        expected.map(one => one.request_id),
      )
    })
})

t.test(
  'who is gone goes by number, by name where nobody bears it now, and a rotated key with its successor',
  async t => {
    const db = await books(t)
    await bookAll(db, [line(noon, dice(1), { user_id: 1, key_id: 1 }), line(noon, dice(1), { user_id: 1, key_id: 2 })])
    await sql`update users set deleted_at = now() where id = 1`.execute(db)
    await sql`update api_keys set status = 'revoked', name = 'ann-2' where id = 1`.execute(db)
    const count = async (filter: UsageFilter) => (await listUsage(db, { ...filter, limit: 9 })).length
    t.equal(await count({ user: 'ann' }), 2)
    t.equal(await count({ user: '1' }), 2)
    t.equal(await count({ key: 'ann-2' }), 2)
    t.equal(await count({ key: '1' }), 1)
    await sql`insert into users (name, concurrency) values ('ann', 1)`.execute(db)
    t.equal(await count({ user: 'ann' }), 0, 'the one who bears it now')
    t.equal(await count({ user: '1' }), 2)
    for (const [filter, message] of [
      [{ user: 'bobb' }, /no user "bobb"; did you mean "bob"/],
      [{ account: 'frist' }, /no account "frist"; did you mean "first"/],
      [{ group: '77' }, /no group "77"/],
      [{ key: 'bob-11' }, /no key "bob-11"; did you mean "bob-1"/],
    ] as const) {
      await t.rejects(listUsage(db, { ...filter, limit: 1 }), { kind: 'missing', message })
      await t.rejects(usageStats(db, { ...filter, by: 'day' }), { kind: 'missing', message })
    }
  },
)

t.test('times are read from the coarsest sums that give them exactly', async t => {
  const at = (text: string) => Date.parse(`2026-10-${text}Z`)
  const all = [-Infinity, -Infinity, -Infinity, -Infinity]
  const planned = (since: string | undefined, until: string | undefined, most: number, kept: number[]) => {
    const times = { since: since ? new Date(at(since)) : undefined, until: until ? new Date(at(until)) : undefined }
    return plan(times, most, kept).parts.map(part => [
      part.grain,
      ...[part.from, part.till].map(ms => (Number.isFinite(ms) ? new Date(ms).toISOString().slice(8, -1) : undefined)),
    ])
  }
  t.same(planned('01T10:58:30.500', '04T02:01:10', 3, all), [
    [0, '01T10:58:30.500', '01T10:59:00.000'],
    [1, '01T10:59:00.000', '01T11:00:00.000'],
    [2, '01T11:00:00.000', '02T00:00:00.000'],
    [3, '02T00:00:00.000', '04T00:00:00.000'],
    [2, '04T00:00:00.000', '04T02:00:00.000'],
    [1, '04T02:00:00.000', '04T02:01:00.000'],
    [0, '04T02:01:00.000', '04T02:01:10.000'],
  ])
  t.same(planned(undefined, undefined, 3, all), [[3, undefined, undefined]])
  t.same(planned('01T10:58:30.500', '01T10:58:31', 3, all), [[0, '01T10:58:30.500', '01T10:58:31.000']])
  t.same(
    planned('01T10:58', undefined, 1, all),
    [[1, '01T10:58:00.000', undefined]],
    'minutes are told apart by minutes',
  )
  const dropped = [-Infinity, at('30T00:00'), -Infinity, -Infinity]
  t.same(
    planned('01T10:58:30.500', '01T12:00', 3, dropped),
    [
      [0, '01T10:58:30.500', '01T11:00:00.000'],
      [2, '01T11:00:00.000', '01T12:00:00.000'],
    ],
    'rows stand in for minutes that were dropped',
  )
  const bare = [at('30T00:00'), at('30T00:00'), at('10T00:00'), -Infinity]
  t.same(planned('15T10:58', '15T12:30', 3, bare), [[2, '15T10:00:00.000', '15T13:00:00.000']], 'widened to hours')
  t.same(planned('05T10:58', '05T12:30', 3, bare), [[3, '05T00:00:00.000', '06T00:00:00.000']], 'widened to days')
  t.same(
    planned('05T10:58', '10T01:00', 2, bare),
    [[2, '10T00:00:00.000', '10T01:00:00.000']],
    'hours there are none of',
  )
  t.same(planned('05T10:58', '06T01:00', 2, bare), [], 'nothing is left')
})

t.test('rows from before there were roll-ups are rolled up as new ones are', async t => {
  const db = await books(t)
  const random = dice(23)
  await bookAll(
    db,
    Array.from({ length: 400 }, () => line(noon + Math.floor(random() * 3 * DAY), random)),
  )
  const before = await everything(db)
  for (const table of rollups) await sql`truncate ${sql.table(table)}`.execute(db)
  await sql`select roll_up_usage('-infinity', 'infinity')`.execute(db)
  t.strictSame(await everything(db), before)
})
