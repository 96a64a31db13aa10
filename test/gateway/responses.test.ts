// Clients of Responses on every platform: the official SDK against the gateway, the scripted provider on its far side.
import OpenAI, { APIError, RateLimitError } from 'openai'
import type { ResponseInput } from 'openai/resources/responses/responses'
import t from 'tap'
import type { Step } from '../../src/mock/step.ts'
import { gateway, type TestGateway } from '../helpers/gateway.ts'
import { type Lane, laneCredential, laneNames, lanes } from '../helpers/lanes.ts'
import { matchAll } from '../helpers/match.ts'

const models: Record<Lane, string> = {
  anthropic: 'claude-sonnet-5-5',
  'openai-chat': 'gpt-4.1',
  'openai-responses': 'gpt-5.6-terra',
  gemini: 'gemini-3.8-flash',
  antigravity: 'gemini-3.1-pro-low',
}
const tools = ['look', 'list'].map(name => ({
  type: 'function' as const,
  name,
  strict: false,
  parameters: { type: 'object', properties: { q: { type: 'string' } } },
}))

const client = (gw: TestGateway, apiKey: string) => new OpenAI({ baseURL: `${gw.url}/v1`, apiKey, maxRetries: 0 })

async function thrown(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    error => error,
  )
}

t.test('on every platform: whole, streamed, parsed, tools at once, and what they gave back', async t => {
  const gw = await gateway(t)
  const keys = await lanes(gw)
  const usage = { input_tokens: 12, output_tokens: 5, cache_read_input_tokens: 3 }
  let rows = 0
  for (const lane of laneNames) {
    const script = (step: Step | Step[]) => gw.mock.script(laneCredential(lane), step)
    const { responses } = client(gw, keys[lane])
    const ask = { model: models[lane], input: 'hello', max_output_tokens: 64 }
    const told = { input_tokens: 15, input_tokens_details: { cached_tokens: 3 }, output_tokens: 5, total_tokens: 20 }

    script({ text: 'hi there', usage })
    const whole = await responses.create(ask)
    t.match(
      whole,
      { object: 'response', status: 'completed', model: models[lane], output_text: 'hi there', usage: told },
      lane,
    )
    t.match(whole._request_id, /^[0-9a-f-]{36}$/, `${lane}: with an id to ask us about`)

    script({ chunks: ['hi', ' ', 'there'], usage })
    const streamed = await responses.stream(ask).finalResponse()
    t.match(streamed, { status: 'completed', output_text: 'hi there', usage: told }, lane)

    script({ text: '{"ok":true}', usage })
    const format = {
      type: 'json_schema' as const,
      name: 'r',
      schema: { type: 'object', properties: { ok: { type: 'boolean' } } },
    }
    const parsed = await responses.parse({ ...ask, text: { format } })
    t.equal(parsed.output_text, '{"ok":true}', `${lane}: structured`)

    const calls = [
      { name: 'look', input: { q: 'Grüße 🦊' } },
      { name: 'list', input: {} },
    ]
    script([
      { text: 'let me see', tools: calls, usage },
      { text: 'done', usage },
    ])
    const input: ResponseInput = [
      { role: 'developer', content: 'Be kind.' },
      { role: 'user', content: 'look' },
    ]
    const called = await responses.stream({ ...ask, input, tools }).finalResponse()
    const made = called.output.filter(item => item.type === 'function_call')
    matchAll(
      t,
      made.map(({ name, arguments: said }) => [name, JSON.parse(said)]),
      [
        ['look', { q: 'Grüße 🦊' }],
        ['list', {}],
      ],
      lane,
    )
    input.push(...(called.output as ResponseInput))
    for (const { call_id } of made.toReversed()) input.push({ type: 'function_call_output', call_id, output: 'ok' })
    const done = await responses.create({ ...ask, input, tools })
    t.equal(done.output_text, 'done', `${lane}: and takes what they gave`)
    rows += 5
  }
  const booked = await gw.usage(rows)
  t.equal(booked.length, rows)
  for (const row of booked) t.match(row, { input_tokens: 12, output_tokens: 5, cache_read_tokens: 3 }, row.platform)
})

t.test('on every platform: what goes wrong is typed, before the stream and in it (trap 1, trap 3, trap 4)', async t => {
  const gw = await gateway(t)
  const keys = await lanes(gw)
  for (const lane of laneNames) {
    const script = (step: Step | Step[]) => gw.mock.script(laneCredential(lane), step)
    const { responses } = client(gw, keys[lane])
    const ask = { model: models[lane], input: 'hello' }
    script({ status: 400, error: { message: 'so not' } })
    t.match(
      await thrown(responses.create(ask)),
      { status: 400, type: 'invalid_request_error', message: /so not/ },
      lane,
    )
    const middle = lane === 'gemini' || lane === 'antigravity' ? 2 : 5
    script({ chunks: ['hi', ' ', 'there'], errorAt: middle, error: { message: 'Busy.' } })
    t.ok((await thrown(responses.stream(ask).finalResponse())) instanceof APIError, `${lane}: an error in the stream`)
    script({ chunks: ['hi', ' ', 'there'], end: middle })
    t.ok(await thrown(responses.stream(ask).finalResponse()), `${lane}: what was cut off is no answer`)
    await gw.heal()
    script({ status: 429, error: { message: 'slow down' }, headers: { 'retry-after': '7' } })
    t.ok((await thrown(responses.create(ask))) instanceof RateLimitError, lane)
    await gw.heal()
  }
  const lane = 'openai-responses'
  gw.mock.script(laneCredential(lane), {
    errorAt: 2,
    error: { type: 'rate_limit_exceeded', message: 'Try again in 20s.' },
  })
  const ask = { model: models[lane], input: 'hello' }
  const limited = (await thrown(client(gw, keys[lane]).responses.stream(ask).finalResponse())) as APIError
  t.ok(limited instanceof RateLimitError, 'a failure before anything was said is a status, whatever the head was')
  t.equal(limited.headers?.get('retry-after'), '20')
  const held = await thrown(
    client(gw, keys.anthropic).responses.create({
      model: models.anthropic,
      input: 'x',
      previous_response_id: 'resp_1',
    }),
  )
  t.match(held, { status: 400, param: 'previous_response_id', code: 'UNTRANSLATABLE' }, 'trap 43')
})

t.test(
  'to a server of Responses bytes pass, with the headers of Codex and without those of another organisation',
  async t => {
    const gw = await gateway(t)
    const keys = await lanes(gw)
    gw.mock.script(laneCredential('openai-responses'), {})
    const body =
      '{ "model":"gpt-5.6-terra","input" : [{"role":"user","content":"hi","n":12345678901234567890}], "of_tomorrow": 1.50 }'
    const reply = await fetch(`${gw.url}/responses`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${keys['openai-responses']}`,
        'content-type': 'application/json',
        originator: 'codex_cli_rs',
        'session-id': 's-1',
        'openai-organization': 'org-mine',
        'chatgpt-account-id': 'mine',
      },
      body,
    })
    t.equal(reply.status, 200)
    t.equal(reply.headers.get('x-gw-dropped'), null)
    const asked = gw.mock.stats(laneCredential('openai-responses')).bodies.at(-1)!
    t.match(asked.headers, { originator: 'codex_cli_rs', 'session-id': 's-1', 'accept-encoding': 'identity' })
    t.notOk('openai-organization' in asked.headers)
    t.notOk('chatgpt-account-id' in asked.headers)
    t.equal(asked.path, '/v1/responses')
  },
)
