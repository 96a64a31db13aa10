// Clients of Chat Completions on every platform: the official SDK against the gateway, the scripted provider on its far side.
import OpenAI, { APIError, AuthenticationError, NotFoundError, RateLimitError } from 'openai'
import type { ChatCompletionMessageParam } from 'openai/resources/chat/completions'
import t from 'tap'
import { setAccount } from '../../src/core/record/account.ts'
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
const say = (content: string) => ({ role: 'user' as const, content })
const tools = ['look', 'list'].map(name => ({
  type: 'function' as const,
  function: { name, parameters: { type: 'object', properties: { q: { type: 'string' } } } },
}))

const client = (gw: TestGateway, apiKey: string, maxRetries = 0) =>
  new OpenAI({ baseURL: `${gw.url}/v1`, apiKey, maxRetries })

async function thrown(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    error => error,
  )
}

t.test('on every platform: whole, streamed, tools at once, and what they gave back', async t => {
  const gw = await gateway(t)
  const keys = await lanes(gw)
  const usage = { input_tokens: 12, output_tokens: 5, cache_read_input_tokens: 3 }
  let rows = 0
  for (const lane of laneNames) {
    const script = (step: Step | Step[]) => gw.mock.script(laneCredential(lane), step)
    const { completions } = client(gw, keys[lane]).chat
    const ask = { model: models[lane], messages: [say('hello')], max_completion_tokens: 64 }
    const told = { prompt_tokens: 15, completion_tokens: 5, total_tokens: 20 }

    script({ text: 'hi there', usage })
    const whole = await completions.create(ask)
    matchAll(t, whole, {
      object: 'chat.completion',
      model: models[lane],
      choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: 'hi there' } }],
      usage: told,
    })
    t.match(whole._request_id, /^[0-9a-f-]{36}$/, `${lane}: with an id to ask us about`)

    script({ chunks: ['hi', ' ', 'there'], usage })
    const stream = completions.stream({ ...ask, stream_options: { include_usage: true } })
    const streamed = await stream.finalChatCompletion()
    matchAll(t, streamed.choices, [{ finish_reason: 'stop', message: { content: 'hi there' } }])
    t.match(streamed.usage, told, `${lane}: usage to who asks`)
    let chunks = 0
    for await (const chunk of await completions.create({ ...ask, stream: true })) {
      t.notOk(chunk.usage, 'and to no other')
      t.equal(chunk.choices.length, 1)
      chunks++
    }
    t.ok(chunks >= 3)

    const calls = [
      { name: 'look', input: { q: 'Grüße 🦊' } },
      { name: 'list', input: {} },
    ]
    script([{ text: 'let me see', tools: calls, interleaved: true }, { text: 'done' }])
    const messages: ChatCompletionMessageParam[] = [{ role: 'developer', content: 'Be kind.' }, say('look')]
    const called = await completions.stream({ ...ask, messages, tools }).finalChatCompletion()
    const { message, finish_reason } = called.choices[0]!
    t.equal(finish_reason, 'tool_calls', lane)
    matchAll(
      t,
      message.tool_calls!.map(
        call => call.type === 'function' && [call.function.name, JSON.parse(call.function.arguments)],
      ),
      [
        ['look', { q: 'Grüße 🦊' }],
        ['list', {}],
      ],
    )
    messages.push(message)
    for (const { id } of [...message.tool_calls!].reverse())
      messages.push({ role: 'tool', tool_call_id: id, content: 'ok' })
    const done = await completions.create({ ...ask, messages, tools })
    t.equal(done.choices[0]!.message.content, 'done', `${lane}: and takes what they gave`)
    rows += 5
  }
  const booked = await gw.usage(rows)
  t.equal(booked.length, rows)
  for (const row of booked) t.notOk(row.partial, `${row.platform}: told`)
  const first = booked.filter(row => row.output_tokens === 5)
  t.ok(first.length >= 3 * laneNames.length)
  for (const row of first) t.match(row, { input_tokens: 12, cache_read_tokens: 3 }, row.platform)
})

t.test('on every platform: what goes wrong is typed, before the stream and in it', async t => {
  const gw = await gateway(t)
  const keys = await lanes(gw)
  for (const lane of laneNames) {
    const script = (step: Step | Step[]) => gw.mock.script(laneCredential(lane), step)
    const { completions } = client(gw, keys[lane]).chat
    const ask = { model: models[lane], messages: [say('hello')] }
    script({ status: 400, error: { message: 'so not' } })
    const invalid = (await thrown(completions.create(ask))) as APIError
    t.match(invalid, { status: 400, type: 'invalid_request_error', message: /so not/ }, lane)
    // Behind the first words, before the end.
    const middle = lane === 'gemini' || lane === 'antigravity' ? 2 : 4
    script({ chunks: ['hi', ' ', 'there'], errorAt: middle, error: { message: 'Busy.' } })
    const heard: string[] = []
    const broken = await thrown(
      (async () => {
        for await (const { choices } of await completions.create({ ...ask, stream: true }))
          heard.push(choices[0]?.delta.content ?? '')
      })(),
    )
    t.ok(broken instanceof APIError, `${lane}: an error in the stream is thrown`)
    script({ chunks: ['hi', ' ', 'there'], end: middle })
    t.ok(await thrown(completions.stream(ask).finalChatCompletion()), `${lane}: trap 1: what was cut off is no answer`)
    script({ status: 429, error: { message: 'slow down' }, headers: { 'retry-after': '7' } })
    const limited = (await thrown(completions.create(ask))) as APIError
    t.ok(limited instanceof RateLimitError, lane)
    await gw.heal()
  }
  t.ok(
    (await thrown(client(gw, 'sk-nobody').chat.completions.create({ model: 'm', messages: [] }))) instanceof
      AuthenticationError,
  )
  t.ok((await thrown(client(gw, keys.gemini).files.list())) instanceof NotFoundError)
  gw.mock.script(laneCredential('anthropic'), {})
  const many = (await thrown(
    client(gw, keys.anthropic).chat.completions.create({ model: 'm', messages: [say('x')], n: 2 }),
  )) as APIError
  t.match(many, { status: 400, param: 'n', code: 'UNTRANSLATABLE' })
})

t.test('the usage that was asked for the bill alone is not heard, and the bill has it', async t => {
  const gw = await gateway(t)
  const keys = await lanes(gw, {}, ['openai-chat'])
  await setAccount(gw.database.db, gw.secret, 'openai-chat-0', { model_map: { mine: 'theirs' } })
  await gw.inForce()
  gw.mock.script(laneCredential('openai-chat'), { chunks: ['a', 'b'], usage: { input_tokens: 7, output_tokens: 2 } })
  const send = async (more: object) => {
    const reply = await fetch(`${gw.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${keys['openai-chat']}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'mine', stream: true, messages: [say('x')], ...more }),
    })
    return reply.text()
  }
  const [quiet, told] = [await send({}), await send({ stream_options: { include_usage: true } })]
  t.notMatch(quiet, /"usage":\{/)
  t.match(quiet, /"finish_reason":"stop".*\n\ndata: \[DONE\]\n\n$/)
  t.match(told, /"choices":\[\],"usage":\{.*\n\ndata: \[DONE\]\n\n$/)
  for (const stream of [quiet, told]) {
    t.notMatch(stream, /theirs/, 'and the model is the one that was asked for')
    t.match(stream, /"model":"mine"/)
  }
  for (const row of await gw.usage(2)) t.match(row, { input_tokens: 7, output_tokens: 2, partial: false })
})

t.test('embeddings pass, are metered, and are of openai alone', async t => {
  const gw = await gateway(t)
  const keys = await lanes(gw, {}, ['openai-chat', 'openai-responses', 'anthropic'])
  for (const lane of ['openai-chat', 'openai-responses'] as const) {
    gw.mock.script(laneCredential(lane), { usage: { input_tokens: 9 } })
    const { embeddings } = client(gw, keys[lane])
    const made = await embeddings.create({ model: 'text-embedding-3-small', input: ['one', 'two'] })
    t.match(made.usage, { prompt_tokens: 9, total_tokens: 9 }, lane)
    t.strictSame(
      made.data.map(({ embedding }) => embedding.every(Number.isFinite) && embedding.length > 0),
      [true, true],
    )
  }
  for (const row of await gw.usage(2)) t.match(row, { input_tokens: 9, output_tokens: 0, partial: false })
  const wrong = (await thrown(client(gw, keys.anthropic).embeddings.create({ model: 'm', input: 'x' }))) as APIError
  t.match(wrong, { status: 400, code: 'WRONG_PLATFORM' })
})
