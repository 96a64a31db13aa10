// The collector: under mixed traffic every column of what a process says of itself is filled, and nothing is lost when it ends.
import path from 'node:path'
import { sql } from 'kysely'
import pino from 'pino'
import t from 'tap'
import { quantilesOf } from '../../src/core/watch/merged.ts'
import { startDaemon } from '../../src/daemon/main.ts'
import { dataDir } from '../helpers/daemon.ts'
import { gateway, hello, only, until } from '../helpers/gateway.ts'
import { freePort, redisMissing, redisServer } from '../helpers/redis.ts'

t.test('no column stays null, and what must be counted is', { skip: await redisMissing() }, async t => {
  const redis = await redisServer(t)
  const gw = await gateway(t, {
    user: { concurrency: 1 },
    accounts: [
      ...only('claude-sonnet-5-5', { script: [{}, {}, { delayMs: 50 }] }),
      ...only('silent', { script: [{ hold: true }] }),
      ...only('failing', { script: [{ status: 500 }] }),
      ...only('nobody', { baseUrl: `http://127.0.0.1:${await freePort()}` }),
    ],
    config: {
      'redis.url': redis.url,
      'ops.interval': 1_000,
      'timeouts.response_header': 300,
      'timeouts.whole_answer': 300,
      'failover.max_switches': 0,
    },
  })
  const { db } = gw.database
  const send = async (body: object, key?: string) => {
    const response = await gw.send(body, key === undefined ? {} : { key })
    await response.arrayBuffer()
    return response.status
  }
  t.equal(await send(hello()), 200)
  t.equal(await send(hello({ stream: true })), 200)
  t.strictSame(await Promise.all([send(hello()), send(hello())]), [200, 200], 'one waits for the other')
  t.equal(await send({ model: 5 }), 400)
  t.equal(await send(hello(), 'sk-unknown'), 401)
  t.ok((await send(hello({ model: 'silent' }))) >= 500)
  t.ok((await send(hello({ model: 'failing' }))) >= 500)
  t.ok((await send(hello({ model: 'nobody' }))) >= 500)
  const asked = 9

  const columns = await sql<{ name: string }>`select column_name as name from information_schema.columns
    where table_name = 'watch_metrics' order by 1`.execute(db)
  const names = columns.rows.map(({ name }) => name)
  t.ok(names.length > 40, 'the columns were found')
  const counted = async () => {
    const { rows } = await sql<{
      requests: number
    }>`select coalesce(sum(requests), 0)::integer as requests from watch_metrics`.execute(db)
    return rows[0]!.requests
  }
  await until(t, 'all is written', async () => (await counted()) === asked)
  const { rows } = await sql<Record<string, unknown>>`select * from watch_metrics`.execute(db)
  for (const name of names)
    t.strictSame(
      rows.filter(row => row[name] === null),
      [],
      `${name} is filled`,
    )
  const sums = ['requests', 'success', 'errors', 'client_errors', 'errors_4xx', 'errors_5xx', 'errors_timeout']
  const more = ['network_errors', 'attempts', 'attempt_errors', 'input_tokens', 'output_tokens', 'cost']
  for (const name of [...sums, ...more])
    t.ok(
      rows.some(row => Number(row[name]) > 0),
      `${name} was seen`,
    )
  for (const name of ['duration', 'first_token', 'upstream', 'queued']) {
    const seen = quantilesOf(rows.map(row => row[name] as Buffer))
    t.ok(seen !== undefined && seen.max > 0, `${name} was seen`)
  }
  t.ok(rows.every(row => (row['at'] as Date).getTime() % 1_000 === 0 && row['interval_ms'] === 1_000))

  await t.test('by whom, where and how: each dimension has all of it', async t => {
    const sums = () =>
      sql<{ dimension: string; requests: number }>`select dimension, sum(requests)::integer as requests
        from watch_minute group by 1 order by 1`.execute(db)
    await until(t, 'its minutes are written, too', async () => (await sums()).rows.at(-1)?.requests === asked)
    t.strictSame(
      (await sums()).rows,
      ['account', 'group', 'key', 'model', 'path', 'platform', 'total', 'user'].map(dimension => ({
        dimension,
        requests: asked,
      })),
    )
    const values = async (dimension: string) => {
      const found = await sql<{ value: string }>`select distinct value from watch_minute
        where dimension = ${dimension} order by 1`.execute(db)
      return found.rows.map(({ value }) => value)
    }
    t.strictSame(await values('path'), ['/v1/messages'])
    t.strictSame(await values('model'), ['', 'claude-sonnet-5-5', 'other'], 'a model that nobody served is a class')
  })

  await t.test('jobs tell how they went', async t => {
    await until(t, 'heartbeats are written', async () => (await db.selectFrom('jobs').selectAll().execute()).length > 3)
    const jobs = await db.selectFrom('jobs').selectAll().execute()
    const collector = jobs.find(job => job.name === 'collector')!
    t.equal(collector.every_ms, 1_000n)
    t.ok(collector.last_success_at)
    t.equal(collector.last_error_at, null)
    t.ok(collector.process)
    t.equal(jobs.find(job => job.name === 'retention')?.process, '', 'a job of one process of all is nobody’s own')
  })

  await t.test('what is not written when a process ends is written then', async t => {
    const before = await counted()
    const folder = dataDir(t)
    const log = pino({ level: 'silent' })
    const other = await startDaemon(
      { ...gw.config, data_dir: folder, 'control.socket': path.join(folder, 's'), 'ops.interval': 3_600_000 },
      { log, access: log },
    )
    const response = await fetch(`${other.url}/v1/messages`, {
      method: 'POST',
      headers: { 'x-api-key': gw.key, 'content-type': 'application/json' },
      body: JSON.stringify(hello()),
    })
    t.equal(response.status, 200, await response.text())
    await other.stop(0)
    t.equal(await counted(), before + 1)
    const rows = await sql<{ at: Date }>`select at from watch_metrics where interval_ms = 3600000`.execute(db)
    t.strictSame(
      rows.rows.map(({ at }) => at.getTime() % 3_600_000),
      [0],
      'as of an interval, though it ended before that',
    )
    const own = await db.selectFrom('jobs').select('process').distinct().where('process', '!=', '').execute()
    t.equal(own.length, 1, 'and its jobs are over')
  })
})
