// Claude usage from a response as it passes by, stream or whole (spec/wire.md §1.5).

import type { Meter } from '../dialect.ts'
import { BodyMeter, bucket, count, errorOf, modeOf, parse, StreamMeter, typeOf } from '../meter.ts'
import type { Usage } from '../usage.ts'

interface RawUsage {
  input_tokens?: unknown
  output_tokens?: unknown
  cache_creation_input_tokens?: unknown
  cache_read_input_tokens?: unknown
  cache_creation?: { ephemeral_5m_input_tokens?: unknown; ephemeral_1h_input_tokens?: unknown } | null
  server_tool_use?: { web_search_requests?: unknown } | null
  service_tier?: unknown
  speed?: unknown
}
interface RawEvent {
  type?: unknown
  message?: { usage?: RawUsage; stop_reason?: unknown }
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
    return !boring.has(this.#type)
  }

  protected override passed(): void {
    if (this.#type !== 'ping') this.begun = true
  }

  protected override read(name: string, data: string): void {
    const event = parse(data) as RawEvent | undefined
    if (!event) return
    const type = event.type ?? name
    if (type === 'ping') return
    if (type === 'error') {
      this.fail(event.error, kinds, 'api_error')
      return
    }
    this.begun = true
    if (type === 'message_start') {
      take(this.usage, event.message?.usage)
      // A whole answer in its start has no delta to follow; its usage is final though it may be 0.
      if (event.message?.stop_reason) this.told = true
    } else if (type === 'message_delta') {
      takeAgain(this.usage, event.usage)
      this.told = true
    } else if (type === 'message_stop') {
      // Nothing by the standard, but there are resellers that count only here.
      takeAgain(this.usage, event.usage)
      this.told ||= this.usage.output > 0
      this.complete = this.told
    }
  }
}

function readBody(body: RawEvent, meter: BodyMeter): void {
  if (body.type === 'error') meter.error = errorOf(body.error, kinds, 'api_error')
  if (typeof body.usage !== 'object' || body.usage === null) return
  take(meter.usage, body.usage)
  meter.told = meter.complete = true
}

/**
 * The usage of a later event. It is cumulative and repeats the input side: overwrite, never add. But a 0 there is from
 * an upstream that counts only its output by then, and takes nothing back (spec/domain.md §9).
 */
function takeAgain(usage: Usage, raw: RawUsage | undefined): void {
  if (!raw || typeof raw !== 'object') return
  const split = raw.cache_creation
  take(usage, {
    ...raw,
    cache_creation: split?.ephemeral_5m_input_tokens || split?.ephemeral_1h_input_tokens ? split : null,
    server_tool_use: raw.server_tool_use?.web_search_requests ? raw.server_tool_use : null,
    input_tokens: raw.input_tokens || null,
    cache_read_input_tokens: raw.cache_read_input_tokens || null,
    cache_creation_input_tokens: raw.cache_creation_input_tokens || null,
  })
}

function take(usage: Usage, raw: RawUsage | undefined): void {
  if (!raw || typeof raw !== 'object') return
  usage.input = tokens(raw.input_tokens) ?? usage.input
  usage.output = tokens(raw.output_tokens) ?? usage.output
  usage.cacheRead = tokens(raw.cache_read_input_tokens) ?? usage.cacheRead
  usage.webSearches = tokens(raw.server_tool_use?.web_search_requests) ?? usage.webSearches
  // Fast is the dearer of the two, and whoever has asked for it has no tier besides.
  usage.mode = modeOf(raw.speed) || modeOf(raw.service_tier) || usage.mode
  const total = count(raw.cache_creation_input_tokens)
  const split5m = count(raw.cache_creation?.ephemeral_5m_input_tokens)
  const split1h = count(raw.cache_creation?.ephemeral_1h_input_tokens)
  if (split5m !== undefined || split1h !== undefined) {
    usage.cacheWrite1h = bucket(split1h ?? 0)
    // Where total and split disagree the larger is true: a missing split must not make a write free.
    usage.cacheWrite5m = bucket(Math.max(split5m ?? 0, (total ?? 0) - usage.cacheWrite1h))
  } else if (total !== undefined) {
    // message_delta repeats the total without the split that message_start gave.
    usage.cacheWrite1h = Math.min(usage.cacheWrite1h, total)
    usage.cacheWrite5m = bucket(total - usage.cacheWrite1h)
  }
}

function tokens(value: unknown): number | undefined {
  const whole = count(value)
  return whole === undefined ? undefined : bucket(whole)
}
