// gw explain: what became of every request is known afterwards, whoever ended it and however, and agrees with usage and provider.
import http from 'node:http'
import t from 'tap'
import { story } from '../../src/cli/explain/story.ts'
import { controlClient } from '../../src/control/client.ts'
import { explain } from '../../src/core/explain/explain.ts'
import type { Explanation } from '../../src/core/explain/explanation.ts'
import { latest } from '../../src/core/explain/latest.ts'
import { createKey } from '../../src/core/record/key.ts'
import { addUser } from '../../src/core/record/user.ts'
import { formatUsd } from '../../src/lib/money.ts'
import { columns } from '../../src/lib/width.ts'
import { home } from '../cli/gw.ts'
import { dice } from '../core/usage-books.ts'
import { gateway, hello, only, type TestGateway, until } from '../helpers/gateway.ts'
import { matchAll } from '../helpers/match.ts'

/** As `gw explain` asks. */
const explained = (gw: TestGateway, id: string) =>
  controlClient(gw.config['control.socket']).post<Explanation>('/explain', { id })

async function asked(gw: TestGateway, ...request: Parameters<TestGateway['send']>): Promise<Explanation> {
  const reply = await gw.send(...request)
  await reply.text()
  return explained(gw, reply.headers.get('x-request-id')!)
}

const COUNT = Number(process.env['GW_TEST_EXPLAIN'] ?? 600)
const priced = 'claude-sonnet-4-5'

t.test('the story of a request', async t => {
  const gw = await gateway(t, {
    accounts: [
      ...only('over', { script: { status: 529 }, priority: 1 }, { priority: 2 }, { priority: 3 }),
      ...only('busy', { concurrency: 1, script: { hold: 'start' } }),
      ...only(priced, { name: 'paid' }),
      ...only('translated', { name: 'translator' }),
    ],
  })

  await t.test('why this account, and not another', async t => {
    await gw.set.account('over-3', { priority: 4 })
    const e = await asked(gw, hello({ model: 'over', stream: true }))
    matchAll(t, e.choices[0], {
      how: 'look',
      chosen: 'over-1',
      candidates: [
        { account: 'over-1', rank: 1, priority: 1, in_flight: 0, chosen: true, veto: null },
        { account: 'over-2', rank: 2, priority: 2, in_flight: 0, chosen: false, veto: null },
        { account: 'over-3', rank: 3, priority: 4 },
        { account: 'busy-1', rank: null, veto: 'model not served' },
        { account: 'paid', rank: null, veto: 'model not served' },
        { account: 'translator', rank: null, veto: 'model not served' },
      ],
    })
    const first = e.attempts[0]!
    t.match(first, {
      account: 'over-1',
      status: 529,
      kind: 'overload',
      followed_by: 'another account was chosen',
      choice: 0,
    })
    t.equal(first.upstream_request_id, gw.mock.stats('cred-over-1').bodies[0]!.id)
    t.match(e, {
      status: 200,
      completion: 'complete',
      user: 'alice',
      group: 'main',
      path: '/v1/messages',
      stream: true,
    })
    // The account is well again; what is told of then stays.
    await gw.heal()
    const later = await explained(gw, e.request_id)
    t.strictSame(later.choices, e.choices)
    const text = story(later)
    for (const line of text.split('\n')) t.ok(columns(line) <= 80, line)
    const order = ['over-1 was chosen', 'asked over-1: 529', 'over-2 was chosen', 'asked over-2: 200', 'it ended: 200']
    const places = order.map(words => text.indexOf(words))
    t.ok(
      places.every((at, i) => at > (places[i - 1] ?? 0)),
      'in the order of events',
    )
  })

  await t.test('what it waits for, while it does, and how long it did', async t => {
    const holder = gw.send(hello({ model: 'busy' }))
    await gw.mock.until(s => s.holding === 1, 'cred-busy-1')
    const waiter = gw.send(hello({ model: 'busy' }))
    let id = ''
    await until(t, 'the second one waits', async () => {
      const [waiting] = await controlClient(gw.config['control.socket']).get<{ request_id: string }[]>('/queue')
      id = waiting?.request_id ?? ''
      return id !== ''
    })
    const open = await explained(gw, id)
    matchAll(t, open.waits, [{ for: 'account', now: true }])
    t.match(open, { state: 'under way', phase: 'queueing', status: null, settlement: 'none' })
    t.match(story(open), /still under way: queueing.*it waits for a place at any account/s)
    gw.mock.script('cred-busy-1', {})
    gw.mock.release('cred-busy-1')
    await Promise.all([holder.then(r => r.text()), waiter.then(r => r.text())])
    const e = await explained(gw, id)
    matchAll(t, e.waits, [{ for: 'account', now: false }])
    t.ok(e.waits[0]!.ms >= 0 && e.status === 200)
    t.match(
      e.choices[0]!.candidates.find(c => c.account === 'busy-1'),
      { veto: 'full', in_flight: 1, limit: 1 },
    )
    t.equal(e.choices.at(-1)!.chosen, 'busy-1')
  })

  await t.test('as a person asks', async t => {
    const { request_id } = await asked(gw, hello({ model: 'over' }))
    const dir = gw.config.data_dir
    const cli = await home(t, { GW_DATA_DIR: dir, GW_DATABASE_URL: gw.config['database.url']! })
    t.match(await cli.gw(`explain ${request_id}`), { code: 0, stdout: new RegExp(request_id), stderr: '' })
    t.match(await cli.json(`explain ${request_id} --data-dir ${dir}`), { request_id })
    t.match(await cli.gw('explain'), { code: 2, stdout: '', stderr: /which request\?/ })
    t.match(await cli.gw('explain --no-color --json'), { code: 2, stderr: /which request\?/ })
    t.match(await cli.gw(`explain ${request_id} --user alice`), { code: 2, stderr: /goes without --last/ })
    t.match(await cli.gw(`explain ${request_id} --last`), { code: 2, stderr: /goes without --last/ })
    const listed = await cli.json<{ request_id: string }[]>('explain --model over')
    t.ok(listed.some(one => one.request_id === request_id))
  })

  await t.test('what it cost and why, and what is linked to it', async t => {
    const e = await asked(gw, hello({ model: priced }))
    await until(t, 'it is booked', async () => (await explained(gw, e.request_id)).links!.usage !== null)
    const linked = await explained(gw, e.request_id)
    const row = (await gw.usage(1)).find(row => row.request_id === e.request_id)
    t.equal(e.cost, formatUsd(row!.cost))
    matchAll(t, linked.price, { source: `shipped:${priced}`, since: /^20/, multiplier: '1' })
    matchAll(t, linked.reserve, [{ of: 'balance', amount: /^\d+\.\d+$/ }])
    t.equal(linked.settlement, 'booked')
    t.match(linked.links, {
      usage: { cost: e.cost, charged: e.charged, partial: false },
      ledger: { kind: 'charge', amount: `-${e.charged}` },
      error: null,
    })
    t.strictSame(linked.not_known, [])
  })

  await t.test('what was lost in translation', async t => {
    const body = {
      model: 'translated',
      messages: [{ role: 'user', content: 'hello' }],
      seed: 7,
      logit_bias: { 1: 2 },
      n: 1,
    }
    const e = await asked(gw, body, { path: '/v1/chat/completions' })
    t.match(e.translation, { from: 'chat', to: 'messages' })
    t.ok(e.translation!.left_out.includes('seed'), String(e.translation!.left_out))
    t.match(story(e), /translated from chat to messages: left out .*seed/)
  })

  await t.test('an alert that was firing then, and the row in the error log', async t => {
    await gw.database.db
      .insertInto('alert_events')
      .values({
        ...{
          rule_id: null,
          rule: 'too many errors',
          severity: 'P1',
          title: 't',
          description: 'd',
          metric: 'error_rate',
        },
        ...{ op: '>', value: 9, threshold: 5, window_minutes: 1, fired_at: new Date(Date.now() - 60_000) },
      })
      .execute()
    gw.mock.script('cred-paid', { status: 400, error: { message: 'no such thing' } })
    const e = await asked(gw, hello({ model: priced }))
    t.match(e, { status: 400, settlement: 'released', usage: null, cost: null })
    matchAll(t, e.links!.alerts, [{ rule: 'too many errors', severity: 'P1', resolved_at: null }])
    await until(t, 'the error is in the log', async () => (await explained(gw, e.request_id)).links!.error !== null)
    const linked = await explained(gw, e.request_id)
    t.match(linked.links!.error, { owner: 'client', severity: 'P3' })
    t.match(story(linked), /error log .*P3.*alert .*too many errors was firing/s)
  })

  await t.test('over HTTP, with answers that help', async t => {
    const e = await asked(gw, hello({ model: 'nobody-has-it' }), { key: 'sk-nobody' })
    const get = async (id: string) => {
      const reply = await fetch(`${gw.daemon.opsUrl}/ops/explain/${id}`)
      return { status: reply.status, body: (await reply.json()) as Record<string, unknown> }
    }
    t.match(await get(e.request_id), {
      status: 200,
      body: { status: 401, code: 'INVALID_API_KEY', user: null },
    })
    t.match(await get('nonsense'), { status: 400, body: { error: /is no request id of gw's/ } })
    t.match(await get('01935b1e-7d1f-7abc-8def-0123456789ab'), {
      status: 404,
      body: { error: /is known.*remembers those since/ },
    })
  })
})

t.test('all of a chaotic mix is known, and agrees with usage and provider', async t => {
  const gw = await gateway(t, {
    user: { concurrency: 12 },
    config: { 'queue.seats': 500, 'queue.account_seats': 500, 'failover.max_switches': 3 },
    accounts: [
      // Each with models of its own, so that what one case does to accounts stays there.
      ...only('fine', { concurrency: 3, script: { gapMs: 2 } }, { concurrency: 3 }),
      ...only(
        'flaky',
        { script: [{ status: 529 }, {}, { reset: 'start' }, {}] },
        {},
        { script: [{ status: 500 }, {}] },
      ),
      ...only('down', { script: { status: 500 } }, { script: { status: 503 } }),
      ...only('breaks', { script: { reset: 3, gapMs: 1 } }),
      ...only('slow', { script: { delayMs: 15, gapMs: 8 }, concurrency: 4 }),
      ...only('refuses', { script: { status: 400 } }),
      ...only(priced, { script: { gapMs: 1 } }),
    ],
  })
  const { db } = gw.database
  await addUser(db, { name: 'poor', concurrency: 0, balance: 0n })
  const poor = await createKey(db, gw.secret, { user: 'poor', group: 'main', name: 'poor', valuePrefix: 'sk-' })
  const slowly = await createKey(db, gw.secret, {
    user: 'alice',
    group: 'main',
    name: 'slowly',
    rpm: 1,
    valuePrefix: 'sk-',
  })
  await gw.inForce()
  const random = dice(7)
  const pick = <T>(...of: T[]): T => of[Math.floor(random() * of.length)]!
  const agent = new http.Agent({ keepAlive: true, maxSockets: 60 })
  t.teardown(() => agent.destroy())
  let sent = 0
  let stayed = 0
  /** what clients saw, by the id they were told */
  const seen = new Map<string, number>()

  function request(): Promise<void> {
    const kind = pick(
      'fine',
      'fine',
      'fine',
      'flaky',
      'flaky',
      'down',
      'breaks',
      'slow',
      'slow',
      'refuses',
      priced,
      'chat',
      'bad',
      'key',
      'poor',
      'slowly',
      'unknown',
      'path',
      'models',
      'cut',
    )
    const model = ['chat', 'bad', 'key', 'poor', 'slowly', 'path', 'models', 'cut'].includes(kind) ? 'fine' : kind
    const stream = random() < 0.6
    let body = JSON.stringify(hello({ model: kind === 'poor' ? priced : model, stream }))
    if (kind === 'bad') body = body.slice(0, 30)
    const key = kind === 'key' ? 'sk-nobody' : kind === 'poor' ? poor.key : kind === 'slowly' ? slowly.key : gw.key
    const path =
      kind === 'chat'
        ? '/v1/chat/completions'
        : kind === 'path'
          ? '/v1/nothing'
          : kind === 'models'
            ? '/v1/models'
            : '/v1/messages'
    const patience = kind === 'cut' || (kind === 'slow' && random() < 0.7) || random() < 0.1 ? random() * 60 : undefined
    sent++
    if (patience === undefined) stayed++
    return new Promise(resolve => {
      const req = http.request(`${gw.url}${path}`, {
        method: kind === 'models' ? 'GET' : 'POST',
        ...(patience === undefined ? { agent } : { agent: false }),
        headers: {
          'x-api-key': key,
          'content-type': 'application/json',
          ...(kind === 'models' ? {} : { 'content-length': Buffer.byteLength(body) }),
        },
      })
      const timer = patience === undefined ? undefined : setTimeout(() => req.destroy(), patience)
      req.on('error', () => {})
      req.on('close', () => {
        clearTimeout(timer)
        resolve()
      })
      req.on('response', res => {
        seen.set(String(res.headers['x-request-id']), res.statusCode!)
        res.on('error', () => {})
        res.resume()
      })
      // Some never say all of it.
      if (kind === 'models') req.end()
      else if (kind === 'cut') req.write(body.slice(0, 20))
      else req.end(body)
    })
  }
  const client = async () => {
    while (sent < COUNT) await request()
  }
  await Promise.all(Array.from({ length: 30 }, client))
  agent.destroy()
  // A client may be gone before its connection is taken in. They are taken in in order: behind this one is none.
  sent++
  await (await fetch(`${gw.url}/v1/models`, { headers: { 'x-api-key': gw.key, connection: 'close' } })).text()
  await until(t, 'every request is over', () => gw.daemon.gateway.live.size === 0)
  await until(t, 'the books are done', () => gw.daemon.gateway.books.state().waiting === 0)
  const rows = await gw.usage(1)
  await explained(gw, rows[0]!.request_id)

  const { found: all } = await latest(gw.config['data_dir'], {}, 100_000)
  // Of a client that left before it had said anything there was no request; all others have an answer.
  t.ok(
    all.length <= sent && all.length >= seen.size && seen.size >= stayed,
    `${all.length} of ${sent}, ${seen.size} answered`,
  )
  const byId = new Map(all.map(e => [e.request_id, e]))
  t.equal(byId.size, all.length, 'each once')
  const wrong: string[] = []
  const same = (what: string, id: string, a: unknown, b: unknown) => {
    if (JSON.stringify(a) !== JSON.stringify(b))
      wrong.push(`${id} ${what}: ${JSON.stringify(a)} is not ${JSON.stringify(b)}`)
  }

  for (const [id, status] of seen) {
    const e = byId.get(id)
    if (!e) wrong.push(`${id}: nothing is known of it`)
    // Who left saw the head first.
    else if (e.status !== 499 && status !== e.status && e.completion !== 'partial') same('status', id, e.status, status)
  }
  const counts: Record<string, number> = {}
  for (const e of all) {
    counts[e.code ?? e.status!] = (counts[e.code ?? e.status!] ?? 0) + 1
    if (e.status! >= 400 && e.code === null && e.attempts.length === 0)
      wrong.push(`${e.request_id}: ${e.status} for no reason`)
    for (const attempt of e.attempts) {
      const choice = e.choices[attempt.choice ?? -1]
      if (choice?.chosen !== attempt.account) wrong.push(`${e.request_id}: ${attempt.account} was asked and not chosen`)
    }
    // Each line of it can be told, within a terminal.
    for (const line of story(e).split('\n')) if (columns(line) > 80) wrong.push(`too wide: ${line}`)
  }

  for (const row of rows) {
    const e = byId.get(row.request_id)
    if (!e) {
      wrong.push(`${row.request_id}: a usage row without an explanation`)
      continue
    }
    same('settlement', e.request_id, e.settlement, 'booked')
    same('money', e.request_id, [e.cost, e.charged], [formatUsd(row.cost), formatUsd(row.charged)])
    same(
      'tokens',
      e.request_id,
      [e.usage!.input_tokens, e.usage!.output_tokens, e.usage!.partial],
      [row.input_tokens, row.output_tokens, row.partial],
    )
    same('account', e.request_id, e.attempts.at(-1)!.account, row.account)
    same(
      'user',
      e.request_id,
      [e.user, e.key, e.group, e.model, e.stream],
      [row.user, row.key, row.group, row.model, row.stream],
    )
  }
  same('usage rows', 'all', all.filter(e => e.settlement === 'booked').length, rows.length)

  // The provider's own record: each of its requests is an attempt, at the account whose credential it had.
  const attempts = new Map(all.flatMap(e => e.attempts.map(a => [a.upstream_request_id, a] as const)))
  // Whose client left before the head came has no id of theirs.
  const nameless = all.flatMap(e => e.attempts.filter(a => a.upstream_request_id === null)).map(a => a.account)
  for (const { id, credential, status } of gw.mock.stats().bodies) {
    const ours = attempts.get(id)
    if (ours) {
      same('credential', id, gw.credential(ours.account), credential)
      if (ours.error === '') same('upstream status', id, ours.status, status)
    } else {
      const at = nameless.findIndex(account => gw.credential(account) === credential)
      if (at === -1) wrong.push(`${id} of ${credential}: no attempt tells of it`)
      else nameless.splice(at, 1)
    }
  }
  t.strictSame(wrong.slice(0, 20), [])
  t.comment(JSON.stringify(counts))
  for (const code of [
    '200',
    'CLIENT_GONE',
    'INVALID_API_KEY',
    'BODY_INVALID',
    'KEY_RATE_LIMITED',
    'INSUFFICIENT_BALANCE',
    'NO_UPSTREAM',
    'UPSTREAM_BROKE',
    'NOT_FOUND',
  ])
    t.ok(counts[code], `some ended with ${code}`)
  t.ok(
    all.some(e => e.waits.some(w => w.for === 'account')) && all.some(e => e.waits.some(w => w.for === 'user')),
    'some waited',
  )

  await t.test('on another node it is pieced together from rows', async t => {
    const elsewhere = { dataDir: `${gw.config['data_dir']}/elsewhere`, keepMs: 86_400_000, db, now: Date.now() }
    const row = rows.find(row => row.model === priced)!
    const e = await explain(row.request_id, elsewhere)
    t.match(e, {
      source: 'database',
      user: 'alice',
      account: undefined,
      cost: formatUsd(row.cost),
      settlement: 'booked',
    })
    t.match(e.not_known[0], /another one served it/)
    t.match(story(e), /not known +It is in no file of this node/)
    const failed = all.find(e => e.model === 'down' && e.attempts.length > 1)!
    await until(
      t,
      'its error is in the log',
      async () => (await explain(failed.request_id, elsewhere).catch(() => undefined)) !== undefined,
    )
    const pieced = await explain(failed.request_id, elsewhere)
    t.strictSame(
      pieced.attempts.map(a => a.account),
      failed.attempts.map(a => a.account),
    )
    t.match(pieced, { status: failed.status, code: failed.code, user: 'alice', usage: null })
  })
})
