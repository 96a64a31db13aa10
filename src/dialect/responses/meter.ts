// The usage of a Responses answer as it passes by, stream or whole (spec/wire.md §2.2).

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
  textOf,
  typeOf,
} from '../meter.ts'
import { type Details, errorKinds, takeInclusive } from '../openai-usage.ts'

interface RawItem {
  content?: unknown
  summary?: unknown
  arguments?: unknown
  input?: unknown
}
interface RawResponse {
  object?: unknown
  status?: unknown
  error?: unknown
  output?: unknown
  service_tier?: unknown
  tool_usage?: { web_search?: { num_requests?: unknown } | null } | null
  usage?: { input_tokens?: unknown; input_tokens_details?: Details | null; output_tokens?: unknown } | null
}
interface RawEvent {
  type?: unknown
  error?: unknown
  delta?: unknown
  item?: { type?: unknown } | null
  response?: RawResponse | null
}

export function responsesMeter(streaming: boolean): Meter {
  return streaming ? new ResponsesStream() : new BodyMeter(readBody)
}

// The last event carries all there is to count. An answer that nobody has worked on yet may still go to another account.
const last = new Set(['response.completed', 'response.incomplete', 'response.failed', 'response.cancelled'])
const early = new Set(['response.created', 'response.queued', 'response.in_progress', 'keepalive', 'ping'])
const spoken = [Buffer.from('"delta"')]

class ResponsesStream extends StreamMeter {
  #type = ''

  protected override wants(event: string, head: Buffer): boolean {
    this.#type = typeOf(event, head)
    if (this.#type.endsWith('.delta')) this.hears(head, spoken)
    if (!this.begun) return !early.has(this.#type)
    return this.#type === '' || this.#type === 'error' || last.has(this.#type)
  }

  protected override read(name: string, data: string): void {
    const event = parse(data) as RawEvent | undefined
    if (!event) return
    const type = typeof event.type === 'string' ? event.type : name
    if (type === 'error') {
      // Recorded nested; documented flat.
      this.fail(event.error ?? event, errorKinds, 'server_error')
      this.ended = true
      return
    }
    const { response } = event
    if (last.has(type) && response) {
      this.ended = true
      take(this, response)
      if (type === 'response.failed' || response.error) this.fail(response.error, errorKinds, 'server_error')
      else this.complete = true
    }
    // A failure that comes before anything else is no beginning.
    this.begun ||= (last.has(type) && type !== 'response.failed') || says(type, event)
  }
}

// Of an item that opens and is filled later, and of its parts. Any other item says something by being there: a call, a search.
const opening = new Set(['message', 'reasoning'])

/** Whether an event says something of the answer itself. */
function says(type: string, { delta, item }: RawEvent): boolean {
  if (type.endsWith('.delta')) return delta !== '' && delta !== undefined && delta !== null
  if (type === 'response.output_item.added') return typeof item?.type === 'string' && !opening.has(item.type)
  return type.endsWith('.done')
}

function readBody(body: RawResponse, meter: BodyMeter): void {
  take(meter, body)
  if (body.error) meter.error = errorOf(body.error, errorKinds, 'server_error')
  else if (body.object === 'response' || Array.isArray(body.output) || meter.told) meter.answers(written(body.output))
}

/** About the bytes that the model wrote: texts, and arguments of its calls. */
function written(output: unknown): number {
  let bytes = 0
  for (const item of Array.isArray(output) ? (output as RawItem[]) : []) {
    for (const parts of [item?.content, item?.summary])
      for (const part of Array.isArray(parts) ? parts : []) bytes += textOf(part?.text) + textOf(part?.refusal)
    bytes += textOf(item?.arguments) + textOf(item?.input)
  }
  return bytes
}

function take(meter: StreamMeter | BodyMeter, response: RawResponse): void {
  const { usage } = meter
  usage.mode = modeOf(response.service_tier) || usage.mode
  meter.modeTold ||= typeof response.service_tier === 'string'
  usage.webSearches = searches(response) || usage.webSearches
  if (isWrong(response.tool_usage?.web_search?.num_requests)) meter.doubts('rest', true)
  const raw = response.usage
  if (isNamed(raw)) takeInclusive(meter, raw.input_tokens, raw.input_tokens_details, raw.output_tokens)
}

function searches({ tool_usage, output }: RawResponse): number {
  const told = count(tool_usage?.web_search?.num_requests)
  if (told !== undefined) return bucket(told)
  return Array.isArray(output) ? output.filter(item => item?.type === 'web_search_call').length : 0
}
