// A line of the spool: what one request used and what that costs its payer, as it waits on disk for its booking.
import type { UsageTable } from '../../db/schema.ts'
import type { Outcome } from '../outcome.ts'

/** A row of table `usage`, as JSON: money as decimal strings of nano-USD, since JSON has no exact 64-bit integer, and times as ISO 8601. */
export type UsageLine = { [K in keyof UsageTable]: UsageTable[K] extends bigint | Date ? string : UsageTable[K] }

/**
 * The line of a request. What the upstream and the price call the model is left out where it is the client's name for it, as it
 * mostly is: no upstream model is the same model, and a price that ends with its colon is of that model. It is a fifth of a row.
 */
export function usageLine(o: Outcome): string {
  return JSON.stringify({
    request_id: o.id,
    at: new Date(o.at).toISOString(),
    user_id: o.userId,
    key_id: o.keyId,
    group_id: o.groupId,
    account_id: o.accountId,
    platform: o.platform,
    model: o.model,
    upstream_model: o.upstreamModel === o.model ? null : o.upstreamModel,
    upstream_request_id: o.upstreamRequestId || null,
    stream: o.stream,
    status: o.status,
    input_tokens: o.usage.input,
    output_tokens: o.usage.output,
    cache_write_5m_tokens: o.usage.cacheWrite5m,
    cache_write_1h_tokens: o.usage.cacheWrite1h,
    cache_read_tokens: o.usage.cacheRead,
    web_searches: o.usage.webSearches,
    mode: o.usage.mode || null,
    cost: String(o.cost),
    charged: String(o.charged),
    billing: o.billing,
    subscription_id: o.subscription,
    price: (o.price.endsWith(`:${o.model}`) ? o.price.slice(0, -o.model.length) : o.price) || null,
    partial: o.partial,
    duration_ms: o.durationMs,
    first_token_ms: o.firstTokenMs || null,
    attempts: o.attempts.length,
  } satisfies UsageLine)
}

/** Reads a line; one that an older gw wrote lacks what came later. */
export function readLine(text: string): UsageLine {
  return { ...later, ...(JSON.parse(text) as UsageLine) }
}

const later = { web_searches: 0, mode: null, subscription_id: null }
