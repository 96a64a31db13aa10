// Periodic jobs: each in its time and never twice at once, one process at a time where a lease says so, and over at close.
import { setImmediate as turn } from 'node:timers/promises'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { forgetDead } from '../../src/core/watch/gauges.ts'
import { startJobs } from '../../src/daemon/jobs.ts'
import { alone } from '../../src/db/alone.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { freshDatabase } from '../helpers/database.ts'
import { until } from '../helpers/gateway.ts'

const LEASE = 0x6777_7777

async function connected(t: Test) {
  const { config } = loadConfig({ env: { GW_DATABASE_URL: await freshDatabase(t) }, flags: {} })
  const database = await openDatabase(config, { migrate: false })
  t.teardown(() => database.close())
  return database.db
}

t.test('a job is begun at the start only where it says so, and never twice at a time', async t => {
  const db = await connected(t)
  const held = Promise.withResolvers<void>()
  let [begun, beats, late] = [0, 0, 0]
  const jobs = startJobs(
    [
      {
        name: 'long',
        everyMs: 1,
        atStart: true,
        run() {
          begun++
          return held.promise
        },
      },
      { name: 'beat', everyMs: 1, run: () => beats++ },
      { name: 'later', everyMs: 3_600_000, run: () => late++ },
    ],
    { database: { db }, log: { warn: line => t.fail(line) } },
  )
  t.strictSame([begun, beats], [1, 0])
  await until(t, 'the other goes on', () => beats > 20)
  t.strictSame([begun, late], [1, 0])
  let closed = false
  const closing = jobs.close().then(() => (closed = true))
  await turn()
  t.notOk(closed, 'what is under way is waited for')
  held.resolve()
  await closing
  const then = beats
  let ticks = 0
  const others = startJobs([{ name: 'others', everyMs: 1, run: () => ticks++ }], {
    database: { db },
    log: { warn: line => t.fail(line) },
  })
  await until(t, 'others go on', () => ticks > 9)
  await others.close()
  t.strictSame([begun, beats], [1, then], 'and nothing is begun any more')
})

t.test('what fails is said, and tried again', async t => {
  const db = await connected(t)
  const said: string[] = []
  let runs = 0
  const fails = (what: string) => () => {
    runs++
    throw new Error(what)
  }
  const jobs = startJobs(
    [
      { name: 'one', everyMs: 2, atStart: true, run: fails('no room') },
      { name: 'two', everyMs: 3_600_000, atStart: true, run: async () => fails('no time')() },
    ],
    { database: { db }, log: { warn: (line: string) => said.push(line) } },
  )
  await until(t, 'it is tried again', () => runs > 4)
  await jobs.close()
  t.ok(said.includes('one: no room; trying again within 2ms'))
  t.ok(said.includes('two: no time; trying again within 1h'))
})

t.test('a job with a lease is done by one process, and by another once that is over', async t => {
  const db = await connected(t)
  let runs = 0
  const job = {
    name: 'shared',
    everyMs: 1,
    lease: LEASE,
    run: async (_leaving: AbortSignal, own: typeof db) => {
      await sql`select 1`.execute(own)
      runs++
    },
  }
  const jobs = await alone(db, LEASE, async () => {
    const started = startJobs([job], { database: { db }, log: { warn: line => t.fail(line) } })
    for (let i = 0; i < 50; i++) await sql`select 1`.execute(db)
    t.equal(runs, 0, 'while another one has it')
    return started
  })
  await until(t, 'it is its turn, again and again', () => runs > 2)
  await jobs!.close()
  t.equal(await alone(db, LEASE, async () => 'free'), 'free', 'and it is given back')
})

t.test(
  'jobs of processes that died are forgotten within the hour, and those that nobody has any more after a week',
  async t => {
    const db = await connected(t)
    await sql`insert into jobs (name, process, node, every_ms, last_run_at) values
    ('own', 'lives', 'n', 1000, now() - interval '50 minutes'), ('own', 'died', 'n', 1000, now() - interval '70 minutes'),
    ('shared', '', 'n', 1000, now() - interval '6 days'), ('renamed', '', 'n', 1000, now() - interval '8 days')`.execute(
      db,
    )
    await forgetDead(db)
    const { rows } = await sql`select name, process from jobs order by name`.execute(db)
    t.strictSame(rows, [
      { name: 'own', process: 'lives' },
      { name: 'shared', process: '' },
    ])
  },
)
