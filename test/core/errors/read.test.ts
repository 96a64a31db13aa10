// gw ops errors and /ops/errors: every filter, pages without holes, and what is most frequent (spec/domain.md §12.7).
import { sql } from 'kysely'
import t from 'tap'
import { loadConfig } from '../../../src/config/load.ts'
import { openErrorLog } from '../../../src/core/errors/log.ts'
import { countErrors, type ErrorFilter, errorSpan, listErrors } from '../../../src/core/errors/read.ts'
import { type AttemptRecord, Outcome } from '../../../src/core/outcome.ts'
import { addAccount } from '../../../src/core/record/account.ts'
import { addGroup } from '../../../src/core/record/group.ts'
import { createKey } from '../../../src/core/record/key.ts'
import { addUser } from '../../../src/core/record/user.ts'
import { openDatabase } from '../../../src/db/connect.ts'
import { Failure, type FailureCode } from '../../../src/lib/failure.ts'
import { requestId } from '../../../src/lib/id.ts'
import { Refusal } from '../../../src/lib/refusal.ts'
import { openSecret } from '../../../src/lib/secret.ts'
import { errorRoutes } from '../../../src/ops/errors.ts'
import { answerOps } from '../../../src/ops/routes.ts'
import { home } from '../../cli/gw.ts'
import { freshDatabase } from '../../helpers/database.ts'

const url = await freshDatabase(t)
const { folder, gw, json } = await home(t, { GW_DATABASE_URL: url })
const database = await openDatabase(loadConfig({ env: { GW_DATABASE_URL: url }, flags: {} }).config)
t.teardown(() => database.close())
const { db } = database
const secret = openSecret(`${folder}/secret.key`)

const [alice, bob] = [
  await addUser(db, { name: 'alice', concurrency: 0 }),
  await addUser(db, { name: 'bob', concurrency: 0 }),
]
const main = await addGroup(db, { name: 'main', platform: 'anthropic' })
const account = { platform: 'anthropic', type: 'apikey', credential: 'cred', concurrency: 0, priority: 50 } as const
const [a1, a2] = [
  await addAccount(db, secret, { ...account, name: 'a1', groups: ['main'] }),
  await addAccount(db, secret, { ...account, name: 'a2', groups: ['main'] }),
]
const { id: keyId } = await createKey(db, secret, { user: 'alice', group: 'main', name: 'laptop', valuePrefix: 'sk-' })

const now = Date.now()
const log = openErrorLog({ db, process: 'p1', log: (_, line) => t.fail(line), now: Date.now })

/** A request that ended `ago` ms before now. */
function ended(
  ago: number,
  code: FailureCode | undefined,
  more: Partial<Outcome>,
  attempts: Partial<AttemptRecord>[] = [],
) {
  const at = now - ago
  const o = new Outcome({ id: requestId(at), at, method: 'POST', path: '/v1/messages', ip: '2001:db8::7' })
  const failure = code && new Failure(code, more.model === undefined ? [] : [more.model])
  Object.assign(o, { failure, status: failure?.status ?? 200, error: failure?.message ?? '', platform: 'anthropic' })
  Object.assign(o, { userId: alice.id, keyId, groupId: main.id, ...more })
  for (const attempt of attempts)
    Object.assign(o.attempt({ id: attempt.accountId!, name: 'a', platform: 'anthropic' }, at), attempt)
  log.ended(o)
  return o.id
}

const busy = { accountId: a1.id, status: 529, kind: 'overload', error: 'overloaded', errorType: 'overloaded_error' }
const reset = { accountId: a2.id, status: 0, kind: 'network', cause: 'UC', error: 'ECONNRESET' }
const ids = {
  old: ended(2 * 86_400_000, 'UPSTREAM_OVERLOADED', {}, [busy]),
  overloaded: ended(5000, 'UPSTREAM_OVERLOADED', { model: 'claude' }, [
    reset,
    { ...busy, excerpt: 'quoth the 100% raven' },
  ]),
  reset: ended(4000, 'UPSTREAM_UNAVAILABLE', { model: 'claude' }, [busy, reset]),
  recovered: ended(3000, undefined, { model: 'opus' }, [busy, { accountId: a2.id, status: 200 }]),
  limited: ended(2000, 'USER_TIMEOUT', { userId: bob.id, keyId: 0, groupId: null }),
  missing: ended(1000, 'MODEL_NOT_FOUND', { model: 'gpt_9', platform: 'openai' }),
}
await log.close()
const day = errorSpan({}, now + 1)

const names = (found: { request_id: string }[]) =>
  found.map(({ request_id }) => Object.entries(ids).find(([, id]) => id === request_id)![0])
const list = async (filter: ErrorFilter & { limit?: number; before?: string }) =>
  names((await listErrors(db, day, { limit: 50, ...filter })).rows)

t.test('every filter, alone and together', async t => {
  const cases: [ErrorFilter, string[]][] = [
    [{}, ['missing', 'limited', 'recovered', 'reset', 'overloaded']],
    [{ account: 'a1' }, ['recovered', 'overloaded']],
    [{ account: String(a2.id) }, ['reset']],
    [{ user: 'bob' }, ['limited']],
    [{ key: 'laptop' }, ['missing', 'recovered', 'reset', 'overloaded']],
    [{ group: 'main', model: 'claude' }, ['reset', 'overloaded']],
    [{ platform: 'openai' }, ['missing']],
    [{ phase: 'upstream' }, ['recovered', 'overloaded']],
    [{ phase: 'network' }, ['reset']],
    [{ owner: 'client' }, ['missing', 'limited']],
    [{ severity: 'P1' }, ['reset', 'overloaded']],
    [{ code: 'USER_TIMEOUT' }, ['limited']],
    [{ cause: 'UC' }, ['reset']],
    [{ cause: 'URX' }, ['reset', 'overloaded']],
    [{ status: 503 }, ['reset', 'overloaded']],
    [{ recovered: true }, ['recovered']],
    [{ recovered: false, owner: 'provider' }, ['reset', 'overloaded']],
    [{ q: 'GPT_9' }, ['missing']],
    [{ q: 'gpt%9' }, []],
    [{ q: '100% raven' }, ['overloaded']],
    [{ q: ids.limited.slice(9) }, ['limited']],
    [{ request: ids.reset }, ['reset']],
  ]
  for (const [filter, expected] of cases) t.strictSame(await list(filter), expected, JSON.stringify(filter))
  t.strictSame(
    names((await listErrors(db, errorSpan({ request: ids.old }, now), { request: ids.old, limit: 1 })).rows),
    ['old'],
  )
  await t.rejects(
    list({ account: 'a3' }),
    new Refusal('missing', 'no account "a3"; did you mean "a1"? (gw account list shows them)'),
  )
  await t.rejects(list({ request: 'nonsense' }), { message: /^request must be an id as x-request-id has it/ })
})

t.test('a record has names for numbers, and its attempts', async t => {
  const { rows } = await listErrors(db, day, { request: ids.overloaded, limit: 1 })
  const { user, key, group, account, level, ip, upstream_excerpt, attempts, at } = rows[0]!
  t.strictSame(
    [user, key, group, account, level, ip, upstream_excerpt, attempts.length, at.getTime()],
    ['alice', 'laptop', 'main', 'a1', 'CRITICAL', '2001:db8::7', 'quoth the 100% raven', 2, now - 5000],
  )
})

t.test('pages have every row once', async t => {
  const seen: string[] = []
  let before: string | undefined
  do {
    const page = await listErrors(db, day, { limit: 2, before })
    t.ok(page.rows.length <= 2)
    seen.push(...names(page.rows))
    before = page.next ?? undefined
  } while (before !== undefined)
  t.strictSame(seen, ['missing', 'limited', 'recovered', 'reset', 'overloaded'])
  await t.rejects(listErrors(db, day, { limit: 2, before: 'x' }), {
    message: '--before must be a cursor as gw ops errors gives it, got "x"',
  })
})

t.test('what is most frequent, by anything, with its share', async t => {
  const { rows, total } = await countErrors(db, day, { by: 'message' })
  t.equal(total, 5)
  t.equal(rows.length, 5, 'none is like another')
  const shares = async (by: Parameters<typeof countErrors>[2]['by'], filter: ErrorFilter = {}) =>
    (await countErrors(db, day, { ...filter, by })).rows.map(r => [r.value, r.count, r.percentage, r.recovered])
  t.strictSame(await shares('owner'), [
    ['provider', 3, 60, 1],
    ['client', 2, 40, 0],
  ])
  t.strictSame(await shares('account'), [
    ['', 2, 40, 0],
    ['a1', 2, 40, 1],
    ['a2', 1, 20, 0],
  ])
  t.strictSame(await shares('user', { owner: 'client' }), [
    ['alice', 1, 50, 0],
    ['bob', 1, 50, 0],
  ])
  t.strictSame(await shares('upstream', { owner: 'provider' }), [
    ['529 overloaded_error', 2, 66.67, 1],
    ['', 1, 33.33, 0],
  ])
  for (let n = 0; n < 25; n++)
    await sql`insert into error_log select (json_populate_record(e, json_build_object('request_id', gen_random_uuid(), 'model', ${`m${n}`}::text))).*
      from error_log e where request_id = ${ids.limited}`.execute(db)
  const models = await countErrors(db, day, { by: 'model' })
  t.strictSame([models.rows.length, models.total], [20, 30], 'the twenty most frequent')
  await sql`delete from error_log where model like 'm%'`.execute(db)
})

t.test('§12.7 errors: the same by command and by HTTP', async t => {
  const routes = errorRoutes({ db, now: () => now + 1 })
  const ask = async (query: string) => {
    const { status, body } = (await answerOps(routes, `/ops/errors${query}`))!
    return { status, body: JSON.parse(body) }
  }
  const asked = await ask('?owner=provider&recovered=false&limit=1')
  t.strictSame([asked.status, names(asked.body.rows)], [200, ['reset']])
  const rows = await json<object[]>('ops errors --owner provider --no-recovered --limit 1')
  t.strictSame(rows, asked.body.rows)
  const next = await ask(`?owner=provider&recovered=false&limit=1&before=${encodeURIComponent(asked.body.next)}`)
  t.strictSame([names(next.body.rows), next.body.next], [['overloaded'], null])
  const counted = await ask('?by=code')
  t.strictSame(await json('ops errors --by code'), counted.body.rows)
  for (const [query, words] of [
    [
      '?phase=upstraem',
      'phase must be one of request auth billing concurrency routing upstream network internal, got "upstraem"; did you mean "upstream"?',
    ],
    ['?sice=1h', 'no parameter "sice"; did you mean "since"?'],
    ['?since=2030-01-01', 'since (2030-01-01T00:00:00.000Z) lies after until'],
    ['?by=code&before=x', 'before goes with a list, and by makes none; leave one out'],
  ]) {
    const { status, body } = await ask(query!)
    t.strictSame([status, body.error.slice(0, words!.length)], [400, words])
  }
  t.equal((await ask('?user=carol')).status, 404)
  const { stdout, stderr, code } = await gw('ops errors --limit 2')
  t.equal(code, 0)
  t.match(stdout, /MODEL_NOT_FOUND.*\n.*USER_TIMEOUT/)
  t.match(stderr, /^next page: the same with --before \S+,\S+\n$/)
  t.match((await gw('ops errors --by message')).stdout, /^COUNT +% +RECOVERED +STATUS +CODE +MESSAGE/)
  t.equal((await gw('ops errors --by nothing')).code, 2)
})
