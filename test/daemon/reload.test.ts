// A reload: what may be applied is, what takes a restart is named, what is wrong changes nothing, and no request notices any of it.
import { rm } from 'node:fs/promises'
import path from 'node:path'
import { sql } from 'kysely'
import t from 'tap'
import { controlClient } from '../../src/control/client.ts'
import type { ReloadView } from '../../src/control/view.ts'
import { hello, until } from '../helpers/gateway.ts'
import { matchAll } from '../helpers/match.ts'
import { reloadable } from '../helpers/reloadable.ts'

t.test('what may be applied is, what takes a restart is named, and what is wrong changes nothing', async t => {
  const { gw, cli, lines, configure, file } = await reloadable(t, 'limits.body: 1MB\n')
  const { config } = gw.daemon.gateway
  const said = () => lines.splice(0).map(line => (JSON.parse(line) as { msg: string }).msg)
  said()
  const yaml = path.join(cli.folder, 'config/gw.yaml')

  t.match(await cli.gw('reload'), { code: 0, stdout: '', stderr: `no setting is another than before\nread ${yaml}\n` })
  t.strictSame(said(), ['gw reload: nothing changed'])

  await configure('limits.body: 2MB\nops.token: a-long-random-word\nusage.batch: 7\n')
  const dry = await cli.json<ReloadView>('reload --dry-run')
  t.equal(gw.daemon.gateway.config, config, 'a dry run changes nothing')
  t.strictSame(said(), [])
  const { code, stdout } = await cli.gw('reload --json')
  t.equal(code, 0)
  const view = {
    file: yaml,
    applied: [
      { key: 'ops.token', from: 'none', to: '***' },
      { key: 'limits.body', from: '1MB', to: '2MB' },
    ],
    restart: [{ key: 'usage.batch', from: '2000', to: '7' }],
    told: [],
    failed: [],
  }
  t.strictSame([JSON.parse(stdout), dry], [view, view])
  t.strictSame(said(), [
    'configuration: ops.token is ***, was none',
    'configuration: limits.body is 2MB, was 1MB',
    'configuration: usage.batch is 2000 until a restart, then 7; it cannot be reloaded',
    'gw reload: reloaded',
  ])
  t.equal(gw.daemon.gateway.config['limits.body'], 2 * 1024 * 1024)
  t.equal(gw.daemon.gateway.config['usage.batch'], 2000)
  t.match((await cli.gw('reload')).stdout, /^SETTING +FROM +TO +HOLDS\nusage\.batch +2000 +7 +after a restart\n$/)
  t.strictSame((await cli.json('status'))['needs_restart'], ['usage.batch'])
  const scrape = async (token = 'a-long-random-word') =>
    fetch(`${gw.daemon.opsUrl}/metrics`, { headers: { authorization: `Bearer ${token}` } })
  t.equal((await scrape('none')).status, 401)
  t.match(await (await scrape()).text(), /^gw_config_needs_restart 1$/m)
  said()

  // Everything at once, and nothing of it.
  const before = gw.daemon.gateway.config
  await file('models.json', '{"anthropic":{"x":{"efort":true}}}')
  await file('alerts.yaml', 'rules:\n  - {name: r, metric: eror_rate, op: ">", threshold: 1}\n')
  const files = 'models.file: ../models.json\nalerts.file: ../alerts.yaml\n'
  const wrongs: [yaml: string, ...problems: RegExp[]][] = [
    [
      'limits.body: 3MB\nlog.level: loud\nlisen: a:1\n',
      /^\S+gw\.yaml:2:12 log\.level: /,
      /^\S+gw\.yaml:3:1 lisen: .*listen/,
    ],
    [`limits.body: 3MB\n${files}`, /models\.json: .*efort/, /^\S+alerts\.yaml:2:\d+ .*error_rate/],
    ['limits.body: 3MB\n\tx', /^\S+gw\.yaml:2:1 is not valid YAML/],
  ]
  for (const [text, ...problems] of wrongs) {
    await configure(text)
    const refused = await cli.gw('reload')
    t.match(refused, { code: 3, stdout: '' })
    // Whoever looks at gw reads the same file; only where it says nothing of the socket gw cannot be found.
    const looked = await cli.gw('status')
    if (text.includes('\t')) t.match(looked, { code: 3, stderr: /gw\.yaml:2:1 is not valid YAML/ })
    else t.match(looked, { code: 0, stdout: /^degraded +configuration: the last reload was refused/m })
    if (text.includes('lisen')) {
      t.match(looked.stderr, /^\S+gw\.yaml:3:1 lisen: /m, 'and hears what is wrong')
      for (const verb of ['drain', 'drain --undo', 'ping', 'slots list']) t.equal((await cli.gw(verb)).code, 0, verb)
      t.equal((await cli.gw('drain --wait')).code, 3, 'it does not know how long')
      t.equal(gw.daemon.gateway.drained, false, 'and has done nothing')
      said()
    }
    await t.rejects(gw.daemon.reload('SIGHUP'))
    const logged = said()
    t.equal(logged.pop(), 'SIGHUP: nothing is applied, what was read before holds')
    for (const [i, problem] of problems.entries()) {
      t.match(refused.stderr.split('\n')[i]!.replace(/^gw: /, ''), problem)
      t.match(logged.at(-problems.length + i)!.replace(/^configuration: /, ''), problem)
    }
    t.equal(gw.daemon.gateway.config, before)
  }
  t.match(await (await fetch(`${gw.daemon.opsUrl}/readyz`)).json(), {
    status: 'degraded',
    degraded: { 0: /^configuration: the last reload was refused, .*gw\.yaml:2:1 is not valid YAML/ },
  })
  t.match(await (await scrape()).text(), /^gw_config_last_reload_successful 0$/m)

  // What takes a restart is as it was, and what is applied must go with that, too.
  await configure('ops.listen: 0.0.0.0:9999\nops.token: a-long-random-word\n')
  await gw.daemon.reload('SIGHUP')
  const inForce = gw.daemon.gateway.config
  gw.daemon.gateway.config = { ...inForce, 'ops.listen': { host: '0.0.0.0', port: 9464 } }
  await configure('ops.listen: 127.0.0.1:9999\n')
  t.match(await cli.gw('reload'), {
    code: 3,
    stderr: /gw\.yaml:1:13 ops\.listen: 0\.0\.0\.0:9464 is not loopback, so ops\.token is required; .* until a restart/,
  })
  t.equal((await scrape('none')).status, 401, 'nobody without a token comes in')

  gw.daemon.gateway.config = inForce
  await rm(yaml)
  t.match(await cli.gw('reload'), { code: 3, stderr: /gw\.yaml: is there no more, and was read before; put it back/ })
  t.equal((await scrape('none')).status, 401, 'whoever takes the file away did not ask for the defaults')
  await configure('')
  t.equal((await cli.gw('reload')).code, 0)
  t.strictSame(await (await fetch(`${gw.daemon.opsUrl}/readyz`)).json(), { status: 'ok', degraded: [] })
})

t.test('what the books do when their disk is full is reloaded, though they are older than the gateway', async t => {
  const { gw, cli, configure } = await reloadable(t, '')
  const answers = async (status: number) =>
    until(t, `it answers ${status}`, async () => (await gw.send(hello())).status === status)
  const apply = async (yaml: string) => {
    await configure(yaml)
    t.equal((await cli.gw('reload')).code, 0)
  }
  await answers(200)
  await apply('billing.min_free_disk: 1024GB\n')
  await answers(503)
  await apply('billing.min_free_disk: 1024GB\nbilling.disk_full: serve\n')
  await answers(200)
  await apply('billing.disk_full: refuse\n')
  await answers(200)
})

t.test(
  'what Postgres keeps from being done is told until it is done, and what was asked last is done last',
  async t => {
    const { gw, cli, configure, file } = await reloadable(t, '')
    const { db } = gw.database
    const readyz = async () => (await fetch(`${gw.daemon.opsUrl}/readyz`)).json() as Promise<{ degraded: string[] }>
    const release = Promise.withResolvers<void>()
    const held = Promise.withResolvers<void>()
    const holding = db.transaction().execute(async tx => {
      await sql`lock table alert_rules`.execute(tx)
      held.resolve()
      await release.promise
    })
    await held.promise
    for (const name of ['first', 'second']) {
      await file(`${name}.yaml`, `rules:\n  - {name: ${name}, metric: error_rate, op: ">", threshold: 99}\n`)
      await configure(`alerts.file: ../${name}.yaml\n`)
      t.match(await cli.gw('reload'), {
        code: 8,
        stderr: /^alerts\.file: no answer within 2000 ms; it is still waited for$/m,
      })
      matchAll(t, (await readyz()).degraded, [
        /^configuration: not all of the last reload is done: alerts\.file: no answer/,
      ])
    }
    release.resolve()
    await holding
    await until(t, 'nothing is left to be done', async () => (await readyz()).degraded.length === 0)
    const rules = await db.selectFrom('alert_rules').select('name').where('source', '=', 'file').execute()
    t.strictSame(rules, [{ name: 'second' }])
  },
)

t.test('100 reloads, 30 of them of what is wrong, under 200 streams: none fails, none is dropped', async t => {
  const { gw, configure } = await reloadable(t, '', {
    accounts: [{ script: [...Array(200).fill({ hold: 3, chunks: ['a', 'b', 'c', 'd'] }), { chunks: ['a', 'b'] }] }],
  })
  const control = controlClient(gw.config['control.socket'])
  const stream = async () => {
    const reply = await gw.send(hello({ stream: true }))
    return { status: reply.status, text: await reply.text() }
  }
  const streams = Array.from({ length: 200 }, stream)
  await until(t, 'all are under way', () => gw.mock.stats().holding === 200)
  const levels = ['log.level: warn', 'timeouts.idle: 90s', 'limits.body: 1MB\nlimits.headers: 64KB', 'usage.batch: 9']
  let refused = 0
  for (let n = 0; n < 100; n++) {
    const wrong = n % 10 < 3
    await configure(wrong ? `timeouts.idle: 1ms\nlimits.body: much${n}\n` : `${levels[n % 4]}\n`)
    // One more comes and goes under each.
    if (n % 2 === 0) streams.push(stream())
    await control.post('/reload').then(
      () => t.notOk(wrong, `${n} is right`),
      (error: Error) => {
        t.match(error.message, new RegExp(`^\\S+gw\\.yaml:2:14 limits\\.body: .*much${n}`))
        refused++
      },
    )
  }
  t.equal(refused, 30)
  t.equal(gw.mock.stats().holding, 200, 'those that were there are there')
  gw.mock.release()
  const ends = await Promise.all(streams)
  const bad = ends.filter(({ status, text }) => status !== 200 || !/event: message_stop\ndata: .*\n\n$/.test(text))
  t.strictSame(bad, [])
  t.equal(ends.length, 250)
  matchAll(t, gw.mock.stats(), { aborted: 0, inFlight: 0 })
})
