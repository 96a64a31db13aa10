// Claude usage from a response as it passes by, stream or whole (spec/wire.md §1.5).
import type { Meter } from '../protocol.ts'
import { SseCutter } from '../sse.ts'
import { noUsage, type Usage } from '../usage.ts'

interface RawUsage {
  input_tokens?: number | null
  output_tokens?: number | null
  cache_creation_input_tokens?: number | null
  cache_read_input_tokens?: number | null
  cache_creation?: { ephemeral_5m_input_tokens?: number; ephemeral_1h_input_tokens?: number } | null
}
interface RawEvent {
  type?: string
  message?: { usage?: RawUsage; stop_reason?: unknown }
  usage?: RawUsage
  error?: { type?: unknown; message?: unknown }
}

export function messagesMeter(streaming: boolean): Meter {
  return streaming ? new StreamMeter() : new BodyMeter()
}

// Deltas are nearly all of a stream and carry no usage, so their data is never looked at.
const boring = new Set(['content_block_start', 'content_block_delta', 'content_block_stop', 'ping'])
const typed = /^\s*\{\s*"type"\s*:\s*"([a-z_]+)"/

class StreamMeter implements Meter {
  readonly usage = noUsage()
  complete = false
  begun = false
  error: Meter['error']
  #final = false
  #type = ''
  readonly #cutter = new SseCutter({
    // Resellers exist that send no event lines; the type then stands in the data.
    wants: (event, head) => {
      this.#type = event || (typed.exec(head.toString('latin1', 0, 64))?.[1] ?? '')
      return !boring.has(this.#type)
    },
    event: (event, data, wanted) => {
      if (wanted) this.#read(event, data)
      else if (this.#type !== 'ping') this.begun = true
    },
  })

  push(chunk: Buffer): void {
    this.#cutter.push(chunk)
  }
  end(): void {
    this.#cutter.end()
  }

  #read(name: string, data: string): void {
    const event = parse(data)
    if (!event) return
    const type = event.type ?? name
    if (type === 'ping') return
    if (type === 'error') {
      this.error = errorOf(event)
      return
    }
    this.begun = true
    if (type === 'message_start') {
      take(this.usage, event.message?.usage)
      // A whole answer in its start has no delta to follow; its usage is final though it may be 0.
      if (event.message?.stop_reason) this.#final = true
    } else if (type === 'message_delta') {
      takeAgain(this.usage, event.usage)
      this.#final = true
    } else if (type === 'message_stop') {
      // Nothing by the standard, but there are resellers that count only here.
      takeAgain(this.usage, event.usage)
      this.complete = this.#final || this.usage.output > 0
    }
  }
}

// A whole answer is small next to what it cost; beyond this it is relayed all the same, and its usage is partial.
const MAX_BODY = 64 * 1024 * 1024

class BodyMeter implements Meter {
  readonly usage = noUsage()
  complete = false
  begun = false
  error: Meter['error']
  #chunks: Buffer[] = []
  #bytes = 0

  push(chunk: Buffer): void {
    this.begun = true
    this.#bytes += chunk.length
    if (this.#bytes <= MAX_BODY) this.#chunks.push(chunk)
    else this.#chunks = []
  }

  end(): void {
    const body = parse(
      this.#chunks.length === 1 ? this.#chunks[0]!.toString('utf8') : Buffer.concat(this.#chunks).toString('utf8'),
    )
    this.#chunks = []
    if (!body) return
    if (body.type === 'error') this.error = errorOf(body)
    if (typeof body.usage !== 'object' || body.usage === null) return
    take(this.usage, body.usage)
    this.complete = true
  }
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
    input_tokens: raw.input_tokens || null,
    cache_read_input_tokens: raw.cache_read_input_tokens || null,
    cache_creation_input_tokens: raw.cache_creation_input_tokens || null,
  })
}

function take(usage: Usage, raw: RawUsage | undefined): void {
  if (!raw || typeof raw !== 'object') return
  usage.input = count(raw.input_tokens) ?? usage.input
  usage.output = count(raw.output_tokens) ?? usage.output
  usage.cacheRead = count(raw.cache_read_input_tokens) ?? usage.cacheRead
  const total = count(raw.cache_creation_input_tokens)
  const split5m = count(raw.cache_creation?.ephemeral_5m_input_tokens)
  const split1h = count(raw.cache_creation?.ephemeral_1h_input_tokens)
  if (split5m !== undefined || split1h !== undefined) {
    usage.cacheWrite1h = split1h ?? 0
    // Where total and split disagree the larger is true: a missing split must not make a write free.
    usage.cacheWrite5m = Math.max(split5m ?? 0, (total ?? 0) - usage.cacheWrite1h)
  } else if (total !== undefined) {
    // message_delta repeats the total without the split that message_start gave.
    usage.cacheWrite1h = Math.min(usage.cacheWrite1h, total)
    usage.cacheWrite5m = total - usage.cacheWrite1h
  }
}

// Upstreams have sent null, negative and fractional counts; none may become money.
function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
    ? Math.min(Math.floor(value), 2 ** 31 - 1)
    : undefined
}

function errorOf({ error }: RawEvent): { type: string; message: string } {
  const text = (value: unknown) => (typeof value === 'string' ? value : undefined)
  return { type: text(error?.type) ?? 'api_error', message: text(error?.message) ?? text(error) ?? '' }
}

function parse(text: string): RawEvent | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as RawEvent) : undefined
  } catch {
    return undefined
  }
}
