// What is wrong with prices: rules that a slip of the pen, a lost column or a misread unit breaks, and a true price does not.
import { formatUsd } from '../../lib/money.ts'
import { type Change, changes, describe, ends } from './change.ts'
import { compiled, priceTable } from './price.ts'
import type { Finding, Reading } from './read.ts'
import {
  type Bucket,
  bucketNames,
  buckets,
  compile,
  type Price,
  type PriceRow,
  soldWrites,
  standsIn,
  type Written,
  writeBuckets,
  writesOf,
} from './row.ts'

/** A rate this many times the one before, or that part of it, is taken for a slip. */
export const JUMP = 5n
/** USD per million tokens; nothing costs more, and what costs less was meant per token or per thousand */
const HIGHEST = 1000n * 1_000_000_000n
const LOWEST = 100_000n
/** USD a search */
const DEAREST_SEARCH = 1_000_000_000n
/** Tokens; a threshold outside was meant in thousands, or in characters. */
const TIERS = { from: 1000, to: 10_000_000 }
/** A tier or a mode is not this many times its base. */
const SPREAD = 10n

/** A multiplier of 1, in billionths. */
const ONCE = 1_000_000_000n

const modeName = /^[a-z][a-z0-9_-]{0,30}$/
const standardModes = ['standard', 'default', 'auto']
const anywhere = ['global', 'not_available']
const cheapModes = ['flex', 'batch']
const dearModes = ['priority', 'fast', 'ultrafast']

type Say = (field: string, text: string, level?: Finding['level']) => void

/**
 * Findings about `rows`: those of reading them, those of each row alone, of rows that are there twice, and of jumps
 * against the price a model had before. `against` is what they are measured by: shipped rows, or all that hold now.
 */
export function lint({ rows, findings }: Reading, against: readonly PriceRow[]): Finding[] {
  const all = [...findings]
  const said = new Set(findings.map(key))
  const before = history(rows, against)
  const seen = new Map<string, PriceRow>()
  for (const row of rows) {
    const of = { model: row.model, from: new Date(row.from) }
    const say: Say = (field, text, level = 'error') => {
      const finding: Finding = { ...of, field, level, text }
      // What was accepted stays visible to whoever wants to know, and bothers nobody else.
      if (row.accepted && level !== 'info') Object.assign(finding, { level: 'info', text: `${text} (accepted)` })
      // Reading has said already why there is none.
      if (!said.has(key(finding))) all.push(finding)
    }
    name(row, say)
    rates(row, say)
    tier(row, say)
    modes(row, say)
    geo(row, say)
    search(row, say)
    twice(row, seen, say)
    jumps(row, before(row), say)
  }
  return all
}

const key = ({ model, from, field }: Finding) => JSON.stringify([model, from?.getTime(), field])

export function errors(findings: readonly Finding[]): Finding[] {
  return findings.filter(finding => finding.level === 'error')
}

function name(row: PriceRow, say: Say): void {
  if (!/^[^\s\p{Cc}*]{0,200}\*?$/u.test(row.model) || row.model === '')
    say('model', 'is no model name; use at most 200 characters without spaces, and * only at the end')
}

function rates(row: PriceRow, say: Say): void {
  const { input, output, cacheRead } = row.rates
  const others = [...amounts(row.rates), ...amounts(row.tier), ...[...row.modes.values()].flatMap(amounts)]
  const free = others.every(rate => rate === 0n)
  for (const bucket of ['input', 'output'] as const) {
    const rate = row.rates[bucket]
    if (rate === null) say(bucket, 'is missing; every price has an input and an output rate')
    else if (rate === 0n && !free && !(bucket === 'output' && row.embedding))
      say(bucket, 'is 0 while other rates are not; give the vendor’s rate')
  }
  if (free && input !== null) say('input', 'is 0 like every other rate: the model is free; is that so?', 'warning')
  magnitudes(row.rates, '', say)
  if (input === null) return
  order(row.rates, '', say)
  writes(row, say)
  if (cacheRead === 0n && input > 0n) say('cache_read', 'is 0: cached tokens are free; is that so?', 'warning')
  if (output !== null && output > 0n && output < input)
    say('output', 'is below input; are the two exchanged?', 'warning')
}

/** What is kept longer costs no less; a lifetime without a rate of its own has that of another. */
function writes({ rates: written, vendor }: PriceRow, say: Say): void {
  const sold: readonly Bucket[] = soldWrites[vendor ?? ''] ?? writeBuckets
  let shorter: Bucket | undefined
  const other = new Map<Bucket, string[]>()
  for (const bucket of writeBuckets) {
    const rate = written[bucket]
    if (rate === null) {
      if (!sold.includes(bucket)) continue
      const instead = standsIn(written, bucket)
      other.set(instead, [...(other.get(instead) ?? []), buckets[bucket]])
      continue
    }
    if (shorter && rate < written[shorter]!)
      say(buckets[bucket], `is below ${buckets[shorter]}, which is kept less long; are the two exchanged?`)
    shorter = bucket
  }
  if (other.size === 0) return
  const told = [...other].map(([instead, names]) => `${names.join(' and ')} as ${buckets[instead]}`)
  say('cache_write', `has not a rate for each lifetime; billed are ${told.join(', ')}`, 'info')
}

const amounts = (written: Written | null) =>
  written === null ? [] : bucketNames.flatMap(bucket => written[bucket] ?? [])

/** Reading a cache costs no more than reading the prompt, writing one no less. */
function order(written: Written, prefix: string, say: Say): void {
  const { input, cacheRead } = written
  if (input === null) return
  if (cacheRead !== null && cacheRead > input)
    say(`${prefix}cache_read`, `is above ${prefix}input (${formatUsd(input)}); a cache makes reading cheaper`)
  for (const bucket of writeBuckets) {
    const rate = written[bucket]
    if (rate !== null && rate < input)
      say(prefix + buckets[bucket], `is below ${prefix}input (${formatUsd(input)}); writing a cache never costs less`)
  }
}

function magnitudes(written: Written, prefix: string, say: Say): void {
  for (const bucket of bucketNames) {
    const rate = written[bucket]
    const field = prefix + buckets[bucket]
    if (rate === null) continue
    if (rate < 0n) say(field, `is negative: ${formatUsd(rate)}`)
    else if (rate > HIGHEST)
      say(field, `is ${formatUsd(rate)} USD per million tokens, more than any model costs; check the decimal point`)
    else if (rate > 0n && rate < LOWEST)
      say(field, `is ${formatUsd(rate)} USD per million tokens; was it meant per token? Then give it × 1,000,000`)
  }
}

function tier(row: PriceRow, say: Say): void {
  const part = row.tier
  if (part === null) return
  if (part.above === null) say('tier.above', 'is missing; say from how many tokens of prompt the tier holds')
  else if (!Number.isInteger(part.above) || part.above < TIERS.from || part.above > TIERS.to)
    say('tier.above', `is ${part.above}; it counts tokens, such as 200000`)
  needed(part, 'tier.', row, say)
  magnitudes(part, 'tier.', say)
  order(part, 'tier.', say)
  const price = compile({ ...row, tier: { ...part, above: part.above ?? 0 } })
  if (price?.tier == null || price.input === 0n) return
  for (const bucket of bucketNames)
    if (price.tier[bucket] < price[bucket] && (part[bucket] !== null || row.rates[bucket] !== null))
      say(
        `tier.${buckets[bucket]}`,
        `is below the base rate (${formatUsd(price[bucket])}); long prompts never cost less`,
      )
  if (price.tier.input === price.input) say('tier.input', 'is the base rate; a tier is dearer, or is none')
  if (price.tier.input >= price.input * SPREAD)
    say('tier.input', `is ${SPREAD} times the base rate or more; check the decimal point`)
}

function modes(row: PriceRow, say: Say): void {
  const price = compile(row)
  for (const [mode, part] of row.modes) {
    const prefix = `modes.${mode}.`
    if (!modeName.test(mode)) say(`modes.${mode}`, 'is no mode’s name; use the vendor’s word, such as priority')
    if (standardModes.includes(mode))
      say(`modes.${mode}`, 'is the standard mode: its rates are those of the price itself')
    needed(part, prefix, row, say)
    magnitudes(part, prefix, say)
    order(part, prefix, say)
    const rates = price?.modes.get(mode)
    if (price === undefined || rates === undefined) continue
    for (const bucket of ['input', 'output'] as const) {
      const { lo, hi } = ends({ field: '', before: price[bucket], after: rates[bucket] })
      if (lo > 0n && hi >= lo * SPREAD)
        say(prefix + bucket, `is ${SPREAD} times the base rate, or a ${SPREAD}th of it; check the decimal point`)
    }
    if (cheapModes.includes(mode) && rates.input > price.input)
      say(
        `${prefix}input`,
        'is above the base rate, although the mode is the cheap one; are the two exchanged?',
        'warning',
      )
    if (dearModes.includes(mode) && rates.input < price.input)
      say(
        `${prefix}input`,
        'is below the base rate, although the mode is the dear one; are the two exchanged?',
        'warning',
      )
  }
}

function geo(row: PriceRow, say: Say): void {
  for (const [name, times] of row.geo) {
    const field = `geo.${name}`
    if (!modeName.test(name)) say(field, 'is no region’s name; use the vendor’s word, such as us')
    if (anywhere.includes(name)) say(field, 'is no region: what is computed anywhere has the rates of the price itself')
    if (times < 0n) say(field, `is negative: ${formatUsd(times)}`)
    else if (times >= SPREAD * ONCE || times * SPREAD <= ONCE)
      say(field, `is ${formatUsd(times)} times every rate; check the decimal point`)
    else if (times < ONCE) say(field, 'is below 1, although a region never costs less; is that so?', 'warning')
  }
}

/** A tier or a mode of one column only is what a lost column looks like. */
function needed(part: Written, prefix: string, row: PriceRow, say: Say): void {
  for (const bucket of ['input', 'output'] as const) {
    if (bucket === 'output' && row.embedding) continue
    if (part[bucket] === null) say(prefix + bucket, 'is missing; give it, or take the tier or mode out')
    else if (part[bucket] === 0n && row.rates[bucket] !== 0n)
      say(prefix + bucket, 'is 0 while the base rate is not; give the vendor’s rate')
  }
}

function search({ webSearch }: PriceRow, say: Say): void {
  if (webSearch === null) say('web_search', 'is not known; searches of the web are not billed', 'info')
  else if (webSearch < 0n) say('web_search', `is negative: ${formatUsd(webSearch)}`)
  else if (webSearch > DEAREST_SEARCH)
    say('web_search', `is ${formatUsd(webSearch)} USD for one search; vendors quote a thousand: divide by 1000`)
}

function twice(row: PriceRow, seen: Map<string, PriceRow>, say: Say): void {
  const key = JSON.stringify([row.layer, row.from, row.model])
  if (seen.has(key)) say('model', 'is there twice with the same date (upper and lower case are one); take one out')
  seen.set(key, row)
}

/** What a row is compared with: the price before it in time, and the one that it stands in for. */
function history(rows: readonly PriceRow[], against: readonly PriceRow[]): (row: PriceRow) => [Price, string][] {
  const shippedOnly = (list: readonly PriceRow[]) => list.filter(row => row.layer === 'shipped')
  const times = lookup([...against, ...rows])
  const shippedTimes = lookup(shippedOnly([...against, ...rows]))
  const held = lookup(against)
  return row => {
    // gw's own next price is measured by gw's own, whatever an operator set meanwhile.
    const earlier = (row.layer === 'shipped' ? shippedTimes : times)(row.model, row.from - 1)
    const now = held(row.model, row.from)
    const whose = now?.layer === 'shipped' ? 'the price gw ships' : 'the price set until now'
    return [
      ...(now ? [[now, whose] as [Price, string]] : []),
      ...(earlier ? [[earlier, 'the price before'] as [Price, string]] : []),
    ]
  }
}

function lookup(rows: readonly PriceRow[]): (model: string, at: number) => Price | undefined {
  const prices = compiled(rows)
  const table = priceTable(prices)
  const latest = (model: string, at: number) =>
    prices.filter(price => price.model === model && price.from <= at).sort((a, b) => b.from - a.from)[0]
  return (model, at) => {
    if (model.endsWith('*')) return latest(model, at)
    // A model of its own owes nothing to the prefix that priced it so far.
    const found = table.find(model, at)
    return found && found.match !== 'prefix' ? found.price : undefined
  }
}

function jumps(row: PriceRow, before: readonly [Price, string][], say: Say): void {
  const price = compile(row)
  if (price === undefined) return
  const told = new Set<string>()
  const once = (field: string, text: string, level: Finding['level']) => {
    if (!told.has(field)) say(field, text, level)
    told.add(field)
  }
  for (const [old, whose] of before) {
    for (const change of changes(old, price))
      if (isJump(change, old, price))
        once(
          change.field,
          `jumps from ${whose}: ${describe(change)}; check the decimal point${gone(change, row)}`,
          'error',
        )
    const lost = new Set<bigint>()
    for (const bucket of [...writesOf(row.vendor ?? old.vendor), 'cacheRead'] as const) {
      const other = standsIn(row.rates, bucket)
      // Lifetimes that have one rate are gone once.
      if (old[bucket] === old[other] || (bucket !== 'cacheRead' && lost.has(old[bucket]))) continue
      lost.add(old[bucket])
      once(buckets[bucket], `is gone, which ${whose} has: those tokens would be billed as ${buckets[other]}`, 'warning')
    }
    if (old.tier && !price.tier)
      once('tier', `is gone, which ${whose} has: long prompts would cost as short ones`, 'warning')
    for (const mode of old.modes.keys())
      if (!price.modes.has(mode))
        once(`modes.${mode}`, `is gone, which ${whose} has: such requests would have no price`, 'warning')
    for (const name of old.geo.keys())
      if (!price.geo.has(name))
        once(`geo.${name}`, `is gone, which ${whose} has: such requests would have no price`, 'warning')
    if (old.webSearch !== null && price.webSearch === null)
      once('web_search', `is gone, ${formatUsd(old.webSearch)} in ${whose}: searches would not be billed`, 'warning')
  }
}

function isJump(change: Change, before: Price, after: Price): boolean {
  // Unknown is no price to jump from or to.
  if (change.field === 'web_search' && (before.webSearch === null || after.webSearch === null)) return false
  const { lo, hi } = ends(change)
  return hi >= lo * JUMP
}

/** Why a rate that nobody wrote jumps. */
function gone(change: Change, row: PriceRow): string {
  const [, mode] = /^modes\.(.+)\.\w+$/.exec(change.field) ?? []
  if (mode !== undefined && !row.modes.has(mode)) return ` (without mode ${mode} such requests have no price)`
  const bucket = [...writeBuckets, 'cacheRead' as const].find(bucket => buckets[bucket] === change.field)
  if (bucket === undefined || row.rates[bucket] !== null) return ''
  return ` (without ${change.field} those tokens are billed as ${buckets[standsIn(row.rates, bucket)]})`
}
