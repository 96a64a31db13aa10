// What each refusal means for the account: recorded-looking answers of Anthropic and of what stands before it.
import type { IncomingHttpHeaders } from 'node:http'
import t from 'tap'
import { codeOf } from '../../src/lib/own-trouble.ts'
import { parseDuration } from '../../src/lib/units.ts'
import { judge, judgeErrorEvent } from '../../src/platform/anthropic/verdict.ts'
import * as verdicts from '../../src/platform/verdict.ts'
import { say } from './say.ts'

const now = Date.UTC(2026, 10, 15, 12, 0, 0)
const unix = (ahead: string) => String(at(ahead) / 1000)
const rfc = (ahead: string) => new Date(at(ahead)).toISOString().replace('.000', '')
const at = (ahead: string) => now + (ahead.startsWith('-') ? -1 : 1) * parseDuration(ahead.replace('-', ''))!

const judged = (status: number, headers: IncomingHttpHeaders, body: string, expected: string) =>
  say(judge(status, headers, body, now), now, expected.includes(': '))

const error = (type: string, message: string) =>
  JSON.stringify({ type: 'error', error: { type, message }, request_id: 'req_011CZZdjHSVxmk9JQHfRuajn' })
const limit = (message: string) => error('rate_limit_error', message)
const limited = limit("This request would exceed your account's rate limit. Please try again later.")
const inputTokens = "This request would exceed your organization's rate limit of 30,000 input tokens per minute"
const page = (title: string) => `<!DOCTYPE html>\n<html><head><title>${title}</title></head><body>…</body></html>`

/** A subscription's headers: the whole's status, then `<window> <status> <reset ahead>` for each, then any others. */
function plan(status: string, windows: string, more: Record<string, string> = {}): IncomingHttpHeaders {
  const fields: [string, string][] = status === '' ? [] : [['status', status]]
  for (const [window, state, reset] of windows.split(', ').map(w => w.split(' '))) {
    if (state) fields.push([`${window}-status`, state])
    if (reset) fields.push([`${window}-reset`, unix(reset)])
  }
  const long = [...fields, ...Object.entries(more)].map(([name, value]) => [
    name.startsWith('retry') ? name : `anthropic-ratelimit-unified-${name}`,
    value,
  ])
  return Object.fromEntries(long) as IncomingHttpHeaders
}
/** An API account's headers: `<bucket> <remaining> <reset ahead>` for each. */
function buckets(all: string, more: IncomingHttpHeaders = {}): IncomingHttpHeaders {
  const headers: IncomingHttpHeaders = { ...more }
  for (const [kind, remaining, reset] of all.split(', ').map(b => b.split(' '))) {
    headers[`anthropic-ratelimit-${kind}-limit`] = '50'
    headers[`anthropic-ratelimit-${kind}-remaining`] = remaining
    headers[`anthropic-ratelimit-${kind}-reset`] = rfc(reset!)
  }
  return headers
}
const wait = (value: string): IncomingHttpHeaders => ({ 'retry-after': value })
const claim = (name: string) => ({ 'representative-claim': name })
const fable = claim('seven_day_overage_included')
const fableOut = '5h allowed 1h, 7d allowed_warning 3d, 7d_oi rejected'

t.test('429 of a subscription: status decides, and the reset of what is rejected', async t => {
  const cases: [what: string, headers: IncomingHttpHeaders, expected: string][] = [
    [
      'five hours used up',
      plan('rejected', '5h rejected 2h, 7d allowed 3d', { ...claim('five_hour'), '5h-utilization': '1.08' }),
      'window 2h: five_hour window rejected',
    ],
    ['seven days used up', plan('rejected', '5h allowed 1h, 7d rejected 3d'), 'window 3d: seven_day window rejected'],
    [
      'both: the later',
      plan('rejected', '5h rejected 1h, 7d rejected 2d'),
      'window 2d: five_hour, seven_day window rejected',
    ],
    ['retry-after when it is later', plan('rejected', '5h rejected 1h', { 'retry-after': '5400' }), 'window 90m'],
    ['and not when it is earlier', plan('rejected', '5h rejected 1h', { 'retry-after': '60' }), 'window 1h'],
    ['no status of the whole', plan('', '5h rejected 1h, 7d allowed 3d'), 'window 1h'],
    ['in capitals', plan('Rejected', '5h REJECTED 1h'), 'window 1h'],

    // one class of models only
    [
      'fable used up',
      plan('rejected', `${fableOut} 4d`, fable),
      'window model 4d: seven_day_overage_included window rejected',
    ],
    ['without its reset', plan('rejected', fableOut, { 'retry-after': '120' }), 'window model 2m'],
    [
      'without its status',
      plan('rejected', '5h allowed, 7d allowed', { ...fable, reset: unix('1d') }),
      'window model 1d',
    ],
    ['without the five hours', plan('rejected', '7d allowed, 7d_oi rejected 1d', fable), 'window model 1d'],
    [
      'opus used up',
      plan('rejected', '5h allowed, 7d allowed, 7d_opus rejected 2d'),
      'window model 2d: seven_day_opus window rejected',
    ],
    [
      'a window to come',
      plan('rejected', '5h allowed, 7d allowed, 1h_zeta rejected 20m'),
      'window model 20m: 1h_zeta window rejected',
    ],
    ['nothing about the shared ones: all of it', plan('rejected', '7d_sonnet rejected 1d'), 'window 1d'],
    [
      'five hours, and days for some models: back after the hours',
      plan('rejected', '5h rejected 1h, 7d allowed 3d, 7d_oi rejected 5d', { 'retry-after': '432000' }),
      'window 1h: five_hour window rejected',
    ],
    [
      'only paid extra usage is rejected',
      plan('rejected', '5h allowed, 7d allowed, overage rejected', { 'retry-after': '97200' }),
      'quota model 27h: extra usage rejected',
    ],
    [
      'and it says until when',
      plan('rejected', '5h allowed, 7d allowed, overage rejected 30h', claim('five_hour')),
      'quota model 30h: extra usage rejected',
    ],

    // less, or nonsense
    [
      'the claim says where',
      plan('rejected', '', { ...claim('five_hour'), reset: unix('3h') }),
      'window 3h: five_hour window rejected',
    ],
    ['nobody says where', plan('rejected', '', { reset: unix('3h') }), 'window 3h: usage window rejected'],
    ['no time at all', plan('rejected', '5h rejected'), 'window'],
    ['its reset has passed', plan('rejected', '5h rejected -1h'), 'window'],
    ['absurd times', plan('rejected', '5h rejected 30d', { reset: 'NaN', 'retry-after': '-5' }), 'window'],
    ['a reset in milliseconds', plan('rejected', '5h rejected', { '5h-reset': String(at('2h')) }), 'window 2h'],
    ['a reset as RFC 3339', plan('rejected', '5h rejected', { '5h-reset': rfc('2h') }), 'window 2h'],
    ['the whole’s reset alone', plan('', '', { reset: unix('2h') }), 'window 2h'],

    // the limit that refused was another
    [
      'allowed: a burst, not hours',
      plan('allowed', '5h allowed 4h', { reset: unix('4h'), 'retry-after': '13' }),
      'burst 13s',
    ],
    ['allowed, no wait given', plan('allowed_warning', '5h allowed_warning 4h', { reset: unix('4h') }), 'burst'],
    ['utilization is not a status', plan('allowed', '5h allowed 1h', { '5h-utilization': '1.3' }), 'burst'],
    ['a window is out, extra usage pays', plan('allowed', '5h rejected 4h, overage allowed'), 'burst'],
    [
      'no extra usage is no rejection',
      plan('', '5h allowed, 7d allowed, overage rejected', { reset: unix('2h') }),
      'burst',
    ],
  ]
  for (const [what, headers, expected] of cases) t.equal(judged(429, headers, limited, expected), expected, what)
})

t.test('429 of an API account: the buckets that are empty', async t => {
  const cases: [what: string, headers: IncomingHttpHeaders, message: string, expected: string][] = [
    ['requests', buckets('requests 0 20s, tokens 16000 50s'), '', 'burst 20s: requests per minute'],
    [
      'two: the later',
      buckets('requests 0 20s, input-tokens 0 40s'),
      '',
      'burst 40s: requests, input tokens per minute',
    ],
    [
      'retry-after is when this one passes',
      buckets('output-tokens 0 60s', wait('9')),
      '',
      'burst 9s: output tokens per minute',
    ],
    [
      'the newer text names the model',
      buckets('input-tokens 0 30s'),
      `${inputTokens} (org: e-1, model: claude-opus-4-6).`,
      'burst model 30s',
    ],
    [
      'none quite empty',
      buckets('input-tokens 4000 50s', wait('22')),
      inputTokens,
      'burst 22s: input tokens per minute',
    ],
    ['none quite empty, no wait', buckets('input-tokens 4000 50s'), inputTokens, 'burst: input tokens per minute'],
    ['a bucket of the day', buckets('tokens 0 11h'), '', 'quota 11h: tokens used up'],
    ['a reset long gone', buckets('requests 0 -600d'), '', 'burst: requests per minute'],
    [
      'absurd remains',
      buckets('requests -1 1h, tokens NaN 1h, input-tokens  1h, output-tokens 0x0 1h'),
      'slow',
      'burst: slow',
    ],
  ]
  for (const [what, headers, message, expected] of cases)
    t.equal(judged(429, headers, limit(message), expected), expected, what)
  const spent = limit("You're out of extra usage. Add more at claude.ai/settings/usage and keep going.")
  t.equal(
    judged(429, plan('rejected', '5h rejected 1h'), spent, ''),
    'window 1h',
    'a window that ends needs no payment',
  )
  t.equal(judged(429, {}, spent, ''), 'payment')
  const odd = { 'anthropic-ratelimit-tokens-remaining': '0', 'anthropic-ratelimit-tokens-reset': 'soon' }
  t.equal(judged(429, odd, limited, ''), 'burst', 'a reset that is no time')
})

t.test('429 with little or nothing to go by', async t => {
  const cases: [what: string, headers: IncomingHttpHeaders, body: string, expected: string][] = [
    ['no header at all', {}, limited, "burst: This request would exceed your account's rate limit"],
    ['nothing at all', {}, '', 'burst: rate limited'],
    ['seconds', wait('30'), limited, 'burst 30s'],
    ['a fraction', wait('1.5'), limited, 'burst 1500ms'],
    ['milliseconds are the more exact', { ...wait('1'), 'retry-after-ms': '350' }, limited, 'burst 350ms'],
    ['milliseconds beyond belief', { ...wait('1'), 'retry-after-ms': '99999999999' }, limited, 'burst 1s'],
    ['milliseconds that are none', { ...wait('1'), 'retry-after-ms': 'x' }, limited, 'burst 1s'],
    ['a date', wait(new Date(at('45s')).toUTCString()), limited, 'burst 45s'],
    ['hours are no burst', wait('13262'), limited, 'window 13262s'],
    ['milliseconds for seconds', wait('3600000'), limited, 'window 1h'],
    ['eighteen days, as a proxy made them up', wait('1587827'), limited, 'window 1587827ms'],
    ['the moment itself', wait(unix('50s')), limited, 'burst 50s'],
    [
      'at once',
      {},
      limit('Number of concurrent connections has exceeded your rate limit.'),
      'burst: concurrent connections',
    ],
    [
      'faster than before',
      {},
      limit('…maximum usage increase rate for input tokens per minute.'),
      'burst: input tokens per minute',
    ],
    ['by the day', {}, limit('Exceeded your daily rate limit of 1,000,000 tokens per day'), 'quota: tokens per day'],
    ['too long for the plan', {}, limit('Extra usage is required for long context requests.'), 'burst model'],
    ['claude.ai as it used to be', {}, limit(`Claude AI usage limit reached|${unix('3h')}`), 'window 3h'],
    ['no credit', wait('10'), limit('Your credit balance is too low to access the Anthropic API.'), 'payment'],
    ['a page', wait('10'), page('Limited | Cloudflare'), 'burst 10s: answered with a page: Limited | Cloudflare'],
  ]
  for (const [what, headers, body, expected] of cases) t.equal(judged(429, headers, body, expected), expected, what)
  const old = 'Tue, 20 Oct 2020 00:00:00 GMT'
  for (const odd of ['0', '-1', 'NaN', 'soon', '', '1e3', '0x10', 'foo 1', '2026-11-16', '9'.repeat(20), old])
    t.equal(judged(429, wait(odd), limited, ''), 'burst', `retry-after ${odd || 'empty'}`)
})

t.test('overload and faults of the vendor', async t => {
  const overloaded = error('overloaded_error', 'Overloaded')
  const cases: [status: number, headers: IncomingHttpHeaders, body: string, expected: string][] = [
    [529, {}, overloaded, 'overload model: overloaded'],
    [529, {}, '', 'overload model'],
    [529, wait('20'), overloaded, 'overload model 20s'],
    [529, wait('600'), overloaded, 'overload model 10m'],
    [529, wait('601'), overloaded, 'overload model'],
    [529, plan('rejected', '5h rejected 1h'), overloaded, 'overload model'],
    [500, {}, overloaded, 'overload model'],
    [400, {}, overloaded, 'overload model'],
    [404, {}, overloaded, 'overload model'],
    [400, wait('5'), limit('slow down'), 'burst 5s: slow down'],
    [500, {}, limit('slow down'), 'server'],
    [400, {}, error('api_error', 'a reseller’s word for anything'), 'relay'],
    [500, {}, error('api_error', 'Internal server error'), 'server: status 500: Internal server error'],
    [502, {}, page('502 Bad Gateway'), 'server: status 502: answered with a page: 502 Bad Gateway'],
    [503, wait('30'), 'upstream connect error', 'server 30s: status 503: upstream connect error'],
    [504, wait('86400'), error('timeout_error', 'Request timed out'), 'server'],
    [524, {}, '', 'server: status 524'],
  ]
  for (const [status, headers, body, expected] of cases)
    t.equal(judged(status, headers, body, expected), expected, `${status} ${body.slice(0, 40)} ${expected}`)
})

t.test('the credential, the account and what it may: definite only by the API’s own words', async t => {
  const disabled = 'This organization has been disabled.'
  const cases: [status: number, message: string, expected: string][] = [
    [401, 'invalid x-api-key', 'auth definite: invalid x-api-key'],
    [401, 'Invalid API Key', 'auth definite'],
    [401, 'Invalid bearer token', 'auth definite'],
    [401, 'OAuth token has expired. Please obtain a new token.', 'auth: OAuth token has expired'],
    [401, 'Invalid authentication credentials', 'auth'],
    [401, '', 'auth: credential refused'],
    [402, 'There is a problem with your payment method.', 'payment'],
    [402, '', 'payment: payment required'],
    [403, 'OAuth token has been revoked. Please obtain a new token.', 'auth definite'],
    [403, disabled, 'auth definite: This organization has been disabled'],
    [403, 'Your account has been suspended for violating our terms.', 'auth definite'],
    [403, 'This API key has been permanently deactivated', 'auth definite'],
    [403, 'Your account has been temporarily suspended.', 'auth'],
    [403, 'OAuth authentication is currently not allowed for this organization.', 'auth'],
    [403, 'Your organization has disabled Claude subscription access for Claude Code', 'auth'],
    [403, 'Request not allowed', 'auth: Request not allowed'],
    [403, 'Access to Anthropic models is not allowed from unsupported countries.', 'auth'],
    [403, 'This model is not available in your region.', 'auth'],
    [403, 'Your API key does not have access to the model claude-opus-5.', 'auth model'],
    [403, 'claude-fable-5-1 is not available on your plan.', 'auth model'],
    [403, 'Your API key does not have permission to use the specified resource.', 'auth'],
    [403, '', 'auth: forbidden'],
  ]
  for (const [status, message, expected] of cases)
    t.equal(judged(status, {}, error('permission_error', message), expected), expected, `${status} ${message}`)
  t.equal(judged(401, {}, page('401 Authorization Required'), ''), 'auth', 'a proxy')
  const wall = 'auth: answered with a page: Attention Required! | Cloudflare'
  t.equal(judged(403, {}, page('Attention Required! | Cloudflare'), wall), wall, 'a firewall')
  t.equal(
    judged(403, {}, page('This account has been suspended'), ''),
    'auth',
    'a page is no evidence about the account',
  )
  t.equal(judged(403, {}, 'This account has been suspended', ''), 'auth', 'nor are words without a type')
  t.equal(judged(403, {}, page('This model is not for you'), ''), 'auth', 'nor about a model')
  t.equal(judged(403, {}, '', ''), 'auth', 'nothing')
})

t.test('400 is the client’s own, but for what is said of the account', async t => {
  const limits = 'You have reached your specified API usage limits. You will regain access on'
  const credit = 'Your credit balance is too low to access the Anthropic API'
  const cases: [message: string, expected: string][] = [
    [`${credit}. Please go to Plans & Billing.`, `payment: ${credit}`],
    ['Credit balance is too low.', 'payment: Credit balance is too low'],
    ["Your organization's credit balance is too low.", 'payment'],
    ["You're out of extra usage. Add more at claude.ai/settings/usage and keep going.", 'payment'],
    ['You’re out of extra usage · resets 5pm (America/New_York)', 'payment'],
    ['This organization has been disabled.', 'auth definite'],
    ['organization has been disabled.', 'auth definite'],
    ['claude-opus-5-5 is not available for this subscription.', 'absent model doubtful'],
    ['This model is not included in your current plan.', 'absent model doubtful'],
    ['Your organization has been placed on hold. Please contact support.', 'auth'],
    [`${limits} 2026-11-18 at 00:00 UTC.`, 'quota 60h'],
    [`${limits} 2026-12-01 at 00:00 UTC.`, 'quota'],
    ['messages.1.content: Input should be a valid list', 'relay'],
    ['prompt is too long: 210000 tokens > 200000 maximum', 'relay'],
    ['messages.1.content.0: Invalid `signature` in `thinking` block', 'relay without seals'],
    ['Third-party apps now draw from your extra usage, not your plan limits.', 'relay'],
    ['This credential is only authorized for use with Claude Code', 'relay'],
    // What a client can have quoted must not put an account out of service.
    ['Unexpected value(s) `This organization has been disabled.` for the `anthropic-beta` header.', 'relay'],
    [`tools.0.name: '${credit}' does not match`, 'relay'],
    [`model: ${credit}`, 'relay'],
    ['metadata.user_id: this model is not available for this subscription', 'relay'],
    ['', 'relay'],
  ]
  for (const [message, expected] of cases) {
    const body = error('invalid_request_error', message)
    t.equal(judged(400, {}, body, expected), expected, message)
    t.equal(judged(400, {}, `[${body}]`, expected), expected, `in a list: ${message}`)
    t.equal(
      judged(400, {}, body.slice(0, body.indexOf('request_id') - 5), ''),
      expected.split(':')[0],
      `cut short: ${message}`,
    )
  }
  const coded = (error_code: string) =>
    JSON.stringify({ type: 'error', error: { type: 'invalid_request_error', message: 'No.', details: { error_code } } })
  const codes: [code: string, expected: string][] = [
    ['contract_spend_limit_reached', 'quota: No'],
    ['enforced_spend_limit_reached', 'quota'],
    ['organization_on_hold', 'auth'],
    ['linked_organization_disabled', 'auth'],
    ['ramp_limit_exceeded', 'burst'],
    ['image_dimensions_too_large', 'relay'],
  ]
  for (const [code, expected] of codes)
    for (const status of [400, 403, 429].slice(0, expected === 'relay' ? 1 : 3))
      t.equal(judged(status, {}, coded(code), expected), expected, `${status} ${code}`)
  t.equal(judged(429, wait('30'), coded('ramp_limit_exceeded'), ''), 'burst 30s', 'as long as it asks')
  const quoted = `{"type":"error","error":{"details":{"error":{"message":"${credit}","x":"`
  for (const body of ['', quoted, page(credit)]) t.equal(judged(400, {}, body, ''), 'foreign doubtful', body)
  for (const status of [408, 409, 413, 422])
    t.equal(
      judged(status, {}, error('invalid_request_error', 'model: This account has been disabled'), ''),
      'relay',
      `${status}`,
    )
  t.equal(judged(200, plan('rejected', '5h rejected 1h'), '', ''), 'relay', '200, served from extra usage')
})

t.test('4xx that is not this API’s answer is about the account, with a reason to act on', async t => {
  const html = (status: string) => `foreign: answers HTML (status ${status}); is the base URL right?`
  const cases: [status: number, body: string, expected: string][] = [
    [404, page('404 Not Found'), html('404: 404 Not Found')],
    [405, page('405 Not Allowed'), html('405: 405 Not Allowed')],
    [404, '<html>', html('404')],
    [404, '404 page not found', 'foreign: answers text (status 404: 404 page not found); is the base URL right?'],
    [
      404,
      '{"detail":"Not Found"}',
      "foreign: answers JSON that is not this API's (status 404: Not Found); is the base URL right?",
    ],
    [404, '{"error":{"message":"Invalid URL (POST /v1/messages)","type":"invalid_request_error"}}', 'foreign'],
    [404, '', 'foreign: answers nothing (status 404); is the base URL right?'],
    [410, 'gone', 'foreign'],
    [501, page('Error response'), html('501: Error response')],
    [405, error('invalid_request_error', 'Method Not Allowed'), 'foreign'],
    // A base URL with /v1 behind it: the API answers, and knows no such place.
    [404, error('not_found_error', 'Not Found'), 'foreign doubtful: answers 404: Not Found; is the base URL right?'],
    [404, error('not_found_error', ''), 'foreign doubtful'],
    // A firewall or a proxy says these of what the request holds: no client shall take an account out with them.
    [400, page('400 Bad Request'), 'foreign doubtful'],
    [413, page('413 Request Entity Too Large'), 'foreign doubtful'],
    [422, '{"detail":[{"loc":["body"]}]}', 'foreign doubtful'],
    [404, error('not_found_error', 'model: claude-opus-9'), 'absent model doubtful: model: claude-opus-9'],
    [404, error('not_found_error', 'The requested model does not exist.'), 'absent model doubtful'],
    [404, error('not_found_error', 'File not found: file_011'), 'relay'],
    [413, error('request_too_large', 'Request exceeds the maximum size'), 'relay'],
    [422, error('invalid_request_error', 'no'), 'relay'],
  ]
  for (const [status, body, expected] of cases) t.equal(judged(status, {}, body, expected), expected, body)
  const told = (status: number, body: string) => {
    const verdict = judge(status, {}, body, now)
    return verdict.relay ? 'relay' : verdict.told
  }
  t.equal(
    told(400, '{"error":{"message":"prompt is too long: 9 tokens > 8 maximum"}}'),
    'prompt is too long: 9 tokens > 8 maximum',
  )
  t.equal(told(400, page('nginx')), '', 'a page has nothing to tell a client')
  t.equal(told(404, page('nginx')), undefined, 'nor is a place that does not exist the request’s fault')
})

t.test('an error inside a 200', async t => {
  const cases: [type: string, message: string, expected: string][] = [
    ['overloaded_error', 'Overloaded', 'overload model: overloaded'],
    ['rate_limit_error', 'This request would exceed your rate limit.', 'burst'],
    ['rate_limit_error', `Claude AI usage limit reached|${unix('1h')}`, 'window 1h'],
    ['api_error', 'Internal server error', 'server: api_error: Internal server error'],
    ['timeout_error', '', 'server: timeout_error'],
    ['authentication_error', 'invalid x-api-key', 'auth definite'],
    ['authentication_error', 'no', 'auth'],
    ['billing_error', 'Your payment failed.', 'payment'],
    ['permission_error', 'Not for you.', 'auth'],
    ['permission_error', 'Your plan does not include this model.', 'auth model'],
    ['invalid_request_error', 'messages: too many', 'relay'],
    ['invalid_request_error', 'Your credit balance is too low to access the API', 'payment'],
    ['not_found_error', 'model: x', 'absent model doubtful'],
    ['request_too_large', 'Request exceeds the maximum size', 'relay'],
    ['quantum_error', 'decohered', 'server: quantum_error: decohered'],
    ['constructor', '', 'server: constructor'],
    ['', '', 'server: error event'],
  ]
  for (const [type, message, expected] of cases)
    t.equal(say(judgeErrorEvent(type, message, now), now, expected.includes(': ')), expected, `${type} ${message}`)
})

t.test('no answer at all', async t => {
  const said = (code: string) => say(verdicts.networkVerdict(code), now, true)
  t.equal(said('ECONNREFUSED'), 'network: connection refused')
  t.equal(said('EFIRSTTOKEN'), 'network: no first token in time')
  t.equal(said('DEPTH_ZERO_SELF_SIGNED_CERT'), 'network: DEPTH_ZERO_SELF_SIGNED_CERT')
  t.equal(said('constructor'), 'network: constructor')
  t.equal(said(''), 'network: connection failed')
  t.match(said('ERR_INVALID_CHAR'), /^auth: /)
  const own = (code: string) => {
    const { own, doubtful, reason } = verdicts.networkVerdict(code)
    return { own, doubtful, named: reason.endsWith(` (${code})`) }
  }
  for (const code of ['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'ENETDOWN', 'EAI_SYSTEM', 'EAI_MEMORY'])
    t.strictSame(own(code), { own: 'alone', doubtful: true, named: true }, `${code} is our own trouble`)
  for (const code of ['EADDRNOTAVAIL', 'EAI_AGAIN', 'EAI_FAIL', 'ENETUNREACH'])
    t.strictSame(
      own(code),
      { own: 'maybe', doubtful: true, named: true },
      `${code} is, unless it is one account's address`,
    )
  for (const code of ['ECONNREFUSED', 'ENOTFOUND', 'ETIMEDOUT', 'EHOSTUNREACH'])
    t.strictSame(own(code), { own: undefined, doubtful: false, named: false }, `${code} is the account's`)
  const failed = (...codes: string[]) =>
    codeOf(
      Object.assign(new AggregateError(codes.map(code => Object.assign(new Error(), { code }))), { code: codes[0] }),
    )
  t.equal(failed('ENETUNREACH', 'ECONNREFUSED'), 'ECONNREFUSED', 'no route to one address, and another was reached')
  t.equal(failed('ENETUNREACH', 'ENETUNREACH'), 'ENETUNREACH')
})

t.test('reasons tell no secrets and cannot write on a terminal', async t => {
  const said = (message: string) => say(judge(500, {}, error('api_error', message), now), now, true)
  t.equal(said('bad key sk-ant-api03-AbCdEfGhIjKlMnOpQrSt given'), 'server: status 500: bad key sk-ant-api03-*** given')
  t.equal(said('\u001b[2J\u0007red\r\n\tblue\u202e'), 'server: status 500: [2J red blue')
  t.equal(said('long '.repeat(100)).length, 'server: status 500: '.length + 120)
})

t.test('whatever a body is, it is read', async t => {
  const cases: [body: string, type: string, message: string, page?: true][] = [
    [error('a_error', 'm'), 'a_error', 'm'],
    ['{"error":{"message":"m","type":"insufficient_quota","code":"x"}}', 'insufficient_quota', 'm'],
    ['{"error":"m"}', '', 'm'],
    ['{"detail":"m"}', '', 'm'],
    ['{"error":{"message":7},"message":"m"}', '', 'm'],
    ['{"type":"error","error":{"type":"a_error","message":"half a mess', 'a_error', 'half a mess'],
    ['{"type": "error", "error": {"type": "a_error", "message": "say \\"x\\"", "detai', 'a_error', 'say "x"'],
    ['[{"error":{"type":"a_error","message":"m', 'a_error', 'm'],
    ['{"type":"error","error":{"type":"a_err', '', ''],
    [' \n<html><title lang="en">T</title>', '', 'T', true],
    ['<html>', '', '', true],
    ['plain words', '', 'plain words'],
  ]
  for (const [body, type, message, isPage = false] of cases)
    t.match(verdicts.readError(body), { type, message, page: isPage }, body)
  const none = [
    '',
    'null',
    '[]',
    '[[]]',
    '7',
    '"x"',
    '{',
    '{"error":null}',
    '{"error":[]}',
    '{"__proto__":{"message":"m"}}',
  ]
  for (const body of none) t.match(verdicts.readError(body), { type: '', message: '', page: false }, body || 'nothing')
  t.strictSame(verdicts.readError('{"type":"error","error":{"type":"t","message":"m","details":{"error_code":"c"}}}'), {
    type: 't',
    message: 'm',
    page: false,
    outer: 'error',
    code: 'c',
    form: 'JSON',
  })
  t.strictSame(
    ['<p>', '{"a":1}', '{"a', 'x', ''].map(body => verdicts.readError(body).form),
    ['HTML', 'JSON', 'JSON', 'text', 'nothing'],
  )
  t.equal(
    verdicts.readError(`{"error":{"type":"x","message":"${'\\\\'.repeat(30_000)}`).type,
    'x',
    'long and cut short',
  )
  t.equal(
    verdicts.retryAfter({ 'retry-after': ['5', '9'] as unknown as string }, now),
    at('5s'),
    'the first of several',
  )
})

t.test('back-off grows by class and never passes its cap', async t => {
  const wait = (cls: verdicts.VerdictClass, strikes: number, random = 0.5) =>
    verdicts.backoffMs(cls, strikes, () => random)
  const ladders: [verdicts.VerdictClass, seconds: number[]][] = [
    ['burst', [1, 2, 4, 8, 16, 32, 60, 60]],
    ['overload', [5, 10, 20, 40, 60, 60]],
    ['server', [0, 0, 5, 10, 20, 40, 60, 60]],
    ['network', [0, 0, 5, 10, 20, 40, 60, 60]],
    ['auth', [30, 120, 600, 1800, 1800]],
    ['payment', [600, 1200, 2400, 3600, 3600]],
    ['quota', [600, 1200, 2400, 3600, 3600]],
    ['window', [300, 600, 900, 900]],
    ['foreign', [5, 30, 120, 240, 300]],
    ['absent', [600, 1200, 2400, 3600, 3600]],
  ]
  for (const [cls, seconds] of ladders)
    t.same(
      seconds.map((_, i) => wait(cls, i + 1)),
      seconds.map(s => s * 1000),
      cls,
    )
  for (const odd of [0, -3, Number.NaN, 0.4]) t.equal(wait('burst', odd), 1000, `strike ${odd} is a first`)
  for (const many of [5000, Number.POSITIVE_INFINITY]) t.equal(wait('burst', many), 60_000)
  t.same([wait('burst', 4, 0), wait('burst', 4, 0.25), wait('burst', 4, 0.999_999)], [7200, 7600, 8800])
  t.same([wait('burst', 40, 0), wait('burst', 40, 0.999_999)], [54_000, 60_000])
})
