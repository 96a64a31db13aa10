// A request of the middle form for an upstream that speaks Responses (spec/wire.md §4.6).
import { raw, writeExact } from '../json/exact.ts'
import type { Asking, Target } from '../middle/codec.ts'
import { dropForeign } from '../middle/ext.ts'
import { fieldsOf } from '../middle/fields.ts'
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
import { encodeConversation } from './encode-items.ts'
import { encodeTools, isNative } from './encode-tools.ts'

/** Fewer the vendor refuses. */
const LEAST_TOKENS = 16
// Fields of Chat that this dialect has, too.
const saidOtherwise = ['verbosity', 'metadata', 'prompt_cache_retention', 'safety_identifier']

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
    safety_identifier: personOf(ask),
    ...tierOf(encoding, true),
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
  // The format of a tool that stays freeform goes with it.
  const tools = ask.tools.map(tool => {
    if (isNative(tool) === false) return tool
    const { ext: _, ...plain } = tool
    return plain
  })
  dropForeign({ ...ask, tools }, 'responses', notes, ask.dialect === 'chat' ? saidOtherwise : [])
  return { ask, target, notes, names: wireNames(ask), fields }
}

function said(encoding: Encoding): object {
  const { ask, target } = encoding
  const reasoning = reasoningOf(encoding)
  return {
    model: target.model,
    ...encodeConversation(encoding),
    ...encodeTools(encoding),
    ...(ask.parallel === undefined || ask.tools.length === 0 ? {} : { parallel_tool_calls: ask.parallel }),
    ...shown(encoding, reasoning),
    ...sampling(encoding, reasoning),
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

function sampling(encoding: Encoding, reasoning: Reasoning): object {
  const { ask, notes, fields } = encoding
  const { temperature, topP, topK, seed, presence, frequency } = ask.sampling
  const taken = takesSampling(encoding, reasoning)
  if (temperature !== undefined && !taken) notes.drop(fields.temperature)
  if (topP !== undefined && !taken) notes.drop(fields.topP)
  if (topK !== undefined) notes.drop(fields.topK)
  if (seed !== undefined) notes.drop(fields.seed)
  if (presence !== undefined) notes.drop(fields.presence)
  if (frequency !== undefined) notes.drop(fields.frequency)
  return taken ? { temperature, top_p: topP } : {}
}

/** How much it is to reason, and whether that is shown. */
function shown({ ask, target }: Encoding, { effort, asked }: Reasoning): object {
  const summary = asked && target.facts.efforts.length > 0 && ask.thinking?.show !== 'none' ? 'auto' : undefined
  return effort || summary ? { reasoning: { effort, summary } } : {}
}

function format(encoding: Encoding): object {
  const { ask } = encoding
  const verbosity = ask.ext.chat?.['verbosity']
  const beside = verbosity ? { verbosity: raw(verbosity) } : {}
  if (!ask.format) return verbosity ? { text: beside } : {}
  const said = schemaAsked(encoding)
  if (!said) return { text: { format: { type: 'json_object' }, ...beside } }
  return { text: { format: { type: 'json_schema', ...said, schema: raw(said.schema) }, ...beside } }
}

function caching({ ask, target, notes, fields }: Encoding): object {
  const { key, ttl, auto, prewarm } = ask.cache
  const { cacheTtls } = target.facts
  const able = cacheTtls.length > 0
  const out: Record<string, unknown> = {}
  if (key !== undefined) out['prompt_cache_key'] = key
  else if (target.settings.cacheKey !== undefined) out['prompt_cache_key'] = target.settings.cacheKey
  // Claude's clients say here which session it is.
  else if (ask.dialect === 'messages' && ask.endUser !== undefined) out['prompt_cache_key'] = personOf(ask)
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

function alike({ ask }: Encoding): object {
  const out: Record<string, unknown> = {}
  for (const name of ['metadata', 'prompt_cache_retention']) {
    const value = ask.ext.chat?.[name]
    if (value) out[name] = raw(value)
  }
  return out
}
