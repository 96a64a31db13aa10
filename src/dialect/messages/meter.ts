// Claude usage from a response as it passes by, stream or whole (spec/wire.md §1.5).

import type { Meter } from '../dialect.ts'
import {
  BodyMeter,
  bucket,
  count,
  errorOf,
  isNamed,
  isWrong,
  modeOf,
  parse,
  StreamMeter,
  sizeOf,
  textOf,
  typeOf,
} from '../meter.ts'
import { noTokens, type Part, type Tokens } from '../usage.ts'
import { geoOf } from './geo.ts'

interface RawTokens {
  input_tokens?: unknown
  output_tokens?: unknown
  cache_creation_input_tokens?: unknown
  cache_read_input_tokens?: unknown
  cache_creation?: { ephemeral_5m_input_tokens?: unknown; ephemeral_1h_input_tokens?: unknown } | null | undefined
}
interface RawUsage extends RawTokens {
  server_tool_use?: { web_search_requests?: unknown } | null | undefined
  service_tier?: unknown
  speed?: unknown
  inference_geo?: unknown
  iterations?: unknown
}
interface RawIteration extends RawTokens {
  type?: unknown
  model?: unknown
}
interface RawBlock {
  type?: unknown
  text?: unknown
  thinking?: unknown
  input?: unknown
  caller?: { type?: unknown } | null
}
interface RawEvent {
  type?: unknown
  message?: { usage?: RawUsage; stop_reason?: unknown; content?: unknown }
  content?: unknown
  content_block?: unknown
  delta?: unknown
  usage?: RawUsage
  error?: unknown
}

export function messagesMeter(streaming: boolean): Meter {
  return streaming ? new MessagesStream() : new BodyMeter(readBody)
}

// Deltas are nearly all of a stream and carry no usage, so their data is never looked at.
const boring = new Set(['content_block_start', 'content_block_delta', 'content_block_stop', 'ping'])
const spoken = ['text', 'thinking', 'partial_json'].map(key => Buffer.from(`"${key}"`))
const kinds = ['type']

class MessagesStream extends StreamMeter {
  #type = ''

  protected override wants(event: string, head: Buffer): boolean {
    this.#type = typeOf(event, head)
    if (this.#type === 'content_block_delta') this.hears(head, spoken)
    // Until the answer has begun, that is what is looked for.
    return this.begun ? !boring.has(this.#type) : this.#type !== 'ping'
  }

  protected override read(name: string, data: string): void {
    const event = parse(data) as RawEvent | undefined
    if (!event) return
    const type = event.type ?? name
    if (type === 'ping') return
    if (type === 'error') {
      this.fail(event.error, kinds, 'api_error')
      this.ended = true
    } else if (type === 'content_block_start') this.begun ||= opens(event.content_block)
    else if (type === 'content_block_delta') this.begun ||= carries(event.delta)
    else if (type === 'message_start') {
      const { message } = event
      // A whole answer in its start has no delta to follow: its usage is final.
      const whole = typeof message?.stop_reason === 'string'
      if (whole) this.emitted += written(message.content)
      this.begun ||= whole
      take(this, message?.usage, whole)
    } else if (type === 'message_delta') {
      takeAgain(this, event.usage)
      // With nothing said before it: that was the answer.
      this.begun = true
    } else if (type === 'message_stop') {
      // Nothing by the standard, but there are resellers that count only here.
      const { usage } = event
      if (isNamed(usage)) takeAgain(this, { ...usage, output_tokens: unlessZero(usage.output_tokens) })
      this.ended = true
      // The end of nothing is no answer.
      this.complete = this.begun && !this.error
    }
  }
}

/** Whether a block says something by being there: it is no text and no thinking, which begin empty. */
function opens(block: unknown): boolean {
  const { type, text, thinking } = (block ?? {}) as Record<string, unknown>
  if (type === 'text') return !empty(text)
  return type === 'thinking' ? !empty(thinking) : typeof type === 'string'
}

/** Whether a delta has something in it besides its type. */
function carries(delta: unknown): boolean {
  return Object.entries(delta ?? {}).some(([name, value]) => name !== 'type' && !empty(value))
}

const empty = (value: unknown) => value === '' || value === null || value === undefined

function readBody(body: RawEvent, meter: BodyMeter): void {
  if (body.type === 'error') {
    meter.error = errorOf(body.error, kinds, 'api_error')
    return
  }
  take(meter, body.usage, true)
  if (body.type === 'message' || Array.isArray(body.content) || meter.told) meter.answers(written(body.content))
}

/**
 * About the bytes that the model wrote, of the blocks of a whole answer: results of tools that ran over there are none, and
 * neither are calls that code made without asking the model again (recorded with a usage of 0, which is then true).
 */
function written(content: unknown): number {
  let bytes = 0
  for (const block of Array.isArray(content) ? (content as RawBlock[]) : [])
    if (block?.type === 'text') bytes += textOf(block.text)
    else if (block?.type === 'thinking') bytes += textOf(block.thinking)
    else if (block?.input !== undefined && !byCode(block)) bytes += sizeOf(block.input)
  return bytes
}

function byCode({ caller }: RawBlock): boolean {
  return typeof caller?.type === 'string' && caller.type.startsWith('code_execution')
}

/**
 * The usage of a later event, which is final. It is cumulative and repeats the input side: overwrite, never add. But a 0 there
 * is from an upstream that counts only its output by then, and takes nothing back (spec/domain.md §9).
 */
function takeAgain(meter: StreamMeter, raw: RawUsage | undefined): void {
  if (!isNamed(raw)) return
  const split = raw.cache_creation
  take(
    meter,
    {
      ...raw,
      cache_creation: count(split?.ephemeral_5m_input_tokens) || count(split?.ephemeral_1h_input_tokens) ? split : null,
      server_tool_use: count(raw.server_tool_use?.web_search_requests) !== 0 ? raw.server_tool_use : null,
      input_tokens: unlessZero(raw.input_tokens),
      cache_read_input_tokens: unlessZero(raw.cache_read_input_tokens),
      cache_creation_input_tokens: unlessZero(raw.cache_creation_input_tokens),
    },
    true,
  )
}

const unlessZero = (value: unknown) => (count(value) === 0 ? null : value)

/** @param final whether the output that it counts is all of it; that of the prompt always is, as far as it is told */
function take(meter: StreamMeter | BodyMeter, raw: RawUsage | undefined, final: boolean): void {
  if (!isNamed(raw)) return
  const { usage } = meter
  const wrong = takeTokens(usage, raw)
  usage.webSearches = tokens(raw.server_tool_use?.web_search_requests) ?? usage.webSearches
  // Fast is the dearer of the two, and whoever has asked for it has no tier besides.
  usage.mode = modeOf(raw.speed) || modeOf(raw.service_tier) || usage.mode
  meter.modeTold ||= typeof raw.speed === 'string' || usage.mode !== ''
  usage.geo = geoOf(raw.inference_geo) || usage.geo
  meter.geoTold ||= typeof raw.inference_geo === 'string'
  if (Array.isArray(raw.iterations)) takeParts(meter, raw.iterations)
  // Without the uncached part of the prompt what is told may be the smaller part of it.
  const input = count(raw.input_tokens) !== undefined
  const output = count(raw.output_tokens) !== undefined
  if (input) meter.says('prompt')
  if (wrong || input) meter.doubts('prompt', wrong)
  if (output && final) meter.says('output')
  if (output || isWrong(raw.output_tokens)) meter.doubts('output', isWrong(raw.output_tokens))
  if (isWrong(raw.server_tool_use?.web_search_requests)) meter.doubts('rest', true)
}

/** @returns whether a count of the prompt is there that is none */
export function takeTokens(into: Tokens, raw: RawTokens): boolean {
  const { input_tokens, cache_read_input_tokens, cache_creation_input_tokens, cache_creation } = raw
  into.input = tokens(input_tokens) ?? into.input
  into.output = tokens(raw.output_tokens) ?? into.output
  into.cacheRead = tokens(cache_read_input_tokens) ?? into.cacheRead
  const total = count(cache_creation_input_tokens)
  const split5m = count(cache_creation?.ephemeral_5m_input_tokens)
  const split1h = count(cache_creation?.ephemeral_1h_input_tokens)
  if (split5m !== undefined || split1h !== undefined) {
    into.cacheWrite1h = bucket(split1h ?? 0)
    // Where total and split disagree the larger is true: a missing split must not make a write free.
    into.cacheWrite5m = bucket(Math.max(split5m ?? 0, (total ?? 0) - into.cacheWrite1h))
  } else if (total !== undefined) {
    // message_delta repeats the total without the split that message_start gave.
    into.cacheWrite1h = Math.min(into.cacheWrite1h, total)
    into.cacheWrite5m = bucket(total - into.cacheWrite1h)
  }
  return (
    isWrong(input_tokens) ||
    isWrong(cache_read_input_tokens) ||
    isWrong(cache_creation_input_tokens) ||
    isWrong(cache_creation?.ephemeral_5m_input_tokens) ||
    isWrong(cache_creation?.ephemeral_1h_input_tokens)
  )
}

// What the counts of a whole answer leave out. A kind that is not known is taken to be in them: their rest is then no larger.
const apart = new Set<unknown>(['compaction', 'advisor_message'])

/** The calls of an answer, of which each later event tells all again. One that is all there was says nothing more. */
function takeParts(meter: StreamMeter | BodyMeter, iterations: unknown[]): void {
  const parts: Part[] = []
  for (const iteration of iterations as (RawIteration | null)[]) {
    if (!isNamed(iteration)) {
      meter.doubts('rest', true)
      continue
    }
    const { type, model } = iteration
    const part: Part = { ...noTokens(), model: nameOf(model), counted: !apart.has(type) }
    if (takeTokens(part, iteration) || isWrong(iteration.output_tokens)) meter.doubts('rest', true)
    parts.push(part)
  }
  const alone = parts.length === 1 && parts[0]!.counted && parts[0]!.model === ''
  if (parts.length > 0 && !alone) meter.usage.parts = parts
}

const nameOf = (model: unknown) => (typeof model === 'string' && model.length <= 256 ? model : '')

function tokens(value: unknown): number | undefined {
  const whole = count(value)
  return whole === undefined ? undefined : bucket(whole)
}
