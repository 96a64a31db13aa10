// The access log: one line a request, a fold over Outcomes.
import type { Logger } from 'pino'
import type { Outcome } from '../core/outcome.ts'
import type { Fold } from '../gateway/answer/outcomes.ts'
import { scrub } from '../lib/log.ts'

/** What ended well or was refused for a reason is info; what the gateway or an upstream spoiled is a warning. */
export function accessLog(log: Logger): Fold {
  return {
    ended(o: Outcome) {
      const level = o.status >= 500 ? 'warn' : 'info'
      if (!log.isLevelEnabled(level)) return
      log[level](
        {
          request_id: o.id,
          method: o.method,
          path: o.path,
          status: o.status,
          ms: o.durationMs,
          ...(o.firstTokenMs > 0 ? { first_token_ms: o.firstTokenMs } : {}),
          ip: o.ip,
          ...(o.keyId ? { user: o.user, key: o.key } : {}),
          ...(o.model ? { model: o.model } : {}),
          ...(o.account !== null ? { account: o.account } : {}),
          ...(o.attempts.length > 1
            ? { attempts: o.attempts.map(a => `${a.account}: ${scrub(a.error) || a.status}`) }
            : {}),
          ...(o.metered && o.status < 400 ? { in: o.usage.input, out: o.usage.output } : {}),
          ...(o.code ? { code: o.code, error: scrub(o.error) } : {}),
        },
        'request',
      )
    },
  }
}
