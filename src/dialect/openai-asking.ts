// What the requests of both dialects of OpenAI have alike: how much is reasoned, by whom it is asked, in what tier.
import { createHash } from 'node:crypto'
import { parseExact } from './json/exact.ts'
import type { Target } from './middle/codec.ts'
import { effortOf, offeredEffort } from './middle/effort.ts'
import type { Fields } from './middle/fields.ts'
import type { Ask, Json } from './middle/form.ts'
import { WireNames } from './middle/names.ts'
import type { Notes } from './middle/notes.ts'
import { isFields } from './middle/read.ts'

/** What a request is encoded of and by. */
export interface Encoding {
  ask: Ask
  target: Target
  notes: Notes
  names: WireNames
  /** the client's words */
  fields: Fields
}

/** Names that OpenAI takes for tools. */
export const wireNames = ({ tools }: Ask) =>
  new WireNames(tools, { first: 'a-zA-Z0-9_-', rest: 'a-zA-Z0-9_-', max: 64 })

export interface Reasoning {
  /** in the vendor's words; undefined: it is not told */
  effort: string | undefined
  /** whether the model will reason */
  reasons: boolean
  /** what it reasons was asked for */
  asked: boolean
}

/** How much it is to reason; what cannot be said is named. */
export function reasoningOf({ ask, target, notes }: Encoding): Reasoning {
  const { thinking } = ask
  const { thinking: modes, efforts } = target.facts
  const able = modes.length > 0 || efforts.length > 0
  // How much it reasons unasked differs by model and day.
  if (!thinking) return { effort: undefined, reasons: able, asked: false }
  const { mode, params, budget } = thinking
  if (mode === 'off' || budget === 0) {
    if (!able) return { effort: undefined, reasons: false, asked: false }
    if (modes.includes('off')) return { effort: 'none', reasons: false, asked: false }
    if (params.mode) notes.change(params.mode)
    return { effort: efforts[0], reasons: true, asked: false }
  }
  if (efforts.length === 0) {
    // That it reasons by itself is all that was asked for.
    if (params.mode && params.mode !== params.effort && !(able && mode === 'auto')) notes.drop(params.mode)
    if (thinking.effort && params.effort) notes.drop(params.effort)
    return { effort: undefined, reasons: able, asked: able }
  }
  const wanted = thinking.effort ?? (mode === 'budget' && budget !== undefined ? effortOf(budget) : undefined)
  const effort = wanted && offeredEffort(wanted, efforts)
  const param = thinking.effort ? params.effort : params.mode
  if (effort !== wanted && param) notes.change(param)
  return { effort, reasons: true, asked: true }
}

/** Whether the model takes a temperature and its like. */
export function takesSampling({ target }: Encoding, { reasons }: Reasoning): boolean {
  const { sampling } = target.facts
  return sampling === 'yes' || (sampling === 'withoutReasoning' && !reasons)
}

/** The schema that an answer is to keep to, under a name that is legal. */
export function schemaAsked({
  ask,
  notes,
  fields,
}: Encoding): { name: string; schema: Json; strict?: boolean } | undefined {
  const { format } = ask
  if (format?.kind !== 'schema') return undefined
  const name = format.name?.replace(/[^a-zA-Z0-9_-]/g, '_').slice(0, 64) || 'response'
  if (format.name !== undefined && name !== format.name) notes.change(fields.format)
  return { name, schema: format.schema, ...(format.strict === undefined ? {} : { strict: format.strict }) }
}

/**
 * The schema of a tool as an object; a text where there is nothing to be mended: it is what nobody can call, or
 * nested deeper than is read here, which the vendor may judge.
 */
export function rootOf(schema: Json | undefined): Record<string, unknown> | Json {
  const anything = '{"type":"object","properties":{}}' as Json
  if (schema === undefined) return anything
  try {
    const said = parseExact(schema)
    return isFields(said) ? said : anything
  } catch (error) {
    if (error instanceof SyntaxError) return schema
    throw error
  }
}

/** Who it is, as a digest: names of people stay here. */
export function personOf({ endUser }: Ask): string | undefined {
  return endUser === undefined ? undefined : createHash('sha256').update(endUser).digest('hex').slice(0, 32)
}

/** The tier, where there are any. */
export function tierOf({ ask, notes, fields }: Encoding, able: boolean): { service_tier?: string } {
  const { tier } = ask
  if (tier === undefined || tier === 'auto') return {}
  if (able && tier !== 'batch') return { service_tier: tier === 'standard' ? 'default' : tier }
  if (tier !== 'standard') notes.drop(fields.tier)
  return {}
}
