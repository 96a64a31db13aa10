// Measures gw ops and /ops/* over millions of usage rows and 90 days of roll-ups, in an embedded Postgres of its own.
import { execFile } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { sql } from 'kysely'
import { loadConfig } from '../../src/config/load.ts'
import { createSketch, encodeSketch } from '../../src/core/watch/sketch.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { createOpsServer } from '../../src/ops/server.ts'
import { watchRoutes } from '../../src/ops/watch.ts'
import { percentiles } from './percentiles.ts'

const RUNS = 20
const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const DAYS = 90
// Minutes are kept for 30 days; what has few values is filled for all of them, the rest as far back as a question reaches.
const MINUTE_DAYS = Number(process.argv[3] ?? 30)
const FULL_DAYS = Math.min(4, MINUTE_DAYS)
const BOUND_MS = 300

const total = Number(process.argv[2] ?? 10_000_000)
const folder = mkdtempSync(path.join(tmpdir(), 'gwb-'))
chmodSync(folder, 0o755) // as root, Postgres runs as another user and lives below
const { config } = loadConfig({ env: {}, flags: { data_dir: folder } })
const database = await openDatabase(config)
const { db } = database
const now = Date.now()
const seconds = (begun: number) => `${((performance.now() - begun) / 1000).toFixed(1)} s`
const at = (ms: number) => sql`${new Date(ms)}::timestamptz`

// Of each path the short, the default and the longest that it takes.
const questions = [
  'overview?range=5m',
  'overview?range=1h',
  'overview?range=24h',
  `overview?since=30d`,
  'overview?range=24h&account=account-3',
  'history?window=1',
  'history?window=1&limit=5000&since=5000m',
  'history?window=5&limit=5000&since=17d',
  'history?since=24h&account=account-3',
  'history?since=30d',
  'history?since=90d&limit=5000',
  'providers?range=1h',
  'providers?range=24h',
  'providers?since=90d',
  'latency?range=1h',
  'latency?range=24h',
  'latency?since=30d&model=7',
  ...['account', 'model', 'user', 'key', 'platform', 'group', 'path'].flatMap(by => [
    `dimensions?by=${by}&since=1h`,
    `dimensions?by=${by}`,
    `dimensions?by=${by}&since=30d`,
    `dimensions?by=${by}&since=90d`,
  ]),
  'dimensions?by=key&since=7d&limit=400',
  'dimensions?by=user&since=30d&sort=cost&offset=50',
  'health?',
]

try {
  await sql.raw(readFileSync(new URL('./usage-fill.sql', import.meta.url), 'utf8')).execute(db)
  await rollups()
  await measure()
  // Nothing is read of them; but they are what the same Postgres keeps in its memory, and what it writes.
  await usage()
  await measure()
} finally {
  await database.close()
  rmSync(folder, { recursive: true, force: true })
}

async function usage() {
  const begun = performance.now()
  const [since, until] = [Math.floor(now / DAY) * DAY - (DAYS - 1) * DAY, Math.floor(now / MINUTE) * MINUTE]
  for (let month = since; month < now + DAY; month += 10 * DAY)
    await sql`select month_partition('usage', ${at(month)})`.execute(db)
  const chunk = 250_000
  for (let first = 0; first < total; first += chunk)
    await sql`select bench_fill(${at(since)}, ${at(until)}, ${DAYS}, ${first + 1}::bigint, ${Math.min(first + chunk, total)}::bigint, ${total}::bigint)`.execute(
      db,
    )
  console.log(`${total} rows of usage over ${DAYS} days in ${seconds(begun)}`)
}

/** Two processes, 80 requests a minute: 4 platforms, 12 groups, 30 accounts, 15 models, 200 users with 400 keys. */
async function rollups() {
  const begun = performance.now()
  await sql`create table bench_sketch (size integer, variant integer, duration bytea, first_token bytea)`.execute(db)
  for (const size of [1, 2, 4, 10, 40, 200, 1_000, 5_000, 20_000, 100_000])
    for (let variant = 0; variant < 8; variant++)
      await sql`insert into bench_sketch values (${size}, ${variant}, ${sketch(size, 20_000)}, ${sketch(size, 900)})`.execute(
        db,
      )
  await sql`create table bench_values as
    select dimension, n::text as value, share, size from (values ('platform', 4, 1.0, 10), ('group', 12, 0.9, 4), ('account', 30, 0.6, 2),
      ('model', 15, 0.8, 4), ('path', 4, 1.0, 10), ('user', 200, 0.1, 2), ('key', 400, 0.06, 2)) d(dimension, many, share, size),
      lateral generate_series(1, many) n union all select 'total', '', 1.0, 40`.execute(db)
  const few = `dimension in ('total', 'platform', 'group', 'account', 'model', 'path')`
  const today = Math.floor(now / DAY) * DAY
  const hour = Math.floor(now / HOUR) * HOUR
  await fill('watch_minute', now - MINUTE_DAYS * DAY, now - FULL_DAYS * DAY, MINUTE, ['p1', 'p2'], 'size', few)
  await fill('watch_minute', now - FULL_DAYS * DAY, now, MINUTE, ['p1', 'p2'], 'size', 'true')
  await fill(
    'watch_hour',
    today - DAYS * DAY,
    hour,
    HOUR,
    [''],
    'case when size >= 40 then 5000 when size >= 4 then 1000 else 40 end',
    'true',
    true,
  )
  await fill(
    'watch_day',
    today - DAYS * DAY,
    today,
    DAY,
    [''],
    'case when size >= 40 then 100000 when size >= 4 then 20000 else 1000 end',
    'true',
    true,
  )
  await sql`insert into watch_rolled values ('watch_hour', ${at(hour)}), ('watch_day', ${at(today)})
      on conflict (name) do update set until = excluded.until`.execute(db)
  for (let day = now - MINUTE_DAYS * DAY; day < now + DAY; day += DAY)
    for (const table of ['watch_metrics', 'error_log'])
      await sql`select time_partition(${table}, ${at(day)}, 'day')`.execute(db)
  await sql`insert into watch_metrics
    select at, 'p' || p, 'n' || p, 60000, 40, 39, 1, 2, 0, 1, 0, 0, 41, 2, 200000, 20000, 90000000, s.duration, s.first_token, s.duration, s.first_token,
      1, 9, 8, 12, 40, 20 + 10 * random(), 3000, 8000, 40, 300, 100, 5, 2, 8, 0, 1, null, 20000, 100000, 0, 0, 3
    from (select at, p, floor(8 * random())::integer as v from generate_series(${at(Math.floor((now - MINUTE_DAYS * DAY) / MINUTE) * MINUTE)}, ${at(now)}, interval '1 minute') at,
      generate_series(1, 2) p) rows join bench_sketch s on s.size = 40 and s.variant = v`.execute(db)
  await sql`insert into error_log (at, request_id, process, phase, type, code, severity, owner, source, limited, recovered, status, platform, model,
      dialect, method, path, stream, message, retryable, user_actionable, retries, completion, cause, duration_ms, attempts, upstream_excerpt)
    select ${at(now)} - n * interval '3 seconds', gen_random_uuid(), 'p1', 'upstream', 'overloaded_error', 'BUDGET_SPENT', 'P1', 'provider', 'upstream_http',
      false, n % 3 = 0, 502 + n % 3, 'anthropic', 'claude-sonnet-4-5', 'messages', 'POST', '/v1/messages', true, 'every account tried refused; the last said ' || n % 7,
      true, false, 1, 'none', 'UF', 900, '[]', repeat('excerpt ', 60) from generate_series(1, ${(MINUTE_DAYS * DAY) / 3000 / 4}::integer) n`.execute(
    db,
  )
  for (const table of ['watch_minute', 'watch_hour', 'watch_day', 'watch_metrics', 'error_log'])
    await sql`vacuum analyze ${sql.table(table)}`.execute(db)
  console.log(`roll-ups in ${seconds(begun)}`)
  const { rows } = await sql<{ name: string; rows: number; bytes: number }>`
    select p.relname as name, sum(c.reltuples)::float8 as rows, sum(pg_total_relation_size(c.oid))::float8 as bytes
    from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
    where p.relname ~ '^(watch_|error_log)' and c.reltuples > 0 group by 1 order by 1`.execute(db)
  for (const { name, rows: n, bytes } of rows) console.log(`${name}: ${n} rows, ${(bytes / 1e6).toFixed(0)} MB`)
}

async function fill(
  table: string,
  since: number,
  until: number,
  step: number,
  processes: string[],
  size: string,
  which: string,
  all = false,
) {
  const width = table === 'watch_minute' ? 'day' : 'month'
  for (let day = since; day < until + DAY; day += DAY)
    await sql`select time_partition(${table}, ${at(day)}, ${width})`.execute(db)
  const first = Math.ceil(since / step) * step
  for (let from = first; from < until; from += 10 * DAY)
    await sql`insert into ${sql.table(table)}
      select at, dimension, value, process, s.size, s.size * 97 / 100, s.size * 2 / 100, s.size / 100, 0, s.size * 2 / 100, 0, 0, s.size, s.size * 2 / 100,
        s.size::bigint * 5000, s.size::bigint * 500, s.size::bigint * 9000000, s.duration, s.first_token
      from (select at, process, d.dimension, d.value, ${sql.raw(size)} as size, floor(8 * random())::integer as v
        from generate_series(${at(from)}, ${at(Math.min(from + 10 * DAY, until) - 1)}, ${`${step} milliseconds`}::interval) at,
          unnest(${processes}::text[]) process, bench_values d where ${sql.raw(which)} and ${all ? sql`true` : sql`random() < share`}) rows
      join bench_sketch s on s.size = rows.size and s.variant = v`.execute(db)
}

/** As long as answers and first tokens take: most are short, some are not. */
function sketch(size: number, typical: number): Buffer {
  const made = createSketch()
  for (let i = 0; i < size; i++)
    made.accept(typical * Math.exp(1.1 * (Math.random() + Math.random() + Math.random() - 1.5) * 2))
  return encodeSketch(made)
}

async function measure() {
  const server = createOpsServer({
    metrics: { text: () => '', contentType: '', ended() {} } as never,
    readiness: () => ({ phase: 'ready', refusing: undefined, degraded: [] }),
    routes: watchRoutes({ db, config: () => config, now: Date.now }),
    token: () => undefined,
    name: '',
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const all: number[] = []
  const slow: string[] = []
  for (const question of questions) {
    const took: number[] = []
    for (let i = 0; i < RUNS; i++) {
      // Each time another end: what is remembered would be no measure.
      const until = new Date(now - i).toISOString()
      const begun = performance.now()
      const response = await fetch(
        `${url}/ops/${question}${question.includes('health') ? `&since=${new Date(now - 300_000 - i).toISOString()}` : `&until=${until}`}`,
      )
      const body = await response.text()
      took.push(performance.now() - begun)
      if (response.status !== 200) throw new Error(`${question}: ${body}`)
    }
    all.push(...took)
    const p95 = took.toSorted((a, b) => a - b)[Math.ceil(0.95 * took.length) - 1]!
    if (p95 > BOUND_MS) slow.push(question)
    console.log(`/ops/${question}, ms: ${percentiles(took, [50, 95, 100])}`)
  }
  console.log(`all ${all.length} of these, ms: ${percentiles(all, [50, 95, 99, 100])}`)
  console.log(slow.length === 0 ? `all within ${BOUND_MS} ms (p95)` : `above ${BOUND_MS} ms (p95): ${slow.join(' | ')}`)
  server.closeAllConnections()
  server.close()
  const gw = path.join(import.meta.dirname, '../../bin/gw')
  for (const words of [
    'version',
    'ops overview',
    'ops history',
    'ops dimensions --by key',
    'ops health',
    'ops retention',
  ]) {
    const took: number[] = []
    for (let i = 0; i < 5; i++) {
      const begun = performance.now()
      await promisify(execFile)(gw, [...words.split(' '), '--json', '--data-dir', folder], { maxBuffer: 1 << 26 })
      took.push(performance.now() - begun)
    }
    console.log(`gw ${words}, the whole command, ms: ${percentiles(took, [50, 100])}`)
  }
}
