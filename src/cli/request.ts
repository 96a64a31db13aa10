// One request in the Messages dialect through the gateway, with its times: what `gw try` sends.

import { SseCutter } from '../dialect/sse.ts'
import { Refusal } from '../lib/refusal.ts'

export interface Question {
  /** origin of the gateway */
  url: string
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

interface Usage {
  input_tokens?: number
  output_tokens?: number
  cache_creation_input_tokens?: number
  cache_read_input_tokens?: number
}

// The parts of a reply, and of an event of its stream, that are looked at.
interface Message {
  content?: { type: string; text?: string }[]
  usage?: Usage
  message?: { usage?: Usage }
  delta?: { type?: string; text?: string }
  error?: { message?: string }
}

/** @throws Refusal `unreachable` when no gateway answers */
export async function send(question: Question): Promise<Answer> {
  const { url, key, model, text, stream, maxTokens, piece } = question
  await warm(url)
  const begun = performance.now()
  const elapsed = () => Math.round(performance.now() - begun)
  const usage: Usage = {}
  const answer: Answer = {
    request_id: null,
    status: 0,
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
  const say = (more: string) => {
    answer.first_token_ms ??= elapsed()
    answer.text += more
    piece(more)
  }

  const reply = await reach(url, '/v1/messages', {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': key, 'anthropic-version': '2023-06-01' },
    body: JSON.stringify({ model, max_tokens: maxTokens, stream, messages: [{ role: 'user', content: text }] }),
  })
  answer.status = reply.status
  answer.request_id = reply.headers.get('x-request-id')

  try {
    if (stream && reply.headers.get('content-type')?.startsWith('text/event-stream')) {
      let ended = false
      const event = (name: string, data: string) => {
        const message = parse(data)
        ended ||= name === 'message_stop'
        if (name === 'error' || message.error) answer.error = message.error?.message ?? data
        Object.assign(usage, message.message?.usage, message.usage)
        if (message.delta?.text) say(message.delta.text)
      }
      const cutter = new SseCutter({ wants: () => true, event })
      for await (const chunk of reply.body!) cutter.push(Buffer.from(chunk))
      cutter.end()
      if (!ended) answer.error ??= 'the stream ended before the answer did'
    } else {
      const body = await reply.text()
      const message = parse(body)
      if (!reply.ok) answer.error = message.error?.message ?? body.slice(0, 200)
      Object.assign(usage, message.usage)
      for (const { text: part } of message.content ?? []) if (part) say(part)
    }
  } catch (error) {
    answer.error = `the connection broke: ${why(error)}`
  }
  answer.duration_ms = elapsed()
  for (const field of [
    'input_tokens',
    'output_tokens',
    'cache_creation_input_tokens',
    'cache_read_input_tokens',
  ] as const)
    answer[field] = usage[field] ?? 0
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
    throw new Refusal('unreachable', `no gateway answers at ${url}: ${why(error)}; ${next}`, { cause: error })
  }
}

function parse(text: string): Message {
  try {
    return JSON.parse(text) as Message
  } catch {
    return {}
  }
}

function why(error: unknown): string {
  const { cause, message } = error as Error
  return cause instanceof Error ? (cause as NodeJS.ErrnoException).code || cause.message : message
}
