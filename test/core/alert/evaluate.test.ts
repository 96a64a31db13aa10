// Evaluation on a real Postgres: what rules measure, one event however many evaluate, and what becomes of it when its rule changes.
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { loadConfig } from '../../../src/config/load.ts'
import { evaluate } from '../../../src/core/alert/evaluate.ts'
import { ackEvent, fire, listEvents, resolveByHand } from '../../../src/core/alert/event.ts'
import { measure } from '../../../src/core/alert/measure.ts'
import { parseRuleFile, shippedRules } from '../../../src/core/alert/read-file.ts'
import { defaults, type Rule, type RuleFields } from '../../../src/core/alert/rule.ts'
import { addRule, findRule, listRules, removeRule, ruleOf, setRule } from '../../../src/core/alert/rules.ts'
import { addSilence, endSilence } from '../../../src/core/alert/silence.ts'
import { evaluated, missedEvaluations, statesOf } from '../../../src/core/alert/states.ts'
import { importRules, syncFiles } from '../../../src/core/alert/sync.ts'
import { type Database, openDatabase } from '../../../src/db/connect.ts'
import { freshDatabase } from '../../helpers/database.ts'
import { until } from '../../helpers/gateway.ts'
import { countsOf, measured, type Rolled } from '../../helpers/watch.ts'

const MINUTE = 60_000
const start = Math.floor(Date.now() / MINUTE) * MINUTE - 3_600_000
const none = { rules: [], tests: [] }

async function opened(t: Test, url?: string): Promise<Database> {
  const { config } = loadConfig({ env: { GW_DATABASE_URL: url ?? (await freshDatabase(t)) }, flags: {} })
  const database = await openDatabase(config, { migrate: false })
  t.teardown(() => database.close())
  return database
}

const rule = (fields: Partial<RuleFields> = {}): RuleFields => ({
  ...defaults,
  name: 'errors',
  metric: 'error_rate',
  op: '>',
  threshold: 10,
  cooldown_ms: 0,
  ...fields,
})

/** Evaluates minute `i`; at it, `errors` of ten requests failed, or nothing is known. */
async function minute({ db }: Database, i: number, errors?: number) {
  const at = start + i * MINUTE
  if (errors !== undefined) await measured(db, [{ at, errors, success: 10 - errors }])
  const done = await evaluate(db, { intervalMs: MINUTE, lagMs: 1_000, now: at + 2_000 })
  if (done.failed[0]) throw done.failed[0].error
  return done.turns.map(({ act, rule, dimension }) => `${act} ${rule}${dimension && ` ${dimension}`}`)
}

async function channel({ db }: Database, name = 'ops'): Promise<void> {
  await db
    .insertInto('alert_channels')
    .values({ name, type: 'webhook', url: Buffer.alloc(1) })
    .execute()
}

const told = async ({ db }: Database) =>
  (await db.selectFrom('alert_deliveries').select(['kind', 'message']).orderBy('id').execute()).map(
    ({ kind, message }) => `${kind}: ${message.title}, ${message.description}`,
  )

t.test('12.8 one event and one notice, though two evaluate at once, in 200 races', async t => {
  const url = await freshDatabase(t)
  const [one, two] = [await opened(t, url), await opened(t, url)]
  await channel(one)
  await addRule(one.db, rule())
  await addRule(one.db, rule({ name: 'success', metric: 'success_rate', op: '<', threshold: 50 }))
  const all = Array.from({ length: 100 }, (_, i) => ({
    at: start + i * MINUTE,
    errors: i % 2 === 0 ? 9 : 0,
    success: 1,
  }))
  await measured(one.db, all)
  for (const [i, { at, errors }] of all.entries()) {
    const rhythm = { intervalMs: MINUTE, lagMs: 1_000, now: at + 2_000 }
    const both = await Promise.all([evaluate(one.db, rhythm), evaluate(two.db, rhythm)])
    const turns = both.flatMap(done => done.turns.map(turn => `${turn.act} ${turn.rule}`))
    const act = errors > 0 ? 'firing' : 'resolved'
    if (turns.join() !== `${act} errors,${act} success`) t.fail(`race ${i}: ${turns}`)
    if (both[0].rules + both[1].rules !== 2) t.fail(`race ${i}: evaluated ${both[0].rules} and ${both[1].rules} rules`)
  }
  const events = await listEvents(one.db, { limit: 1000 })
  t.equal(events.length, 100)
  t.ok(events.every(event => event.status === 'resolved' && event.deliveries.length === 2))
})

t.test('the count goes on in another process, and begins again after a gap, which is told', async t => {
  const url = await freshDatabase(t)
  const [one, two] = [await opened(t, url), await opened(t, url)]
  const { id } = await addRule(one.db, rule({ sustained: 3 }))
  t.strictSame(await minute(one, 1, 9), [])
  t.strictSame(await minute(one, 2, 9), [])
  t.strictSame(await minute(two, 3, 9), ['firing errors'], 'a restart, or another leader')
  t.strictSame(await minute(one, 3), [], 'what is evaluated is not evaluated again')
  t.strictSame(await minute(one, 2), [], 'and a boundary never goes back')
  t.strictSame(await minute(one, 4, 0), ['resolved errors'])
  t.strictSame(await minute(one, 5, 9), [])
  t.strictSame(await minute(one, 6, 9), [])
  t.strictSame(await minute(one, 9, 9), [], 'two were missed')
  t.strictSame(await minute(one, 10, 9), [])
  t.strictSame(await minute(one, 11, 9), ['firing errors'])
  const { missed, missed_at } = statesOf({ id, where: {} }, await evaluated(one.db))
  t.strictSame([missed, missed_at?.getTime()], [2, start + 9 * MINUTE])
  t.match(await missedEvaluations(one.db), { rules: 1, evaluations: 2 })
  await one.db
    .updateTable('alert_states')
    .set({ missed_at: new Date(Date.now() - 2 * 86_400_000) })
    .execute()
  t.match(await missedEvaluations(one.db), { rules: 0, evaluations: 0 }, 'not told for ever')
})

t.test('a clock that was wrong stops nothing', async t => {
  const database = await opened(t)
  await addRule(database.db, rule())
  t.strictSame(await minute(database, 600, 9), ['firing errors'], 'ten hours ahead')
  t.strictSame(await minute(database, 2, 9), [], 'it fires already')
  t.strictSame(await minute(database, 3, 0), ['resolved errors'])
  const [event] = await listEvents(database.db)
  t.ok(event!.resolved_at! >= event!.fired_at)
})

t.test('without traffic nothing fires, and what fires is over after ten minutes of that', async t => {
  const database = await opened(t)
  await channel(database)
  await addRule(database.db, rule())
  t.strictSame(await minute(database, 1), [])
  t.strictSame(await minute(database, 2, 9), ['firing errors'])
  for (let i = 3; i < 13; i++) {
    await measured(database.db, [{ at: start + i * MINUTE }])
    t.strictSame(await minute(database, i), [])
  }
  t.strictSame(await minute(database, 13), ['resolved errors'])
  t.strictSame(await told(database), [
    'firing: P1: errors, Rule errors triggered: error_rate > 10 (current 90) over last 1m',
    'resolved: P1: errors, Rule errors resolved after 11m: error_rate has had nothing to measure for 10 minutes',
  ])
})

t.test('each by itself: an event for each dimension, and states of those that are gone are forgotten', async t => {
  const database = await opened(t)
  const { db } = database
  const { id } = await addRule(db, rule({ where: { platform: '*', model: 'm' }, cooldown_ms: 2 * MINUTE }))
  await cells(
    database,
    1,
    { platform: 'openai', model: 'm', errors: 5 },
    { platform: 'gemini', model: 'm', success: 5 },
  )
  await cells(database, 1, { platform: 'anthropic', model: 'other', errors: 5 })
  t.strictSame(await minute(database, 1), ['firing errors platform=openai'])
  await cells(database, 2, { platform: 'openai', model: 'm', errors: 5 }, { platform: 'gemini', model: 'm', errors: 5 })
  t.strictSame(await minute(database, 2), ['firing errors platform=gemini'])
  await cells(
    database,
    3,
    { platform: 'openai', model: 'm', success: 5 },
    { platform: 'gemini', model: 'm', success: 5 },
  )
  t.strictSame((await minute(database, 3)).sort(), [
    'resolved errors platform=gemini',
    'resolved errors platform=openai',
  ])
  const known = async () => (await evaluated(db)).get(id)!.map(state => state.dimension)
  t.strictSame(await known(), ['', 'platform=gemini'], 'one is still in its cooldown')
  t.strictSame(await minute(database, 4), [])
  t.strictSame(await known(), [''])
  const [event] = await listEvents(db)
  t.match(event, { title: 'P1: errors (platform=gemini)', value: 100, last_value: 0 })
  t.match(event!.description, /for model=m,platform=gemini$/)
})

t.test('a rule that is changed, disabled or removed fires no more; other changes leave it alone', async t => {
  const database = await opened(t)
  const { db } = database
  await channel(database)
  await addRule(db, rule())
  const firing = async () => (await listEvents(db, { firing: true })).length
  t.strictSame(await minute(database, 1, 9), ['firing errors'])
  await setRule(db, 'errors', { cooldown_ms: 1, description: 'why', notify: ['ops'] })
  t.equal(await firing(), 1)
  for (const [i, change] of [{ threshold: 20 }, { severity: 'P0' }, { where: { platform: 'openai' } }].entries()) {
    await setRule(db, 'errors', change as Partial<RuleFields>)
    t.equal(await firing(), 0, JSON.stringify(change))
    await cells(database, i + 2, { platform: 'openai', errors: 9 })
    t.strictSame(await minute(database, i + 2, 9), ['firing errors'], 'what it is now fires by itself, at once')
  }
  await setRule(db, 'errors', { enabled: false })
  t.equal(await firing(), 0)
  t.strictSame(await minute(database, 6, 9), [])
  await setRule(db, 'errors', { enabled: true })
  await cells(database, 7, { platform: 'openai', errors: 9 })
  t.strictSame(await minute(database, 7, 9), ['firing errors'])
  await removeRule(db, 'errors')
  t.equal(await firing(), 0)
  t.match((await told(database)).at(-1), /^resolved: .* the rule was removed$/)
  t.strictSame((await listEvents(db)).length, 5, 'what fired stays in the list')
})

t.test('silenced: recorded and not told, nor its end; told when the silence ends and it still fires', async t => {
  const database = await opened(t)
  const { db } = database
  await channel(database)
  await addRule(db, rule())
  await addRule(db, rule({ name: 'other', severity: 'P3' }))
  const until = new Date(Date.now() + 3_600_000)
  const ofRule = await addSilence(db, { rule: 'errors', until, by: 'me' })
  await addSilence(db, { severity: 'P3', until, by: 'me' })
  await addSilence(db, { rule: 'other', until: new Date(Date.now() - 1), by: 'me' })
  await minute(database, 1, 9)
  t.strictSame(
    (await listEvents(db)).map(event => event.silenced),
    [true, true],
  )
  await minute(database, 2, 0)
  t.strictSame(await told(database), [])
  await minute(database, 3, 9)
  t.strictSame(await told(database), [])
  await endSilence(db, ofRule.id)
  await minute(database, 4, 9)
  await minute(database, 5, 9)
  t.strictSame(await told(database), [
    'firing: P1: errors, Rule errors triggered: error_rate > 10 (current 90) over last 1m',
  ])
  await minute(database, 6, 0)
  t.equal((await told(database)).length, 2)
  await t.rejects(endSilence(db, ofRule.id), /is over already/)
})

t.test('acknowledged it fires on; ended by hand it fires again after the cooldown', async t => {
  const database = await opened(t)
  const { db } = database
  await channel(database)
  await addRule(db, rule({ cooldown_ms: 5 * MINUTE }))
  await minute(database, 1, 9)
  const { id } = (await listEvents(db))[0]!
  t.match(await ackEvent(db, id, { by: 'ann', note: 'on it' }), { status: 'firing', acked_by: 'ann', note: 'on it' })
  t.strictSame(await minute(database, 2, 9), [])
  t.match(await resolveByHand(db, id, { by: 'ann', note: 'known' }), { status: 'manual_resolved' })
  await t.rejects(ackEvent(db, id, { by: 'ann' }), /is over since/)
  await t.rejects(resolveByHand(db, id, { by: 'ann' }), /is over already/)
  await t.rejects(ackEvent(db, 999, { by: 'ann' }), /no alert 999/)
  t.strictSame(await minute(database, 5, 9), [])
  t.strictSame(await minute(database, 6, 9), ['firing errors'])
  t.match((await told(database))[1], /^resolved: .*: resolved by ann: known$/)
})

t.test('12.8 metrics: counters over all processes, gauges of the worst or of all, accounts as they are', async t => {
  const database = await opened(t)
  const { db } = database
  await db
    .insertInto('groups')
    .values([
      { name: 'main', platform: 'openai' },
      { name: 'empty', platform: 'openai' },
    ] as never)
    .execute()
  const account = (name: string, status: string) => ({
    name,
    platform: 'openai',
    type: 'apikey',
    credential: Buffer.alloc(1),
    concurrency: 0,
    priority: 50,
    status,
    model_map: '{}',
  })
  await db
    .insertInto('accounts')
    .values([
      account('well', 'active'),
      account('slow', 'active'),
      account('out', 'active'),
      account('dead', 'error'),
      account('resting', 'paused'),
    ] as never)
    .execute()
  await sql`insert into account_groups (account_id, group_id) select a.id, g.id from accounts a, groups g where g.name = 'main'`.execute(
    db,
  )
  await sql`insert into account_health (account_id, model, class, reason, until, evidence, strikes, since)
    select id, '', case name when 'slow' then 'burst' else 'auth' end, '', now() + interval '1 hour', false, 1, now() from accounts where name in ('slow', 'out')`.execute(
    db,
  )
  await cells(database, 5, {
    platform: 'openai',
    group_id: 1,
    account_id: 1,
    model: 'm',
    errors: 1,
    success: 3,
    attempts: 5,
    attempt_errors: 2,
    first_token: [100],
  })
  await db.deleteFrom('watch_metrics').execute()
  for (const [i, process] of [
    [4, 'a'],
    [5, 'a'],
    [5, 'b'],
  ] as const)
    await measured(db, [
      {
        at: start + i * MINUTE,
        process,
        node: process,
        success: 6,
        errors: 2,
        client_errors: 4,
        attempts: 10,
        attempt_errors: 4,
        network_errors: 3,
        input_tokens: 500,
        output_tokens: 100,
        cost: 1_000_000_000n,
        duration: [1000, 2000],
        first_token: Array(process === 'a' ? 60 : 40).fill(process === 'a' ? 100 : 900),
        queue_depth: process === 'a' ? 5 : 7,
        cpu_percent: process === 'a' ? 20 : 80,
        loop_lag_p99_ms: i === 4 ? 99 : 5,
        spool_lines: i,
        disk_used_mb: 30n,
        disk_total_mb: 40n,
      },
    ])
  const values = async (metric: string, window_minutes = 1, where = {}) => {
    const found = await measure(
      db,
      { metric, window_minutes, where },
      { boundary: start + 5 * MINUTE, intervalMs: MINUTE },
    )
    return Object.fromEntries([...found].map(([name, value]) => [name, Math.round(value * 100) / 100]))
  }
  for (const [metric, window, where, wanted] of [
    ['success_rate', 1, {}, { '': 75 }],
    ['error_rate', 5, {}, { '': 25 }],
    ['upstream_error_rate', 1, {}, { '': 40 }],
    ['network_errors', 1, {}, { '': 6 }],
    ['network_errors', 5, {}, { '': 9 }],
    ['requests', 1, {}, { '': 24 }],
    ['client_errors', 1, {}, { '': 8 }],
    ['qps', 1, {}, { '': 0.4 }],
    ['tps', 1, {}, { '': 20 }],
    ['cost_per_hour', 1, {}, { '': 120 }],
    ['concurrency_queue_depth', 1, {}, { '': 12 }],
    ['concurrency_queue_depth', 5, {}, { '': 8.5 }],
    ['cpu_usage_percent', 1, {}, { '': 80 }],
    ['cpu_usage_percent', 1, { node: '*' }, { 'node=a': 20, 'node=b': 80 }],
    ['cpu_usage_percent', 1, { node: 'a' }, { '': 20 }],
    ['loop_lag_p99_ms', 5, {}, { '': 99 }],
    ['spool_lines', 5, {}, { '': 10 }],
    ['disk_usage_percent', 1, {}, { '': 75 }],
    ['redis_ms', 1, {}, {}],
    ['error_rate', 1, { platform: 'openai' }, { '': 25 }],
    ['error_rate', 1, { platform: 'gemini' }, {}],
    ['requests', 1, { platform: 'gemini' }, { '': 0 }],
    ['upstream_error_rate', 1, { group: 'main', account: '*' }, { 'account=well': 40 }],
    ['error_rate', 1, { platform: '*', model: '*' }, { 'platform=openai,model=m': 25 }],
    ['group_available_accounts', 1, { group: '*' }, { 'group=main': 1 }],
    ['group_available_accounts', 1, { group: 'empty' }, {}],
    ['group_available_ratio', 1, {}, { '': 25 }],
    ['account_rate_limited_count', 1, {}, { '': 1 }],
    ['account_error_count', 1, { platform: 'openai' }, { '': 2 }],
    [
      'account_error_count',
      1,
      { account: '*' },
      { 'account=dead': 1, 'account=out': 1, 'account=slow': 0, 'account=well': 0 },
    ],
    ['account_error_count', 1, { platform: 'gemini' }, { '': 0 }],
  ] as const)
    t.strictSame(await values(metric, window, where), wanted, `${metric} ${window}m ${JSON.stringify(where)}`)
  for (const [metric, about] of [
    ['p50_latency_ms', 1000],
    ['p99_latency_ms', 2000],
    ['p50_ttft_ms', 100],
    ['p99_ttft_ms', 900],
  ] as const) {
    const value = (await values(metric))['']!
    t.ok(Math.abs(value - about) <= about * 0.02, `${metric} is ${value}`)
  }
  t.strictSame(
    await measure(
      db,
      { metric: 'requests', window_minutes: 1, where: {} },
      { boundary: start + 99 * MINUTE, intervalMs: MINUTE },
    ),
    new Map(),
    'where nobody wrote anything nothing is known',
  )
})

t.test('12.8 seeds: what an operator set of a shipped rule stands, and a file goes before it', async t => {
  const { db } = await opened(t)
  const file = (...rules: string[]) =>
    parseRuleFile('f.yaml', rules.length === 0 ? '' : `rules:\n${rules.map(one => `  - ${one}\n`).join('')}`)
  const one = (name: string, threshold: number) =>
    `{ name: ${name}, metric: error_rate, op: ">", threshold: ${threshold} }`
  const now = async () =>
    Object.fromEntries(
      (await listRules(db)).map((rule: Rule) => [
        rule.name,
        `${rule.source} ${rule.threshold}${rule.enabled ? '' : ' off'}`,
      ]),
    )
  const sync = async (shipped: ReturnType<typeof file>, own: ReturnType<typeof file> = none) =>
    (await syncFiles(db, { shipped, file: own }))
      .filter(one => one.change !== 'same')
      .map(one => `${one.change} ${one.rule}`)

  t.strictSame(await sync(file(one('a', 1), one('b', 1), one('c', 1))), ['added a', 'added b', 'added c'])
  await setRule(db, 'a', { threshold: 7 })
  await setRule(db, 'b', { enabled: false })
  await addRule(db, rule({ name: 'mine' }))
  t.strictSame(await sync(file(one('a', 1), one('b', 1), one('c', 1))), [])
  t.strictSame(
    await sync(file(one('a', 2), one('b', 2), one('c', 2), one('mine', 2))),
    ['changed b', 'changed c', 'taken mine'],
    'an upgrade',
  )
  t.strictSame(await now(), { a: 'shipped 7', b: 'shipped 2 off', c: 'shipped 2', mine: 'operator 10' })
  t.strictSame(await sync(file(one('c', 2)), file(one('c', 9), one('d', 9))), [
    'changed c',
    'added d',
    'kept a',
    'removed b',
  ])
  t.strictSame(await now(), { a: 'operator 7', c: 'file 9', d: 'file 9', mine: 'operator 10' })
  await t.rejects(setRule(db, 'd', { threshold: 1 }), /is of alerts.file; change it there/)
  await setRule(db, 'd', { enabled: false })
  t.strictSame(await sync(file(one('c', 2)), file(one('c', 9), one('d', 8))), ['changed d'])
  t.strictSame(await now(), { a: 'operator 7', c: 'file 9', d: 'file 8 off', mine: 'operator 10' })
  t.strictSame(await sync(file(one('c', 2))), ['changed c', 'removed d'])
  await t.rejects(removeRule(db, 'c'), /gw alert rule disable c/)
  t.strictSame(
    (await importRules(db, file(one('c', 5), one('a', 7), one('e', 1)))).map(one => `${one.change} ${one.rule.name}`),
    ['changed c', 'same a', 'added e'],
  )
  t.strictSame(await sync(file(one('c', 2))), ['taken c'])
  t.equal((await findRule(db, 'c')).threshold, 5)
})

t.test('12.8 seeds: a rule that goes while it is evaluated leaves nothing that fires', async t => {
  const url = await freshDatabase(t)
  const [one, two] = [await opened(t, url), await opened(t, url)]
  const shipped = parseRuleFile('f.yaml', 'rules: [{ name: a, metric: error_rate, op: ">", threshold: 1 }]')
  await syncFiles(one.db, { shipped, file: none })
  const evaluation = Promise.withResolvers<void>()
  const fired = one.db.transaction().execute(async tx => {
    const row = await tx.selectFrom('alert_rules').selectAll().forNoKeyUpdate().executeTakeFirstOrThrow()
    evaluation.resolve()
    await until(t, 'the other waits for the row', async () => {
      const { rows } =
        await sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`.execute(
          tx,
        )
      return rows.length > 0
    })
    await fire(tx, ruleOf(row), { dimension: '', value: 5, at: new Date(start), silenced: false })
  })
  await evaluation.promise
  await Promise.all([fired, syncFiles(two.db, { shipped: none, file: none })])
  t.strictSame(
    (await listEvents(one.db)).map(event => event.status),
    ['resolved'],
  )
})

t.test('12.8 seeds: one request that fails or is slow in an idle night wakes nobody', async t => {
  const database = await opened(t)
  await syncFiles(database.db, { shipped: shippedRules(), file: none })
  const alone = { errors: 1, attempt_errors: 1, network_errors: 1, first_token: [120_000] }
  await cells(database, 1, { platform: 'openai', account_id: 1, model: 'm', ...alone })
  await measured(database.db, [{ at: start + MINUTE, process: 'total', ...alone }])
  t.strictSame(await minute(database, 1), [])
  for (let i = 2; i < 20; i++) {
    await measured(database.db, [{ at: start + i * MINUTE }])
    t.strictSame(await minute(database, i), [], `after ${i} minutes`)
  }
})

interface Cell extends Omit<Rolled, 'at' | 'dimension' | 'value'> {
  platform: string
  group_id?: number
  account_id?: number
  model?: string
}

/** Rows of watch_cells of a minute, and that somebody wrote it. */
async function cells({ db }: Database, i: number, ...rows: Cell[]): Promise<void> {
  const at = new Date(start + i * MINUTE)
  await sql`select time_partition('watch_cells', ${at}, 'day')`.execute(db)
  await db
    .insertInto('watch_cells')
    .values(
      rows.map(({ platform, group_id = 0, account_id = 0, model = '', ...counts }) => {
        return { at, process: 'p1', platform, group_id, account_id, model, ...countsOf(counts) }
      }),
    )
    .execute()
  await measured(db, [{ at: at.getTime(), process: `cells ${JSON.stringify(rows)}` }])
}
