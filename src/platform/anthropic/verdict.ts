// What Anthropic's refusals mean for the account: 429 by evidence, the rest by status, shape and the few texts that speak of it.
import type { IncomingHttpHeaders } from 'node:http'
import { foreign, wrongPlace } from '../foreign.ts'
import {
  brief,
  type Declined,
  decimal,
  declined,
  header,
  instant,
  LONG_MS,
  later,
  readError,
  retryAfter,
  type Said,
  type Verdict,
} from '../verdict.ts'

/**
 * Judges an answer by its status, headers and as much of its body as was read.
 * @param now Unix ms
 */
export function judge(status: number, headers: IncomingHttpHeaders, body: string, now: number): Verdict {
  if (status < 400) return { relay: true }
  const said = readError(body)
  // Capacity inside a 400 or 404, as some resellers put it, is not the client's fault either.
  const meant = status < 500 && accountTypes.has(said.type) ? statusOfType.get(said.type)! : status
  return decide(meant, headers, said, `status ${status}`, now)
}

/** Judges an error inside a 200: the data of an `error` event, or a whole body that is one. */
export function judgeErrorEvent(type: string, message: string, now: number): Verdict {
  const said: Said = { type, message, page: false, outer: 'error', code: '', form: 'JSON' }
  return decide(statusOfType.get(type) ?? 500, {}, said, type || 'error event', now)
}

// spec/wire.md §1.6. A type of tomorrow is taken for the vendor's fault: another account costs less than a lost turn.
const statusOfType = new Map([
  ['invalid_request_error', 400],
  ['authentication_error', 401],
  ['billing_error', 402],
  ['permission_error', 403],
  ['not_found_error', 404],
  ['request_too_large', 413],
  ['rate_limit_error', 429],
  ['api_error', 500],
  ['timeout_error', 504],
  ['overloaded_error', 529],
])
const accountTypes = new Set(['authentication_error', 'billing_error', 'rate_limit_error', 'overloaded_error'])

function decide(status: number, headers: IncomingHttpHeaders, said: Said, label: string, now: number): Verdict {
  if (status === 429) return tooMany(headers, said, now)
  const asked = retryAfter(headers, now)
  const told = aboutAccount(said, asked, now)
  if (told) return told
  const why = brief(said.message)
  const words = said.page ? `answered with a page${why && `: ${why}`}` : why
  if (status === 401) return declined('auth', words || 'credential refused')
  if (status === 402) return declined('payment', words || 'payment required')
  if (status === 403) return declined('auth', words || 'forbidden', { scope: forbiddenScope(said) })
  const api = said.outer === 'error' && said.type !== ''
  if (status < 500) return api ? aboutRequest(status, said) : foreign(status, said)
  // Servers that know no POST say so.
  if (status === 501 && !api) return foreign(status, said)
  // Neither a page nor a crash knows about more than the next minutes.
  const until = asked !== undefined && asked - now <= LONG_MS ? asked : undefined
  if (status === 529 || said.type === 'overloaded_error')
    return declined('overload', 'overloaded', { scope: 'model', until })
  return declined('server', words ? `${label}: ${words}` : label, { until })
}

// ---- 4xx: the request, the model, or something else than this API ----

// The API itself refuses the request: its client can mend it, unless it is about what this account is offered.
function aboutRequest(status: number, { message }: Said): Verdict {
  if (notOffered.test(message) || (status === 404 && /\bmodel\b/i.test(message)))
    return declined('absent', brief(message), { scope: 'model', doubtful: true })
  // Nothing on the way of a request of ours is missing, nor is its method wrong, where the base URL is right.
  if (status === 404 && /^(?:not found\b|$)/i.test(message))
    return declined('foreign', wrongPlace(status, message), { doubtful: true })
  if (status === 405) return declined('foreign', wrongPlace(status, message))
  return status === 400 && proofRefused.test(message) ? { relay: true, seals: true } : { relay: true }
}

// Of another account, model or conversation (spec/wire.md §1.6, wire-additions.md §1). A client that provokes it is asked for once more.
const proofRefused = /(?=.*thinking)(?:.*signature|.*cannot be modified|.*binding|.*bound to)/i

// The name of the model is the client's; no more than the name may stand before the words.
const notOffered =
  /^(?:(?:the|this) )?(?:model )?[`'"]?[\w.:@/-]{0,100}[`'"]? ?(?:is|are) not (?:available|supported|included|offered) (?:for|with|on|in|by) (?:this|your|the)(?: current)? (?:subscription|plan|tier)\b/i

// ---- what is said of the account ----

interface Text {
  says: RegExp
  class: Declined['class']
  definite?: true
}
// Texts about the account, whatever the status (spec/wire.md §1.6); seen in anthropics/claude-code#19028, #66314, #2127,
// vybestack/llxprt-code#1123. Each must begin the message: a 400 quotes what the client sent (an unknown beta, a tool's
// name), and a client that could put these words there could take any account out of service.
const subject = '(?:(?:this|your|the) )?(?:user |api )?(?:organi[sz]ation|account|workspace|key)'
const texts: readonly Text[] = [
  {
    says: new RegExp(`^(?:${subject}(?:['’]s)? (?:has a )?|(?:your|the|this) )?credit balance is too low`, 'i'),
    class: 'payment',
  },
  { says: /^you(?:['’]re| are) out of extra usage/i, class: 'payment' },
  { says: /^you have reached your specified \w+ usage limits/i, class: 'quota' },
  // An operator or the vendor may lift these again, and a refusal by policy is not a dead credential: not definite.
  { says: new RegExp(`^${subject}\\b.{0,60}\\bon hold\\b`, 'i'), class: 'auth' },
  {
    says: new RegExp(
      `^${subject} (?:has been|was|is) (?:\\w*ly )?(?<!temporarily )(?:disabled|suspended|deactivated|banned|terminated|revoked|deleted)\\b`,
      'i',
    ),
    class: 'auth',
    definite: true,
  },
  { says: /^invalid (?:x-api-key|api[ -]key|bearer token)\b/i, class: 'auth', definite: true },
  { says: /^(?:oauth|access) token (?:has been|was) revoked\b/i, class: 'auth', definite: true },
]

// What the API says in a word for machines (spec/wire-additions.md §1), whatever the status.
const accountCodes = new Map<string, Declined['class']>([
  ['contract_spend_limit_reached', 'quota'],
  ['enforced_spend_limit_reached', 'quota'],
  ['organization_on_hold', 'auth'],
  ['ramp_limit_exceeded', 'burst'],
])

function aboutAccount(
  { type, message, page, code }: Said,
  asked: number | undefined,
  now: number,
): Declined | undefined {
  const meant = accountCodes.get(code) ?? (code.startsWith('linked_organization_') ? 'auth' : undefined)
  if (meant) return declined(meant, brief(message) || code, { until: meant === 'auth' ? undefined : asked })
  const text = page ? undefined : texts.find(t => t.says.test(message))
  if (!text) return undefined
  // "You will regain access on 2026-12-01 at 00:00 UTC." When that is too far to be believed, the ladder asks hourly:
  // an operator who raises the limit should not have to tell us too.
  const regain = /regain access on (\d{4}-\d\d-\d\d) at (\d\d:\d\d) UTC/.exec(message)
  const until = regain ? instant(`${regain[1]}T${regain[2]}:00Z`, now) : undefined
  // Words without an error type are not the API's: a host that is suspended says so too.
  return declined(text.class, brief(message), { until, definite: text.definite === true && type !== '' })
}

// "Access to Anthropic models is not allowed from unsupported countries" is about where we are, not about a model.
function forbiddenScope({ message, page }: Said): Declined['scope'] {
  if (page || /countr|region|territor|location/i.test(message)) return 'account'
  return /\bmodel\b|\bclaude-\w+-/i.test(message) ? 'model' : 'account'
}

// ---- 429 ----

const UNIFIED = 'anthropic-ratelimit-unified-'
// The two windows all models share; any other (7d_oi, 7d_opus, 7d_sonnet, …) is of some models only.
const shared = ['5h', '7d']
const claims = new Map([
  ['five_hour', '5h'],
  ['seven_day', '7d'],
  ['seven_day_overage_included', '7d_oi'],
  ['seven_day_opus', '7d_opus'],
  ['seven_day_sonnet', '7d_sonnet'],
])
const names = new Map([...claims].map(([name, window]) => [window, name]))

function tooMany(headers: IncomingHttpHeaders, said: Said, now: number): Declined {
  const asked = retryAfter(headers, now)
  return (
    rejected(headers, asked, now) ??
    aboutAccount(said, asked, now) ??
    emptied(headers, said, asked, now) ??
    worded(headers, said, asked, now)
  )
}

// A subscription's windows (spec/wire.md §1.7). Status is authoritative, utilization is not looked at: a request over
// 100 % is served when there is extra usage, and one at 2 % refused when another window is at its end.
function rejected(headers: IncomingHttpHeaders, asked: number | undefined, now: number): Declined | undefined {
  const status = (name: string) => header(headers, `${UNIFIED}${name}`)?.toLowerCase() ?? ''
  const reset = (name: string) => instant(header(headers, `${UNIFIED}${name}`), now)
  const allowed = (window: string) => status(`${window}-status`).startsWith('allowed')
  // All in all allowed: the limit that refused is another, mostly by the minute. Taking a window's reset for it
  // would bench the account for hours over a burst.
  if (status('status').startsWith('allowed')) return undefined

  const out = Object.keys(headers)
    .map(name => /^anthropic-ratelimit-unified-(.+)-status$/.exec(name)?.[1] ?? 'overage')
    .filter(window => window !== 'overage' && status(`${window}-status`) === 'rejected')
  const claimed = claims.get(status('representative-claim'))
  if (out.length === 0) {
    if (status('status') !== 'rejected') return undefined
    if (claimed !== undefined && !allowed(claimed)) out.push(claimed)
    // Nothing is left but paid extra usage, which this model needs and others do not (CLIProxyAPI#5920).
    else if (shared.every(allowed))
      return declined('quota', 'extra usage rejected', { scope: 'model', until: later(reset('overage-reset'), asked) })
  }

  const whole = out.filter(window => shared.includes(window))
  const some = out.length - whole.length
  const forModel = whole.length === 0 && some > 0 && (shared.every(allowed) || !shared.includes(claimed ?? '5h'))
  // With a shared window out, a model's own does not count: the account serves its other models days before.
  const counted = whole.length > 0 ? whole : out
  const resets = counted.map(window => reset(`${window}-reset`)).reduce(later, undefined)
  // When windows of both kinds are out, nobody says whose wait `retry-after` is.
  const mixed = whole.length > 0 && some > 0 && resets !== undefined
  const which = counted.map(window => names.get(window) ?? window).join(', ')
  return declined('window', which ? `${which} window rejected` : 'usage window rejected', {
    scope: forModel ? 'model' : 'account',
    until: mixed ? resets : later(resets ?? reset('reset'), asked),
  })
}

// An API account's buckets. They refill all the time: `reset` is when one is full again, `retry-after` when this
// request would pass, so that one is the answer whenever it is given. A bucket with something left did not refuse.
function emptied(
  headers: IncomingHttpHeaders,
  said: Said,
  asked: number | undefined,
  now: number,
): Declined | undefined {
  const spent = ['requests', 'tokens', 'input-tokens', 'output-tokens'].filter(
    kind => decimal(header(headers, `anthropic-ratelimit-${kind}-remaining`)) === 0,
  )
  if (spent.length === 0) return undefined
  const full = spent
    .map(kind => instant(header(headers, `anthropic-ratelimit-${kind}-reset`), now))
    .reduce(later, undefined)
  const until = asked ?? full
  const long = until !== undefined && until - now > LONG_MS
  const which = spent.map(kind => kind.replace('-', ' ')).join(', ')
  return declined(long ? 'quota' : 'burst', long ? `${which} used up` : `${which} per minute`, {
    scope: limitScope(said),
    until,
  })
}

// No header tells which limit it was: the text may, and how long we are asked to wait.
function worded(headers: IncomingHttpHeaders, said: Said, asked: number | undefined, now: number): Declined {
  const { message, page } = said
  const scope = limitScope(said)
  const long = asked !== undefined && asked - now > LONG_MS
  // What claude.ai's own limits said before the headers came (anthropics/claude-code#1836).
  const old = /^Claude AI usage limit reached\|(\d+)/.exec(message)
  if (old) return declined('window', 'usage limit reached', { until: later(instant(old[1], now), asked) })
  // This request is too long for the plan, others are not; also seen by mistake, and gone with the next try
  // (anthropics/claude-code#42616). So the shortest ladder, although waiting hardly helps this one request.
  if (/^(?:extra usage is|usage credits are) required/i.test(message))
    return declined('burst', brief(message), { scope: 'model', until: asked })
  const limit = /\b((?:input |output )?tokens|requests) per (minute|hour|day|month)\b/i.exec(message)
  if (limit && !page) {
    const [what, , unit] = limit
    return declined(long || /day|month/i.test(unit!) ? 'quota' : 'burst', what.toLowerCase(), { scope, until: asked })
  }
  if (long) return declined('window', 'asked to wait long', { scope, until: asked })
  if (/concurrent connections/i.test(message)) return declined('burst', 'concurrent connections', { until: asked })
  // The aggregate reset alone, no status to contradict it: an older answer, or what a gateway let through of one.
  const reset = asked ?? statusless(headers, now)
  if (reset !== asked) return declined('window', 'usage window rejected', { until: reset })
  const why = brief(message)
  return declined('burst', page ? `answered with a page${why && `: ${why}`}` : why || 'rate limited', {
    scope,
    until: asked,
  })
}

function statusless(headers: IncomingHttpHeaders, now: number): number | undefined {
  const told = Object.keys(headers).some(name => name.startsWith(UNIFIED) && name.endsWith('status'))
  return told ? undefined : instant(header(headers, `${UNIFIED}reset`), now)
}

// "… of 30,000 input tokens per minute (org: …, model: claude-opus-4-6)": limits by the minute are a model's own, and
// newer texts say so (continuedev/continue#12057).
function limitScope({ message, page }: Said): Declined['scope'] {
  return !page && /\(org: [^)]{1,100}, model: [^)]{1,200}\)/.test(message) ? 'model' : 'account'
}
