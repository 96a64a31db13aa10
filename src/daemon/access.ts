// The access log: one line a request, a fold over Outcomes.
import { ANSWERED, causeOf } from '../core/errors/cause.ts'
import type { Fold, Outcome } from '../core/outcome.ts'
import { promptTokens } from '../dialect/usage.ts'
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

// What a client makes up has no end of its own.
const PATH_CHARACTERS = 1000
const NAME_CHARACTERS = 200
const ERROR_CHARACTERS = 1000

/** As the inside of a JSON object. One string is built, and no object: this is done for every request. docs/errors.md tells what is what. */
function fieldsOf(o: Outcome): string {
  let fields = `"request_id":"${o.id}","method":${quote(o.method)},"path":${quote(cut(o.path, PATH_CHARACTERS))},"status":${o.status},"ms":${o.durationMs}`
  if (o.firstTokenMs > 0) fields += `,"first_token_ms":${o.firstTokenMs}`
  if (o.waitedMs > 0) fields += `,"queued_ms":${o.waitedMs}`
  fields += `,"ip":${quote(o.ip)}`
  if (o.keyId) fields += `,"user":${quote(o.user)},"key":${quote(o.key)}`
  if (o.model) fields += `,"model":${quote(cut(o.model, NAME_CHARACTERS))}`
  if (o.account !== null) fields += `,"account":${quote(o.account)}`
  if (o.dialect !== o.upstreamDialect) fields += `,"translated":"${o.dialect} ${o.upstreamDialect}"`
  if (o.dropped.length > 0) fields += `,"dropped":[${o.dropped.map(quote).join(',')}]`
  if (o.attempts.length > 1) {
    const attempts = o.attempts.map(a => quote(`${a.account}: ${cut(scrub(a.error), ERROR_CHARACTERS) || a.status}`))
    fields += `,"attempts":[${attempts.join(',')}]`
  }
  if (o.metered && o.status < 400) {
    fields += `,"in":${promptTokens(o.usage)},"out":${o.usage.output}`
    if (o.usage.cacheRead > 0) fields += `,"cached":${o.usage.cacheRead}`
  }
  const cause = causeOf(o)
  if (cause !== ANSWERED) fields += `,"cause":"${cause}"`
  if (o.code) fields += `,"code":"${o.code}"`
  if (o.error) fields += `,"error":${quote(cut(scrub(o.error), ERROR_CHARACTERS))}`
  return fields
}

const cut = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most - 1)}…` : text)
