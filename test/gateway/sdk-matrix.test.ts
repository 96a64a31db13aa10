// Official clients as judges: each against gw on its own platform and on all foreign ones, the scripted provider on the far side. One table,
// so it is long. MATRIX='^google gemini' runs only the cases whose client, lane and name match.

import assert from 'node:assert/strict'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { addGroup } from '../../src/core/record/group.ts'
import { createKey } from '../../src/core/record/key.ts'
import type { Seen } from '../../src/mock/stats.ts'
import type { Step } from '../../src/mock/step.ts'
import { gateway, type TestGateway } from '../helpers/gateway.ts'
import { type Lane, laneNames, platformOf } from '../helpers/lanes.ts'
import { aiAnthropic, aiChat, aiGoogle, aiKeeping, aiResponses } from '../helpers/sdks/ai.ts'
import { anthropic } from '../helpers/sdks/anthropic.ts'
import type { Ask, Caught, Client, Door, Told, Turn } from '../helpers/sdks/client.ts'
import { google } from '../helpers/sdks/google.ts'
import { chat, responses } from '../helpers/sdks/openai.ts'
import { pairsIn } from '../helpers/sdks/pairs.ts'

const clients: Record<string, Client> = {
  anthropic,
  'openai-chat': chat,
  'openai-responses': responses,
  google,
  'ai-anthropic': aiAnthropic,
  'ai-openai-chat': aiChat,
  'ai-openai-responses': aiResponses,
  'ai-google': aiGoogle,
}

/** What a lane's provider calls its model, its reasons and its errors; where its streams have said something and have not ended. */
interface Far {
  model: string
  length: string
  /** answers of 'one', 'two', 'three' are cut behind so many events: within the text, and before the end */
  cuts: number[]
  /** the same for 'x' and two calls: within the first of them */
  cutCall: number
  overloaded: Step
  /** in mid-stream */
  busy: string
  unknown: string
}
const google3 = {
  length: 'MAX_TOKENS',
  cuts: [2, 3],
  cutCall: 2,
  overloaded: { status: 503 },
  busy: 'UNAVAILABLE',
  unknown: 'models/x is not found for API version v1beta, or is not supported for generateContent.',
}
const openai = {
  overloaded: { status: 503 },
  busy: 'service_unavailable_error',
  unknown: 'The model `x` does not exist or you do not have access to it.',
}
const far: Record<Lane, Far> = {
  anthropic: {
    model: 'claude-opus-4-8',
    length: 'max_tokens',
    cuts: [4, 6, 7],
    cutCall: 7,
    overloaded: { status: 529 },
    busy: 'overloaded_error',
    unknown: 'model: x',
  },
  'openai-chat': { model: 'gpt-4.1', length: 'length', cuts: [3, 4], cutCall: 4, ...openai },
  'openai-responses': { model: 'gpt-5.6-terra', length: 'max_output_tokens', cuts: [6, 10], cutCall: 10, ...openai },
  gemini: { model: 'gemini-3.6-flash', ...google3 },
  antigravity: { model: 'gemini-3.1-pro-low', ...google3 },
}
const isGoogle = (lane: Lane) => lane === 'gemini' || lane === 'antigravity'

/** One client on one lane in one case, which has its accounts and its model to itself. */
interface On {
  client: Client
  lane: Lane
  far: Far
  gw: TestGateway
  door: Door
  model: string
  /** what an account's provider does from now on */
  script(step: Step | Step[], nth?: number): void
  ask(stream: boolean, more?: Partial<Ask>): Promise<Told>
  /** what is thrown; it is an error when nothing is */
  thrown(work: Promise<unknown>): Promise<Caught & { message: string }>
  /** requests that the client has made */
  made(): number
  /** requests that an account's provider has seen */
  seen(nth?: number): Seen[]
}

interface Case {
  name: string
  /** of this client alone */
  by?: string
  accounts?: number
  on?(lane: Lane, client: Client): boolean
  run(on: On): Promise<void>
}

const both = async (work: (stream: boolean) => Promise<void>) => {
  for (const stream of [false, true]) await work(stream)
}
const three = ['one ', 'two ', 'three']
const inputs = [{ q: 'Grüße 🦊', n: 7 }, { q: 'b' }]
const calling: Step = { chunks: ['looking'], tools: inputs.map(input => ({ name: 'look', input })) }
const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='

const kinds: Case[] = [
  {
    name: 'text, whole and streamed',
    async run({ script, ask, client, model }) {
      script({ chunks: three })
      await both(async stream => {
        const pieces: string[] = []
        const answer = await ask(stream, { onText: piece => pieces.push(piece) })
        const { text, stop, calls } = answer
        assert.deepEqual([text, stop, calls], ['one two three', client.stops.end, []])
        assert.equal(answer.model, model, 'from the model that was asked for')
        assert.deepEqual(pieces, stream ? three : [], 'as it comes')
      })
    },
  },
  {
    name: 'text in characters cut apart, with pings between them',
    async run({ script, ask }) {
      script({ chunks: ['Grüße ', '🦊', ' 日本\n\ndata: x\r\n'], pings: 1, splitUtf8: true, eol: 'crlf' })
      assert.equal((await ask(true)).text, 'Grüße 🦊 日本\n\ndata: x\r\n')
    },
  },
  {
    name: 'an image in the prompt',
    async run({ script, ask, seen }) {
      script({ text: 'a dot' })
      assert.equal((await ask(true, { turns: [{ user: 'what is it?', image: png }] })).text, 'a dot')
      const body = seen().at(-1)!.body!
      assert.ok(body.includes(png) && body.includes('what is it?'))
    },
  },
  {
    name: 'a call without arguments',
    async run({ script, ask }) {
      script({ tools: [{ name: 'look' }] })
      await both(async stream => {
        const { calls } = await ask(stream, { tools: true })
        assert.deepEqual(
          calls.map(({ name, input = {} }) => [name, input]),
          [['look', {}]],
        )
      })
    },
  },
  {
    name: 'thinking is read, and its proofs are good when they come back',
    async run({ script, ask, client, seen, gw, model }) {
      await both(async stream => {
        script([
          { thinking: ['which ', 'city?'], ...calling, proofs: 'own' },
          { thinking: 'well', text: 'done', proofs: 'own' },
          { text: 'and so', proofs: 'own' },
        ])
        const before = seen().length
        const more = { tools: true, thinking: true }
        const turns: Turn[] = [{ user: 'look' }]
        const answer = await ask(stream, { ...more, turns })
        if (!client.lacks?.thought) assert.equal(answer.thought, 'which city?')
        turns.push({ answer }, { results: answer.calls.map(call => ({ call, text: 'sunny' })) })
        const second = await ask(stream, { ...more, turns })
        assert.equal(second.text, 'done')
        turns.push({ answer: second }, { user: 'go on' })
        assert.equal((await ask(stream, { ...more, turns })).text, 'and so')
        assert.equal(seen().length - before, 3, 'nothing was asked twice')
        assert.equal(gw.mock.stats(credentialOf(model)).refusedProofs, 0)
      })
    },
  },
  {
    name: 'tokens are counted',
    on: (_, client) => client.count !== undefined,
    async run({ script, client, door, model }) {
      script({ usage: { input_tokens: 12 } })
      const count = await client.count!(door, model)
      assert.ok(count! > 0, String(count))
    },
  },
  {
    name: 'models are listed',
    on: (_, client) => client.list !== undefined,
    async run({ client, door, model }) {
      assert.ok((await client.list!(door)).includes(model))
    },
  },
  {
    name: 'usage as the provider counts it',
    async run({ script, ask, seen }) {
      script({ thinking: 'hm, let me think', text: 'so', usage: { cache_read_input_tokens: 3, output_tokens: 21 } })
      await both(async stream => {
        const { usage } = await ask(stream)
        const told = seen().at(-1)!.usage!
        const input = told.input_tokens + told.cache_read_input_tokens + told.cache_creation_input_tokens
        assert.deepEqual(usage, { input, output: 21, cached: 3 }, stream ? 'stream' : 'whole')
      })
    },
  },
  {
    name: 'two calls of one function',
    async run({ script, ask, client, lane }) {
      const steps = lane === 'openai-chat' ? [calling, { ...calling, interleaved: true }] : [calling]
      for (const step of steps) {
        script(step)
        await both(async stream => {
          const { text, calls, stop } = await ask(stream, { tools: true })
          assert.deepEqual(
            calls.map(({ name, input }) => ({ name, input })),
            inputs.map(input => ({ name: 'look', input })),
          )
          assert.equal(text, 'looking')
          assert.equal(stop, client.stops.calls)
          assert.equal(new Set(calls.map(({ id }) => id)).size, 2, 'ids of their own')
        })
      }
    },
  },
  {
    name: 'results of tools, one of them an error',
    async run({ script, ask, seen, client, lane }) {
      await both(async stream => {
        script([{ thinking: 'which?', ...calling }, { text: 'done' }])
        const turns: Turn[] = [{ user: 'look' }]
        const answer = await ask(stream, { tools: true, turns })
        const [first, second] = answer.calls
        turns.push({ answer })
        turns.push({
          results: [
            { call: first!, text: 'sunny' },
            { call: second!, text: 'no such city', error: true },
          ],
        })
        const { text } = await ask(stream, { tools: true, turns })
        assert.equal(text, 'done')
        const pairs = pairsIn(lane, seen().at(-1)!.body!)
        assert.deepEqual(
          pairs.map(({ name, input }) => ({ name, input })),
          inputs.map(input => ({ name: 'look', input })),
        )
        assert.match(pairs[0]!.result, /sunny/)
        assert.match(pairs[1]!.result, /no such city/)
        const said = !client.lacks?.error || (client.errorIsObject === true && isGoogle(lane))
        if (pairs[0]!.error !== undefined)
          assert.deepEqual(
            pairs.map(({ error }) => error),
            [false, said],
            'the error is said to be one',
          )
        assert.match(seen().at(-1)!.body!, /looking/, 'and what was said beside the calls')
      })
    },
  },
  {
    name: 'history that is kept at the vendor is good there, and refused elsewhere by its name',
    by: 'ai-openai-responses',
    async run({ script, ask, door, model, thrown, lane }) {
      script([{ thinking: 'which?', ...calling }, { text: 'done' }])
      const turns: Turn[] = [{ user: 'look' }]
      const answer = await ask(true, { tools: true, turns })
      turns.push({ answer }, { results: answer.calls.map(call => ({ call, text: 'sunny' })) })
      const next = aiKeeping.ask(door, { model, stream: true, tools: true, turns })
      if (lane === 'openai-responses') assert.equal((await next).text, 'done')
      else {
        const { status, message } = await thrown(next)
        assert.equal(status, 400)
        assert.match(message, /^input\.item_reference: /)
      }
    },
  },
  {
    name: 'an image as the result of a tool',
    on: (_, client) => !client.lacks?.image,
    async run({ script, ask, seen, lane }) {
      script([calling, { text: 'done' }])
      const turns: Turn[] = [{ user: 'look' }]
      const answer = await ask(true, { tools: true, turns })
      turns.push({ answer })
      turns.push({ results: answer.calls.map(call => ({ call, text: 'see here', image: png })) })
      assert.equal((await ask(true, { tools: true, turns })).text, 'done')
      const body = seen().at(-1)!.body!
      assert.equal(body.split(png).length - 1, 2, 'each once')
      assert.ok(pairsIn(lane, body).every(({ result }) => result.includes('see here')))
    },
  },
  {
    name: 'structured output',
    async run({ script, client, door, model, seen }) {
      script({ text: '{"city":"Oslo","degrees":7}' })
      await both(async stream => {
        assert.deepEqual(await client.parse(door, model, stream), { city: 'Oslo', degrees: 7 })
      })
      assert.match(seen().at(-1)!.body!, /degrees/, 'the shape was asked for')
    },
  },
  {
    name: 'the model refuses',
    async run({ script, ask, client }) {
      script({ refusal: 'I will not.' })
      await both(async stream => {
        const { text, stop, refused } = await ask(stream)
        assert.ok(refused || client.stops.refused === stop, `${stop}, ${text}`)
      })
    },
  },
  {
    name: 'a client that leaves in mid-stream',
    async run({ script, ask, client, thrown, gw, model, far }) {
      const leaves = new AbortController()
      script([{ chunks: three, hold: far.cuts[0]! }, { text: 'next' }])
      const error = await thrown(ask(true, { signal: leaves.signal, onText: () => leaves.abort() }))
      assert.equal(error.kind, client.errors.aborted)
      await gw.mock.until(({ aborted }) => aborted === 1, credentialOf(model), 5_000)
      assert.equal((await ask(false)).text, 'next', 'its place is free')
    },
  },
  {
    name: 'a client that leaves before the answer',
    async run({ script, ask, client, thrown, gw, model }) {
      const leaves = new AbortController()
      script([{ hold: 'start' }, { text: 'next' }])
      const error = thrown(ask(false, { signal: leaves.signal }))
      await gw.mock.until(({ holding }) => holding === 1, credentialOf(model), 50_000)
      leaves.abort()
      assert.equal((await error).kind, client.errors.aborted)
      await gw.mock.until(({ aborted }) => aborted === 1, credentialOf(model), 5_000)
      assert.equal((await ask(true)).text, 'next', 'its place is free')
    },
  },
  {
    name: 'errors before an answer, in their classes',
    async run({ script, ask, client, thrown, door, lane, far }) {
      script({ status: 400, error: { message: 'so not' } })
      await both(async stream => {
        const invalid = await thrown(ask(stream))
        assert.deepEqual([invalid.kind, invalid.status], [client.errors.invalid, 400])
        assert.match(invalid.message, /so not/)
        const stranger = await thrown(client.ask({ ...door, key: 'sk-nobody' }, asking(client.model, stream)))
        assert.deepEqual([stranger.kind, stranger.status], [client.errors.key, 401])
      })
      script({ status: 404, error: { message: far.unknown } })
      const unknown = await thrown(ask(true))
      assert.deepEqual([unknown.kind, unknown.status], [client.errors.missing, 404])
      script({ status: 429, error: { message: 'slow down' }, headers: { 'retry-after': '7' } })
      const limited = await thrown(ask(lane === 'anthropic'))
      assert.deepEqual([limited.kind, limited.status], [client.errors.limited, 429])
      if (!client.lacks?.retryAfter) assert.ok(Number(limited.retryAfter) > 5, `retry-after ${limited.retryAfter}`)
      // It is out now, and says so to the next.
      const still = await thrown(ask(true))
      assert.deepEqual([still.kind, still.status], [client.errors.limited, 429])
    },
  },
  {
    name: 'overload before an answer',
    async run({ script, ask, client, thrown, far }) {
      script({ ...far.overloaded, error: { message: 'Overloaded, says the vendor.' } })
      const busy = await thrown(ask(true))
      assert.deepEqual([busy.kind, busy.status], [client.errors.overloaded, 503])
    },
  },
  {
    name: 'retries wait as they are told: rate limit',
    accounts: 2,
    run: on => retries(on, { status: 429, headers: { 'retry-after': '1' } }, false),
  },
  {
    name: 'retries wait as they are told: overload',
    accounts: 2,
    run: on => retries(on, { ...on.far.overloaded, headers: { 'retry-after': '1' } }, true),
  },
  {
    name: 'trap 1: a stream cut before its end is an error',
    async run({ script, ask, thrown, far, client }) {
      for (const step of [...far.cuts.map(end => ({ end })), { reset: far.cuts[0]! }, { close: far.cuts[0]! }]) {
        script({ chunks: three, ...step })
        const heard: string[] = []
        const error = await thrown(ask(true, { onText: piece => heard.push(piece) }))
        assert.match(heard.join(''), /^one two /, `${JSON.stringify(step)}: ${error.message}`)
        assert.equal(error.kind, client.errors.broken, `${JSON.stringify(step)}: ${error.message}`)
      }
    },
  },
  {
    name: 'trap 1: a whole answer that is cut is an error',
    async run({ script, ask, thrown }) {
      for (const step of [{ end: 1 }, { close: 1 }]) {
        script({ chunks: three, ...step })
        const { status } = await thrown(ask(false))
        assert.ok(status! >= 500, `${JSON.stringify(step)}: ${status}`)
      }
    },
  },
  {
    name: 'trap 1: calls that are cut are no calls',
    async run({ script, ask, thrown, far, client }) {
      script({ ...calling, end: far.cutCall })
      const error = await thrown(ask(true, { tools: true }))
      assert.equal(error.kind, client.errors.broken, error.message)
    },
  },
  {
    name: 'trap 2: an answer at its limit has its full end',
    async run({ script, ask, client, far, seen }) {
      script({ chunks: three, stopReason: far.length, usage: { output_tokens: 9 } })
      await both(async stream => {
        const { text, stop, usage } = await ask(stream)
        assert.deepEqual([text, stop, usage.output], ['one two three', client.stops.length, 9])
        assert.equal(seen().at(-1)!.outcome, 'completed')
      })
    },
  },
  {
    name: 'trap 3: a failure as the first event of a 200 is another account’s turn, or an HTTP error',
    accounts: 2,
    async run({ script, ask, client, thrown, seen, far }) {
      const failure: Step = { errorAt: 0, error: { type: far.busy, message: 'first of all' } }
      script(failure)
      script([{ text: 'from another' }, failure], 1)
      assert.equal((await ask(true)).text, 'from another')
      assert.deepEqual([seen(0).length, seen(1).length], [1, 1])
      const error = await thrown(ask(true))
      assert.deepEqual([error.kind, error.status], [client.errors.overloaded, 503], error.message)
    },
  },
  {
    name: 'trap 4: an error in mid-stream comes in the client’s own words',
    async run({ script, ask, client, thrown, far }) {
      script({ chunks: three, errorAt: far.cuts[0]!, error: { type: far.busy, message: 'Busy, in mid-stream.' } })
      const heard: string[] = []
      const error = await thrown(ask(true, { onText: piece => heard.push(piece) }))
      assert.equal(heard.join(''), 'one two ')
      assert.equal(error.kind, client.errors.broken, error.message)
      assert.match(error.message, /Busy, in mid-stream|[Oo]verloaded/)
    },
  },
  {
    name: 'trap 24: a blocked prompt is a refusal',
    on: isGoogle,
    async run({ script, ask, client, lane }) {
      const blocked = { promptFeedback: { blockReason: 'SAFETY' }, usageMetadata: { promptTokenCount: 5 } }
      const body = JSON.stringify(lane === 'antigravity' ? { response: blocked } : blocked)
      await both(async stream => {
        script({ body: stream ? `data: ${body}\r\n\r\n` : body })
        const { text, stop, calls } = await ask(stream)
        assert.deepEqual([text, stop, calls], ['', client.stops.blocked, []], stream ? 'stream' : 'whole')
      })
    },
  },
  {
    name: 'trap 25: an answer that ends with SAFETY is a refusal',
    on: isGoogle,
    async run({ script, ask, client }) {
      script({ chunks: three, stopReason: 'SAFETY' })
      await both(async stream => {
        const { text, stop } = await ask(stream)
        assert.deepEqual([text, stop], ['one two three', client.stops.refused])
      })
    },
  },
  {
    name: 'trap 59: a missing proof before any output is asked about once more',
    on: isGoogle,
    async run({ script, ask, client, lane, seen }) {
      const missing = { candidates: [{ content: {}, finishReason: 'MISSING_THOUGHT_SIGNATURE', index: 0 }] }
      const body = JSON.stringify(lane === 'antigravity' ? { response: missing } : missing)
      await both(async stream => {
        const step: Step = { body: stream ? `data: ${body}\r\n\r\n` : body }
        const before = seen().length
        script([step, { text: 'with it' }])
        assert.equal((await ask(stream)).text, 'with it')
        assert.equal(seen().length - before, 2)
        script(step)
        const again = await ask(stream).then(
          ({ stop }) => stop,
          () => 'thrown',
        )
        assert.notEqual(again, client.stops.end, 'again: no good end')
        assert.equal(seen().length - before, 4, 'after one more try')
      })
    },
  },
]

const asking = (model: string, stream: boolean): Ask => ({ model, stream, turns: [{ user: 'hello' }] })
const credentialOf = (model: string, nth = 0) => `cred-${model}-${nth}`

async function retries({ client, door, model, script, seen, made }: On, refusal: Step, stream: boolean) {
  for (const nth of [0, 1]) script([refusal, { text: 'good' }], nth)
  const { text } = await client.ask({ ...door, retries: 2 }, asking(model, stream))
  assert.equal(text, 'good')
  assert.equal(seen(0).length + seen(1).length, 3, 'each account said no once')
  assert.equal(made(), 2, client.lacks?.patience ?? 'it came back when it was told to')
}

interface Outcome {
  client: string
  lane: Lane
  kind: Case
  error: unknown
}

t.test('every official client on every platform', { timeout: 500_000 }, async t => {
  // The brake on guessed keys is no part of this.
  const gw = await gateway(t, { config: { 'limits.bad_keys': 0 } })
  const { db } = gw.database
  const only = process.env['MATRIX']
  const picked = Object.entries(clients).flatMap(([name, client]) =>
    laneNames.flatMap(lane =>
      kinds.flatMap((kind, n) => {
        const model = `${client.model}-${name}-${lane}-${n}`
        if (only && !`${name} ${lane} ${kind.name}`.match(only)) return []
        return kind.on?.(lane, client) === false || (kind.by ?? name) !== name
          ? []
          : [{ name, client, lane, kind, model }]
      }),
    ),
  )
  const keys = {} as Record<Lane, string>
  const groups = {} as Record<Lane, number>
  for (const lane of laneNames) {
    const platform = platformOf(lane)
    const group = await addGroup(db, { name: lane, platform, unknown_model: 'free', on_disconnect: 'abort' })
    groups[lane] = group.id
    keys[lane] = (await createKey(db, gw.secret, { user: 'alice', group: lane, name: lane, valuePrefix: 'sk-' })).key
  }
  // In two statements, where accounts added one by one would cost most of the test's time.
  const accounts = picked.flatMap(({ lane, kind, model }) =>
    Array.from({ length: kind.accounts ?? 1 }, (_, nth) => ({ lane, model, nth })),
  )
  const added = await db
    .insertInto('accounts')
    .values(
      accounts.map(({ lane, model, nth }) => {
        const platform = platformOf(lane)
        const credential = credentialOf(model, nth)
        const oauth = platform === 'antigravity'
        return {
          name: `${model}-${nth}`,
          platform,
          type: oauth ? ('oauth' as const) : ('apikey' as const),
          credential: gw.secret.encrypt(
            oauth ? JSON.stringify({ access_token: credential, project_id: 'proj-1' }) : credential,
          ),
          base_url: gw.mock.url,
          // One place each: what is not given back is missed by the next request.
          concurrency: 1,
          // The first is asked first.
          priority: 50 + nth,
          model_map: JSON.stringify({ [model]: far[lane].model }),
          reason: null,
          ...(platform === 'openai'
            ? { dialect: lane === 'openai-chat' ? ('chat' as const) : ('responses' as const) }
            : {}),
        }
      }),
    )
    .returning(['id', 'name'])
    .execute()
  const ids = new Map(added.map(({ id, name }) => [name, id]))
  await db
    .insertInto('account_groups')
    .values(
      accounts.map(({ lane, model, nth }) => ({
        account_id: ids.get(`${model}-${nth}`)!,
        group_id: groups[lane],
      })),
    )
    .execute()
  await gw.inForce()

  const run = async ({ name, client, lane, kind, model }: (typeof picked)[number]): Promise<Outcome> => {
    let made = 0
    const door: Door = {
      url: gw.url,
      key: keys[lane],
      retries: 0,
      fetch: (...input) => {
        made++
        return fetch(...input)
      },
    }
    const on: On = {
      ...{ client, lane, far: far[lane], gw, door, model },
      script: (step, nth = 0) => gw.mock.script(credentialOf(model, nth), step),
      ask: (stream, more = {}) => client.ask(door, { ...asking(model, stream), ...more }),
      thrown: work =>
        work.then(
          told => assert.fail(`nothing was thrown: ${JSON.stringify(told)}`),
          error => ({ ...client.caught(error), message: String((error as Error)?.message ?? error) }),
        ),
      made: () => made,
      seen: (nth = 0) => gw.mock.stats(credentialOf(model, nth)).bodies,
    }
    // One that hangs fails alone.
    const late = wait(60_000, undefined, { ref: false }).then(() => assert.fail('no answer after a minute'))
    const error = await Promise.race([kind.run(on), late]).then(
      () => undefined,
      error => error ?? new Error('nothing'),
    )
    return { client: name, lane, kind, error }
  }
  const outcomes: Outcome[] = []
  const left = [...picked]
  const worker = async () => {
    for (let next = left.shift(); next; next = left.shift()) outcomes.push(await run(next))
  }
  await Promise.all(Array.from({ length: 16 }, worker))

  for (const { client, lane, kind, error } of outcomes)
    if (error) t.fail(`${client} on ${lane}: ${kind.name}`, { found: String((error as Error).stack ?? error) })
    else t.pass(`${client} on ${lane}: ${kind.name}`)
  t.comment(`| client | ${laneNames.join(' | ')} |`)
  for (const client of Object.keys(clients)) {
    const cells = laneNames.map(lane => {
      const all = outcomes.filter(one => one.client === client && one.lane === lane)
      const failed = all.filter(({ error }) => error).length
      return `${all.length - failed} passed, ${failed} failed`
    })
    t.comment(`| ${client} | ${cells.join(' | ')} |`)
  }
})
