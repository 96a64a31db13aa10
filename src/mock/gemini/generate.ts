// An answer in Gemini, whole, as a stream of events or as an array of chunks.
import { listed, streamed, whole } from '../bytes.ts'
import type { Call } from '../call.ts'
import type { Event, Reply } from '../dialect.ts'
import { type Speech, speechOf } from '../speech.ts'
import type { Step } from '../step.ts'
import { promptOf } from '../usage.ts'
import { errorBody, errorOf } from './errors.ts'

// What this dialect has no words for.
const unsaid = {
  cache_creation_input_tokens: 0,
  ephemeral_5m_input_tokens: 0,
  ephemeral_1h_input_tokens: 0,
  ttl_30m_tokens: 0,
  ttl_12h_tokens: 0,
  web_search_requests: 0,
  service_tier: '',
}

/** Answers :generateContent and :streamGenerateContent, with `alt=sse` or without. */
export function generate(call: Call, step: Step): Reply {
  const spoken = speechOf(call, step, '')
  const speech = { ...spoken, usage: { ...spoken.usage, ...unsaid } }
  const { usage, keep } = speech
  const shell = { modelVersion: speech.model, responseId: speech.seed.slice(0, 22) }
  const finishReason = step.stopReason ?? 'STOP'

  if (!call.stream) {
    const candidates = [{ content: { parts: partsOf(speech, true), role: 'model' }, finishReason, index: 0 }]
    return { ...whole({ candidates, usageMetadata: written(speech), ...shell }, step, usage), keep }
  }

  const parts = partsOf(speech, false)
  const event = (part: object, usageMetadata: object, end: object = {}): Event => {
    const candidates = [{ content: { parts: [part], role: 'model' }, ...end, index: 0 }]
    return { data: JSON.stringify({ candidates, usageMetadata, ...shell }) }
  }
  const events = [
    ...parts.map((part, nth) => event(part, written(speech, (nth + 1) / (parts.length + 1)))),
    event({ text: '' }, written(speech), { finishReason }),
  ]
  const error = errorOf(step)
  const story = { events, usage, error: error && [{ data: JSON.stringify(errorBody(error, call.id)) }] }
  const sse = new URLSearchParams(call.query).get('alt') === 'sse'
  return { ...(sse ? streamed(story, { ...step, eol: step.eol ?? 'crlf' }) : listed(story, step)), keep }
}

function partsOf({ thinking, text, tools }: Speech, joined: boolean): object[] {
  const pieces = (deltas: string[]) => (joined && deltas.length > 0 ? [deltas.join('')] : deltas)
  return [
    ...pieces(thinking ?? []).map(text => ({ text, thought: true })),
    ...pieces(text).map(text => ({ text })),
    ...tools.map(({ id, name, input }) => ({ functionCall: { id, name, args: JSON.parse(input) } })),
  ]
}

/** The usage so far: it grows with the share of the answer that is out. A count of 0 is left out, as protobuf does. */
function written({ usage, thoughts }: Speech, share = 1): object {
  const thoughtsTokenCount = Math.floor(thoughts * share)
  const candidatesTokenCount = Math.floor((usage.output_tokens - thoughts) * share)
  const promptTokenCount = promptOf(usage)
  const counts = {
    promptTokenCount,
    candidatesTokenCount,
    totalTokenCount: promptTokenCount + candidatesTokenCount + thoughtsTokenCount,
    cachedContentTokenCount: usage.cache_read_input_tokens,
    thoughtsTokenCount,
  }
  const said = Object.entries(counts).filter(([name, count]) => count > 0 || name === 'promptTokenCount')
  return { ...Object.fromEntries(said), trafficType: 'ON_DEMAND' }
}
