// What a sequence of events must be, and what a stream must be for the clients of each dialect: the first thing that is wrong, if any.
import type { DialectName } from '../../src/dialect/dialect.ts'
import type { Event } from '../../src/dialect/middle/form.ts'

/** @param end all of the events are there */
export function eventsWrong(events: readonly Event[], end = true): string | undefined {
  const open = new Set<number>()
  const ended = new Set<number>()
  let next = 0
  let over = false
  for (const [n, event] of events.entries()) {
    const at = `event ${n} (${event.type})`
    // Before there was anything to fail, that is all there is.
    if (n === 0 && event.type === 'fail') return events.length === 1 ? undefined : `${at}: is followed`
    if ((n === 0) !== (event.type === 'start')) return `${at}: a start is the first, and the first a start`
    if (over) return `${at}: follows the end`
    if (ended.size > 0 && event.type !== 'finish') return `${at}: follows a finish`
    switch (event.type) {
      case 'open':
        if (event.index !== next) return `${at}: index ${event.index}, expected ${next}`
        open.add(next++)
        break
      case 'delta':
      case 'seal':
      case 'cite':
        if (!open.has(event.index)) return `${at}: part ${event.index} is not open`
        if (event.type === 'delta' && typeof event.text !== 'string') return `${at}: is no text`
        break
      case 'close':
        if (!open.delete(event.index)) return `${at}: part ${event.index} is not open`
        break
      case 'finish':
        if (open.size > 0) return `${at}: parts are open: ${[...open]}`
        if (ended.has(event.choice ?? 0)) return `${at}: choice ${event.choice ?? 0} has ended before`
        ended.add(event.choice ?? 0)
        break
      case 'fail':
        over = true
    }
  }
  return end && !over && ended.size === 0 ? 'it has no end' : undefined
}

// biome-ignore lint/suspicious/noExplicitAny: frames as a client reads them
type Json = any

interface Frame {
  event: string | undefined
  data: Json
}

const DONE = '[DONE]'

/** The frames of a text that must be whole events. @throws Error for what no client could read */
function framesOf(text: string): Frame[] {
  if (text !== '' && !text.endsWith('\n\n')) throw new Error('it ends within an event')
  return text
    .split('\n\n')
    .filter(one => one !== '' && !one.startsWith(':'))
    .map(one => {
      const lines = one.split('\n')
      const event = lines.find(line => line.startsWith('event: '))?.slice(7)
      const data = lines.filter(line => line.startsWith('data: ')).map(line => line.slice(6))
      if (data.length !== 1 || lines.length !== (event === undefined ? 1 : 2))
        throw new Error(`no event: ${one.slice(0, 100)}`)
      return { event, data: data[0] === DONE ? DONE : JSON.parse(data[0]!) }
    })
}

/** What is wrong with a stream that a client of that dialect is sent, once all of it is there. */
export function streamWrong(dialect: DialectName, text: string): string | undefined {
  try {
    return checks[dialect](framesOf(text))
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

const checks: Record<DialectName, (frames: Frame[]) => string | undefined> = { messages, chat, responses, gemini }

const deltas: Record<string, string> = {
  text_delta: 'text',
  citations_delta: 'text',
  thinking_delta: 'thinking',
  signature_delta: 'thinking',
}

/** spec/wire.md §1.4, as the official SDK reads it. */
function messages(frames: Frame[]): string | undefined {
  let open: string | undefined
  let blocks = 0
  let stopped = false
  let over = false
  for (const [n, { event, data }] of frames.entries()) {
    const at = `frame ${n} (${event})`
    if (event !== data.type) return `${at}: its data is of type ${data.type}`
    if (over) return `${at}: follows the end`
    if (event === 'ping') continue
    if (event === 'error') {
      if (typeof data.error?.type !== 'string' || typeof data.error.message !== 'string') return `${at}: says nothing`
      over = true
      continue
    }
    if ((n === 0) !== (event === 'message_start')) return `${at}: message_start comes first, and once`
    if (stopped && event !== 'message_stop') return `${at}: follows message_delta`
    switch (event) {
      case 'message_start':
        if (!Number.isInteger(data.message?.usage?.input_tokens) || data.message.content.length !== 0)
          return `${at}: no message`
        break
      case 'content_block_start':
        if (open !== undefined) return `${at}: ${open} is open`
        if (data.index !== blocks++) return `${at}: index ${data.index}`
        open = data.content_block.type as string
        if (open.endsWith('tool_use') && !/^[a-zA-Z0-9_-]+$/.test(data.content_block.id))
          return `${at}: id ${data.content_block.id}`
        break
      case 'content_block_delta': {
        if (open === undefined || data.index !== blocks - 1) return `${at}: no open block ${data.index}`
        const { type } = data.delta
        const fits = type === 'input_json_delta' ? open.endsWith('tool_use') : deltas[type] === open
        if (!fits) return `${at}: ${type} in ${open}`
        break
      }
      case 'content_block_stop':
        if (open === undefined || data.index !== blocks - 1) return `${at}: no open block ${data.index}`
        open = undefined
        break
      case 'message_delta':
        if (open !== undefined) return `${at}: ${open} is open`
        if (typeof data.delta?.stop_reason !== 'string' || !Number.isInteger(data.usage?.output_tokens))
          return `${at}: no end`
        stopped = true
        break
      case 'message_stop':
        if (!stopped) return `${at}: without message_delta`
        over = true
        break
      default:
        return `${at}: there is no such event`
    }
  }
  return over ? undefined : 'it has no end'
}

/** spec/wire.md §2.1, as the official SDK reads it. */
function chat(frames: Frame[]): string | undefined {
  const calls = new Map<string, Set<number>>()
  const begun = new Set<number>()
  const ended = new Set<number>()
  let over = false
  for (const [n, { event, data }] of frames.entries()) {
    const at = `chunk ${n}`
    if (event !== undefined) return `${at}: has an event line`
    if (over) return `${at}: follows the end`
    if (data === DONE) {
      if (ended.size === 0 || ended.size < begun.size) return `${at}: [DONE] without finish_reason`
      over = true
      continue
    }
    if (data.error) {
      if (typeof data.error.message !== 'string') return `${at}: the error says nothing`
      over = true
      continue
    }
    if (data.object !== 'chat.completion.chunk' || !Array.isArray(data.choices)) return `${at}: is no chunk`
    for (const { index, delta, finish_reason } of data.choices) {
      if (!Number.isInteger(index) || index < 0 || index > 127) return `${at}: choice ${index}`
      if (ended.has(index)) return `${at}: choice ${index} has ended`
      if (!begun.has(index) && delta.role !== 'assistant') return `${at}: no role in the first chunk`
      begun.add(index)
      for (const call of delta.tool_calls ?? []) {
        const known = calls.get(index) ?? calls.set(index, new Set()).get(index)!
        if (!known.has(call.index)) {
          if (call.index !== known.size) return `${at}: call ${call.index}`
          if (!call.id || typeof (call.function?.name ?? call.custom?.name) !== 'string')
            return `${at}: call without id or name`
        } else if (call.id) return `${at}: a second id`
        known.add(call.index)
      }
      if (finish_reason) ended.add(index)
    }
  }
  return over ? undefined : 'it has no end'
}

// Of an upstream of the same dialect they may be anything.
const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b)

const terminal = new Set(['response.completed', 'response.incomplete', 'response.failed'])

/** spec/wire.md §2.2, as the official SDK reads it. */
function responses(frames: Frame[]): string | undefined {
  const items: { id: string; type: string; done: boolean }[] = []
  let over = false
  for (const [n, { event, data }] of frames.entries()) {
    const at = `frame ${n} (${event})`
    if (event !== data.type) return `${at}: its data is of type ${data.type}`
    if (data.sequence_number !== n) return `${at}: sequence_number ${data.sequence_number}`
    if (over) return `${at}: follows the end`
    // What failed is told twice, for the clients that look at the one and those that look at the other.
    if (event === 'error') continue
    if (event !== undefined && terminal.has(event)) {
      const { output, status } = data.response
      if (event !== `response.${status}`) return `${at}: status ${status}`
      over = true
      if (status === 'failed') continue
      if (output.length !== items.length) return `${at}: ${output.length} items, ${items.length} were added`
      for (const [i, item] of output.entries()) {
        if (!same(item.id, items[i]!.id) || !same(item.type, items[i]!.type)) return `${at}: item ${i} is another`
        if (!items[i]!.done) return `${at}: item ${i} is not done`
      }
      continue
    }
    if (event === 'response.created' || event === 'response.in_progress') continue
    if (n < 2) return `${at}: response.created and response.in_progress come first`
    if (event === 'response.output_item.added') {
      if (data.output_index !== items.length) return `${at}: output_index ${data.output_index}`
      if (data.item.type === 'message' && data.item.content.length > 0) return `${at}: content of a message that begins`
      items.push({ id: data.item.id, type: data.item.type, done: false })
      continue
    }
    const item = items[data.output_index]
    if (!item || item.done) return `${at}: item ${data.output_index} is not under way`
    const id = event === 'response.output_item.done' ? data.item.id : data.item_id
    if (!same(id, item.id)) return `${at}: id ${id}, expected ${item.id}`
    if (event === 'response.output_item.done') item.done = true
  }
  return over ? undefined : 'it has no end'
}

/** spec/wire.md §3.3, as the official SDK reads it. */
function gemini(frames: Frame[]): string | undefined {
  const ended = new Set<number>()
  let over = false
  for (const [n, { event, data }] of frames.entries()) {
    const at = `chunk ${n}`
    if (event !== undefined) return `${at}: has an event line`
    if (over) return `${at}: follows the end`
    if (data.error) {
      if (!Number.isInteger(data.error.code) || typeof data.error.message !== 'string')
        return `${at}: the error says nothing`
      over = true
      continue
    }
    if (!Array.isArray(data.candidates) && !data.usageMetadata && !data.promptFeedback) return `${at}: says nothing`
    for (const { index, content, finishReason } of data.candidates ?? []) {
      const nth = index ?? 0
      if (ended.has(nth)) return `${at}: candidate ${nth} has ended`
      for (const part of content?.parts ?? []) {
        if (part.functionCall && typeof part.functionCall.args !== 'object') return `${at}: a call without args`
        const proof = part.thoughtSignature
        // The SDKs of other languages decode it into bytes.
        if (proof !== undefined && !/^[A-Za-z0-9+/]*={0,2}$/.test(proof)) return `${at}: a proof that is no base64`
      }
      if (finishReason) ended.add(nth)
    }
  }
  return over || ended.size > 0 ? undefined : 'it has no end'
}
