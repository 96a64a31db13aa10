// Thinking across accounts: a conversation goes from vendor to vendor, and no upstream ever meets a proof of reasoning that it did not issue.
import Anthropic from '@anthropic-ai/sdk'
import t from 'tap'
import type { Step } from '../../src/mock/step.ts'
import { gateway, type TestGateway } from '../helpers/gateway.ts'
import { type Lane, laneCredential, lanes } from '../helpers/lanes.ts'

// biome-ignore lint/suspicious/noExplicitAny: histories of four dialects
type Json = Record<string, any>

const models: Record<Lane, string> = {
  anthropic: 'claude-sonnet-5-5',
  'openai-chat': 'gpt-4.1',
  'openai-responses': 'gpt-5.6-terra',
  gemini: 'gemini-3.6-flash',
  antigravity: 'gemini-3.1-pro-low',
}
const schema = { type: 'object', properties: { city: { type: 'string' } } }

/** How a client of a dialect keeps its conversation: everything that it was told comes back as it was. */
interface Client {
  path(model: string): string
  headers(key: string): Record<string, string>
  body(model: string, history: Json[], n: number): Json
  /** the answer, and what the client does with its calls */
  told(history: Json[], answer: Json): void
}

const user = (text: string) => ({ role: 'user', content: text })
const clients: Record<string, Client> = {
  messages: {
    path: () => '/v1/messages',
    headers: key => ({ 'x-api-key': key, 'anthropic-version': '2026-10-21' }),
    body: (model, messages) => ({
      model,
      max_tokens: 4096,
      thinking: { type: 'adaptive' },
      tools: [{ name: 'weather', input_schema: schema }],
      messages,
    }),
    told(history, { content }) {
      history.push({ role: 'assistant', content })
      const results = content
        .filter((block: Json) => block['type'] === 'tool_use')
        .map((block: Json) => ({ type: 'tool_result', tool_use_id: block['id'], content: 'sunny' }))
      history.push({ role: 'user', content: results.length > 0 ? results : 'go on' })
    },
  },
  responses: {
    path: () => '/v1/responses',
    headers: key => ({ authorization: `Bearer ${key}` }),
    body: (model, input) => ({
      model,
      store: false,
      include: ['reasoning.encrypted_content'],
      reasoning: { effort: 'low', summary: 'auto' },
      tools: [{ type: 'function', name: 'weather', parameters: schema, strict: false }],
      input,
    }),
    told(history, { output }) {
      history.push(...output)
      const calls = output.filter((item: Json) => item['type'] === 'function_call')
      for (const { call_id } of calls) history.push({ type: 'function_call_output', call_id, output: 'sunny' })
      if (calls.length === 0) history.push({ type: 'message', ...user('go on') })
    },
  },
  chat: {
    path: () => '/v1/chat/completions',
    headers: key => ({ authorization: `Bearer ${key}` }),
    body: (model, messages) => ({
      model,
      max_completion_tokens: 4096,
      tools: [{ type: 'function', function: { name: 'weather', parameters: schema } }],
      messages,
    }),
    told(history, { choices }) {
      const { message } = choices[0]
      history.push(message)
      for (const { id } of message.tool_calls ?? []) history.push({ role: 'tool', tool_call_id: id, content: 'sunny' })
      if (!message.tool_calls?.length) history.push(user('go on'))
    },
  },
  gemini: {
    path: model => `/v1beta/models/${model}:generateContent`,
    headers: key => ({ 'x-goog-api-key': key }),
    body: (_, contents) => ({
      contents: contents.map(one =>
        typeof one['content'] === 'string' ? { role: 'user', parts: [{ text: one['content'] }] } : one,
      ),
      tools: [{ functionDeclarations: [{ name: 'weather', parametersJsonSchema: schema }] }],
      generationConfig: { thinkingConfig: { includeThoughts: true } },
    }),
    told(history, { candidates }) {
      const { content } = candidates[0]
      history.push(content)
      const calls = content.parts.filter((part: Json) => part['functionCall'])
      const results = calls.map(({ functionCall: { id, name } }: Json) => ({
        functionResponse: { ...(id ? { id } : {}), name, response: { output: 'sunny' } },
      }))
      history.push({ role: 'user', parts: results.length > 0 ? results : [{ text: 'go on' }] })
    },
  },
}

// Every other turn calls a tool, which is when vendors look closest at what came before it.
const turns: Step[] = [
  { thinking: 'let me see', text: 'so far so good', proofs: 'own' },
  { thinking: 'I must look', text: '', tools: [{ name: 'weather', input: { city: 'Oslo' } }], proofs: 'own' },
]
const TURNS = 20
const script = Array.from({ length: TURNS / 2 }, () => turns).flat()

const signatures = (text: string) =>
  [...text.matchAll(/"(?:signature|encrypted_content|thoughtSignature)":"([^"]+)"/g)].map(([, value]) => value!)

/** The bodies that an account was asked with, in order. */
const askedOf = (gw: TestGateway, credential: string) => gw.mock.stats(credential).bodies.map(({ body }) => body ?? '')

for (const [name, client] of Object.entries(clients))
  t.test(
    `a ${name} client thinks for ${TURNS} turns over three vendors and four accounts (traps 11, 12, 13, 41)`,
    async t => {
      const gw = await gateway(t)
      const order: Lane[] = ['anthropic', 'openai-responses', 'gemini']
      const keys = await lanes(gw, { scripts: [script, script] }, order)
      const history: Json[] = [user('What is the weather in Oslo?')]
      for (let n = 0; n < TURNS; n++) {
        // Two turns on each, so that every vendor also meets its own.
        const lane = order[Math.floor(n / 2) % order.length]!
        if (n === 12) for (const one of order) await gw.set.account(`${one}-0`, { status: 'paused' })
        const model = models[lane]
        const reply = await fetch(gw.url + client.path(model), {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...client.headers(keys[lane]) },
          body: JSON.stringify(client.body(model, history, n)),
        })
        const answer = (await reply.json()) as Json
        if (reply.status !== 200) {
          t.fail(`turn ${n + 1} on ${lane}: ${reply.status} ${JSON.stringify(answer)}`)
          return
        }
        client.told(history, answer)
      }
      let asked = 0
      let own = 0
      for (const lane of order)
        for (const nth of [0, 1]) {
          const { requests, refusedProofs } = gw.mock.stats(laneCredential(lane, nth))
          t.equal(refusedProofs, 0, `${lane}-${nth} refused nothing`)
          asked += requests
          const bodies = askedOf(gw, laneCredential(lane, nth))
          own += bodies.slice(1).filter(body => signatures(body).length > 0).length
          for (const body of bodies) t.notOk(/gw1\.|Z3cxL/.test(body), `${lane}-${nth} sees no envelope of ours`)
        }
      t.equal(asked, TURNS, 'nothing was asked twice')
      t.ok(own > 0, 'and its own reasoning comes back to a vendor')
    },
  )

t.test('on one account the conversation is not touched, also when another has been asked in between', async t => {
  const gw = await gateway(t)
  const keys = await lanes(gw, { scripts: [script] }, ['anthropic', 'gemini'])
  const sdk = (lane: Lane) => new Anthropic({ baseURL: gw.url, apiKey: keys[lane], maxRetries: 0 })
  const history: Json[] = [user('What is the weather in Oslo?')]
  const turn = async (lane: Lane) => {
    const body = { ...clients['messages']!.body(models[lane], history, 0), stream: true }
    const message = await sdk(lane)
      .messages.stream(body as never)
      .finalMessage()
    clients['messages']!.told(history, message as unknown as Json)
    return message.content as unknown as Json[]
  }
  const first = await turn('anthropic')
  const second = await turn('anthropic')
  const foreign = await turn('gemini')
  t.ok(String(foreign[0]!['signature']).startsWith('gw1.g.'), 'what Gemini thought is sealed')
  await turn('anthropic')
  const [, , last] = askedOf(gw, laneCredential('anthropic'))
  const sent = JSON.parse(last!) as { messages: Json[] }
  t.strictSame(sent.messages[1]!['content'], JSON.parse(JSON.stringify(first)), 'native blocks are as they were')
  t.strictSame(sent.messages[3]!['content'], JSON.parse(JSON.stringify(second)))
  t.notOk(JSON.stringify(sent.messages[5]).includes('thinking'), 'the foreign block is left out')
  t.equal(gw.mock.stats(laneCredential('anthropic')).refusedProofs, 0)
})

t.test('a proof that nobody knows is sent once, and after its refusal left out once', async t => {
  const gw = await gateway(t)
  const keys = await lanes(gw, { scripts: [[{ proofs: 'own' }]] }, ['anthropic', 'openai-responses', 'gemini'])
  const block = { type: 'thinking', thinking: 'elsewhere', signature: 'RXFRQg==' }
  const messages = [user('hi'), { role: 'assistant', content: [block, { type: 'text', text: 'ho' }] }, user('go on')]
  const reply = await fetch(`${gw.url}/v1/messages`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': keys.anthropic },
    body: JSON.stringify({ model: models.anthropic, max_tokens: 64, messages }),
  })
  t.equal(reply.status, 200)
  t.equal(reply.headers.get('x-gw-dropped'), 'messages.thinking')
  const bodies = askedOf(gw, laneCredential('anthropic'))
  t.equal(bodies.length, 2)
  t.ok(bodies[0]!.includes('RXFRQg=='))
  t.notOk(bodies[1]!.includes('RXFRQg=='))
  t.strictSame(
    gw.daemon.gateway.health.ailments([...gw.daemon.gateway.snapshot.accounts.keys()][1]!),
    [],
    'nobody is blamed',
  )
})
