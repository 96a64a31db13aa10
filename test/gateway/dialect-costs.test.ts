// What every dialect costs on every platform, however it goes: the upstream's own count, and of what was not told a guess that is flagged.
import t, { type Test } from 'tap'
import { setAccount } from '../../src/core/record/account.ts'
import { audit } from '../../src/core/record/audit.ts'
import { addGroup } from '../../src/core/record/group.ts'
import { createKey } from '../../src/core/record/key.ts'
import { assignSubscription } from '../../src/core/record/subscription.ts'
import type { DialectName } from '../../src/dialect/dialect.ts'
import type { Seen } from '../../src/mock/server.ts'
import { noCounts } from '../../src/mock/stats.ts'
import type { Step, Usage } from '../../src/mock/step.ts'
import { gateway, type TestGateway, until } from '../helpers/gateway.ts'
import { type Lane, laneCredential, laneNames, lanes, platformOf } from '../helpers/lanes.ts'
import { chargedOf, costOf, nano, tokensOf } from '../helpers/oracle.ts'

const MULTIPLIER = '1.5'

/** How a client asks: path, headers and body. */
const clients: Record<
  DialectName,
  (key: string, model: string, stream: boolean) => [path: string, headers: Record<string, string>, body: object]
> = {
  messages: (key, model, stream) => [
    '/v1/messages',
    { 'x-api-key': key },
    { model, stream, max_tokens: 400, messages: [{ role: 'user', content: 'hello' }] },
  ],
  chat: (key, model, stream) => [
    '/v1/chat/completions',
    { authorization: `Bearer ${key}` },
    { model, stream, max_completion_tokens: 400, messages: [{ role: 'user', content: 'hello' }] },
  ],
  responses: (key, model, stream) => [
    '/v1/responses',
    { authorization: `Bearer ${key}` },
    { model, stream, max_output_tokens: 400, input: 'hello' },
  ],
  gemini: (key, model, stream) => [
    `/v1beta/models/${model}:${stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`,
    { 'x-goog-api-key': key },
    { contents: [{ role: 'user', parts: [{ text: 'hello' }] }], generationConfig: { maxOutputTokens: 400 } },
  ],
}

/** Of each lane: a model with a price, and after how many events of it some content is out. */
const upstreams: Record<Lane, { model: string; mid: number }> = {
  anthropic: { model: 'claude-sonnet-5-5', mid: 4 },
  'openai-chat': { model: 'gpt-6-sol', mid: 3 },
  'openai-responses': { model: 'gpt-6-sol', mid: 6 },
  gemini: { model: 'gemini-3.6-flash', mid: 2 },
  antigravity: { model: 'gemini-3.6-flash', mid: 2 },
}

const said: Step = {
  chunks: ['some forty ', 'bytes of ', 'an honest ', 'answer', ' ...'],
  usage: {
    ...{ input_tokens: 30, output_tokens: 50, cache_read_input_tokens: 13 },
    ...{ ephemeral_5m_input_tokens: 3, ephemeral_1h_input_tokens: 5, ttl_30m_tokens: 7, ttl_12h_tokens: 11 },
  },
}

interface Way {
  name: string
  first: Step
  second?: Step
  /** the client leaves where the first holds */
  leaves?: boolean
  expect: 'exact' | 'partial' | 'nothing'
}

const overloaded: Step = { status: 529 }
const ways = (stream: boolean, mid: number): Way[] => [
  { name: 'it stays', first: {}, expect: 'exact' },
  { name: 'another account answers', first: overloaded, second: {}, expect: 'exact' },
  { name: 'nobody answers', first: overloaded, second: overloaded, expect: 'nothing' },
  { name: 'it leaves before the head', first: { hold: 'start' }, leaves: true, expect: 'partial' },
  ...(stream
    ? ([
        { name: 'it leaves mid-stream', first: { hold: mid }, leaves: true, expect: 'partial' },
        { name: 'a reset mid-stream', first: { reset: mid }, expect: 'partial' },
        { name: 'an end mid-stream', first: { end: mid }, expect: 'partial' },
        { name: 'an error mid-stream', first: { errorAt: mid, ...overloaded }, expect: 'partial' },
        { name: 'an error before anything', first: { errorAt: 0, ...overloaded }, second: {}, expect: 'exact' },
      ] satisfies Way[])
    : ([
        { name: 'it leaves half-way', first: { hold: 1 }, leaves: true, expect: 'partial' },
        { name: 'a reset half-way, then another', first: { reset: 1 }, second: {}, expect: 'exact' },
      ] satisfies Way[])),
]

interface Case {
  what: string
  model: string
  lane: Lane
  expect: Way['expect']
}

let cases = 0

async function go(t: Test, gw: TestGateway, lane: Lane, key: string, client: DialectName, way: Way, stream: boolean) {
  const model = `${upstreams[lane].model}-${20_000_000 + ++cases}`
  const what = `${client} on ${lane}, ${stream ? 'stream' : 'whole'}: ${way.name}`
  const [one, two] = [laneCredential(lane, 0), laneCredential(lane, 1)]
  gw.mock.script(one, { ...said, ...way.first })
  gw.mock.script(two, { ...said, ...(way.second ?? overloaded) })
  const [path, headers, body] = clients[client](key, model, stream)
  const leave = new AbortController()
  const reply = fetch(gw.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
    signal: leave.signal,
  }).then(
    async reply => `${reply.status} ${await reply.text().catch(() => 'broken')}`,
    () => 'left',
  )
  if (way.leaves) {
    await gw.mock.until(s => s.holding === 1, one, 20_000)
    const { aborted } = gw.mock.stats(one)
    leave.abort()
    await gw.mock.until(s => s.aborted > aborted, one, 5_000)
  }
  const text = await reply
  if (way.expect === 'exact') t.match(text, /^200 .*/s, `${what}: ${text.slice(0, 300)}`)
  if (way.expect === 'exact') t.match(text, / \.\.\./, `${what}: the answer is whole`)
  await gw.heal()
  return { what, model, lane, expect: way.expect }
}

async function agrees(t: Test, gw: TestGateway, all: Case[]): Promise<void> {
  const { db } = gw.database
  const { wallet } = gw.daemon.gateway
  await until(t, 'nothing is put aside', () => wallet.size() === 0)
  await gw.usage(all.filter(({ expect }) => expect !== 'nothing').length)
  const rows = Map.groupBy(await db.selectFrom('usage').selectAll().execute(), row => row.model)
  const entries = Map.groupBy(await db.selectFrom('ledger').selectAll().execute(), entry => entry.entry_id)
  // A model's name is of one case alone, whatever an upstream calls it.
  const seen = new Map<string, Seen>()
  for (const one of gw.mock.stats().bodies) if (one.usage) seen.set(/\d{8}/.exec(one.model)?.[0] ?? '', one)
  let spent = 0n
  for (const { what, model, lane, expect } of all) {
    const [row, ...others] = rows.get(model) ?? []
    if (expect === 'nothing') {
      t.equal(row, undefined, `${what}: no row`)
      continue
    }
    if (!row || others.length > 0) {
      t.fail(`${what}: ${row ? others.length + 1 : 0} rows`)
      continue
    }
    spent += row.charged
    const counted: Usage = {
      ...noCounts,
      ...{ input_tokens: row.input_tokens, output_tokens: row.output_tokens, service_tier: row.mode ?? '' },
      ephemeral_5m_input_tokens: row.cache_write_5m_tokens,
      ttl_30m_tokens: row.cache_write_30m_tokens,
      ephemeral_1h_input_tokens: row.cache_write_1h_tokens,
      ttl_12h_tokens: row.cache_write_12h_tokens,
      cache_read_input_tokens: row.cache_read_tokens,
    }
    const cost = costOf(model, counted)
    t.same([row.cost, row.charged], [cost, chargedOf(cost, MULTIPLIER)], `${what}: what its tokens cost, to the unit`)
    t.equal(row.partial, expect === 'partial', `${what}: flagged or not`)
    t.equal(row.platform, lane.split('-')[0], what)
    if (expect === 'exact') {
      const usage = seen.get(model.slice(-8))?.usage
      if (!usage) t.fail(`${what}: its provider did not tell it in full`)
      else t.same(tokensOf(counted), tokensOf(usage), `${what}: the upstream's own count`)
    } else t.ok(row.input_tokens > 0 && row.output_tokens <= 400, `${what}: a guess within what was asked`)
    const booked = (entries.get(row.request_id) ?? []).map(({ kind, amount }) => [kind, amount])
    t.same(booked, [['charge', -row.charged]], `${what}: the ledger has it once`)
  }
  t.equal(rows.size, all.filter(({ expect }) => expect !== 'nothing').length, 'no row but these')
  const { balance } = await db.selectFrom('balances').select('balance').executeTakeFirstOrThrow()
  t.equal(balance, nano('1000') - spent, 'the balance is what is left')
}

t.test('what is put aside covers what a platform writes into its cache, asked or not', async t => {
  const gw = await gateway(t, { user: { balance: '0.000001' } })
  const keys = await lanes(gw, { group: { unknown_model: 'reject', multiplier: MULTIPLIER } })
  // The dearest bucket of a prompt, by platform and client: OpenAI writes unasked, Claude is asked to, and of OpenAI's half an hour it makes one.
  const dearest: Record<string, Partial<Record<DialectName, keyof Usage>>> = {
    anthropic: {
      ...{ messages: 'ephemeral_5m_input_tokens', gemini: 'ephemeral_5m_input_tokens' },
      ...{ chat: 'ephemeral_1h_input_tokens', responses: 'ephemeral_1h_input_tokens' },
    },
    openai: {},
    gemini: {},
    antigravity: {},
  }
  for (const lane of laneNames)
    for (const client of Object.keys(clients) as DialectName[]) {
      const { model } = upstreams[lane]
      const [path, headers, body] = clients[client](keys[lane], model, false)
      const text = JSON.stringify(body)
      const reply = await fetch(gw.url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: text,
      })
      const told = await reply.text()
      t.equal(reply.status, 403, `${client} on ${lane}: ${told}`)
      const bucket = dearest[lane]?.[client] ?? (lane.startsWith('openai') ? 'ttl_30m_tokens' : 'input_tokens')
      const prompt = Math.ceil(Buffer.byteLength(text) / 2)
      const usage: Usage = { ...noCounts, service_tier: '', output_tokens: 400, [bucket]: prompt }
      const worst = chargedOf(costOf(model, usage), MULTIPLIER)
      const asked = /may cost up to ([\d.]+) USD/.exec(told)?.[1] ?? '0'
      t.equal(nano(asked), worst, `${client} on ${lane}: ${asked} USD`)
    }
})

t.test('OpenAI’s writes are of half an hour, unless their lifetime is told, or 12 hours were asked for', async t => {
  const gw = await gateway(t)
  const keys = await lanes(gw, {}, ['openai-chat', 'openai-responses'])
  const counts = (split?: object) => ({ cached_tokens: 1, cache_write_tokens: 8, cache_write_tokens_details: split })
  const bodies: Record<string, (details: object) => object> = {
    'openai-chat': prompt_tokens_details => ({
      id: 'c',
      choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 20, prompt_tokens_details, completion_tokens: 2 },
    }),
    'openai-responses': input_tokens_details => ({
      ...{ id: 'r', object: 'response', status: 'completed' },
      output: [{ type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'Hi' }] }],
      usage: { input_tokens: 20, input_tokens_details, output_tokens: 2 },
    }),
  }
  const cases: [more: object, split: object | undefined, half: number, day: number][] = [
    [{}, undefined, 8, 0],
    [{ prompt_cache_options: { ttl: '30m' } }, undefined, 8, 0],
    [{ prompt_cache_options: { ttl: '12h' } }, undefined, 0, 8],
    [{ prompt_cache_options: { ttl: '12h' } }, { ttl_30m_tokens: 6, ttl_12h_tokens: 2 }, 6, 2],
    [{}, { ttl_30m_tokens: 0, ttl_12h_tokens: 8 }, 0, 8],
  ]
  let rows = 0
  for (const lane of ['openai-chat', 'openai-responses'] as const)
    for (const [more, split, half, day] of cases) {
      gw.mock.script(laneCredential(lane), { body: JSON.stringify(bodies[lane]!(counts(split))) })
      const [path, headers, body] = clients[lane === 'openai-chat' ? 'chat' : 'responses'](
        keys[lane],
        'gpt-6-sol',
        false,
      )
      const reply = await gw.send({ ...body, ...more }, { path, headers, key: null })
      t.equal(reply.status, 200, await reply.text())
      const [row] = await gw.usage(++rows)
      const want = {
        cache_write_30m_tokens: half,
        cache_write_12h_tokens: day,
        cache_write_5m_tokens: 0,
        partial: false,
      }
      t.match(row, { ...want, input_tokens: 11, cache_read_tokens: 1 }, `${lane} ${JSON.stringify([more, split])}`)
      const counted = { ...noCounts, service_tier: '', input_tokens: 11, output_tokens: 2, cache_read_input_tokens: 1 }
      t.equal(row!.cost, costOf('gpt-6-sol', { ...counted, ttl_30m_tokens: half, ttl_12h_tokens: day }))
    }
})

t.test(
  'each dialect on each platform costs what its upstream counts, however it goes',
  { timeout: 500_000 },
  async t => {
    const gw = await gateway(t)
    const group = { unknown_model: 'reject', multiplier: MULTIPLIER } as const
    const keys = await lanes(gw, { group, scripts: [said, said] })
    for (const lane of laneNames) await gw.set.account(`${lane}-0`, { priority: 10 })
    const run = async (lane: Lane): Promise<Case[]> => {
      const done: Case[] = []
      const { mid } = upstreams[lane]
      for (const client of Object.keys(clients) as DialectName[])
        for (const stream of [true, false])
          for (const way of ways(stream, mid)) done.push(await go(t, gw, lane, keys[lane], client, way, stream))
      return done
    }
    const all = (await Promise.all(laneNames.map(run))).flat()
    t.comment(`${all.length} requests`)
    await agrees(t, gw, all)
  },
)

/** An error as a client of each dialect reads it: the whole of it, but for its words. */
const envelopes: Record<DialectName, (status: number, code: string) => object> = {
  messages: (_, code) => ({ type: 'error', error: { type: String, message: String, code }, request_id: String }),
  chat: (_, code) => ({ error: { message: String, type: String, code } }),
  responses: (_, code) => ({ error: { message: String, type: String, code } }),
  gemini: status => ({ error: { code: status, message: String, status: String } }),
}

t.test('limits, quotas, prices and subscriptions hold whatever is spoken', async t => {
  const gw = await gateway(t)
  const keys = await lanes(gw, { group: { unknown_model: 'reject' }, scripts: [said] })
  const { db } = gw.database
  const all: { lane: Lane; client: DialectName; rated: string; spent: string; subscribed: string }[] = []
  for (const lane of laneNames) {
    const group = `${lane}-sub`
    const windows = { daily_limit: nano('10'), weekly_limit: null, monthly_limit: nano('100') }
    await addGroup(db, { name: group, platform: platformOf(lane), billing: 'subscription', ...windows })
    await setAccount(db, gw.secret, `${lane}-0`, { groups: [lane, group] })
    await assignSubscription(db, { user: 'alice', group, days: 30 })
    for (const client of Object.keys(clients) as DialectName[]) {
      const key = async (name: string, more: object) =>
        (
          await createKey(db, gw.secret, {
            user: 'alice',
            name: `${lane}.${client}.${name}`,
            valuePrefix: 'sk-',
            group: lane,
            ...more,
          })
        ).key
      const rated = await key('rated', { rpm: 1 })
      const spent = await key('spent', { quota: 1n })
      all.push({ lane, client, rated, spent, subscribed: await key('subscribed', { group }) })
    }
  }
  await gw.inForce()
  const ask = async (client: DialectName, key: string, model: string) => {
    const [path, headers, body] = clients[client](key, model, false)
    const reply = await gw.send(body, { path, headers, key: null })
    const text = await reply.text()
    return { status: reply.status, retryAfter: reply.headers.get('retry-after'), text, json: JSON.parse(text) }
  }
  let subscribed = 0
  for (const { lane, client, ...of } of all) {
    const { model } = upstreams[lane]
    const what = `${client} on ${lane}`
    const refused = (answer: Awaited<ReturnType<typeof ask>>, status: number, code: string) => {
      t.equal(answer.status, status, `${what}: ${answer.text}`)
      t.match(answer.json, envelopes[client](status, code), `${what}: ${answer.text}`)
    }
    t.equal((await ask(client, of.rated, model)).status, 200, what)
    const limited = await ask(client, of.rated, model)
    refused(limited, 429, 'KEY_RATE_LIMITED')
    t.match(limited.retryAfter, /^[1-9]\d*$/, `${what}: with the time to come back`)
    refused(await ask(client, of.spent, model), 403, 'QUOTA_EXHAUSTED')
    refused(await ask(client, keys[lane], 'nobody-priced-this'), 400, 'MODEL_UNPRICED')
    const answer = await ask(client, of.subscribed, model)
    t.equal(answer.status, 200, `${what}: ${answer.text}`)
    subscribed++
  }
  const rows = await gw.usage(2 * all.length)
  t.equal(rows.length, 2 * all.length, 'what was refused has no row')
  const paidBy = Map.groupBy(rows, row => row.billing)
  t.equal(paidBy.get('subscription')?.length, subscribed)
  const charged = (paidBy.get('balance') ?? []).reduce((sum, row) => sum + row.charged, 0n)
  const { balance } = await db.selectFrom('balances').select('balance').executeTakeFirstOrThrow()
  t.equal(balance, nano('1000') - charged, 'a subscription takes nothing of the balance')
  const used = await db.selectFrom('subscription_usage').select('day_used').execute()
  const counted = (paidBy.get('subscription') ?? []).reduce((sum, row) => sum + row.cost, 0n)
  t.equal(
    used.reduce((sum, row) => sum + row.day_used, 0n),
    counted,
    'its windows have all of it',
  )
  t.same((await audit(db)).differences, [], 'the books agree')
})
