// An answer in Anthropic Messages, whole or as the events of a stream.
import { streamed, whole } from '../bytes.ts'
import type { Call } from '../call.ts'
import type { Event, Reply } from '../dialect.ts'
import { type Brought, fieldsOf, foreign, objectsOf } from '../proofs.ts'
import { type Speech, speechOf } from '../speech.ts'
import type { Step, Usage } from '../step.ts'
import { cut } from '../words.ts'
import { errorBody, errorOf, refusal as refused } from './errors.ts'
import { cumulative, sayable, written } from './usage.ts'

/** A content block: its finished form, and the form it opens with and the deltas in a stream. */
interface Block {
  done: Record<string, unknown>
  opening: Record<string, unknown>
  deltas: Record<string, unknown>[]
}

/** Answers POST /v1/messages. */
export function message(call: Call, step: Step): Reply {
  const bad = foreign(call, step, proofsIn(call))
  if (bad)
    return {
      ...refused(call, 400, `${bad.at}: Invalid \`signature\` in \`thinking\` block`),
      counts: 'refusedProofs',
    }
  const speech = speechOf(call, step, 'toolu_')
  const { model, seed, keep } = speech
  const usage = sayable(speech.usage)
  const blocks = blocksOf(speech)
  const declined = speech.refusal.length > 0
  const stop_reason = step.stopReason ?? (declined ? 'refusal' : speech.tools.length > 0 ? 'tool_use' : 'end_turn')
  const stop_details = { type: 'refusal', category: null, explanation: speech.refusal.join('') }
  const stop = { stop_reason, stop_sequence: null, ...(declined && { stop_details }) }
  const shell = { id: `msg_${seed.slice(0, 24)}`, type: 'message', role: 'assistant', model }

  if (!call.stream) {
    const content = blocks.map(block => block.done)
    return { ...whole({ ...shell, content, ...stop, usage: written(usage, step) }, step, usage), keep }
  }

  const first = { ...shell, content: [], stop_reason: null, stop_sequence: null }
  const events = [
    event('message_start', { message: { ...first, usage: written(begun(usage), step) } }),
    ...blocks.flatMap((block, index) => blockEvents(block, index, step)),
    event('message_delta', { delta: stop, usage: cumulative(usage) }),
    event('message_stop', {}),
  ]
  const error = errorOf(step)
  const broken = error && [{ name: 'error', data: JSON.stringify(errorBody(error, call.id)) }]
  return { ...streamed({ events, usage, billedAfter: events.length - 1, error: broken }, step), keep }
}

/** Without what a stream's start cannot know. */
const begun = ({ iterations, ...usage }: Usage): Usage => ({ ...usage, output_tokens: 1, web_search_requests: 0 })

function* proofsIn(call: Call): Iterable<Brought> {
  for (const [m, { content }] of objectsOf(fieldsOf(call)['messages']).entries())
    for (const [b, { type, thinking, signature, data }] of objectsOf(content).entries()) {
      const at = `messages.${m}.content.${b}`
      if (type === 'thinking') yield { at, value: String(signature), thinking: String(thinking) }
      if (type === 'redacted_thinking') yield { at, value: String(data) }
    }
}

function blocksOf({ proof, thinking: thoughts, text: deltas, tools }: Speech): Block[] {
  const blocks: Block[] = []
  if (thoughts) blocks.push(thinking(thoughts, proof!))
  if (deltas.length > 0) blocks.push(text(deltas))
  for (const { id, name, input } of tools) blocks.push(toolUse(id, name, input))
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
