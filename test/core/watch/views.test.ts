// §12.5 and §12.7: overview, history, providers, latency and dimensions, from roll-ups of several processes.
import type { Kysely } from 'kysely'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { loadConfig } from '../../../src/config/load.ts'
import { dimensions } from '../../../src/core/watch/dimensions.ts'
import { history } from '../../../src/core/watch/history.ts'
import { histogram, latency } from '../../../src/core/watch/latency.ts'
import { Merged } from '../../../src/core/watch/merged.ts'
import { overview } from '../../../src/core/watch/overview.ts'
import { judged, providers } from '../../../src/core/watch/providers.ts'
import { DAY, HOUR, MINUTE, partsOf, spanOf } from '../../../src/core/watch/range.ts'
import { scopeOf } from '../../../src/core/watch/scope.ts'
import { noCounts } from '../../../src/core/watch/sums.ts'
import { openDatabase } from '../../../src/db/connect.ts'
import type { Tables } from '../../../src/db/schema.ts'
import { freshDatabase } from '../../helpers/database.ts'
import { measured, roll } from '../../helpers/watch.ts'

const now = Date.UTC(2026, 10, 20, 12, 0, 30)
const minute = Math.floor(now / MINUTE) * MINUTE
const hourAgo = spanOf({}, HOUR, now)
const options = { redis: false, poolSize: 10, intervalMs: 60_000 }
const total = { dimension: 'total' } as const

const config = { ...loadConfig({ env: {}, flags: {} }).config, 'database.url': await freshDatabase(t) }
const opened = await openDatabase(config)
t.teardown(opened.close)

/** The one of this file, empty again. */
async function database(): Promise<Kysely<Tables>> {
  await sql`truncate watch_metrics, watch_minute, watch_hour, watch_day, watch_rolled, error_log, jobs`.execute(
    opened.db,
  )
  return opened.db
}

const upTo = (n: number, step = 1) => Array.from({ length: n }, (_, i) => (i + 1) * step)
const near = (t: Test, value: number | null | undefined, wanted: number, words?: string) =>
  t.ok(Math.abs((value ?? Number.NaN) - wanted) <= 0.011 * wanted, `${words ?? ''} ${value} is about ${wanted}`)

t.test('§12.5 overview: every field, merged over processes', async t => {
  const db = await database()
  await roll(db, 'watch_minute', [
    { at: minute - 30 * MINUTE, success: 600, duration: upTo(100, 10), first_token: upTo(100), output_tokens: 6000 },
    {
      at: minute - MINUTE,
      success: 57,
      errors: 3,
      client_errors: 6,
      errors_4xx: 1,
      errors_5xx: 2,
      errors_timeout: 1,
      input_tokens: 100,
      output_tokens: 500,
      cost: 2_000_000_000n,
      duration: [5000],
      first_token: [2000],
    },
    { at: minute - MINUTE, process: 'p2', success: 60, duration: upTo(100, 10) },
    { at: minute - MINUTE - DAY, success: 100 },
    { at: minute - 61 * MINUTE, success: 10_000 },
  ])
  await measured(db, [
    { at: minute, cpu_percent: 30, in_flight: 2, queue_depth: 1, db_active: 1, loop_lag_p99_ms: 12 },
    { at: minute, process: 'p2', node: 'n2', cpu_percent: 50, in_flight: 3, queue_depth: 0, db_active: 4 },
    { at: minute - 10 * MINUTE, process: 'gone', cpu_percent: 99, in_flight: 100 },
  ])
  const found = await overview(db, hourAgo, total, options)
  t.match(found, {
    timestamp: new Date(now),
    sla: { current: 99.58, threshold: 99.9, status: 'warning', trend: 'down', change_24h: -0.42 },
    requests: { total: 726, success: 717, client_errors: 6 },
    errors: { total_count: 3, error_rate: 0.42, '4xx_count': 1, '5xx_count': 2, timeout_count: 1, top_error: null },
    tokens: { input: 100, output: 6500, cost: 2_000_000_000n },
    qps: { current: 2.1, peak_1h: 10, avg_1h: 0.2, change_vs_yesterday: 626 },
    tps: { current: 10, peak_1h: 100, avg_1h: 1.8 },
    resources: {
      cpu_usage: 50,
      memory_usage: 12.5,
      disk_usage: 25,
      event_loop_lag_p99_ms: 12,
      in_flight: 5,
      queue_depth: 1,
      db_connections: { active: 5, idle: 4, waiting: 0, max: 20 },
      processes: 2,
      nodes: 2,
    },
    system_status: { redis: 'off', database: 'healthy', background_jobs: 'healthy' },
  })
  near(t, found.latency.p50, 505, 'as if one had seen all')
  t.equal(found.latency.max, 5000)
  near(t, found.ttft.p99, 100)
  t.match(found.ttft, { threshold_p99: 1000, status: 'healthy', max: 2000 })
  t.type(found.health_score, 'number')
})

t.test('rates are of the time that is counted: even traffic is even at any moment', async t => {
  const db = await database()
  const even = (at: number, success = 60) => ({ at, success, output_tokens: 2 * success })
  const minutes = upTo(20).map(n => minute - n * MINUTE)
  await roll(db, 'watch_minute', [
    ...minutes.map(at => even(at)),
    ...[minute - DAY, minute - DAY + MINUTE, ...minutes.map(at => at - DAY)].map(at => even(at)),
  ])
  await measured(db, [{ at: minute, process: 'p1' }])
  const look = async () => {
    const found = await overview(db, spanOf({ range: '5m' }, HOUR, now), total, options)
    const { rows } = await history(db, { ...spanOf({}, HOUR, now), window: '5m', limit: 3 }, total)
    return { qps: found.qps, tps: found.tps, history: rows.map(row => row.qps) }
  }
  const wanted = {
    qps: { current: 1, peak_1h: 1, avg_1h: 1, change_vs_yesterday: 0 },
    tps: { current: 2, peak_1h: 2, avg_1h: 2 },
  }
  t.strictSame(await look(), { ...wanted, history: [1, 1] }, 'the minute that has begun is not written yet')
  await roll(db, 'watch_minute', [even(minute, 30)])
  await measured(db, [{ at: now, process: 'p1', interval_ms: 1000 }])
  t.strictSame(await look(), { ...wanted, history: [1, 1, 1] }, 'it is as far as it has come')
})

t.test('the peak of a month is known to its hours and days, whether or not their minutes are there', async t => {
  const db = await database()
  const day = Math.floor((now - 10 * DAY) / DAY) * DAY
  const hour = Math.floor(now / HOUR) * HOUR
  const of = (value: string) => ({ dimension: 'account', value }) as const
  await roll(db, 'watch_minute', [
    { at: minute - MINUTE, success: 60, ...of('1') },
    { at: minute - MINUTE, process: 'p2', success: 60, ...of('1') },
    { at: day + HOUR, success: 900, ...of('1') },
    { at: day + HOUR, success: 900, ...of('2') },
  ])
  await roll(db, 'watch_day', [{ at: day, success: 9000, ...of('1') }])
  await roll(db, 'watch_hour', [{ at: hour - HOUR, success: 5000, ...of('1') }])
  await sql`update watch_day set peak_requests = 600, peak_tokens = 1200`.execute(db)
  await sql`update watch_hour set peak_requests = 300, peak_tokens = 6000`.execute(db)
  const summed = { watch_hour: hour, watch_day: Math.floor(now / DAY) * DAY }
  for (const [name, until] of Object.entries(summed))
    await sql`insert into watch_rolled values (${name}, ${new Date(until)})`.execute(db)
  const look = (values: string[]) =>
    overview(db, { since: now - 30 * DAY, until: now }, { dimension: 'account', values }, options)
  t.match((await look(['1'])).qps, { current: 2, peak_1h: 10 })
  t.match((await look(['1'])).tps, { peak_1h: 100 }, 'each of its own minute')
  t.match((await look(['1', '2'])).qps, { current: 2, peak_1h: 30 }, 'of several together their minutes are added')
})

t.test('an overview of the past is of the processes that lived then', async t => {
  const db = await database()
  await measured(db, [
    { at: minute - 3 * HOUR, process: 'then' },
    { at: minute - HOUR, process: 'between' },
    { at: minute, process: 'now' },
  ])
  const past = await overview(db, { since: now - 4 * HOUR, until: now - 3 * HOUR }, total, options)
  t.equal(past.resources.processes, 1)
  t.equal((await overview(db, hourAgo, total, options)).resources.processes, 1)
})

t.test('§12.5 overview: without traffic there is no rate, and nothing is wrong', async t => {
  const db = await database()
  const found = await overview(db, hourAgo, total, options)
  t.match(found, {
    health_score: 100,
    sla: { current: null, status: 'healthy', trend: 'stable', change_24h: null },
    qps: { current: 0, peak_1h: 0, avg_1h: 0, change_vs_yesterday: 0 },
    latency: { p50: null, p99: null, status: 'healthy' },
    errors: { total_count: 0, error_rate: null, top_error: null },
    resources: { cpu_usage: null, processes: 0 },
  })
})

t.test('§12.5 top error: the most frequent status and message that clients saw', async t => {
  const db = await database()
  await sql`select time_partition('error_log', ${new Date(now)}, 'day')`.execute(db)
  const add = (status: number, message: string, recovered: boolean, n: number) =>
    sql`insert into error_log (at, request_id, process, phase, type, code, severity, owner, source, limited, recovered, status, platform, model,
      dialect, method, path, stream, message, retryable, user_actionable, retries, completion, cause, duration_ms, attempts)
      select ${new Date(now - 1000)}, gen_random_uuid(), 'p', 'upstream', 't', 'c', 'P1', 'provider', 'upstream_http', false, ${recovered}, ${status},
        'openai', 'm', 'chat', 'POST', '/', false, ${message}, true, false, 0, 'none', '', 1, '[]' from generate_series(1, ${n}::integer)`.execute(
      db,
    )
  await add(503, 'nobody is there', false, 3)
  await add(502, 'broken', false, 2)
  await add(529, 'saved by another', true, 9)
  const found = await overview(db, hourAgo, total, options)
  t.strictSame(found.errors.top_error, { code: 503, message: 'nobody is there', count: 3 })
})

t.test('§12.7 providers: status by success, timeouts and the first token', async t => {
  const table: [words: string, counts: Partial<ReturnType<typeof noCounts>>, ttft: number | null, status: string][] = [
    ['no requests', {}, null, 'healthy'],
    ['only faults of clients', { requests: 50, client_errors: 50 }, null, 'healthy'],
    ['97.9 %', { requests: 1000, success: 979, errors: 21 }, 100, 'critical'],
    ['98 %', { requests: 1000, success: 980, errors: 20 }, 100, 'warning'],
    ['99.5 %', { requests: 1000, success: 995, errors: 5 }, 100, 'healthy'],
    ['10 timeouts', { requests: 10_000, success: 9990, errors: 10, errors_timeout: 10 }, 100, 'warning'],
    ['10 timeouts of few', { requests: 99, success: 99, errors_timeout: 10 }, 100, 'healthy'],
    ['first token after 5 s', { requests: 10, success: 10 }, 5000, 'warning'],
  ]
  for (const [words, counts, ttft, status] of table) {
    const found = judged({ ...noCounts(), ...counts }, ttft)
    t.equal(found.status, status, words)
    t.equal(found.reason === '', status === 'healthy', `${words}: ${found.reason}`)
  }
  const db = await database()
  await roll(db, 'watch_minute', [
    {
      at: minute,
      dimension: 'platform',
      value: 'anthropic',
      success: 99,
      errors: 1,
      errors_5xx: 1,
      duration: [1000, 3000],
    },
    { at: minute, dimension: 'platform', value: 'anthropic', process: 'p2', success: 100 },
    { at: minute - MINUTE, dimension: 'platform', value: 'openai', success: 9, errors: 1, errors_timeout: 1 },
    { at: minute, dimension: 'platform', value: 'gemini', client_errors: 2 },
  ])
  const found = await providers(db, hourAgo)
  t.strictSame(found.summary, {
    total_requests: 212,
    avg_success_rate: 99.05,
    best_provider: 'anthropic',
    worst_provider: 'openai',
  })
  t.strictSame(
    found.providers.map(({ name, requests, success_rate, latency_ms, errors_by_type, status }) => [
      name,
      requests,
      success_rate,
      latency_ms.avg,
      errors_by_type,
      status,
    ]),
    [
      ['anthropic', 200, 99.5, 2000, { '4xx': 0, '5xx': 1, timeout: 0 }, 'healthy'],
      ['openai', 10, 90, null, { '4xx': 0, '5xx': 0, timeout: 1 }, 'critical'],
      ['gemini', 2, null, null, { '4xx': 0, '5xx': 0, timeout: 0 }, 'healthy'],
    ],
  )
})

t.test('§12.7 latency: bounds for language models, and a second histogram for first tokens', async t => {
  const db = await database()
  await roll(db, 'watch_minute', [
    { at: minute, duration: [500, 2_000, 5_000, 20_000, 45_000, 90_000, 200_000, 700], first_token: [100, 400, 2_000] },
    { at: minute, dimension: 'account', value: '1', duration: [500], first_token: [100] },
  ])
  const found = await latency(db, hourAgo, total)
  t.strictSame(
    found.duration.buckets.map(({ range, le_ms, count, percentage }) => [range, le_ms, count, percentage]),
    [
      ['<= 1s', 1_000, 2, 25],
      ['1s - 3s', 3_000, 1, 12.5],
      ['3s - 10s', 10_000, 1, 12.5],
      ['10s - 30s', 30_000, 1, 12.5],
      ['30s - 60s', 60_000, 1, 12.5],
      ['60s - 120s', 120_000, 1, 12.5],
      ['> 120s', null, 1, 12.5],
    ],
  )
  t.match(found.duration, { count: 8, slow_request_threshold_ms: 60_000, slow_count: 2 })
  t.strictSame(
    found.first_token.buckets.map(({ count }) => count),
    [1, 1, 0, 1, 0, 0, 0],
  )
  t.match(found.first_token, { slow_request_threshold_ms: 1000, slow_count: 1 })
  t.equal((await latency(db, hourAgo, { dimension: 'account', values: ['1'] })).duration.count, 1)
  const empty = histogram(new Merged(), { ms: [1], slow: 1 })
  t.strictSame(empty.buckets[0], { range: '<= 1ms', le_ms: 1, count: 0, percentage: null })
})

t.test(
  '§12.7 history: windows of 1 and 5 minutes, the oldest first, with what processes said of themselves',
  async t => {
    const db = await database()
    await roll(db, 'watch_minute', [
      { at: minute - 7 * MINUTE, success: 60, duration: [100] },
      { at: minute - 6 * MINUTE, success: 120, errors: 40, duration: [200], output_tokens: 600 },
      { at: minute - 6 * MINUTE, process: 'p2', success: 40, duration: [400] },
    ])
    await measured(db, [
      // Of the interval that ends at its time.
      { at: minute - 6 * MINUTE, queue_depth: 4, cpu_percent: 10, success: 1, upstream: [100], queued: [5] },
      { at: minute - 5 * MINUTE - 30_000, queue_depth: 6, cpu_percent: 20, gc_pause_ms: 3 },
      { at: minute - 5 * MINUTE, queue_depth: 2, cpu_percent: 30, gc_pause_ms: 4, success: 1, upstream: [300] },
      { at: minute - 5 * MINUTE, process: 'p2', queue_depth: 1, cpu_percent: 15, success: 1, upstream: [500] },
    ])
    const span = spanOf({}, DAY, now)
    const found = await history(db, { ...span, window: '1', limit: 1440 }, total)
    t.match(found, { window: '1m', window_minutes: 1 })
    t.strictSame(
      found.rows.map(row => [
        row.at.getTime(),
        row.requests,
        row.errors,
        row.success_rate,
        row.queue_depth,
        row.cpu_percent,
        row.processes,
      ]),
      [
        [minute - 7 * MINUTE, 60, 0, 100, 4, 10, 1],
        [minute - 6 * MINUTE, 200, 40, 80, 5, 30, 2],
      ],
    )
    t.match(found.rows[1], { qps: 3.333, tps: 10, gc_pause_ms: 7, disk_used_mb: 25, upstream_ms: { max: 500 } })
    t.equal(found.rows[1]!.latency_ms.max, 400)

    const fives = await history(db, { ...span, window: '5m', limit: 5000 }, total)
    t.strictSame(
      fives.rows.map(row => [row.at.toISOString().slice(11, 16), row.requests]),
      [['11:50', 60 + 200]].filter(() => true),
    )
    t.equal((await history(db, { ...span, limit: 1440 }, total)).window, '1m', 'a day of minutes')
    const one = await history(db, { ...span, window: '1m', limit: 1 }, total)
    t.strictSame(one.rows, [], 'limit is of the newest windows')
    const narrow = await history(db, { ...span, window: '1m', limit: 7 }, total)
    t.strictSame(
      narrow.rows.map(row => row.requests),
      [200],
    )
  },
)

t.test('§12.7 history: a long range is of hours or days, which are in roll-ups of their own', async t => {
  const db = await database()
  const today = Date.UTC(2026, 10, 20)
  await roll(db, 'watch_day', [{ at: today - 2 * DAY, success: 1000, process: '' }])
  await roll(db, 'watch_hour', [
    { at: today - 2 * DAY, success: 1000, process: '' },
    { at: today - DAY, success: 500, process: '' },
    { at: today, success: 7, process: '' },
  ])
  await roll(db, 'watch_minute', [
    { at: today, success: 7 },
    { at: minute, success: 3 },
  ])
  await db
    .insertInto('watch_rolled')
    .values([
      { name: 'watch_hour', until: new Date(today + 12 * HOUR) },
      { name: 'watch_day', until: new Date(today - DAY) },
    ])
    .execute()
  await measured(db, [{ at: today - DAY + HOUR, cpu_percent: 77 }])
  const days = await history(db, { ...spanOf({ since: new Date(today - 60 * DAY) }, DAY, now), limit: 300 }, total)
  t.equal(days.window, '1d')
  t.strictSame(
    days.rows.map(row => row.requests),
    [1000, 500, 10],
    'days that are summed, hours of the one that is not, and the minutes of this hour',
  )
  const hours = await history(db, { ...spanOf({ since: new Date(today - 3 * DAY) }, DAY, now), limit: 300 }, total)
  t.equal(hours.window, '1h')
  t.strictSame(
    hours.rows.map(row => [row.requests, row.cpu_percent]),
    [
      [1000, undefined],
      [500, 77],
      [7, undefined],
      [3, undefined],
    ],
  )
})

t.test(
  '§12.1 dimensions: by each, names joined, sorted, in pages; minutes, hours and days give the same sums',
  async t => {
    const db = await database()
    await sql`insert into users (id, name, concurrency) overriding system value values (7, 'ada', 1), (8, 'bob', 1)`.execute(
      db,
    )
    const rows = (['user', 'model'] as const).flatMap(dimension =>
      upTo(5).map(n => ({
        at: minute - n * MINUTE,
        dimension,
        value: dimension === 'user' ? String(6 + n) : `m${n}`,
        success: 10 * n,
        errors: n,
        output_tokens: 100 - n,
        cost: BigInt(n),
        duration: [n * 100],
        first_token: [n],
      })),
    )
    await roll(db, 'watch_minute', [...rows, { at: minute, dimension: 'user', value: '7', process: 'p2', success: 1 }])
    const asked = { ...spanOf({}, DAY, now), by: 'user', sort: 'requests', limit: 3, offset: 0 } as const
    const found = await dimensions(db, asked)
    t.equal(found.total, 5)
    t.strictSame(
      found.rows.map(row => [row.name, row.id, row.requests, row.error_rate, row.latency_ms.max, row.ttft_ms.p50]),
      [
        ['11', 11, 55, 9.09, 500, 5],
        ['10', 10, 44, 9.09, 400, 4],
        ['9', 9, 33, 9.09, 300, 3],
      ],
    )
    t.strictSame(
      (await dimensions(db, { ...asked, offset: 3 })).rows.map(row => [row.name, row.requests]),
      [
        ['bob', 22],
        ['ada', 12],
      ],
    )
    t.strictSame(
      (await dimensions(db, { ...asked, by: 'model', sort: 'tokens' })).rows.map(row => [row.name, 'id' in row]),
      [
        ['m1', false],
        ['m2', false],
        ['m3', false],
      ],
    )
    t.strictSame(
      (await dimensions(db, { ...asked, sort: 'name' })).rows.map(row => row.name),
      ['10', '11', '9'],
    )
    t.strictSame((await dimensions(db, { ...asked, sort: 'cost', limit: 1 })).rows[0]!.name, '11')
    t.strictSame((await dimensions(db, { ...asked, by: 'path' })).rows, [])
  },
)

t.test('a filter names one record or word, and two are refused', async t => {
  const db = await database()
  await sql`insert into accounts (id, name, platform, type, credential, concurrency, priority) overriding system value values (3, 'main', 'openai', 'apikey', '', 1, 1)`.execute(
    db,
  )
  t.strictSame(await scopeOf(db, { account: 'main' }), { dimension: 'account', values: ['3'] })
  t.strictSame(await scopeOf(db, { model: 'gpt' }), { dimension: 'model', values: ['gpt'] })
  t.strictSame(await scopeOf(db, {}), { dimension: 'total' })
  await t.rejects(scopeOf(db, { account: 'mian' }), { kind: 'missing', message: /did you mean "main"/ })
  await t.rejects(scopeOf(db, { account: 'main', model: 'x' }), {
    kind: 'usage',
    message: /^account and model exclude/,
  })
})

t.test('spans: ranges, spans of time and dates; parts are days and hours where they are whole', async t => {
  t.strictSame(spanOf({ range: '6h' }, HOUR, now), { since: minute - 6 * HOUR, until: now })
  t.throws(() => spanOf({ range: '6h', since: new Date(0) }, HOUR, now), /exclude each other/)
  t.throws(() => spanOf({ since: new Date(now + 1) }, HOUR, now), /lies after until/)
  const reach = { until: [Infinity, minute, Date.UTC(2026, 10, 20)], since: [-Infinity, -Infinity, -Infinity] }
  const words = (parts: ReturnType<typeof partsOf>) =>
    parts.map(
      ({ table, from, till }) =>
        `${table} ${new Date(from).toISOString().slice(8, 16)} ${new Date(till).toISOString().slice(8, 16)}`,
    )
  t.strictSame(words(partsOf({ since: Date.UTC(2026, 10, 18, 22, 58), until: now }, reach)), [
    'watch_minute 18T22:58 18T23:00',
    'watch_hour 18T23:00 19T00:00',
    'watch_day 19T00:00 20T00:00',
    'watch_hour 20T00:00 20T12:00',
    'watch_minute 20T12:00 20T12:00',
  ])
  const kept = { ...reach, since: [Date.UTC(2026, 10, 19), Date.UTC(2026, 10, 1), -Infinity] }
  t.strictSame(
    words(partsOf({ since: Date.UTC(2026, 10, 18, 22, 58), until: Date.UTC(2026, 10, 19) }, kept)),
    ['watch_hour 18T22:00 19T00:00'],
    'where the minutes are gone the hours are asked',
  )
  t.strictSame(
    words(partsOf({ since: Date.UTC(2026, 10, 18, 20), until: Date.UTC(2026, 10, 18, 22, 30) }, kept)),
    ['watch_hour 18T20:00 18T23:00'],
    'at the end as at the beginning',
  )
})
