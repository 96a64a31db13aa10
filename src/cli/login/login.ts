// Logging in to an OAuth account, with endpoints and a client that are the operator's own: what `gw account login` does.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Attempt } from '../../core/oauth/authorize.ts'
import { endpointProblem, type OauthCredential, patched, type TokenFormat } from '../../core/oauth/credential.ts'
import type { Client, Given } from '../../core/oauth/endpoint.ts'
import type { Through } from '../../egress/through.ts'
import { Refusal } from '../../lib/refusal.ts'
import { why } from '../../lib/why.ts'
import type { Invocation } from '../command.ts'
import { readPasted } from '../credential.ts'

export interface LoginOptions {
  authorizeUrl?: string
  tokenUrl?: string
  deviceUrl?: string
  clientId?: string
  scopes?: string
  port?: number
  redirectUri?: string
  paste?: boolean
  param?: Record<string, string>
  tokenFormat?: TokenFormat
}

const PATIENCE_MS = 10 * 60_000

/**
 * Sends a person to the vendor's page, or shows a device's code, and gives the credential that comes of it.
 * @param known the credential that the account has: what the options do not say is taken from it
 * @throws Refusal `usage` for what is missing or no URL, `failure` when the vendor says no, `refused` when nobody comes back
 */
export async function logIn(
  gw: Invocation,
  options: LoginOptions & { clientSecret: string | undefined },
  known: OauthCredential | undefined,
  through: Through | null,
): Promise<string> {
  const stored = (name: string) => {
    const value = known?.fields[name]
    return typeof value === 'string' ? value : ''
  }
  const authorizeUrl = options.authorizeUrl ?? stored('authorize_url')
  const deviceUrl = options.deviceUrl ?? (options.authorizeUrl ? '' : stored('device_url'))
  const client: Client = {
    tokenUrl: options.tokenUrl ?? stored('token_url'),
    clientId: options.clientId ?? stored('client_id'),
    clientSecret: options.clientSecret ?? stored('client_secret'),
    format: options.tokenFormat ?? known?.format ?? 'form',
  }
  const scopes = options.scopes ?? known?.scopes ?? ''
  const byDevice = deviceUrl !== ''
  const missing = [
    ['--client-id', client.clientId],
    ['--token-url', client.tokenUrl],
    ...(byDevice ? [] : [['--authorize-url (or --device-url)', authorizeUrl]]),
  ].flatMap(([flag, value]) => (value === '' ? [flag] : []))
  if (missing.length > 0)
    throw new Refusal('usage', `${missing.join(' and ')} must be given; gw knows no vendor's client, it uses yours`)
  for (const [flag, url] of [
    ['--token-url', client.tokenUrl],
    ...(byDevice ? [['--device-url', deviceUrl]] : [['--authorize-url', authorizeUrl]]),
  ] as const) {
    const problem = endpointProblem(url!)
    if (problem) throw new Refusal('usage', `${flag} must be an https URL: it ${problem}`)
  }

  const given = byDevice
    ? await withDevice(gw, deviceUrl, client, scopes, through)
    : await withBrowser(gw, options, authorizeUrl, client, scopes, through)
  if (!given.ok) throw new Refusal('failure', `the tokens were not given: ${given.reason}`)
  return patched(
    {
      ...known?.fields,
      client_id: client.clientId,
      ...(client.clientSecret === '' ? {} : { client_secret: client.clientSecret }),
      token_url: client.tokenUrl,
      ...(byDevice ? { device_url: deviceUrl } : { authorize_url: authorizeUrl }),
      ...(scopes === '' ? {} : { scopes }),
      ...(client.format === 'form' ? {} : { token_format: client.format }),
    },
    given.patch,
  )
}

async function withDevice(
  gw: Invocation,
  deviceUrl: string,
  client: Client,
  scopes: string,
  through: Through | null,
): Promise<Given> {
  const { awaitDevice, beginDevice } = await import('../../core/oauth/authorize.ts')
  const device = await beginDevice(deviceUrl, { clientId: client.clientId, scopes, through })
  if (typeof device === 'string') throw new Refusal('failure', device)
  gw.out.note(`open ${device.verifyAt}\nand enter the code ${device.userCode}`)
  return awaitDevice(client, device, through, sleep)
}

async function withBrowser(
  gw: Invocation,
  options: LoginOptions,
  authorizeUrl: string,
  client: Client,
  scopes: string,
  through: Through | null,
): Promise<Given> {
  const [{ beginLogin, readReturned, redeem }, { receive }] = await Promise.all([
    import('../../core/oauth/authorize.ts'),
    import('./receive.ts'),
  ])
  const begin = (redirectUri: string) =>
    beginLogin({ authorizeUrl, clientId: client.clientId, scopes, redirectUri, more: options.param ?? {} })
  const codeOf = (text: string, attempt: Attempt, whole: boolean): string => {
    const read = readReturned(text, attempt, whole)
    if (typeof read === 'string') throw new Refusal('failure', `what came back is not used: ${read}`)
    return read.code
  }
  // Where the vendor knows one redirect only, or the browser is on another machine, the person brings the code.
  const own = loopback(options.redirectUri)
  if (options.paste || (options.redirectUri !== undefined && !own)) {
    if (options.redirectUri === undefined)
      throw new Refusal('usage', '--paste needs --redirect-uri, the one that the vendor knows of your client')
    const attempt = begin(options.redirectUri)
    gw.out.note(
      `open ${attempt.url}\nand paste the code, or the whole address that you are sent to, then Enter and Ctrl-D`,
    )
    return redeem(client, codeOf(await readPasted(gw.shell), attempt, false), attempt, through)
  }
  let attempt: Attempt | undefined
  const answer = (query: string) => {
    if (new URLSearchParams(query).get('state') !== attempt?.state) return undefined
    const read = readReturned(query, attempt!, true)
    return typeof read === 'string' ? `gw: ${read}.` : 'gw has the code. You can close this page.'
  }
  const receiver = await receive(options.port ?? 0, answer, own).catch(error => {
    const port = own?.port ?? options.port
    throw new Refusal('failure', `port ${port} of this machine cannot be listened on: ${why(error)}`)
  })
  try {
    attempt = begin(receiver.redirectUri)
    gw.out.note(`open ${attempt.url}\nand come back here; waiting on ${receiver.redirectUri}`)
    const leaving = new AbortController()
    const late = sleep(PATIENCE_MS, undefined, { signal: leaving.signal }).then(
      () => undefined,
      () => undefined,
    )
    const query = await Promise.race([receiver.returned, late])
    leaving.abort()
    if (query === undefined) throw new Refusal('refused', 'nobody came back in 10 minutes; nothing changed')
    return await redeem(client, codeOf(query, attempt, true), attempt, through)
  } finally {
    receiver.close()
  }
}

/** A redirect to this machine, which can be listened for. */
function loopback(uri: string | undefined): URL | undefined {
  const url = uri === undefined ? null : URL.parse(uri)
  return url?.protocol === 'http:' && /^(localhost|127\.0\.0\.1)$/.test(url.hostname) && url.port !== ''
    ? url
    : undefined
}
