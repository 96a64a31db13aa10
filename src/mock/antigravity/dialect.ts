// Code Assist, which Antigravity speaks too: Gemini in an envelope, and what its clients ask before (spec/wire-additions.md §3.5).
import { whole } from '../bytes.ts'
import type { Call } from '../call.ts'
import type { Dialect, Reply } from '../dialect.ts'
import { outOfTurn, refusal } from '../gemini/errors.ts'
import { generate } from '../gemini/generate.ts'
import { fieldsOf } from '../proofs.ts'
import type { Step } from '../step.ts'
import { usageOf } from '../usage.ts'

const route = /^\/v1internal:([A-Za-z]+)$/

const verbs: Record<string, (call: Call, step: Step) => Reply> = {
  generateContent: enveloped,
  streamGenerateContent: enveloped,
  countTokens: (call, step) => whole({ totalTokens: usageOf(step, call.body.length, 0).input_tokens }, step),
  loadCodeAssist: (_, step) =>
    whole({ currentTier: tier, cloudaicompanionProject: 'mock-project', paidTier: tier }, step),
  onboardUser: (_, step) =>
    whole({ name: 'operations/mock', done: true, response: { cloudaicompanionProject: { id: 'mock-project' } } }, step),
  retrieveUserQuota: (_, step) => whole({ buckets: models.map(modelId => ({ modelId, ...full })) }, step),
  fetchAvailableModels: (_, step) =>
    whole({ models: Object.fromEntries(models.map(name => [name, { displayName: name, quotaInfo: full }])) }, step),
}

const tier = { id: 'standard-tier', name: 'Gemini Code Assist', availableCredits: [] }
const full = { remainingFraction: 1, resetTime: '2027-01-01T00:00:00Z' }
const models = [
  'claude-opus-4-6-thinking',
  'claude-sonnet-4-6',
  'gemini-3.7-flash-high',
  'gemini-3.6-flash-high',
  'gemini-3-flash',
  'gemini-3.1-pro-low',
  'gpt-oss-120b-medium',
]

export const antigravity: Dialect = {
  idHeader: null,
  newId: n => `antigravity-${n}`,

  owns: ({ path }) => path.startsWith('/v1internal:'),

  read: ({ path }) => ({ stream: path.endsWith(':streamGenerateContent') }),

  answer(call, step) {
    const early = outOfTurn(call, step)
    if (early) return early
    const answer = verbs[route.exec(call.path)?.[1] ?? '']
    return answer && call.method === 'POST' ? answer(call, step) : refusal(call, 404, `Not found: ${call.path}`)
  },
}

function enveloped(call: Call, step: Step): Reply {
  const { request, contents } = fieldsOf(call)
  if (contents !== undefined || typeof request !== 'object' || request === null)
    return refusal(call, 400, 'Invalid JSON payload received. Unknown name "contents": Cannot find field.')
  if (call.model === '') return refusal(call, 400, 'Model is required.')
  return generate(call, step, response => ({ response, traceId: call.id }))
}
