// What Google's refusals mean for the account: by the reason that is given first, then by quota, and by words and status at last.
import type { IncomingHttpHeaders } from 'node:http'
import { foreign, wrongPlace } from '../foreign.ts'
import { brief, type Declined, declined, LONG_MS, later, plausible, retryAfter, type Verdict } from '../verdict.ts'
import { type GoogleError, readGoogleError, toldError } from './google-error.ts'

/** How a front of Google's differs. */
export interface Front {
  /** statuses that it gives for quotas besides 429 */
  quotaStatuses: ReadonlySet<number>
  /** quotas are of a model also where nothing says so */
  byModel: boolean
}

export type Judge = (status: number, headers: IncomingHttpHeaders, body: string, now: number) => Verdict

export function judgeOf(front: Front): Judge {
  return (status, headers, body, now) => {
    if (status < 400) return { relay: true }
    const error = readGoogleError(body, now)
    const header = retryAfter(headers, now)
    const waits = error.waitMs === undefined && header !== undefined ? { ...error, waitMs: header - now } : error
    return decide(front, status, waits, now)
  }
}

/** Of an error inside a 200: its word and message, as the meter tells them. */
export function judgeEventOf(front: Front): (type: string, message: string, now: number) => Verdict {
  return (type, message, now) => {
    const ended = endings.get(type)
    if (ended) return ended
    return decide(front, statusOfWord.get(type) ?? 500, toldError(type, message, now), now)
  }
}

// Ends of an answer that has said nothing (spec/wire-additions.md §3): no refusal of what was asked.
const endings = new Map<string, Verdict>([
  ['MISSING_THOUGHT_SIGNATURE', { relay: true, seals: true }],
  ['PUP_LIMITED_DISABLED', declined('auth', 'the account is limited (PUP_LIMITED_DISABLED)')],
  // The model's own slip: the next try is another throw of the dice, whoever is asked.
  ...['MALFORMED_FUNCTION_CALL', 'UNEXPECTED_TOOL_CALL', 'MALFORMED_RESPONSE'].map((word): [string, Verdict] => [
    word,
    declined('server', `ended with ${word} and nothing else`, { doubtful: true }),
  ]),
])

const statusOfWord = new Map([
  ['INVALID_ARGUMENT', 400],
  ['FAILED_PRECONDITION', 400],
  ['UNAUTHENTICATED', 401],
  ['PERMISSION_DENIED', 403],
  ['NOT_FOUND', 404],
  ['RESOURCE_EXHAUSTED', 429],
  ['QUOTA_EXHAUSTED', 429],
  ['RATE_LIMIT_EXCEEDED', 429],
  ['MODEL_CAPACITY_EXHAUSTED', 503],
  ['CANCELLED', 499],
  ['INTERNAL', 500],
  ['UNAVAILABLE', 503],
  ['DEADLINE_EXCEEDED', 504],
])

function decide(front: Front, status: number, error: GoogleError, now: number): Verdict {
  const reasoned = byReason(error, now)
  if (reasoned) return reasoned
  const { said, api, message } = error
  const why = brief(message)
  const words = said.page ? `answered with a page${why && `: ${why}`}` : why
  if (status === 429 || (front.quotaStatuses.has(status) && speaksOfQuota(error))) return tooMany(front, error, now)
  if (status === 402) return declined('payment', words || 'payment required')
  // Of what the client names in its request, which is of another project, or gone: every account would say so.
  if (status === 403 && api && ofRequest.test(message)) return { relay: true }
  const told = aboutAccount(error)
  if (told) return told
  if (status === 401) return declined('auth', words || 'credential refused')
  if (status === 403) return declined('auth', words || 'forbidden', { scope: forbiddenScope(error) })
  if (status < 500 && status !== 499) return api ? aboutRequest(status, error) : foreign(status, said)
  if (status === 501 && !api) return foreign(status, said)
  const until = short(error, now)
  if (status === 503 || status === 529 || front.quotaStatuses.has(status) || overloaded.test(message))
    return declined('overload', words || 'overloaded', { scope: 'model', until })
  return declined('server', words ? `status ${status}: ${words}` : `status ${status}`, { until })
}

// ---- by the reason, whatever the status ----

const ofCredential = new Map<string, Partial<Declined>>([
  ['API_KEY_INVALID', { definite: true }],
  ['API_KEY_EXPIRED', { definite: true }],
  ['ACCESS_TOKEN_EXPIRED', { definite: true }],
  ['ACCESS_TOKEN_REVOKED', { definite: true }],
  ['ACCOUNT_STATE_INVALID', { definite: true }],
  ['CONSUMER_SUSPENDED', { definite: true }],
  ['CONSUMER_INVALID', {}],
  ['SERVICE_DISABLED', {}],
  ['API_KEY_SERVICE_BLOCKED', {}],
  ['API_KEY_IP_ADDRESS_BLOCKED', {}],
  ['API_KEY_HTTP_REFERRER_BLOCKED', {}],
  ['ACCESS_TOKEN_SCOPE_INSUFFICIENT', {}],
  ['CREDENTIALS_MISSING', {}],
  ['INELIGIBLE_ACCOUNT', {}],
  ['UNSUPPORTED_LOCATION', {}],
])

function byReason(error: GoogleError, now: number): Declined | undefined {
  const { reason, message } = error
  const why = brief(message)
  const credential = ofCredential.get(reason)
  if (credential) return declined('auth', why || reason, credential)
  switch (reason) {
    case 'BILLING_DISABLED':
      return declined('payment', why || 'billing is disabled')
    // Nothing but its owner can mend it, and nobody tells us when that was done: it is asked again from time to time.
    case 'VALIDATION_REQUIRED':
      return declined(
        'auth',
        `its owner must validate the account${error.link === '' ? '' : `: ${address(error.link)}`}`,
      )
    // "You have exhausted your capacity on this model": the word says nothing about the vendor's capacity.
    case 'QUOTA_EXHAUSTED':
      return declined('quota', why || 'quota exhausted', { scope: 'model', until: error.resetAt ?? asked(error, now) })
    case 'RATE_LIMIT_EXCEEDED': {
      const until = asked(error, now) ?? error.resetAt
      const long = until !== undefined && until - now > RATE_LONG_MS
      return declined(long ? 'quota' : 'burst', why || 'rate limited', { scope: 'model', until })
    }
    case 'MODEL_CAPACITY_EXHAUSTED':
      return declined('overload', why || 'no capacity', { scope: 'model', until: short(error, now) })
    // Paid credits are used up on top of the model's own quota.
    case 'INSUFFICIENT_G1_CREDITS_BALANCE':
      return declined('quota', why || 'no credits left', { scope: 'model', until: error.resetAt ?? asked(error, now) })
    default:
      return undefined
  }
}

// Beyond this it is no bucket that refills (spec/wire-additions.md §3.5).
const RATE_LONG_MS = 5 * 60_000

/** A link for an operator's terminal; '' for what is none. */
function address(link: string): string {
  return /^https:\/\/[\x21-\x7e]{1,400}$/.test(link) ? link : ''
}

// ---- quotas ----

const MINUTE = 60_000

function speaksOfQuota({ quotaIds, resetAt, message }: GoogleError): boolean {
  return (
    quotaIds.length > 0 || resetAt !== undefined || /\bquota\b|resource has been exhausted|rate limit/i.test(message)
  )
}

function tooMany(front: Front, error: GoogleError, now: number): Declined {
  const { message, quotaIds, said } = error
  const why = brief(message)
  const scope: Declined['scope'] = error.ofModel || front.byModel ? 'model' : 'account'
  const wait = asked(error, now)
  // A plan without any of it: no waiting mends that, and it is no fault of the request.
  if (/\blimit: 0\b(?!\.)/.test(message)) return declined('absent', `not in this plan: ${why}`, { scope: 'model' })
  // What is asked to be waited is often seconds here, and the day does not end in seconds.
  if (quotaIds.some(id => /PerDay|Daily/i.test(id)) || /\bper day\b/i.test(message))
    return declined('quota', why || 'quota of the day', { scope, until: later(midnightPacific(now), error.resetAt) })
  if (error.resetAt !== undefined)
    return declined(error.resetAt - now > LONG_MS ? 'quota' : 'burst', why || 'quota', { scope, until: error.resetAt })
  if (quotaIds.some(id => /PerMinute/i.test(id)) || /\bper minute\b/i.test(message))
    return declined('burst', why || 'quota of the minute', { scope, until: wait ?? now + MINUTE })
  if (overloaded.test(message)) return declined('overload', why, { scope: 'model', until: short(error, now) })
  if (wait !== undefined)
    return declined(wait - now > LONG_MS ? 'quota' : 'burst', why || 'rate limited', { scope, until: wait })
  return declined('burst', said.page ? `answered with a page${why && `: ${why}`}` : why || 'rate limited', { scope })
}

/** Until when it asks to wait, if that can be meant. */
function asked({ waitMs }: GoogleError, now: number): number | undefined {
  return waitMs === undefined ? undefined : plausible(now + waitMs, now)
}

// Neither capacity nor a crash knows about more than the next minutes.
function short(error: GoogleError, now: number): number | undefined {
  const until = asked(error, now)
  return until !== undefined && until - now <= LONG_MS ? until : undefined
}

const overloaded = /\bno capacity\b|\boverloaded\b|\bhigh demand\b|capacity (?:is )?(?:not )?available/i

const pacific = new Intl.DateTimeFormat('en-US', {
  timeZone: 'America/Los_Angeles',
  hourCycle: 'h23',
  hour: 'numeric',
  minute: 'numeric',
  second: 'numeric',
})

/** When quotas of a day begin anew: the next midnight in Los Angeles, Unix ms. */
export function midnightPacific(now: number): number {
  const since = (at: number) => {
    const part = (type: string) => Number(pacific.formatToParts(at).find(one => one.type === type)!.value)
    return ((part('hour') * 60 + part('minute')) * 60 + part('second')) * 1000 + (at % 1000)
  }
  const day = 24 * 60 * MINUTE
  const guess = now + day - since(now)
  // Twice a year a day has an hour more, or one less.
  const off = since(guess)
  return off === 0 ? guess : off > day / 2 ? guess + day - off : guess - off
}

// ---- the account, and the request ----

// Each must begin the message: a 400 quotes what the client sent.
const texts: readonly { says: RegExp; class: Declined['class']; definite?: true }[] = [
  { says: /^API key (?:not valid|expired|not found)\b/i, class: 'auth', definite: true },
  { says: /^Your API key was reported as leaked\b/i, class: 'auth', definite: true },
  { says: /^(?:Permission denied: )?Consumer .{0,80}has been suspended\b/i, class: 'auth', definite: true },
  { says: /^User location is not supported\b/i, class: 'auth' },
  { says: /^Gemini API free tier is not available\b/i, class: 'payment' },
  { says: /^(?:This API method requires billing|Billing (?:account|is) )/i, class: 'payment' },
  { says: /^(?:Your|The|This) (?:prepay(?:ment)?|prepaid) credits? (?:is|are|has|have)\b/i, class: 'payment' },
  { says: /^(?:Please|You (?:must|need to)) verify your account\b/i, class: 'auth' },
]

function aboutAccount({ said, message, status, link }: GoogleError): Declined | undefined {
  const found = said.page ? undefined : texts.find(one => one.says.test(message))
  if (found) return declined(found.class, brief(message), { definite: found.definite === true && status !== '' })
  if (/\bvalid license\b/i.test(message) && status === 'PERMISSION_DENIED')
    return declined('auth', `${brief(message)}${link === '' ? '' : ` (${address(link)})`}`)
  return undefined
}

const ofRequest =
  /^(?:You do not have permission to access (?:the )?(?:File|CachedContent)\b|CachedContent not found\b)/i

function forbiddenScope({ message, said }: GoogleError): Declined['scope'] {
  return !said.page && /\bmodels?\/|\bthis model\b/i.test(message) ? 'model' : 'account'
}

const proofRefused = /thought[ _]?signature/i

function aboutRequest(status: number, { message }: GoogleError): Verdict {
  if (status === 400 && proofRefused.test(message)) return { relay: true, seals: true }
  // `models/x is not found for API version v1beta, or is not supported for generateContent`, and of v1internal: `Requested entity was not found.`
  if (status === 404 && /\bmodel|requested entity/i.test(message))
    return declined('absent', brief(message), { scope: 'model', doubtful: true })
  if (status === 404) return declined('foreign', wrongPlace(status, message), { doubtful: true })
  if (status === 405) return declined('foreign', wrongPlace(status, message))
  return { relay: true }
}
