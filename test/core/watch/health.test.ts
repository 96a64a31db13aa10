// §12.6 [W]: the health score by errors and first tokens, with infrastructure; each point that is lost has its reason.
import t from 'tap'
import { loadConfig } from '../../../src/config/load.ts'
import { judgeJob } from '../../../src/core/watch/gauges.ts'
import { health, scored, type Vitals } from '../../../src/core/watch/health.ts'
import { openDatabase } from '../../../src/db/connect.ts'
import { freshDatabase } from '../../helpers/database.ts'
import { measured } from '../../helpers/watch.ts'

const well: Vitals = {
  success: 1000,
  errors: 0,
  attempts: 1000,
  attempt_errors: 0,
  ttft_p99: 800,
  database: true,
  redis: true,
  cpu: 20,
  memory: 40,
  jobs: [{ name: 'retention', well: true, reason: '' }],
}
const idle = { success: 0, errors: 0, attempts: 0, attempt_errors: 0, ttft_p99: null }
const jobs = (good: number, bad: number) => [
  ...Array.from({ length: good }, (_, i) => ({ name: `good-${i}`, well: true, reason: '' })),
  ...Array.from({ length: bad }, (_, i) => ({ name: `bad-${i}`, well: false, reason: 'failed' })),
]

t.test('§12.6 health: 0.7 business + 0.3 infrastructure', async t => {
  const table: [words: string, vitals: Partial<Vitals>, score: number, business: number, infrastructure: number][] = [
    ['all is well', {}, 100, 100, 100],
    ['idle is 100', idle, 100, 100, 100],
    ['idle without Redis configured', { ...idle, redis: undefined }, 100, 100, 100],
    ['1 % of requests fail: no point lost yet', { success: 990, errors: 10 }, 100, 100, 100],
    ['5.5 % fail: half of the error score', { success: 945, errors: 55 }, 83, 75, 100],
    ['10 % fail: all of it', { success: 900, errors: 100 }, 65, 50, 100],
    ['attempts fail though requests are saved: the worse counts', { attempts: 1000, attempt_errors: 100 }, 65, 50, 100],
    ['first token after 1 s: nothing lost', { ttft_p99: 1000 }, 100, 100, 100],
    ['after 2 s: half', { ttft_p99: 2000 }, 83, 75, 100],
    ['after 3 s and more: all', { ttft_p99: 60_000 }, 65, 50, 100],
    ['everything fails, so no first token was seen', { success: 0, errors: 50, ttft_p99: null }, 30, 0, 100],
    ['slow and failing', { success: 900, errors: 100, ttft_p99: 3000 }, 30, 0, 100],
    ['database down', { database: false }, 88, 100, 60],
    ['Redis down', { redis: false }, 94, 100, 80],
    ['CPU 80 %: nothing lost', { cpu: 80 }, 100, 100, 100],
    ['CPU 90 %', { cpu: 90 }, 98, 100, 92.5],
    ['CPU 100 %', { cpu: 100 }, 96, 100, 85],
    ['memory 85 %: nothing lost', { memory: 85 }, 100, 100, 100],
    ['memory 100 %', { memory: 100 }, 96, 100, 85],
    ['compute not measured', { cpu: null, memory: null }, 100, 100, 100],
    ['a third of the jobs ail', { jobs: jobs(2, 1) }, 97, 100, 90],
    ['all jobs ail', { jobs: jobs(0, 2) }, 91, 100, 70],
    ['no job yet', { jobs: [] }, 100, 100, 100],
    [
      'all at once',
      { success: 0, errors: 9, ttft_p99: 9000, database: false, cpu: 100, memory: 100, jobs: jobs(0, 1) },
      0,
      0,
      0,
    ],
  ]
  for (const [words, vitals, score, business, infrastructure] of table) {
    const found = scored({ ...well, ...vitals })
    t.strictSame([found.score, found.business, found.infrastructure], [score, business, infrastructure], words)
    const lost = found.components.reduce((sum, one) => sum + one.lost, 0)
    t.ok(Math.abs(100 - lost - found.score) <= 0.7, `${words}: the components say where ${lost} points went`)
  }
  t.equal(scored({ ...well, ...idle }).idle, true)
})

t.test('each point that is lost has its reason', async t => {
  const found = scored({
    ...well,
    success: 90,
    errors: 10,
    attempts: 100,
    attempt_errors: 20,
    ttft_p99: 2500,
    redis: false,
    cpu: 95,
    jobs: [{ name: 'retention', well: false, reason: 'failed yesterday' }, ...jobs(1, 0)],
  })
  t.strictSame(
    found.components.map(({ name, lost, reason }) => [name, lost, reason]),
    [
      ['errors', 35, '10 % of 100 requests failed, and 20 % of 100 attempts at accounts; above 1 %'],
      ['first_token', 26.3, 'p99 2500 ms; above 1000 ms'],
      ['storage', 6, 'a process gets no answer from Redis'],
      ['cpu', 3.4, 'CPU 95 %; above 80 %'],
      ['memory', 0, 'memory 40 %'],
      ['jobs', 4.5, '1 of 2 jobs: retention failed yesterday'],
    ],
  )
})

t.test('a job does well when its last error is older than its last success, and that is not long ago', async t => {
  const now = Date.UTC(2026, 10, 20)
  const ago = (minutes: number) => new Date(now - minutes * 60_000)
  const job = { every_ms: 60_000n, last_run_at: ago(1), last_success_at: ago(1), last_error_at: null, last_error: null }
  const table: [words: string, job: Partial<typeof job> | object, reason: RegExp][] = [
    ['well', {}, /^$/],
    ['failed before, well since', { last_error_at: ago(2), last_error: 'no' }, /^$/],
    ['failed since', { last_success_at: ago(2), last_error_at: ago(1), last_error: 'no' }, /^failed .*: no$/],
    ['never well', { last_success_at: null, last_error_at: ago(1), last_error: 'no' }, /^failed/],
    ['just begun', { last_success_at: null }, /^$/],
    ['15 minutes ago', { last_success_at: ago(15) }, /^$/],
    ['longer', { last_success_at: ago(16) }, /^no success since/],
    ['a daily one, this morning', { every_ms: 86_400_000n, last_success_at: ago(600) }, /^$/],
    ['a daily one, days ago', { every_ms: 86_400_000n, last_success_at: ago(3000) }, /^no success since/],
  ]
  for (const [words, more, reason] of table) t.match(judgeJob({ ...job, ...more }, now), reason, words)
})

t.test('health is of what processes wrote last: one that is gone leaves nothing behind', async t => {
  const config = { ...loadConfig({ env: {}, flags: {} }).config, 'database.url': await freshDatabase(t) }
  const { db, close } = await openDatabase(config)
  t.teardown(close)
  const now = Date.UTC(2026, 10, 20, 12)
  const of = () => health(db, { since: now - 300_000, until: now }, { redis: false })
  t.strictSame([(await of()).score, (await of()).idle], [100, true], 'an empty database is idle')
  await measured(db, [
    { at: now - 400_000, errors: 50, first_token: [9000], process: 'gone', cpu_percent: 100, db_ms: null },
    { at: now - 60_000, success: 100, first_token: [100, 200] },
    { at: now, success: 100, first_token: [100], process: 'p2' },
  ])
  const job = {
    node: 'n1',
    every_ms: 1000n,
    last_run_at: new Date(now),
    last_error_at: new Date(now),
    last_error: 'no',
  }
  await db
    .insertInto('jobs')
    .values([{ ...job, name: 'waiters', process: 'gone' }])
    .execute()
  t.equal((await of()).score, 100)
  await db
    .insertInto('jobs')
    .values([{ ...job, name: 'waiters', process: 'p2' }])
    .execute()
  t.equal((await of()).score, 91, 'a job of one that lives counts')
  await measured(db, [{ at: now - 1000, process: 'p3', errors: 200, attempts: 200, attempt_errors: 200 }])
  t.match(await of(), { score: 56, idle: false })
  const at = (since: number) => health(db, { since, until: now }, { redis: false })
  await t.rejects(
    at(now + 1),
    { kind: 'usage', message: /must lie within the last 24h/ },
    'what is to come is not idle',
  )
  await t.rejects(
    at(now - 90_000_000),
    { message: /must lie within the last 24h/ },
    'nor are all intervals of long ago now',
  )
})
