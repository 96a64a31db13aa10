// Answers that are none: whatever comes, a meter counts whole tokens and says nothing that was not there.
import t from 'tap'
import type { DialectName } from '../../src/dialect/dialect.ts'
import { messages } from '../../src/dialect/messages/messages.ts'
import { meters } from '../../src/dialect/table.ts'
import { answer, goldens, metered, type View } from './answers.ts'
import { generator, one, type Random, torn } from './random.ts'

const junk: unknown[] = [
  null,
  -1,
  2.7,
  1e300,
  '7',
  '',
  [],
  {},
  [1],
  { a: 1 },
  true,
  false,
  { toString: 1 },
  Number.MAX_SAFE_INTEGER,
  0,
  5,
]

function sound({ complete, told, begun, error, emitted, mode, geo, parts, ...buckets }: View): boolean {
  const whole = (n: unknown) => Number.isInteger(n) && (n as number) >= 0
  return (
    Object.values(buckets).every(n => whole(n) && (n as number) <= 2 ** 31 - 1) &&
    whole(emitted) &&
    typeof mode === 'string' &&
    typeof geo === 'string' &&
    (parts ?? []).every(
      ({ model, counted, ...tokens }) => typeof model === 'string' && Object.values(tokens).every(whole),
    ) &&
    typeof complete === 'boolean' &&
    typeof told === 'boolean' &&
    typeof begun === 'boolean' &&
    (error === undefined || (typeof error.type === 'string' && typeof error.message === 'string'))
  )
}

/** The JSON with some of its values replaced by what does not belong there. */
function spoilt(random: Random, json: unknown): unknown {
  if (random(8) === 0) return one(random, junk)
  if (Array.isArray(json)) return json.map(value => spoilt(random, value))
  if (typeof json !== 'object' || json === null) return json
  return Object.fromEntries(Object.entries(json).map(([key, value]) => [key, spoilt(random, value)]))
}

const mutations: Record<string, (random: Random, bytes: Buffer) => Buffer> = {
  'values of other kinds': (random, bytes) =>
    Buffer.from(bytes.toString().replace(/[[{].*[}\]]/gs, all => lines(random, all))),
  'cut off': (random, bytes) => bytes.subarray(0, random(bytes.length)),
  'a part twice': (random, bytes) => Buffer.concat([bytes, bytes.subarray(random(bytes.length))]),
  'bytes changed': (random, bytes) => {
    const copy = Buffer.from(bytes)
    for (let n = 1 + random(8); n > 0; n--)
      copy[random(copy.length)] = one(
        random,
        [...'{}[]",:\\ \n\r0-9e', 'x', '\0'].map(c => c.charCodeAt(0)),
      )
    return copy
  },
}

/** Each JSON in the text, line by line or as a whole, spoilt. */
function lines(random: Random, text: string): string {
  try {
    return JSON.stringify(spoilt(random, JSON.parse(text)))
  } catch {
    return text.replace(/\{.*\}/g, line => JSON.stringify(spoilt(random, JSON.parse(line))))
  }
}

t.test('garbage becomes no money, and never an exception', async t => {
  const random = generator(20_261_124)
  for (const [file, dialect, streaming] of goldens) {
    const bytes = Buffer.from(answer(file))
    for (const [what, mutate] of Object.entries(mutations)) {
      const wrong: string[] = []
      for (let n = 0; n < 300; n++) {
        const bad = mutate(random, bytes)
        try {
          const seen = metered(dialect, streaming, torn(random, bad))
          if (!sound(seen)) wrong.push(`${JSON.stringify(seen)} of ${bad}`)
        } catch (error) {
          wrong.push(`${error} of ${bad}`)
        }
      }
      t.same(wrong.slice(0, 2), [], `${file}: ${what}`)
    }
  }
  const deep = `${'{"args":'.repeat(20_000)}1${'}'.repeat(20_000)}`
  const texts = [
    '',
    '<html>502</html>',
    'null',
    '[]',
    '[null]',
    '{}',
    '"x"',
    '[[[]]]',
    '{"error":"x"}',
    '{"usage":{}}',
    deep,
  ]
  texts.push(
    `{"candidates":[{"content":{"parts":[{"functionCall":${deep}}]}}]}`,
    `{"response":${deep}}`,
    '[{"error":{"code":429}}]',
  )
  for (const dialect of Object.keys(meters) as DialectName[])
    for (const text of texts)
      for (const [streaming, body] of [
        [false, text],
        [true, text],
        [true, `data: ${text}\n\n`],
        [true, `event: error\ndata: ${text}\n\n`],
        [true, `event: message_delta\ndata: ${text}\n\n`],
        [true, `event: response.completed\ndata: ${text}\n\n`],
      ] as const) {
        const seen = metered(dialect, streaming, [Buffer.from(body)])
        // An end that says so is one, whatever it ends.
        const ends = body.startsWith('event: response.completed') && text.startsWith('{"response"')
        t.ok(sound(seen) && !seen.told && (!seen.complete || ends), `${dialect}: ${body.slice(0, 60)}`)
      }
})

t.test('a message of garbage is put together, or is none, and never an exception', async t => {
  const block = { type: 'text', text: 'a', citations: [{ n: 1 }], input: { a: 1 }, caller: { type: 'direct' } }
  const delta = { type: 'text_delta', text: 'a', thinking: 'b', partial_json: '{}', citation: { n: 1 } }
  const whole = { type: 'message', content: [block, block], usage: { input_tokens: 1, output_tokens: 1 } }
  const events = [
    { type: 'message_start', message: { ...whole, stop_reason: 'end_turn' } },
    { type: 'content_block_start', index: 0, content_block: block },
    { type: 'content_block_delta', index: 0, delta },
    { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 1 } },
    { type: 'message_stop' },
  ]
  const random = generator(20_261_128)
  const wrong: string[] = []
  const survives = (bytes: string) => {
    try {
      const gatherer = messages.gatherer()
      gatherer.push(Buffer.from(bytes))
      gatherer.end()
      messages.asStream(Buffer.from(bytes))
      for (const streaming of [true, false]) metered('messages', streaming, [Buffer.from(bytes)])
    } catch (error) {
      wrong.push(`${error} of ${bytes}`)
    }
  }
  for (let n = 0; n < 500; n++) {
    survives(JSON.stringify(spoilt(random, whole)))
    survives(events.map(event => `data: ${JSON.stringify(spoilt(random, event))}\n\n`).join(''))
  }
  // A number that keeps its digits is no object as others are.
  survives(
    `data: ${JSON.stringify(events[1])}\n\ndata: ${JSON.stringify(events[2]).replaceAll(/"[ab{}]+"/g, '12345678901234567890')}\n\n`,
  )
  t.strictSame(wrong.slice(0, 2), [])
  const odd = JSON.stringify({ ...whole, content: [null, 'a', [block], { type: 'text', text: 'kept' }] })
  const text = messages.asStream(Buffer.from(odd))!.toString()
  t.equal(text.split('content_block_start"').length, 2, 'what is no object is no block')
  t.match(text, '"text":"kept"')
})
