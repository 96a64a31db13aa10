// A request of the middle form for an upstream that speaks Chat Completions: OpenAI's own server, or one of many that resemble it.
import { createHash } from 'node:crypto'
import { raw, writeExact } from '../json/exact.ts'
import type { Asking, Target } from '../middle/codec.ts'
import { effortOf, offeredEffort } from '../middle/effort.ts'
import { dropForeign } from '../middle/ext.ts'
import { fieldsOf } from '../middle/fields.ts'
import type { Ask, Effort, Thinking } from '../middle/form.ts'
import { WireNames } from '../middle/names.ts'
import type { Notes } from '../middle/notes.ts'
import { encodeMessages } from './encode-messages.ts'
import { encodeTools } from './encode-tools.ts'
import type { Encoding } from './encoding.ts'

// As many as OpenAI takes.
const MOST_STOPS = 4
// Said by the encoder itself, or of no concern where it goes.
const saidOtherwise = ['text.verbosity', 'verbosity', 'metadata', 'store', 'prompt_cache_retention']

/** @throws Failure UNTRANSLATABLE */
export function encodeAsk(ask: Ask, target: Target, notes: Notes): Asking {
  const fields = fieldsOf(ask)
  for (const { param } of ask.held) notes.refuse(param, 'what is kept at a provider can be used only there')
  if (ask.cache.prewarm || ask.limits.maxTokens === 0)
    notes.refuse(fields.prewarm, 'a prompt cannot be put into the cache alone here')
  const names = new WireNames(ask.tools, { first: 'a-zA-Z0-9_-', rest: 'a-zA-Z0-9_-', max: 64 })
  const encoding: Encoding = { ask, target, notes, names, fields }
  dropForeign(ask, 'chat', notes, target.own ? saidOtherwise : [])
  const thinking = thinkingOf(encoding)
  const body = {
    model: target.model,
    messages: encodeMessages(encoding),
    ...encodeTools(encoding),
    ...(ask.stream ? { stream: true, stream_options: { include_usage: true } } : {}),
    ...limits(encoding),
    ...sampling(encoding, thinking.reasons),
    ...thinking.body,
    ...format(encoding),
    ...wants(encoding),
    ...caching(encoding),
    ...person(encoding),
    ...tier(encoding),
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
    if (stop.length > MOST_STOPS) notes.change(fields.stop)
    out['stop'] = stop.slice(0, MOST_STOPS)
  }
  return out
}

function sampling({ ask, target, notes, fields }: Encoding, reasons: boolean): object {
  const { temperature, topP, topK, seed, presence, frequency } = ask.sampling
  const { facts } = target
  const taken = facts.sampling === 'yes' || (facts.sampling === 'withoutReasoning' && !reasons)
  const out: Record<string, unknown> = {}
  const say = (name: string, value: unknown, field: string, said: boolean) => {
    if (value === undefined) return
    if (said) out[name] = value
    else notes.drop(field)
  }
  say('temperature', temperature, fields.temperature, taken)
  say('top_p', topP, fields.topP, taken)
  say('top_k', topK, fields.topK, facts.topK)
  say('seed', seed, fields.seed, true)
  say('presence_penalty', presence, fields.presence, taken)
  say('frequency_penalty', frequency, fields.frequency, taken)
  return out
}

/** How much it is to reason, and whether it will. */
function thinkingOf({ ask, target, notes }: Encoding): { body: object; reasons: boolean } {
  const { thinking } = ask
  const { thinking: modes, efforts } = target.facts
  const able = modes.length > 0 || efforts.length > 0
  if (!thinking) return { body: {}, reasons: able && !modes.includes('off') }
  const { mode, params } = thinking
  if (mode === 'off' || thinking.budget === 0) {
    if (!able) return { body: {}, reasons: false }
    if (modes.includes('off')) return { body: { reasoning_effort: 'none' }, reasons: false }
    if (params.mode) notes.change(params.mode)
    return { body: efforts[0] ? { reasoning_effort: efforts[0] } : {}, reasons: true }
  }
  const asked = wanted(thinking)
  const effort = asked && offeredEffort(asked, efforts)
  if (efforts.length === 0) {
    if (thinking.effort !== undefined && params.effort) notes.drop(params.effort)
    if ((mode === 'budget' || mode === 'betweenTools') && params.mode) notes.drop(params.mode)
    return { body: {}, reasons: able }
  }
  if (effort !== asked && params.effort)
    notes.change(thinking.effort === undefined ? (params.mode ?? params.effort) : params.effort)
  return { body: effort ? { reasoning_effort: effort } : {}, reasons: true }
}

function wanted({ effort, mode, budget }: Thinking): Effort | undefined {
  if (effort) return effort
  return mode === 'budget' && budget !== undefined ? effortOf(budget) : undefined
}

function format({ ask, notes, fields }: Encoding): object {
  const { format: said } = ask
  if (!said) return {}
  if (said.kind === 'json') return { response_format: { type: 'json_object' } }
  const name = said.name?.replace(/[^a-zA-Z0-9_-]/g, '_').slice(0, 64) || 'response'
  if (said.name !== undefined && name !== said.name) notes.change(fields.format)
  const strict = said.strict === undefined ? {} : { strict: said.strict }
  return { response_format: { type: 'json_schema', json_schema: { name, schema: raw(said.schema), ...strict } } }
}

function wants({ ask }: Encoding): object {
  const { logprobs, candidates } = ask.wants
  return {
    ...(candidates !== undefined && candidates > 1 ? { n: candidates } : {}),
    ...(logprobs === undefined ? {} : { logprobs: true, ...(logprobs > 0 ? { top_logprobs: logprobs } : {}) }),
  }
}

function caching({ ask, target, notes, fields }: Encoding): object {
  const { key, ttl, auto } = ask.cache
  const { cacheTtls } = target.facts
  const out: Record<string, unknown> = {}
  if (key !== undefined && target.own) out['prompt_cache_key'] = key
  else if (key !== undefined) notes.drop(fields.cacheKey)
  if (cacheTtls.length === 0 || !target.own) {
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

/** Who it is, told as a digest: names of people stay here. */
function person({ ask, target }: Encoding): object {
  if (ask.endUser === undefined) return {}
  const digest = createHash('sha256').update(ask.endUser).digest('hex').slice(0, 32)
  return target.own ? { safety_identifier: digest } : { user: digest }
}

function tier({ ask, target, notes, fields }: Encoding): object {
  if (ask.tier === undefined || ask.tier === 'auto') return {}
  if (target.own && ask.tier !== 'batch') return { service_tier: ask.tier === 'standard' ? 'default' : ask.tier }
  if (ask.tier !== 'standard') notes.drop(fields.tier)
  return {}
}

/** Fields of its own that came in this dialect, or mean the same in Responses. */
function own({ ask, target }: Encoding): object {
  const out: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(ask.ext.chat ?? {})) if (!name.includes('.')) out[name] = raw(value)
  if (!target.own) return out
  const responses = ask.ext.responses ?? {}
  const verbosity = responses['text.verbosity'] ?? responses['verbosity']
  if (verbosity) out['verbosity'] = raw(verbosity)
  if (responses['metadata']) out['metadata'] = raw(responses['metadata'])
  return out
}
