// Measures what a change of users, keys or accounts costs a daemon until it serves by it: 20 000 keys, 5 000 accounts, 2 000 users.
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { performance } from 'node:perf_hooks'
import { type KyselyPlugin, sql } from 'kysely'
import { loadConfig } from '../../src/config/load.ts'
import { advanceSnapshot, loadSnapshot } from '../../src/core/read-snapshot.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { secretFrom } from '../../src/lib/secret.ts'
import { percentiles } from './percentiles.ts'

const [USERS, ACCOUNTS, KEYS, GROUPS] = [2_000, 5_000, 20_000, 20]
const RUNS = 50
const BOUND_MS = 20

const folder = mkdtempSync(path.join(tmpdir(), 'gwb-'))
chmodSync(folder, 0o755) // as root, Postgres runs as another user and lives below
const { config } = loadConfig({ env: {}, flags: { data_dir: folder } })
const database = await openDatabase(config)
const secret = secretFrom(Buffer.alloc(32, 7))
let rows = 0
const counting: KyselyPlugin = {
  transformQuery: ({ node }) => node,
  async transformResult({ result }) {
    rows += result.rows.length
    return result
  },
}
const db = database.db.withPlugin(counting)

try {
  await fill()
  let snapshot = await loadSnapshot(db, secret)
  await timed(
    'everything',
    5,
    async () => {},
    () => loadSnapshot(db, secret, snapshot),
  )
  const n = () => 1 + Math.floor(Math.random() * 5_000)
  const one = (table: string, set: string, id: () => number) => () =>
    sql.raw(`update ${table} set ${set} where id = ${id()}`).execute(db)
  const work: [string, number, () => Promise<unknown>][] = [
    ['one key', RUNS, one('api_keys', 'rpm = 7', n)],
    ['one user', RUNS, one('users', 'concurrency = concurrency + 1', () => 1 + (n() % USERS))],
    ['one account', RUNS, one('accounts', 'priority = 3', n)],
    [
      'one account leaves its group',
      RUNS,
      () => sql.raw(`delete from account_groups where account_id = ${n()}`).execute(db),
    ],
    ['a group becomes exclusive or not', RUNS, one('groups', 'exclusive = not exclusive', () => 1 + (n() % GROUPS))],
    [
      '250 accounts of a group',
      10,
      () =>
        sql
          .raw(
            `update accounts set priority = priority % 50 + 1 where id in (select account_id from account_groups where group_id = ${1 + (n() % GROUPS)})`,
          )
          .execute(db),
    ],
    [
      '1500 accounts',
      5,
      () => sql.raw(`update accounts set priority = priority % 50 + 1 where id <= 1500`).execute(db),
    ],
    ['all accounts', 5, () => sql.raw(`update accounts set priority = priority % 50 + 1`).execute(db)],
    ['all keys', 5, () => sql.raw(`update api_keys set rpm = coalesce(rpm, 0) + 1`).execute(db)],
  ]
  for (const [name, runs, change] of work)
    await timed(name, runs, change, async () => {
      snapshot = (await advanceSnapshot(db, secret, snapshot)) ?? (await loadSnapshot(db, secret, snapshot))
    })
} finally {
  await database.close()
  rmSync(folder, { recursive: true, force: true })
}

async function timed(name: string, runs: number, change: () => Promise<unknown>, read: () => Promise<unknown>) {
  const took: number[] = []
  const cpu: number[] = []
  let most = 0
  for (let run = 0; run < runs; run++) {
    await change()
    rows = 0
    const before = process.cpuUsage()
    const begun = performance.now()
    await read()
    took.push(performance.now() - begun)
    const { user, system } = process.cpuUsage(before)
    cpu.push((user + system) / 1000)
    most = Math.max(most, rows)
  }
  const over = name === 'one key' && took.toSorted((a, b) => a - b)[runs >> 1]! > BOUND_MS
  if (over) process.exitCode = 1
  console.log(
    `${name}: ${most} rows, ms ${percentiles(took, [50, 95])}, CPU ${percentiles(cpu, [50])}${over ? ` (over ${BOUND_MS} ms)` : ''}`,
  )
}

async function fill() {
  await sql`insert into users (name, concurrency) select 'u' || n, 5 from generate_series(1, ${USERS}::integer) n`.execute(
    db,
  )
  await sql`insert into balances (user_id, balance) select id, 0 from users`.execute(db)
  await sql`insert into groups (name, platform) select 'g' || n, 'anthropic' from generate_series(1, ${GROUPS}::integer) n`.execute(
    db,
  )
  const sealed = secret.encrypt('x')
  await sql`insert into accounts (name, platform, type, credential, concurrency, priority)
    select 'a' || n, 'anthropic', 'apikey', ${sealed}::bytea, 5, 50 from generate_series(1, ${ACCOUNTS}::integer) n`.execute(
    db,
  )
  await sql`insert into account_groups select id, 1 + id % ${GROUPS}::integer from accounts`.execute(db)
  await sql`insert into api_keys (user_id, group_id, name, prefix, digest)
    select 1 + n % ${USERS}::integer, 1 + n % ${GROUPS}::integer, 'k' || n, 'sk-' || n, sha256(n::text::bytea) from generate_series(1, ${KEYS}::integer) n`.execute(
    db,
  )
  await sql`analyze`.execute(db)
}
