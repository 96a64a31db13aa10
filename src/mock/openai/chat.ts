// An answer in Chat Completions, whole or as the chunks of a stream.
import { streamed, whole } from '../bytes.ts'
import type { Call } from '../call.ts'
import type { Event, Reply } from '../dialect.ts'
import { type Speech, speechOf } from '../speech.ts'
import type { Step } from '../step.ts'
import { cut } from '../words.ts'
import { errorBody, errorOf } from './errors.ts'
import { sayable, written } from './usage.ts'

/** Answers POST /v1/chat/completions. A stream tells its usage only when it was asked to include it. */
export function chat(call: Call, step: Step): Reply {
  const speech = speechOf(call, step, 'call_')
  const usage = { ...sayable(speech.usage), web_search_requests: 0 }
  const shell = {
    id: `chatcmpl-${speech.seed.slice(0, 24)}`,
    created: 1_793_000_000,
    model: speech.model,
    service_tier: usage.service_tier || 'default',
    system_fingerprint: `fp_${speech.seed.slice(0, 10)}`,
  }
  const finish_reason = step.stopReason ?? (speech.tools.length > 0 ? 'tool_calls' : 'stop')
  const counts = written(speech, 'prompt', 'completion')

  if (!call.stream) {
    const choices = [{ index: 0, message: message(speech), logprobs: null, finish_reason }]
    return whole({ ...shell, object: 'chat.completion', choices, usage: counts }, step, usage)
  }

  const asked = /"include_usage"\s*:\s*true/.test(call.body.toString('latin1'))
  const chunk = (choices: unknown[], told: unknown = null) =>
    event({ ...shell, object: 'chat.completion.chunk', choices, ...(asked && { usage: told }) })
  const choice = (delta: object, finish_reason: string | null = null) =>
    chunk([{ index: 0, delta, logprobs: null, finish_reason }])
  const events = [
    choice({ role: 'assistant', content: '', refusal: null }),
    ...deltasOf(speech, step.interleaved === true).map(delta => choice(delta)),
    choice({}, finish_reason),
    ...(asked ? [chunk([], counts)] : []),
    { data: '[DONE]' },
  ]
  const error = errorOf(step)
  const story = { events, usage: asked ? usage : null, billedAfter: events.length - 1 }
  return streamed({ ...story, error: error && [event(errorBody(error, call.id))] }, step)
}

function message({ text, thinking, refusal, tools }: Speech): object {
  return {
    role: 'assistant',
    content: text.length > 0 ? text.join('') : null,
    refusal: refusal.length > 0 ? refusal.join('') : null,
    ...(thinking && { reasoning_content: thinking.join('') }),
    ...(tools.length > 0 && { tool_calls: tools.map(({ id, name, input }) => call(id, name, input)) }),
  }
}

function deltasOf({ text, thinking = [], refusal, tools }: Speech, interleaved: boolean): object[] {
  const calls = tools.map(({ id, name, input }, index) => [
    { tool_calls: [{ index, ...call(id, name, '') }] },
    ...cut(input, 3).map(piece => ({ tool_calls: [{ index, function: { arguments: piece } }] })),
  ])
  const most = Math.max(0, ...calls.map(pieces => pieces.length))
  const inTurn = Array.from({ length: most }, (_, nth) => calls.flatMap(pieces => pieces[nth] ?? []))
  return [
    ...thinking.map(reasoning_content => ({ reasoning_content })),
    ...text.map(content => ({ content })),
    ...refusal.map(refusal => ({ refusal })),
    ...(interleaved ? inTurn : calls).flat(),
  ]
}

function call(id: string, name: string, args: string): object {
  return { id, type: 'function', function: { name, arguments: args } }
}

function event(json: object): Event {
  return { data: JSON.stringify(json) }
}
