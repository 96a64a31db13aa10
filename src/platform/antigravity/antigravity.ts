// Antigravity as an upstream: OAuth tokens on v1internal, always in its envelope.

import { baseOf, headersOf, userAgent } from '../gemini/call.ts'
import { oauthOf } from '../gemini/credential.ts'
import { agentRequest, envelopeOf, internalPath } from '../gemini/envelope.ts'
import { probeBody, probeCall } from '../gemini/gemini.ts'
import { judgeEventOf, judgeOf } from '../gemini/verdict.ts'
import type { Platform, UpstreamRequest } from '../platform.ts'
import { catalogueAsk, mappingIn } from './catalogue.ts'
import { fitted } from './fitted.ts'

const BASE = 'https://cloudcode-pa.googleapis.com'

// 499 and 503 are said of quotas too (spec/wire-additions.md §3.5), and each model has its own.
const front = { quotaStatuses: new Set([499, 503]), byModel: true }

export const antigravity: Platform = {
  name: 'antigravity',
  home: BASE,
  vendor: { facts: 'gemini', prices: 'antigravity' },
  unaskedWrites: 'none',
  dialects: ['gemini'],
  speaks: () => 'gemini',

  prepare(call, account, credential): UpstreamRequest {
    const { origin, prefix } = baseOf(account, BASE)
    const headers = headersOf(call, origin.host)
    const secret = account.type === 'oauth' ? oauthOf(credential).token : credential.reveal()
    headers['authorization'] = `Bearer ${secret}`
    headers['user-agent'] = userAgent
    return { method: call.method, origin, path: prefix + internalPath(call.path), headers }
  },

  envelope: (account, credential) =>
    envelopeOf({
      project: account.type === 'oauth' ? oauthOf(credential).project : '',
      beside: () => ({ requestId: agentRequest(), userAgent, requestType: 'agent' }),
      sessionField: 'sessionId',
      edits: fitted,
    }),

  judge: judgeOf(front),
  judgeEvent: judgeEventOf(front),

  probeModel: 'gemini-3-flash',
  probe: model => ({ call: probeCall(model), body: probeBody }),
  catalogue: { ask: catalogueAsk, mapping: mappingIn },
}
