// The error log's writer: rows complete, bounded whatever comes, exact about what it dropped, and patient with a Postgres that is away.
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { loadConfig } from '../../../src/config/load.ts'
import { type ErrorLogOptions, openErrorLog } from '../../../src/core/errors/log.ts'
import { Outcome } from '../../../src/core/outcome.ts'
import { openDatabase } from '../../../src/db/connect.ts'
import { Failure, type FailureCode } from '../../../src/lib/failure.ts'
import { requestId } from '../../../src/lib/id.ts'
import { freshDatabase } from '../../helpers/database.ts'
import { until } from '../../helpers/gateway.ts'
import { outageOf } from '../../helpers/outage.ts'

const BURST = 100_000

// One for all of them: a database takes longer than what is asked of it.
const shared = freshDatabase(t)

/** With an empty table. */
async function writer(t: Test, more: Partial<ErrorLogOptions> = {}, url?: string) {
  const { config } = loadConfig({ env: { GW_DATABASE_URL: url ?? (await shared) }, flags: {} })
  const database = await openDatabase(config, { migrate: false })
  t.teardown(() => database.close())
  const { db } = database
  await sql`truncate error_log`.execute(db)
  const lines: string[] = []
  const log = openErrorLog({ db, process: 'p1', log: (_, line) => lines.push(line), now: Date.now, ...more })
  t.teardown(() => log.close(0))
  const stored = async () => {
    const { rows } = await sql<{ count: number }>`select count(*)::integer as count from error_log`.execute(db)
    return rows[0]!.count
  }
  return { db, log, lines, stored }
}

/** A request of alice's that failed just now. */
function failed(code: FailureCode, more: Partial<Outcome> = {}): Outcome {
  const at = Date.now()
  const o = new Outcome({ id: requestId(at), at, method: 'POST', path: '/v1/messages', ip: '192.0.2.7' })
  const failure = new Failure(code)
  Object.assign(o, { failure, status: failure.status, error: failure.message, keyId: 7, userId: 3, durationMs: 5 })
  return Object.assign(o, more)
}

t.test('a row has all that is known, of which nothing was made up', async t => {
  const { db, log } = await writer(t)
  const o = failed('UPSTREAM_OVERLOADED', {
    groupId: 4,
    platform: 'anthropic',
    model: 'claude-sonnet-5-5',
    dialect: 'messages',
    stream: true,
    completion: 'partial',
    firstTokenMs: 12,
  })
  const first = o.attempt({ id: 1, name: 'a1', platform: 'anthropic' }, o.at + 1)
  Object.assign(first, { status: 0, kind: 'network', cause: 'UF', error: 'connect ECONNREFUSED', endedMs: 2 })
  const second = o.attempt({ id: 2, name: 'a2', platform: 'anthropic' }, o.at + 3)
  Object.assign(second, {
    status: 529,
    kind: 'overload',
    error: 'overloaded with sk-ant-api03-AAAAAAAAAAAAAAAA',
    errorType: 'overloaded_error',
    errorCode: 'busy',
    excerpt: '{"error":{}}',
    requestId: 'req_1',
    endedMs: 5,
  })
  log.ended(o)
  await log.close()
  const rows = await db.selectFrom('error_log').selectAll().execute()
  t.strictSame(rows, [
    {
      at: new Date(o.at + 5),
      request_id: o.id,
      process: 'p1',
      ip: '192.0.2.7',
      user_id: 3,
      key_id: 7,
      group_id: 4,
      account_id: 2,
      phase: 'upstream',
      type: 'overloaded_error',
      code: 'UPSTREAM_OVERLOADED',
      severity: 'P1',
      owner: 'provider',
      source: 'upstream_http',
      limited: false,
      recovered: false,
      status: 503,
      platform: 'anthropic',
      model: 'claude-sonnet-5-5',
      dialect: 'messages',
      method: 'POST',
      path: '/v1/messages',
      stream: true,
      message: 'Upstream service overloaded, please retry later.',
      upstream_status: 529,
      upstream_type: 'overloaded_error',
      upstream_code: 'busy',
      upstream_excerpt: '{"error":{}}',
      upstream_request_id: 'req_1',
      retryable: true,
      user_actionable: false,
      retries: 1,
      completion: 'partial',
      cause: 'URX',
      duration_ms: 5,
      first_token_ms: 12,
      attempts: [
        {
          at: new Date(o.at + 1).toISOString(),
          platform: 'anthropic',
          account: 'a1',
          account_id: 1,
          status: 0,
          kind: 'network',
          request_id: '',
          message: 'connect ECONNREFUSED',
          ms: 1,
        },
        {
          at: new Date(o.at + 3).toISOString(),
          platform: 'anthropic',
          account: 'a2',
          account_id: 2,
          status: 529,
          kind: 'overload',
          request_id: 'req_1',
          message: 'overloaded with sk-ant-api03-***',
          ms: 2,
        },
      ],
    },
  ])
})

t.test('what a client makes up is cut, and nothing in it is too odd for Postgres', async t => {
  const { db, log, lines } = await writer(t)
  const odd = `\0 lone \ud800 and ${'日'.repeat(5000)}`
  const o = failed('MODEL_NOT_FOUND', { model: odd, error: odd, ip: 'fe80::1%eth0' })
  Object.assign(o, { path: `/${odd}`, method: odd })
  for (let n = 1; n <= 40; n++)
    Object.assign(o.attempt({ id: n, name: odd }, o.at), {
      status: 404,
      kind: 'absent',
      error: odd,
      errorType: odd,
      requestId: odd,
    })
  log.ended(o)
  log.ended(failed('INTERNAL_ERROR', { ip: 'unknown' }))
  await log.close()
  t.strictSame(log.counts(), { written: 2, dropped: 0, waiting: 0, waitingBytes: 0 })
  t.strictSame(lines, [])
  const row = await db
    .selectFrom('error_log')
    .selectAll()
    .where('code', '=', 'MODEL_NOT_FOUND')
    .executeTakeFirstOrThrow()
  t.strictSame([row.model.length, row.message.length, row.attempts.length, row.ip], [200, 1000, 32, 'fe80::1'])
  t.ok(row.model.startsWith('  lone \ufffd and 日'))
  t.strictSame(await db.selectFrom('error_log').select('ip').where('code', '=', 'INTERNAL_ERROR').execute(), [
    { ip: null },
  ])
})

t.test('a client that left is not in it, nor is what went well', async t => {
  const { log } = await writer(t)
  log.ended(failed('CLIENT_GONE'))
  log.ended(Object.assign(failed('INTERNAL_ERROR'), { failure: undefined, status: 200, error: '' }))
  t.strictSame(log.counts(), { written: 0, dropped: 0, waiting: 0, waitingBytes: 0 })
})

t.test('few are written within a moment, and together', async t => {
  const { db, log, stored } = await writer(t)
  for (let n = 0; n < 3; n++) log.ended(failed('QUEUE_FULL'))
  t.equal(log.counts().waiting, 3)
  await until(t, 'they are stored', async () => (await stored()) === 3)
  const { rows } = await sql<{ n: number }>`select count(distinct xmin::text)::integer as n from error_log`.execute(db)
  t.strictSame(rows, [{ n: 1 }], 'by one statement')
  await until(t, 'and it knows', () => log.counts().written === 3)
})

t.test(`${BURST} errors at once: memory is bounded, and every one is written or counted as dropped`, async t => {
  const { log, lines, stored } = await writer(t)
  const excerpt = 'x'.repeat(200)
  let [mostRows, mostBytes] = [0, 0]
  for (let n = 0; n < BURST; n++) {
    const o = failed('UPSTREAM_OVERLOADED')
    Object.assign(o.attempt({ id: 1, name: 'a1' }, o.at), {
      status: 529,
      kind: 'overload',
      error: 'overloaded',
      excerpt,
    })
    log.ended(o)
    const { waiting, waitingBytes } = log.counts()
    mostRows = Math.max(mostRows, waiting)
    mostBytes = Math.max(mostBytes, waitingBytes)
    // Such a burst comes from sockets: others have their turn in it.
    if (n % 500 === 0) await new Promise(setImmediate)
  }
  await log.close()
  const { written, dropped, waiting } = log.counts()
  t.strictSame([written + dropped, waiting], [BURST, 0], 'made = written + dropped')
  t.equal(await stored(), written)
  t.ok(mostRows <= 8192, `${mostRows} waited at most`)
  t.ok(mostBytes <= 33 * 1024 * 1024, `${mostBytes} bytes waited at most`)
  t.ok(dropped > 0, 'which was more than it takes')
  const told = lines.map(line => Number(/error log: (\d+) more/.exec(line)?.[1] ?? 0))
  t.equal(
    told.reduce((sum, n) => sum + n, 0),
    dropped,
    'all of them are told',
  )
  t.ok(lines.length <= 3, `in ${lines.length} lines`)
  t.comment(`${written} written, ${dropped} dropped, ${mostRows} rows and ${mostBytes} bytes waited at most`)
})

t.test('a row that Postgres would not have takes no other with it', async t => {
  const { db, log, lines, stored } = await writer(t)
  await sql`alter table error_log add constraint good check (model <> 'bad')`.execute(db)
  t.teardown(() => sql`alter table error_log drop constraint good`.execute(db))
  for (const model of ['good', 'bad', 'better']) log.ended(failed('QUEUE_FULL', { model }))
  await log.close()
  t.strictSame([log.counts().written, log.counts().dropped, await stored()], [2, 1, 2])
  t.match(lines[0], /^error log: request [0-9a-f-]{36} cannot be stored: .*violates check constraint/)
})

t.test('who has no key fills no disk', async t => {
  const { log, stored } = await writer(t, { now: () => 1_000_000 })
  for (let n = 0; n < 700; n++) log.ended(failed('INVALID_API_KEY', { keyId: 0, userId: 0 }))
  log.ended(failed('QUEUE_FULL'))
  await log.close()
  t.strictSame([log.counts().written, log.counts().dropped, await stored()], [601, 100, 601])
})

t.test('while Postgres is away they wait, as many as may, and are written when it is back', async t => {
  const outage = await outageOf(t, await shared)
  const { log, lines, stored } = await writer(t, { maxRows: 1000 }, outage.url)
  log.ended(failed('QUEUE_FULL'))
  await until(t, 'the first is stored', () => log.counts().written === 1)
  await outage.down()
  for (let n = 0; n < 1200; n++) log.ended(failed('QUEUE_FULL'))
  await until(t, 'it has found out', () => lines.some(line => line.endsWith('; what comes waits')))
  t.strictSame(log.counts().waiting, 1000)
  await outage.up()
  await until(t, 'all that waited is stored', () => log.counts().written === 1001)
  t.strictSame([log.counts().dropped, await stored()], [200, 1001])
  t.equal(lines.filter(line => line.endsWith('; what comes waits')).length, 1, 'told once')
})

t.test('at the end it is drained, and no longer than it may take', async t => {
  const outage = await outageOf(t, await shared)
  const { log, lines } = await writer(t, {}, outage.url)
  outage.silence()
  for (let n = 0; n < 7; n++) log.ended(failed('QUEUE_FULL'))
  await log.close(100)
  t.strictSame(log.counts(), { written: 0, dropped: 7, waiting: 0, waitingBytes: 0 })
  t.strictSame(lines, ['error log: 7 more errors not stored, 7 in all'])
  outage.speak()
})

t.test('a partition that retention dropped is made again', async t => {
  const { db, log, stored } = await writer(t)
  log.ended(failed('QUEUE_FULL'))
  await until(t, 'it is stored', () => log.counts().written === 1)
  const day = new Date().toISOString().slice(0, 10).replaceAll('-', '')
  await sql`drop table ${sql.table(`error_log_${day}`)}`.execute(db)
  log.ended(failed('QUEUE_FULL'))
  await log.close()
  t.strictSame([log.counts().written, await stored()], [2, 1])
})
