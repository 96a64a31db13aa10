// OpenAI as an upstream, and every server that speaks one of its dialects: by key or token, on Responses or Chat.
import type { Credential } from '../../core/credential.ts'
import type { AccountFacts } from '../../core/snapshot.ts'
import { version } from '../../lib/version.ts'
import { oauthToken } from '../oauth.ts'
import type { Platform, UpstreamRequest } from '../platform.ts'
import { judge, judgeErrorEvent } from './verdict.ts'

const HOME = 'https://api.openai.com'

// What a client may say to the upstream (spec/domain.md §10.7, wire.md §2.5). Its organisation and project are those of another key.
const passed = new Set([
  'accept',
  'content-type',
  'user-agent',
  'accept-language',
  'originator',
  'version',
  'session-id',
  'session_id',
  'thread-id',
  'conversation_id',
  'x-client-request-id',
])
const passedPrefixes = ['openai-', 'x-stainless-', 'x-codex-']
const kept = new Set(['openai-organization', 'openai-project'])

interface Target {
  origin: URL
  prefix: string
  /** the prefix says which version of the API it is: paths have none of their own */
  versioned: boolean
  headers: Record<string, string>
  /** what the headers were made from */
  credential: Credential
}
// Facts are replaced, never changed, so what is computed from one lives as long as it. Here and not in the facts: it is a secret.
const targets = new WeakMap<AccountFacts, Target>()

export const openai: Platform = {
  name: 'openai',

  home: HOME,
  vendor: { facts: 'openai', prices: 'openai' },
  unaskedWrites: '30m',
  dialects: ['responses', 'chat'],

  speaks(account, { dialect, kind }) {
    // Embeddings are of no dialect but this one.
    if (kind === 'embed') return 'chat'
    if (account.dialect !== 'auto') return account.dialect
    if (!isHome(account)) return 'chat'
    // The vendor's own server speaks both natively: nothing is gained by translating one into the other.
    return dialect === 'chat' ? 'chat' : 'responses'
  },

  // Servers that only speak like it count nothing.
  counts: isHome,

  prepare(call, account, credential): UpstreamRequest {
    const known = targets.get(account)
    const target = known?.credential === credential ? known : compile(account, credential)
    const headers: UpstreamRequest['headers'] = { host: target.origin.host }
    for (const name in call.headers) {
      const value = call.headers[name]
      if (value !== undefined && isPassed(name)) headers[name] = value
    }
    // Usage cannot be read from a compressed stream, and every SDK asks for one.
    headers['accept-encoding'] = 'identity'
    Object.assign(headers, target.headers)
    const path = target.versioned ? call.path.replace(/^\/v1(?=\/)/, '') : call.path
    return { method: call.method, origin: target.origin, path: target.prefix + path + call.query, headers }
  },

  judge,
  judgeEvent: judgeErrorEvent,

  probeModel: 'gpt-5-nano',
  probe(model, account) {
    const inResponses = openai.speaks(account, { dialect: 'responses', kind: 'generate' }) === 'responses'
    const messages = [{ role: 'user', content: 'hi' }]
    // As few tokens as are taken; other servers know only the older name of the limit.
    const limit = isHome(account) ? { max_completion_tokens: 16 } : { max_tokens: 1 }
    return {
      call: {
        method: 'POST',
        path: inResponses ? '/v1/responses' : '/v1/chat/completions',
        query: '',
        headers: { accept: 'application/json', 'content-type': 'application/json', 'user-agent': `gw/${version}` },
      },
      body: JSON.stringify(
        inResponses ? { model, input: 'hi', max_output_tokens: 16, store: false } : { model, messages, ...limit },
      ),
    }
  },
}

function isHome({ baseUrl }: AccountFacts): boolean {
  return baseUrl === null || new URL(baseUrl).origin === HOME
}

function isPassed(name: string): boolean {
  return passed.has(name) || (!kept.has(name) && passedPrefixes.some(prefix => name.startsWith(prefix)))
}

// `https://host/api/paas/v4`, `…/v1beta/openai`, and ChatGPT's own, which has none at all.
const namesVersion = /\/v\d\w*(?:\/|$)|\/backend-api(?:\/|$)/

function compile(account: AccountFacts, credential: Credential): Target {
  const url = new URL(account.baseUrl ?? HOME)
  const token =
    account.type === 'oauth' ? oauthToken(credential.reveal()) : { access: credential.reveal(), account: '' }
  const target: Target = {
    origin: new URL(url.origin),
    prefix: url.pathname.replace(/\/+$/, ''),
    versioned: namesVersion.test(url.pathname),
    headers: {
      authorization: `Bearer ${token.access}`,
      ...(token.account ? { 'chatgpt-account-id': token.account } : {}),
    },
    credential,
  }
  targets.set(account, target)
  return target
}
