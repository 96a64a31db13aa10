// generationConfig of a request for Gemini: sampling, limits, thinking and the form of the answer, by what the model takes.
import { raw } from '../json/exact.ts'
import { budgetOf, effortOf, offeredEffort } from '../middle/effort.ts'
import { fieldsOf } from '../middle/fields.ts'
import type { Effort, Thinking } from '../middle/form.ts'
import type { Encoding } from './encode-turns.ts'
import { cleanedSchema, plainSchema } from './schema.ts'

const MOST_STOPS = 5

export interface Configured {
  config: Record<string, unknown>
  /** what of the answer's form can only be said in words */
  words: string
}

export function configFor(by: Encoding, hasFunctions: boolean): Configured {
  const { ask, notes, target } = by
  const { sampling, limits, wants } = ask
  const fields = fieldsOf(ask)
  const config: Record<string, unknown> = {}
  if (limits.maxTokens !== undefined) config['maxOutputTokens'] = maxTokens(by, limits.maxTokens)
  const { facts } = target
  if (sampling.temperature !== undefined) config['temperature'] = sampling.temperature
  if (sampling.topP !== undefined) config['topP'] = sampling.topP
  if (sampling.topK !== undefined) {
    if (facts.topK) config['topK'] = sampling.topK
    else notes.drop(fields.topK)
  }
  if (sampling.seed !== undefined) config['seed'] = sampling.seed
  if (sampling.presence !== undefined) config['presencePenalty'] = sampling.presence
  if (sampling.frequency !== undefined) config['frequencyPenalty'] = sampling.frequency
  const stops = limits.stop.filter(stop => stop !== '')
  if (stops.length > MOST_STOPS || stops.length < limits.stop.length) notes.drop(fields.stop)
  if (stops.length > 0) config['stopSequences'] = stops.slice(0, MOST_STOPS)
  if (wants.candidates !== undefined && wants.candidates > 1) config['candidateCount'] = wants.candidates
  if (wants.logprobs !== undefined) {
    config['responseLogprobs'] = true
    if (wants.logprobs > 0) config['logprobs'] = wants.logprobs
  }
  const words = formatInto(config, by, hasFunctions)
  const thinking = thinkingFor(by)
  if (thinking) config['thinkingConfig'] = thinking
  for (const [name, json] of Object.entries(ask.ext.gemini ?? {}))
    if (name.startsWith('generationConfig.')) config[name.slice('generationConfig.'.length)] = raw(json)
  return { config, words }
}

function maxTokens({ ask, notes, target }: Encoding, said: number): number {
  const { maxTokens: field } = fieldsOf(ask)
  // To fill a cache and answer nothing: there is no such thing here.
  if (said === 0) notes.refuse(field, 'this account answers at least one token')
  if (said > target.facts.maxOutput) notes.change(field)
  return Math.min(said, target.facts.maxOutput)
}

function formatInto(config: Record<string, unknown>, { ask, notes, target }: Encoding, hasFunctions: boolean): string {
  const { format } = ask
  if (!format) return ''
  const schema = format.kind === 'schema' ? format.schema : undefined
  if (hasFunctions && !target.facts.schemaWithTools) {
    notes.change(fieldsOf(ask).format)
    return `Give your final answer as JSON and nothing else${schema ? `, valid by this JSON Schema: ${schema}` : ''}.`
  }
  config['responseMimeType'] = 'application/json'
  if (schema && target.internal) config['responseSchema'] = raw(cleanedSchema(schema))
  else if (schema) config['responseJsonSchema'] = raw(plainSchema(schema))
  return ''
}

/** Undefined: the model's own way. */
function thinkingFor(by: Encoding): Record<string, unknown> | undefined {
  const { ask, target } = by
  const { thinking, wants } = ask
  const { facts } = target
  const shows = wants.reasoning || thinking?.show === 'summary' || thinking?.show === 'updates'
  const shown = shows && thinking?.show !== 'none' ? { includeThoughts: true } : {}
  if (facts.thinking.length === 0) {
    if (thinking && thinking.mode !== 'off') changed(by, thinking)
    return undefined
  }
  const how = thinking ? amount(by, thinking) : {}
  const said = { ...how, ...(thinking?.mode === 'off' ? {} : shown) }
  return Object.keys(said).length > 0 ? said : undefined
}

type Amount = { thinkingLevel?: string; thinkingBudget?: number }

function amount(by: Encoding, thinking: Thinking): Amount {
  const { facts } = by.target
  return facts.efforts.length > 0 ? levelFor(by, thinking) : budgetFor(by, thinking)
}

// Thinking that cannot be turned off is as little as there is, whatever effort is told beside: Claude Code says both.
function levelFor(by: Encoding, thinking: Thinking): Amount {
  const { facts } = by.target
  const off = thinking.mode === 'off' || thinking.mode === 'betweenTools'
  if (off) changed(by, thinking)
  const budgeted = thinking.mode === 'budget' && !thinking.effort ? effortOf(thinking.budget ?? 0) : undefined
  const least = thinking.mode === 'off' ? 'minimal' : (thinking.effort ?? 'minimal')
  const wanted: Effort | undefined = off ? least : (thinking.effort ?? budgeted)
  if (!wanted) return {}
  const offered = offeredEffort(wanted, facts.efforts)!
  // A budget is a level by the bands that all share: that is no change.
  if (offered !== wanted && !off) {
    if (budgeted) changed(by, thinking)
    else if (thinking.params.effort) by.notes.change(thinking.params.effort)
  }
  return { thinkingLevel: offered }
}

function budgetFor(by: Encoding, thinking: Thinking): Amount {
  const { facts } = by.target
  const { least, most } = facts.budget
  switch (thinking.mode) {
    case 'off':
      if (!facts.thinking.includes('off')) changed(by, thinking)
      return { thinkingBudget: facts.thinking.includes('off') ? 0 : least }
    case 'budget': {
      const said = thinking.budget ?? budgetOf(thinking.effort ?? 'medium', facts.budget)
      const fits = Math.min(Math.max(said, least), most)
      if (fits !== said) changed(by, thinking)
      return { thinkingBudget: fits }
    }
    default:
      return { thinkingBudget: thinking.effort ? budgetOf(thinking.effort, facts.budget) : -1 }
  }
}

function changed({ notes }: Encoding, { params }: Thinking): void {
  const param = params.mode ?? params.effort
  if (param) notes.change(param)
}
