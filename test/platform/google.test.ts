// Gemini and Antigravity as upstreams: how they are asked, what goes around requests, and what each refusal means for the account.
import { readFileSync } from 'node:fs'
import t from 'tap'
import { Credential } from '../../src/core/credential.ts'
import { mappingFor } from '../../src/core/default-models.ts'
import { type AccountFacts, modelMap } from '../../src/core/snapshot.ts'
import { geminiMeter } from '../../src/dialect/gemini/meter.ts'
import { formatDuration } from '../../src/lib/units.ts'
import { antigravity } from '../../src/platform/antigravity/antigravity.ts'
import { catalogueAsk, mappingIn } from '../../src/platform/antigravity/catalogue.ts'
import { gemini } from '../../src/platform/gemini/gemini.ts'
import { midnightPacific } from '../../src/platform/gemini/verdict.ts'
import type { Envelope, Platform } from '../../src/platform/platform.ts'
import type { Verdict } from '../../src/platform/verdict.ts'

const now = Date.UTC(2026, 10, 15, 12, 0, 0) // 4 in the morning in Los Angeles

function say(verdict: Verdict): string {
  if (verdict.relay) return verdict.seals ? 'relay seals' : 'relay'
  const { class: cls, scope, until, definite, doubtful, reason } = verdict
  const time = until === undefined ? [] : [formatDuration(Math.round((until - now) / 1000) * 1000)]
  const words = [cls, ...(scope === 'model' ? ['model'] : []), ...time, ...(definite ? ['definite'] : [])]
  return `${[...words, ...(doubtful ? ['doubtful'] : [])].join(' ')}: ${reason}`
}

const type = (name: string) => `type.googleapis.com/google.rpc.${name}`
const info = (reason: string, metadata: object = {}, domain = 'googleapis.com') => ({
  '@type': type('ErrorInfo'),
  reason,
  domain,
  metadata,
})
const retry = (retryDelay: string) => ({ '@type': type('RetryInfo'), retryDelay })
const quota = (quotaId: string, more: object = {}) => ({
  '@type': type('QuotaFailure'),
  violations: [
    { quotaMetric: 'generativelanguage.googleapis.com/generate_content_free_tier_requests', quotaId, ...more },
  ],
})
const help = (url: string) => ({ '@type': type('Help'), links: [{ description: 'Learn more', url }] })
const error = (code: number, status: string, message: string, ...details: object[]) =>
  JSON.stringify({ error: { code, message, status, ...(details.length > 0 ? { details } : {}) } }, null, 2)
const exhausted = (message: string, ...details: object[]) => error(429, 'RESOURCE_EXHAUSTED', message, ...details)
const cloudcode = 'cloudcode-pa.googleapis.com'
const current =
  'You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.'
const metric = '\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests'
const perDay = 'GenerateRequestsPerDayPerProjectPerModel-FreeTier'
const perMinute = 'GenerateRequestsPerMinutePerProjectPerModel-FreeTier'
const capacity = 'You have exhausted your capacity on this model. Your quota will reset after 25h20m26s.'
const resets = (delay: string, stamp?: string) =>
  info(
    'QUOTA_EXHAUSTED',
    { uiMessage: 'true', model: 'm', quotaResetDelay: delay, ...(stamp ? { quotaResetTimeStamp: stamp } : {}) },
    cloudcode,
  )
const page = '<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head></html>'

// g: Gemini, v: Antigravity, both: the same of either. Recorded in the threads named in the notes of wire.md and wire-additions.md §3.5.
const refusals: [who: 'g' | 'v' | 'both', name: string, status: number, body: string, verdict: RegExp][] = [
  [
    'both',
    'a key that is not valid comes as 400',
    400,
    error(400, 'INVALID_ARGUMENT', 'API key not valid. Please pass a valid API key.', info('API_KEY_INVALID')),
    /^auth definite: API key not valid$/,
  ],
  [
    'both',
    'the same without details',
    400,
    error(400, 'INVALID_ARGUMENT', 'API key expired. Please renew the API key.'),
    /^auth definite/,
  ],
  [
    'both',
    'a key that was found in public',
    403,
    error(403, 'PERMISSION_DENIED', 'Your API key was reported as leaked. Please use another API key.'),
    /^auth definite/,
  ],
  [
    'both',
    'a project that is suspended',
    403,
    error(
      403,
      'PERMISSION_DENIED',
      "Permission denied: Consumer 'api_key:xx' has been suspended.",
      info('CONSUMER_SUSPENDED'),
    ),
    /^auth definite/,
  ],
  [
    'both',
    'a file that the client names, of another project or gone',
    403,
    error(403, 'PERMISSION_DENIED', 'You do not have permission to access the File abc or it may not exist.'),
    /^relay$/,
  ],
  [
    'both',
    'a cached content that the client names',
    403,
    error(403, 'PERMISSION_DENIED', 'CachedContent not found (or permission denied)'),
    /^relay$/,
  ],
  [
    'both',
    'an API that is not enabled',
    403,
    error(
      403,
      'PERMISSION_DENIED',
      'Generative Language API has not been used in project 1 before or it is disabled.',
      info('SERVICE_DISABLED'),
    ),
    /^auth:/,
  ],
  [
    'both',
    'a key that this API is closed to',
    403,
    error(403, 'PERMISSION_DENIED', 'Requests to this API are blocked.', info('API_KEY_SERVICE_BLOCKED')),
    /^auth: Requests/,
  ],
  [
    'both',
    'a token that has expired',
    401,
    error(401, 'UNAUTHENTICATED', 'Request had invalid authentication credentials.', info('ACCESS_TOKEN_EXPIRED')),
    /^auth definite/,
  ],
  [
    'both',
    'a token that is none',
    401,
    error(401, 'UNAUTHENTICATED', 'Request had invalid authentication credentials. Expected OAuth 2 access token.'),
    /^auth: Request had invalid/,
  ],
  [
    'both',
    'a token without the scope',
    403,
    error(
      403,
      'PERMISSION_DENIED',
      'Request had insufficient authentication scopes.',
      info('ACCESS_TOKEN_SCOPE_INSUFFICIENT'),
    ),
    /^auth:/,
  ],
  [
    'both',
    'a country that is not served',
    400,
    error(400, 'FAILED_PRECONDITION', 'User location is not supported for the API use.'),
    /^auth: User location/,
  ],
  [
    'both',
    'a free tier that is not served there',
    400,
    error(400, 'FAILED_PRECONDITION', 'Gemini API free tier is not available in your country. Please enable billing.'),
    /^payment:/,
  ],
  [
    'both',
    'billing that is off',
    403,
    error(403, 'PERMISSION_DENIED', 'This API method requires billing to be enabled.', info('BILLING_DISABLED')),
    /^payment:/,
  ],
  [
    'g',
    'the day, also where seconds are asked for',
    429,
    exhausted(
      `${current}${metric}, limit: 20, model: gemini-2.5-flash\nPlease retry in 58.821668433s.`,
      help('https://ai.google.dev'),
      quota(perDay, { quotaDimensions: { model: 'gemini-2.5-flash' }, quotaValue: '20' }),
      retry('58s'),
    ),
    /^quota model 20h: You exceeded/,
  ],
  [
    'g',
    'the day in words',
    429,
    exhausted(
      "Quota exceeded for quota metric 'Gemini 2.5 Pro Requests' and limit 'Gemini 2.5 Pro Requests per day per user per tier' of service 'cloudcode-pa.googleapis.com'",
    ),
    /^quota 20h:/,
  ],
  [
    'g',
    'the same in a list of one, as streams have it',
    429,
    `[${exhausted("Quota exceeded for quota metric 'Gemini 2.5 Pro Requests' and limit 'per day per user'")}]`,
    /^quota 20h:/,
  ],
  ['g', 'the minute, and when', 429, exhausted(current, quota(perMinute), retry('12.5s')), /^burst model 1[23]s:/],
  ['g', 'the minute, not when', 429, exhausted(current, quota(perMinute)), /^burst model 1m:/],
  [
    'g',
    'a model that the plan has none of',
    429,
    exhausted(
      `${current}${metric}, limit: 0, model: gemini-3-pro\nPlease retry in 45.578569677s.`,
      quota(perDay),
      retry('45s'),
    ),
    /^absent model: not in this plan/,
  ],
  ['both', 'words alone that say when', 429, exhausted('Rate limit. Please retry in 30.5s.'), /^burst( model)? 3[01]s/],
  ['both', 'words alone in milliseconds', 429, exhausted('Rate limit. Please retry in 850ms.'), /^burst( model)? 1s/],
  ['both', 'a wait that is no burst', 429, exhausted('Slow down.', retry('3600s')), /^quota( model)? 1h/],
  [
    'both',
    'a wait in the form of protobuf',
    429,
    JSON.stringify({
      error: {
        code: 429,
        message: 'x',
        status: 'RESOURCE_EXHAUSTED',
        details: [{ '@type': type('RetryInfo'), retryDelay: { seconds: '7', nanos: 0 } }],
      },
    }),
    /^burst( model)? 7s/,
  ],
  [
    'g',
    'nothing but the status',
    429,
    exhausted('Resource has been exhausted (e.g. check quota).'),
    /^burst: Resource has been exhausted/,
  ],
  [
    'v',
    'nothing but the status, of a model',
    429,
    exhausted('Resource has been exhausted (e.g. check quota).'),
    /^burst model: Resource/,
  ],
  [
    'both',
    'trap 56: a quota whose text speaks of capacity',
    429,
    exhausted(capacity, resets('25h20m26.179915352s'), retry('91226.179915352s')),
    /^quota model 91226s/,
  ],
  [
    'both',
    'the moment of the reset goes before the delay',
    429,
    exhausted(capacity, resets('1h', '2026-11-15T15:00:00Z')),
    /^quota model 3h/,
  ],
  [
    'both',
    'a quota whose reset is in the text alone',
    429,
    exhausted(
      'Individual quota reached. Contact your administrator to enable overages. Resets in 71h15m27s.',
      info('QUOTA_EXHAUSTED', {}, cloudcode),
    ),
    /^quota model 256527s/,
  ],
  [
    'both',
    'a rate, in seconds',
    429,
    exhausted('Too fast.', info('RATE_LIMIT_EXCEEDED', {}, cloudcode), retry('2.5s')),
    /^burst model [23]s/,
  ],
  [
    'both',
    'a rate that takes longer than any bucket',
    429,
    exhausted('Too fast.', info('RATE_LIMIT_EXCEEDED', {}, cloudcode), retry('391609.79s')),
    /^quota model 391610s/,
  ],
  [
    'both',
    'trap 56: no capacity, by its reason',
    503,
    error(
      503,
      'UNAVAILABLE',
      'No capacity available for model claude-opus-4-6-thinking on the server',
      info('MODEL_CAPACITY_EXHAUSTED', {}, cloudcode),
      retry('15s'),
    ),
    /^overload model 15s: No capacity/,
  ],
  [
    'both',
    'the same as 429',
    429,
    exhausted('No capacity available for model x on the server', info('MODEL_CAPACITY_EXHAUSTED')),
    /^overload model: No capacity/,
  ],
  [
    'both',
    'no capacity, by words alone',
    429,
    exhausted('No capacity available for model x on the server'),
    /^overload model: No capacity/,
  ],
  [
    'both',
    'credits are another purse',
    429,
    exhausted('Insufficient credits.', info('INSUFFICIENT_G1_CREDITS_BALANCE', {}, cloudcode)),
    /^quota model: Insufficient/,
  ],
  [
    'both',
    'an account that waits for its owner',
    403,
    error(
      403,
      'PERMISSION_DENIED',
      'Verify your account to continue.',
      info('VALIDATION_REQUIRED', {}, cloudcode),
      help('https://accounts.google.com/signin/continue?x=1'),
    ),
    /^auth: its owner must validate the account: https:\/\/accounts\.google\.com\/signin\/continue\?x=1$/,
  ],
  [
    'both',
    'the same with a link that is none',
    403,
    error(403, 'PERMISSION_DENIED', 'Verify.', info('VALIDATION_REQUIRED'), help('javascript:alert(1)\n')),
    /^auth: its owner must validate the account(: )?$/,
  ],
  [
    'both',
    'an account without a licence',
    403,
    error(403, 'PERMISSION_DENIED', 'You do not have a valid license to use this service.'),
    /^auth: You do not have/,
  ],
  [
    'v',
    'quota as 499',
    499,
    error(499, 'CANCELLED', 'Resource has been exhausted (e.g. check quota).'),
    /^burst model/,
  ],
  ['v', 'quota as 503', 503, error(503, 'UNAVAILABLE', capacity, resets('2h')), /^quota model 2h/],
  ['g', '499 is the vendor breaking off', 499, error(499, 'CANCELLED', 'The operation was cancelled.'), /^server:/],
  [
    'both',
    'a model that is overloaded',
    503,
    error(503, 'UNAVAILABLE', 'The model is overloaded. Please try again later.'),
    /^overload model: The model is overloaded/,
  ],
  [
    'both',
    'a spike',
    503,
    error(
      503,
      'UNAVAILABLE',
      'This model is currently experiencing high demand. Spikes in demand are usually temporary.',
    ),
    /^overload model/,
  ],
  [
    'g',
    'a crash',
    500,
    error(500, 'INTERNAL', 'An internal error has occurred. Please retry.'),
    /^server: status 500: An internal error/,
  ],
  [
    'both',
    'a deadline',
    504,
    error(504, 'DEADLINE_EXCEEDED', 'Deadline expired before operation could complete.'),
    /^server: status 504/,
  ],
  ['both', 'a page of something in between', 502, page, /^server: status 502: answered with a page: 502 Bad Gateway/],
  [
    'both',
    'a model that nobody knows',
    404,
    error(
      404,
      'NOT_FOUND',
      'models/gemini-9 is not found for API version v1beta, or is not supported for generateContent.',
    ),
    /^absent model doubtful/,
  ],
  [
    'both',
    'the same of v1internal',
    404,
    error(404, 'NOT_FOUND', 'Requested entity was not found.'),
    /^absent model doubtful/,
  ],
  ['both', 'a page for a path', 404, '<html><title>Error 404 (Not Found)!!1</title></html>', /^foreign: answers HTML/],
  ['both', 'JSON of somebody else', 400, '{"detail":"no"}', /^foreign doubtful/],
  [
    'both',
    'what a client did wrong',
    400,
    error(400, 'INVALID_ARGUMENT', 'Invalid JSON payload received. Unknown name "foo": Cannot find field.'),
    /^relay$/,
  ],
  [
    'both',
    'words of a client are no evidence',
    400,
    error(400, 'INVALID_ARGUMENT', 'Invalid value at \'contents\': "API key not valid"'),
    /^relay$/,
  ],
  [
    'both',
    'a proof that is missing',
    400,
    error(
      400,
      'INVALID_ARGUMENT',
      'Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly.',
    ),
    /^relay seals$/,
  ],
  [
    'both',
    'a proof that is of somebody else',
    400,
    error(400, 'INVALID_ARGUMENT', 'Corrupted thought signature.'),
    /^relay seals$/,
  ],
  [
    'both',
    'a body that is cut in its details',
    429,
    exhausted(capacity, resets('2h'), retry('7200s')).slice(0, -200),
    /^quota model/,
  ],
  ['both', 'a wait of weeks is a mistake', 429, exhausted('x', retry('9999999s')), /^burst/],
  ['both', 'no body at all', 429, '', /^burst( model)?: rate limited/],
]

t.test('what each refusal means', async t => {
  const platforms: Record<string, Platform[]> = { g: [gemini], v: [antigravity], both: [gemini, antigravity] }
  for (const [who, name, status, body, expected] of refusals)
    for (const platform of platforms[who]!)
      t.match(say(platform.judge(status, {}, body, now)), expected, `${platform.name}: ${name}`)
  t.equal(say(gemini.judge(200, {}, '', now)), 'relay')
  t.match(
    say(gemini.judge(429, { 'retry-after': '40' }, exhausted('x'), now)),
    /^burst 40s/,
    'a header, where a proxy sends one',
  )
})

t.test('the day of Google ends at midnight in Los Angeles', async t => {
  const cases: [now: string, midnight: string][] = [
    ['2026-11-15T12:00:00Z', '2026-11-16T08:00:00Z'],
    ['2026-11-16T07:59:59Z', '2026-11-16T08:00:00Z'],
    ['2026-07-01T12:00:00Z', '2026-07-02T07:00:00Z'],
    ['2026-11-01T07:30:00Z', '2026-11-02T08:00:00Z'], // 25 hours long
    ['2026-03-08T08:30:00Z', '2026-03-09T07:00:00Z'], // 23 hours long
  ]
  for (const [at, midnight] of cases)
    t.equal(new Date(midnightPacific(Date.parse(at))).toISOString(), midnight.replace('Z', '.000Z'), at)
})

t.test('trap 59: an end without an answer is tried again, a refusal is not', async t => {
  const ended = (finishReason: string, parts: object[] = []) =>
    JSON.stringify({ candidates: [{ content: { parts }, finishReason, index: 0 }] })
  const failure = JSON.stringify({
    error: {
      code: 429,
      message: 'm',
      status: 'RESOURCE_EXHAUSTED',
      details: [info('QUOTA_EXHAUSTED'), retry('7200s')],
    },
  })
  const cases: [name: string, chunk: string, verdict: RegExp | undefined][] = [
    ['no proof', ended('MISSING_THOUGHT_SIGNATURE'), /^relay seals$/],
    ['a broken call', ended('MALFORMED_FUNCTION_CALL'), /^server doubtful/],
    ['an account that is limited', ended('PUP_LIMITED_DISABLED'), /^auth/],
    ['an error as a chunk', failure, /^quota model 2h/],
    ['the same in a list', `[${failure}]`, /^quota model 2h/],
    [
      'an error in words',
      '{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}',
      /^overload model/,
    ],
    ['safety', ended('SAFETY'), undefined],
    ['a prompt that is blocked', '{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"}}', undefined],
    ['an end after text', ended('MALFORMED_FUNCTION_CALL', [{ text: 'a' }]), undefined],
    ['a good end', ended('STOP', [{ text: 'a' }]), undefined],
  ]
  for (const [name, chunk, expected] of cases)
    for (const streaming of [true, false]) {
      const meter = geminiMeter(streaming)
      meter.push(Buffer.from(streaming ? `data: ${chunk}\n\n` : chunk))
      meter.end()
      const what = `${name}, ${streaming ? 'stream' : 'whole'}`
      if (!expected) {
        t.equal(meter.error, undefined, what)
        t.ok(meter.begun && meter.complete, what)
        continue
      }
      const { type: word, message } = meter.error!
      t.match(say(gemini.judgeEvent(word, message, now)), expected, what)
      if (streaming) t.notOk(meter.begun, what)
    }
})

// ---- how they are asked ----

const account = (more: Partial<AccountFacts>): AccountFacts => ({
  id: 1,
  name: 'a',
  platform: 'gemini',
  type: 'apikey',
  baseUrl: null,
  dialect: 'auto',
  concurrency: 1,
  priority: 1,
  status: 'active',
  reason: null,
  models: modelMap({}),
  expiresAt: 0,
  interceptWarmup: false,
  mixed: false,
  proxy: null,
  ...more,
})
const oauth = (fields: object) => new Credential(JSON.stringify({ access_token: 'tok', ...fields }))
const call = (path: string, query = '') => ({
  method: 'POST',
  path,
  query,
  headers: { accept: '*/*', 'user-agent': 'sdk', 'x-goog-api-client': 'gl', 'x-goog-api-key': 'client', cookie: 'c' },
})
const stream = '/v1beta/models/m:streamGenerateContent'

t.test('a credential goes where it belongs, and streams are asked for as events', async t => {
  const key = gemini.prepare(call(stream, '?alt=json&key=client&x=1'), account({}), new Credential('K'))
  t.equal(String(key.origin), 'https://generativelanguage.googleapis.com/')
  t.equal(key.path, `${stream}?x=1&alt=sse`)
  t.strictSame(key.headers, {
    host: 'generativelanguage.googleapis.com',
    accept: '*/*',
    'user-agent': 'sdk',
    'x-goog-api-client': 'gl',
    'accept-encoding': 'identity',
    'x-goog-api-key': 'K',
  })
  const plain = gemini.prepare(
    call('/v1/models/m:countTokens'),
    account({ type: 'oauth', baseUrl: 'https://h/x/' }),
    oauth({}),
  )
  t.strictSame([plain.path, plain.headers['authorization']], ['/x/v1/models/m:countTokens', 'Bearer tok'])
  const assisted = gemini.prepare(call(stream), account({ type: 'oauth' }), oauth({ project_id: 'p' }))
  t.strictSame([assisted.origin.host, assisted.path], [cloudcode, '/v1internal:streamGenerateContent?alt=sse'])
  t.match(String(assisted.headers['user-agent']), /^gw\//)
  const token = gemini.prepare(call(stream), account({ type: 'oauth' }), new Credential('not json'))
  t.equal(token.headers['authorization'], 'Bearer ', 'a credential that cannot be read is no secret in a log')
  const other = antigravity.prepare(call('/v1beta/models/m:countTokens'), account({ type: 'oauth' }), oauth({}))
  t.strictSame([other.origin.host, other.path], [cloudcode, '/v1internal:countTokens'])
})

const bodyOf = (envelope: Envelope, text: string, path = stream, session = 's-1') => {
  const said = Buffer.from(text)
  const { pieces, bytes } = envelope.request({ pieces: [said], bytes: said.length }, { path, session })
  const all = Buffer.concat([...pieces])
  t.equal(all.length, bytes)
  return all.toString()
}

t.test('the envelope goes around a request whose bytes stay', async t => {
  const inner = ' {"contents" : [{"parts":[{"text":"é","n":123456789012345678901234567890}]}]}'
  const google = gemini.envelope!(account({ type: 'oauth' }), oauth({ project_id: 'p-1' }))!
  const said = bodyOf(google, inner)
  t.match(
    said,
    /^\{"model":"m","project":"p-1","user_prompt_id":"[0-9a-f-]{36}","request": \{"session_id":"[0-9a-f]{32}","contents" : .*890\}\]\}\]\}\}$/,
  )
  t.notMatch(said, 's-1')
  t.equal(
    JSON.parse(said).request.session_id,
    JSON.parse(bodyOf(google, inner)).request.session_id,
    'the same each turn',
  )
  t.not(JSON.parse(said).request.session_id, JSON.parse(bodyOf(google, inner, stream, 's-2')).request.session_id)
  t.equal(JSON.parse(bodyOf(google, '{"session_id":"own"}')).request.session_id, 'own')
  t.equal(gemini.envelope!(account({ type: 'oauth' }), oauth({})), undefined)
  t.equal(gemini.envelope!(account({ type: 'oauth' }), oauth({ project_id: 'p', oauth_type: 'ai_studio' })), undefined)
  t.equal(gemini.envelope!(account({}), new Credential('K')), undefined)
  const free = gemini.envelope!(account({ type: 'oauth' }), oauth({ oauth_type: 'code_assist' }))!
  t.notOk('project' in JSON.parse(bodyOf(free, inner)), 'no project is left out, never empty')

  const agent = antigravity.envelope!(
    account({ type: 'oauth', platform: 'antigravity' }),
    oauth({ project_id: 'p-1' }),
  )!
  const {
    requestId,
    userAgent,
    request: { sessionId },
    ...rest
  } = JSON.parse(bodyOf(agent, inner))
  t.match(requestId, /^agent-[0-9a-f-]{36}$/)
  t.match(userAgent, /^gw\//)
  t.match(sessionId, /^[0-9a-f]{32}$/)
  t.strictSame(rest, { model: 'm', project: 'p-1', requestType: 'agent' })
  t.equal(
    bodyOf(agent, '{"contents":[{"parts":[]}],"systemInstruction":{}}', '/v1beta/models/m:countTokens'),
    '{"request":{"model":"models/m","contents":[{"parts":[]}]}}',
  )
})

t.test('what Antigravity refuses of a native request is said otherwise, in place', async t => {
  const agent = antigravity.envelope!(account({ platform: 'antigravity' }), new Credential('K'))!
  const schema =
    '{"$schema":"x","type":"object","properties":{"n":{"type":["integer","null"],"exclusiveMinimum":0}},"required":["n","ghost"]}'
  const said = bodyOf(
    agent,
    `{"contents":[],"safetySettings":[{"category":"c"}],"tools":[{"functionDeclarations":[{"name":"f","parametersJsonSchema" : ${schema}}]}],"z":1e400}`,
    stream,
    '',
  )
  t.match(
    said,
    /"request":\{"contents":\[\],"tools":\[\{"functionDeclarations":\[\{"name":"f","parameters":\{.*\}\}\]\}\],"z":1e400\}\}$/,
  )
  t.strictSame(JSON.parse(said).request.tools[0].functionDeclarations[0].parameters, {
    type: 'OBJECT',
    properties: { n: { type: 'INTEGER', nullable: true, description: '(more than 0)' } },
    required: ['n'],
  })
  t.match(bodyOf(agent, '{"safety_settings":[],"contents":[]}', stream, ''), /"request":\{"contents":\[\]\}\}$/)
})

t.test('the envelope comes off an answer to the byte, cut anywhere', async t => {
  const inside =
    '{"candidates":[{"content":{"parts":[{"text":"é😀","n":123456789012345678901234567890}]}}],"responseId":"r"}'
  const bytes = Buffer.from(
    `\ufeff: hi\r\ndata: {"traceId":"t","response" : ${inside} }\r\n\r\ndata:{"response":{"candidates":[]},"traceId":"t-9"}\n\ndata: {"error":{"code":429}}\n\ndata: [DONE]\n\ndata: {"response":{}, "traceId":"t"}`,
  )
  const want = `\ufeff: hi\r\ndata: ${inside}\r\n\r\ndata:{"candidates":[],"responseId":"t-9"}\n\ndata: {"error":{"code":429}}\n\ndata: [DONE]\n\ndata: {"responseId":"t"}`
  const { answer } = antigravity.envelope!(account({}), new Credential('K'))!
  for (let cut = 0; cut <= bytes.length; cut++) {
    const strip = answer(true)
    const got = Buffer.concat([strip.push(bytes.subarray(0, cut)), strip.push(bytes.subarray(cut)), strip.end()])
    if (got.toString() !== want) t.equal(got.toString(), want, `cut at ${cut}`)
  }
  const whole = (text: string) => {
    const strip = answer(false)
    const half = text.length >> 1
    return Buffer.concat([
      strip.push(Buffer.from(text.slice(0, half))),
      strip.push(Buffer.from(text.slice(half))),
      strip.end(),
    ])
  }
  t.equal(whole(`{"response":${inside.replace('é😀', 'a')}}`).toString(), inside.replace('é😀', 'a'))
  for (const untouched of ['{"error":{"code":400}}', 'nothing', '{"totalTokens":3}', '[{"error":{}}]'])
    t.equal(whole(untouched).toString(), untouched)
})

t.test('Antigravity serves what its catalogue says, unless an account says otherwise', async t => {
  const serves = modelMap(mappingFor('antigravity', {}, null))
  const cases: [asked: string, served: string | undefined][] = [
    ['gemini-3.1-pro-low', 'gemini-3.1-pro-low'],
    ['claude-opus-4-5-20251101', 'claude-opus-4-6-thinking'],
    ['claude-sonnet-4-5', 'claude-sonnet-4-6'],
    ['claude-haiku-4-5', 'gemini-3-flash'],
    ['gemini-3-pro-high', 'gemini-3.1-pro-low'],
    ['gemini-9-new', 'gemini-9-new'],
    ['claude-opus-5-5', undefined],
    ['gpt-4.1', undefined],
  ]
  for (const [asked, served] of cases) t.equal(serves(asked), served, asked)
  t.strictSame(mappingFor('antigravity', {}, { c: 'd' }), { c: 'd' }, 'what its provider lists')
  t.strictSame(mappingFor('antigravity', { a: 'b' }, { c: 'd' }), { a: 'b' })
  t.strictSame(mappingFor('gemini', {}, null), {})

  const shipped = JSON.parse(readFileSync(new URL('../../config/antigravity-models.json', import.meta.url), 'utf8'))
  const list = JSON.stringify({ models: { 'gemini-4-pro': { quotaInfo: {} }, 'claude-sonnet-4-6': {} } })
  t.strictSame(mappingIn(list, shipped), {
    'claude-sonnet-4-6': 'claude-sonnet-4-6',
    'gemini-4-pro': 'gemini-4-pro',
    'claude-sonnet-4*': 'claude-sonnet-4-6',
    'claude-3-5-sonnet*': 'claude-sonnet-4-6',
    'gemini-*': 'gemini-*',
  })
  for (const none of ['', '[]', '{"error":{}}', '{"models":{}}', 'null'])
    t.equal(mappingIn(none, shipped), undefined, none)
  const { call: ask, body } = catalogueAsk(account({ type: 'oauth' }), oauth({ project_id: 'p' }))
  t.equal(antigravity.prepare(ask, account({ type: 'oauth' }), oauth({})).path, '/v1internal:fetchAvailableModels')
  t.equal(body, '{"project":"p"}')
})

t.test('a probe is the cheapest request there is', async t => {
  for (const platform of [gemini, antigravity]) {
    const { call: asked, body } = platform.probe('m', account({}))
    t.equal(asked.path, '/v1beta/models/m:generateContent')
    t.equal(JSON.parse(body).generationConfig.maxOutputTokens, 1)
    t.ok(platform.probeModel)
  }
})
