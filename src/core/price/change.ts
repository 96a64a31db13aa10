// What differs between two prices, and by how much.
import { formatUsd, mulDiv, type Nano } from '../../lib/money.ts'
import { type Bucket, bucketNames, buckets, type Price, type Rates, writesOf } from './row.ts'

/** One rate that a request is billed at before and after. */
export interface Change {
  /** `input`, `tier.output`, `modes.fast.input`, `geo.us`, `web_search`; `tier.above` too, which counts tokens */
  field: string
  before: Nano
  after: Nano
}

/** The one change that is not of money. */
export const isTokens = (change: Change) => change.field === 'tier.above'

/**
 * Every rate that differs in effect: a tier or a mode that only one of the two has is compared with what is billed
 * without it. Rates that just follow another one that changed are left out.
 */
export function changes(before: Price, after: Price): Change[] {
  const writes = writesOf(after.vendor ?? before.vendor)
  const changedRates = (prefix: string, old: Rates, now: Rates) => ratesThatChanged(prefix, old, now, writes)
  const found = changedRates('', before, after)
  if (before.tier || after.tier) found.push(...changedRates('tier.', before.tier ?? before, after.tier ?? after))
  for (const mode of new Set([...before.modes.keys(), ...after.modes.keys()]))
    found.push(...changedRates(`modes.${mode}.`, before.modes.get(mode) ?? before, after.modes.get(mode) ?? after))
  for (const geo of new Set([...before.geo.keys(), ...after.geo.keys()])) {
    const [old, now] = [before.geo.get(geo) ?? ONCE, after.geo.get(geo) ?? ONCE]
    if (old !== now) found.push({ field: `geo.${geo}`, before: old, after: now })
  }
  const [searched, searches] = [before.webSearch ?? 0n, after.webSearch ?? 0n]
  if (searched !== searches) found.push({ field: 'web_search', before: searched, after: searches })
  if (before.tier && after.tier && before.tier.above !== after.tier.above)
    found.push({ field: 'tier.above', before: BigInt(before.tier.above), after: BigInt(after.tier.above) })
  return found
}

// A multiplier is in billionths: what has none costs once its rates.
const ONCE = 1_000_000_000n

/** @param writes of which the first speaks for all that have its rate */
function ratesThatChanged(prefix: string, before: Rates, after: Rates, writes: readonly Bucket[]): Change[] {
  return bucketNames.flatMap(bucket => {
    const others = free.includes(bucket)
      ? []
      : ['input' as const, ...writes.slice(0, Math.max(0, writes.indexOf(bucket)))]
    const follows = others.some(other => before[bucket] === before[other] && after[bucket] === after[other])
    if (before[bucket] === after[bucket] || follows) return []
    return { field: prefix + buckets[bucket], before: before[bucket], after: after[bucket] }
  })
}

// They have no other's rate.
const free: readonly Bucket[] = ['input', 'output']

/** The change that counts most: the one furthest from ×1, a rate that comes or goes before all. */
export function largest(all: readonly Change[]): Change | undefined {
  return all.reduce<Change | undefined>((most, change) => (most && !further(change, most) ? most : change), undefined)
}

// hi ÷ lo of a > hi ÷ lo of b, without dividing.
function further(a: Change, b: Change): boolean {
  const [x, y] = [ends(a), ends(b)]
  return x.hi * y.lo > y.hi * x.lo
}

/** The lower and the higher of the two rates. */
export function ends({ before, after }: Change): { lo: Nano; hi: Nano } {
  return before < after ? { lo: before, hi: after } : { lo: after, hi: before }
}

/** `×2`, `÷1.25`; how many times dearer or cheaper. Empty when it comes from, or goes to, nothing. */
export function times(change: Change): string {
  const { lo, hi } = ends(change)
  if (lo <= 0n) return ''
  const hundredths = mulDiv(hi, 100n, lo)
  const text = `${hundredths / 100n}.${String(hundredths % 100n).padStart(2, '0')}`.replace(/\.?0+$/, '')
  return `${change.after >= change.before ? '×' : '÷'}${text}`
}

/** `3.00 → 6.00 (×2)` */
export function describe(change: Change): string {
  const by = times(change)
  const show = isTokens(change) ? String : formatUsd
  return `${show(change.before)} → ${show(change.after)}${by && ` (${by})`}`
}
