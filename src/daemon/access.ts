// The access log: one line a request, a fold over Outcomes.
import type { Fold, Outcome } from '../core/outcome.ts'
import { scrub } from '../lib/credentials.ts'
import { type Log, quote } from '../lib/log.ts'

/** What ended well or was refused for a reason is info; what the gateway or an upstream spoiled is a warning. */
export function accessLog({ access, lines }: Pick<Log, 'access' | 'lines'>): Fold {
  return {
    ended(o: Outcome) {
      const level = o.status >= 500 ? 'warn' : 'info'
      if (!access.isLevelEnabled(level)) return
      const fields = fieldsOf(o)
      if (lines) lines.write(level, fields, 'request')
      else access[level](JSON.parse(`{${fields}}`) as object, 'request')
    },
  }
}

/** As the inside of a JSON object. One string is built, and no object: this is done for every request. */
function fieldsOf(o: Outcome): string {
  let fields = `"request_id":"${o.id}","method":${quote(o.method)},"path":${quote(o.path)},"status":${o.status},"ms":${o.durationMs}`
  if (o.firstTokenMs > 0) fields += `,"first_token_ms":${o.firstTokenMs}`
  fields += `,"ip":${quote(o.ip)}`
  if (o.keyId) fields += `,"user":${quote(o.user)},"key":${quote(o.key)}`
  if (o.model) fields += `,"model":${quote(o.model)}`
  if (o.account !== null) fields += `,"account":${quote(o.account)}`
  if (o.dialect !== o.upstreamDialect) fields += `,"translated":"${o.dialect} ${o.upstreamDialect}"`
  if (o.dropped.length > 0) fields += `,"dropped":[${o.dropped.map(quote).join(',')}]`
  if (o.attempts.length > 1) {
    const attempts = o.attempts.map(a => quote(`${a.account}: ${scrub(a.error) || a.status}`))
    fields += `,"attempts":[${attempts.join(',')}]`
  }
  if (o.metered && o.status < 400) fields += `,"in":${o.usage.input},"out":${o.usage.output}`
  if (o.code) fields += `,"code":"${o.code}","error":${quote(scrub(o.error))}`
  return fields
}
