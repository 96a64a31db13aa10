// What every dialect's meter reads of answers as their vendors write them, wherever the reads fall.
import t from 'tap'
import type { DialectName } from '../../src/dialect/dialect.ts'
import { meters } from '../../src/dialect/table.ts'
import { noUsage, type Usage } from '../../src/dialect/usage.ts'
import { answer, goldens, metered, pieces, view } from './answers.ts'
import { heldBy } from './memory.ts'
import { generator, torn } from './random.ts'

function* cuts(bytes: Buffer): Generator<Buffer[]> {
  yield [bytes]
  for (let at = 1; at < bytes.length; at++) yield [bytes.subarray(0, at), bytes.subarray(at)]
  for (const size of [1, 2, 100]) yield pieces(bytes, size)
}

const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b)

t.test('every dialect is read as its vendor writes it, wherever the reads fall', async t => {
  for (const [file, dialect, streaming, golden] of goldens) {
    const text = answer(file)
    const forms: Record<string, string> = { plain: text }
    if (streaming)
      Object.assign(forms, {
        CRLF: text.replaceAll('\n', '\r\n'),
        CR: text.replaceAll('\n', '\r'),
        marked: `\ufeff${text}`,
        commented: text.replace(/^data/gm, ': "usage":{}\ndata').replaceAll('\n\n', '\n\n: keep-alive\n\n'),
        'without its last blank line': text.trimEnd(),
      })
    for (const [form, one] of Object.entries(forms)) {
      const bytes = Buffer.from(one)
      const want = {
        ...noUsage(),
        complete: true,
        told: true,
        begun: true,
        error: undefined,
        emitted: 0,
        ...golden,
      }
      const seen = metered(dialect, streaming, [bytes])
      t.same(seen, want, `${file}, ${form}`)
      const wrong = [...cuts(bytes)].findIndex(chunks => !same(metered(dialect, streaming, chunks), seen))
      t.equal(wrong, -1, `${file}, ${form}, cut at every byte`)
    }
  }
})

t.test('what is cut off is never complete, and never more than the truth', async t => {
  for (const [file, dialect, streaming] of goldens) {
    const text = answer(file).trimEnd()
    const bytes = Buffer.from(text)
    const truth = metered(dialect, streaming, [bytes])
    // Of Chat all has been said before `[DONE]`, which not all servers say; of Gemini's blocked prompt only the end is left.
    const last = Buffer.byteLength(text.replace(/(\n\ndata: )?\[DONE\]$/, ''))
    const wrong: string[] = []
    let emitted = 0
    for (let at = 0; at < last; at++) {
      const open = meters[dialect](streaming)
      open.push(bytes.subarray(0, at))
      const so = view(open)
      open.end()
      const ended = view(open)
      for (const one of [so, ended])
        if (one.complete || !within(one, truth)) wrong.push(`at ${at}: ${JSON.stringify(one)}`)
      if (so.emitted < emitted) wrong.push(`fewer bytes at ${at}`)
      emitted = so.emitted
    }
    t.same(wrong.slice(0, 3), [], file)
  }
})

const within = (some: Usage, all: Usage) =>
  (['output', 'cacheWrite5m', 'cacheWrite1h', 'cacheRead', 'webSearches'] as const).every(b => some[b] <= all[b]) &&
  some.input <= all.input

t.test('about the bytes of the answer are known of a stream without its usage', async t => {
  const random = generator(7)
  const words = () => 'It is a fine day in Zürich, "so" they say\n'.slice(random(20), 25 + random(17))
  const named = (data: object, name?: string) => `${name ? `event: ${name}\n` : ''}data: ${JSON.stringify(data)}\n\n`
  const block = (index: number, delta: object) =>
    named({ type: 'content_block_delta', index, delta }, 'content_block_delta')
  const response = (kind: string, n: number, delta: string) =>
    named(
      {
        type: kind,
        sequence_number: n,
        item_id: 'msg_1',
        output_index: n % 12,
        delta,
        obfuscation: 'x'.repeat(n % 16),
      },
      kind,
    )
  const choice = (delta: object) => named({ id: 'c', choices: [{ index: 0, delta, finish_reason: null }], usage: null })
  const part = (part: object) => named({ candidates: [{ content: { parts: [part] } }] })
  const ways: [DialectName, string, (text: string, n: number) => string][] = [
    ['messages', 'text', (text, n) => block(n % 12, { type: 'text_delta', text })],
    ['messages', 'thinking', (thinking, n) => block(n % 12, { type: 'thinking_delta', thinking, estimated_tokens: n })],
    ['messages', 'arguments', (text, n) => block(n % 12, { type: 'input_json_delta', partial_json: text })],
    [
      'messages',
      'all by turns',
      (text, n) => block(9, n % 2 ? { type: 'text_delta', text } : { type: 'input_json_delta', partial_json: text }),
    ],
    [
      'messages',
      'signatures between',
      (text, n) =>
        block(n, { type: 'text_delta', text }) + block(n, { type: 'signature_delta', signature: text.repeat(9) }),
    ],
    [
      'messages',
      'spaces and no names',
      text =>
        `data: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": ${JSON.stringify(text)}}}\n\n`,
    ],
    ['responses', 'text', (text, n) => response('response.output_text.delta', n, text)],
    ['responses', 'arguments', (text, n) => response('response.function_call_arguments.delta', n, text)],
    ['chat', 'text', content => choice({ content })],
    ['chat', 'reasoning', reasoning_content => choice({ content: null, reasoning_content })],
    ['chat', 'arguments', text => choice({ tool_calls: [{ index: 0, function: { arguments: text } }] })],
    ['gemini', 'text', text => part({ text })],
    ['gemini', 'arguments', text => part({ functionCall: { name: 'f', args: { t: text } } })],
  ]
  for (const [dialect, what, say] of ways) {
    const said = Array.from({ length: 300 }, words)
    const pings =
      dialect === 'messages' ? named({ type: 'ping', text: 'not an answer' }, 'ping') : ': "text":"no answer"\n\n'
    const stream = Buffer.from(said.map((text, n) => say(text, n) + pings).join(''))
    const truth = said.reduce((bytes, text) => bytes + Buffer.byteLength(text), 0)
    for (const chunks of [[stream], torn(random, stream)]) {
      const { emitted, complete } = metered(dialect, true, chunks)
      t.ok(Math.abs(emitted - truth) < truth * 0.3, `${dialect}, ${what}: ${emitted} of ${truth} bytes`)
      t.notOk(complete)
    }
    t.equal(metered(dialect, true, [Buffer.from(pings.repeat(50))]).emitted, 0, `${dialect}: pings say nothing`)
  }
  const long = 'a "long" text, '.repeat(20_000)
  for (const [dialect, say] of [ways[0]!, ways[6]!, ways[8]!].map(([dialect, , say]) => [dialect, say] as const)) {
    const stream = Buffer.from(say(long, 0))
    for (const chunks of [[stream], torn(random, stream)])
      t.ok(Math.abs(metered(dialect, true, chunks).emitted / long.length - 1) < 0.3, `${dialect}: a long delta`)
  }
})

t.test('an image in an answer costs neither memory nor its usage', async t => {
  const mb = Buffer.alloc(1024 * 1024, 'iVBORw0K"'.slice(0, 8))
  const image: Record<DialectName, [before: string, after: string]> = {
    messages: [
      'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":7,"output_tokens":8},"stop_reason":"end_turn","content":"',
      '"}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n',
    ],
    responses: [
      'event: response.completed\ndata: {"type":"response.completed","response":{"output":[{"result":"',
      '"}],"usage":{"input_tokens":7,"output_tokens":8}}}\n\n',
    ],
    chat: [
      'data: {"choices":[{"delta":{"images":[{"url":"',
      '"}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":8}}\n\ndata: [DONE]\n\n',
    ],
    gemini: [
      'data: {"candidates":[{"content":{"parts":[{"inlineData":{"data":"',
      '"}}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":8}}\r\n\r\n',
    ],
  }
  for (const [dialect, [before, after]] of Object.entries(image) as [DialectName, [string, string]][]) {
    const meter = meters[dialect](true)
    const held = await heldBy(() => {
      meter.push(Buffer.from(before))
      for (let i = 0; i < 40; i++) meter.push(Buffer.from(mb))
    })
    t.ok(held < 4, `${dialect}: ${held} MB held of 40`)
    meter.push(Buffer.from(after))
    meter.end()
    t.match(view(meter), { input: 7, output: 8, complete: true }, `${dialect}: and then its usage`)

    const [whole, rest] = [before.replace(/^[^{]*/, ''), after.slice(0, after.search(/\r?\n/))]
    const body = meters[dialect](false)
    const inBody = dialect === 'messages' || dialect === 'responses' ? '{"x":"' : whole
    const end =
      dialect === 'messages' || dialect === 'responses' ? '","usage":{"input_tokens":7,"output_tokens":8}}' : rest
    const kept = await heldBy(() => {
      body.push(Buffer.from(inBody))
      for (let i = 0; i < 40; i++) body.push(Buffer.from(mb))
    })
    t.ok(kept < 4, `${dialect}: ${kept} MB held of a body of 40`)
    body.push(Buffer.from(end))
    body.end()
    t.match(view(body), { input: 7, output: 8, complete: true }, `${dialect}: and then its usage, whole`)

    // Not JSON at all: nothing can be left out of it, so it is given up.
    const line = meters[dialect](true)
    const given = await heldBy(() => {
      line.push(Buffer.from(before.slice(0, before.indexOf('{') + 1)))
      for (let i = 0; i < 40; i++) line.push(Buffer.alloc(1024 * 1024, 'x'))
    })
    t.ok(given < 4, `${dialect}: ${given} MB held of a line that is no JSON`)
    line.push(Buffer.from('\n\n'))
    line.end()
    t.notOk(line.complete)
  }
})
