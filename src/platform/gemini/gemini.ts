// Gemini as an upstream: API keys and OAuth tokens on the public API, and Code Assist for accounts that have a project there.
import type { Credential } from '../../core/credential.ts'
import type { AccountFacts } from '../../core/snapshot.ts'
import type { Platform, UpstreamRequest } from '../platform.ts'
import { baseOf, headersOf, queryFor, userAgent } from './call.ts'
import { oauthOf } from './credential.ts'
import { envelopeOf, internalPath, promptId } from './envelope.ts'
import { judgeEventOf, judgeOf } from './verdict.ts'

const BASE = 'https://generativelanguage.googleapis.com'
const CODE_ASSIST = 'https://cloudcode-pa.googleapis.com'

const front = { quotaStatuses: new Set<number>(), byModel: false }

export const gemini: Platform = {
  name: 'gemini',
  home: BASE,
  vendor: { facts: 'gemini', prices: 'google' },
  unaskedWrites: 'none',
  dialects: ['gemini'],
  speaks: () => 'gemini',

  prepare(call, account, credential): UpstreamRequest {
    const assisted = isAssisted(account, credential)
    const { origin, prefix } = baseOf(account, assisted ? CODE_ASSIST : BASE)
    const headers = headersOf(call, origin.host)
    if (account.type === 'oauth') headers['authorization'] = `Bearer ${oauthOf(credential).token}`
    // Never in the query, where logs would have it.
    else headers['x-goog-api-key'] = credential.reveal()
    if (!assisted) return { method: call.method, origin, path: prefix + call.path + queryFor(call), headers }
    headers['user-agent'] = userAgent
    return { method: call.method, origin, path: prefix + internalPath(call.path), headers }
  },

  envelope(account, credential) {
    if (!isAssisted(account, credential)) return undefined
    const { project } = oauthOf(credential)
    return envelopeOf({ project, beside: () => ({ user_prompt_id: promptId() }), sessionField: 'session_id' })
  },

  judge: judgeOf(front),
  judgeEvent: judgeEventOf(front),

  probeModel: 'gemini-2.5-flash-lite',
  probe: model => ({ call: probeCall(model), body: probeBody }),
}

const isAssisted = (account: AccountFacts, credential: Credential) =>
  account.type === 'oauth' && oauthOf(credential).codeAssist

export const probeCall = (model: string) => ({
  method: 'POST',
  path: `/v1beta/models/${model}:generateContent`,
  query: '',
  headers: { accept: 'application/json', 'content-type': 'application/json', 'user-agent': userAgent },
})

export const probeBody = JSON.stringify({
  contents: [{ role: 'user', parts: [{ text: 'hi' }] }],
  generationConfig: { maxOutputTokens: 1 },
})
