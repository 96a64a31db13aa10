// Answers as their vendors write them, and what a meter must say of each.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { DialectName, Meter } from '../../src/dialect/dialect.ts'
import { meters } from '../../src/dialect/table.ts'
import type { Usage } from '../../src/dialect/usage.ts'

export const answer = (name: string) => readFileSync(path.join(import.meta.dirname, 'answers', `${name}.txt`), 'utf8')

interface Golden extends Partial<Usage> {
  complete?: boolean
  told?: boolean
  begun?: boolean
  error?: Meter['error']
  emitted?: number
}
type Case = [file: string, dialect: DialectName, streaming: boolean, want: Golden]

/** The bytes of texts as they stand between their quotes. */
const written = (...texts: string[]) => Buffer.byteLength(texts.join(''))
const thought = String.raw`The user asks for the \"usage\": {\"output_tokens\": 0}.`
const query = String.raw`{\"query\": \"weather in Zürich\"}`
const forged = String.raw`\"usage\":{\"prompt_tokens\":0},\"finish_reason\":\"stop\"`

// Names and strings as they are, 4 for a number, 2 for the brackets of each object.
const argumentBytes = 2 + 'finishReason'.length + 'STOP'.length + 'usageMetadata'.length + 2 + 16 + 4 + 20 + 4

// Written after spec/wire.md: field by field what was recorded of the vendors, with traps in the texts.
export const goldens: Case[] = [
  [
    'messages',
    'messages',
    true,
    {
      input: 4310,
      output: 510,
      cacheWrite5m: 200,
      cacheWrite1h: 1000,
      cacheRead: 18432,
      webSearches: 1,
      mode: 'fast',
      emitted: written(thought, query, 'It is sunny in Zürich ☀'),
    },
  ],
  ['messages-whole', 'messages', false, { input: 14, output: 5, webSearches: 3, mode: 'priority', emitted: 38 }],
  [
    'responses',
    'responses',
    true,
    {
      input: 306,
      output: 416,
      cacheWrite30m: 1024,
      cacheRead: 7680,
      webSearches: 2,
      mode: 'flex',
      emitted: written('It is sunny', String.raw` in Zürich \"☀\"`, String.raw`{\"usage\":{}}`),
    },
  ],
  ['responses-incomplete', 'responses', true, { input: 75, output: 16, webSearches: 2, emitted: 9 }],
  [
    'responses-failed',
    'responses',
    true,
    {
      input: 20,
      cacheRead: 10,
      complete: false,
      begun: false,
      emitted: 0,
      error: { type: 'rate_limit_exceeded', message: 'Rate limit reached. Please try again in 1.2s.' },
    },
  ],
  [
    'responses-whole',
    'responses',
    false,
    { input: 200, output: 52, cacheRead: 128, webSearches: 1, mode: 'priority', emitted: 11 },
  ],
  [
    'chat',
    'chat',
    true,
    {
      input: 50,
      output: 29,
      cacheWrite30m: 32,
      cacheRead: 1024,
      emitted: written(forged, ' Grüße ☀', String.raw`{\"city\":\"Zürich\"}`),
    },
  ],
  ['chat-other', 'chat', true, { input: 12, output: 6, emitted: written('hm, so', 'The answer.') }],
  ['chat-whole', 'chat', false, { input: 19, output: 10, mode: 'priority', emitted: 17 }],
  [
    'gemini',
    'gemini',
    true,
    {
      input: 524,
      output: 94,
      cacheRead: 1024,
      emitted: written('**Thinking** about it', 'It is "finishReason": "STOP" in Zürich ☀') + argumentBytes,
    },
  ],
  ['gemini-wrapped', 'gemini', true, { input: 8, output: 3, emitted: 12 }],
  ['gemini-blocked', 'gemini', true, { input: 33, emitted: 0 }],
  ['gemini-whole', 'gemini', false, { input: 20, output: 1400, emitted: 9 }],
  ['gemini-array', 'gemini', false, { input: 30, output: 2, cacheRead: 20, emitted: 5 }],
]

export const view = ({ usage, complete, told, begun, error, emitted }: Meter) => ({
  ...usage,
  complete,
  told,
  begun,
  error,
  emitted,
})
export type View = ReturnType<typeof view>

export function metered(dialect: DialectName, streaming: boolean, chunks: Iterable<Buffer>): View {
  const meter = meters[dialect](streaming)
  for (const chunk of chunks) meter.push(chunk)
  meter.end()
  return view(meter)
}

/** The bytes in pieces of one size. */
export function pieces(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size))
}
