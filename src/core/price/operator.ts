// The prices that an operator set: rows of the table `prices`.
import type { Db } from '../../db/connect.ts'
import { Refusal } from '../../lib/refusal.ts'
import { didYouMean } from '../../lib/suggest.ts'
import { type Amount, type Finding, type Reading, readRow } from './read.ts'
import { bucketNames, buckets, type PriceRow, type Written } from './row.ts'

/** Every row, and what is odd about those that somebody wrote by hand. */
export async function operatorRows(db: Db): Promise<Reading> {
  const stored = await db.selectFrom('prices').selectAll().orderBy('model').orderBy('effective_from').execute()
  const findings: Finding[] = []
  const rows = stored.map(({ effective_from: from, extra, ...columns }) =>
    readRow({ ...extra, ...columns, from }, nano, { layer: 'operator' }, findings),
  )
  return { rows, findings }
}

// A column is a bigint, an amount in JSON the digits of one.
const nano: Amount = value => {
  const digits = typeof value === 'bigint' || typeof value === 'string' ? String(value) : ''
  return /^-?\d{1,18}$/.test(digits) ? { nano: BigInt(digits), exact: true } : undefined
}

/** Writes the row in place of one with the same model and date. @throws Refusal `refused` without input or output */
export async function writePrice(db: Db, row: PriceRow): Promise<void> {
  const { model, from, rates, tier } = row
  const { input, output } = rates
  if (input === null || output === null)
    throw new Refusal('refused', `${model}: a price needs both its input and its output rate`)
  const values = {
    input,
    output,
    cache_write_5m: rates.cacheWrite5m,
    cache_write_30m: rates.cacheWrite30m,
    cache_write_1h: rates.cacheWrite1h,
    cache_write_12h: rates.cacheWrite12h,
    cache_read: rates.cacheRead,
    tier: tier && JSON.stringify({ above: tier.above, ...digits(tier) }),
    extra: JSON.stringify({
      ...(row.modes.size > 0 && {
        modes: Object.fromEntries([...row.modes].map(([mode, written]) => [mode, digits(written)])),
      }),
      ...(row.geo.size > 0 && {
        geo: Object.fromEntries([...row.geo].map(([name, times]) => [name, String(times)])),
      }),
      ...(row.webSearch !== null && { web_search: String(row.webSearch) }),
      ...(row.source !== null && { source: row.source }),
      ...(row.vendor !== null && { vendor: row.vendor }),
      ...(row.embedding && { embedding: true }),
      ...(row.accepted && { accepted: true }),
    }),
  }
  await db
    .insertInto('prices')
    .values({ model, effective_from: new Date(from), ...values })
    .onConflict(conflict => conflict.columns(['model', 'effective_from']).doUpdateSet(values))
    .execute()
}

/** JSON has no numbers that are exact enough. */
function digits(written: Written): Record<string, string> {
  return Object.fromEntries(
    bucketNames.flatMap(bucket => {
      const rate = written[bucket]
      return rate === null ? [] : [[buckets[bucket], String(rate)]]
    }),
  )
}

/** From an instant on, the end excluded; Unix ms. */
export interface Span {
  from: number
  to: number
}

/**
 * The rows of a model: all of them, or those that begin within `span`.
 * @throws Refusal `missing`, with the nearest model there is
 */
export async function pricesOf(db: Db, model: string, span?: Span): Promise<PriceRow[]> {
  const { rows } = await operatorRows(db)
  const within = ({ from }: PriceRow) => span === undefined || (from >= span.from && from < span.to)
  const found = rows.filter(row => row.model === model.toLowerCase() && within(row))
  if (found.length > 0) return found
  const near = didYouMean(model, new Set(rows.map(row => row.model).filter(name => name !== model.toLowerCase())))
  throw new Refusal('missing', `no price of "${model}" was set${span ? ' from then' : ''}${near} (gw price list --all)`)
}

/** Takes them away. @returns what was taken @throws Refusal `missing` */
export async function removePrices(db: Db, model: string, span?: Span): Promise<PriceRow[]> {
  const rows = await pricesOf(db, model, span)
  await db
    .deleteFrom('prices')
    .where(eb => eb(eb.fn('lower', ['model']), '=', model.toLowerCase()))
    .$if(span !== undefined, query =>
      query.where('effective_from', '>=', new Date(span!.from)).where('effective_from', '<', new Date(span!.to)),
    )
    .execute()
  return rows
}
