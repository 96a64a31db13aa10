// An answer in Anthropic Messages, whole or as the events of a stream.
import { hash } from 'node:crypto'
import { streamed, whole } from '../bytes.ts'
import type { Call } from '../call.ts'
import type { Event, Reply } from '../dialect.ts'
import type { Step } from '../step.ts'
import { cut, words } from '../words.ts'
import { errorBody, errorOf } from './errors.ts'
import { cumulative, usageOf, written } from './usage.ts'

/** A content block: its finished form, and the form it opens with and the deltas in a stream. */
interface Block {
  done: Record<string, unknown>
  opening: Record<string, unknown>
  deltas: Record<string, unknown>[]
}

/** Answers POST /v1/messages. */
export function message(call: Call, step: Step): Reply {
  const mayCall = step.tools !== undefined && call.body.includes('"tools"')
  const model = step.model ?? call.model
  // Of what is said and not of how it is sent, so that a dripped stream holds the same bytes as a plain one.
  const { text, chunks, thinking } = step
  const seed = hash('sha256', JSON.stringify([model, call.body.length, text, chunks, thinking, step.tools]))
  const { tools, ...rest } = step
  const blocks = blocksOf(call, mayCall ? step : rest, seed)

  const says = Buffer.byteLength(blocks.flatMap(block => block.deltas.map(spoken)).join(''))
  const usage = usageOf(step, call.body.length, says)
  const stop = { stop_reason: step.stopReason ?? (mayCall ? 'tool_use' : 'end_turn'), stop_sequence: null }
  const shell = { id: `msg_${seed.slice(0, 24)}`, type: 'message', role: 'assistant', model }
  // Two bodies of one size may differ in whether they carry tools, and an error tells the id of its request.
  const keep = tools === undefined && step.errorAt === undefined

  if (!call.stream) {
    const content = blocks.map(block => block.done)
    return { ...whole({ ...shell, content, ...stop, usage: written(usage, step) }, step, usage), keep }
  }

  const first = { ...shell, content: [], stop_reason: null, stop_sequence: null }
  const events = [
    event('message_start', { message: { ...first, usage: written({ ...usage, output_tokens: 1 }, step) } }),
    ...blocks.flatMap((block, index) => blockEvents(block, index, step)),
    event('message_delta', { delta: stop, usage: cumulative(usage) }),
    event('message_stop', {}),
  ]
  const error = errorOf(step)
  if (!error) return { ...streamed(events, step, usage, events.length - 1), keep }
  const said = [...events.slice(0, step.errorAt), { name: 'error', data: JSON.stringify(errorBody(error, call.id)) }]
  const told = said.length >= events.length ? usage : null
  return { ...streamed(said, { ...step, status: 200 }, told, events.length - 1), keep }
}

function blocksOf(call: Call, step: Step, seed: string): Block[] {
  const blocks: Block[] = []
  if (step.thinking !== undefined) blocks.push(thinking(words(step.thinking), seed.slice(0, 32)))
  const spoken = words(step.chunks ?? step.text ?? [])
  if (step.hugeBytes) spoken.push('x'.repeat(step.hugeBytes))
  if (spoken.length === 0 && !step.tools?.length) {
    spoken.push(...words(`This is ${step.model ?? call.model}, answering ${call.body.length} bytes.`))
  }
  if (spoken.length > 0) blocks.push(text(spoken))
  for (const [index, tool] of (step.tools ?? []).entries()) {
    blocks.push(toolUse(tool.id ?? `toolu_${seed.slice(24, 44)}${index}`, tool.name, JSON.stringify(tool.input ?? {})))
  }
  return blocks
}

function thinking(deltas: string[], signature: string): Block {
  return {
    done: { type: 'thinking', thinking: deltas.join(''), signature },
    opening: { type: 'thinking', thinking: '', signature: '' },
    deltas: [...deltas.map(thinking => ({ type: 'thinking_delta', thinking })), { type: 'signature_delta', signature }],
  }
}

function text(deltas: string[]): Block {
  return {
    done: { type: 'text', text: deltas.join('') },
    opening: { type: 'text', text: '' },
    deltas: deltas.map(text => ({ type: 'text_delta', text })),
  }
}

function toolUse(id: string, name: string, input: string): Block {
  return {
    done: { type: 'tool_use', id, name, input: JSON.parse(input) },
    opening: { type: 'tool_use', id, name, input: {} },
    // The vendor's first piece is empty too.
    deltas: ['', ...cut(input, 3)].map(partial_json => ({ type: 'input_json_delta', partial_json })),
  }
}

/** What of a delta costs output tokens. */
function spoken({ text, thinking, partial_json }: Record<string, unknown>): unknown {
  return text ?? thinking ?? partial_json ?? ''
}

function blockEvents({ opening, deltas }: Block, index: number, { pings = 0 }: Step): Event[] {
  const between = deltas.flatMap((delta, nth) => [
    event('content_block_delta', { index, delta }),
    ...(pings > 0 && (nth + 1) % pings === 0 ? [event('ping', {})] : []),
  ])
  return [
    event('content_block_start', { index, content_block: opening }),
    ...between,
    event('content_block_stop', { index }),
  ]
}

function event(name: string, fields: Record<string, unknown>): Event {
  return { name, data: JSON.stringify({ type: name, ...fields }) }
}
