// An answer in Gemini, whole, as a stream of events or as an array of chunks.
import { listed, streamed, whole } from '../bytes.ts'
import type { Call } from '../call.ts'
import type { Event, Reply } from '../dialect.ts'
import { type Brought, fieldsOf, foreign, objectsOf } from '../proofs.ts'
import { type Speech, speechOf } from '../speech.ts'
import type { Step } from '../step.ts'
import { promptOf } from '../usage.ts'
import { errorBody, errorOf, refusal } from './errors.ts'

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

/**
 * Answers :generateContent and :streamGenerateContent, with `alt=sse` or without.
 * @param wrap puts a body or chunk into an envelope
 */
export function generate(call: Call, step: Step, wrap: (chunk: object) => object = chunk => chunk): Reply {
  if (foreign(call, step, proofsIn(call)))
    return { ...refusal(call, 400, 'Corrupted thought signature.'), counts: 'refusedProofs' }
  const spoken = speechOf(call, step, '')
  const speech = { ...spoken, usage: { ...spoken.usage, ...unsaid } }
  const { usage, keep } = speech
  const shell = { modelVersion: speech.model, responseId: speech.seed.slice(0, 22) }
  const declined = speech.refusal.length > 0
  const finishReason = step.stopReason ?? (declined ? 'SAFETY' : 'STOP')
  const finish = { finishReason, ...(declined && { finishMessage: speech.refusal.join('') }) }

  if (!call.stream) {
    const candidates = [{ content: { parts: partsOf(speech, true), role: 'model' }, ...finish, index: 0 }]
    return { ...whole(wrap({ candidates, usageMetadata: written(speech), ...shell }), step, usage), keep }
  }

  const parts = partsOf(speech, false)
  const event = (part: object, usageMetadata: object, end: object = {}): Event => {
    const candidates = [{ content: { parts: [part], role: 'model' }, ...end, index: 0 }]
    return { data: JSON.stringify(wrap({ candidates, usageMetadata, ...shell })) }
  }
  const events = [
    ...parts.map((part, nth) => event(part, written(speech, (nth + 1) / (parts.length + 1)))),
    event({ text: '', ...lateProof(speech) }, written(speech), finish),
  ]
  const error = errorOf(step)
  const story = { events, usage, error: error && [{ data: JSON.stringify(errorBody(error, call.id)) }] }
  const sse = new URLSearchParams(call.query).get('alt') === 'sse'
  return { ...(sse ? streamed(story, { ...step, eol: step.eol ?? 'crlf' }) : listed(story, step)), keep }
}

function partsOf(speech: Speech, joined: boolean): object[] {
  const { thinking, proof, text, tools } = speech
  const pieces = (deltas: string[]) => (joined && deltas.length > 0 ? [deltas.join('')] : deltas)
  return [
    ...pieces(thinking ?? []).map(text => ({ text, thought: true })),
    ...pieces(text).map(text => ({ text, ...(joined && lateProof(speech)) })),
    ...tools.map(({ id, name, input }, nth) => ({
      functionCall: { id, name, args: JSON.parse(input) },
      // Of calls side by side only the first has one.
      ...(proof !== undefined && nth === 0 && { thoughtSignature: proof }),
    })),
  ]
}

/** Of an answer without calls it comes with its last part. */
function lateProof({ proof, tools }: Speech) {
  return proof !== undefined && tools.length === 0 && { thoughtSignature: proof }
}

// The documented values for calls that come from elsewhere.
const skips = new Set(['skip_thought_signature_validator', 'context_engineering_is_the_way_to_go'])

function* proofsIn(call: Call): Iterable<Brought> {
  const body = fieldsOf(call)
  const { contents } = (body['request'] as Record<string, unknown> | undefined) ?? body
  for (const [n, { parts }] of objectsOf(contents).entries())
    for (const { thoughtSignature } of objectsOf(parts))
      if (typeof thoughtSignature === 'string' && !skips.has(thoughtSignature))
        yield { at: `contents[${n}]`, value: thoughtSignature }
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
