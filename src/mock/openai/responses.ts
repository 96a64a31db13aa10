// An answer in Responses, whole or as the events of a stream.
import { streamed, whole } from '../bytes.ts'
import type { Call } from '../call.ts'
import type { Event, Reply } from '../dialect.ts'
import { type Brought, fieldsOf, foreign, objectsOf } from '../proofs.ts'
import { type Speech, speechOf } from '../speech.ts'
import type { Step } from '../step.ts'
import { cut } from '../words.ts'
import { errorBody, errorOf, refusal as refused } from './errors.ts'
import { sayable, written } from './usage.ts'

/** An event without what all events have. */
type Bare = [type: string, fields: object]

/** Answers POST /v1/responses. */
export function respond(call: Call, step: Step): Reply {
  const bad = foreign(call, step, proofsIn(call))
  if (bad)
    return {
      ...refused(call, 400, unverified(bad.value), undefined, 'invalid_encrypted_content'),
      counts: 'refusedProofs',
    }
  const speech = speechOf(call, step, 'call_')
  const usage = sayable(speech.usage)
  const items = itemsOf(speech)
  const shell = {
    id: `resp_${speech.seed.slice(0, 32)}`,
    object: 'response',
    created_at: 1_793_000_000,
    model: speech.model,
    service_tier: usage.service_tier || 'default',
  }
  const unfinished = { ...shell, status: 'in_progress', error: null, incomplete_details: null, output: [], usage: null }
  const { web_search_requests: num_requests } = usage
  const finished = {
    ...shell,
    status: step.stopReason ? 'incomplete' : 'completed',
    error: null,
    incomplete_details: step.stopReason ? { reason: step.stopReason } : null,
    output: items.map(item => item.done),
    ...(num_requests > 0 && { tool_usage: { web_search: { num_requests } } }),
    usage: written(speech, 'input', 'output'),
  }
  if (!call.stream) return { ...whole(finished, step, usage), keep: speech.keep }

  const bare: Bare[] = [
    ['response.created', { response: unfinished }],
    ['response.in_progress', { response: unfinished }],
    ...items.flatMap(({ opening, inner, done }, output_index): Bare[] => [
      ['response.output_item.added', { output_index, item: opening }],
      ...inner.map(([type, fields]): Bare => [type, { item_id: done.id, output_index, ...fields }]),
      ['response.output_item.done', { output_index, item: done }],
    ]),
    [`response.${finished.status}`, { response: finished }],
  ]
  const said = errorOf(step)
  // It is told twice: by itself, and as the end of the answer.
  const error = said && { said: errorBody(said, call.id)['error'], code: said.code ?? said.type, message: said.message }
  const broken: Bare[] | null = error && [
    ['error', { error: error.said }],
    [
      'response.failed',
      { response: { ...unfinished, status: 'failed', error: { code: error.code, message: error.message } } },
    ],
  ]
  return {
    ...streamed(
      { events: bare.map(numbered(0)), usage, error: broken?.map(numbered(step.errorAt ?? 0)) ?? null },
      step,
    ),
    keep: speech.keep,
  }
}

function* proofsIn(call: Call): Iterable<Brought> {
  for (const [n, { type, encrypted_content }] of objectsOf(fieldsOf(call)['input']).entries())
    if (type === 'reasoning' && typeof encrypted_content === 'string')
      yield { at: `input[${n}].encrypted_content`, value: encrypted_content }
}

const unverified = (value: string) =>
  `The encrypted content ${value.slice(0, 4)}...${value.slice(-4)} could not be verified. Reason: Encrypted content could not be decrypted or parsed.`

/** An output item: finished, as it opens, and the events between. */
interface Item {
  done: { id: string; [field: string]: unknown }
  opening: object
  inner: Bare[]
}

function itemsOf({ thinking, proof, text, refusal, tools, seed }: Speech): Item[] {
  const items: Item[] = []
  if (thinking) items.push(reasoning(`rs_${seed.slice(0, 32)}`, thinking, proof!))
  if (text.length > 0) items.push(message(`msg_${seed.slice(0, 32)}`, text))
  if (refusal.length > 0) items.push(declined(`msg_${seed.slice(0, 32)}`, refusal))
  for (const [nth, { id, name, input }] of tools.entries()) {
    const shell = { id: `fc_${seed.slice(0, 31)}${nth}`, type: 'function_call', call_id: id, name }
    const pieces = cut(input, 3).map((delta): Bare => ['response.function_call_arguments.delta', { delta }])
    items.push({
      done: { ...shell, status: 'completed', arguments: input },
      opening: { ...shell, status: 'in_progress', arguments: '' },
      inner: [...pieces, ['response.function_call_arguments.done', { arguments: input }]],
    })
  }
  return items
}

function reasoning(id: string, deltas: string[], encrypted_content: string): Item {
  const part = (text: string) => ({ type: 'summary_text', text })
  const whole = deltas.join('')
  const at = { summary_index: 0 }
  return {
    done: { id, type: 'reasoning', summary: [part(whole)], encrypted_content },
    opening: { id, type: 'reasoning', summary: [] },
    inner: [
      ['response.reasoning_summary_part.added', { ...at, part: part('') }],
      ...deltas.map((delta): Bare => ['response.reasoning_summary_text.delta', { ...at, delta }]),
      ['response.reasoning_summary_text.done', { ...at, text: whole }],
      ['response.reasoning_summary_part.done', { ...at, part: part(whole) }],
    ],
  }
}

function declined(id: string, deltas: string[]): Item {
  const part = (refusal: string) => ({ type: 'refusal', refusal })
  const whole = deltas.join('')
  const at = { content_index: 0 }
  const shell = { id, type: 'message', role: 'assistant' }
  return {
    done: { ...shell, status: 'completed', content: [part(whole)] },
    opening: { ...shell, status: 'in_progress', content: [] },
    inner: [
      ['response.content_part.added', { ...at, part: part('') }],
      ...deltas.map((delta): Bare => ['response.refusal.delta', { ...at, delta }]),
      ['response.refusal.done', { ...at, refusal: whole }],
      ['response.content_part.done', { ...at, part: part(whole) }],
    ],
  }
}

function message(id: string, deltas: string[]): Item {
  const part = (text: string) => ({ type: 'output_text', annotations: [], logprobs: [], text })
  const whole = deltas.join('')
  const at = { content_index: 0 }
  const shell = { id, type: 'message', role: 'assistant' }
  return {
    done: { ...shell, status: 'completed', content: [part(whole)] },
    opening: { ...shell, status: 'in_progress', content: [] },
    inner: [
      ['response.content_part.added', { ...at, part: part('') }],
      ...deltas.map((delta): Bare => ['response.output_text.delta', { ...at, delta, logprobs: [] }]),
      ['response.output_text.done', { ...at, text: whole, logprobs: [] }],
      ['response.content_part.done', { ...at, part: part(whole) }],
    ],
  }
}

function numbered(first: number): (bare: Bare, nth: number) => Event {
  return ([type, fields], nth) => ({
    name: type,
    data: JSON.stringify({ type, sequence_number: first + nth, ...fields }),
  })
}
