// A request in the middle form as Anthropic takes it (spec/wire.md §1.3, wire-additions §1).
import { raw, writeExact } from '../json/exact.ts'
import type { Asking, Target } from '../middle/codec.ts'
import { dropForeign } from '../middle/ext.ts'
import { dropLogprobs, fieldsOf } from '../middle/fields.ts'
import type { Ask, Text } from '../middle/form.ts'
import { WireNames } from '../middle/names.ts'
import type { Notes } from '../middle/notes.ts'
import { Breakpoints, type Cached, cacheControl } from './breakpoints.ts'
import { type Thoughts, thoughtsFor } from './encode-thinking.ts'
import { encodeChoice, encodeTools, type Written } from './encode-tools.ts'
import { collapsed, conversation, encodeTurns } from './encode-turns.ts'
import { answerSchema } from './schema.ts'

const legal = { first: 'a-zA-Z0-9_-', rest: 'a-zA-Z0-9_-', max: 128 }

export function encodeAsk(ask: Ask, target: Target, notes: Notes): Asking {
  const fields = fieldsOf(ask)
  refuse(ask, notes)
  dropForeign(ask, 'messages', notes)
  const { seed, presence, frequency } = ask.sampling
  if (seed !== undefined) notes.drop(fields.seed)
  if (presence) notes.drop(fields.presence)
  if (frequency) notes.drop(fields.frequency)
  dropLogprobs(ask, notes)
  if (ask.tier && !['auto', 'standard', 'default'].includes(ask.tier)) notes.drop(fields.tier)
  const { max_tokens, prompt, thoughts, written, headers } = promptOf(ask, target, notes)
  const stop = ask.limits.stop.filter(one => one.trim() !== '')
  if (stop.length < ask.limits.stop.length) notes.change(fields.stop)
  const body = {
    model: target.model,
    max_tokens,
    ...(ask.stream ? { stream: true } : {}),
    ...prompt,
    ...samplingOf(ask, target, notes, thoughts),
    ...(stop.length > 0 ? { stop_sequences: stop } : {}),
    ...(ask.endUser ? { metadata: { user_id: ask.endUser } } : {}),
  }
  return { path: '/v1/messages', query: '', headers, body: writeExact(body), wires: written.names.wires }
}

/** The request to count: what the prompt consists of, and no more. */
export function encodeCount(ask: Ask, target: Target, notes: Notes): Asking {
  refuse(ask, notes)
  const { prompt, written, headers } = promptOf(ask, target, notes)
  const body = writeExact({ model: target.model, ...prompt })
  return { path: '/v1/messages/count_tokens', query: '', headers, body, wires: written.names.wires }
}

function refuse({ dialect, held, wants, ...ask }: Ask, notes: Notes): void {
  const [state] = held
  if (state && dialect !== 'messages')
    notes.refuse(state.param, 'it names something that is kept at another provider; send what it stands for')
  if ((wants.candidates ?? 1) > 1)
    notes.refuse(fieldsOf({ dialect }).candidates, 'Claude gives one answer; ask once for each')
  if (ask.turns.length === 0 && ask.system.length === 0)
    notes.refuse(fieldsOf({ dialect }).history, 'there is nothing to answer')
}

function promptOf(ask: Ask, target: Target, notes: Notes) {
  const { facts } = target
  const fields = fieldsOf(ask)
  const written: Written = {
    ask,
    target,
    notes,
    names: new WireNames(ask.tools.filter(isNamed), legal),
    breakpoints: new Breakpoints(),
  }
  const tools = encodeTools(written)
  const { system, turns, unproven, sealed } = conversation(written)
  const max_tokens = mostOf(ask, target, notes)
  const thoughts = thoughtsFor({ ask, facts, notes, maxTokens: max_tokens, unproven })
  const chosen = encodeChoice(written, tools.length, thoughts.thinking?.type === 'enabled')
  const systems = encodeSystem(system, written)
  const messages = encodeTurns(turns, written)
  const instructions = [chosen.instruction, formInstruction(ask, notes)].filter(text => text !== undefined)
  for (const text of instructions) systems.push({ type: 'text', text })
  if (written.breakpoints.write() > 0) notes.change(fields.cache)
  const automatic = ask.cache.auto ?? target.settings.autoCache
  const output = {
    ...(thoughts.effort ? { effort: thoughts.effort } : {}),
    ...(ask.format?.kind === 'schema' ? { format: { type: 'json_schema', schema: schemaOf(ask, notes) } } : {}),
  }
  // Reasoning that is bound to what was before it is left out there, rather than the request refused, where that is no longer the same.
  const always = facts.thinking.includes('auto') && !facts.thinking.includes('off')
  const adaptive = thoughts.thinking?.type === 'adaptive' || (always && !thoughts.thinking)
  const bound = sealed && adaptive
  const thinking = bound
    ? { type: 'adaptive', ...thoughts.thinking, block_binding: { prefix_mismatch_behavior: 'drop_block' } }
    : thoughts.thinking
  const prompt = {
    ...(systems.length > 0 ? { system: systems } : {}),
    messages: messages.map(({ role, content }) => ({ role, content: collapsed(content) })),
    ...(tools.length > 0 ? { tools } : {}),
    ...(chosen.choice ? { tool_choice: chosen.choice } : {}),
    ...(thinking ? { thinking } : {}),
    ...(Object.keys(output).length > 0 ? { output_config: output } : {}),
    ...(!written.breakpoints.any && automatic && facts.cacheTtls.length > 0
      ? { cache_control: cacheControl(ask.cache.ttl) }
      : {}),
  }
  const headers = {
    'anthropic-version': facts.version,
    ...(bound ? { 'anthropic-beta': 'thinking-binding-controls-2026-08-01' } : {}),
  }
  return { max_tokens, prompt, thoughts, written, headers }
}

const isNamed = ({ kind }: { kind: string }) => kind !== 'server'

function encodeSystem(texts: readonly Text[], { breakpoints }: Written): (Cached & { type: 'text'; text: string })[] {
  return texts.map(({ text, cache }) => {
    const block: Cached & { type: 'text'; text: string } = { type: 'text', text }
    breakpoints.mark(block, cache)
    return block
  })
}

/** How much may be answered: Anthropic wants to be told, so that what the client leaves open is all that the model has. */
function mostOf({ limits, cache, dialect }: Ask, { facts }: Target, notes: Notes): number {
  // Fills the cache and answers nothing.
  if (cache.prewarm) return 0
  const { maxTokens } = limits
  if (maxTokens === undefined) return facts.maxOutput
  if (maxTokens > facts.maxOutput) notes.change(fieldsOf({ dialect }).maxTokens)
  return Math.min(maxTokens, facts.maxOutput)
}

function formInstruction(ask: Ask, notes: Notes): string | undefined {
  if (ask.format?.kind !== 'json') return undefined
  notes.change(fieldsOf(ask).format)
  return 'Answer with one JSON object and nothing else: no text around it, no code fence.'
}

function schemaOf(ask: Ask, notes: Notes) {
  if (ask.format?.kind !== 'schema') return undefined
  const { json, changed } = answerSchema(ask.format.schema)
  if (changed) notes.change(fieldsOf(ask).schema)
  return raw(json)
}

function samplingOf(ask: Ask, { facts }: Target, notes: Notes, { thinking }: Thoughts) {
  const fields = fieldsOf(ask)
  const { temperature, topP, topK } = ask.sampling
  const out: { temperature?: number; top_p?: number; top_k?: number } = {}
  const thinks = thinking !== undefined && thinking.type !== 'disabled'
  const taken = facts.sampling === 'yes' || (facts.sampling === 'withoutReasoning' && !thinks)
  if (temperature !== undefined) {
    // Whoever thinks takes only the default.
    if (!taken || (thinks && temperature !== 1)) notes.drop(fields.temperature)
    else {
      out.temperature = Math.min(1, Math.max(0, temperature))
      if (out.temperature !== temperature) notes.change(fields.temperature)
    }
  }
  if (topP !== undefined) {
    const both = out.temperature !== undefined && !facts.samplingBoth
    if (!taken || both || (thinks && topP < LEAST_THINKING)) notes.drop(fields.topP)
    else out.top_p = topP
  }
  if (topK !== undefined) {
    if (!facts.topK || thinks) notes.drop(fields.topK)
    else out.top_k = topK
  }
  return out
}
const LEAST_THINKING = 0.95
