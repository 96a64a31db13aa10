// The cost of every way a request can go, to the unit: what the provider told is charged, what it did not tell is guessed and
// flagged, and what it was never sent costs nothing.
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { controlClient } from '../../src/control/client.ts'
import type { SlotView, WaiterView } from '../../src/control/view.ts'
import { addAccount } from '../../src/core/record/account.ts'
import { addGroup, setGroup } from '../../src/core/record/group.ts'
import { clearHealth } from '../../src/core/record/health.ts'
import { createKey } from '../../src/core/record/key.ts'
import { addUser } from '../../src/core/record/user.ts'
import type { Seen } from '../../src/mock/server.ts'
import { noCounts } from '../../src/mock/stats.ts'
import type { Point, Step, Usage } from '../../src/mock/step.ts'
import { gateway, hello, type TestGateway, until } from '../helpers/gateway.ts'
import { chargedOf, costOf, nano, tokensOf, worstOf } from '../helpers/oracle.ts'

// ---- what is asked ----

interface Shape {
  model: string
  usage: Partial<Usage>
  /** beside the plain body */
  more?: object
}

/** What an honest provider says of the prompt and the answer below: within the worst case. */
const plain: Shape = { model: 'claude-sonnet-5-5', usage: { input_tokens: 30, output_tokens: 50 } }
const cached: Shape = {
  model: 'claude-haiku-4-5',
  usage: {
    input_tokens: 3,
    output_tokens: 5,
    ephemeral_5m_input_tokens: 7,
    ephemeral_1h_input_tokens: 11,
    cache_read_input_tokens: 13,
  },
}
/** One that counted no answer, although it gave one. */
const silent: Shape = { model: 'claude-sonnet-5-5', usage: { input_tokens: 10, output_tokens: 0 } }
const shapes: Record<string, Shape> = {
  plain,
  'with cache': cached,
  'without output': silent,
  'at the tier': {
    model: 'claude-sonnet-4-5',
    usage: { input_tokens: 100_001, cache_read_input_tokens: 99_999, output_tokens: 777 },
  },
  'above the tier': {
    model: 'claude-sonnet-4-5',
    usage: { input_tokens: 100_001, cache_read_input_tokens: 99_998, ephemeral_1h_input_tokens: 2, output_tokens: 777 },
  },
  'above another tier': {
    model: 'claude-haiku-5-5',
    usage: { input_tokens: 1, ephemeral_5m_input_tokens: 100_000, output_tokens: 1 },
  },
  'searches, in mode fast': {
    model: 'claude-opus-5-5',
    usage: {
      input_tokens: 31,
      output_tokens: 17,
      ephemeral_1h_input_tokens: 5,
      cache_read_input_tokens: 3,
      web_search_requests: 3,
      service_tier: 'fast',
    },
    more: { speed: 'fast' },
  },
  'in the batch tier, and in a region': {
    model: 'claude-sonnet-5-5',
    usage: {
      input_tokens: 33,
      output_tokens: 19,
      ephemeral_1h_input_tokens: 7,
      service_tier: 'batch',
      inference_geo: 'us',
    },
    more: { inference_geo: 'us' },
  },
  'in a region that the workspace has': {
    model: 'claude-haiku-5-5',
    usage: { input_tokens: 31, output_tokens: 17, cache_read_input_tokens: 3, inference_geo: 'us' },
  },
  'anywhere, which an older model says otherwise': {
    model: 'claude-haiku-4-5',
    usage: { input_tokens: 31, output_tokens: 17, inference_geo: 'not_available' },
  },
  'with a compaction and an advisor, fast and in a region': {
    model: 'claude-opus-4-8',
    usage: {
      input_tokens: 23_000,
      output_tokens: 1000,
      cache_read_input_tokens: 9,
      service_tier: 'fast',
      inference_geo: 'us',
      iterations: [
        { type: 'compaction', input_tokens: 180_000, output_tokens: 3500, cache_read_input_tokens: 17 },
        { type: 'message', model: null, input_tokens: 22_001, output_tokens: 900 },
        {
          type: 'advisor_message',
          model: 'claude-opus-5-20260724',
          input_tokens: 823,
          output_tokens: 1612,
          cache_creation_input_tokens: 30,
          cache_creation: { ephemeral_5m_input_tokens: 10, ephemeral_1h_input_tokens: 20 },
        },
        { type: 'message', input_tokens: 999, output_tokens: 100, cache_read_input_tokens: 9 },
      ],
    },
    more: { speed: 'fast', inference_geo: 'us' },
  },
  'with calls below a tier that is crossed by their sum': {
    model: 'claude-haiku-5-5',
    usage: {
      input_tokens: 180_000,
      output_tokens: 70,
      iterations: [
        { type: 'message', input_tokens: 80_000, output_tokens: 30 },
        { type: 'message', input_tokens: 100_000, output_tokens: 40 },
      ],
    },
  },
  'in a mode that is a factor': {
    model: 'claude-opus-5',
    usage: { input_tokens: 31, output_tokens: 17, ephemeral_5m_input_tokens: 5, service_tier: 'fast' },
    more: { speed: 'fast' },
  },
}
// Forty bytes of text: ten tokens, by guess, which is more than some of the shapes say.
const chunks = ['some forty byt', 'es of an hones', 't answer ...']
// message_start, block start, three deltas, block stop, message_delta, message_stop
const STREAM = { mid: 4, spoken: 6, counted: 7 }

// ---- how it goes ----

/**
 * - exact: what the provider told, and nothing guessed. told: the same, of an answer that broke off after its usage.
 * - partial: a guess, which is flagged and within the worst case. nothing: no row.
 */
type Expected = 'exact' | 'told' | 'partial' | 'nothing'
interface Way {
  name: string
  /** of streams, of whole answers, or of both */
  of?: 'stream' | 'whole'
  /** what the first account does; it is held where the client leaves */
  first: Step
  /** the second, asked when the first refuses */
  second?: Step
  leaves?: boolean
  expect: Expected
}

const held = (stream: boolean): [string, Point][] =>
  stream
    ? [
        ['before the head', 'start'],
        ['after the head', 0],
        ['after the first event', 1],
        ['mid-stream', STREAM.mid],
        ['after the last content', STREAM.spoken],
        ['before the last event', STREAM.counted],
      ]
    : [
        ['before the head', 'start'],
        ['after the head', 0],
        ['half-way', 1],
      ]

/** All ways but those that need others: with an upstream that is read on, or is not. */
function ways(stream: boolean, drain: boolean): Way[] {
  const of = stream ? 'stream' : 'whole'
  const overloaded: Step = { status: 529 }
  const all: Way[] = [
    { name: 'it stays', first: {}, expect: 'exact' },
    ...held(stream).map(([name, hold]): Way => {
      const expect = drain ? 'exact' : hold === STREAM.counted ? 'told' : 'partial'
      return { name: `it leaves ${name}`, first: { hold }, leaves: true, expect }
    }),
    { name: 'another account answers', first: overloaded, second: {}, expect: 'exact' },
    {
      name: 'it leaves another account',
      first: overloaded,
      second: { hold: 'start' },
      leaves: true,
      expect: drain ? 'exact' : 'partial',
    },
    { name: 'nobody answers', first: overloaded, second: overloaded, expect: 'nothing' },
    { name: 'a reset mid-stream', of: 'stream', first: { reset: STREAM.mid }, expect: 'partial' },
    { name: 'a reset before the last event', of: 'stream', first: { reset: STREAM.counted }, expect: 'told' },
    { name: 'an end mid-stream', of: 'stream', first: { end: STREAM.mid }, expect: 'partial' },
    { name: 'an error mid-stream', of: 'stream', first: { errorAt: STREAM.mid, status: 529 }, expect: 'partial' },
    { name: 'a reset half-way, then another', of: 'whole', first: { reset: 1 }, second: {}, expect: 'exact' },
    { name: 'a reset half-way of all', of: 'whole', first: { reset: 1 }, second: { reset: 1 }, expect: 'nothing' },
    { name: 'an error in a 200', of: 'whole', first: { errorAt: 0, status: 529 }, second: {}, expect: 'exact' },
  ]
  const drained: Way[] = [
    { name: 'it leaves, then a refusal', first: { hold: 'start', status: 529 }, leaves: true, expect: 'nothing' },
    { name: 'it leaves, then a reset', of: 'stream', first: { hold: 3, reset: 5 }, leaves: true, expect: 'partial' },
    {
      name: 'it leaves, then an error',
      of: 'stream',
      first: { hold: 3, errorAt: 5, status: 529 },
      leaves: true,
      expect: 'partial',
    },
  ]
  return [...all, ...(drain ? drained : [])].filter(way => (way.of ?? of) === of)
}

/** An upstream that is read on, but not for so long. */
const tooLate = (stream: boolean): Way[] =>
  held(stream).map(([name, hold]) => ({
    name: `it leaves ${name}, too early`,
    first: { hold },
    leaves: true,
    expect: hold === STREAM.counted ? 'told' : 'partial',
  }))

// ---- who asks: each lane a payer with a group and two accounts of its own, so that all may go side by side ----

interface Lane {
  name: string
  drainMs: number
  multiplier: string
  user: number
  key: string
  accounts: [number, number]
}
interface Case {
  what: string
  lane: Lane
  model: string
  body: ReturnType<typeof hello>
  expect: Expected
}

const START = nano('1000')
const SOON = 50
let cases = 0

const policy = (drainMs: number) =>
  drainMs === 0 ? ({ on_disconnect: 'abort' } as const) : ({ on_disconnect: 'drain', drain_ms: drainMs } as const)

async function lane(gw: TestGateway, name: string, drainMs: number, multiplier: string): Promise<Lane> {
  const { db } = gw.database
  const { id: user } = await addUser(db, { name, concurrency: 3, balance: START })
  await addGroup(db, { name, platform: 'anthropic', ...policy(drainMs), multiplier })
  const account = (nth: number) =>
    addAccount(db, gw.secret, {
      name: `${name}-${nth}`,
      platform: 'anthropic',
      type: 'apikey',
      credential: gw.credential(`${name}-${nth}`),
      base_url: gw.mock.url,
      concurrency: 1,
      priority: nth,
      groups: [name],
    })
  const accounts: [number, number] = [(await account(1)).id, (await account(2)).id]
  const { key } = await createKey(db, gw.secret, { user: name, group: name, name, valuePrefix: 'sk-' })
  return { name, drainMs, multiplier, user, key, accounts }
}

const credential = (gw: TestGateway, { name }: Lane, nth: 1 | 2) => gw.credential(`${name}-${nth}`)

/** A model's name that no other case has, at the price of the shape's. */
const ownModel = ({ model }: Shape) => `${model}-${20_000_000 + ++cases}`

async function heal(t: Test, gw: TestGateway, { accounts }: Lane): Promise<void> {
  const { health, now } = gw.daemon.gateway
  // Twice, since what was read of the table before may be on its way.
  let clear = 0
  await until(t, 'the accounts are well', async () => {
    const wait = accounts.some(id => health.ailments(id).some(a => !a.stored && a.until > now()))
    let found = 0
    for (const id of accounts) found += await clearHealth(gw.database.db, id)
    const well = accounts.every(id => health.ailments(id).every(a => a.until <= now()))
    clear = found === 0 && well && !wait ? clear + 1 : 0
    return clear === 2
  })
}

const control = (gw: TestGateway) => controlClient(gw.config['control.socket'])
const isIn = async (gw: TestGateway, model: string, phase: string) =>
  (await control(gw).get<SlotView[]>('/slots')).some(slot => slot.model === model && slot.phase === phase)

async function go(t: Test, gw: TestGateway, lane: Lane, way: Way, shape: Shape, stream: boolean): Promise<Case> {
  const model = ownModel(shape)
  const body = hello({ model, stream, ...shape.more })
  const said = { chunks, usage: shape.usage }
  const [one, two] = [credential(gw, lane, 1), credential(gw, lane, 2)]
  gw.mock.script(one, { ...said, ...way.first })
  gw.mock.script(two, { ...said, ...(way.second ?? { status: 529 }) })
  const leave = new AbortController()
  const reply = gw
    .send(body, { key: lane.key, signal: leave.signal })
    .then(reply => reply.text())
    .catch(() => 'left')
  if (way.leaves) {
    const at = way.second ? two : one
    await gw.mock.until(s => s.holding === 1, at, 20_000)
    const { aborted } = gw.mock.stats(at)
    leave.abort()
    if (lane.drainMs > SOON) {
      await until(t, `${model} is read on`, () => isIn(gw, model, 'draining'))
      gw.mock.release(at)
    } else await gw.mock.until(s => s.aborted > aborted, at, 5_000)
  }
  await reply
  await until(
    t,
    `${model} is over`,
    async () => !(await control(gw).get<SlotView[]>('/slots')).some(s => s.model === model),
  )
  await heal(t, gw, lane)
  const expect = shape === silent && way.expect !== 'nothing' ? 'partial' : way.expect
  return { what: `${lane.name}: ${way.name}, ${shape.model}`, lane, model, body, expect }
}

/** Two requests hold the accounts, one waits there, and one waits for a place of the user's; those who wait leave. */
async function queued(t: Test, gw: TestGateway, lane: Lane, stream: boolean): Promise<Case[]> {
  const made = (expect: Expected): Case => {
    const model = ownModel(plain)
    return { what: `${lane.name}: queue, ${expect}`, lane, model, body: hello({ model, stream }), expect }
  }
  const [one, two] = [credential(gw, lane, 1), credential(gw, lane, 2)]
  for (const at of [one, two]) gw.mock.script(at, { hold: 'start', usage: plain.usage })
  const leave = new AbortController()
  const ask = ({ body }: Case, signal = AbortSignal.timeout(20_000)) =>
    gw.send(body, { key: lane.key, signal }).then(
      r => r.text(),
      () => 'left',
    )
  const holders = [made('exact'), made('exact')]
  const holding = holders.map(one => ask(one))
  for (const at of [one, two]) await gw.mock.until(s => s.holding === 1, at)
  const leavers = [made('nothing'), made('nothing')]
  const waits = async (model: string) =>
    (await control(gw).get<WaiterView[]>('/queue')).some(waiter => waiter.model === model)
  const leaving: Promise<string>[] = []
  for (const one of leavers) {
    leaving.push(ask(one, leave.signal))
    await until(t, 'it waits', () => waits(one.model))
  }
  leave.abort()
  await Promise.all(leaving)
  for (const { model } of leavers) await until(t, 'it has left', async () => !(await waits(model)))
  for (const at of [one, two]) gw.mock.release(at)
  await Promise.all(holding)
  return [...holders, ...leavers]
}

// ---- what it cost ----

async function agrees(t: Test, gw: TestGateway, lanes: Lane[], all: Case[]): Promise<void> {
  const { db } = gw.database
  const { wallet, store } = gw.daemon.gateway
  await until(t, 'nothing is put aside', () => wallet.size() === 0)
  for (const { user, name } of lanes)
    await until(t, `all of ${name} is booked`, async () => (await store.purse(`user:${user}`)).holders.length === 0)

  const rows = Map.groupBy(await db.selectFrom('usage').selectAll().execute(), row => row.model)
  const entries = Map.groupBy(await db.selectFrom('ledger').selectAll().execute(), entry => entry.entry_id)
  const seen = new Map<string | null, Seen>(gw.mock.stats().bodies.map(one => [one.id, one]))
  for (const { what, lane, model, body, expect } of all) {
    const [row, ...others] = rows.get(model) ?? []
    if (expect === 'nothing') {
      t.equal(row, undefined, `${what}: no row`)
      continue
    }
    if (!row || others.length > 0) {
      t.fail(`${what}: ${row ? others.length + 1 : 0} rows`)
      continue
    }
    const { multiplier } = lane
    const answer = seen.get(row.upstream_request_id)
    if (answer) t.match(answer, { model, status: 200 }, `${what}: the row names the answer it is about`)
    if (expect !== 'partial') {
      const usage = answer?.usage
      if (!usage) {
        t.fail(`${what}: its provider did not tell it in full`)
        continue
      }
      const cost = costOf(model, usage)
      t.same(
        {
          tokens: [
            row.input_tokens,
            row.output_tokens,
            row.cache_write_5m_tokens,
            row.cache_write_30m_tokens,
            row.cache_write_1h_tokens,
            row.cache_write_12h_tokens,
            row.cache_read_tokens,
          ],
          searches: row.web_searches,
          mode: row.mode,
          geo: row.geo,
          cost: row.cost,
          charged: row.charged,
          partial: expect === 'exact' ? row.partial : null,
        },
        {
          tokens: tokensOf(usage),
          searches: usage.web_search_requests,
          mode: usage.service_tier || null,
          geo: usage.inference_geo === 'us' ? 'us' : null,
          cost,
          charged: chargedOf(cost, multiplier),
          partial: expect === 'exact' ? false : null,
        },
        `${what}: what the provider told, to the unit`,
      )
    } else {
      t.equal(row.partial, true, `${what}: flagged`)
      const worst = worstOf(body, multiplier)
      t.ok(row.cost > 0n && row.charged <= worst, `${what}: 0 < ${row.charged} <= ${worst}`)
      t.equal(row.charged, chargedOf(row.cost, multiplier))
    }
    const booked = (entries.get(row.request_id) ?? []).map(e => [e.user_id, e.kind, e.amount])
    t.same(booked, row.charged === 0n ? [] : [[lane.user, 'charge', -row.charged]], `${what}: the ledger has it once`)
  }
  const ours = new Set(all.map(one => one.model))
  t.same(
    [...rows.keys()].filter(model => !ours.has(model)),
    [],
    'no row but these',
  )
  for (const { user, name } of lanes) {
    const { balance } = await db
      .selectFrom('balances')
      .select('balance')
      .where('user_id', '=', user)
      .executeTakeFirstOrThrow()
    const charged = [...rows.values()]
      .flat()
      .filter(row => row.user_id === user)
      .reduce((sum, row) => sum + row.charged, 0n)
    t.equal(balance, START - charged, `${name}: the balance is what is left`)
  }
}

// ---- the tests ----

t.test('every way a request can go costs what its provider says', { timeout: 500_000 }, async t => {
  const gw = await gateway(t)
  const sorts = [
    { policy: 'drain', drainMs: 20_000, multiplier: '1', all: true },
    { policy: 'half-more', drainMs: 20_000, multiplier: '1.5', all: false },
    { policy: 'third', drainMs: 20_000, multiplier: '0.3333', all: false },
    { policy: 'free', drainMs: 20_000, multiplier: '0', all: false },
    { policy: 'abort', drainMs: 0, multiplier: '1', all: true },
    { policy: 'abort-half-more', drainMs: 0, multiplier: '1.5', all: false },
    { policy: 'soon', drainMs: SOON, multiplier: '1', all: true },
  ]
  const lanes: (Lane & { stream: boolean; all: boolean })[] = []
  for (const stream of [true, false])
    for (const { policy, drainMs, multiplier, all } of sorts) {
      const made = await lane(gw, `${policy}-${stream ? 'stream' : 'whole'}`, drainMs, multiplier)
      lanes.push({ ...made, stream, all })
    }
  await gw.inForce()

  // Guesses only of providers that say no more than was asked for.
  const honest = [plain, cached, silent]
  const run = async (one: (typeof lanes)[number]): Promise<Case[]> => {
    const { stream, drainMs } = one
    const done: Case[] = await queued(t, gw, one, stream)
    for (const way of drainMs === SOON ? tooLate(stream) : ways(stream, drainMs > 0)) {
      const some = !one.all && way.leaves ? [cached] : Object.values(shapes)
      for (const shape of some)
        if (way.expect === 'exact' || honest.includes(shape)) done.push(await go(t, gw, one, way, shape, stream))
    }
    return done
  }
  const all = (await Promise.all(lanes.map(run))).flat()
  t.comment(`${all.length} requests`)
  await agrees(t, gw, lanes, all)
})

/** The columns of a row that say what was used. */
interface Counted {
  input_tokens: number
  output_tokens: number
  cache_write_5m_tokens?: number
  cache_read_tokens?: number
  web_searches?: number
  partial: boolean
}

const event = (type: string, fields: object) => `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`

/** An answer as a provider writes it who says this of its usage, whatever it is. */
function answerWith(usage: unknown, said: string, stream: boolean): string {
  const shell = { id: 'msg_1', type: 'message', role: 'assistant', model: 'claude-haiku-4-5' }
  const text = { type: 'text', text: said }
  if (!stream) return JSON.stringify({ ...shell, content: said ? [text] : [], stop_reason: 'end_turn', usage })
  const block = [
    event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
    event('content_block_delta', { index: 0, delta: { type: 'text_delta', text: said } }),
    event('content_block_stop', { index: 0 }),
  ]
  return [
    event('message_start', { message: { ...shell, content: [], stop_reason: null, usage } }),
    ...(said ? block : []),
    event('message_delta', { delta: { stop_reason: 'end_turn' }, usage }),
    event('message_stop', {}),
  ].join('')
}

t.test('what was not told of a usage is reckoned and flagged, and the answer goes to the client as it is', async t => {
  const gw = await gateway(t)
  const [model, text, max_tokens] = ['claude-haiku-4-5', 'x'.repeat(1000), 300]
  const answer = text.length / 4
  const told = { input_tokens: 30, output_tokens: 50 }
  const cases = (prompt: number, most: number): [what: string, usage: unknown, want: Counted][] => {
    const reckoned = { input_tokens: prompt, output_tokens: answer, partial: true }
    const exact = { ...told, partial: false }
    return [
      ['none', undefined, reckoned],
      ['null', null, reckoned],
      ['nothing in it', {}, reckoned],
      ['zeros beside text', { input_tokens: 0, output_tokens: 0 }, reckoned],
      ['a list', [told], reckoned],
      ['names of another dialect', { prompt_tokens: 30, completion_tokens: 50, total_tokens: 80 }, reckoned],
      ['numbers as text', { input_tokens: '30', output_tokens: ' 50' }, exact],
      ['text that is no number', { input_tokens: 'thirty', output_tokens: '5e1' }, reckoned],
      ['negatives', { input_tokens: -30, output_tokens: -50 }, reckoned],
      ['parts of a token', { input_tokens: 20.5, output_tokens: 2.5 }, reckoned],
      ['only the prompt', { input_tokens: 30 }, { ...reckoned, input_tokens: 30 }],
      ['only the answer', { output_tokens: 50 }, { ...reckoned, output_tokens: 50 }],
      ['a prompt of zero', { input_tokens: 0, output_tokens: 50 }, { ...reckoned, output_tokens: 50 }],
      ['an answer of zero', { input_tokens: 30, output_tokens: 0 }, { ...reckoned, input_tokens: 30 }],
      [
        'all of the prompt cached',
        { input_tokens: 0, cache_read_input_tokens: 40, output_tokens: 50 },
        { ...exact, input_tokens: 0, cache_read_tokens: 40 },
      ],
      [
        'a part of the prompt that cannot be',
        { input_tokens: 3, cache_read_input_tokens: -1, cache_creation_input_tokens: 4, output_tokens: 50 },
        { ...exact, input_tokens: prompt - 4, cache_write_5m_tokens: 4, partial: true },
      ],
      [
        'more than any window',
        { input_tokens: 1e300, output_tokens: 1e300 },
        { input_tokens: most, output_tokens: max_tokens, partial: true },
      ],
      [
        'a cache beyond any window',
        { input_tokens: 5, cache_read_input_tokens: 11_000_000, output_tokens: 50 },
        { ...exact, input_tokens: most, partial: true },
      ],
      [
        'searches that nobody made',
        { ...told, server_tool_use: { web_search_requests: 1e9 } },
        { ...exact, partial: true },
      ],
    ]
  }
  let rows = 0
  const ask = async (usage: unknown, said: string, stream: boolean) => {
    const body = answerWith(usage, said, stream)
    gw.mock.script(gw.credential('a1'), { body })
    const reply = await gw.send({ ...hello({ model, stream }), max_tokens })
    t.equal(reply.status, 200)
    t.equal(await reply.text(), body, 'the client has it, byte for byte')
    return (await gw.usage(++rows))[0]!
  }
  for (const stream of [false, true]) {
    const bytes = Buffer.byteLength(JSON.stringify({ ...hello({ model, stream }), max_tokens }))
    for (const [what, usage, want] of cases(Math.ceil(bytes / 4), Math.ceil(bytes / 2))) {
      const label = `${stream ? 'stream' : 'whole'}: ${what}`
      const row = await ask(usage, text, stream)
      const all = { cache_write_5m_tokens: 0, cache_write_1h_tokens: 0, cache_read_tokens: 0, web_searches: 0, ...want }
      const seen = Object.fromEntries(Object.keys(all).map(column => [column, row[column as keyof Counted]]))
      t.strictSame(seen, all, label)
      const cost = costOf(model, {
        input_tokens: all.input_tokens,
        output_tokens: all.output_tokens,
        cache_creation_input_tokens: all.cache_write_5m_tokens,
        ephemeral_5m_input_tokens: all.cache_write_5m_tokens,
        ephemeral_1h_input_tokens: 0,
        ttl_30m_tokens: 0,
        ttl_12h_tokens: 0,
        cache_read_input_tokens: all.cache_read_tokens,
        web_search_requests: all.web_searches,
        service_tier: '',
      })
      t.equal(row.cost, cost, `${label}: what that costs`)
    }
    const empty = await ask({ input_tokens: 30, output_tokens: 0 }, '', stream)
    t.match(empty, { input_tokens: 30, output_tokens: 0, partial: false }, 'a refusal that says nothing')
    const free = await ask({ input_tokens: 0, output_tokens: 0 }, '', stream)
    t.match(free, { cost: 0n, partial: false }, 'a refusal that is free')
    const untold = await ask(undefined, '', stream)
    t.match(untold, { input_tokens: Math.ceil(bytes / 4), output_tokens: 0, partial: true }, 'one that is not counted')
  }
})

t.test('an answer costs what was served: as asked where it says nothing, flagged where that has no price', async t => {
  const gw = await gateway(t, { group: { unknown_model: 'reject' } })
  let rows = 0
  const ask = async (asked: object & { model: string }, usage: object, stream = false) => {
    gw.mock.script(gw.credential('a1'), {
      body: answerWith({ input_tokens: 30, output_tokens: 50, ...usage }, 'x', stream),
    })
    await (await gw.send(hello({ stream, ...asked }))).text()
    const { mode, geo, partial, cost } = (await gw.usage(++rows))[0]!
    return { mode, geo, partial, cost }
  }
  const plain = (model: string, more: Partial<Usage>) =>
    costOf(model, { ...noCounts, input_tokens: 30, output_tokens: 50, service_tier: '', ...more })
  const [opus, haiku] = ['claude-opus-5', 'claude-haiku-4-5']
  const both = { model: opus, speed: 'fast', inference_geo: 'us' }
  const advice = (model: string) => ({
    iterations: [{ type: 'advisor_message', model, input_tokens: 7, output_tokens: 11 }],
  })
  for (const stream of [false, true]) {
    t.strictSame(
      await ask(both, {}, stream),
      { mode: 'fast', geo: 'us', partial: false, cost: plain(opus, { service_tier: 'fast', inference_geo: 'us' }) },
      'what is not said was served as asked',
    )
    t.strictSame(
      await ask(both, { speed: 'standard', inference_geo: 'global' }, stream),
      { mode: null, geo: null, partial: false, cost: plain(opus, {}) },
      'what is said counts',
    )
    t.strictSame(
      await ask({ model: opus }, { speed: 'fast', inference_geo: 'us' }, stream),
      { mode: 'fast', geo: 'us', partial: false, cost: plain(opus, { service_tier: 'fast', inference_geo: 'us' }) },
      'whoever asked for it',
    )
    t.strictSame(
      await ask({ model: haiku }, { service_tier: 'priority' }, stream),
      { mode: 'priority', geo: null, partial: true, cost: plain(haiku, {}) },
      'a mode without a price costs as the standard one and is flagged',
    )
    t.strictSame(
      await ask({ model: haiku }, { inference_geo: 'eu' }, stream),
      { mode: null, geo: 'eu', partial: true, cost: plain(haiku, {}) },
      'so does a region',
    )
    t.match(
      await ask({ model: haiku }, advice('nobody-knows'), stream),
      { partial: true, cost: plain(haiku, { input_tokens: 37, output_tokens: 61 }) },
      'a model without a price that took part costs as the one that was asked, and is flagged',
    )
  }
  await setGroup(gw.database.db, 'main', { unknown_model: 'free', fallback_model: null })
  await gw.inForce()
  for (const stream of [false, true])
    t.match(
      await ask({ model: 'nobody-knows' }, advice(haiku), stream),
      { partial: false, cost: plain(haiku, { input_tokens: 7, output_tokens: 11 }) },
      'one with a price costs it, also where the asked one is free',
    )
})

for (const drainMs of [0, 20_000])
  t.test(`a request that left before there was a connection costs nothing (drain ${drainMs} ms)`, async t => {
    // It takes connections, and says nothing of TLS.
    const mute = net.createServer(socket => socket.on('error', () => {}).resume()).listen(0, '127.0.0.1')
    await once(mute, 'listening')
    t.teardown(() => mute.close())
    const baseUrl = `https://127.0.0.1:${(mute.address() as AddressInfo).port}`
    const gw = await gateway(t, { group: policy(drainMs), accounts: [{ baseUrl }] })
    for (const stream of [true, false]) {
      const leave = new AbortController()
      const connected = once(mute, 'connection')
      const left = gw.send(hello({ stream }), { signal: leave.signal })
      const [socket] = (await connected) as [net.Socket]
      const closed = once(socket, 'close')
      leave.abort()
      await t.rejects(left)
      await closed
      await until(t, 'it is over', () => gw.daemon.gateway.live.size === 0)
    }
    const { wallet, store } = gw.daemon.gateway
    t.equal(wallet.size(), 0)
    t.strictSame((await store.purse('user:1')).holders, [], 'nothing is put aside, nothing waits to be booked')
    t.strictSame(await gw.database.db.selectFrom('usage').selectAll().execute(), [])
  })
