// The ops listener's /ops/*: who may ask, what is wrong with a question in words, and what is said when nobody can answer.
import type { AddressInfo } from 'node:net'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { Refusal } from '../../src/lib/refusal.ts'
import { createMetrics } from '../../src/ops/metrics.ts'
import { parameters } from '../../src/ops/query.ts'
import { type OpsRoutes, remembered } from '../../src/ops/routes.ts'
import { createOpsServer } from '../../src/ops/server.ts'
import { watchRoutes } from '../../src/ops/watch.ts'
import { freshDatabase } from '../helpers/database.ts'
import { roll } from '../helpers/watch.ts'

async function listening(t: Test, routes: OpsRoutes, token?: string, patienceMs?: number) {
  const server = createOpsServer({
    metrics: createMetrics({ priced: () => false }),
    readiness: () => ({ phase: 'ready', refusing: undefined, degraded: [] }),
    routes,
    token: () => token,
    name: '',
    ...(patienceMs === undefined ? {} : { patienceMs }),
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return async (path: string, init?: RequestInit) => {
    const response = await fetch(url + path, init)
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, json: text === '' ? {} : JSON.parse(text) }
  }
}

async function database(t: Test, more: object = {}) {
  const config = { ...loadConfig({ env: {}, flags: {} }).config, 'database.url': await freshDatabase(t), ...more }
  const database = await openDatabase(config)
  t.teardown(() => database.close())
  return { config, db: database.db }
}

const now = Date.UTC(2026, 10, 20, 12, 0, 30)

t.test('/ops/* is for who has the token, as /metrics is', async t => {
  const ask = await listening(t, { '/ops/x': async () => ({ money: 1_500_000_000n, at: new Date(0) }) }, 'secret')
  t.equal((await ask('/ops/x')).status, 401)
  t.equal((await ask('/ops/nothing')).status, 401, 'and who has none does not learn what is there')
  t.equal((await ask('/ops/x', { headers: { authorization: 'Bearer secrex' } })).status, 401)
  const answer = await ask('/ops/x', { headers: { authorization: 'Bearer secret' } })
  t.equal(answer.status, 200)
  t.strictSame(answer.json, { money: '1.50', at: '1970-01-01T00:00:00.000Z' }, 'money is a decimal string')
  t.match(answer.headers.get('content-type'), /^application\/json/)
  const head = await ask('/ops/x', { method: 'HEAD', headers: { authorization: 'Bearer secret' } })
  t.strictSame([head.status, head.text], [200, ''], 'HEAD is GET without a body')
  t.equal((await ask('/ops/x', { method: 'POST' })).status, 405)
})

t.test('what is not there is told with what is, and an id is taken from the path', async t => {
  const ask = await listening(t, {
    '/ops/overview': async () => 1,
    '/ops/explain/{id}': async (_, id) => {
      if (id === 'none') throw new Refusal('missing', 'no request "none"')
      return id
    },
  })
  const answer = await ask('/ops/overveiw')
  t.equal(answer.status, 404)
  t.equal(
    answer.json.error,
    'nothing is at /ops/overveiw; did you mean "/ops/overview"?; here are /livez /readyz /metrics /ops/ /ops/ws /ops/overview /ops/explain/{id}',
  )
  t.strictSame((await ask('/ops/explain/a%2Fb')).json, 'a/b')
  t.equal((await ask('/ops/explain/')).status, 404)
  t.equal((await ask('/ops/explain/{id}/x')).status, 404)
  t.strictSame(
    [(await ask('/ops/explain/none')).status, (await ask('/ops/explain/none')).json.error],
    [404, 'no request "none"'],
  )
  t.equal((await ask('/ops/__proto__')).status, 404)
})

t.test('a bad parameter is told in words, with what is allowed', async t => {
  const { db, config } = await database(t)
  const ask = await listening(t, watchRoutes({ db, config: () => config, now: () => now }))
  const table: [query: string, error: RegExp][] = [
    ['by=acount', /^by must be one of account model .*, got "acount"; did you mean "account"\?$/],
    ['bye=account', /^no parameter "bye"; did you mean "by"\?; there are since, until, by, sort, limit, offset$/],
    ['limit=0', /^limit must be a whole number from 1 to 1000, got "0"$/],
    ['limit=1e3', /^limit must be a whole number/],
    ['since=yesterday', /^since must be a duration such as 12h or 30d, or a date .*, got "yesterday"$/],
    ['since=1h&until=2h', /^since \(.*\) lies after until \(.*\)$/],
    ['by=user&by=key', /^by is given twice$/],
  ]
  for (const [query, error] of table) {
    const answer = await ask(`/ops/dimensions?${query}`)
    t.equal(answer.status, 400, query)
    t.match(answer.json.error, error, query)
  }
  t.equal((await ask('/ops/dimensions?since=2026-11-20T01:00:00+01:00')).status, 200, 'a + that nobody encoded')
  t.throws(() => parameters(new URLSearchParams('a=1'), {}), /there are none here/)
})

t.test('503 when the database does not answer, and 500 with the reason when gw is wrong', async t => {
  const { db, config } = await database(t)
  await roll(db, 'watch_minute', [{ at: now }])
  const ask = await listening(
    t,
    {
      ...watchRoutes({ db, config: () => config, now: () => now }),
      '/ops/wrong': async () => Promise.reject(new Error('a bug')),
      '/ops/slow': async () =>
        db.transaction().execute(async tx => {
          await sql`set local statement_timeout = 10`.execute(tx)
          return await sql`select pg_sleep(60)`.execute(tx)
        }),
    },
    undefined,
    300,
  )
  await db.transaction().execute(async tx => {
    await sql`lock table watch_minute`.execute(tx)
    const answer = await ask('/ops/dimensions')
    t.equal(answer.status, 503)
    t.match(answer.json.error, /^the database does not answer within 5 s/)
  })
  t.equal((await ask('/ops/dimensions')).status, 200, 'and goes on when it does')
  t.equal((await ask('/ops/slow')).status, 503, 'a query that was stopped at its time')
  t.strictSame([(await ask('/ops/wrong')).status, (await ask('/ops/wrong')).json.error], [500, 'a bug'])
  const refuse = (error: object) => listening(t, { '/ops/x': () => Promise.reject(error) })
  const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
  t.equal((await (await refuse(refused))('/ops/x')).status, 503, 'nobody listens there')
  const ending = Object.assign(new Error('the database system is shutting down'), { code: '57P03' })
  t.equal((await (await refuse(ending))('/ops/x')).status, 503)
})

t.test('an answer is given again for a while, to whoever asks the same', async t => {
  let asked = 0
  let at = 0
  const route = remembered(
    10_000,
    async query => {
      asked++
      if (query.get('range') === 'bad') throw new Refusal('usage', 'no')
      return asked
    },
    () => at,
  )
  const ask = (query: string) => route(new URLSearchParams(query), '')
  t.strictSame(await Promise.all([ask('range=1h&a=1'), ask('a=1&range=1h')]), [1, 1], 'one query for both')
  t.equal(await ask('range=6h'), 2)
  at = 9_999
  t.equal(await ask('a=1&range=1h'), 1)
  at = 10_000
  t.equal(await ask('a=1&range=1h'), 3)
  await t.rejects(ask('range=bad'))
  await t.rejects(ask('range=bad'))
  t.equal(asked, 5, 'a refusal is not remembered')
})
