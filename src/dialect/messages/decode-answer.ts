// Claude's answers as events (spec/wire.md §1.4): a stream as it comes, and a whole message as the same events at once.
import { parseExact } from '../json/exact.ts'
import type { Decoder } from '../middle/codec.ts'
import type { Event, Head, Issuer, Why } from '../middle/form.ts'
import { type Fields, isFields } from '../middle/read.ts'
import { SseCutter } from '../sse.ts'
import { citationOf, serverResult } from './decode-blocks.ts'
import { faultFrom } from './fault.ts'
import { exact } from './own.ts'
import { Counting } from './tokens.ts'

const inputs = new Set(['input'])

const whys = new Map<unknown, Why>([
  ['end_turn', 'end'],
  ['stop_sequence', 'stopSequence'],
  ['max_tokens', 'length'],
  ['tool_use', 'calls'],
  ['pause_turn', 'paused'],
  ['refusal', 'refused'],
  ['model_context_window_exceeded', 'contextFull'],
])

/** Puts the events of one answer in order, whatever order they came in. */
class Reading {
  readonly #from: Issuer
  readonly #counting = new Counting()
  /** our index by the upstream's, of what is open */
  readonly #open = new Map<number, number>()
  #next = 0
  #started = false
  #ended = false
  #stop: Fields = {}
  readonly out: Event[] = []

  constructor(from: Issuer) {
    this.#from = from
  }

  get started(): boolean {
    return this.#started
  }

  get ended(): boolean {
    return this.#ended
  }

  start({ id, model, usage, content, ...message }: Fields): void {
    this.#counting.take(usage)
    // Resellers send it twice.
    if (this.#started) return
    const { tokens } = this.#counting
    this.#started = true
    this.out.push({ type: 'start', id: textOf(id), model: textOf(model), ...(tokens ? { usage: tokens } : {}) })
    if (!Array.isArray(content)) return
    // All of an answer may come at once.
    for (const block of content) if (isFields(block)) this.close(-1, this.open(-1, block))
    this.#stops(message)
  }

  /** @returns what is known of the block as a whole */
  open(at: number, block: Fields): Event | undefined {
    this.close(at)
    const { type, text, thinking, signature, data, id, name, input, tool_use_id, toolset_name } = block
    switch (type) {
      case 'text': {
        const index = this.#begin(at, { type: 'text' })
        this.#delta(index, text)
        if (Array.isArray(block['citations'])) for (const one of block['citations']) this.#cite(index, one)
        return undefined
      }
      case 'thinking': {
        const index = this.#begin(at, { type: 'thought' })
        this.#delta(index, thinking)
        this.#seal(index, signature)
        return undefined
      }
      case 'redacted_thinking':
        this.#seal(this.#begin(at, { type: 'thought', redacted: true }), data)
        return undefined
      case 'tool_use':
      case 'server_tool_use':
      case 'mcp_tool_use': {
        const namespace = textOf(toolset_name)
        const index = this.#begin(at, {
          type: 'call',
          id: textOf(id),
          name: textOf(name),
          ...(namespace ? { namespace } : {}),
          ...(type === 'tool_use' ? {} : { by: 'server' }),
        })
        if (typeof input === 'string' && input.startsWith('{') && !/^\{\s*\}$/.test(input)) this.#delta(index, input)
        return undefined
      }
      default: {
        if (typeof type === 'string' && type.endsWith('_tool_result')) {
          const kind = type.slice(0, -'_tool_result'.length)
          const index = this.#begin(at, { type: 'result', callId: textOf(tool_use_id), name: kind, by: 'server' })
          return { type: 'close', index, part: { ...serverResult(block), name: kind } }
        }
        this.#begun()
        this.out.push({ type: 'opaque', dialect: 'messages', kind: textOf(type), json: exact(block) })
        return undefined
      }
    }
  }

  /** A piece of text; of a block whose beginning is lost the text need not be. */
  text(at: number, text: unknown): void {
    this.#delta(this.#open.get(at) ?? this.#begin(at, { type: 'text' }), text)
  }

  delta(at: number, delta: Fields): void {
    let index = this.#open.get(at)
    switch (delta['type']) {
      case 'text_delta':
        this.text(at, delta['text'])
        break
      case 'thinking_delta':
        index ??= this.#begin(at, { type: 'thought' })
        this.#delta(index, delta['thinking'])
        break
      case 'input_json_delta':
        if (index !== undefined) this.#delta(index, delta['partial_json'])
        break
      case 'signature_delta':
        if (index !== undefined) this.#seal(index, delta['signature'])
        break
      case 'citations_delta':
        if (index !== undefined) this.#cite(index, delta['citation'])
    }
  }

  close(at: number, whole?: Event): void {
    const index = this.#open.get(at)
    if (index === undefined) return
    this.#open.delete(at)
    this.out.push(whole ?? { type: 'close', index })
  }

  usage(usage: unknown): void {
    if (!isFields(usage)) return
    this.#counting.take(usage)
    this.#tellUsage()
  }

  stop(delta: unknown): void {
    if (isFields(delta)) this.#stops(delta)
  }

  finish(): void {
    if (this.#ended) return
    this.#begun()
    for (const at of [...this.#open.keys()]) this.close(at)
    const { stop_reason, stop_sequence, stop_details } = this.#stop
    const why = whys.get(stop_reason) ?? 'end'
    const details = isFields(stop_details) ? stop_details : {}
    const detail = textOf(details['explanation']) || textOf(details['category'])
    this.#ended = true
    this.out.push({
      type: 'finish',
      why,
      ...(why === 'stopSequence' && typeof stop_sequence === 'string' ? { stopSequence: stop_sequence } : {}),
      ...(detail ? { detail } : {}),
      ...(isFields(stop_details) ? { ext: { messages: { stop_details: exact(stop_details) } } } : {}),
    })
  }

  fail(error: unknown): void {
    if (this.#ended) return
    this.#begun()
    this.#ended = true
    this.out.push({ type: 'fail', fault: faultFrom(error, 'upstream') })
  }

  cut(): void {
    if (this.#ended) return
    this.#begun()
    this.#ended = true
    this.out.push({
      type: 'fail',
      fault: { kind: 'truncated', message: 'The upstream broke off in the middle of its answer.' },
    })
  }

  #tellUsage(): void {
    const { tokens } = this.#counting
    if (!tokens) return
    this.#begun()
    this.out.push({ type: 'usage', usage: tokens })
  }

  #stops(said: Fields): void {
    for (const name of ['stop_reason', 'stop_sequence', 'stop_details'] as const)
      if (said[name] !== undefined && said[name] !== null) this.#stop[name] = said[name]
  }

  #begun(): void {
    if (!this.#started) this.start({})
  }

  #begin(at: number, part: Head): number {
    this.#begun()
    const index = this.#next++
    this.#open.set(at, index)
    this.out.push({ type: 'open', index, part })
    return index
  }

  #delta(index: number, text: unknown): void {
    if (typeof text === 'string' && text !== '') this.out.push({ type: 'delta', index, text })
  }

  #seal(index: number, value: unknown): void {
    if (typeof value === 'string' && value !== '')
      this.out.push({ type: 'seal', index, seal: { value, issuer: this.#from } })
  }

  #cite(index: number, citation: unknown): void {
    if (isFields(citation)) this.out.push({ type: 'cite', index, citation: citationOf(citation) })
  }
}

const textOf = (value: unknown) => (typeof value === 'string' ? value : '')

export function streamDecoder(from: Issuer): Decoder {
  const reading = new Reading(from)
  const cutter = new SseCutter({
    wants: () => !reading.ended,
    event: (name, data) => {
      if (reading.ended || data === '') return
      const plain = name === 'content_block_delta' ? plainDelta.exec(data) : null
      if (plain) {
        reading.text(Number(plain[1]), plain[2]!)
        return
      }
      const event = parsed(data, name)
      if (event) read(reading, event['type'] ?? name, event)
    },
  })
  const taken = () => reading.out.splice(0)
  return {
    push(chunk) {
      cutter.push(chunk)
      return taken()
    },
    end() {
      cutter.end()
      reading.cut()
      return taken()
    },
  }
}

function read(reading: Reading, type: unknown, event: Fields): void {
  const at = typeof event['index'] === 'number' ? event['index'] : -1
  switch (type) {
    case 'content_block_delta':
      if (isFields(event['delta'])) reading.delta(at, event['delta'])
      break
    case 'message_start':
      if (isFields(event['message'])) reading.start(event['message'])
      break
    case 'content_block_start':
      if (isFields(event['content_block'])) {
        const whole = reading.open(at, event['content_block'])
        if (whole) reading.close(at, whole)
      }
      break
    case 'content_block_stop':
      reading.close(at)
      break
    case 'message_delta':
      reading.stop(event['delta'])
      reading.usage(event['usage'])
      break
    case 'message_stop':
      reading.usage(event['usage'])
      reading.finish()
      break
    case 'ping':
      if (reading.started) reading.out.push({ type: 'idle' })
      break
    case 'error':
      reading.fail(event['error'])
  }
}

// A delta of text as the vendor writes it, which is nearly all of a stream: what is read of it stands between two quotes.
const plainDelta =
  /^\{"type":"content_block_delta","index":(\d{1,6}),"delta":\{"type":"text_delta","text":"([^"\\\p{Cc}]*)"\}\s*\}$/u

/** Of what may have a tool's input in it that input stays text. */
function parsed(data: string, name: string): Fields | undefined {
  try {
    const hot = name === 'content_block_delta' || !data.includes('"input"')
    const value: unknown = hot ? JSON.parse(data) : parseExact(data, inputs)
    return isFields(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** The events of a whole message, or one `fail`. */
export function decodeWhole(body: Buffer, from: Issuer): Event[] {
  const reading = new Reading(from)
  const message = parsed(body.toString('utf8'), '')
  if (message?.['type'] === 'error') reading.fail(message['error'])
  else if (!Array.isArray(message?.['content'])) reading.fail({ message: 'The upstream’s answer is no message.' })
  else {
    const { usage } = message
    reading.start(message)
    reading.usage(usage)
    reading.finish()
  }
  return reading.out[0]?.type === 'start' && reading.out[1]?.type === 'fail' ? reading.out.slice(1) : reading.out
}
