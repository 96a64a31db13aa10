// What a refusal says about the account that gave it: the words, the times and the back-off that all platforms share.
import type { IncomingHttpHeaders } from 'node:http'
import { PROXY_CODE } from '../egress/through.ts'
import { scrub } from '../lib/credentials.ts'
import { GUARD_CODE } from '../lib/guard/guard.ts'
import { type Blame, ownTrouble, troubleWords } from '../lib/own-trouble.ts'

/**
 * Why an account cannot serve, by what mends it:
 * - `burst`: asked too fast, by the minute or at once; seconds mend it
 * - `window`: a rolling allowance (five hours, seven days) is used up; its reset mends it
 * - `quota`: an allowance of a day or month, or a spend limit; its reset or the operator
 * - `overload`: the vendor has no capacity; seconds to minutes, whoever asks
 * - `auth`: credential or permission refused; the operator, or a passing fault on the way
 * - `payment`: no credit; the operator
 * - `server`: the vendor's own fault
 * - `network`: no answer at all
 * - `proxy`: its egress proxy made no connection; the proxy's operator. Held against the proxy, never against the account
 * - `foreign`: an answer, but none of this API, or an address that may not be asked; the operator (a wrong base URL), or a
 *   passing fault on the way
 * - `absent`: it does not serve this model; the vendor, or the operator
 */
export type VerdictClass =
  | 'burst'
  | 'window'
  | 'quota'
  | 'overload'
  | 'auth'
  | 'payment'
  | 'server'
  | 'network'
  | 'proxy'
  | 'foreign'
  | 'absent'

/** This account cannot serve the call now: another may. */
export interface Declined {
  relay: false
  class: VerdictClass
  /** `model`: only this model (family) is out on this account */
  scope: 'account' | 'model'
  /** Unix ms until which the upstream itself says it is out; undefined: it does not say, the caller backs off */
  until: number | undefined
  /** The credential or account is dead: no waiting mends it. Of an OAuth token: a refresh still may. */
  definite: boolean
  /**
   * It may as well be the request's own fault, and is held against the account only when another one has answered the same
   * request: else a client could take accounts out of service by what it sends.
   */
  doubtful: boolean
  /** should every account refuse like this, the request is at fault, and its client is told this ('': no more than that) */
  told: string | undefined
  /** it is our own trouble, of this process or machine: held against nobody */
  own: Blame | undefined
  /** for operators: a few words, without secrets or control characters */
  reason: string
}

/** The client's own: it is told. `seals`: its proofs of reasoning were refused, so it may be sent once without them. */
export interface Relayed {
  relay: true
  seals?: true
}

/** What an upstream's answer means for the call. */
export type Verdict = Relayed | Declined

/** The HTTP status that says the same, for errors that came without one. */
export const statusOfClass: Record<VerdictClass, number> = {
  burst: 429,
  window: 429,
  quota: 429,
  overload: 529,
  auth: 401,
  payment: 402,
  server: 500,
  network: 502,
  proxy: 502,
  foreign: 502,
  absent: 404,
}

/** A refusal of the whole account for no known time, unless `more` says otherwise. */
export function declined(cls: VerdictClass, reason: string, more: Partial<Declined> = {}): Declined {
  return {
    relay: false,
    class: cls,
    scope: 'account',
    until: undefined,
    definite: false,
    doubtful: false,
    told: undefined,
    own: undefined,
    reason,
    ...more,
  }
}

// A connection that failed, by Node's codes and our own (gateway/ask/engine).
const failures = new Map([
  ['ECONNREFUSED', 'connection refused'],
  ['ECONNRESET', 'connection reset'],
  ['EPIPE', 'connection reset'],
  ['ENOTFOUND', 'host not found'],
  ['ETIMEDOUT', 'connect timeout'],
  ['EHEADERS', 'no response head in time'],
  ['EFIRSTTOKEN', 'no first token in time'],
  ['EIDLE', 'the stream fell silent'],
  ['EHOSTUNREACH', 'host unreachable'],
  ['CERT_HAS_EXPIRED', 'certificate expired'],
])

/** Of a connection that failed before any answer. `code` as Node gives it; '' when it gives none. */
export function networkVerdict(code: string): Declined {
  // Thrown before anything is sent: a credential with a line break in it, say.
  if (code === 'ERR_INVALID_CHAR') return declined('auth', 'the credential cannot be sent in a header')
  if (code === PROXY_CODE) return declined('proxy', 'its egress proxy does not connect')
  if (code === GUARD_CODE) return declined('foreign', 'its base URL leads to where upstreams may not be')
  const own = ownTrouble(code)
  if (own) return declined('network', `${troubleWords(code)} (${code})`, { own, doubtful: true })
  return declined('network', failures.get(code) ?? (code || 'connection failed'))
}

const SECOND = 1000
const MINUTE = 60 * SECOND

/** From here on a wait is no burst: a bucket that is refilled by the minute does not ask for as much. */
export const LONG_MS = 10 * MINUTE

// The longest window there is has seven days; a day more for slow clocks. What is further away is a mistake of some
// gateway in between (eighteen days were seen, router-for-me/CLIProxyAPI#5770), and taking it for true would cost
// the account for as long, while not taking it costs a probe a minute.
const FURTHEST_MS = 8 * 24 * 60 * MINUTE

/** `at` (Unix ms) if it can be meant: ahead, and not absurdly far; NaN is neither. */
export function plausible(at: number, now: number): number | undefined {
  return at > now && at <= now + FURTHEST_MS ? Math.ceil(at) : undefined
}

/** A non-negative decimal number, or undefined: no sign, no exponent, no `NaN`. */
export function decimal(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}(\.\d{1,9})?$/.test(text) ? Number(text) : undefined
}

/** A header's value, trimmed; the first of several. */
export function header(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name]
  return (Array.isArray(value) ? value[0] : value)?.trim()
}

const RFC_3339 = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/
const HTTP_DATE = /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/

/** Unix ms of a time written as Unix seconds (or, by mistake, milliseconds), RFC 3339 or HTTP date, if plausible. */
export function instant(text: string | undefined, now: number): number | undefined {
  if (text === undefined) return undefined
  const number = decimal(text)
  if (number !== undefined) return plausible(number * SECOND, now) ?? plausible(number, now)
  // `Date.parse` alone takes almost any text with a number in it for a date.
  return RFC_3339.test(text) || HTTP_DATE.test(text) ? plausible(Date.parse(text), now) : undefined
}

/**
 * Until when `retry-after-ms`, else `retry-after`, asks to wait; undefined also for 0.
 * A number too large for seconds is read as the moment itself, then as milliseconds: both are sent by gateways.
 */
export function retryAfter(headers: IncomingHttpHeaders, now: number): number | undefined {
  const ms = decimal(header(headers, 'retry-after-ms'))
  const precise = ms === undefined ? undefined : plausible(now + ms, now)
  if (precise !== undefined) return precise
  const text = header(headers, 'retry-after')
  const seconds = decimal(text)
  if (seconds === undefined) return instant(text, now)
  return plausible(now + seconds * SECOND, now) ?? instant(text, now) ?? plausible(now + seconds, now)
}

/** The later of two times, either of which may be unknown. */
export function later(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.max(a, b)
}

/** An error as its body tells it. */
export interface Said {
  /** `error.type`, or '' */
  type: string
  /** `error.message`, `detail` or `message`; of a page its title; or '' */
  message: string
  /** a page, not the API's answer: something on the way refused, and what it writes is no evidence about the account */
  page: boolean
  /** `type` beside `error`, or '' */
  outer: string
  /** `error.details.error_code`, the machine's word where there is one, or '' */
  code: string
  /** what came, in a word */
  form: 'HTML' | 'JSON' | 'text' | 'nothing'
}

/** Reads an error body, whatever came: JSON, JSON cut short, JSON in a list of one, a page, nothing. Never throws. */
export function readError(body: string): Said {
  const text = body.trimStart()
  if (text.startsWith('<'))
    return {
      ...unsaid,
      message: /<title[^>]{0,200}>([^<]{0,200})/i.exec(text)?.[1] ?? '',
      page: true,
      form: 'HTML',
    }
  let whole: unknown
  try {
    whole = JSON.parse(text)
  } catch {
    return cutShort(text)
  }
  const outer = object(Array.isArray(whole) ? whole[0] : whole)
  const error = object(outer['error'])
  const message = [error['message'], outer['error'], outer['detail'], outer['message']].find(m => typeof m === 'string')
  return {
    type: word(error['type']),
    message: word(message),
    page: false,
    outer: word(outer['type']),
    code: word(object(error['details'])['error_code']),
    form: 'JSON',
  }
}

const NAME_CHARACTERS = 100

/** What a vendor calls its error: its type (Google's is a status), and its finer word or number. '' for what is not said. */
export function namesOf(body: string): { type: string; code: string } {
  const { type, code } = namesIn(body)
  return { type: type.slice(0, NAME_CHARACTERS), code: code.slice(0, NAME_CHARACTERS) }
}

function namesIn(body: string): { type: string; code: string } {
  let whole: unknown
  try {
    whole = JSON.parse(body)
  } catch {
    const { type, code } = readError(body)
    return { type, code }
  }
  const error = object(object(Array.isArray(whole) ? whole[0] : whole)['error'])
  const { type, status, code, details } = error
  const fine = Array.isArray(details)
    ? details.map(detail => word(object(detail)['reason'])).find(reason => reason !== '')
    : word(object(details)['error_code'])
  return {
    type: word(type) || word(status),
    code: fine || (typeof code === 'number' ? String(code) : word(code)),
  }
}

const unsaid: Said = { type: '', message: '', page: false, outer: '', code: '', form: 'nothing' }

const word = (value: unknown): string => (typeof value === 'string' ? value : '')

function object(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

// Only where the API itself puts them, at the start of `error`: further in, a string may quote the client.
function cutShort(text: string): Said {
  const found =
    /^[^"]{0,20}(?:"type"\s*:\s*"error"\s*,\s*)?"error"\s*:\s*\{\s*(?:"type"\s*:\s*"(\w+)"\s*,\s*)?(?:"message"\s*:\s*"((?:[^"\\]|\\.){0,1000}))?/.exec(
      text,
    )
  const message = found
    ? (found[2] ?? '').replace(/\\(.)/g, '$1')
    : text.startsWith('{') || text.startsWith('[')
      ? ''
      : text
  // What is cut off of an error's own beginning is not asked for.
  const json = text.startsWith('{') || text.startsWith('[')
  return {
    ...unsaid,
    type: found?.[1] ?? '',
    message,
    outer: found?.[1] ? 'error' : '',
    form: json ? 'JSON' : text === '' ? 'nothing' : 'text',
  }
}

/** The first sentence of an upstream's text, fit for a terminal and a log: one line, at most 120 characters, no keys. */
export function brief(text: string): string {
  const line = text
    .slice(0, 1000)
    .replace(/[\p{C}\s]+/gu, ' ')
    .trim()
  const sentence = /^.+?\.(?= )/.exec(line)?.[0] ?? line
  const short = scrub(sentence).replace(/\.$/, '')
  return short.length > 120 ? `${short.slice(0, 119)}…` : short
}

interface Ladder {
  /** refusals in a row that cost the account nothing */
  free: number
  /** ms after the first that does, the second, …; the last one doubles until the cap */
  steps: readonly number[]
  capMs: number
}

const ladders: Record<VerdictClass, Ladder> = {
  // A headerless 429 is mostly a bucket that refills by the minute: a second is often enough, and a minute always
  // finds it open again. Hours for it were the worst complaint about gateways (design/promises.md #3).
  burst: { free: 0, steps: [SECOND], capMs: MINUTE },
  // Only when a window is rejected and its reset cannot be read: five minutes, as the reference takes
  // (spec/wire.md §1.7), and never past a quarter of an hour, since nobody knows how near the reset is.
  window: { free: 0, steps: [5 * MINUTE], capMs: 15 * MINUTE },
  // Someone must pay or a day must end; asking once an hour notices it soon enough.
  quota: { free: 0, steps: [10 * MINUTE], capMs: 60 * MINUTE },
  payment: { free: 0, steps: [10 * MINUTE], capMs: 60 * MINUTE },
  // Capacity comes back in seconds, and every account of the vendor shares it: the reference's ten minutes
  // would empty the pool over one bad moment.
  overload: { free: 0, steps: [5 * SECOND], capMs: MINUTE },
  // A refusal may be a proxy's, a firewall's or a region's passing fault (spec/domain.md §6.1 [W]): growing patience.
  auth: { free: 0, steps: [30 * SECOND, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE], capMs: 30 * MINUTE },
  // One broken answer or connection says nothing about the next; three in a row do.
  server: { free: 2, steps: [5 * SECOND], capMs: MINUTE },
  network: { free: 2, steps: [5 * SECOND], capMs: MINUTE },
  // One that does not connect does so for all its accounts: asked again soon, since it may be all there is.
  proxy: { free: 0, steps: [2 * SECOND], capMs: 30 * SECOND },
  // A wrong base URL answers everybody so until somebody mends it; what stood in the way for a moment is gone soon.
  foreign: { free: 0, steps: [5 * SECOND, 30 * SECOND, 2 * MINUTE], capMs: 5 * MINUTE },
  // Plans and catalogues change by the day.
  absent: { free: 0, steps: [10 * MINUTE], capMs: 60 * MINUTE },
}

/**
 * How long an account stays out when the upstream does not say, ms; 0: it stays in.
 * @param strikes refusals of this class in a row, this one included: 1 is the first
 * @param random uniform in [0, 1): ±10 % of the step, so that accounts do not come back together; never above the cap
 */
export function backoffMs(cls: VerdictClass, strikes: number, random: () => number): number {
  const { free, steps, capMs } = ladders[cls]
  const step = Math.max(1, Math.floor(strikes) || 1) - free - 1
  if (step < 0) return 0
  const last = steps.length - 1
  const ms = step <= last ? steps[step]! : steps[last]! * 2 ** (step - last)
  return Math.round(Math.min(capMs, Math.min(capMs, ms) * (0.9 + 0.2 * random())))
}
