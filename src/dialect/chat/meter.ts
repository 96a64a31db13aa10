// The usage of a Chat Completions answer as it passes by, stream or whole (spec/wire.md §2.1).

import type { Meter } from '../dialect.ts'
import { BodyMeter, errorOf, isNamed, modeOf, parse, StreamMeter, textOf } from '../meter.ts'
import { type Details, errorKinds, takeInclusive } from '../openai-usage.ts'

interface RawChunk {
  /** of embeddings */
  data?: unknown
  choices?: unknown
  error?: unknown
  service_tier?: unknown
  usage?: { prompt_tokens?: unknown; prompt_tokens_details?: Details | null; completion_tokens?: unknown } | null
}

interface RawChoice {
  message?: Partial<Record<'content' | 'reasoning_content' | 'reasoning' | 'refusal' | 'tool_calls', unknown>> | null
}

export function chatMeter(streaming: boolean): Meter {
  return streaming ? new ChatStream() : new BodyMeter(readBody)
}

const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
// No event has a name here; what ends an answer, counts it or breaks it is a key whose value is not null. In a string its
// quotes would have backslashes before them.
const news = /"(?:usage|finish_reason|error)"\s*:\s*[^n\s]/
const spoken = ['content', 'arguments', 'reasoning_content', 'reasoning', 'refusal', 'input'].map(key =>
  Buffer.from(`"${key}"`),
)

class ChatStream extends StreamMeter {
  #finished = false
  #counted = false

  protected override wants(event: string, head: Buffer, whole: boolean): boolean {
    this.hears(head, spoken)
    // Of a chunk that is there in part the news may be in the rest.
    if (!this.begun) return true
    const delta = whole && event !== 'error' && head[0] === OPEN_BRACE && head.at(-1) === CLOSE_BRACE
    return !delta || news.test(head.toString('latin1'))
  }

  protected override read(name: string, data: string): void {
    if (data.trim() === '[DONE]') {
      this.begun = this.ended = true
      // Servers exist that never give a reason, and say that it is over when they have counted it.
      this.#finished ||= this.#counted
      this.#close()
      return
    }
    const chunk = parse(data) as RawChunk | undefined
    if (!chunk) return
    if (chunk.error || name === 'error') {
      this.fail(chunk.error ?? chunk, errorKinds, 'server_error')
      this.ended = true
      return
    }
    this.#finished ||= finishes(chunk)
    this.#counted ||= isNamed(chunk.usage)
    take(this, chunk)
    this.begun ||= this.#finished || speaks(chunk)
  }

  /** Without `[DONE]`, too: not all servers say it. Then only the usage, which comes behind all choices, tells the end from a break. */
  override end(): void {
    super.end()
    if (this.#counted) this.#close()
  }

  // Only here: with several choices one is finished before the others.
  #close(): void {
    this.complete ||= this.#finished && !this.error
  }
}

function readBody(body: RawChunk, meter: BodyMeter): void {
  take(meter, body)
  if (body.error) meter.error = errorOf(body.error, errorKinds, 'server_error')
  else if (Array.isArray(body.data) && !body.choices) embedded(body, meter)
  else if ((Array.isArray(body.choices) && body.choices.length > 0) || meter.told) meter.answers(written(body.choices))
}

/** Embeddings: a prompt, and nothing that a model wrote. */
function embedded({ data, usage }: RawChunk, meter: BodyMeter): void {
  if (!isNamed(usage) || (data as unknown[]).length === 0) return
  meter.complete = true
  meter.emitted = 0
  meter.says('output')
}

/** About the bytes that the model wrote: texts, and arguments of its calls. */
function written(choices: unknown): number {
  let bytes = 0
  for (const choice of Array.isArray(choices) ? (choices as RawChoice[]) : []) {
    const { content, reasoning_content, reasoning, refusal, tool_calls } = choice?.message ?? {}
    bytes += textOf(content) + textOf(reasoning_content ?? reasoning) + textOf(refusal)
    for (const call of Array.isArray(tool_calls) ? tool_calls : [])
      bytes += textOf(call?.function?.arguments) + textOf(call?.custom?.input)
  }
  return bytes
}

/** Whether any choice says something: its role alone, or an empty text, is nothing. */
function speaks({ choices }: RawChunk): boolean {
  const deltas: unknown[] = Array.isArray(choices) ? choices.map(choice => choice?.delta) : []
  return deltas.some(delta => Object.entries(delta ?? {}).some(([name, value]) => name !== 'role' && !isEmpty(value)))
}

const isEmpty = (value: unknown) =>
  value === '' || value === null || value === undefined || (Array.isArray(value) && value.length === 0)

function finishes({ choices }: RawChunk): boolean {
  const reasons: unknown[] = Array.isArray(choices) ? choices.map(choice => choice?.finish_reason) : []
  // Servers exist that say '' for not yet.
  return reasons.some(reason => typeof reason === 'string' && reason !== '')
}

function take(meter: StreamMeter | BodyMeter, { usage: raw, service_tier }: RawChunk): void {
  meter.usage.mode = modeOf(service_tier) || meter.usage.mode
  meter.modeTold ||= typeof service_tier === 'string'
  if (isNamed(raw)) takeInclusive(meter, raw.prompt_tokens, raw.prompt_tokens_details, raw.completion_tokens)
}
