// The token endpoint: what is asked of it (RFC 6749 §4.1.3, §6), and what its answer means.
import { type AskOptions, ask } from '../../egress/ask.ts'
import type { Through } from '../../egress/through.ts'
import { scrub } from '../../lib/credentials.ts'
import { type Guard, isGuards } from '../../lib/guard/guard.ts'
import type { OauthCredential, Patch, TokenFormat } from './credential.ts'

export const TIMEOUT_MS = 30_000

export type Given =
  | { ok: true; patch: Patch; expiresAt: number }
  /** `definite`: asking again with the same changes nothing. `word` is the endpoint's own (`invalid_grant`), or '' */
  | { ok: false; definite: boolean; word: string; reason: string }

/** Who asks, and where. */
export interface Client {
  tokenUrl: string
  clientId: string
  clientSecret: string
  format: TokenFormat
}

// What does not become better by asking again.
const definite = new Set([
  'invalid_grant',
  'invalid_client',
  'unauthorized_client',
  'access_denied',
  'invalid_scope',
  'unsupported_grant_type',
])

/** New tokens for a refresh token. Never throws. */
export function refreshTokens(
  credential: OauthCredential,
  through: Through | null,
  now: () => number,
  guard?: Guard,
): Promise<Given> {
  const { refresh, scopes } = credential
  const grant = { grant_type: 'refresh_token', refresh_token: refresh, ...(scopes === '' ? {} : { scope: scopes }) }
  return requestTokens(credential, grant, through, now, { timeoutMs: TIMEOUT_MS, guard })
}

/** Asks for tokens with a grant. Never throws. */
export async function requestTokens(
  { tokenUrl, clientId, clientSecret, format }: Client,
  grant: Record<string, string>,
  through: Through | null,
  now: () => number,
  limits: Pick<AskOptions, 'timeoutMs' | 'guard'> = { timeoutMs: TIMEOUT_MS },
): Promise<Given> {
  const parameters = { ...grant, client_id: clientId, ...(clientSecret === '' ? {} : { client_secret: clientSecret }) }
  const secrets = [
    clientSecret,
    ...Object.entries(grant).flatMap(([name, value]) => (/token|code/.test(name) ? [value] : [])),
  ]
  try {
    const { status, body } = await ask(
      {
        url: new URL(tokenUrl),
        method: 'POST',
        headers: {
          accept: 'application/json',
          'accept-encoding': 'identity',
          'content-type': format === 'json' ? 'application/json' : 'application/x-www-form-urlencoded',
        },
        body: format === 'json' ? JSON.stringify(parameters) : new URLSearchParams(parameters).toString(),
      },
      { through, ...limits },
    )
    return read(status, body, secrets, now())
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException
    const known = message.startsWith('proxy ') || message.startsWith('no answer') || isGuards(error)
    return failed(known ? message : `the token endpoint could not be reached (${code || 'connection failed'})`)
  }
}

const failed = (reason: string, word = ''): Given => ({ ok: false, definite: definite.has(word), word, reason })

function read(status: number, body: string, secrets: readonly string[], now: number): Given {
  let said: Record<string, unknown>
  try {
    said = Object(JSON.parse(body)) as Record<string, unknown>
  } catch {
    return failed(`the token endpoint answered ${status} with something that is not JSON`)
  }
  const token = said['access_token']
  if (status < 300 && typeof token === 'string' && token !== '') return given(said, now)
  const { error } = said
  // Some put an object of their own where the standard has a word.
  const inner = typeof error === 'object' && error !== null ? (error as Record<string, unknown>) : {}
  const word = [error, inner['type'], inner['code']].find(value => typeof value === 'string') as string | undefined
  const told = [said['error_description'], inner['message'], said['message']].find(value => typeof value === 'string')
  if (status < 300) return failed('the token endpoint answered without an access_token', word)
  return failed(shown([word ?? `status ${status}`, told as string | undefined], secrets), word)
}

function given(said: Record<string, unknown>, now: number): Given {
  const text = (name: string) => {
    const value = said[name]
    return typeof value === 'string' && value !== '' ? value : undefined
  }
  const seconds = Number(said['expires_in'])
  const expiresAt = said['expires_in'] != null && seconds > 0 && seconds < 1e9 ? now + Math.floor(seconds * 1000) : 0
  const patch: Patch = {}
  for (const name of ['access_token', 'refresh_token', 'id_token', 'token_type', 'scope']) {
    const value = text(name)
    if (value !== undefined) patch[name] = value
  }
  if (expiresAt > 0) patch['expires_at'] = Math.floor(expiresAt / 1000)
  return { ok: true, patch, expiresAt }
}

// For a terminal and a log: one line, and nothing of what was sent.
function shown(words: readonly (string | undefined)[], secrets: readonly string[]): string {
  const line = words
    .filter(word => word)
    .join(': ')
    .slice(0, 1000)
    .replace(/[\p{C}\s]+/gu, ' ')
    .trim()
  const concealed = secrets.filter(s => s.length >= 4).reduce((clean, secret) => clean.replaceAll(secret, '***'), line)
  return scrub(concealed).slice(0, 160)
}
