// Prices out of a file of somebody else: LiteLLM's map of model prices, or a file in gw's own format.

import { Refusal } from '../../lib/refusal.ts'
import { notJson } from '../../lib/why.ts'
import { type Change, changes, isTokens, largest } from './change.ts'
import { isPriceFile, readPriceFile } from './file.ts'
import { errors, lint } from './lint.ts'
import { compiled, type PriceTable, priceTable } from './price.ts'
import { decimal, type Finding, isObject, type Reader, type Reading, reader } from './read.ts'
import { type Bucket, buckets, compile, eachBucket, multiply, type Price, type PriceRow, type Written } from './row.ts'

export interface PriceFile extends Reading {
  /** its rows name neither every mode nor web searches; what they do not name is unknown, not absent */
  partial: boolean
  /** how many rows were left out, by why */
  skipped: ReadonlyMap<string, number>
}

export interface ReadOptions {
  /** its name, for messages */
  file: string
  /** Unix ms; since when a row holds that does not say so */
  now: number
  /** Unix ms; since when every row holds, whatever it says */
  from?: number | undefined
  /** only rows whose name one of these matches; `*` stands for anything */
  only?: readonly string[] | undefined
}

/** @throws Refusal `usage` when `text` is neither of the two formats */
export function readPrices(text: string, { file, now, from, only }: ReadOptions): PriceFile {
  const json = parse(text, file)
  const wanted = only && matcher(only)
  const skipped = new Map<string, number>()
  const skip = (why: string) => void skipped.set(why, (skipped.get(why) ?? 0) + 1)
  if (isPriceFile(json)) {
    const prices = json.prices
      .filter(row => !wanted || (isObject(row) && wanted(String(row['model']))) || skip('not asked for'))
      .map(row => (from === undefined || !isObject(row) ? row : { ...row, from: new Date(from).toISOString() }))
    return { ...readPriceFile({ prices }, { layer: 'operator', from: now }), partial: false, skipped }
  }
  if (!isObject(json) || !Object.values(json).some(row => isObject(row) && priced(row)))
    throw new Refusal(
      'usage',
      `${file} is no price file: neither a LiteLLM map, {"MODEL": {"input_cost_per_token": …}}, nor gw's own format, {"format": 1, "prices": […]}`,
    )
  const byModel = new Map<string, { studio: boolean; row: LiteRow }[]>()
  for (const [key, row] of Object.entries(json)) {
    if (key === 'sample_spec' || !isObject(row)) continue
    const studio = key.startsWith('gemini/')
    const model = (studio ? key.slice('gemini/'.length) : key).toLowerCase()
    if (wanted ? !(wanted(key) || wanted(model)) : model.includes('/'))
      skip(wanted ? 'not asked for' : 'of other providers (--only takes them)')
    else if (!kinds.includes(String(row['mode'] ?? 'chat'))) skip('not billed by text tokens')
    else if (!priced(row)) skip('without a price per token')
    else {
      const there = byModel.get(model) ?? []
      // Without its path it is Vertex' row; a bare name is what AI Studio calls the model.
      if (studio) byModel.set(model, [{ studio, row }])
      else if (!there.some(other => other.studio)) byModel.set(model, [...there, { studio, row }])
    }
  }
  const findings: Finding[] = []
  const rows = [...byModel].flatMap(([model, list]) =>
    list.map(({ row }) => liteRow(model, row, from ?? now, findings)),
  )
  return { rows, findings, partial: true, skipped }
}

function parse(text: string, file: string): unknown {
  try {
    return JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch (error) {
    throw new Refusal('usage', notJson(file === '-' ? 'stdin' : file, text, error), { cause: error })
  }
}

/** Whether one of the patterns matches a name, whatever its case; `*` stands for anything. */
export function matcher(patterns: readonly string[]): (name: string) => boolean {
  const all = patterns.map(pattern => {
    const parts = pattern.split('*').map(part => part.replaceAll(/[\\^$.|?+()[\]{}]/g, '\\$&'))
    return new RegExp(`^${parts.join('.*')}$`, 'is')
  })
  return name => all.some(one => one.test(name))
}

type LiteRow = Readonly<Record<string, unknown>>

const kinds = ['chat', 'responses', 'completion', 'embedding']
const names: Record<'input' | 'output' | 'cacheRead', string> = {
  input: 'input_cost_per_token',
  output: 'output_cost_per_token',
  cacheRead: 'cache_read_input_token_cost',
}
const written = 'cache_creation_input_token_cost'
/** Its column has no lifetime in its name: that is the vendor's shortest, which of OpenAI is half an hour. */
const writeNames: Record<string, Partial<Record<Bucket, string>>> = {
  openai: { cacheWrite30m: written, cacheWrite12h: `${written}_above_12hr` },
  '': { cacheWrite5m: written, cacheWrite1h: `${written}_above_1hr` },
}
const suffixes = { priority: '_priority', flex: '_flex', fast: '_fast', batch: '_batches' }
const tierSuffix = /^(?:input|output)_cost_per_token_above_(\d+)k_tokens$/
const vendors: Record<string, string> = { gemini: 'google', 'vertex_ai-language-models': 'google', vertex_ai: 'google' }

/** The rates of all buckets whose names end in `suffix`; `prefix` is what findings call them. */
type Columns = (prefix: string, suffix: string, base?: Written) => Written

const priced = (row: LiteRow) => [names.input, names.output].some(name => row[name] != null)

/** Rates there are per token. */
function liteRow(model: string, row: LiteRow, from: number, findings: Finding[]): PriceRow {
  const of = { model, from: new Date(from) }
  const read = reader(of, value => decimal(value, 6), findings)
  const embedding = row['mode'] === 'embedding'
  const vendor = vendorOf(row)
  const columns: Partial<Record<Bucket, string>> = { ...names, ...(writeNames[vendor ?? ''] ?? writeNames['']) }
  const written: Columns = (prefix, suffix, base) =>
    eachBucket(bucket => {
      // A cache rate of the tier without one of the base is an artefact of storage prices (Gemini's rows have it).
      if (base?.[bucket] === null && bucket !== 'input' && bucket !== 'output') return null
      const column = columns[bucket]
      const rate = column === undefined ? null : read.rate(row[column + suffix], prefix + buckets[bucket])
      return rate ?? (bucket === 'output' && embedding ? 0n : null)
    })
  const rates = written('', '')
  return {
    model,
    vendor,
    layer: 'operator',
    from,
    rates,
    tier: liteTier(row, read, rates, written),
    modes: liteModes(row, read, rates, written),
    geo: liteGeo(row),
    webSearch: liteSearch(row, reader(of, decimal, findings)),
    source: 'litellm',
    embedding,
    accepted: false,
  }
}

function vendorOf(row: LiteRow): string | null {
  const provider = row['litellm_provider']
  return typeof provider === 'string' ? (vendors[provider] ?? provider) : null
}

function liteTier(row: LiteRow, read: Reader, rates: Written, written: Columns): PriceRow['tier'] {
  const thousands = Object.keys(row).flatMap(key => (row[key] == null ? [] : (tierSuffix.exec(key)?.[1] ?? [])))
  const [lowest, ...more] = [...new Set(thousands)].sort((a, b) => Number(a) - Number(b))
  if (lowest === undefined) return null
  if (more.length > 0)
    read.say('tier', `has more steps, above ${more.join('k and ')}k tokens; gw bills by the first`, 'warning')
  return { above: Number(lowest) * 1000, ...written('tier.', `_above_${lowest}k_tokens`, rates) }
}

function liteModes(row: LiteRow, read: Reader, rates: Written, written: Columns): PriceRow['modes'] {
  const modes = new Map<string, Written>()
  const specific = row['provider_specific_entry']
  const fast = isObject(specific) ? decimal(specific['fast']) : undefined
  if (fast) modes.set('fast', multiply(rates, fast.nano))
  for (const [mode, suffix] of Object.entries(suffixes)) {
    if (row[names.input + suffix] == null && row[names.output + suffix] == null) continue
    const part = written(`modes.${mode}.`, suffix)
    // One column alone is a slip of the file (gpt-5-nano had an input of priority 50 times its base, and nothing else).
    if (part.input === null || part.output === null)
      read.say(`modes.${mode}`, 'has not both an input and an output rate and is left out', 'info')
    else modes.set(mode, part)
  }
  return modes
}

/** `{"fast": 2, "us": 1.1}`: what is no mode of service there is a region, by two letters. */
function liteGeo(row: LiteRow): PriceRow['geo'] {
  const specific = row['provider_specific_entry']
  const geo = new Map<string, bigint>()
  for (const [name, value] of Object.entries(isObject(specific) ? specific : {})) {
    const times = decimal(value)
    if (/^[a-z]{2}$/.test(name) && times) geo.set(name, times.nano)
  }
  return geo
}

/** USD a search. It may depend on how much of the web a search reads, which no usage tells: then it is unknown. */
function liteSearch(row: LiteRow, read: Reader) {
  const cost = row['search_context_cost_per_query']
  const sizes = new Set(isObject(cost) ? Object.values(cost) : [cost])
  return sizes.size === 1 ? read.rate([...sizes][0], 'web_search') : null
}

/** What importing a row would do. */
export interface Planned {
  row: PriceRow
  /** `same`: what differs is wrong and has no effect; null: it is no price, input or output are missing */
  change: 'new' | 'dearer' | 'cheaper' | 'mixed' | 'same' | null
  changes: Change[]
  /** the one that counts most */
  most: Change | undefined
  findings: Finding[]
}

/** The rows with what is kept from `held` because the file does not name it, and all that is to be said of them. */
export function inspect(file: PriceFile, held: readonly PriceRow[]): Reading {
  const findings = [...file.findings]
  if (!file.partial) return { rows: file.rows, findings: lint({ rows: file.rows, findings }, held) }
  const table = priceTable(compiled(held))
  const rows = file.rows.map(row => keepUnnamed(row, table, findings))
  return { rows, findings: lint({ rows, findings }, held) }
}

/** Compares a file with `held`, the rows of every layer; sound rows that change nothing are only counted. */
export function plan(file: PriceFile, held: readonly PriceRow[]): { planned: Planned[]; unchanged: number } {
  const table = priceTable(compiled(held))
  const { rows, findings } = inspect(file, held)
  const about = Map.groupBy(findings, ({ model, from }) => `${from?.getTime()} ${model}`)
  let unchanged = 0
  const planned = rows.flatMap((row): Planned[] => {
    const found = table.find(row.model, row.from)
    const price = compile(row)
    const of = { row, findings: about.get(`${row.from} ${row.model}`) ?? [] }
    if (price === undefined) return [{ ...of, change: null, changes: [], most: undefined }]
    const all = found ? changes(found.price, price) : []
    if (found && all.length === 0 && errors(of.findings).length === 0) {
      unchanged++
      return []
    }
    if (!found || found.match === 'prefix') return [{ ...of, change: 'new', changes: all, most: undefined }]
    return [{ ...of, change: direction(all), changes: all, most: largest(all.filter(change => !isTokens(change))) }]
  })
  return { planned, unchanged }
}

function keepUnnamed(row: PriceRow, table: PriceTable, findings: Finding[]): PriceRow {
  const found = table.find(row.model, row.from)
  if (!found || found.match === 'prefix') return row
  const { price } = found
  const modes = new Map<string, Written>(row.modes)
  for (const [mode, rates] of price.modes)
    if (!modes.has(mode)) {
      modes.set(mode, rates)
      findings.push(kept(row, price, mode))
    }
  const geo = new Map([...price.geo, ...row.geo])
  return { ...row, modes, geo, webSearch: row.webSearch ?? price.webSearch, vendor: price.vendor ?? row.vendor }
}

function kept({ model, from, rates }: PriceRow, price: Price, mode: string): Finding {
  const of = { model, from: new Date(from), field: `modes.${mode}` }
  return rates.input === price.input
    ? { ...of, level: 'info', text: 'is kept as it was; the file does not name it' }
    : { ...of, level: 'warning', text: 'is kept as it was; the file does not name it, but input changes: check it' }
}

function direction(all: readonly Change[]): Planned['change'] {
  if (all.length === 0) return 'same'
  const money = all.filter(change => !isTokens(change))
  if (money.length > 0 && money.every(change => change.after > change.before)) return 'dearer'
  if (money.length > 0 && money.every(change => change.after < change.before)) return 'cheaper'
  return 'mixed'
}
