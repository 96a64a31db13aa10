// Reads one price out of what somebody wrote, in gw's own words, and keeps what is wrong with it.

import { mulDiv, type Nano } from '../../lib/money.ts'
import { suggest } from '../../lib/suggest.ts'
import { buckets, eachBucket, multiply, type PriceRow, type Written } from './row.ts'

/** What is wrong, or worth knowing, about a price. */
export interface Finding {
  model: string
  /** from when the price holds, where that could be read */
  from: Date | null
  /** `input`, `tier.above`, `modes.fast.output` … */
  field: string
  level: 'error' | 'warning' | 'info'
  /** what is wrong and what to do about it */
  text: string
}

export interface Reading {
  rows: PriceRow[]
  findings: Finding[]
}

/** An amount of nano-USD out of whatever the source holds; undefined when it cannot be read. */
export type Amount = (value: unknown) => { nano: Nano; exact: boolean } | undefined

type Fields = Readonly<Record<string, unknown>>

export interface Reader {
  /** Keeps a finding. */
  say(field: string, text: string, level?: Finding['level']): void
  /** null when there is none, or none that can be read. */
  rate(value: unknown, field: string): Nano | null
}

/** Reads the values of one price; its findings go to `findings`. */
export function reader(of: { model: string; from: Date | null }, amount: Amount, findings: Finding[]): Reader {
  const say: Reader['say'] = (field, text, level = 'error') => void findings.push({ ...of, field, level, text })
  return {
    say,
    rate(value, field) {
      if (value === null || value === undefined) return null
      const read = amount(value)
      if (read === undefined) say(field, `is no amount: ${JSON.stringify(value)}; write a decimal such as "3.75"`)
      else if (!read.exact) say(field, `has more than nine decimals: ${value}; it would be rounded`)
      return read?.nano ?? null
    },
  }
}

const words = [
  ...Object.values(buckets),
  'model',
  'vendor',
  'from',
  'tier',
  'modes',
  'geo',
  'web_search',
  'source',
  'note',
]
const known = new Set([...words, 'embedding', 'accepted'])

/**
 * One row of config/prices.json, or of the table `prices` in the same words. A row that does not say since when it holds
 * gets `from` (Unix ms).
 */
export function readRow(
  fields: Fields,
  amount: Amount,
  source: { layer: PriceRow['layer']; from?: number | undefined },
  findings: Finding[],
): PriceRow {
  const model = String(fields['model'] ?? '').toLowerCase()
  const from = instant(fields['from'] ?? source.from)
  const read = reader({ model, from: from ?? null }, amount, findings)
  if (from === undefined) read.say('from', 'is no date; write one such as "2026-12-31"')
  for (const name of Object.keys(fields))
    if (!known.has(name)) {
      const near = suggest(name, known)
      read.say(name, `is not known and has no effect${near ? `; is "${near}" meant?` : ''}`, 'warning')
    }
  const rates = readRates(read, fields, '')
  return {
    model,
    vendor: text(fields['vendor']),
    layer: source.layer,
    from: from?.getTime() ?? 0,
    rates,
    tier: readTier(read, fields['tier']),
    modes: readModes(read, fields['modes'], rates),
    geo: readGeo(read, fields['geo']),
    webSearch: read.rate(fields['web_search'], 'web_search'),
    source: text(fields['source']),
    embedding: fields['embedding'] === true,
    accepted: fields['accepted'] === true,
  }
}

function readRates(read: Reader, fields: Fields, prefix: string): Written {
  return eachBucket(bucket => read.rate(fields[buckets[bucket]], prefix + buckets[bucket]))
}

function readTier(read: Reader, value: unknown): PriceRow['tier'] {
  const fields = object(read, value, 'tier')
  if (fields === undefined) return null
  const above = fields['above']
  return { above: typeof above === 'number' ? above : null, ...readRates(read, fields, 'tier.') }
}

/** `{"flex": {rates}}`, or `{"fast_multiplier": 2}`: every rate so many times. */
function readModes(read: Reader, value: unknown, rates: Written): PriceRow['modes'] {
  const modes = new Map<string, Written>()
  for (const [name, part] of Object.entries(object(read, value, 'modes') ?? {})) {
    const [, multiplied] = /^(.+)_multiplier$/.exec(name) ?? []
    if (multiplied !== undefined) {
      const times = decimal(part)
      if (times) modes.set(multiplied, multiply(rates, times.nano))
      else read.say(`modes.${name}`, `is no number: ${JSON.stringify(part)}; write one such as 2`)
      continue
    }
    const fields = object(read, part, `modes.${name}`)
    if (fields !== undefined) modes.set(name, readRates(read, fields, `modes.${name}.`))
  }
  return modes
}

/** `{"us": "1.1"}`: how many times the rates of every token. */
function readGeo(read: Reader, value: unknown): PriceRow['geo'] {
  const geo = new Map<string, Nano>()
  for (const [name, times] of Object.entries(object(read, value, 'geo') ?? {})) {
    const multiplier = read.rate(times, `geo.${name}`)
    if (multiplier !== null) geo.set(name, multiplier)
  }
  return geo
}

function object(read: Reader, value: unknown, field: string): Fields | undefined {
  if (value === null || value === undefined) return undefined
  if (isObject(value)) return value
  read.say(field, `must hold rates by name, got ${JSON.stringify(value)}`)
  return undefined
}

export function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const text = (value: unknown) => (typeof value === 'string' && value !== '' ? value : null)

function instant(value: unknown): Date | undefined {
  const odd = typeof value === 'string' && !/^\d{4}-\d{2}-\d{2}(T[\d:.]+Z)?$/.test(value)
  const date = odd ? undefined : new Date(value as string | number | Date)
  return date === undefined || Number.isNaN(date.getTime()) ? undefined : date
}

/**
 * A decimal as it is written ("3.75", "3e-06", 0.000003) × 10^`shift`, as nano-USD; not `exact` when there was more behind
 * the ninth decimal, which is rounded. Undefined when it is not a decimal, or a billion or more.
 *
 * A JSON number has been through a double, which keeps the first 15 digits of any decimal: those are taken as text, so
 * that 3e-06 is three millionths and not the binary fraction next to it. What stands behind them is dust of arithmetic
 * somebody else did with floats (2.0000000000000002e-06), or was never written.
 */
export function decimal(value: unknown, shift = 0): { nano: Nano; exact: boolean } | undefined {
  const text = typeof value === 'number' ? value.toPrecision(15) : typeof value === 'string' ? value.trim() : ''
  const match = /^(-)?(\d{1,40})(?:\.(\d{0,40}))?(?:e([+-]?\d{1,3}))?$/i.exec(text)
  if (!match) return undefined
  const [, minus, whole = '', fraction = '', exponent = '0'] = match
  const digits = BigInt(whole + fraction)
  const places = Number(exponent) + shift + 9 - fraction.length
  const unit = 10n ** BigInt(Math.abs(places))
  const nano = places >= 0 ? digits * unit : mulDiv(digits, 1n, unit)
  if (nano >= 10n ** 18n) return undefined
  return { nano: minus ? -nano : nano, exact: places >= 0 || digits % unit === 0n }
}
