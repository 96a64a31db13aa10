// Warmup requests are answered here for accounts that ask for it, and for nobody else.

import Anthropic from '@anthropic-ai/sdk'
import t from 'tap'
import { gateway, hello } from '../helpers/gateway.ts'
import { matchAll } from '../helpers/match.ts'

const text = (words: string, more: object = {}) =>
  hello({ messages: [{ role: 'user', content: [{ type: 'text', text: words }] }], ...more })
const title = 'Please write a 5-10 word title for the following conversation: hello'
const topic = [{ type: 'text', text: 'Analyze if this is new. If it does, extract a 2-3 word title that captures it' }]

t.test('what is thrown away is not sent upstream, not billed, and counted', async t => {
  const gw = await gateway(t, {})
  await gw.set.account('a1', { intercept_warmup: true })
  for (const body of [text(title), text('Warmup'), text('hello', { system: topic })]) {
    const reply = await gw.send(body)
    matchAll(t, await reply.json(), {
      id: 'msg_mock_warmup',
      model: 'claude-sonnet-5-5',
      content: [{ type: 'text', text: 'New Conversation' }],
      stop_reason: 'end_turn',
      usage: { input_tokens: 10, output_tokens: 2 },
    })
  }
  const client = new Anthropic({ baseURL: gw.url, apiKey: gw.key, maxRetries: 0 })
  const stream = client.messages.stream({
    model: 'claude-sonnet-5-5',
    max_tokens: 5,
    messages: [{ role: 'user', content: [{ type: 'text', text: 'Warmup' }] }],
  })
  t.equal(await stream.finalText(), 'New Conversation')
  t.equal(gw.mock.stats().requests, 0)
  t.match(await (await fetch(`${gw.daemon.opsUrl}/metrics`)).text(), /gw_intercepted_total\{account="a1"\} 4/)

  for (const body of [
    text('Warmup the oven'),
    hello({ messages: [{ role: 'user', content: 'Warmup' }] }),
    text(title.slice(0, 30)),
  ])
    t.equal((await gw.send(body)).status, 200)
  t.equal(gw.mock.stats().requests, 3, 'what only looks like one goes its way')
  t.equal((await gw.usage(3)).length, 3, 'and is the only thing recorded')
})

t.test('an account that did not ask for it gets everything', async t => {
  const gw = await gateway(t)
  t.equal((await gw.send(text('Warmup'))).status, 200)
  t.equal(gw.mock.stats().requests, 1)
})
