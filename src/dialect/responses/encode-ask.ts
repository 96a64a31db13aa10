// A request of the middle form for an upstream that speaks Responses (spec/wire.md §4.6).
import { createHash } from 'node:crypto'
import { raw, writeExact } from '../json/exact.ts'
import type { Asking, Target } from '../middle/codec.ts'
import { effortOf, offeredEffort } from '../middle/effort.ts'
import { dropForeign } from '../middle/ext.ts'
import { fieldsOf } from '../middle/fields.ts'
import type { Ask, Effort, Thinking } from '../middle/form.ts'
import { WireNames } from '../middle/names.ts'
import type { Notes } from '../middle/notes.ts'
import { encodeConversation } from './encode-items.ts'
import { encodeTools } from './encode-tools.ts'
import type { Encoding } from './encoding.ts'

/** Fewer the vendor refuses. */
const LEAST_TOKENS = 16
// Fields of Chat that this dialect has, too.
const saidOtherwise = ['verbosity', 'metadata', 'store', 'prompt_cache_retention', 'safety_identifier']

/** @throws Failure UNTRANSLATABLE */
export function encodeAsk(ask: Ask, target: Target, notes: Notes): Asking {
  const encoding = encodingOf(ask, target, notes)
  const body = {
    ...said(encoding),
    ...limits(encoding),
    // Nothing is left behind at the vendor; so reasoning has to be brought back.
    store: false,
    include: ['reasoning.encrypted_content', ...(ask.wants.logprobs ? ['message.output_text.logprobs'] : [])],
    ...(ask.wants.logprobs ? { top_logprobs: ask.wants.logprobs } : {}),
    ...(ask.stream ? { stream: true } : {}),
    ...caching(encoding),
    ...person(encoding),
    ...tier(encoding),
    ...alike(encoding),
  }
  return { path: '/v1/responses', query: '', headers: {}, body: writeExact(body), wires: encoding.names.wires }
}

/** The same, to be counted: what it says, and nothing of how it is answered. */
export function encodeCount(ask: Ask, target: Target, notes: Notes): Asking {
  const encoding = encodingOf(ask, target, notes)
  const { temperature: _, top_p: __, ...body } = said(encoding) as Record<string, unknown>
  return {
    path: '/v1/responses/input_tokens',
    query: '',
    headers: {},
    body: writeExact(body),
    wires: encoding.names.wires,
  }
}

function encodingOf(ask: Ask, target: Target, notes: Notes): Encoding {
  const fields = fieldsOf(ask)
  for (const { param } of ask.held) notes.refuse(param, 'what is kept at a provider can be used only there')
  const { candidates } = ask.wants
  if (candidates !== undefined && candidates > 1)
    notes.refuse(fields.candidates, 'there is one answer to a request here')
  dropForeign(ask, 'responses', notes, target.own ? saidOtherwise : [])
  const names = new WireNames(ask.tools, { first: 'a-zA-Z0-9_-', rest: 'a-zA-Z0-9_-', max: 64 })
  return { ask, target, notes, names, fields }
}

function said(encoding: Encoding): object {
  const { ask, target } = encoding
  const thinking = thinkingOf(encoding)
  return {
    model: target.model,
    ...encodeConversation(encoding),
    ...encodeTools(encoding),
    ...(ask.parallel === undefined || ask.tools.length === 0 ? {} : { parallel_tool_calls: ask.parallel }),
    ...thinking.body,
    ...sampling(encoding, thinking.reasons),
    ...format(encoding),
  }
}

function limits({ ask, target, notes, fields }: Encoding): object {
  const { maxTokens, stop } = ask.limits
  if (stop.length > 0) notes.drop(fields.stop)
  if (maxTokens === undefined || maxTokens === 0) return {}
  const taken = Math.min(Math.max(maxTokens, LEAST_TOKENS), target.facts.maxOutput)
  if (taken !== maxTokens) notes.change(fields.maxTokens)
  return { max_output_tokens: taken }
}

function sampling({ ask, target, notes, fields }: Encoding, reasons: boolean): object {
  const { temperature, topP, topK, seed, presence, frequency } = ask.sampling
  const { sampling: rule } = target.facts
  const taken = rule === 'yes' || (rule === 'withoutReasoning' && !reasons)
  if (temperature !== undefined && !taken) notes.drop(fields.temperature)
  if (topP !== undefined && !taken) notes.drop(fields.topP)
  if (topK !== undefined) notes.drop(fields.topK)
  if (seed !== undefined) notes.drop(fields.seed)
  if (presence !== undefined) notes.drop(fields.presence)
  if (frequency !== undefined) notes.drop(fields.frequency)
  return taken ? { temperature, top_p: topP } : {}
}

/** How much it is to reason, whether that is shown, and whether it will. */
function thinkingOf({ ask, target, notes }: Encoding): { body: object; reasons: boolean } {
  const { thinking } = ask
  const { thinking: modes, efforts } = target.facts
  const able = efforts.length > 0
  // How much it reasons unasked differs by model and day.
  if (!thinking) return { body: {}, reasons: able }
  const { mode, params, budget } = thinking
  if (mode === 'off' || budget === 0) {
    if (!able) return { body: {}, reasons: false }
    if (modes.includes('off')) return { body: { reasoning: { effort: 'none' } }, reasons: false }
    if (params.mode) notes.change(params.mode)
    return { body: { reasoning: { effort: efforts[0] } }, reasons: true }
  }
  if (!able) {
    if (params.mode) notes.drop(params.mode)
    if (thinking.effort && params.effort && params.effort !== params.mode) notes.drop(params.effort)
    return { body: {}, reasons: false }
  }
  const asked = wanted(thinking)
  const effort = asked && offeredEffort(asked, efforts)
  const param = thinking.effort ? params.effort : params.mode
  if (effort !== asked && param) notes.change(param)
  const summary = thinking.show === 'none' ? undefined : 'auto'
  return { body: effort || summary ? { reasoning: { effort, summary } } : {}, reasons: true }
}

function wanted({ effort, mode, budget }: Thinking): Effort | undefined {
  return effort ?? (mode === 'budget' && budget !== undefined ? effortOf(budget) : undefined)
}

function format({ ask, notes, fields }: Encoding): object {
  const { format: wish } = ask
  const verbosity = ask.ext.chat?.['verbosity']
  const beside = verbosity ? { verbosity: raw(verbosity) } : {}
  if (!wish) return verbosity ? { text: beside } : {}
  if (wish.kind === 'json') return { text: { format: { type: 'json_object' }, ...beside } }
  const name = wish.name?.replace(/[^a-zA-Z0-9_-]/g, '_').slice(0, 64) || 'response'
  if (wish.name !== undefined && name !== wish.name) notes.change(fields.format)
  const { schema, strict } = wish
  return { text: { format: { type: 'json_schema', name, schema: raw(schema), strict }, ...beside } }
}

function caching({ ask, target, notes, fields }: Encoding): object {
  const { key, ttl, auto, prewarm } = ask.cache
  const { cacheTtls } = target.facts
  const able = target.own && cacheTtls.length > 0
  const out: Record<string, unknown> = {}
  if (key !== undefined && target.own) out['prompt_cache_key'] = key
  else if (key !== undefined) notes.drop(fields.cacheKey)
  if (prewarm || ask.limits.maxTokens === 0) {
    if (!able) notes.refuse(fields.prewarm, 'this model cannot put a prompt into the cache alone')
    out['prompt_cache_options'] = { prewarm: true }
  }
  if (ttl === undefined || ttl === 'default') return out
  if (able && cacheTtls.includes(ttl)) out['prompt_cache_options'] = { ...Object(out['prompt_cache_options']), ttl }
  // That it is kept at all needs no asking; of another vendor's lifetime nothing can be said.
  else if (auto !== true) notes.drop(fields.cacheTtl)
  return out
}

/** Who it is, told as a digest: names of people stay here. */
function person({ ask }: Encoding): object {
  if (ask.endUser === undefined) return {}
  return { safety_identifier: createHash('sha256').update(ask.endUser).digest('hex').slice(0, 32) }
}

function tier({ ask, target, notes, fields }: Encoding): object {
  if (ask.tier === undefined || ask.tier === 'auto') return {}
  if (target.own && ask.tier !== 'batch') return { service_tier: ask.tier === 'standard' ? 'default' : ask.tier }
  if (ask.tier !== 'standard') notes.drop(fields.tier)
  return {}
}

function alike({ ask, target }: Encoding): object {
  if (!target.own) return {}
  const out: Record<string, unknown> = {}
  for (const name of ['metadata', 'prompt_cache_retention']) {
    const value = ask.ext.chat?.[name]
    if (value) out[name] = raw(value)
  }
  return out
}
