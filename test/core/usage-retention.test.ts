// Retention: whole partitions go when they are old enough, those to come are made, and traffic goes on meanwhile.

import { sql } from 'kysely'
import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { applyRetention, RETENTION_LOCK } from '../../src/core/usage/retention.ts'
import { listUsage } from '../../src/core/usage/rows.ts'
import { usageStats } from '../../src/core/usage/stats.ts'
import { janitor } from '../../src/daemon/janitor.ts'
import { startJobs } from '../../src/daemon/jobs.ts'
import { alone } from '../../src/db/alone.ts'
import { matchAll } from '../helpers/match.ts'
import { bookAll, books, bruteForce, count, DAY, dice, HOUR, line, noon } from './usage-books.ts'

t.test('retention drops what lies wholly before the limit, and only that', async t => {
  const db = await books(t)
  const random = dice(17)
  const ages = [0, 1, 2, 3, 5, 40, 95, 130, 200, 400, 800]
  const now = Date.UTC(2026, 10, 20, 6)
  const lines = ages.flatMap(days =>
    Array.from({ length: 20 }, () => line(now - days * DAY - Math.floor(random() * 6 * HOUR), random)),
  )
  await bookAll(db, lines)
  await bookAll(db, [line(now + 30 * DAY, random)])
  const ledger = await count(db, 'ledger')
  const keep = { rows: 90 * DAY, minutes: 2 * DAY, hours: 180 * DAY, days: 730 * DAY }

  const first = await applyRetention(db, { now, keep })
  t.same(first.busy, [])
  t.same(
    first.dropped.map(({ name }) => name).sort(),
    [
      ...['202409', '202510', '202605', '202607'].map(month => `usage_${month}`),
      ...['20240911', '20251016', '20260504', '20260713', '20260817', '20261011', '20261115', '20261117'].map(
        day => `usage_minute_${day}`,
      ),
      ...['202409', '202510'].flatMap(month => [`usage_hour_${month}`, `usage_pool_hour_${month}`]),
      'usage_day_202409',
      'usage_pool_day_202409',
    ].sort(),
  )
  t.same((await applyRetention(db, { now, keep })).dropped, [], 'done once')
  t.equal(await count(db, 'ledger'), ledger, 'the ledger is for ever')
  const ahead = await sql<{
    name: string
  }>`select relname as name from pg_class where relkind = 'r' and relname ~ '_(202612|20261121)$'`.execute(db)
  t.same(
    ahead.rows.map(row => row.name).sort(),
    [
      'ledger_202612',
      'usage_202612',
      'usage_day_202612',
      'usage_hour_202612',
      'usage_minute_20261121',
      'usage_pool_day_202612',
      'usage_pool_hour_202612',
    ],
    'what traffic needs next is there',
  )

  const left = lines.filter(one => now - Date.parse(one.at) < 500 * DAY)
  const asked = { by: 'user', since: new Date(now - 401 * DAY) } as const
  const { rows, note } = await usageStats(db, asked)
  const exact = bruteForce(left, {
    by: 'user',
    since: new Date(Math.floor(asked.since.getTime() / DAY) * DAY),
    until: new Date(now + 9 * DAY),
  })
  t.equal(
    rows.reduce((sum, row) => sum + row.requests, 0),
    exact.reduce((sum, row) => sum + row.requests, 0) + 1,
  )
  t.match(note, /retention has dropped .* from 2025-10-15T00:00:00\.000Z$/)
  t.match((await usageStats(db, { by: 'hour', since: asked.since })).note, /from 2025-11-01T00:00:00\.000Z$/)
  t.equal((await usageStats(db, { by: 'hour' })).note, undefined, 'who asks for all there is gets all there is')

  await bookAll(db, [line(now - 400 * DAY, random)])
  t.match(
    await usageStats(db, { by: 'hour', since: asked.since }),
    { note: /from 2025-11-01/ },
    'a late line does not make the old whole',
  )
  t.same(
    (await listUsage(db, { user: 'cas', limit: 500 })).length,
    (await listUsage(db, { limit: 500 })).filter(row => row.user === 'cas').length,
  )
})

t.test('nothing is dropped that is kept for ever', async t => {
  const db = await books(t)
  await bookAll(db, [line(noon - 9_000 * DAY, dice(1))])
  t.same((await applyRetention(db, { now: noon, keep: { rows: 0, minutes: 0, hours: 0, days: 0 } })).dropped, [])
  t.equal((await listUsage(db, { limit: 5 })).length, 1)
})

t.test('a partition that is in use stays until the next run, and traffic goes on', async t => {
  const db = await books(t)
  const random = dice(19)
  await bookAll(db, [line(noon - 200 * DAY, random), line(noon, random)])
  const keep = { rows: 90 * DAY, minutes: 0, hours: 0, days: 0 }
  await db.transaction().execute(async reader => {
    await listUsage(reader, { limit: 1 })
    const [retained] = await Promise.all([applyRetention(db, { now: noon, keep }), bookAll(db, [line(noon, random)])])
    matchAll(t, retained, { dropped: [], busy: ['usage_202604'] })
    t.equal((await listUsage(db, { limit: 9 })).length, 3)
  })
  matchAll(t, await applyRetention(db, { now: noon, keep }), {
    dropped: [{ table: 'usage', name: 'usage_202604' }],
    busy: [],
  })
  t.equal((await listUsage(db, { limit: 9 })).length, 2)
})

t.test('of several processes one does it', async t => {
  const db = await books(t)
  const keep = { rows: DAY, minutes: 0, hours: 0, days: 0 }
  const retain = () => alone(db, RETENTION_LOCK, own => applyRetention(own, { now: noon, keep }))
  await db.connection().execute(async other => {
    await sql`select pg_advisory_lock(${RETENTION_LOCK})`.execute(other)
    t.equal(await retain(), undefined)
    await sql`select pg_advisory_unlock(${RETENTION_LOCK})`.execute(other)
  })
  matchAll(t, await retain(), { dropped: [] })
  matchAll(t, await retain(), { dropped: [] }, 'and gives the lock back')
})

t.test('the janitor works at the start, and ends with the daemon', async t => {
  const db = await books(t)
  await bookAll(db, [line(Date.now() - 200 * DAY, dice(1)), line(Date.now(), dice(1))])
  const said: string[] = []
  const log = { info: (text: string) => said.push(text), warn: (text: string) => said.push(text) }
  const { config } = loadConfig({ env: {}, flags: {} })
  const jobs = startJobs([janitor({ config: () => config, log })], { database: { db }, log })
  const retained = async () => {
    const rows = await db.selectFrom('usage_kept').selectAll().execute()
    return rows.some(row => row.name === 'usage')
  }
  while (!(await retained())) await new Promise(resolve => setImmediate(resolve))
  await jobs.close()
  // The rows first; what is summed of them goes in the same run, if that was not ended before.
  t.match(said[0], /^retention: dropped usage_\d{6}, usage before \d{4}-\d\d-01T00:00:00\.000Z$/)
  const others = said
    .slice(1)
    .filter(one => !/^retention: dropped usage_(minute|hour|day)_\d{6,8}, usage before /.test(one))
  t.strictSame(others, [], 'and nothing else was said')
  t.equal((await listUsage(db, { limit: 9 })).length, 1)
})
