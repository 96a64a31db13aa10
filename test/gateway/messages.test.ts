// Messages through the gateway: bytes, usage, money, errors.
import { createHash } from 'node:crypto'
import t from 'tap'
import { gateway, hello } from '../helpers/gateway.ts'

t.test('a whole answer is relayed byte for byte, and what it used is recorded and priced', async t => {
  const gw = await gateway(t, {
    group: { multiplier: '1.5' },
    accounts: [
      {
        script: {
          text: 'hi there',
          usage: {
            input_tokens: 1000,
            output_tokens: 200,
            cache_read_input_tokens: 50,
            ephemeral_1h_input_tokens: 10,
            ephemeral_5m_input_tokens: 20,
          },
        },
      },
    ],
  })
  const reply = await gw.send(hello())
  const bytes = Buffer.from(await reply.arrayBuffer())
  t.equal(reply.status, 200)
  t.match(reply.headers.get('x-request-id'), /^[0-9a-f-]{36}$/)
  const [seen] = gw.mock.stats().bodies
  t.equal(reply.headers.get('x-upstream-request-id'), seen!.id)
  t.equal(createHash('sha256').update(bytes).digest('hex'), seen!.responseSha256)
  t.equal(
    seen!.sha256,
    createHash('sha256').update(JSON.stringify(hello())).digest('hex'),
    'the body went up as it came',
  )
  const [row] = await gw.usage(1)
  t.match(row, {
    user: 'alice',
    key: 'alice',
    group: 'main',
    account: 'a1',
    status: 200,
    stream: false,
    input_tokens: 1000,
    output_tokens: 200,
    cache_read_tokens: 50,
    cache_write_5m_tokens: 20,
    cache_write_1h_tokens: 10,
    partial: false,
  })
  // claude-sonnet-5-5: 2 / 10 / 2.5 / 4 / 0.1 USD per million tokens
  t.equal(row!.cost, 1000n * 2000n + 200n * 10_000n + 20n * 2500n + 10n * 4000n + 50n * 100n)
  t.equal(row!.charged, (row!.cost * 3n) / 2n)
})

t.test('a stream is relayed byte for byte, and recorded', async t => {
  const gw = await gateway(t, {
    accounts: [{ script: { chunks: ['a', 'b', 'c'], usage: { input_tokens: 7, output_tokens: 3 } } }],
  })
  const reply = await gw.send(hello({ stream: true }))
  t.match(reply.headers.get('content-type'), /text\/event-stream/)
  const bytes = Buffer.from(await reply.arrayBuffer())
  t.equal(
    createHash('sha256').update(bytes).digest('hex'),
    (await gw.mock.until(s => s.inFlight === 0)).bodies[0]!.responseSha256,
  )
  const [row] = await gw.usage(1)
  t.match(row, { stream: true, input_tokens: 7, output_tokens: 3, partial: false })
  t.ok(row!.first_token_ms !== null)
})

t.test('the model is mapped on the way up and back on the way down, and nothing else changes', async t => {
  const gw = await gateway(t, { accounts: [{ models: { 'claude-*': 'vendor/claude-*' }, script: { text: 'ok' } }] })
  for (const stream of [false, true]) {
    const reply = await gw.send(
      `{"stream":${stream}, "model" : "claude-sonnet-5-5","max_tokens":5,"messages":[{"role":"user","content":"é 12345678901234567890"}]}`,
    )
    const text = await reply.text()
    t.match(text, '"model":"claude-sonnet-5-5"')
    t.notMatch(text, 'vendor/')
    t.equal(
      gw.mock.stats().bodies.at(-1)!.body,
      `{"stream":${stream}, "model" : "vendor/claude-sonnet-5-5","max_tokens":5,"messages":[{"role":"user","content":"é 12345678901234567890"}]}`,
    )
  }
  const rows = await gw.usage(2)
  t.match(rows[0], { model: 'claude-sonnet-5-5', upstream_model: 'vendor/claude-sonnet-5-5' })
})
