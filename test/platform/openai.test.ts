// OpenAI and the servers that speak like it: what each refusal means, and how an account is asked.
import type { IncomingHttpHeaders } from 'node:http'
import t from 'tap'
import { Credential } from '../../src/core/credential.ts'
import type { AccountFacts } from '../../src/core/snapshot.ts'
import { openai } from '../../src/platform/openai/openai.ts'
import { judge, judgeErrorEvent } from '../../src/platform/openai/verdict.ts'
import { say } from './say.ts'

const now = Date.UTC(2026, 10, 15, 12, 0, 0)
const error = (message: string, type: string | null, code: unknown = null, more: object = {}) =>
  JSON.stringify({ error: { message, type, param: null, code, ...more } })
const invalid = (message: string, code: string | null = null) => error(message, 'invalid_request_error', code)
const tpm =
  'Rate limit reached for gpt-5.6-terra in organization org-x on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. Please try again in 2s.'
const page = '<!DOCTYPE html><html><head><title>Just a moment</title></head><body></body></html>'
const in7h = Math.floor(now / 1000) + 7 * 3600

type Row = [status: number, headers: IncomingHttpHeaders, body: string, want: string]
const refusals: Row[] = [
  // OpenAI: who asks
  [401, {}, invalid('Incorrect API key provided: sk-x. You can find …', 'invalid_api_key'), 'auth definite'],
  [401, {}, invalid('You must be a member of an organization to use the API', 'invalid_organization'), 'auth'],
  [401, {}, error('Your authentication token has been invalidated.', null, 'token_invalidated'), 'auth definite'],
  [401, {}, error('Provided authentication token is expired.', null, 'token_expired'), 'auth'],
  [401, {}, invalid('Missing bearer or basic authentication in header'), 'auth'],
  [
    403,
    {},
    error('The OpenAI account associated with this API key has been deactivated.', null, 'account_deactivated'),
    'auth definite',
  ],
  [400, {}, invalid('Your organization has been disabled.'), 'auth definite'],
  [402, {}, JSON.stringify({ detail: { code: 'deactivated_workspace' } }), 'auth'],
  [
    403,
    {},
    error('Country, region, or territory not supported', 'request_forbidden', 'unsupported_country_region_territory'),
    'auth',
  ],
  [403, {}, error('You have insufficient permissions for this operation. Missing scopes: model.request.', 'x'), 'auth'],
  [
    403,
    {},
    invalid('Project `proj_1` does not have access to model `gpt-6-sol`', 'model_not_found'),
    'absent model doubtful',
  ],
  [403, {}, page, 'auth: answered with a page: Just a moment'],

  // OpenAI: money
  [
    429,
    {},
    error(
      'You exceeded your current quota, please check your plan and billing details.',
      'insufficient_quota',
      'insufficient_quota',
    ),
    'quota',
  ],
  [
    400,
    {},
    error('Billing hard limit has been reached.', 'invalid_request_error', 'billing_hard_limit_reached'),
    'quota',
  ],
  [
    429,
    {},
    error(
      'Your account is not active, please check your billing details on our website.',
      'billing_not_active',
      'billing_not_active',
    ),
    'payment',
  ],
  [
    429,
    {},
    error('The usage limit has been reached', 'usage_limit_reached', null, {
      plan_type: 'plus',
      resets_in_seconds: 7200,
    }),
    'window 2h',
  ],
  [429, {}, error('The usage limit has been reached', 'usage_limit_reached', null, { resets_at: in7h }), 'window 7h'],
  [429, {}, error('The usage limit has been reached', 'usage_limit_reached'), 'window'],
  [403, {}, error('To use Codex with your ChatGPT plan, upgrade to Plus', null, 'usage_not_included'), 'auth'],

  // OpenAI: too fast
  [
    429,
    { 'retry-after-ms': '1500', 'retry-after': '9' },
    error(tpm, 'tokens', 'rate_limit_exceeded'),
    'burst model 1500ms',
  ],
  [429, { 'retry-after': '20' }, error('Too many requests', 'requests', 'rate_limit_exceeded'), 'burst 20s'],
  [429, {}, error(tpm, 'tokens', 'rate_limit_exceeded'), 'burst model 2s'],
  [
    429,
    {},
    error(
      'Rate limit reached for m in organization o on requests per day (RPD): Limit 200. Please try again in 7m12s.',
      'requests',
      'rate_limit_exceeded',
    ),
    'quota model 432s',
  ],
  [
    429,
    {
      'x-ratelimit-remaining-requests': '0',
      'x-ratelimit-reset-requests': '6m0s',
      'x-ratelimit-remaining-tokens': '9',
      'x-ratelimit-reset-tokens': '1h',
    },
    error('', 'requests'),
    'burst 6m',
  ],
  [429, { 'x-ratelimit-remaining-tokens': '0', 'x-ratelimit-reset-tokens': '12ms' }, '', 'burst 12ms'],
  [429, { 'x-ratelimit-remaining-tokens': '0', 'x-ratelimit-reset-tokens': '-5s' }, '', 'burst: tokens used up'],
  [
    429,
    { 'x-codex-primary-used-percent': '100', 'x-codex-primary-reset-after-seconds': '3600' },
    JSON.stringify({ detail: 'Rate limit exceeded' }),
    'window 1h',
  ],
  [
    429,
    {},
    error(
      'Request too large for gpt-5 in organization o on tokens per min (TPM): Limit 30000, Requested 40000.',
      'tokens',
      'rate_limit_exceeded',
    ),
    'burst model doubtful',
  ],
  [429, {}, page, 'burst: answered with a page: Just a moment'],

  // OpenAI: its own trouble
  [500, {}, error('The server had an error while processing your request.', 'server_error'), 'server'],
  [503, {}, error('The engine is currently overloaded, please try again later', 'server_error'), 'overload model'],
  [503, { 'retry-after': '30' }, error('Slow down', 'service_unavailable_error', 'slow_down'), 'overload model 30s'],
  [503, { 'retry-after': '36000' }, error('Slow down', null, 'slow_down'), 'overload model'],
  [502, {}, page, 'server: status 502: answered with a page: Just a moment'],
  [520, {}, '', 'server: status 520'],

  // OpenAI: the client's own
  [400, {}, invalid('Your input exceeds the context window of this model.', 'context_length_exceeded'), 'relay'],
  [
    400,
    {},
    invalid("Unsupported parameter: 'temperature' is not supported with this model.", 'unsupported_parameter'),
    'relay',
  ],
  [400, {}, invalid("Missing required parameter: 'input[2].summary'."), 'relay'],
  [
    403,
    {},
    JSON.stringify({
      code: 'The caller does not have permission to execute the specified operation',
      error:
        'Content violates usage guidelines. Team: t, API key ID: k, Model: grok-4, Failed check: SAFETY_CHECK_TYPE_BIO',
    }),
    'relay',
  ],
  [400, {}, invalid('Invalid prompt: flagged as potentially violating our usage policy.', 'invalid_prompt'), 'relay'],
  [400, {}, invalid("Previous response with id 'resp_x' not found.", 'previous_response_not_found'), 'relay'],
  [404, {}, invalid("Item with id 'rs_x' not found."), 'relay'],
  [413, {}, invalid('Request entity too large'), 'relay'],
  [
    400,
    {},
    invalid('The encrypted content gAAA could not be verified.', 'invalid_encrypted_content'),
    'relay without seals',
  ],
  [
    400,
    {},
    invalid(
      'The encrypted content for item rs_1 could not be verified. Reason: Encrypted content could not be decrypted or parsed.',
    ),
    'relay without seals',
  ],
  [400, {}, invalid('Invalid value: "your organization has been disabled".'), 'relay'],

  // OpenAI: the model, the place
  [
    404,
    {},
    invalid('The model `gpt-9` does not exist or you do not have access to it.', 'model_not_found'),
    'absent model doubtful',
  ],
  [
    400,
    {},
    JSON.stringify({ detail: "The 'gpt-6-sol' model is not supported when using Codex with a ChatGPT account." }),
    "foreign doubtful: answers JSON that is not this API's (status 400: The 'gpt-6-sol' model is not supported when using Codex with a ChatGPT account); is the base URL right?",
  ],
  [404, {}, invalid('Invalid URL (POST /v1/v1/responses)'), 'foreign doubtful'],
  [405, {}, invalid('Not allowed to POST on /v1/models.'), 'foreign'],
  [404, {}, '<html><title>404</title>', 'foreign'],
  [400, {}, 'nonsense', 'foreign doubtful'],

  // vLLM, llama.cpp, Ollama
  [
    400,
    {},
    JSON.stringify({
      object: 'error',
      message: "This model's maximum context length is 4096 tokens.",
      type: 'BadRequestError',
      param: null,
      code: 400,
    }),
    'relay',
  ],
  [
    404,
    {},
    JSON.stringify({
      error: { message: 'The model `x` does not exist.', type: 'NotFoundError', param: null, code: 404 },
    }),
    'absent model doubtful',
  ],
  [401, {}, JSON.stringify({ error: 'Unauthorized' }), 'auth'],
  [401, {}, error('Invalid API Key', 'authentication_error', 401), 'auth definite'],
  [503, {}, error('Loading model', 'unavailable_error', 503), 'overload model'],
  [
    400,
    {},
    error('the request exceeds the available context size', 'exceed_context_size_error', 400, { n_ctx: 4096 }),
    'relay',
  ],
  [501, {}, error('This server does not support embeddings.', 'not_supported_error', 501), 'relay'],
  [404, {}, JSON.stringify({ error: "model 'x' not found, try pulling it first" }), 'absent model doubtful'],

  // Azure
  [
    400,
    {},
    error(
      "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
      null,
      'content_filter',
      { status: 400, innererror: { code: 'ResponsibleAIPolicyViolation' } },
    ),
    'relay',
  ],
  [
    404,
    {},
    error('The API deployment for this resource does not exist.', null, 'DeploymentNotFound'),
    'absent model doubtful',
  ],
  [401, {}, error('Access denied due to invalid subscription key or wrong API endpoint.', null, '401'), 'auth'],
  [
    429,
    {},
    error('Requests to the API have exceeded call rate limit of your tier. Please retry after 5 seconds.', null, '429'),
    'burst 5s',
  ],

  // DeepSeek
  [402, {}, error('Insufficient Balance', 'unknown_error', 'invalid_request_error'), 'payment'],
  [400, {}, error('Model Not Exist', 'invalid_request_error', 'invalid_request_error'), 'absent model doubtful'],
  [
    503,
    {},
    error(
      'Service is too busy. We advise users to temporarily switch to alternative LLM API service providers.',
      'service_unavailable_error',
    ),
    'overload model',
  ],

  // OpenRouter
  [402, {}, error('Insufficient credits. Add more using https://openrouter.ai/credits', null, 402), 'payment'],
  [
    403,
    {},
    error('Your chosen model requires moderation and your input was flagged', null, 403, {
      metadata: { reasons: ['hate'], flagged_input: 'x' },
    }),
    'relay',
  ],
  [404, {}, error('No endpoints found for vendor/model.', null, 404), 'absent model doubtful'],
  [400, {}, error('vendor/model is not a valid model ID', null, 400), 'absent model doubtful'],
  [
    429,
    {},
    error('Rate limit exceeded: free-models-per-day', null, 429, {
      metadata: { headers: { 'X-RateLimit-Reset': String(now + 5 * 3600_000) } },
    }),
    'quota 5h',
  ],
  [
    429,
    {},
    error('Provider returned error', null, 429, {
      metadata: { raw: 'x is temporarily rate-limited upstream', provider_name: 'P' },
    }),
    'burst: Provider returned error: x is temporarily rate-limited upstream',
  ],
  [
    502,
    {},
    error('Provider returned error', null, 502, { metadata: { raw: 'oops' } }),
    'server: status 502: Provider returned error: oops',
  ],
]

t.test('what a refusal means', async t => {
  for (const [status, headers, body, want] of refusals)
    t.equal(say(judge(status, headers, body, now), now, want.includes(': ')), want, `${status} ${body.slice(0, 110)}`)
  for (const body of [
    '',
    '{',
    'null',
    '[]',
    '{"error":null}',
    '{"error":[]}',
    '{"error":{"code":{}}}',
    '[{"error":1}]',
  ])
    for (const status of [400, 401, 403, 404, 418, 429, 500, 501, 503]) judge(status, {}, body, now)
})

t.test('an error inside a 200 means the same (trap 3)', async t => {
  const cases: [type: string, message: string, want: string][] = [
    ['rate_limit_exceeded', 'Rate limit reached for gpt-5.6-terra. Please try again in 20s.', 'burst model 20s'],
    ['server_is_overloaded', 'Our servers are currently overloaded.', 'overload model'],
    ['server_error', 'An error occurred.', 'server'],
    ['server_error', 'The server is overloaded or not ready yet.', 'overload model'],
    ['insufficient_quota', 'You exceeded your current quota.', 'quota'],
    ['usage_limit_reached', 'The usage limit has been reached', 'window'],
    ['invalid_prompt', 'Invalid prompt.', 'relay'],
    ['cyber_policy', 'Refused.', 'relay'],
    ['context_length_exceeded', 'Too long.', 'relay'],
    ['invalid_request_error', 'Bad.', 'relay'],
    ['invalid_encrypted_content', 'No.', 'relay without seals'],
    ['of tomorrow', '', 'server'],
    ['', '', 'server: error event'],
  ]
  for (const [type, message, want] of cases)
    t.equal(say(judgeErrorEvent(type, message, now), now, want.includes(': ')), want, `${type} ${message}`)
})

const facts = (more: Partial<AccountFacts> = {}): AccountFacts =>
  ({ type: 'apikey', baseUrl: null, dialect: 'auto', ...more }) as AccountFacts
const key = new Credential('sk-secret')

t.test('an account is asked in its dialect, where it is', async t => {
  const speaks = (more: Partial<AccountFacts>, dialect: 'responses' | 'chat' | 'messages', kind = 'generate') =>
    openai.speaks(facts(more), { dialect, kind })
  const other = 'https://api.deepseek.com'
  t.equal(speaks({}, 'messages'), 'responses')
  t.equal(speaks({}, 'responses'), 'responses')
  t.equal(speaks({}, 'chat'), 'chat', 'the vendor’s own server speaks both')
  t.equal(speaks({ baseUrl: other }, 'responses'), 'chat')
  t.equal(speaks({ baseUrl: other }, 'messages'), 'chat')
  t.equal(speaks({ baseUrl: other, dialect: 'responses' }, 'chat'), 'responses')
  t.equal(speaks({ dialect: 'chat' }, 'responses'), 'chat')
  t.equal(speaks({ dialect: 'responses' }, 'chat', 'embed'), 'chat')

  t.equal(openai.counts!(facts()), true)
  t.equal(openai.counts!(facts({ baseUrl: other, dialect: 'responses' })), false)

  const path = (baseUrl: string | null) => {
    const { origin, path } = openai.prepare(
      { method: 'POST', path: '/v1/responses', query: '?a=1', headers: {} },
      facts({ baseUrl }),
      key,
    )
    return origin.origin + path
  }
  t.equal(path(null), 'https://api.openai.com/v1/responses?a=1')
  t.equal(path('https://openrouter.ai/api'), 'https://openrouter.ai/api/v1/responses?a=1')
  t.equal(path('https://x.openai.azure.com/openai'), 'https://x.openai.azure.com/openai/v1/responses?a=1')
  t.equal(path('https://open.bigmodel.cn/api/paas/v4'), 'https://open.bigmodel.cn/api/paas/v4/responses?a=1')
  t.equal(path('https://g.example/v1beta/openai/'), 'https://g.example/v1beta/openai/responses?a=1')
  t.equal(path('https://chatgpt.com/backend-api/codex'), 'https://chatgpt.com/backend-api/codex/responses?a=1')
})

t.test('what a client says to the upstream, and what stays here', async t => {
  const headers = {
    accept: 'text/event-stream',
    'content-type': 'application/json',
    'user-agent': 'codex',
    'accept-encoding': 'gzip',
    originator: 'codex_cli_rs',
    'session-id': 's',
    session_id: 's',
    'openai-beta': 'b',
    'openai-organization': 'org-mine',
    'openai-project': 'proj-mine',
    'x-stainless-lang': 'js',
    'x-codex-turn-metadata': '{}',
    'x-client-request-id': 'r',
    authorization: 'Bearer gw-key',
    'chatgpt-account-id': 'mine',
    cookie: 'c',
    'x-forwarded-for': '1.2.3.4',
  }
  const prepared = openai.prepare({ method: 'POST', path: '/v1/responses', query: '', headers }, facts(), key)
  const { host, ...said } = prepared.headers
  t.equal(host, 'api.openai.com')
  t.strictSame(said, {
    accept: 'text/event-stream',
    'content-type': 'application/json',
    'user-agent': 'codex',
    originator: 'codex_cli_rs',
    'session-id': 's',
    session_id: 's',
    'openai-beta': 'b',
    'x-stainless-lang': 'js',
    'x-codex-turn-metadata': '{}',
    'x-client-request-id': 'r',
    'accept-encoding': 'identity',
    authorization: 'Bearer sk-secret',
  })
  const token = new Credential(JSON.stringify({ access_token: 'at', account_id: 'acc' }))
  const oauth = openai.prepare(
    { method: 'POST', path: '/v1/responses', query: '', headers },
    facts({ type: 'oauth' }),
    token,
  )
  t.equal(oauth.headers['authorization'], 'Bearer at')
  t.equal(oauth.headers['chatgpt-account-id'], 'acc')
})

t.test('a probe is the cheapest request in the account’s dialect', async t => {
  const body = (more: Partial<AccountFacts>) => JSON.parse(openai.probe('m', facts(more)).body)
  t.strictSame(body({}), { model: 'm', input: 'hi', max_output_tokens: 16, store: false })
  const messages = [{ role: 'user', content: 'hi' }]
  t.strictSame(body({ baseUrl: 'http://x' }), { model: 'm', messages, max_tokens: 1 })
  t.strictSame(body({ dialect: 'chat' }), { model: 'm', messages, max_completion_tokens: 16 })
  t.equal(openai.probe('m', facts({ dialect: 'chat' })).call.path, '/v1/chat/completions')
})
