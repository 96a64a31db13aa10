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
  const { usage, model } = o
  const price = o.price.endsWith(`:${model}`) ? o.price.slice(0, -model.length) : o.price
  // Built by hand, for it is on every request's way: that takes two thirds of what an object and JSON.stringify do.
  return `{"request_id":"${o.id}","at":"${new Date(o.at).toISOString()}","user_id":${o.userId},"key_id":${o.keyId},"group_id":${o.groupId},\
"account_id":${o.accountId},"platform":"${o.platform}","model":${text(model)},"upstream_model":${o.upstreamModel === model ? null : text(o.upstreamModel)},\
"upstream_request_id":${orNull(o.upstreamRequestId)},"stream":${o.stream},"status":${o.status},"input_tokens":${usage.input},"output_tokens":${usage.output},\
"cache_write_5m_tokens":${usage.cacheWrite5m},"cache_write_30m_tokens":${usage.cacheWrite30m},"cache_write_1h_tokens":${usage.cacheWrite1h},\
"cache_write_12h_tokens":${usage.cacheWrite12h},"cache_read_tokens":${usage.cacheRead},\
"web_searches":${usage.webSearches},"mode":${orNull(usage.mode)},"geo":${orNull(usage.geo)},"cost":"${o.cost}","charged":"${o.charged}","billing":"${o.billing}",\
"subscription_id":${o.subscription},"price":${orNull(price)},"partial":${o.partial},"duration_ms":${o.durationMs},"first_token_ms":${o.firstTokenMs || null},\
"attempts":${o.attempts.length}}`
}

const plain = /^[\w.:/ -]*$/
const text = (words: string): string => (plain.test(words) ? `"${words}"` : JSON.stringify(words))
const orNull = (words: string): string | null => (words === '' ? null : text(words))
