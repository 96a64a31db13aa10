// The words of OpenAI's errors, and of servers that speak like it: their codes and types, and the texts that tell where no code does.
import { instant, plausible, type Said, type VerdictClass } from '../verdict.ts'

/** An error as its body tells it. */
export interface OpenAiSaid extends Said {
  /** when it says that it will serve again, Unix ms */
  until(now: number): number | undefined
  /** what was asked was found to be harmful */
  flagged?: boolean
}

/** What a word means: a class; `request`: the client's own fault; `seals`: its proofs of reasoning were refused. */
export interface Kind {
  means: VerdictClass | 'request' | 'seals'
  /** the status that says the same */
  status: number
  /** no waiting mends it */
  definite?: true
  /** says hardly anything: the status goes before it */
  coarse?: true
}

const auth: Kind = { means: 'auth', status: 401 }
const dead: Kind = { ...auth, definite: true }
const payment: Kind = { means: 'payment', status: 402 }
const quota: Kind = { means: 'quota', status: 429 }
const overload: Kind = { means: 'overload', status: 503 }
const server: Kind = { means: 'server', status: 500 }
const absent: Kind = { means: 'absent', status: 404 }
const request: Kind = { means: 'request', status: 400 }
const burst: Kind = { means: 'burst', status: 429 }
const seals: Kind = { means: 'seals', status: 400 }

// The finer word goes first: `code` before `type`. spec/wire.md §2.4, wire-additions.md §2, openai@7.59.0 ResponseError.code.
const kinds = new Map<string, Kind>([
  ['invalid_encrypted_content', seals],

  ['invalid_api_key', dead],
  ['account_deactivated', dead],
  ['organization_deactivated', dead],
  ['organization_disabled', dead],
  ['deactivated_workspace', dead],
  ['token_revoked', dead],
  ['token_invalidated', dead],
  ['refresh_token_reused', dead],
  ['token_expired', auth],
  ['authentication_error', auth],
  ['invalid_organization', auth],
  ['mismatched_organization', auth],
  ['ip_not_authorized', auth],
  ['unsupported_country_region_territory', auth],
  ['usage_not_included', auth],

  ['billing_not_active', payment],
  ['insufficient_credits', payment],
  ['insufficient_quota', quota],
  ['billing_hard_limit_reached', quota],
  ['quota_exceeded', quota],
  ['usage_limit_reached', { means: 'window', status: 429 }],
  ['usage_limit_exceeded', { means: 'window', status: 429 }],

  ['rate_limit_exceeded', burst],
  ['rate_limit_error', burst],
  ['too_many_requests', burst],
  ['requests', burst],
  ['tokens', burst],

  ['server_is_overloaded', overload],
  ['slow_down', overload],
  ['overloaded', overload],
  ['overloaded_error', overload],
  ['engine_overloaded', overload],
  ['service_unavailable', overload],
  ['service_unavailable_error', overload],
  ['unavailable_error', overload],
  ['model_at_capacity', overload],

  ['server_error', server],
  ['internal_error', server],
  ['internal_server_error', server],
  ['vector_store_timeout', server],

  ['model_not_found', absent],
  ['model_not_available', absent],
  ['unsupported_model', absent],
  ['DeploymentNotFound', absent],
  ['team_model_access_denied', absent],

  ['context_length_exceeded', request],
  ['exceed_context_size_error', request],
  ['string_above_max_length', request],
  ['invalid_prompt', request],
  ['content_filter', request],
  ['content_policy_violation', request],
  ['ResponsibleAIPolicyViolation', request],
  ['cyber_policy', request],
  ['bio_policy', request],
  ['misalignment_policy_violation', request],
  ['previous_response_not_found', request],
  ['unsupported_parameter', request],
  ['unsupported_value', request],
  ['unknown_parameter', request],
  ['missing_required_parameter', request],
  ['invalid_value', request],
  ['invalid_type', request],
  ['invalid_image', request],
  ['invalid_image_format', request],
  ['invalid_base64_image', request],
  ['image_too_large', request],
  ['image_parse_error', request],
  ['image_content_policy_violation', request],
  ['image_file_too_large', request],
  ['unsupported_image_media_type', request],
  ['invalid_function_parameters', request],
  ['not_supported_error', request],
  ['request_too_large', request],
])

const coarse = new Set(['invalid_request_error', 'BadRequestError', 'image_generation_user_error'])

/** By its code or type, by what it says where those say little; undefined for words that are not known. */
export function kindOf({ code, type, message }: Said): Kind | undefined {
  const fine = kinds.get(code) ?? kinds.get(type)
  if (fine && fine !== server && fine !== auth) return fine
  const told = texts.find(({ says }) => says.test(message))
  return told?.kind ?? fine ?? (coarse.has(code) || coarse.has(type) ? { ...request, coarse: true } : undefined)
}

interface Text {
  says: RegExp
  kind: Kind
}

// Each must begin the message: a 400 quotes what the client sent, and a client that could put these words there could take any
// account out of service.
const texts: readonly Text[] = [
  {
    says: /^(?:the )?encrypted (?:content|reasoning)\b.{0,200}(?:could not be|cannot be|failed|invalid)/i,
    kind: seals,
  },
  // xAI's, with 403 and no code: it would say so of whoever asks (UKGovernmentBEIS/inspect_ai#2267).
  { says: /^content violates usage guidelines\b/i, kind: request },
  { says: /^(?:incorrect|invalid) api[ -]?key\b/i, kind: dead },
  { says: /^your authentication token has been invalidated/i, kind: dead },
  {
    says: /^(?:your|this|the) (?:openai )?(?:account|organi[sz]ation|workspace)\b.{0,80}\b(?:deactivated|disabled|suspended|terminated)\b/i,
    kind: dead,
  },
  { says: /^(?:your account is not active|insufficient (?:balance|credits?)\b)/i, kind: payment },
  { says: /^you exceeded your current quota\b/i, kind: quota },
  { says: /^billing hard limit has been reached/i, kind: quota },
  {
    says: /^(?:you['’]ve hit your usage limit|the usage limit has been reached)/i,
    kind: { means: 'window', status: 429 },
  },
  { says: /^(?:rate limit (?:reached|exceeded)|request too large)\b/i, kind: burst },
  {
    says: /^(?:the (?:engine|server|service|model)|service|our servers|that model|selected model)\b.{0,40}\b(?:overloaded|too busy|at capacity)\b/i,
    kind: overload,
  },
]

/** Reads what is beside the message: OpenAI's code, and the times and codes of servers that speak like it. */
export function readOpenAi(body: string, said: Said): OpenAiSaid {
  const whole = parsed(body)
  const error = object(whole['error'] ?? (whole['object'] === 'error' ? whole : undefined))
  const detail = object(whole['detail'])
  const metadata = object(error['metadata'])
  const code = [error['code'], error['type'], detail['code'], whole['code']].find(
    (one): one is string => typeof one === 'string' && Number.isNaN(Number(one)),
  )
  const inner = object(error['innererror'])['code'] ?? object(error['inner_error'])['code']
  const raw = typeof metadata['raw'] === 'string' ? `: ${metadata['raw']}` : ''
  const isError = (whole['error'] ?? '') !== '' || whole['object'] === 'error'
  return {
    ...said,
    message: said.message + (said.message === 'Provider returned error' ? raw : ''),
    outer: isError ? 'error' : said.outer,
    code: typeof inner === 'string' && kinds.has(inner) ? inner : (code ?? ''),
    flagged: 'flagged_input' in metadata || Array.isArray(metadata['reasons']),
    until(now) {
      const seconds = error['resets_in_seconds']
      const at = error['resets_at'] ?? object(metadata['headers'])['X-RateLimit-Reset']
      const left = typeof seconds === 'number' ? plausible(now + seconds * 1000, now) : undefined
      return left ?? (at === undefined ? undefined : instant(String(at), now))
    },
  }
}

function parsed(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body)
    return object(Array.isArray(value) ? value[0] : value)
  } catch {
    return {}
  }
}

function object(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}
