// A request of the middle form for an upstream that speaks Chat Completions: OpenAI's own server, or one of many that resemble it.
import { raw, writeExact } from '../json/exact.ts'
import type { Asking, Target } from '../middle/codec.ts'
import { dropForeign } from '../middle/ext.ts'
import { dropLogprobs, fieldsOf } from '../middle/fields.ts'
import type { Ask } from '../middle/form.ts'
import type { Notes } from '../middle/notes.ts'
import {
  type Encoding,
  personOf,
  type Reasoning,
  reasoningOf,
  schemaAsked,
  takesSampling,
  tierOf,
  wireNames,
} from '../openai-asking.ts'
import { encodeMessages } from './encode-messages.ts'
import { encodeTools } from './encode-tools.ts'

// As many as OpenAI takes.
const MOST_STOPS = 4
// Fields of Responses that are here, too, under these names.
const alike: Record<string, string> = {
  'text.verbosity': 'verbosity',
  metadata: 'metadata',
  prompt_cache_retention: 'prompt_cache_retention',
}

// How much is said goes by the model, the rest by whose server it is.
const has = (field: string, { own, facts }: Target) => own || (field === 'text.verbosity' && facts.efforts.length > 0)

/** @throws Failure UNTRANSLATABLE */
export function encodeAsk(ask: Ask, target: Target, notes: Notes): Asking {
  const fields = fieldsOf(ask)
  for (const { param } of ask.held) notes.refuse(param, 'what is kept at a provider can be used only there')
  if (ask.cache.prewarm || ask.limits.maxTokens === 0)
    notes.refuse(fields.prewarm, 'a prompt cannot be put into the cache alone here')
  const names = wireNames(ask)
  const encoding: Encoding = { ask, target, notes, names, fields }
  dropForeign(
    ask,
    'chat',
    notes,
    ask.dialect === 'responses' ? Object.keys(alike).filter(name => has(name, target)) : [],
  )
  const reasoning = reasoningOf(encoding)
  const body = {
    model: target.model,
    messages: encodeMessages(encoding),
    ...encodeTools(encoding),
    ...(ask.stream ? { stream: true, stream_options: { include_usage: true } } : {}),
    ...limits(encoding),
    ...sampling(encoding, reasoning),
    reasoning_effort: reasoning.effort,
    ...format(encoding),
    ...wants(encoding, reasoning),
    ...caching(encoding),
    ...person(encoding),
    ...tierOf(encoding, target.own),
    ...own(encoding),
  }
  return { path: '/v1/chat/completions', query: '', headers: {}, body: writeExact(body), wires: names.wires }
}

function limits({ ask, target, notes, fields }: Encoding): object {
  const { maxTokens, stop } = ask.limits
  const { maxOutput, stop: takesStop } = target.facts
  const out: Record<string, unknown> = {}
  if (maxTokens !== undefined) {
    if (maxTokens > maxOutput) notes.change(fields.maxTokens)
    // Models that reason refuse the older name; servers that only resemble OpenAI's may not know the newer one.
    const reasons = target.facts.efforts.length > 0
    out[target.own || reasons ? 'max_completion_tokens' : 'max_tokens'] = Math.min(maxTokens, maxOutput)
  }
  if (stop.length > 0 && !takesStop) notes.drop(fields.stop)
  else if (stop.length > 0) {
    if (stop.length > MOST_STOPS) notes.drop(fields.stop)
    out['stop'] = stop.slice(0, MOST_STOPS)
  }
  return out
}

function sampling(encoding: Encoding, reasoning: Reasoning): object {
  const { ask, target, notes, fields } = encoding
  const { temperature, topP, topK, seed, presence, frequency } = ask.sampling
  const taken = takesSampling(encoding, reasoning)
  const out: Record<string, unknown> = {}
  const say = (name: string, value: unknown, field: string, said: boolean) => {
    if (value === undefined) return
    if (said) out[name] = value
    else notes.drop(field)
  }
  say('temperature', temperature, fields.temperature, taken)
  say('top_p', topP, fields.topP, taken)
  say('top_k', topK, fields.topK, target.facts.topK)
  say('seed', seed, fields.seed, true)
  say('presence_penalty', presence, fields.presence, taken)
  say('frequency_penalty', frequency, fields.frequency, taken)
  return out
}

function format(encoding: Encoding): object {
  if (encoding.ask.format?.kind === 'json') return { response_format: { type: 'json_object' } }
  const said = schemaAsked(encoding)
  return said ? { response_format: { type: 'json_schema', json_schema: { ...said, schema: raw(said.schema) } } } : {}
}

function wants(encoding: Encoding, reasoning: Reasoning): object {
  const { ask, notes } = encoding
  const { candidates } = ask.wants
  const likely = ask.wants.logprobs !== undefined && takesSampling(encoding, reasoning)
  if (!likely) dropLogprobs(ask, notes)
  const logprobs = likely ? ask.wants.logprobs : undefined
  return {
    ...(candidates !== undefined && candidates > 1 ? { n: candidates } : {}),
    ...(logprobs === undefined ? {} : { logprobs: true, ...(logprobs > 0 ? { top_logprobs: logprobs } : {}) }),
  }
}

function caching({ ask, target, notes, fields }: Encoding): object {
  const { key, ttl, auto } = ask.cache
  const { cacheTtls } = target.facts
  const out: Record<string, unknown> = {}
  // Elsewhere nobody misses it: it is a hint of where, never of what.
  if (target.own) out['prompt_cache_key'] = key ?? target.settings.cacheKey
  if (cacheTtls.length === 0) {
    // It caches unasked; for how long cannot be said.
    if (ttl !== undefined && ttl !== 'default' && auto !== true) notes.drop(fields.cacheTtl)
    return out
  }
  const options = {
    ...(auto === false ? { mode: 'explicit' } : {}),
    ...(ttl !== undefined && cacheTtls.includes(ttl) ? { ttl } : {}),
  }
  return Object.keys(options).length > 0 ? { ...out, prompt_cache_options: options } : out
}

function person({ ask, target }: Encoding): object {
  const who = personOf(ask)
  if (who === undefined) return {}
  return target.own ? { safety_identifier: who } : { user: who }
}

/** Fields of its own that came in this dialect, or mean the same in Responses. */
function own({ ask, target }: Encoding): object {
  const out: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(ask.ext.chat ?? {})) if (!name.includes('.')) out[name] = raw(value)
  for (const [name, value] of Object.entries(ask.ext.responses ?? {})) {
    const here = Object.hasOwn(alike, name) && has(name, target) ? alike[name] : undefined
    if (here) out[here] = raw(value)
  }
  return out
}
