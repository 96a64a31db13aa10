// An older database is put back under a running daemon: it is recognised and told, everything is read again, and the money is exact.
import { tmpdir } from 'node:os'
import { sql } from 'kysely'
import pino from 'pino'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { controlClient } from '../../src/control/client.ts'
import type { StatusView } from '../../src/control/view.ts'
import { move } from '../../src/core/books/ledger.ts'
import { createKey, revokeKey } from '../../src/core/record/key.ts'
import { keepEpoch } from '../../src/daemon/epoch.ts'
import { keepMoney } from '../../src/daemon/money.ts'
import { type Db, openDatabase } from '../../src/db/connect.ts'
import { MONEY, openEars } from '../../src/db/listen.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import { backupOf, freshDatabase } from '../helpers/database.ts'
import { gateway, hello, type TestGateway, until } from '../helpers/gateway.ts'
import { redisMissing, redisServer } from '../helpers/redis.ts'

const readiness = async ({ daemon }: TestGateway) =>
  (await (await fetch(`${daemon.opsUrl}/readyz`)).json()) as { status: string; degraded: string[] }

const usage = { input_tokens: 1_000, output_tokens: 10 }
/** What a request comes to: the group is billed at the price of claude-sonnet-5-5. */
const COST = 1_000n * 2_000n + 10n * 10_000n

/** As pg_restore --clean has it half-way: what it makes last is not there, and neither are rows. @returns what puts all back */
async function halfRestored(db: Db): Promise<() => Promise<void>> {
  const run = async (...statements: string[]) => {
    for (const statement of statements) await sql.raw(statement).execute(db)
  }
  const kept = ['balances', 'api_keys', 'key_usage']
  await run(
    'alter table subscriptions drop constraint subscriptions_user_id_fkey',
    ...kept.map(table => `create table kept_${table} as select * from ${table}`),
    'truncate balances, api_keys, key_usage',
  )
  return () =>
    run(
      ...kept.map(table => `insert into ${table} overriding system value select * from kept_${table}`),
      ...kept.map(table => `drop table kept_${table}`),
      'alter table subscriptions add constraint subscriptions_user_id_fkey foreign key (user_id) references users',
    )
}

for (const redis of [false, true])
  t.test(`a restored backup, ${redis ? 'with Redis' : 'alone'}`, { skip: redis && (await redisMissing()) }, async t => {
    const said: string[] = []
    const log = pino({ level: 'info' }, { write: line => void said.push((JSON.parse(line) as { msg: string }).msg) })
    const gw = await gateway(t, {
      log,
      beatMs: 100,
      user: { balance: '10' },
      accounts: [{ script: { usage } }],
      config: { 'redis.url': redis ? (await redisServer(t)).url : undefined },
    })
    const { db } = gw.database
    const ask = async (more: object = {}, key = gw.key) => {
      const reply = await gw.send(hello(more), { key })
      await reply.text()
      return reply.status
    }
    const alice = await db.selectFrom('users').select('id').where('name', '=', 'alice').executeTakeFirstOrThrow()
    const other = await createKey(db, gw.secret, { user: 'alice', group: 'main', name: 'other', valuePrefix: 'sk-' })
    await gw.inForce()
    for (let n = 1; n <= 2; n++) t.equal(await ask(), 200)
    await gw.usage(2)
    const putBack = redis ? async () => {} : await halfRestored(db)
    if (!redis)
      await until(t, 'it is seen that the database is not whole', async () => {
        const { degraded } = await readiness(gw)
        return degraded.filter(line => /is a backup being put back\?/.test(line)).length === 2
      })
    t.equal(await ask(), 200, 'what is not there yet is not taken for gone')
    if (!redis) await until(t, 'usage waits', () => gw.daemon.gateway.books.state().error !== undefined)
    await putBack()
    await gw.usage(3)
    if (!redis) await until(t, 'all is read', () => said.some(line => /known of money is missing/.test(line)))
    t.equal(gw.daemon.gateway.books.state().refused, 0)
    t.notOk(
      said.some(line => /older state/.test(line)),
      'nothing is lost, and nobody told that it is',
    )
    said.length = 0
    const backup = await backupOf(t, gw.config['database.url']!)
    await until(t, 'the daemon is back', async () => (await readiness(gw)).status === 'ok')
    t.notOk(
      said.some(line => /older state|not where it was/.test(line)),
      'a lost connection is no lost state',
    )

    // What the backup does not know: two requests, a top-up, and that a key is revoked.
    for (let n = 4; n <= 5; n++) t.equal(await ask(), 200)
    await gw.usage(5)
    await move(db, { user: alice.id, amount: 5_000_000_000n, kind: 'topup' })
    await revokeKey(db, 'other')
    await gw.inForce()
    t.equal(await ask({}, other.key), 401)
    gw.mock.script('cred-a1', { hold: 'start', usage })
    const running = gw.send(hello({ stream: true }))
    await gw.mock.until(s => s.holding === 1)

    await backup.restore()
    await until(t, 'it is recognised', () =>
      said.some(line => /^database: Postgres went back to an older state/.test(line)),
    )
    const { status, degraded } = await readiness(gw)
    t.equal(status, 'degraded')
    t.match(degraded.join('\n'), /^database: Postgres went back to an older state at .* see gw ledger verify$/m)
    const view = await controlClient(gw.config['control.socket']).get<StatusView>('/status')
    t.match(view.degraded.join('\n'), /went back to an older state/)

    gw.mock.release()
    const stream = await running
    t.match([stream.status, await stream.text()].join(' '), /^200 [\s\S]*message_stop/, 'no stream is cut')
    gw.mock.script('cred-a1', { usage })
    t.equal(await ask({}, other.key), 200, 'the key is not revoked any more')

    // Five that ended before, of which the backup knows three; the stream; and the last one.
    await gw.usage(7)
    const balance = async () =>
      (await db.selectFrom('balances').select('balance').where('user_id', '=', alice.id).executeTakeFirstOrThrow())
        .balance
    t.equal(await balance(), 10_000_000_000n - 7n * COST, 'each is charged once, and the top-up is lost')
    const spent = async () => (await gw.daemon.gateway.wallet.spent(alice.id)).get('balance')!.spent
    t.equal(-(await spent()), await balance(), 'the purse knows what Postgres says')

    // Purses go by what follows, though its versions are lower than those of before.
    await move(db, { user: alice.id, amount: -(await balance()), kind: 'adjustment' })
    await until(t, 'who has nothing left is refused', async () => (await ask()) === 403)
    const epoch = await db.selectFrom('database_epoch').select('number').executeTakeFirstOrThrow()
    t.equal(epoch.number, redis ? 1 : 2)
  })

t.test('what is put back while nobody runs is told at the next start', async t => {
  const url = await freshDatabase(t)
  const dataDir = t.testdir()
  const { config } = loadConfig({ env: { GW_DATABASE_URL: url }, flags: { data_dir: tmpdir() } })
  const database = await openDatabase(config, { migrate: false })
  t.teardown(() => database.close())
  const { db, connection } = database
  await sql`select nextval('ledger_seq') from generate_series(1, 9)`.execute(db)
  const said: string[] = []
  const start = async (t: Test) => {
    const ears = await openEars(connection, { log() {} })
    t.teardown(ears.close)
    const epoch = await keepEpoch({ ears, dataDir, log: (_, line) => void said.push(line) })
    // It knows of nobody's money yet.
    await epoch.follow(async () => ({ lines: 0, older: 0 }))
    epoch.close()
    return epoch.trouble()
  }
  t.equal(await start(t), undefined)
  await sql`vacuum full balances`.execute(db)
  t.equal(await start(t), undefined, 'tables of which nothing is missing')
  t.match(said.join('\n'), /nothing that was known of money is missing/)
  // A dump brings its own state of the ledger; transactions go on as they were.
  await sql`vacuum full balances`.execute(db)
  await sql`select setval('ledger_seq', 4)`.execute(db)
  t.match(
    await start(t),
    /^database: Postgres went back to an older state at .* \(its ledger was at entry 9 and is at 4\)/,
  )
})

t.test('balances that one statement changes are no reading each', async t => {
  const { config } = loadConfig({ env: { GW_DATABASE_URL: await freshDatabase(t) }, flags: { data_dir: tmpdir() } })
  const { db, connection, close } = await openDatabase(config, { migrate: false })
  t.teardown(() => close())
  await sql`insert into users (name, concurrency) select 'u' || i, 1 from generate_series(1, 300) i`.execute(db)
  await sql`insert into balances (user_id) select id from users`.execute(db)
  const ears = await openEars(connection, { log() {} })
  t.teardown(ears.close)
  let asked = 0
  const counted = db.withPlugin({
    transformQuery({ node }) {
      asked++
      return node
    },
    transformResult: async ({ result }) => result,
  })
  const store = new MemoryStore()
  const log = pino({ level: 'silent' })
  const options = { database: { db: counted }, ears, store, spoolId: 's', log, wentBack() {} }
  const money = await keepMoney(options)
  t.teardown(() => money.close())
  const heard = new Set<string | undefined>()
  await ears.hear(MONEY, payload => void heard.add(payload))
  await sql`update balances set balance = 7`.execute(db)
  await until(t, 'all are heard of', () => heard.size === 300)
  t.ok(asked < 100, `${asked} questions`)
})
