// The facts of models: config/models.json, and what an operator puts over it (setting `models.file`); by vendor and name.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { ModelFacts } from './facts.ts'

export const vendors = ['anthropic', 'openai', 'gemini'] as const
export type Vendor = (typeof vendors)[number]

/** By the model's name, or its beginning and `*`; of a name that several rows fit the longest holds. `*` is for all others. */
export type Rows = Record<string, Partial<ModelFacts>>
export type Models = Record<Vendor, Rows>

/** The facts that gw comes with. */
export const shipped = JSON.parse(
  readFileSync(path.join(import.meta.dirname, '../../../config/models.json'), 'utf8'),
) as Models

let table = shipped
let known = new Map<string, ModelFacts>()

/** What is known of a model of that vendor; what its row does not say, its vendor's row `*` says. */
export function factsOf(vendor: Vendor, model: string): ModelFacts {
  const key = `${vendor} ${model}`
  let found = known.get(key)
  if (!found) {
    found = factsIn(table[vendor], rowOf(table[vendor], model))
    // Names are the client's: what is remembered of them has an end.
    if (known.size >= MOST_KNOWN) known = new Map()
    known.set(key, found)
  }
  return found
}
const MOST_KNOWN = 10_000

/** Puts an operator's rows, which were found right, over those that are shipped; each says as much as it wants to. */
export function overrideModels(over: Partial<Models>): void {
  table = merged(over)
  known = new Map()
}

export function merged(over: Partial<Models>): Models {
  const all = { ...shipped }
  for (const vendor of vendors) {
    all[vendor] = { ...shipped[vendor] }
    for (const [name, row] of Object.entries(over[vendor] ?? {})) all[vendor][name] = { ...all[vendor][name], ...row }
  }
  return all
}

export function factsIn(rows: Rows, name: string): ModelFacts {
  return { ...rows['*'], ...rows[name] } as ModelFacts
}

/** The name of the row that holds for a model; `except` names one that is passed over. */
export function rowOf(rows: Rows, model: string, except?: string): string {
  if (model !== except && Object.hasOwn(rows, model)) return model
  return Object.keys(rows)
    .filter(name => name !== except && name.endsWith('*') && model.startsWith(name.slice(0, -1)))
    .reduce((longest, name) => (name.length > longest.length ? name : longest), '*')
}
