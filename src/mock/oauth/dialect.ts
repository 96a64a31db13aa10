// A token endpoint (RFC 6749): refresh tokens that rotate, access tokens that expire.
import { whole } from '../bytes.ts'
import type { Call } from '../call.ts'
import type { Dialect, Reply } from '../dialect.ts'
import type { Step } from '../step.ts'
import type { Tokens } from './tokens.ts'

const paths = new Set(['/token', '/oauth/token', '/v1/oauth/token', '/oauth2/token', '/oauth2/v4/token'])

/** Scripts and stats know what comes here by this credential. */
const CREDENTIAL = 'token'

export const oauth: Dialect = {
  idHeader: null,
  newId: n => `token-${n}`,
  owns: ({ path }) => paths.has(path),
  credential: CREDENTIAL,

  answer(call, step, tokens): Reply {
    if (step.status !== undefined && step.status >= 300)
      return whole({ error: step.error?.type ?? 'server_error', error_description: step.error?.message }, step)
    if (call.method !== 'POST') return refused('invalid_request', 'the method must be POST', 405)
    const asked = parametersOf(call)
    const grant = asked.get('grant_type')
    const token = asked.get({ refresh_token: 'refresh_token', authorization_code: 'code' }[grant ?? ''] ?? '')
    if (!token) return refused('unsupported_grant_type', `grant_type must be refresh_token or authorization_code`)
    return given(token, step, tokens) ?? refused('invalid_grant', 'the refresh token was used before')
  },
}

function given(token: string, step: Step, tokens: Tokens): Reply | undefined {
  const { expiresIn = 3600, rotates = true } = step.token ?? {}
  const next = tokens.next(token, expiresIn, rotates)
  if (!next) return undefined
  const body = { access_token: next.access, token_type: 'Bearer', expires_in: expiresIn, refresh_token: next.refresh }
  return { ...whole(body, step), counts: 'refreshes' }
}

function refused(error: string, error_description: string, status = 400): Reply {
  return { ...whole({ error, error_description }, {}, null, status), counts: 'refusedTokens' }
}

/** As a form, which the standard asks for, or as JSON, which some clients send. */
function parametersOf({ body, headers }: Call): Map<string, string> {
  const text = body.toString()
  if (!String(headers['content-type']).includes('json')) return new Map(new URLSearchParams(text))
  try {
    return new Map(
      Object.entries(JSON.parse(text) as Record<string, unknown>).map(([name, value]) => [name, String(value)]),
    )
  } catch {
    return new Map()
  }
}
