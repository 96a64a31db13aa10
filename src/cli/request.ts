// One request through the gateway in any dialect, with its times: what `gw try` sends.

import type { DialectName } from '../dialect/dialect.ts'
import { SseCutter } from '../dialect/sse.ts'
import { meters } from '../dialect/table.ts'
import { cacheWrites } from '../dialect/usage.ts'
import { Refusal } from '../lib/refusal.ts'
import { why } from '../lib/why.ts'
import { type Heard, tongues } from './tongues.ts'

export interface Question {
  /** origin of the gateway */
  url: string
  dialect: DialectName
  key: string
  model: string
  text: string
  stream: boolean
  maxTokens: number
  /** told each piece of the answer as it comes */
  piece(text: string): void
}

export interface Answer {
  request_id: string | null
  status: number
  dialect: DialectName
  model: string
  stream: boolean
  text: string
  input_tokens: number
  output_tokens: number
  cache_creation_input_tokens: number
  cache_read_input_tokens: number
  /** ms from the request until the first piece of the answer, null when none came */
  first_token_ms: number | null
  duration_ms: number
  /** what the gateway or the upstream said when it refused, or broke off */
  error: string | null
}

/** @throws Refusal `unreachable` when no gateway answers */
export async function send(question: Question): Promise<Answer> {
  const { url, dialect, model, stream, piece } = question
  const tongue = tongues[dialect]
  await warm(url)
  const begun = performance.now()
  const elapsed = () => Math.round(performance.now() - begun)
  const meter = meters[dialect](stream)
  const answer: Answer = {
    request_id: null,
    status: 0,
    dialect,
    model,
    stream,
    text: '',
    input_tokens: 0,
    output_tokens: 0,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    first_token_ms: null,
    duration_ms: 0,
    error: null,
  }
  const say = (more: string | undefined) => {
    if (!more) return
    answer.first_token_ms ??= elapsed()
    answer.text += more
    piece(more)
  }

  const { path, headers, body } = tongue.request(question)
  const reply = await reach(url, path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  answer.status = reply.status
  answer.request_id = reply.headers.get('x-request-id')

  try {
    if (stream && reply.headers.get('content-type')?.startsWith('text/event-stream')) {
      const event = (_: string, data: string) => {
        for (const text of tongue.pieces(parse(data))) say(text)
      }
      const cutter = new SseCutter({ wants: () => true, event })
      for await (const chunk of reply.body!) {
        meter.push(Buffer.from(chunk))
        cutter.push(Buffer.from(chunk))
      }
      meter.end()
      cutter.end()
      if (meter.error) answer.error = meter.error.message || meter.error.type
      else if (!meter.complete) answer.error = 'the stream ended before the answer did'
    } else {
      const text = await reply.text()
      const heard = parse(text)
      if (!reply.ok) answer.error = heard.error?.message ?? text.slice(0, 200)
      for (const one of tongue.texts(heard)) say(one)
      meter.push(Buffer.from(text))
      meter.end()
    }
  } catch (error) {
    answer.error = `the connection broke: ${why(causeOf(error))}`
  }
  answer.duration_ms = elapsed()
  const { usage } = meter
  answer.input_tokens = usage.input
  answer.output_tokens = usage.output
  answer.cache_creation_input_tokens = cacheWrites(usage)
  answer.cache_read_input_tokens = usage.cacheRead
  return answer
}

// Node loads its HTTP client at the first use, and connecting takes its time too: clients that stay do neither twice,
// so neither belongs in what is measured. What is answered does not matter.
async function warm(url: string): Promise<void> {
  await (await reach(url, '/health', {})).arrayBuffer().catch(() => {})
}

async function reach(url: string, path: string, init: RequestInit): Promise<Response> {
  try {
    // A redirect would carry the key to somewhere else.
    return await fetch(url + path, { ...init, redirect: 'error' })
  } catch (error) {
    const next = 'start it with gw serve, or name it with --url'
    throw new Refusal('unreachable', `no gateway answers at ${url}: ${why(causeOf(error))}; ${next}`, { cause: error })
  }
}

function parse(text: string): Heard {
  try {
    return JSON.parse(text) as Heard
  } catch {
    return {}
  }
}

// What Node's fetch says itself is only that it failed.
const causeOf = (error: unknown): unknown => (error as Error).cause ?? error
