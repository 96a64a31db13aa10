// Settle: what the request used becomes its cost, and is on disk before the client has its last byte.
import { mulDiv } from '../core/money.ts'
import type { Outcome } from '../core/outcome.ts'
import { cost } from '../core/price.ts'
import { usageLine } from '../core/usage.ts'
import type { Gateway } from './gateway.ts'

/** Prices `record.usage` as of the request's start and appends it to the spool. Called once a request. */
export function settle(gw: Gateway, record: Outcome): void {
  const found = gw.snapshot.prices.find(record.model, record.at)
  if (found) {
    record.cost = cost(record.usage, found.price)
    record.charged = record.group ? mulDiv(record.cost, record.group.multiplier, 10_000n) : record.cost
    record.price = `${found.price.layer}:${found.price.model}`
  } else gw.log.warn({ request_id: record.id, model: record.model }, 'no price for this model; recorded at 0')
  record.durationMs = gw.now() - record.at
  gw.spool.append(usageLine(record))
}
