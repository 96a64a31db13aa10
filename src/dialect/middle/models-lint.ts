// What is wrong with a file of models' facts: where, what is there, and what may be.
import { isDeepStrictEqual } from 'node:util'
import { efforts } from './effort.ts'
import type { ModelFacts } from './facts.ts'
import { factsIn, type Models, merged, type Rows, rowOf, vendors } from './models.ts'

interface Check {
  allowed: string
  is(value: unknown): boolean
}

const flag: Check = { allowed: 'true or false', is: value => typeof value === 'boolean' }
const text: Check = { allowed: 'a text', is: value => typeof value === 'string' }
const isCount = (value: unknown) => Number.isSafeInteger(value) && Number(value) >= 0
const tokens: Check = { allowed: 'a whole number of tokens', is: value => isCount(value) && value !== 0 }
const one = (...words: readonly string[]): Check => ({
  allowed: words.map(word => JSON.stringify(word)).join(', '),
  is: value => typeof value === 'string' && words.includes(value),
})
const listOf = (...words: readonly string[]): Check => ({
  allowed: `a list of ${one(...words).allowed}, each once`,
  is: value =>
    Array.isArray(value) && value.every(item => words.includes(item)) && new Set(value).size === value.length,
})

const checks: Record<keyof ModelFacts, Check> = {
  sampling: one('yes', 'no', 'withoutReasoning'),
  samplingBoth: flag,
  topK: flag,
  stop: flag,
  forcedTools: flag,
  parallel: flag,
  forcedWhileThinking: flag,
  thinking: listOf('off', 'auto', 'budget', 'betweenTools'),
  offUpTo: one(...efforts),
  efforts: listOf(...efforts),
  budget: {
    allowed: '{"least": tokens, "most": tokens}, the least first',
    is: value => {
      const { least, most, ...rest } = (value ?? {}) as Record<string, unknown>
      return isCount(least) && isCount(most) && Number(least) <= Number(most) && Object.keys(rest).length === 0
    },
  },
  display: flag,
  bound: flag,
  maxOutput: tokens,
  cacheTtls: listOf('5m', '30m', '1h', '12h'),
  prefill: flag,
  midSystem: flag,
  developer: flag,
  version: text,
  callSeals: flag,
  resultMedia: flag,
  fetchedMedia: {
    allowed: 'a list of media types such as "image/png", each once',
    is: value =>
      Array.isArray(value) &&
      value.every(type => typeof type === 'string' && /^[a-z]+\/[a-z0-9][a-z0-9.+-]*$/.test(type)) &&
      new Set(value).size === value.length,
  },
  searchTool: text,
  searchWithTools: flag,
  thoughtsBack: flag,
  phases: flag,
  schemaWithTools: flag,
  validated: flag,
}
// What a row `*` may leave out.
const optional = new Set<string>(['offUpTo', 'fetchedMedia', 'validated'] satisfies (keyof ModelFacts)[])

const list = (words: readonly string[]) => words.join(', ')
const isNamed = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * What is wrong with rows that are put over those that are shipped, each in a line: where, what, and what is allowed.
 * @param alone they are all there is, so a row `*` must say everything
 */
export function lintModels(value: unknown, alone = false): string[] {
  if (!isNamed(value)) return [`must be one JSON object with ${list(vendors)}, got ${shown(value)}`]
  const wrong: string[] = []
  for (const [vendor, rows] of Object.entries(value)) {
    if (!(vendors as readonly string[]).includes(vendor)) wrong.push(`${vendor}: is no vendor; use ${list(vendors)}`)
    else if (!isNamed(rows)) wrong.push(`${vendor}: must be an object of rows by model, got ${shown(rows)}`)
    else for (const [name, row] of Object.entries(rows)) wrong.push(...rowProblems(`${vendor}.${name}`, name, row))
  }
  if (wrong.length > 0) return wrong
  const models = value as Partial<Models>
  if (alone) for (const vendor of vendors) wrong.push(...missing(vendor, models[vendor]?.['*'] ?? {}))
  const all = alone ? (models as Models) : merged(models)
  for (const vendor of vendors)
    for (const name of Object.keys(models[vendor] ?? {}))
      if (saysNothing(all[vendor], name)) wrong.push(idle(vendor, name))
  return wrong
}

function rowProblems(at: string, name: string, row: unknown): string[] {
  const wrong: string[] = []
  if (!/^[^\s\p{Cc}*]{0,200}\*?$/u.test(name) || name === '')
    wrong.push(`${at}: is no model name; use at most 200 characters without spaces, and * only at the end`)
  if (!isNamed(row)) return [...wrong, `${at}: must be an object of facts, got ${shown(row)}`]
  for (const [field, value] of Object.entries(row)) {
    const check = Object.hasOwn(checks, field) ? checks[field as keyof ModelFacts] : undefined
    if (!check) wrong.push(`${at}.${field}: is no fact of a model; use ${list(Object.keys(checks))}`)
    else if (!check.is(value)) wrong.push(`${at}.${field}: must be ${check.allowed}, got ${shown(value)}`)
  }
  return wrong
}

const missing = (vendor: string, row: object) =>
  Object.keys(checks)
    .filter(field => !(field in row) && !optional.has(field))
    .map(field => `${vendor}.*: has no ${field}, which every model has`)

/** Whether its models would have the same facts without the row. */
function saysNothing(rows: Rows, name: string): boolean {
  if (name === '*') return false
  const model = name.endsWith('*') ? name.slice(0, -1) : name
  return isDeepStrictEqual(factsIn(rows, name), factsIn(rows, rowOf(rows, model, name)))
}

const idle = (vendor: string, name: string) =>
  `${vendor}.${name}: says nothing that its models would not have without it; leave the row out, or say what differs`

const shown = (value: unknown) => (JSON.stringify(value) ?? String(value)).slice(0, 80)
