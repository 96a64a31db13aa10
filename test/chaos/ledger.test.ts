// Thousands of requests, faulty upstreams, clients that leave, a daemon killed again and again, a database that comes and goes:
// what was answered is in the books once, to the unit. And two nodes never spend a balance twice, nor leave any of it unspent.
import { execFile } from 'node:child_process'
import http from 'node:http'
import path from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { sql } from 'kysely'
import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { move } from '../../src/core/books/ledger.ts'
import { addAccount } from '../../src/core/record/account.ts'
import { addGroup, type NewGroup } from '../../src/core/record/group.ts'
import { createKey } from '../../src/core/record/key.ts'
import { assignSubscription } from '../../src/core/record/subscription.ts'
import { addUser } from '../../src/core/record/user.ts'
import { type Database, openDatabase } from '../../src/db/connect.ts'
import { formatUsd } from '../../src/lib/money.ts'
import { openSecret } from '../../src/lib/secret.ts'
import { type Mock, type Seen, startMock } from '../../src/mock/server.ts'
import type { Step, Usage } from '../../src/mock/step.ts'
import { dataDir, type Served, serve, setUp, spool } from '../helpers/daemon.ts'
import { freshDatabase } from '../helpers/database.ts'
import { hello, until } from '../helpers/gateway.ts'
import { startTwo } from '../helpers/nodes.ts'
import { chargedOf, costOf, nano, worstOf } from '../helpers/oracle.ts'
import { outageOf } from '../helpers/outage.ts'
import { redisMissing } from '../helpers/redis.ts'

const REQUESTS = Number(process.env['GW_CHAOS_REQUESTS'] ?? 1_200)
const SEED = Number(process.env['GW_CHAOS_SEED'] ?? 4)
const AT_ONCE = 32
const ACCOUNTS = 24

/** The same numbers in every run (Lehmer's generator, MINSTD). */
function seeded(seed: number): () => number {
  let x = seed
  return () => (x = (x * 48_271) % 2_147_483_647) / 2_147_483_647
}

const random = seeded(SEED)
const below = (n: number) => Math.floor(random() * n)
const oneOf = <T>(list: readonly T[]): T => list[below(list.length)]!
const sometimes = (share: number, value: () => number) => (random() < share ? value() : 0)

const models = ['claude-sonnet-5-5', 'claude-haiku-4-5', 'claude-sonnet-4-5', 'claude-haiku-5-5', 'claude-opus-5-5']

function anyUsage(): Partial<Usage> {
  return {
    // Some prompts are beyond the tiers, whatever was sent.
    input_tokens: random() < 0.05 ? 99_990 + below(200_000) : 1 + below(3_000),
    // Never 0: beside the text of every answer here, that would be a count that nobody made.
    output_tokens: 1 + below(600),
    ephemeral_5m_input_tokens: sometimes(0.3, () => below(2_000)),
    ephemeral_1h_input_tokens: sometimes(0.2, () => below(2_000)),
    cache_read_input_tokens: sometimes(0.4, () => below(20_000)),
    web_search_requests: sometimes(0.1, () => below(4)),
    // Every model has a rate for it; one that has none is flagged.
    service_tier: random() < 0.1 ? 'batch' : '',
  }
}

function anyStep(): Step {
  const roll = random()
  const step: Step = { usage: anyUsage(), chunks: ['some ', 'honest ', 'answer'] }
  if (random() < 0.5) Object.assign(step, { delayMs: below(60), gapMs: below(12) })
  if (roll < 0.04) step.status = oneOf([529, 503, 400])
  else if (roll < 0.1) step.reset = oneOf(['start', 0, 1, 3, 4, 6] as const)
  else if (roll < 0.14) Object.assign(step, { errorAt: below(7), status: 529 })
  else if (roll < 0.17) step.end = 1 + below(6)
  else if (roll < 0.22) step.drip = { bytes: 150, everyMs: 4 }
  return step
}

interface Payer {
  user: number
  group: string
  multiplier: string
  keys: string[]
}

const OPENING = nano('100000')

/** Two who pay by balance, under different multipliers, and one with a subscription; two keys each. */
async function populate({ db }: Database, secret: ReturnType<typeof openSecret>, mock: Mock): Promise<Payer[]> {
  const groups: Record<string, NewGroup> = {
    main: { name: 'main', platform: 'anthropic' },
    dear: { name: 'dear', platform: 'anthropic', multiplier: '1.2345' },
    flat: { name: 'flat', platform: 'anthropic', billing: 'subscription', monthly_limit: OPENING },
  }
  for (const group of Object.values(groups)) await addGroup(db, { on_disconnect: 'drain', drain_ms: 20_000, ...group })
  for (let n = 1; n <= ACCOUNTS; n++)
    await addAccount(db, secret, {
      name: `a${n}`,
      platform: 'anthropic',
      type: 'apikey',
      credential: `cred-a${n}`,
      base_url: mock.url,
      concurrency: 0,
      priority: 50,
      groups: Object.keys(groups),
    })
  const payers: Payer[] = []
  for (const [name, group] of [
    ['alice', 'main'],
    ['bob', 'main'],
    ['carol', 'dear'],
    ['dave', 'flat'],
  ] as const) {
    const { id } = await addUser(db, { name, concurrency: 0, balance: OPENING })
    if (group === 'flat') await assignSubscription(db, { user: name, group, days: 30 })
    const keys: string[] = []
    for (const nth of [1, 2])
      keys.push((await createKey(db, secret, { user: name, group, name: `${name}-${nth}`, valuePrefix: 'sk-' })).key)
    // A subscription counts at list price.
    payers.push({ user: id, group, multiplier: groups[group]!.multiplier ?? '1', keys })
  }
  return payers
}

/** What a client saw of its request. */
interface Heard {
  n: number
  payer: Payer
  model: string
  /** gw's id of it, if a head came */
  id: string | undefined
  status: number | undefined
  /** what gw refused it with */
  code: string | undefined
  /** the answer came to its end, and a good one */
  whole: boolean
}

type Leaving = 'stays' | 'at once' | 'at the head' | 'at the first bytes' | number

function ask(url: string, n: number, payer: Payer): Promise<Heard> {
  const [model, stream] = [oneOf(models), random() < 0.6]
  const leaving: Leaving =
    random() < 0.7 ? 'stays' : oneOf(['at once', 'at the head', 'at the first bytes', below(80), below(200)] as const)
  const body = JSON.stringify(hello({ model, stream, messages: [{ role: 'user', content: `request <${n}>` }] }))
  const headers = {
    'x-api-key': oneOf(payer.keys),
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  }
  return new Promise(resolve => {
    const heard: Heard = { n, payer, model, id: undefined, status: undefined, code: undefined, whole: false }
    const req = http.request(`${url}/v1/messages`, { method: 'POST', agent: false, headers })
    let text = ''
    const leave = () => req.destroy()
    const timer = typeof leaving === 'number' ? setTimeout(leave, leaving) : undefined
    req.on('close', () => {
      clearTimeout(timer)
      resolve(heard)
    })
    req.on('error', () => {})
    req.on('response', res => {
      heard.id = res.headers['x-request-id'] as string
      heard.status = res.statusCode
      if (leaving === 'at the head') leave()
      res.on('error', () => {})
      res.on('data', chunk => {
        text += chunk
        if (leaving === 'at the first bytes') leave()
      })
      res.on('end', () => {
        heard.code = /"code":"([A-Z_]+)"/.exec(text)?.[1]
        heard.whole = res.statusCode === 200 && (stream ? /event: message_stop\n.*\n\n$/.test(text) : res.complete)
      })
    })
    req.end(body, () => leaving === 'at once' && setImmediate(leave))
  })
}

t.test(`${REQUESTS} requests, come what may (seed ${SEED})`, { timeout: 500_000 + REQUESTS * 60 }, async t => {
  const mock = await startMock({ keep: REQUESTS * 10 })
  t.teardown(() => mock.close())
  mock.script('*', Array.from({ length: REQUESTS * 2 }, anyStep))
  const url = await freshDatabase(t)
  const outage = await outageOf(t, url)
  const dir = dataDir(t)
  const env = { GW_DATABASE_URL: outage.url, GW_USAGE_BATCH: '50', GW_USAGE_FLUSH_INTERVAL: '20ms' }
  let served = await serve(t, dir, env)
  const { config } = loadConfig({ env: { GW_DATABASE_URL: url }, flags: { data_dir: dir } })
  const database = await openDatabase(config, { migrate: false })
  t.teardown(() => database.close())
  const { db } = database
  const payers = await populate(database, openSecret(config['secret.key_file']), mock)
  await until(t, 'the daemon hears of the keys', async () => (await served.status()).keys === 2 * payers.length)

  const heards: Heard[] = []
  let [next, whole, goal] = [0, 0, Number.POSITIVE_INFINITY]
  let ready: Promise<unknown> = Promise.resolve()
  const client = async () => {
    while (next < goal) {
      const n = next++
      for (let tries = 1; ; tries++) {
        await ready
        const heard = await ask(served.url, n, oneOf(payers))
        heards.push(heard)
        if (heard.whole) whole++
        // Every account is out: do as an operator does who sees it (`gw account clear`), and try again in a while.
        if (heard.status === undefined || heard.status < 429 || tries === 50) break
        await db.deleteFrom('account_health').execute()
        await wait(20 * tries)
      }
    }
  }
  const reached = (share: number) =>
    until(t, `${share * 100} % were sent`, () => next >= share * REQUESTS, 60_000 + REQUESTS * 30)
  const booked = async () => Number((await sql<{ n: string }>`select count(*) as n from usage`.execute(db)).rows[0]!.n)
  /** What this daemon books it leaves in its file, for the next one to find; with what it did not come to book. */
  const someBooked = async () => {
    const before = await booked()
    await until(t, 'some of it is booked', async () => (await booked()) > before + 5, 30_000)
  }
  /** Requests go on without a database. */
  const without = async () => {
    await outage.down()
    const enough = whole + Math.max(40, REQUESTS / 40)
    await until(t, 'requests are answered without a database', () => whole >= enough, 30_000)
  }
  let kills = 0
  const kill = async () => {
    served.kill('SIGKILL')
    kills++
    await served.end()
  }
  const start = async () => {
    served = await serve(t, dir, env)
  }
  /** Clients wait until it is up again. */
  const killed = (meanwhile: () => unknown = () => {}) =>
    (ready = (async () => {
      await kill()
      await meanwhile()
      await start()
    })())
  const clients = Array.from({ length: AT_ONCE }, client)
  // When the last of the killed was dead: what the provider is asked after that is of a daemon that lives to the end.
  let dead = 0

  const acts = [
    async () => {
      await someBooked()
      await killed()
    },
    async () => {
      await without()
      await outage.up()
    },
    async () => {
      await someBooked()
      await without()
      await killed(outage.up)
    },
  ]
  // Of everything twice, and more of it where there is more.
  const many = Math.max(6, Math.min(18, Math.floor(REQUESTS / 600)))
  for (let act = 0; act < many; act++) {
    await reached((0.8 * (act + random())) / many)
    await acts[act % acts.length]!()
  }
  // As soon as it is up: what it found in the spool may be half booked.
  await killed(() => {
    dead = Date.now()
    goal = Math.max(REQUESTS, next + REQUESTS / 5)
  })
  await Promise.all(clients)

  await until(t, 'who left is read to the end', async () => (await served.live()).in_flight === 0, 30_000)
  const waiting = async () => /^gw_spool_lines (\d+)/m.exec(await (await fetch(`${served.opsUrl}/metrics`)).text())![1]
  await until(t, 'the spool is empty', async () => (await waiting()) === '0', 30_000)
  served.kill('SIGTERM')
  t.equal(await served.end(), 0)

  t.equal(spool(dir), '', 'no line was set aside')

  const load = () =>
    Promise.all([
      db.selectFrom('usage').selectAll().execute(),
      db.selectFrom('ledger').selectAll().orderBy('seq').execute(),
    ])
  const [rows, entries] = await load()
  const seen = new Map(mock.stats().bodies.map(one => [one.id, one]))
  const row = new Map(rows.map(row => [row.request_id, row]))
  const entriesOf = Map.groupBy(entries, entry => entry.entry_id)
  t.equal(row.size, rows.length, 'no request is there twice')

  const usageOf = ({ usage }: Seen) => usage!
  const tokens = (usage: Usage) => ({
    input_tokens: usage.input_tokens,
    output_tokens: usage.output_tokens,
    cache_write_5m_tokens: usage.ephemeral_5m_input_tokens,
    cache_write_1h_tokens: usage.ephemeral_1h_input_tokens,
    cache_read_tokens: usage.cache_read_input_tokens,
    web_searches: usage.web_search_requests,
  })
  const wrong: unknown[] = []
  const check = (holds: boolean, ...what: unknown[]) => holds || wrong.push(what)

  // Who saw the end of an answer pays for it what its provider told.
  for (const { n, id, payer, model, whole } of heards) {
    if (!whole) continue
    const booked = row.get(id!)
    const answer = seen.get(booked?.upstream_request_id ?? '')
    if (!booked || !answer?.usage) {
      wrong.push(['answered and not in the books', n, id, booked, answer])
      continue
    }
    check(answer.body!.includes(`<${n}>`), 'billed for the answer of another', n, booked, answer)
    const cost = costOf(model, answer.usage)
    const charged = chargedOf(cost, payer.group === 'flat' ? '1' : payer.multiplier)
    const { user_id, partial, status } = booked
    check(user_id === payer.user && !partial && status === 200, 'not as it was', n, booked)
    check(booked.cost === cost && booked.charged === charged, 'not to the unit', n, booked, answer)
    for (const [field, count] of Object.entries(tokens(usageOf(answer))))
      check(booked[field as 'input_tokens'] === count, field, n, booked, answer)
  }

  // No row is of nothing, and what was told in full is charged so, whether anybody heard it or not.
  const billed = new Set<string>()
  for (const booked of rows) {
    const { upstream_request_id: id, charged, request_id } = booked
    const answer = seen.get(id ?? '')
    if (id === null) check(booked.partial && booked.status === 499, 'a row of no answer', booked)
    else {
      check(answer !== undefined && answer.status === 200, 'a row of an answer that nobody gave', booked, answer)
      check(!billed.has(id), 'an answer billed twice', booked)
      billed.add(id)
    }
    if (answer?.usage) check(booked.cost === costOf(booked.model, answer.usage), 'not as told', booked, answer)
    else check(booked.partial, 'a guess that is not flagged', booked, answer)
    const mine = entriesOf.get(request_id) ?? []
    check(mine.length === (charged === 0n ? 0 : 1), 'not once in the ledger', booked, mine)
    for (const entry of mine)
      check(entry.amount === -charged && entry.user_id === booked.user_id, 'not what the row says', booked, entry)
  }

  // Since nobody was killed: every answer that was told in full is billed, also those that nobody waited for.
  const late = [...seen.values()].filter(one => one.at > dead && one.usage)
  for (const one of late) check(billed.has(one.id), 'told in full and not billed', one)
  for (const one of seen.values())
    if (one.at > dead && (one.status ?? 200) === 200)
      check(one.outcome !== 'aborted', 'left by the gateway, whose clients pay all the same', one)
  t.strictSame(wrong.slice(0, 5), [], `${wrong.length} differences`)

  const sum = (amounts: bigint[]) => amounts.reduce((a, b) => a + b, 0n)
  const balances = new Map((await db.selectFrom('balances').selectAll().execute()).map(b => [b.user_id, b.balance]))
  for (const { user, group } of payers) {
    const ofUsage = sum(rows.filter(one => one.user_id === user).map(one => one.charged))
    const kind = group === 'flat' ? 'subscription' : 'charge'
    const ofLedger = sum(entries.filter(e => e.user_id === user && e.kind === kind).map(e => e.amount))
    t.ok(ofUsage > 0n && ofLedger === -ofUsage, `user ${user}: ledger ${ofLedger}, usage ${ofUsage}`)
    t.equal(balances.get(user), group === 'flat' ? OPENING : OPENING - ofUsage, 'and the balance agrees')
    if (group !== 'flat') continue
    const used = await db.selectFrom('subscription_usage').select('month_used').executeTakeFirstOrThrow()
    t.equal(used.month_used, ofUsage, 'and so does the month of the subscription')
  }
  const rolled = await sql<{ requests: string; charged: string }>`
    select sum(requests)::text as requests, sum(charged)::text as charged from usage_day`.execute(db)
  t.strictSame(
    rolled.rows,
    [{ requests: `${rows.length}`, charged: `${sum(rows.map(one => one.charged))}` }],
    'the sums agree',
  )
  const gw = path.join(import.meta.dirname, '../../bin/gw')
  const verified = await promisify(execFile)(gw, ['ledger', 'verify', '--data-dir', dir], {
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], GW_DATABASE_URL: url },
  })
  t.match(verified.stdout, 'the books agree')

  // Once more: what is left of the spool's files says nothing new.
  await start()
  await until(t, 'the spool is empty', async () => (await waiting()) === '0', 30_000)
  served.kill('SIGTERM')
  t.equal(await served.end(), 0)
  t.strictSame(
    (await load()).map(list => list.length),
    [rows.length, entries.length],
    'nothing is booked again',
  )

  const ended = Object.groupBy(heards, ({ whole, status, code = '' }) =>
    whole ? 'whole' : `${status ?? 'no answer'} ${code}`.trim(),
  )
  t.comment(
    Object.entries(ended)
      .map(([how, list]) => `${how}: ${list!.length}`)
      .join(', '),
  )
  t.comment(
    `${heards.length} requests, ${kills} kills: ${whole} answers seen to their end, ${rows.length} rows (${rows.filter(one => one.status === 499).length} of clients that left, ` +
      `${rows.filter(one => one.partial).length} partial), ${late.length} told in full after the last kill, ` +
      `${seen.size} requests at the provider, ${sum(rows.map(one => one.charged))} nano-USD`,
  )
})

const skip = await redisMissing()

t.test('two nodes spend one balance to the last request that fits, and never beyond', { skip }, async t => {
  const { mock, redis, url, dir, one, two } = await startTwo(t, { record: false })
  const nodes = [one, two]

  // Eight fit beside each other at first; each costs a small part of what is put aside for it.
  const body = hello()
  const worst = worstOf(body)
  const cost = 7n * 2_000n + 1n * 10_000n
  const atOnce = 8
  const opening = BigInt(atOnce) * worst + 12_345n
  const fit = Number((opening - worst) / cost) + 1
  const usage = { input_tokens: 7, output_tokens: 1 }
  const key = await setUp(t, one, dir, url, mock, { user: { balance: formatUsd(opening) } })
  await until(t, 'the other hears of the key', async () => (await two.status()).keys === 1)
  const { config } = loadConfig({ env: { GW_DATABASE_URL: url }, flags: { data_dir: dir } })
  const database = await openDatabase(config, { migrate: false })
  t.teardown(() => database.close())
  const { db } = database

  const post = async (node: Served) => {
    const reply = await fetch(`${node.url}/v1/messages`, {
      method: 'POST',
      headers: { 'x-api-key': key, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(30_000),
    })
    return `${reply.status} ${/"code":"([A-Z_]+)"/.exec(await reply.text())?.[1] ?? ''}`.trim()
  }
  const answers = new Map<string, number>()
  const ask = async (node: Served) => {
    const said = await post(node)
    answers.set(said, (answers.get(said) ?? 0) + 1)
    return said === '200'
  }
  const rounds = async (n: number, most: number) => {
    for (let round = 0; round < most; round++) {
      const admitted = await Promise.all(Array.from({ length: n }, (_, i) => ask(nodes[i % 2]!)))
      if (!admitted.includes(true)) return
    }
  }
  const served = () => answers.get('200') ?? 0
  const balance = async () => (await db.selectFrom('balances').select('balance').executeTakeFirstOrThrow()).balance
  const purse = redis.client()
  const holders = async () =>
    (
      await Promise.all(
        (
          await purse.keys('*user:1*')
        ).map(name => purse.type(name).then(type => (type === 'hash' ? purse.hkeys(name) : []))),
      )
    )
      .flat()
      .filter(field => field.startsWith('hold '))
  const settled = async () => {
    await until(t, 'all is booked, and nothing is held', async () => (await holders()).length === 0)
    t.equal(await balance(), opening - BigInt(served()) * cost, 'the balance is what is left')
  }

  mock.script('*', { hold: 'start', usage })
  const first = rounds(200, 1)
  await mock.until(s => s.holding === atOnce, undefined, 20_000)
  await until(t, 'the others are refused', () => [...answers.values()].reduce((a, b) => a + b, 0) === 200 - atOnce)
  mock.script('*', { delayMs: 3, usage })
  mock.release()
  await first
  t.equal(served(), atOnce, 'as many as fit beside each other')
  await rounds(200, 3)
  await rounds(24, 2 * fit)
  await settled()
  // Who came last may have come too early, for what another was about to give back.
  await rounds(2, fit)
  await settled()
  t.equal(served(), fit, `${[...answers].map(([said, n]) => `${said}: ${n}`).join(', ')}`)
  t.ok(mock.stats().maxConcurrency <= atOnce, `${mock.stats().maxConcurrency} at once`)
  const lowest = await db
    .selectFrom('ledger')
    .select(eb => eb.fn.min('balance').as('balance'))
    .executeTakeFirstOrThrow()
  t.equal(lowest.balance, opening - BigInt(fit) * cost, 'no entry was ever below the last')
  t.ok(lowest.balance >= 0n && lowest.balance < worst)

  // One nano-USD decides, on both nodes at once.
  const set = async (to: bigint) => {
    await move(db, { user: 1, amount: to - (await balance()), kind: 'adjustment' })
    for (const node of nodes)
      await until(t, 'the node knows', async () => {
        const reply = await fetch(`${node.url}/v1/usage`, { headers: { 'x-api-key': key } })
        return (await reply.text()).includes(`"remaining":${formatUsd(to)},`)
      })
  }
  mock.script('*', { hold: 'start', usage })
  await set(worst - 1n)
  for (const node of nodes) t.equal(await post(node), '403 INSUFFICIENT_BALANCE')
  await set(worst)
  answers.clear()
  const last = rounds(50, 1)
  await mock.until(s => s.holding === 1)
  await until(t, 'the others are refused', () => answers.get('429 MONEY_HELD') === 49)
  mock.release()
  await last
  t.strictSame(Object.fromEntries(answers), { '429 MONEY_HELD': 49, '200': 1 })
  await until(t, 'it is booked', async () => (await balance()) === worst - cost)
})
