// The credential of an OAuth account: JSON with its tokens, and with all that it takes to refresh them, which the operator gave.

/** How the token endpoint is asked: as RFC 6749 says, or as JSON, which some want. */
export type TokenFormat = 'form' | 'json'

export interface OauthCredential {
  /** every field as it is stored; what we do not know stays */
  readonly fields: Readonly<Record<string, unknown>>
  /** '' when there is none yet */
  readonly access: string
  readonly refresh: string
  /** Unix ms of the access token's end; 0: nobody said */
  readonly expiresAt: number
  readonly clientId: string
  readonly clientSecret: string
  readonly tokenUrl: string
  /** divided by blanks; '' for what the token has already */
  readonly scopes: string
  readonly format: TokenFormat
}

/** What the fields of an answer of the token endpoint become. */
export type Patch = Record<string, string | number | undefined>

/** There is all that it takes to refresh it. */
export const refreshable = ({ refresh, clientId, tokenUrl }: OauthCredential): boolean =>
  refresh !== '' && clientId !== '' && tokenUrl !== ''

/** Reads the stored text, or says in words what is wrong with it; never quotes it. */
export function readOauth(text: string): OauthCredential | string {
  let fields: unknown
  try {
    fields = JSON.parse(text)
  } catch {
    // The parser's own message quotes the text, and the text is a secret.
    return 'is not JSON; it must hold an object with access_token or refresh_token'
  }
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields))
    return 'must hold a JSON object with a text access_token or refresh_token'
  const given = fields as Record<string, unknown>
  for (const name of texts)
    if (given[name] !== undefined && given[name] !== null && typeof given[name] !== 'string')
      return `must give ${name} as text`
  const text_ = (name: (typeof texts)[number]) => ((given[name] as string | undefined) ?? '').trim()
  if (text_('access_token') === '' && text_('refresh_token') === '')
    return 'must hold a JSON object with a text access_token or refresh_token'
  // It travels in a header.
  if (!/^[!-~]*$/.test(text_('access_token'))) return 'must give access_token as printable ASCII without spaces'
  const expiresAt = instant(given['expires_at'])
  if (expiresAt === undefined)
    return 'must give expires_at in Unix seconds, as a number or as text, or as an RFC 3339 time'
  const problem = text_('token_url') === '' ? undefined : endpointProblem(text_('token_url'))
  if (problem) return `must give token_url as an https URL: it ${problem}`
  const scopes = scopesOf(given['scopes'])
  if (scopes === undefined) return 'must give scopes as a list of texts, or as one text with blanks between them'
  const format = given['token_format'] ?? 'form'
  if (format !== 'form' && format !== 'json') return 'must give token_format as form or json'
  return {
    fields: given,
    access: text_('access_token'),
    refresh: text_('refresh_token'),
    expiresAt,
    clientId: text_('client_id'),
    clientSecret: text_('client_secret'),
    tokenUrl: text_('token_url'),
    scopes,
    format,
  }
}

const texts = [
  'access_token',
  'refresh_token',
  'client_id',
  'client_secret',
  'token_url',
  'authorize_url',
  'project_id',
  'chatgpt_account_id',
] as const

/** What it says of the plan it is of, in words; null when nothing. */
export function planOf({ fields }: OauthCredential): string | null {
  const said = hints.flatMap(name => {
    const value = fields[name]
    return typeof value === 'string' && /^[\w .:@/-]{1,80}$/.test(value) ? [`${name} ${value}`] : []
  })
  return said.length === 0 ? null : said.join(', ')
}

const hints = ['plan_type', 'chatgpt_plan_type', 'subscription_type', 'tier_id', 'oauth_type', 'project_id']

/** What is missing for a refresh, in words; undefined when nothing is. */
export function missingForRefresh({ refresh, clientId, tokenUrl }: OauthCredential): string | undefined {
  const missing = [
    ['refresh_token', refresh],
    ['client_id', clientId],
    ['token_url', tokenUrl],
  ].flatMap(([name, value]) => (value === '' ? [name] : []))
  return missing.length === 0 ? undefined : missing.join(', ')
}

/** The credential with new tokens: what the endpoint did not say of a refresh token stays, what it did not say of an end is unknown. */
export function patched(fields: Readonly<Record<string, unknown>>, patch: Patch): string {
  const { expires_at: _, expires_in: __, ...kept } = fields
  return JSON.stringify({ ...kept, ...patch })
}

/** Secrets go to it: TLS, or this machine. */
export function endpointProblem(text: string): string | undefined {
  const url = URL.parse(text)
  if (!url) return 'is not a URL'
  if (url.username || url.password) return 'carries a user or password'
  if (url.protocol === 'https:') return undefined
  const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname)
  return url.protocol === 'http:' && loopback ? undefined : 'would send secrets in the clear'
}

const RFC_3339 = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/

/** Unix ms; 0 for none; undefined for what is no time. Of numbers too large for seconds it is taken that they are milliseconds. */
function instant(value: unknown): number | undefined {
  if (value === undefined || value === null || value === '') return 0
  if (typeof value === 'string' && RFC_3339.test(value)) return Date.parse(value)
  const number =
    typeof value === 'number'
      ? value
      : typeof value === 'string' && /^\d{1,15}(\.\d+)?$/.test(value)
        ? Number(value)
        : -1
  if (!Number.isFinite(number) || number < 0) return undefined
  return Math.round(number > 1e11 ? number : number * 1000)
}

function scopesOf(value: unknown): string | undefined {
  if (value === undefined || value === null) return ''
  const list = Array.isArray(value) ? value : [value]
  return list.every(scope => typeof scope === 'string') ? list.join(' ').trim() : undefined
}
