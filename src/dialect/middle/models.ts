// The facts of models: config/models.json, by vendor and the longest prefix of the name.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { ModelFacts } from './facts.ts'

export type Vendor = 'anthropic' | 'openai' | 'gemini'

type Rows = Record<string, Partial<ModelFacts>>

const file = path.join(import.meta.dirname, '../../../config/models.json')
const table = JSON.parse(readFileSync(file, 'utf8')) as Record<Vendor, Rows>
const known = new Map<string, ModelFacts>()

/** What is known of a model of that vendor; what its row does not say, its vendor's row `*` says. */
export function factsOf(vendor: Vendor, model: string): ModelFacts {
  const key = `${vendor} ${model}`
  let found = known.get(key)
  if (!found) {
    const rows = table[vendor]
    const row = Object.keys(rows)
      .filter(name => name.endsWith('*') && model.startsWith(name.slice(0, -1)))
      .reduce((longest, name) => (name.length > longest.length ? name : longest), '*')
    found = { ...rows['*'], ...rows[row] } as ModelFacts
    known.set(key, found)
  }
  return found
}
