// A whole message becomes the stream that it would have been, and a stream the whole: no byte of what they say is lost.

import { Readable } from 'node:stream'
import Anthropic from '@anthropic-ai/sdk'
import t from 'tap'
import { messages } from '../../src/dialect/messages/messages.ts'
import { matchAll } from '../helpers/match.ts'
import { answer } from './answers.ts'

const head = '"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-5-5"'
const usage = '"usage":{"input_tokens":12,"output_tokens":40,"cache_read_input_tokens":null,"service_tier":"standard"}'
const message = (content: string, why = 'end_turn') =>
  `{${head},"content":[${content}],"stop_reason":"${why}","stop_sequence":null,${usage}}`

// As its JSON stands: digits and the order of keys are what a client parses again.
const input = '{"z":12345678901234567890,"10":1.50,"2":{"a":[1e30,"\\u00fc"]},"b":"x"}'
const blocks: Record<string, string> = {
  text: '{"type":"text","text":"Grüße \\"🦊\\" \\n"}',
  'an empty text': '{"type":"text","text":""}',
  thinking: '{"type":"thinking","thinking":"hm","signature":"c2ln"}',
  'thinking that is not shown': '{"type":"thinking","thinking":"","signature":"c2ln"}',
  'redacted thinking': '{"type":"redacted_thinking","data":"b3BhcXVl"}',
  'a tool': `{"type":"tool_use","id":"toolu_1","name":"run","input":${input},"caller":{"type":"direct"}}`,
  'a tool without input': '{"type":"tool_use","id":"toolu_2","name":"now","input":{}}',
  'a search': '{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"a"}}',
  'its result':
    '{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"type":"web_search_result","url":"u","page_age":9007199254740993}]}',
  citations:
    '{"type":"text","text":"see","citations":[{"type":"char_location","cited_text":"a","start_char_index":0},{"type":"char_location","cited_text":"b","start_char_index":9}]}',
  'no citations': '{"type":"text","text":"see","citations":null}',
  'a block of tomorrow': '{"type":"hologram","text":"kept","depth":3}',
}
const cases = { ...blocks, 'all of them': Object.values(blocks).join(','), nothing: '' }

const gathered = (stream: Buffer, pieceBytes = stream.length) => {
  const gatherer = messages.gatherer()
  for (let at = 0; at < stream.length; at += pieceBytes) gatherer.push(stream.subarray(at, at + pieceBytes))
  return gatherer.end()?.toString()
}

/** What the official SDK makes of a stream. */
function sdk(stream: Buffer): Promise<Anthropic.Message> {
  const body = Readable.toWeb(Readable.from([stream])) as ReadableStream
  const headers = { 'content-type': 'text/event-stream' }
  const client = new Anthropic({ apiKey: 'k', fetch: async () => new Response(body, { headers }) })
  return client.messages
    .stream({ model: 'm', max_tokens: 1, messages: [{ role: 'user', content: 'x' }] })
    .finalMessage()
}

t.test('there and back again, nothing has changed', async t => {
  for (const [what, content] of Object.entries(cases)) {
    const whole = message(content)
    const stream = messages.asStream(Buffer.from(whole))!
    t.equal(gathered(stream), whole, what)
    t.equal(gathered(stream, 1), whole, `${what}, byte by byte`)
  }
})

t.test('the official SDK reads the same message in both', async t => {
  for (const [what, content] of Object.entries(cases)) {
    const whole = message(content, 'tool_use')
    const { parsed_output: _, ...read } = (await sdk(messages.asStream(Buffer.from(whole))!)) as Anthropic.Message & {
      parsed_output?: unknown
    }
    const same = (value: unknown) =>
      JSON.parse(JSON.stringify(value, (name, v) => (name === 'parsed_output' ? undefined : v)))
    t.strictSame(same(read), JSON.parse(whole), what)
  }
})

t.test('the official SDK reads it also where nothing was counted', async t => {
  for (const usage of ['', ',"usage":null', ',"usage":[]']) {
    const whole = `{${head},"content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn"${usage}}`
    matchAll(t, await sdk(messages.asStream(Buffer.from(whole))!), {
      content: [{ text: 'hi' }],
      stop_reason: 'end_turn',
    })
  }
})

t.test('the meter reads the same usage in both', async t => {
  for (const [what, content] of Object.entries(cases)) {
    const whole = Buffer.from(message(content))
    const [one, other] = [messages.meter(false), messages.meter(true)]
    one.push(whole)
    other.push(messages.asStream(whole)!)
    for (const meter of [one, other]) meter.end()
    t.strictSame(other.usage, one.usage, what)
    t.ok(one.complete && other.complete && other.ended)
  }
})

t.test('a recorded stream is gathered as the SDK gathers it', async t => {
  const stream = Buffer.from(answer('messages'))
  t.match(JSON.parse(gathered(stream, 7)!), { type: 'message', content: { length: Number } })
  const { content, usage: counted } = await sdk(stream)
  const whole = JSON.parse(gathered(stream)!)
  t.equal(whole.content.length, content.length)
  t.equal(whole.usage.output_tokens, counted.output_tokens)
})

t.test('what is no answer is none', async t => {
  for (const body of ['', 'x', '[]', '{}', '{"content":1}', '{"content":[', '<html>'])
    t.equal(messages.asStream(Buffer.from(body)), undefined, body)
  const event = (data: string) => Buffer.from(`data: ${data}\n\n`)
  for (const data of [
    'x',
    '{"type":"ping"}',
    '{"type":"content_block_start","index":0,"content_block":{"type":"text"}}',
  ])
    t.equal(gathered(event(data)), undefined, data)
  const odd = ['-1', '1e9', '"__proto__"', 'null'].map(index =>
    event(`{"type":"content_block_start","index":${index},"content_block":{"type":"text","text":""}}`),
  )
  const start = event('{"type":"message_start","message":{"id":"a"}}')
  t.equal(
    gathered(Buffer.concat([start, ...odd.slice(0, 3)])),
    '{"id":"a","content":[]}',
    'nor is a block out of place',
  )
})
