// Alerts of a real gateway: a provider fails, a rule fires once, it recovers; and all that gw alert and GET /ops/alerts tell of it.
import path from 'node:path'
import t from 'tap'
import type { AlertEvent } from '../../src/core/alert/event.ts'
import { shippedRules } from '../../src/core/alert/read-file.ts'
import { home } from '../cli/gw.ts'
import { freshDatabase } from '../helpers/database.ts'
import { gateway, hello, until } from '../helpers/gateway.ts'

interface Told {
  firing: number
  alerts: AlertEvent[]
  rules: { name: string; states: { value: number | null }[] }[]
}

t.test('12.8 a provider fails: the rule fires once, and is over when it answers again', async t => {
  const gw = await gateway(t, { config: { 'ops.interval': 1_000 } })
  const { 'database.url': url } = gw.config
  const cli = await home(t, { GW_DATABASE_URL: url!, GW_OPS_INTERVAL: '1s' })
  const ops = async (query = '') =>
    (await (await fetch(`${gw.daemon.opsUrl}/ops/alerts${query}`)).json()) as Told & { error?: string }
  await t.test('the rules that gw ships are there from the start', async t => {
    const rules = await cli.json<{ name: string; source: string }[]>('alert rule list')
    t.strictSame(
      rules.map(rule => `${rule.source} ${rule.name}`).sort(),
      shippedRules()
        .rules.map(rule => `shipped ${rule.fields.name}`)
        .sort(),
    )
    await cli.json(['alert', 'rule', 'disable', ...rules.map(rule => rule.name)])
  })

  const add =
    'alert rule add fails --metric error_rate --op > --threshold 50 --cooldown 0s --where account=a1 --severity P0'
  t.match(await cli.json(add), {
    name: 'fails',
    metric: 'error_rate',
    severity: 'P0',
    cooldown_ms: 0,
    source: 'operator',
  })
  const refused = { status: 500, error: { type: 'api_error', message: 'no' } }
  gw.mock.script(gw.credential('a1'), Array(50).fill(refused))
  t.not((await gw.send(hello())).status, 200)
  await until(t, 'it fires', async () => (await ops('?firing=true')).firing === 1)
  const [event] = await cli.json<AlertEvent[]>('alert list --firing')
  t.match(event, {
    rule: 'fails',
    severity: 'P0',
    status: 'firing',
    value: 100,
    threshold: 50,
    dimension: '',
    silenced: false,
  })
  t.strictSame(event!.deliveries, [], 'there is no channel yet')
  t.match(await cli.json(`alert ack ${event!.id} --note looking`), { status: 'firing', note: 'looking' })
  t.match(
    (await cli.gw('alert test fails')).stdout,
    /^fails: error_rate\{account=a1\} > 50 over 1m\n100 %; it fires\n$/,
  )

  gw.mock.script(gw.credential('a1'), { text: 'well again' })
  await gw.heal()
  for (let i = 0; i < 4; i++) t.equal((await gw.send(hello())).status, 200)
  await until(t, 'it is over', async () => (await ops()).firing === 0)
  const { alerts, rules, error } = await ops('?since=1h')
  t.equal(error, undefined)
  t.strictSame(
    alerts.map(({ id, status, rule }) => [id, status, rule]),
    [[event!.id, 'resolved', 'fails']],
    'once',
  )
  // It was over when half had failed, which is not more than half; then the others are counted, too.
  t.ok(rules.find(rule => rule.name === 'fails')!.states[0]!.value! <= 50)
  await until(t, 'one of five has failed', async () => {
    const { rules } = await ops('?since=2h')
    return rules.find(rule => rule.name === 'fails')!.states[0]!.value === 20
  })
  t.match((await ops('?firing=maybe')).error, /firing must be true or false/)
  t.match((await ops('?frring=true')).error, /did you mean "firing"/)
})

t.test('gw alert, as an operator types it', async t => {
  const gw = await home(t, { GW_DATABASE_URL: await freshDatabase(t) })
  const database = await gw.open()
  await database.db
    .insertInto('alert_channels')
    .values({ name: 'ops', type: 'webhook', url: Buffer.alloc(1) })
    .execute()
  const refusedWith = async (code: number, line: string, said: RegExp) => {
    const ran = await gw.gw(line)
    t.equal(ran.code, code, line)
    t.match(ran.stderr, said)
  }
  const terms = '--metric error_rate --op > --threshold 5'
  await gw.json(
    `alert rule add errors ${terms} --where platform=openai,account=* --window 5m --sustained 2 --notify ops`,
  )
  const { where, window_minutes, sustained, cooldown_ms, severity, notify, states, missed } =
    await gw.json('alert rule show errors')
  t.strictSame(
    { where, window_minutes, sustained, cooldown_ms, severity, notify, states, missed },
    {
      where: { platform: 'openai', account: '*' },
      window_minutes: 5,
      sustained: 2,
      cooldown_ms: 600_000,
      severity: 'P1',
      notify: ['ops'],
      states: [],
      missed: 0,
    },
  )
  t.match(await gw.json('alert rule add dry --metric qps --op < --threshold 1 --dry-run'), { name: 'dry' })
  await refusedWith(7, `alert rule add errors ${terms}`, /alert rule "errors" exists already/)
  await refusedWith(2, 'alert rule add x --metric eror_rate --op > --threshold 5', /did you mean "error_rate"/)
  await refusedWith(2, 'alert rule add x --op > --threshold 5', /--metric is missing/)
  await refusedWith(2, `alert rule add x ${terms} --where acount=a`, /did you mean "account"/)
  await refusedWith(2, `alert rule add x ${terms} --where node=*`, /error_rate cannot be narrowed by node/)
  await refusedWith(6, `alert rule add x ${terms} --where group=main`, /no group "main"/)
  await refusedWith(6, `alert rule add x ${terms} --notify osp`, /no alert channel "osp"; did you mean "ops"/)
  await refusedWith(6, 'alert rule set erors --threshold 1', /did you mean "errors"/)
  await refusedWith(6, 'alert rule show dry', /no alert rule "dry"/)
  await refusedWith(2, 'alert rule set errors', /nothing to change/)
  await refusedWith(2, 'alert silence --for -1h', /--for must be/)
  await refusedWith(6, 'alert ack 7', /no alert 7/)
  await refusedWith(5, 'alert rule rm errors', /--yes/)
  const changed = await gw.json('alert rule set errors --notify none --where none --cooldown 90s')
  t.strictSame([changed['notify'], changed['where'], changed['cooldown_ms']], [[], {}, 90_000])
  t.strictSame((await gw.json<{ told: string[] }>('alert test errors --notify --dry-run')).told, ['ops'])

  const { id } = await gw.json<{ id: number }>('alert silence --rule errors --severity P1 --for 2h --note upgrade')
  t.match((await gw.json<object[]>('alert silences'))[0], { id, rule: 'errors', severity: 'P1', note: 'upgrade' })
  await gw.json(`alert unsilence ${id}`)
  t.strictSame(await gw.json('alert silences'), [])

  t.match((await gw.gw('alert test errors')).stdout, /nothing to measure; it would not fire\n$/)
  t.strictSame((await gw.json<{ told: string[] }>('alert test errors --notify')).told, ['ops'])
  const sent = await database.db.selectFrom('alert_deliveries').select(['kind', 'event_id']).execute()
  t.strictSame(sent, [{ kind: 'test', event_id: null }])

  const file = await gw.file(
    'mine.yaml',
    'rules:\n  - { name: slow, metric: p95_ttft_ms, op: ">", threshold: 9000, window: 5m }\n',
  )
  const imported = await gw.json<{ name: string; change: string }[]>(['alert', 'rule', 'import', file])
  t.strictSame(
    imported.map(({ name, change }) => [name, change]),
    [['slow', 'added']],
  )
  const lost = await gw.file(
    'lost.yaml',
    'rules:\n  - { name: l, metric: qps, op: "<", threshold: 1, notify: [osp] }\n',
  )
  t.match(await gw.gw(['alert', 'rule', 'import', lost]), {
    code: 6,
    stderr: /lost.yaml:2:13 no alert channel "osp"; did you mean "ops"/,
  })
  t.match((await gw.gw(['alert', 'rule', 'check', file])).stdout, /^1 rule, 0 tests\n$/)
  const shipped = await gw.gw([
    'alert',
    'rule',
    'check',
    path.resolve('config/alerts.yaml'),
    path.resolve('config/alerts.test.yaml'),
  ])
  t.match(shipped, { code: 0, stdout: /^15 rules, \d+ tests, all passed\n$/ })
  const bad = await gw.file('bad.yaml', 'rules:\n  - { name: slow, metric: p95_ttft, op: ">", threshold: 9000 }\n')
  t.match(await gw.gw(['alert', 'rule', 'check', bad]), {
    code: 3,
    stderr: /bad.yaml:2:27 metric "p95_ttft" is not a metric; did you mean "p95_ttft_ms"\?/,
  })
  const failing = await gw.file('test.yaml', 'tests:\n  - { name: never, series: { slow: 1 9999 } }\n')
  t.match(await gw.gw(['alert', 'rule', 'check', file, failing]), {
    code: 1,
    stdout: /failed: never\n {2}\S+test.yaml:2:5 not expected: firing of slow at 1m\n/,
  })
  t.match(await gw.gw('config check', { env: { GW_ALERTS_FILE: bad } }), {
    code: 3,
    stderr: /did you mean "p95_ttft_ms"/,
  })

  await gw.json('alert rule rm errors --yes')
  t.match((await gw.gw('alert rule list')).stdout, /^ID +NAME.*\n.*slow.*\n$/)
  t.match((await gw.gw('alert list')).stderr, /no alerts/)
  t.ok((await gw.json<unknown[]>('alert rule metrics')).length > 20)
})
