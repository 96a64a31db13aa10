// Retention: whole partitions go when they are old enough, those to come are made, and traffic goes on meanwhile.

import { type Kysely, sql } from 'kysely'
import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { kept, keptNames } from '../../src/core/retention/kept.ts'
import { applyRetention } from '../../src/core/retention/partitions.ts'
import { clockOf, RETENTION_LOCK, runRetention } from '../../src/core/retention/run.ts'
import { listRetention, setRetention } from '../../src/core/retention/settings.ts'
import { listUsage } from '../../src/core/usage/rows.ts'
import { usageStats } from '../../src/core/usage/stats.ts'
import { janitor } from '../../src/daemon/janitor.ts'
import { startJobs } from '../../src/daemon/jobs.ts'
import { keepOf } from '../../src/daemon/keep.ts'
import { alone } from '../../src/db/alone.ts'
import type { Tables } from '../../src/db/schema.ts'
import { matchAll } from '../helpers/match.ts'
import { bookAll, books, bruteForce, count, DAY, dice, HOUR, line, noon } from './usage-books.ts'

/** Databases of tests come with the day's partitions; here it is told that retention makes them. */
async function nothingAhead(db: Kysely<Tables>) {
  const { rows } = await sql<{
    name: string
  }>`select inhrelid::regclass::text as name from pg_inherits join pg_class on oid = inhrelid where relkind = 'r'`.execute(
    db,
  )
  for (const { name } of rows) await sql`drop table ${sql.id(name)}`.execute(db)
}

t.test('retention drops what lies wholly before the limit, and only that', async t => {
  const db = await books(t)
  await nothingAhead(db)
  const random = dice(17)
  const ages = [0, 1, 2, 3, 5, 40, 95, 130, 200, 400, 800]
  const now = Date.UTC(2026, 10, 20, 6)
  const lines = ages.flatMap(days =>
    Array.from({ length: 20 }, () => line(now - days * DAY - Math.floor(random() * 6 * HOUR), random)),
  )
  await bookAll(db, lines)
  await bookAll(db, [line(now + 30 * DAY, random)])
  const ledger = await count(db, 'ledger')
  const keep = { usage: 90 * DAY, usage_minute: 2 * DAY, usage_hour: 180 * DAY, usage_day: 730 * DAY }

  const first = await applyRetention(db, { now, keep })
  t.same(first.busy, [])
  t.same(
    first.dropped.map(({ partition }) => partition).sort(),
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
      'error_log_20261121',
      'ledger_202612',
      'usage_202612',
      'usage_day_202612',
      'usage_hour_202612',
      'usage_minute_20261121',
      'usage_pool_day_202612',
      'usage_pool_hour_202612',
      'watch_cells_20261121',
      'watch_day_202612',
      'watch_hour_202612',
      'watch_metrics_20261121',
      'watch_minute_20261121',
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
  t.same(
    (await applyRetention(db, { now: noon, keep: { usage: 0, usage_minute: 0, usage_hour: 0, usage_day: 0 } })).dropped,
    [],
  )
  t.equal((await listUsage(db, { limit: 5 })).length, 1)
})

t.test('a partition that is in use stays until the next run, and traffic goes on', async t => {
  const db = await books(t)
  const random = dice(19)
  await bookAll(db, [line(noon - 200 * DAY, random), line(noon, random)])
  const keep = { usage: 90 * DAY, usage_minute: 0, usage_hour: 0, usage_day: 0 }
  await db.transaction().execute(async reader => {
    await listUsage(reader, { limit: 1 })
    const [retained] = await Promise.all([applyRetention(db, { now: noon, keep }), bookAll(db, [line(noon, random)])])
    matchAll(t, retained, { dropped: [], busy: ['usage_202604'] })
    t.equal((await listUsage(db, { limit: 9 })).length, 3)
  })
  matchAll(t, await applyRetention(db, { now: noon, keep }), {
    dropped: [{ name: 'usage', partition: 'usage_202604' }],
    busy: [],
  })
  t.equal((await listUsage(db, { limit: 9 })).length, 2)
})

t.test('of several processes one does it', async t => {
  const db = await books(t)
  const keep = { usage: DAY, usage_minute: 0, usage_hour: 0, usage_day: 0 }
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
  t.match(said[0], /^retention: dropped usage_\d{6}, all before \d{4}-\d\d-01T00:00:00\.000Z$/)
  const others = said
    .slice(1)
    .filter(one => !/^retention: dropped usage_(minute|hour|day)_\d{6,8}, all before /.test(one))
  t.strictSame(others, [], 'and nothing else was said')
  t.equal((await listUsage(db, { limit: 9 })).length, 1)
})

// What follows shares one database: to make one takes longer than most of the tests.
const shared = books(t)
async function clean() {
  const db = await shared
  await sql`truncate usage, usage_minute, usage_hour, usage_day, usage_pool_hour, usage_pool_day, usage_kept, retention, alert_rules, alert_events,
    alert_channels, alert_deliveries restart identity cascade`.execute(db)
  return db
}

const noKeep = Object.fromEntries(keptNames.map(name => [name, 0])) as Record<(typeof keptNames)[number], number>

t.test('§12.1 retention: every table has its time, in the settings or set by an operator', async t => {
  const db = await clean()
  await nothingAhead(db)
  const now = await clockOf(db)
  const keep = keepOf(loadConfig({ env: {}, flags: {} }).config)
  t.strictSame(
    keptNames.map(name => [name, keep[name] / DAY]),
    [
      ['usage', 90],
      ['usage_minute', 2],
      ['usage_hour', 180],
      ['usage_day', 730],
      ['watch_metrics', 30],
      ['watch_cells', 2],
      ['watch_minute', 30],
      ['watch_hour', 180],
      ['watch_day', 730],
      ['error_log', 30],
      ['alerts', 90],
    ],
  )
  const tables = keptNames.flatMap(name => kept[name].tables.map(table => ({ table, width: kept[name].width, name })))
  for (const { table, width, name } of tables) {
    await sql`select time_partition(${table}, ${new Date(now - keep[name] - 40 * DAY)}, ${width})`.execute(db)
    await sql`select time_partition(${table}, ${new Date(now - keep[name] + DAY)}, ${width})`.execute(db)
  }
  // The roll-up stood still for a month and more.
  await sql`update watch_rolled set until = ${new Date(now - keep.watch_hour - 90 * DAY)}`.execute(db)
  const early = await runRetention(db, { hostNow: now, keep: { ...noKeep, watch_minute: DAY, watch_hour: DAY } })
  t.strictSame(early.dropped, [], 'what is not summed yet stays, however old it is')
  await sql`update watch_rolled set until = ${new Date(now)}`.execute(db)
  const first = await runRetention(db, { hostNow: now, keep })
  t.strictSame([first.doubt, first.failed, first.busy], [undefined, [], []])
  t.strictSame(
    first.dropped.map(({ partition }) => partition.replace(/_\d+$/, '')),
    tables.map(({ table }) => table),
    'of each table what is older, and nothing else',
  )
  const { rows } = await sql<{ parent: string; ahead: number }>`
    select p.relname as parent, count(*)::integer as ahead from pg_inherits i join pg_class c on c.oid = inhrelid join pg_class p on p.oid = inhparent
    where c.relname ~ ('_(' || to_char(now() at time zone 'UTC' + interval '1 day', 'YYYYMMDD') || '|' || to_char(now() at time zone 'UTC' + interval '1 month', 'YYYYMM') || ')$')
    group by 1`.execute(db)
  const ahead = rows.map(({ parent }) => parent).sort()
  t.strictSame(
    ahead,
    [...tables.map(({ table }) => table), 'ledger'].sort(),
    'what is to come is there for all of them',
  )

  await setRetention(db, 'watch_minute', DAY)
  await setRetention(db, 'error_log', 0)
  await sql`select time_partition('error_log', ${new Date(now - 400 * DAY)}, 'day')`.execute(db)
  const second = await runRetention(db, { hostNow: now, keep })
  t.strictSame(
    second.dropped.map(({ name }) => name),
    ['watch_minute'],
    'what an operator set goes before the settings; 0 is for ever',
  )
  const list = new Map((await listRetention(db, keep)).map(one => [one.name, one]))
  matchAll(t, list.get('watch_minute'), {
    keep: '1d',
    source: 'set',
    last_run_at: Date,
    last_dropped: [/^watch_minute_\d{8}$/],
    last_error: null,
  })
  t.match(list.get('error_log'), { keep: 'for ever', keep_ms: 0, source: 'set' })
  matchAll(t, list.get('watch_hour'), { keep: '180d', source: 'settings', last_dropped: [/^watch_hour_\d{6}$/] })
  await setRetention(db, 'error_log', null)
  t.strictSame(
    (await runRetention(db, { hostNow: now, keep })).dropped.map(({ name }) => name),
    ['error_log'],
  )
  await t.rejects(setRetention(db, 'eror_log', DAY), { kind: 'missing', message: /did you mean "error_log"/ })
  await t.rejects(setRetention(db, 'error_log', 60_000), { kind: 'usage', message: /1d to 36500d/ })
})

t.test("nothing of this host's clock ever drops anything, and a clock that leaps is not believed at once", async t => {
  const db = await clean()
  const keep = keepOf(loadConfig({ env: {}, flags: {} }).config)
  const now = await clockOf(db)
  const random = dice(23)
  await bookAll(db, [line(now, random), line(now - 60 * DAY, random)])
  const run = (hostNow: number) => runRetention(db, { hostNow, keep })
  const rows = () => count(db, 'usage')
  for (const wrong of [400 * DAY, -400 * DAY, 61 * 60_000]) {
    const refused = await run(now + wrong)
    t.match(refused.doubt, /^the clocks of this host \(.*\) and of Postgres \(.*\) differ by .*: nothing is dropped/)
    t.strictSame(refused.dropped, [])
  }
  t.match((await listRetention(db, keep))[0], { last_error: /^the clocks of this host/, last_run_at: null })
  const minutes = (await run(now + 59 * 60_000)).dropped.map(({ name }) => name)
  t.strictSame([...new Set(minutes)], ['usage_minute'], 'less than an hour is no reason')
  t.match((await listRetention(db, keep))[0], { last_error: null, last_run_at: Date })

  // An embedded Postgres has the wrong clock, too: seen from it, all that was is long ago.
  const ago = (days: number) => sql`update retention set last_run_at = now() - ${`${days} days`}::interval`.execute(db)
  await setRetention(db, 'usage', DAY)
  await sql`select time_partition('usage', now() - interval '400 days', 'month')`.execute(db)
  await ago(400)
  t.match((await run(now)).doubt, /^400d have passed since retention last ran: .* nothing is dropped before/)
  t.match((await run(now)).doubt, /^400d have passed/, 'nor at the next start')
  t.equal(await rows(), 2)
  await ago(0.5)
  const right = await run(now)
  t.equal(right.doubt, undefined, 'the clock is right again: all is as before')
  t.ok(right.dropped.some(({ name }) => name === 'usage'))
  t.match(await db.selectFrom('retention').select('hold_until').where('name', '=', 'usage').execute(), {
    0: { hold_until: null },
  })

  await ago(400)
  t.ok((await run(now)).doubt)
  await sql`update retention set hold_until = now() - interval '1 minute' where hold_until is not null`.execute(db)
  t.equal((await run(now)).doubt, undefined, 'what still is so a day later is the time')
})

t.test('a first run looks at the newest usage: of a clock that leapt before it nothing is believed either', async t => {
  const db = await clean()
  const now = await clockOf(db)
  await bookAll(db, [line(now - 200 * DAY, dice(3))])
  const keep = keepOf(loadConfig({ env: {}, flags: {} }).config)
  t.match((await runRetention(db, { hostNow: now, keep })).doubt, /^200d have passed/)
  t.equal(await count(db, 'usage'), 1)
})

t.test('alerts that are over go in batches, with what was sent of them; one that fires never goes', async t => {
  const db = await clean()
  const now = await clockOf(db)
  const keep = keepOf(loadConfig({ env: {}, flags: {} }).config)
  await sql`insert into alert_channels (name, type) values ('c', 'webhook')`.execute(db)
  await sql`insert into alert_rules (name, metric, op, threshold) values ('r', 'm', '>', 1)`.execute(db)
  const event = sql`insert into alert_events (rule_id, rule, dimension, severity, title, description, metric, op, value, threshold, window_minutes, status, fired_at, resolved_at)`
  await sql`${event} select 1, 'r', n::text, 'P1', '', '', 'm', '>', 2, 1, 1, 'resolved', now() - interval '200 days', now() - interval '100 days'
    from generate_series(1, 5100) n`.execute(db)
  await sql`${event} values (1, 'r', 'old', 'P1', '', '', 'm', '>', 2, 1, 1, 'firing', now() - interval '200 days', null),
    (1, 'r', 'new', 'P1', '', '', 'm', '>', 2, 1, 1, 'resolved', now() - interval '200 days', now() - interval '1 day')`.execute(
    db,
  )
  await sql`insert into alert_deliveries (event_id, channel_id, kind, state, message, created_at)
    select id, 1, 'firing', 'sent', '{}', now() - interval '200 days' from alert_events`.execute(db)
  await sql`insert into alert_deliveries (channel_id, kind, state, message, created_at) values
    (1, 'test', 'sent', '{}', now() - interval '100 days'), (1, 'digest', 'pending', '{}', now() - interval '100 days')`.execute(
    db,
  )
  const { alerts, failed } = await runRetention(db, { hostNow: now, keep })
  t.strictSame([alerts, failed], [2 * 5100 + 1, []])
  const left = await sql<{ dimension: string }>`select dimension from alert_events order by 1`.execute(db)
  t.strictSame(
    left.rows.map(row => row.dimension),
    ['new', 'old'],
  )
  t.equal(await count(db, 'alert_deliveries'), 3, 'those of what is left, and one that waits')
  matchAll(t, (await listRetention(db, keep)).at(-1), { name: 'alerts', last_dropped: ['10201 rows'] })
})

t.test('retention is made at the start, then daily by one process of all, and sooner after trouble', async t => {
  const db = await clean()
  const { config } = loadConfig({ env: {}, flags: {} })
  const job = janitor({ config: () => config, log: { info() {} } })
  const run = () => job.run(new AbortController().signal, db)
  const last = async () =>
    (await db.selectFrom('retention').select('last_run_at').where('name', '=', 'usage').executeTakeFirst())?.last_run_at
  const set = (ago: string) => sql`update retention set last_run_at = now() - ${ago}::interval`.execute(db)
  await run()
  t.ok(await last(), 'at the start')
  await set('10 hours')
  const before = await last()
  await run()
  t.strictSame(await last(), before, 'not again within the day, whoever it was')
  await set('24 hours')
  await run()
  t.ok((await last())! > before!, 'daily')
  await set('400 days')
  await t.rejects(run(), /400d have passed/, 'a doubt is an error of the job')
  await sql`update retention set last_run_at = now() - interval '1 hour'`.execute(db)
  const held = await last()
  await run()
  t.ok((await last())! > held!, 'and it tries again within the hour')

  await sql`update retention set last_run_at = now() - interval '1 hour'`.execute(db)
  const quiet = await last()
  await run()
  t.strictSame(await last(), quiet)
  await sql`update retention set last_error = 'no' where name = 'usage_day'`.execute(db)
  await run()
  t.ok((await last())! > quiet!, "after another process's trouble, too: it is not told as a success")
})
