// The way to first tokens: the page that a person is sent to (RFC 6749 §4.1, PKCE of RFC 7636), or a device's code (RFC 8628).
import { createHash, randomBytes } from 'node:crypto'
import { ask } from '../../egress/ask.ts'
import type { Through } from '../../egress/through.ts'
import { type Client, type Given, requestTokens, TIMEOUT_MS } from './endpoint.ts'

/** One attempt to log in. */
export interface Attempt {
  /** where the person goes */
  url: string
  state: string
  verifier: string
  redirectUri: string
}

export interface AuthorizeOptions {
  authorizeUrl: string
  clientId: string
  /** divided by blanks; '': as the vendor likes */
  scopes: string
  redirectUri: string
  /** what else the vendor wants in the URL, such as `access_type=offline` */
  more: Readonly<Record<string, string>>
}

export function beginLogin({ authorizeUrl, clientId, scopes, redirectUri, more }: AuthorizeOptions): Attempt {
  const [state, verifier] = [randomBytes(24).toString('base64url'), randomBytes(48).toString('base64url')]
  const url = new URL(authorizeUrl)
  const parameters = {
    response_type: 'code',
    client_id: clientId,
    redirect_uri: redirectUri,
    ...(scopes === '' ? {} : { scope: scopes }),
    ...more,
    state,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  }
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
  return { url: url.href, state, verifier, redirectUri }
}

/**
 * What came back: a query, a whole URL, a code, or `CODE#STATE`, as some pages show it.
 * @param whole it came from the browser itself, so a state must be with it
 * @returns the code, or in words why there is none
 */
export function readReturned(text: string, { state }: Attempt, whole: boolean): { code: string } | string {
  const trimmed = text.trim()
  const query = trimmed.includes('?') ? trimmed.slice(trimmed.indexOf('?')) : undefined
  const parameters = new URLSearchParams(query?.replace(/#.*$/s, ''))
  const refusal = parameters.get('error')
  if (refusal) return `the vendor said ${words(`${refusal} ${parameters.get('error_description') ?? ''}`)}`
  const [bare, shown] = query === undefined ? trimmed.split('#') : []
  const code = parameters.get('code') ?? bare ?? ''
  if (!/^[\x21-\x7e]{1,4096}$/.test(code)) return 'there is no code in it'
  const returned = parameters.get('state') ?? shown
  // Without it somebody else could have sent the browser here with a code of their own account.
  if (returned === undefined ? whole || query !== undefined : returned !== state)
    return 'its state is not the one that was sent, so it is the answer to something else'
  return { code }
}

const words = (text: string) =>
  text
    .replace(/[\p{C}\s]+/gu, ' ')
    .trim()
    .slice(0, 160)

/** The tokens for a code. Never throws. */
export function redeem(
  client: Client,
  code: string,
  { verifier, redirectUri }: Attempt,
  through: Through | null,
): Promise<Given> {
  const grant = { grant_type: 'authorization_code', code, redirect_uri: redirectUri, code_verifier: verifier }
  return requestTokens(client, grant, through, Date.now)
}

/** What a device was told to show. */
export interface Device {
  deviceCode: string
  userCode: string
  verifyAt: string
  /** ms between two looks */
  everyMs: number
  /** ms that it is good */
  forMs: number
}

/** Asks for a device's code. @returns it, or in words why there is none */
export async function beginDevice(
  deviceUrl: string,
  { clientId, scopes, through }: { clientId: string; scopes: string; through: Through | null },
): Promise<Device | string> {
  try {
    const { status, body } = await ask(
      {
        url: new URL(deviceUrl),
        method: 'POST',
        headers: { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' },
        body: new URLSearchParams({ client_id: clientId, ...(scopes === '' ? {} : { scope: scopes }) }).toString(),
      },
      { through, timeoutMs: TIMEOUT_MS },
    )
    const said = Object(JSON.parse(body)) as Record<string, unknown>
    const text = (...names: string[]) =>
      names.map(name => said[name]).find(value => typeof value === 'string') as string | undefined
    const [deviceCode, userCode] = [text('device_code'), text('user_code')]
    const verifyAt = text('verification_uri_complete', 'verification_uri', 'verification_url')
    if (status >= 300 || !deviceCode || !userCode || !verifyAt)
      return `the device endpoint answered ${status} ${words(text('error', 'message') ?? 'without a code')}`
    const seconds = (name: string, otherwise: number) => {
      const value = Number(said[name])
      return 1000 * (value > 0 && value < 86_400 ? value : otherwise)
    }
    return {
      deviceCode,
      userCode,
      verifyAt: words(verifyAt),
      everyMs: seconds('interval', 5),
      forMs: seconds('expires_in', 600),
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    return message.startsWith('proxy ')
      ? message
      : `the device endpoint could not be reached (${code ?? 'no JSON came'})`
  }
}

/** The tokens for a device's code, once its person has said yes. Never throws. */
export async function awaitDevice(
  client: Client,
  device: Device,
  through: Through | null,
  wait: (ms: number) => Promise<unknown>,
): Promise<Given> {
  const grant = { grant_type: 'urn:ietf:params:oauth:grant-type:device_code', device_code: device.deviceCode }
  let { everyMs } = device
  for (const until = performance.now() + device.forMs; ; ) {
    await wait(everyMs)
    const given = await requestTokens(client, grant, through, Date.now)
    if (given.ok || (given.word !== 'authorization_pending' && given.word !== 'slow_down')) return given
    // RFC 8628 §3.5.
    if (given.word === 'slow_down') everyMs += 5_000
    if (performance.now() > until)
      return { ok: false, definite: true, word: 'expired_token', reason: 'nobody said yes in time' }
  }
}
