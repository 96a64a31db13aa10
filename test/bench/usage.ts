// Measures usage in an embedded Postgres of its own: sums, pages, inserts, bytes a row and retention over millions of rows.
import { execFile } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { sql } from 'kysely'
import { loadConfig } from '../../src/config/load.ts'
import type { UsageLine } from '../../src/core/books/line.ts'
import { applyRetention } from '../../src/core/retention/partitions.ts'
import type { UsageFilter } from '../../src/core/usage/filter.ts'
import { resolve } from '../../src/core/usage/filter.ts'
import { listUsage, usagePages } from '../../src/core/usage/rows.ts'
import { usageDimensions, usageStats } from '../../src/core/usage/stats.ts'
import { type Db, openDatabase } from '../../src/db/connect.ts'
import { requestId } from '../../src/lib/id.ts'
import { book } from '../helpers/booking.ts'
import { percentiles } from './percentiles.ts'

const RUNS = 20
const DAYS = 90
const DAY = 86_400_000
const BYTES_A_ROW = 750 // on disk while it fills: rows, roll-ups and the log of changes

const folder = mkdtempSync(path.join(tmpdir(), 'gwb-'))
chmodSync(folder, 0o755) // as root, Postgres runs as another user and lives below
async function main() {
  const now = Date.now()
  await fill(now)
  if (interrupted) return
  await sizes('usage as filled in order of time', `relname ~ '^usage_\\d{6}$'`, total)
  const minutes = performance.now()
  const { dropped } = await applyRetention(db, {
    now,
    keep: { usage: 0, usage_minute: 2 * DAY, usage_hour: 0, usage_day: 0 },
  })
  console.log(`retention, the minutes of ${dropped.length} days: ${seconds(minutes)}`)
  await stats(now)
  await pages(now)
  await commands(now)
  await retention(now)
  await inserts(now)
}

async function fill(now: number) {
  const begun = performance.now()
  const until = new Date(Math.floor(now / 60_000) * 60_000)
  const since = new Date(Math.floor(now / DAY) * DAY - (DAYS - 1) * DAY)
  await sql.raw(readFileSync(new URL('./usage-fill.sql', import.meta.url), 'utf8')).execute(db)
  for (let at = since.getTime(); at < now + DAY; at += 10 * DAY)
    await sql`select month_partition('usage', ${new Date(at)})`.execute(db)
  await sql`select month_partition('usage', ${until})`.execute(db)
  const chunk = 250_000
  const chunks = Array.from({ length: Math.ceil(total / chunk) }, (_, i) => i * chunk)
  const worker = async () => {
    for (let first = chunks.shift(); first !== undefined && !interrupted; first = chunks.shift())
      await sql`select bench_fill(${since}, ${until}, ${DAYS}, ${first + 1}::bigint, ${Math.min(first + chunk, total)}::bigint, ${total}::bigint)`.execute(
        db,
      )
  }
  await Promise.all([worker(), worker()])
  console.log(`${total} rows over ${DAYS} days in ${seconds(begun)}`)
  const rolling = performance.now()
  for (let day = since.getTime(); day < now && !interrupted; day += DAY)
    await sql`select roll_up_usage(${new Date(day)}, ${new Date(day + DAY)})`.execute(db)
  console.log(`rolled up in ${seconds(rolling)}`)
  for (const table of ['usage', 'usage_minute', 'usage_hour', 'usage_day', 'usage_pool_hour', 'usage_pool_day']) {
    await sql`vacuum analyze ${sql.table(table)}`.execute(db)
    if (table !== 'usage') await sizes(table, `relname ~ '^${table}_\\d+$'`)
  }
}

async function sizes(what: string, where: string, of?: number) {
  const { rows } = await sql<{ rows: number; heap: number; index: number }>`
    select sum(reltuples)::float8 as rows, sum(pg_relation_size(oid))::float8 as heap, sum(pg_indexes_size(oid))::float8 as index
    from pg_class where relkind = 'r' and ${sql.raw(where)}`.execute(db)
  const { rows: counted, heap, index } = rows[0]!
  const n = of ?? counted
  console.log(`${what}: ${n} rows, ${mb(heap)} + ${mb(index)} of index, ${((heap + index) / n).toFixed(1)} B a row`)
}

/** Drops the first whole month while two connections insert, and says how long both took at worst. */
async function retention(now: number) {
  const { rows } = await sql<{ name: string; until: Date; bytes: number }>`
    select c.relname as name, substring(pg_get_expr(c.relpartbound, c.oid) from $$TO \\('([^']+)'\\)$$)::timestamptz as until,
      pg_total_relation_size(c.oid)::float8 as bytes
    from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'usage'::regclass order by 2`.execute(
    db,
  )
  // The first is a piece of a month, so it goes before.
  const [first, month] = rows
  const keep = { usage: now - first!.until.getTime(), usage_minute: 0, usage_hour: 0, usage_day: 0 }
  await applyRetention(db, { now, keep })

  const quiet = await inserting(() => new Promise(resolve => setTimeout(resolve, 3_000)))
  console.log(`inserts of 20 rows, 2 connections, nothing dropped (3 s), ms: ${percentiles(quiet.took, [50, 99, 100])}`)
  const dropping = await inserting(async () => {
    await new Promise(resolve => setTimeout(resolve, 1_000))
    const begun = performance.now()
    const done = await applyRetention(db, { now, keep: { ...keep, usage: now - month!.until.getTime() } })
    const names = done.dropped.map(({ partition }) => partition).join(', ')
    console.log(
      `retention, ${names || `busy: ${done.busy.join()}`} (${mb(month!.bytes)}): ${(performance.now() - begun).toFixed(0)} ms`,
    )
    await new Promise(resolve => setTimeout(resolve, 1_000))
  })
  console.log(`inserts of 20 rows, 2 connections, while it dropped, ms: ${percentiles(dropping.took, [50, 99, 100])}`)
  console.log(`longest wait for a lock seen in pg_stat_activity, ms: ${dropping.waited.toFixed(1)}`)
}

async function inserting(work: () => Promise<unknown>) {
  const took: number[] = []
  let waited = 0
  let ended = false
  const insert = async () => {
    while (!ended) {
      const batch = lines(20, Date.now())
      const begun = performance.now()
      await book(db, batch, 'UTC')
      took.push(performance.now() - begun)
    }
  }
  const watch = async () => {
    while (!ended) {
      const { rows } = await sql<{ ms: number | null }>`
        select max(extract(epoch from clock_timestamp() - l.waitstart) * 1000)::float8 as ms from pg_locks l
        join pg_stat_activity a using (pid) where not l.granted and a.query not like 'drop%'`.execute(db)
      waited = Math.max(waited, rows[0]!.ms ?? 0)
    }
  }
  const busy = Promise.all([insert(), insert(), watch()])
  await work().finally(() => {
    ended = true
  })
  await busy
  return { took, waited }
}

async function stats(now: number) {
  const all: number[] = []
  const filters: UsageFilter[] = [
    {},
    { user: 'user-5' },
    { key: 'key-7' },
    { account: 'account-3' },
    { group: 'group-2' },
    { model: 'gpt-5.1' },
  ]
  for (const [name, days] of [
    ['1.3d', 1.3],
    ['30d', 30.3],
    ['90d', 89.7],
  ] as const)
    for (const filter of filters) {
      const line: string[] = []
      for (const by of usageDimensions) {
        if (by === 'minute' && days > 2) continue
        const took = await times(() => usageStats(db, { ...filter, by, since: new Date(now - days * DAY) }))
        all.push(...took)
        line.push(`${by} ${percentiles(took, [50, 95])}`)
      }
      console.log(`stats --since ${name} ${words(filter)}, ms: ${line.join(' | ')}`)
    }
  console.log(`stats, all ${all.length} of these, ms: ${percentiles(all, [50, 95, 99, 100])}`)
}

async function pages(now: number) {
  const deep = { at: new Date(now - 20 * DAY), request_id: requestId(now) }
  const filters: (UsageFilter & { before?: typeof deep })[] = [
    {},
    { before: deep },
    { user: 'user-5' },
    { user: 'user-200' },
    { key: 'key-400' },
    { key: 'key-400', before: deep },
    { account: 'account-3' },
    { model: 'gpt-4.1' },
    { model: 'of-nobody' },
    { group: 'group-2', user: 'user-7' },
  ]
  for (const filter of filters) {
    const took = await times(() => listUsage(db, { ...filter, limit: 50 }))
    console.log(`list ${words(filter)}, ms: ${percentiles(took, [50, 95])}`)
  }
  const begun = performance.now()
  let rows = 0
  for await (const page of usagePages(db, await resolve(db, {}), 5_000)) {
    rows += page.length
    if (rows >= 500_000) break
  }
  console.log(`pages of 5000, as export reads them: ${Math.round(rows / ((performance.now() - begun) / 1000))} rows/s`)
}

async function commands(now: number) {
  const run = promisify(execFile)
  const gw = path.join(import.meta.dirname, '../../bin/gw')
  const since = new Date(now - 30.3 * DAY).toISOString()
  for (const words of [
    ['version'],
    ['user', 'list', '--json'],
    ['usage', 'stats', '--json'],
    ['usage', 'stats', '--by', 'day', '--json'],
    ['usage', 'stats', '--by', 'key', '--since', since, '--json'],
    ['usage', 'stats', '--by', 'hour', '--since', since, '--json'],
    ['usage', 'list', '--user', 'user-5', '--json'],
  ]) {
    const took = await times(() => run(gw, [...words, '--data-dir', folder], { maxBuffer: 1 << 26 }))
    console.log(`gw ${words.join(' ')}, the whole command, ms: ${percentiles(took, [50, 95])}`)
  }
}

/** Into a month of its own, in the order in which requests end, not begin. */
async function inserts(now: number) {
  const rate = async (name: string, at: number, connections: number, one: (batch: UsageLine[]) => Promise<unknown>) => {
    let rows = 0
    const begun = performance.now()
    const took: number[] = []
    const worker = async () => {
      while (performance.now() - begun < 10_000) {
        const batch = lines(500, at + performance.now() - begun)
        const started = performance.now()
        await one(batch)
        took.push(performance.now() - started)
        rows += 500
      }
    }
    await Promise.all(Array.from({ length: connections }, worker))
    const perSecond = Math.round(rows / ((performance.now() - begun) / 1000))
    console.log(
      `${name}, batches of 500, ${connections} at once: ${perSecond} rows/s; a batch, ms: ${percentiles(took, [50, 95])}`,
    )
    return rows
  }
  const months = [1, 2].map(n => Date.UTC(new Date(now).getUTCFullYear() + 1, n, 5))
  const inserted = (tx: Db, batch: UsageLine[]) =>
    sql`insert into usage select * from jsonb_populate_recordset(null::usage, ${JSON.stringify(batch)}::jsonb)`.execute(
      tx,
    )
  for (const month of months)
    await sql`select month_partition('usage', ${new Date(month)}), month_partition('ledger', ${new Date(month)})`.execute(
      db,
    )
  await rate('insert usage alone', months[0]!, 1, batch => db.transaction().execute(tx => inserted(tx, batch)))
  const booked = await rate('book (with ledger and balances)', months[1]!, 1, batch => book(db, batch, 'UTC'))
  await sizes(
    'usage as book writes it',
    `relname = 'usage_${new Date(months[1]!).toISOString().slice(0, 7).replace('-', '')}'`,
    booked,
  )
}

const models = [
  'claude-sonnet-4-5-20250929',
  'claude-opus-4-5-20251101',
  'gpt-5.1-codex',
  'gemini-2.5-pro',
  'gpt-5-mini',
]

function lines(n: number, now: number): UsageLine[] {
  return Array.from({ length: n }, () => {
    const duration_ms = 500 + Math.floor(Math.random() ** 2 * 60_000)
    const at = Math.floor(now - duration_ms)
    const key_id = 1 + Math.floor(400 * Math.random() ** 3)
    const group_id = 1 + (key_id % 12)
    const model = models[Math.floor(Math.random() ** 2 * models.length)]!
    return {
      request_id: requestId(at),
      at: new Date(at).toISOString(),
      user_id: 1 + ((key_id - 1) % 200),
      key_id,
      group_id,
      account_id: group_id + 12 * Math.floor(Math.random() * 2),
      platform: 'anthropic',
      model,
      upstream_model: model,
      upstream_request_id: `req_011CS${requestId(at).slice(-19).replaceAll('-', '')}`,
      stream: true,
      status: Math.random() < 0.96 ? 200 : 529,
      input_tokens: Math.floor(Math.random() * 8_000),
      output_tokens: Math.floor(Math.random() * 2_000),
      cache_write_5m_tokens: Math.floor(Math.random() * 3_000),
      cache_write_30m_tokens: 0,
      cache_write_1h_tokens: 0,
      cache_write_12h_tokens: 0,
      cache_read_tokens: Math.floor(Math.random() * 60_000),
      web_searches: 0,
      mode: null,
      geo: null,
      cost: String(Math.floor(Math.random() * 9e7)),
      charged: String(Math.floor(Math.random() * 9e7)),
      billing: 'balance',
      subscription_id: null,
      price: `shipped:${model.replace(/-\d{8}$/, '')}`,
      partial: false,
      duration_ms,
      first_token_ms: 200 + Math.floor(Math.random() * 2_000),
      attempts: 1,
    }
  })
}

async function times(work: () => Promise<unknown>): Promise<number[]> {
  const took: number[] = []
  for (let i = 0; i < RUNS && !interrupted; i++) {
    const begun = performance.now()
    await work()
    took.push(performance.now() - begun)
  }
  return took
}

const words = (filter: object) =>
  Object.entries(filter)
    .map(([name, value]) => `--${name} ${typeof value === 'string' ? value : 'deep'}`)
    .join(' ') || '(no filter)'
const seconds = (begun: number) => `${((performance.now() - begun) / 1000).toFixed(1)} s`
const mb = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`

const { bavail, bsize } = statfsSync(folder)
const room = Math.floor((bavail * bsize * 0.8) / BYTES_A_ROW)
const wanted = Number(process.argv[2] ?? 10_000_000)
const total = Math.min(wanted, room)
if (total < wanted) console.log(`not enough disk for ${wanted} rows; measuring ${total}`)

const { config } = loadConfig({ env: {}, flags: { data_dir: folder } })
const database = await openDatabase(config)
const { db } = database
let interrupted = false
process.once('SIGINT', () => {
  interrupted = true
})
try {
  await main()
} finally {
  await database.close()
  rmSync(folder, { recursive: true, force: true })
}
