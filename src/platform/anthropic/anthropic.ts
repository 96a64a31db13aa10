// Anthropic as an upstream: api keys and OAuth tokens on the Messages API.
import type { Credential } from '../../core/credential.ts'
import type { AccountFacts } from '../../core/snapshot.ts'
import { version } from '../../lib/version.ts'
import { oauthToken } from '../oauth.ts'
import type { Platform, UpstreamRequest } from '../platform.ts'
import { judge, judgeErrorEvent } from './verdict.ts'

const BASE = 'https://api.anthropic.com'
const VERSION = '2023-06-01'
// Token authentication is a beta that must be asked for (spec/domain.md §10.8).
const OAUTH_BETA = 'oauth-2025-04-20'

// What a client may say to the upstream (spec/domain.md §10.8, wire.md §1.2); all else stays here.
const passed = new Set(['accept', 'content-type', 'user-agent', 'accept-language', 'sec-fetch-mode', 'x-app'])
const passedPrefixes = ['anthropic-', 'x-stainless-']

interface Target {
  origin: URL
  prefix: string
  auth: [name: string, value: string]
  /** what `auth` was made from */
  credential: Credential
}
// Facts are replaced, never changed, so what is computed from one lives as long as it. Here and not in the facts: it is a secret.
const targets = new WeakMap<AccountFacts, Target>()

export const anthropic: Platform = {
  name: 'anthropic',
  home: BASE,
  vendor: { facts: 'anthropic', prices: 'anthropic' },
  unaskedWrites: '5m',
  dialects: ['messages'],

  speaks: () => 'messages',

  prepare(call, account, credential): UpstreamRequest {
    const known = targets.get(account)
    const target = known?.credential === credential ? known : compile(account, credential)
    const headers: UpstreamRequest['headers'] = { host: target.origin.host }
    for (const name in call.headers) {
      const value = call.headers[name]
      if (value !== undefined && (passed.has(name) || passedPrefixes.some(p => name.startsWith(p))))
        headers[name] = value
    }
    headers['anthropic-version'] ??= VERSION
    // Usage cannot be read from a compressed stream, and every SDK asks for one.
    headers['accept-encoding'] = 'identity'
    headers[target.auth[0]] = target.auth[1]
    if (account.type === 'oauth') headers['anthropic-beta'] = withBeta(headers['anthropic-beta'])
    return { method: call.method, origin: target.origin, path: target.prefix + call.path + call.query, headers }
  },

  judge,
  judgeEvent: judgeErrorEvent,

  probeModel: 'claude-haiku-4-5',
  probe: model => ({
    call: {
      method: 'POST',
      path: '/v1/messages',
      query: '',
      headers: { accept: 'application/json', 'content-type': 'application/json', 'user-agent': `gw/${version}` },
    },
    body: JSON.stringify({ model, max_tokens: 1, messages: [{ role: 'user', content: 'hi' }] }),
  }),
}

function compile(account: AccountFacts, credential: Credential): Target {
  const url = new URL(account.baseUrl ?? BASE)
  const target: Target = {
    origin: new URL(url.origin),
    prefix: url.pathname.replace(/\/+$/, ''),
    auth:
      account.type === 'oauth'
        ? ['authorization', `Bearer ${oauthToken(credential.reveal()).access}`]
        : ['x-api-key', credential.reveal()],
    credential,
  }
  targets.set(account, target)
  return target
}

// Union, never replace: the client's betas are its own.
function withBeta(value: string | string[] | number | undefined): string {
  const given = value === undefined ? '' : String(value)
  return given.split(',').some(b => b.trim() === OAUTH_BETA)
    ? given
    : given === ''
      ? OAUTH_BETA
      : `${given},${OAUTH_BETA}`
}
