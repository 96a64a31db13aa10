// gw ops: what a person and a script read of what gw sees of itself, with the daemon down.
import { sql } from 'kysely'
import t from 'tap'
import { freshDatabase } from '../helpers/database.ts'
import { matchAll } from '../helpers/match.ts'
import { measured, roll } from '../helpers/watch.ts'
import { home } from './gw.ts'

const { gw, json, open } = await home(t, { GW_DATABASE_URL: await freshDatabase(t) })
const { db } = await open()
const minute = Math.floor(Date.now() / 60_000) * 60_000 - 60_000

t.test('nothing yet: every verb says so, and nothing is wrong', async t => {
  matchAll(t, await json('ops overview'), { health_score: 100, sla: { current: null, status: 'healthy' } })
  matchAll(t, await json('ops health'), { score: 100, idle: true })
  for (const verb of ['history', 'providers', 'dimensions']) {
    const said = await gw(`ops ${verb}`)
    t.strictSame([said.code, said.stdout], [0, ''], verb)
    t.match(said.stderr, /^nothing seen/, verb)
    t.strictSame(await json(`ops ${verb}`), [], verb)
  }
  t.match((await gw('ops latency')).stdout, /^first token: 0 seen, none seen/)
})

t.test('figures for people and for scripts', async t => {
  await roll(
    db,
    'watch_minute',
    (['total', 'platform', 'account'] as const).map(dimension => ({
      at: minute,
      dimension,
      value: dimension === 'total' ? '' : dimension === 'platform' ? 'openai' : '77',
      success: 90,
      errors: 10,
      errors_5xx: 10,
      cost: 1_250_000_000n,
      duration: [500, 1500],
      first_token: [120],
    })),
  )
  await measured(db, [{ at: minute + 60_000, success: 90, errors: 10, attempts: 100, first_token: [120] }])
  const overview = await json('ops overview --range 5m')
  matchAll(t, overview, {
    sla: { current: 90, status: 'critical' },
    tokens: { cost: '1.25' },
    errors: { total_count: 10, '5xx_count': 10 },
    resources: { processes: 1 },
  })
  t.match((await gw('ops overview')).stdout, /sla +90 % \(99\.9 % wanted\), critical, stable\n/)
  const [row] = await json<Record<string, unknown>[]>('ops history --window 5 --since 30m')
  matchAll(t, row, { requests: 100, success_rate: 90, cost: '1.25', latency_ms: { max: 1500 } })
  t.match((await gw('ops providers')).stdout, /openai +critical +100 +10 +90 .*success rate 90 % is below 98 %/)
  const [account] = await json<Record<string, unknown>[]>('ops dimensions --by account --sort errors')
  matchAll(t, account, { name: '77', requests: 100, ttft_ms: { p50: 120 } })
  t.match((await gw('ops latency --range 1h')).stdout, /whole answer: 2 seen.*\n +<= 1s #{40} +1 50 %\n/)
  const health = await gw('ops health')
  t.match(health.stdout, /^65 of 100: business 50, infrastructure 100\nerrors +−35 +10 % of 100 requests failed/)
})

t.test('bad words are told with what is allowed', async t => {
  const table: [line: string, code: number, said: RegExp][] = [
    ['ops overview --range 2h', 2, /--range must be one of 5m 30m 1h 6h 24h, got "2h"/],
    ['ops overview --range 1h --since 2h', 2, /exclude each other/],
    ['ops history --limit 5001', 2, /--limit must be a whole number from 1 to 5000/],
    ['ops history --window 7m', 2, /--window must be one of/],
    ['ops history --since 1h --until 2h', 2, /lies after until/],
    ['ops dimensions --by acount', 2, /did you mean "account"/],
    ['ops latency --account nobody', 6, /no account "nobody"/],
    ['ops latency --model a --platform b', 2, /model and platform exclude each other/],
    ['ops retention set eror_log 9d', 6, /did you mean "error_log"/],
    ['ops retention set error_log 5m', 2, /1d to 36500d, 0s for ever, or default, got 5m/],
    ['ops retention set error_log soon', 2, /SPAN must be a duration/],
  ]
  for (const [line, code, said] of table) {
    const ran = await gw(line)
    t.equal(ran.code, code, line)
    t.match(ran.stderr, said, line)
  }
})

t.test('§12.1 gw ops retention: how long what is kept, and set; a dry run changes nothing', async t => {
  type Row = { name: string; keep: string; source: string }
  const of = async (name: string) => (await json<Row[]>('ops retention')).find(row => row.name === name)!
  matchAll(t, await of('error_log'), { keep: '30d', source: 'settings', last_run_at: null, last_error: null })
  matchAll(t, await json('ops retention set error_log 90d --dry-run'), { keep: '90d' })
  t.equal((await of('error_log')).keep, '30d')
  matchAll(t, await json('ops retention set error_log 90d'), { name: 'error_log', keep: '90d', source: 'set' })
  matchAll(t, await of('error_log'), { keep: '90d', source: 'set' })
  await json('ops retention set alerts 0s')
  t.equal((await of('alerts')).keep, 'for ever')
  await json('ops retention set error_log default')
  matchAll(t, await of('error_log'), { keep: '30d', source: 'settings' })
  await sql`update retention set last_error = 'no', last_dropped = '{error_log_20260101}', last_run_at = now() - interval '3 hours'`.execute(
    db,
  )
  t.match((await gw('ops retention')).stdout, /error_log +30d .* 3h +1: … error_log_20260101 .*no/)
})
