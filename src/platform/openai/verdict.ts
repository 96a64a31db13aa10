// What refusals of OpenAI, and of servers that speak like it, mean for the account: by the code they give, by what they say, by status.
import type { IncomingHttpHeaders } from 'node:http'
import { foreign, wrongPlace } from '../foreign.ts'
import {
  brief,
  type Declined,
  decimal,
  declined,
  header,
  LONG_MS,
  later,
  plausible,
  readError,
  retryAfter,
  type Said,
  type Verdict,
  type VerdictClass,
} from '../verdict.ts'
import { kindOf, type OpenAiSaid, readOpenAi } from './words.ts'

/**
 * Judges an answer by its status, headers and as much of its body as was read.
 * @param now Unix ms
 */
export function judge(status: number, headers: IncomingHttpHeaders, body: string, now: number): Verdict {
  if (status < 400) return { relay: true }
  return decide(status, headers, readOpenAi(body, readError(body)), `status ${status}`, now)
}

/** Judges an error inside a 200: an `error` event, a failed response, an error in a chunk, or a whole body that is one. */
export function judgeErrorEvent(type: string, message: string, now: number): Verdict {
  const said = { type, message, page: false, outer: 'error', code: type, form: 'JSON' as const, until: () => undefined }
  const status = kindOf(said)?.status ?? 500
  return decide(status, {}, said, type || 'error event', now)
}

function decide(status: number, headers: IncomingHttpHeaders, said: OpenAiSaid, label: string, now: number): Verdict {
  const asked = waitOf(headers, said, now)
  const words = wordsOf(said)
  const kind = said.page ? undefined : kindOf(said)
  if (kind?.means === 'seals') return { relay: true, seals: true }
  // Some servers call everything an invalid request: then the status says more.
  if (kind && !(kind.coarse && !forRequest.has(status))) {
    if (kind.means === 'request') return aboutRequest(status, said)
    if (kind.means === 'burst') return tooMany(headers, said, asked, now)
    return refused(kind.means, words || said.code || label, kind.definite === true && isApi(said), said, asked, now)
  }
  if (status === 429) return tooMany(headers, said, asked, now)
  if (status === 401) return declined('auth', words || 'credential refused')
  if (status === 402) return declined('payment', words || 'payment required')
  if (status === 403) return forbidden(said, words)
  if (status < 500) return isApi(said) ? aboutRequest(status, said) : foreign(status, said)
  if (status === 501) return isApi(said) ? { relay: true } : foreign(status, said)
  const until = asked !== undefined && asked - now <= LONG_MS ? asked : undefined
  if ((status === 503 || status === 529) && isApi(said))
    return declined('overload', words || 'overloaded', { scope: 'model', until })
  return declined('server', words ? `${label}: ${words}` : label, { until })
}

const forRequest = new Set([400, 404, 405, 413, 422])

// ---- by what it is about ----

const ofModel = new Set<VerdictClass>(['absent', 'overload'])

function refused(
  cls: VerdictClass,
  words: string,
  definite: boolean,
  said: OpenAiSaid,
  asked: number | undefined,
  now: number,
): Declined {
  const until = cls === 'auth' || cls === 'payment' ? undefined : later(said.until(now), asked)
  return declined(cls, words, {
    scope: ofModel.has(cls) ? 'model' : 'account',
    until: cls === 'overload' && until !== undefined && until - now > LONG_MS ? undefined : until,
    definite,
    doubtful: cls === 'absent',
  })
}

// The API itself refuses the request: its client can mend it, unless it is about what this account is offered.
function aboutRequest(status: number, said: OpenAiSaid): Verdict {
  const { message } = said
  if (notOffered.test(message) || (status === 404 && /\b(?:model|deployment|endpoints?)\b/i.test(message)))
    return declined('absent', brief(message), { scope: 'model', doubtful: true })
  // Nothing on the way of a request of ours is missing, nor is its method wrong, where the base URL is right.
  if (
    status === 404 &&
    (message === '' || /^(?:not found\b|invalid url\b|no route\b|resource not found\b)/i.test(message))
  )
    return declined('foreign', wrongPlace(status, message), { doubtful: true })
  if (status === 405) return declined('foreign', wrongPlace(status, message))
  return { relay: true }
}

// The name of the model is the client's; no more than the name may stand before the words.
const model = '[`\'"]?[\\w.:@/-]{0,100}[`\'"]?'
const notOffered = new RegExp(
  [
    `^(?:the )?(?:requested )?(?:model )?${model} (?:model )?(?:does not exist|is not supported when using|is not available|not found|is not a valid model)`,
    '^(?:model not exist|no endpoints found|no available channel|unknown model|invalid model)',
    `^(?:project|your organi[sz]ation|this (?:key|token|account|group))\\b.{0,80} (?:does not have|has no) access to (?:the )?model`,
  ].join('|'),
  'i',
)

function forbidden(said: OpenAiSaid, words: string): Verdict {
  const { message, page } = said
  if (page) return declined('auth', `answered with a page${message && `: ${brief(message)}`}`)
  // Of what was asked, not of who asks: OpenRouter's moderation, a content filter.
  if (said.flagged) return { relay: true }
  const scope =
    /countr|region|territor|location/i.test(message) || !/\bmodel\b(?!\.)/i.test(message) ? 'account' : 'model'
  return declined('auth', words || 'forbidden', { scope })
}

// ---- 429 ----

const buckets = ['requests', 'tokens'] as const

function tooMany(headers: IncomingHttpHeaders, said: OpenAiSaid, asked: number | undefined, now: number): Declined {
  const { message, page } = said
  // No waiting makes a request smaller: another account may have a larger limit.
  if (!page && /^request too large\b/i.test(message))
    return declined('burst', brief(message), { scope: 'model', doubtful: true, told: brief(message) })
  const spent = buckets.filter(kind => decimal(header(headers, `x-ratelimit-remaining-${kind}`)) === 0)
  // `retry-after` says when this request would pass; `reset`, when a bucket is full again.
  const full = spent.map(kind => inGo(header(headers, `x-ratelimit-reset-${kind}`), now)).reduce(later, undefined)
  const until = asked ?? said.until(now) ?? codexReset(headers, now) ?? full
  const limit = /\b(?:on|of) (?:the )?((?:input |output )?tokens|requests) per (min(?:ute)?|day|month)\b/i.exec(message)
  const daily = limit ? !limit[2]!.startsWith('min') : /\bper[- ](?:day|month)\b|\bdaily\b/i.test(message)
  const long = until !== undefined && until - now > LONG_MS
  // Limits by the minute are a model's own, and the text says of which.
  const scope = !page && /^rate limit reached for\b/i.test(message) ? 'model' : 'account'
  const why = brief(message)
  const words = page
    ? `answered with a page${why && `: ${why}`}`
    : why || (spent.length > 0 ? `${spent.join(', ')} used up` : 'rate limited')
  return declined(daily && !page ? 'quota' : long ? 'window' : 'burst', words, { scope, until })
}

// A ChatGPT plan's windows, of which a full one refuses.
function codexReset(headers: IncomingHttpHeaders, now: number): number | undefined {
  return ['primary', 'secondary']
    .filter(name => (decimal(header(headers, `x-codex-${name}-used-percent`)) ?? 0) >= 100)
    .map(name => decimal(header(headers, `x-codex-${name}-reset-after-seconds`)))
    .map(seconds => (seconds === undefined ? undefined : plausible(now + seconds * 1000, now)))
    .reduce(later, undefined)
}

function waitOf(headers: IncomingHttpHeaders, { message, page }: Said, now: number): number | undefined {
  const asked = retryAfter(headers, now)
  if (asked !== undefined || page) return asked
  // "Please try again in 1m12.5s.", "… in 20s", "Please retry after 86400 seconds."
  const told =
    /\b(?:try again|retry) (?:in|after) ((?:\d+(?:\.\d+)?(?:ms|[dhms]))+|\d+)(?![\w.]*\d)(?: (milli)?seconds?\b)?/i.exec(
      message,
    )
  if (!told) return undefined
  if (/^\d+$/.test(told[1]!)) return plausible(now + Number(told[1]) * (told[2] ? 1 : 1000), now)
  return inGo(told[1], now)
}

const unitMs: Record<string, number> = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 }

/** The end of a wait as Go writes durations: `6m0s`, `1.5s`, `12ms`. */
export function inGo(text: string | undefined, now: number): number | undefined {
  if (text === undefined || !/^(?:\d{1,9}(?:\.\d{1,9})?(?:ms|[dhms]))+$/.test(text)) return undefined
  let ms = 0
  for (const [, number, unit] of text.matchAll(/([\d.]+)(ms|[dhms])/g)) ms += Number(number) * unitMs[unit!]!
  return plausible(now + ms, now)
}

// ---- words ----

function isApi(said: OpenAiSaid): boolean {
  return said.form === 'JSON' && !said.page && said.outer === 'error'
}

function wordsOf({ page, message }: Said): string {
  const why = brief(message)
  return page ? `answered with a page${why && `: ${why}`}` : why
}
